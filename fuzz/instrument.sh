#!/bin/sh
# Called by cargo in rustc's place (RUSTC_WRAPPER): counts branches and compares in our own crates, for libfuzzer.
case " $* " in
  *" --crate-name tideline_engine "* | *" fuzz_targets/"*)
    exec "$@" -Cpasses=sancov-module -Ccodegen-units=1 \
      -Cllvm-args=-sanitizer-coverage-level=4 \
      -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
      -Cllvm-args=-sanitizer-coverage-pc-table \
      -Cllvm-args=-sanitizer-coverage-trace-compares
    ;;
  *) exec "$@" ;;
esac
