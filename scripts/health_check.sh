#!/usr/bin/env bash
# Asks a server how it is, for cron jobs and containers: prints its answer and says by the exit code what to do.
set -euo pipefail

usage() {
  cat << 'EOF'
Usage: scripts/health_check.sh [URL]

  URL      the server [http://127.0.0.1:8080]
Environment:
  TIMEOUT  seconds to wait for the answer [5]

Exit codes: 0 healthy, 1 it answers and is degraded or not ready, 2 no answer.
EOF
}

case ${1:-} in
  -h | --help)
    usage
    exit 0
    ;;
esac

url=${1:-http://127.0.0.1:8080}
timeout=${TIMEOUT:-5}

if ! answer=$(curl --silent --show-error --max-time "$timeout" --write-out '\n%{http_code}' "${url%/}/health"); then
  echo "unreachable: $url" >&2
  exit 2
fi
status=${answer##*$'\n'}
body=${answer%$'\n'*}
printf '%s\n' "$body"
ready=$(curl --silent --max-time "$timeout" --output /dev/null --write-out '%{http_code}' "${url%/}/health/ready") || ready=000
if [ "$status" != 200 ] || [ "$ready" != 200 ]; then
  echo "not ready: /health answers $status, /health/ready $ready" >&2
  exit 1
fi
# The first status is the server's own; those of its parts follow.
case $body in
  '{"status":"ok"'*) ;;
  *)
    echo "degraded" >&2
    exit 1
    ;;
esac
