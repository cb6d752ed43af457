#!/usr/bin/env bash
# Sends a running server spiky shop traffic and prints counts and latencies each second: a thin wrapper around
# `tideline traffic`. Phases come from the environment; flags after the URL go to `tideline traffic`.
set -euo pipefail

usage() {
  cat << 'EOF'
Usage: scripts/spiky_events_stats_latency.sh [URL] [FLAGS OF tideline traffic]

  URL           the server [http://127.0.0.1:8080]
Environment:
  BASE_RPS      requests a second before the spike [20]        BASE_SEC      for so many seconds [15]
  SPIKE_RPS     in the spike [150]                             SPIKE_SEC     [10]
  COOLDOWN_RPS  after it [20]                                  COOLDOWN_SEC  [15]
  JITTER_PCT    a second's rate may be off by so much [10]
  TIDELINE_KEY  the server's key, if it has any
  TIDELINE      the tideline program [on the PATH, else the newest build below target/]

A line each second, a summary at the end. Exit codes are those of `tideline traffic` (--help explains them).
EOF
}

case ${1:-} in
  -h | --help)
    usage
    exit 0
    ;;
esac

# shellcheck source=scripts/tideline_bin.sh
. "$(dirname "$0")/tideline_bin.sh"

export BASE_RPS=${BASE_RPS:-20} BASE_SEC=${BASE_SEC:-15}
export SPIKE_RPS=${SPIKE_RPS:-150} SPIKE_SEC=${SPIKE_SEC:-10}
export COOLDOWN_RPS=${COOLDOWN_RPS:-20} COOLDOWN_SEC=${COOLDOWN_SEC:-15}
export JITTER_PCT=${JITTER_PCT:-10}

url=http://127.0.0.1:8080
case ${1:-} in
  http://*)
    url=$1
    shift
    ;;
esac

exec "$(tideline_bin)" traffic --url "$url" "$@"
