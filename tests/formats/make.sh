#!/usr/bin/env bash
# Makes a small data folder in the format of a build, for tests/formats/FORMAT: run it with the binary of a release before the
# format changes, and check the folder in. `server/tests/it/formats.rs` opens every one of them and compares the figures.
#
#   tests/formats/make.sh target/release/tideline tests/formats/1
set -euo pipefail
binary=$(realpath "$1") out=$2
[ -e "$out" ] && { echo "$out exists: a format that was released does not change" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd_free() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
port=$(cd_free)
url=http://127.0.0.1:$port
TIDELINE_LAKE_MAINTAIN_EVERY=0s TIDELINE_FLUSH_AGE=1h "$binary" serve --listen "127.0.0.1:$port" --data-dir "$work/data" >"$work/said" 2>&1 &
server=$!
for _ in $(seq 600); do grep -q 'listening on' "$work/said" && break; sleep 0.1; done
post() { curl -sS --fail-with-body -H 'content-type: application/x-ndjson' --data-binary @- "$url/events" >/dev/null; }
# Two days and two files of the first, then a rest in the log; one event of each kind that has its own columns.
events() { # first last day
  for n in $(seq "$1" "$2"); do
    echo "{\"event_id\":\"p$n\",\"event_type\":\"page_view\",\"event_ts\":\"2026-03-0$3T10:$(printf %02d $((n % 60))):00Z\",\"session_id\":\"s$((n / 5))\",\"user_id\":\"u$((n / 10))\",\"page\":\"/p/$((n % 3))\",\"utm\":{\"source\":\"mail\"}}"
    [ $((n % 10)) = 0 ] && echo "{\"event_id\":\"o$n\",\"event_type\":\"purchase\",\"event_ts\":\"2026-03-0$3T11:00:00Z\",\"user_id\":\"u$((n / 10))\",\"order_id\":\"A$n\",\"currency\":\"EUR\",\"items\":[{\"product_id\":\"x\",\"price\":\"12.50\",\"quantity\":2}],\"note\":{\"gift\":true}}"
  done
  return 0
}
events 1 40 1 | post; curl -sS --fail -X POST "$url/admin/flush" >/dev/null
events 41 80 1 | post; events 81 120 2 | post; curl -sS --fail -X POST "$url/admin/flush" >/dev/null
events 121 160 2 | post
{ echo '{"event_id":"bad1","event_type":"page_view"}'; events 161 162 2; } | post
kill -9 "$server"; wait "$server" 2>/dev/null || true
rm -rf "$work/data/LOCK" "$work/data/server.json" "$work/data/tmp"
mkdir -p "$(dirname "$out")"
cp -r "$work/data" "$out"
echo "$out: $(du -sh "$out" | cut -f1)"
