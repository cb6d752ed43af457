#!/usr/bin/env bash
# Checks that the tools this project needs are there, and says what to do where one is missing. It installs redis-server,
# prometheus, chromium, psql and pgJDBC, from Debian's packages and only as root: the tests start real ones. `make` itself makes the Python
# environments it needs from pinned requirements, and installs the dashboard's packages.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=0

need() { # what, why, how to get it
  printf 'missing: %s (%s)\n         %s\n' "$1" "$2" "$3" >&2
  missing=1
}

note() {
  printf 'note: %s\n' "$1"
}

wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
if ! command -v cargo > /dev/null; then
  need "cargo" "builds everything" "https://rustup.rs, then: rustup default $wanted"
else
  found=$(rustc --version | awk '{ print $2 }')
  if [ "$(printf '%s\n%s\n' "$wanted" "$found" | sort -V | head -n 1)" != "$wanted" ]; then
    need "Rust $wanted" "found $found" "rustup update"
  fi
  cargo fmt --version > /dev/null 2>&1 || need "rustfmt" "make test" "rustup component add rustfmt"
  cargo clippy --version > /dev/null 2>&1 || need "clippy" "make test" "rustup component add clippy"
  cargo nextest --version > /dev/null 2>&1 || note "cargo-nextest is not installed; the tests run with cargo test, \
one file after another and without a limit of time (cargo install cargo-nextest --locked)"
fi
command -v cc > /dev/null || need "a C compiler" "zstd and the TLS library" "apt-get install build-essential"
if ! command -v python3 > /dev/null; then
  need "python3" "client checks and benchmarks" "apt-get install python3 python3-venv"
else
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || need "Python 3.11" "client checks" "a newer python3"
  python3 -c 'import ensurepip' 2> /dev/null || need "python3-venv" "client checks" "apt-get install python3-venv"
fi
if ! command -v node > /dev/null || ! command -v npm > /dev/null; then
  need "Node 20 with npm" "builds the dashboard" "https://nodejs.org, or apt-get install nodejs npm where that is new enough"
else
  found=$(node --version)
  if [ "$(printf '%s\n%s\n' 20.19.0 "${found#v}" | sort -V | head -n 1)" != 20.19.0 ]; then
    need "Node 20.19" "found $found" "a newer Node"
  fi
fi
if [ -z "${CHROMIUM:-}" ] && ! command -v chromium > /dev/null && ! command -v chromium-browser > /dev/null \
  && ! command -v google-chrome > /dev/null; then
  if [ "$(id -u)" -eq 0 ] && command -v apt-get > /dev/null; then
    echo "installing chromium, in which the dashboard is tested"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium; } \
      > /dev/null || true
  fi
  command -v chromium > /dev/null || need "chromium" "tests of the dashboard" \
    "apt-get install chromium, or name a Chromium in CHROMIUM"
fi
if ! command -v strace > /dev/null && [ "$(id -u)" -eq 0 ] && command -v apt-get > /dev/null; then
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends strace; } \
    > /dev/null || true
fi
command -v strace > /dev/null || note "strace is not installed; that refused SQL opens no file is not traced (apt-get install strace)"
if ! command -v redis-server > /dev/null && [ "$(id -u)" -eq 0 ] && command -v apt-get > /dev/null; then
  echo "installing redis-server, which the tests start"
  # RUNLEVEL=1 keeps the package from starting a server of its own.
  { apt-get update -qq && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    redis-server; } > /dev/null || true
fi
if ! command -v redis-server > /dev/null; then
  need "redis-server" "tests of shared windows and limits" "apt-get install redis-server"
else
  found=$(redis-server --version | sed -n 's/.* v=\([0-9]*\).*/\1/p')
  [ "${found:-0}" -ge 7 ] || need "redis-server 7" "found version ${found:-unknown}" "a newer redis-server"
fi
if ! command -v promtool > /dev/null && [ "$(id -u)" -eq 0 ] && command -v apt-get > /dev/null; then
  echo "installing prometheus with promtool, which the tests start"
  { apt-get update -qq && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    prometheus; } > /dev/null || true
fi
if ! command -v promtool > /dev/null || ! command -v prometheus > /dev/null; then
  need "prometheus with promtool" "tests of monitoring" "apt-get install prometheus"
fi

if ! command -v psql > /dev/null && [ "$(id -u)" -eq 0 ] && command -v apt-get > /dev/null; then
  echo "installing psql, with which the Postgres wire is tested"
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    postgresql-client; } > /dev/null || true
fi
command -v psql > /dev/null || need "psql" "tests of the Postgres wire" "apt-get install postgresql-client"
command -v openssl > /dev/null || need "openssl" "certificates for the tests of TLS" "apt-get install openssl"
if command -v java > /dev/null; then
  if [ ! -e /usr/share/java/postgresql.jar ] && [ "$(id -u)" -eq 0 ] && command -v apt-get > /dev/null; then
    echo "installing pgJDBC, with which the Postgres wire is tested"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
      libpostgresql-jdbc-java; } > /dev/null || true
  fi
  [ -e /usr/share/java/postgresql.jar ] || note "pgJDBC is not installed; its test is skipped, which is said (apt-get install \
libpostgresql-jdbc-java)"
else
  note "java is not installed; the test of pgJDBC is skipped, which is said (apt-get install default-jre-headless)"
fi

if [ "$missing" -ne 0 ]; then
  exit 1
fi
echo "tools: all there"
