#!/usr/bin/env bash
# Which lines the Rust tests reach. With cargo-llvm-cov where it is installed; else by the compiler's own instrumentation of
# our crates (dependencies are compiled as ever and are used again) and LLVM's tools, which must not be much older than the
# compiler's LLVM: rustup component add llvm-tools, or a package llvm-N.
#
#   scripts/coverage.sh [ARGUMENTS OF cargo test]      e.g. --lib, or --test it sql
set -euo pipefail
cd "$(dirname "$0")/.."

out=target/coverage
mkdir -p "$out"

if cargo llvm-cov --version > /dev/null 2>&1; then
  cargo llvm-cov --workspace --locked --html --output-dir "$out" "$@"
  cargo llvm-cov report --summary-only | tee "$out/summary.txt"
  exit 0
fi

major=$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
host=$(rustc -vV | sed -n 's/^host: //p')
sysroot=$(rustc --print sysroot)/lib/rustlib/$host/bin

# The tools of the toolchain first, then those of packages, newest first.
tool() {
  local candidate
  for candidate in "$sysroot/$1" "$1-$major" $(seq -f "$1-%.0f" $((major - 1)) -1 19) "$1"; do
    if command -v "$candidate" > /dev/null; then
      echo "$candidate"
      return
    fi
  done
}
profdata=$(tool llvm-profdata)
cov=$(tool llvm-cov)
if [ -z "$profdata" ] || [ -z "$cov" ]; then
  printf 'missing: llvm-profdata and llvm-cov of LLVM 19 to %s\n         %s\n' "$major" \
    "rustup component add llvm-tools, or apt-get install llvm-19, or cargo install cargo-llvm-cov" >&2
  exit 1
fi

# A wrapper for the crates of the workspace only, so that nothing else is compiled again.
wrapper=$PWD/$out/instrument.sh
printf '#!/bin/sh\nexec "$@" -Cinstrument-coverage\n' > "$wrapper"
chmod +x "$wrapper"
rm -f "$out"/*.profraw
export RUSTC_WORKSPACE_WRAPPER=$wrapper
export LLVM_PROFILE_FILE=$PWD/$out/%p-%4m.profraw
binaries=$(cargo test --workspace --all-targets --locked --no-run --message-format=json "$@" \
  | python3 -c 'import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if message.get("executable") and message.get("reason") == "compiler-artifact": print(message["executable"])')
# Failing tests are for `make test` to report; what was reached until then is still worth seeing.
cargo test --workspace --all-targets --locked --no-fail-fast "$@" || echo "some tests failed: the figures are without them" >&2
unset RUSTC_WORKSPACE_WRAPPER

if ! "$profdata" merge --sparse "$out"/*.profraw -o "$out/all.profdata"; then
  echo "$profdata cannot read what the compiler's LLVM $major wrote: install newer tools (see above)" >&2
  exit 1
fi
objects=$(printf -- '--object %s ' $binaries)
# shellcheck disable=SC2086
"$cov" report $objects --instr-profile "$out/all.profdata" --ignore-filename-regex '/\.cargo/|/rustc/|/target/' \
  | tee "$out/summary.txt" | tail -n 1
# shellcheck disable=SC2086
"$cov" show $objects --instr-profile "$out/all.profdata" --ignore-filename-regex '/\.cargo/|/rustc/|/target/' \
  --format html --output-dir "$out/html" > /dev/null
echo "report: $out/html/index.html, $out/summary.txt"
