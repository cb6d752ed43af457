#!/usr/bin/env bash
# Starts a server on an empty folder, holds a load on it, and reports how it took it: benches/README.md, "Load".
set -euo pipefail

usage() {
  cat << 'EOF'
Usage: benches/load.sh [mixed|single] [--minutes N] [--out FILE] [FLAGS OF load]

  mixed      50,000 events/s in batches of 500, 200 dashboards, 20 analysts (the default)
  single     10,000 requests/s with one event each, nobody else
  --minutes  how long; fractions are fine [10]
  --out      the report as JSON [benches/results/load_MODE.json]

Flags of load override the mode's: --rate 5000 --dashboards 20 --analysts 2; `load --help` has all of them.
Environment:
  PROFILE    whose build below target/ to use: release, demo, debug [release]
  DATA_DIR   where the server keeps its data [a new folder below benches/data, removed afterwards]
EOF
}

root=$(cd "$(dirname "$0")/.." && pwd)
profile=${PROFILE:-release}
mode=mixed minutes=10 out=
flags=()
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) usage && exit 0 ;;
    mixed | single) mode=$1 ;;
    --minutes) minutes=${2:?--minutes needs a number} && shift ;;
    --out) out=${2:?--out needs a file} && shift ;;
    *) flags+=("$1") ;;
  esac
  shift
done

for program in tideline load; do
  if [ ! -x "$root/target/$profile/$program" ]; then
    echo "target/$profile/$program is missing: cargo build --release --workspace" >&2
    exit 1
  fi
done

case $mode in
  mixed) preset=(--rate 50000 --batch 500 --connections 32 --dashboards 200 --analysts 20) ;;
  single) preset=(--rate 10000 --batch 1 --connections 128 --dashboards 0 --analysts 0) ;;
esac
seconds=$(awk -v minutes="$minutes" 'BEGIN { printf "%d", minutes * 60 + 0.5 }')
out=${out:-$root/benches/results/load_$mode.json}

if [ -n "${DATA_DIR:-}" ]; then
  data=$DATA_DIR
  mkdir -p "$data"
  remove=
else
  mkdir -p "$root/benches/data"
  data=$(mktemp -d "$root/benches/data/load.XXXXXX")
  remove=$data
fi
server=
finish() {
  if [ -n "$server" ]; then
    kill -TERM "$server" 2> /dev/null || true
    wait "$server" 2> /dev/null || true
  fi
  [ -z "$remove" ] || rm -rf "$remove"
}
trap finish EXIT

"$root/target/$profile/tideline" serve --listen 127.0.0.1:0 --data-dir "$data" > "$data.log" 2>&1 &
server=$!
url=
for _ in $(seq 600); do
  url=$(sed -n 's/.*"url": *"\([^"]*\)".*/\1/p' "$data/server.json" 2> /dev/null || true)
  if [ -n "$url" ] && curl --silent --fail --output /dev/null "$url/health/ready"; then
    break
  fi
  if ! kill -0 "$server" 2> /dev/null; then
    cat "$data.log" >&2
    exit 1
  fi
  url=
  sleep 0.1
done
: "${url:?the server was not ready within a minute}"
rm -f "$data.log"

echo "$mode: $seconds s against $url ($profile build)" >&2
# What comes last wins: flags of the command line follow those of the mode.
"$root/target/$profile/load" --url "$url" --pid "$server" --seconds "$seconds" --out "$out" "${preset[@]}" \
  ${flags[@]+"${flags[@]}"}
echo "written: $out" >&2
