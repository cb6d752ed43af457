#!/bin/sh
# Makes the keys of docker-compose.yml, each once, before the server starts: one for you, one that reads (Prometheus,
# Grafana), one that sends (the generator). A server that others can reach does not start without any.
set -eu

data=${TIDELINE_DATA_DIR:-/data}
keys=${KEYS_DIR:-/keys}
umask 077

make_key() { # name, scope, who else may read the file
  if [ -s "$keys/$1" ]; then
    return
  fi
  answer=$(tideline keys create --name "$1" --scopes "$2" --data-dir "$data")
  # The first line is the key. Written whole, or not at all.
  printf '%s' "$answer" | head -n 1 | tr -d '\n' > "$keys/.$1"
  chmod "$3" "$keys/.$1"
  mv "$keys/.$1" "$keys/$1"
}

make_key admin admin 0400
make_key generator ingest 0400
# Prometheus and Grafana run as users of their own.
make_key monitoring read 0444
chmod 0711 "$keys" 2> /dev/null || true
echo "keys are in the volume; yours: docker compose exec tideline cat /keys/admin"
