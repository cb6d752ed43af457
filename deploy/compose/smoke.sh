#!/usr/bin/env bash
# Starts docker-compose.yml with the generator, waits until everybody sees everybody, and removes it again. For a machine
# with a Docker engine; `make monitoring` checks what can be checked without one.
set -euo pipefail
cd "$(dirname "$0")/../.."

compose=(docker compose --project-name tideline-smoke --profile gen)
finish() {
  code=$?
  if [ "$code" -ne 0 ]; then
    "${compose[@]}" ps || true
    "${compose[@]}" logs --tail 50 || true
  fi
  "${compose[@]}" down --volumes --timeout 40
  exit "$code"
}
trap finish EXIT

until_true() { # what, command
  what=$1
  shift
  for _ in $(seq 60); do
    if "$@" > /dev/null 2>&1; then
      echo "ok: $what"
      return
    fi
    sleep 2
  done
  echo "did not happen: $what" >&2
  return 1
}

query() { # expression
  curl -fsS http://127.0.0.1:9090/api/v1/query --data-urlencode "query=$1" | grep -q '"value"'
}

panel() { # SQL
  curl -fsS http://127.0.0.1:3000/api/ds/query -H 'content-type: application/json' -d \
    "{\"queries\":[{\"refId\":\"A\",\"datasource\":{\"uid\":\"tideline-sql\"},\"format\":\"table\",\"rawSql\":\"$1\"}]}" \
    | grep -q '"status":200'
}

"${compose[@]}" up --detach --no-build --wait tideline redis
"${compose[@]}" up --detach --no-build
until_true "the server is healthy" curl -fsS http://127.0.0.1:8080/health/ready
until_true "Prometheus scrapes it" query 'up{job="tideline"} == 1'
until_true "the generator's events arrive" query 'tideline_seq > 100'
until_true "Redis has the live windows" query 'tideline_redis_up == 1'
until_true "the exporter sees Redis" query 'redis_up == 1'
until_true "Grafana has the dashboard" curl -fsS http://127.0.0.1:3000/api/dashboards/uid/tideline-shop
until_true "Grafana reads the shop in SQL" panel "SELECT count(*) FROM events"
