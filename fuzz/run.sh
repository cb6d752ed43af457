#!/usr/bin/env bash
# Runs a fuzz target with a stable toolchain: fuzz/run.sh decode_json -max_total_time=600
# Only our own crates are instrumented, so dependencies compile once, as in the debug profile. With nightly Rust and
# cargo-fuzz, `cargo +nightly fuzz run decode_json` does the same with the address sanitizer, for a much longer build.
set -euo pipefail
cd "$(dirname "$0")"
target=${1:?usage: fuzz/run.sh decode_json|decode_arrow|wal_recovery|sql [libfuzzer flags]}
shift
RUSTC_WRAPPER="$PWD/instrument.sh" cargo build --locked --bin "$target"
mkdir -p "corpus/$target" "artifacts/$target"
seeds=()
[ -d "seeds/$target" ] && seeds=("seeds/$target")
exec "${CARGO_TARGET_DIR:-target}/debug/$target" -artifact_prefix="artifacts/$target/" "$@" "corpus/$target" "${seeds[@]}"
