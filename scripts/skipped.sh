#!/usr/bin/env bash
# Says, before the tests run, which of them will be skipped for want of something, and counts them.
# With TIDELINE_REQUIRE_FIXTURES=1 nothing may be skipped.
set -euo pipefail

skipped=0

skip() {
  printf 'SKIPPED: %s\n' "$1" >&2
  skipped=$((skipped + 1))
}

fixtures=${TIDELINE_FIXTURES:-}
if [ -z "$fixtures" ]; then
  skip "tests on real data: TIDELINE_FIXTURES is not set to the folder that has them"
elif [ ! -d "$fixtures/online_retail" ]; then
  skip "tests on real data: there is no online_retail below TIDELINE_FIXTURES=$fixtures"
fi

echo "skipped groups of tests: $skipped"
if [ "$skipped" -ne 0 ] && [ "${TIDELINE_REQUIRE_FIXTURES:-0}" = 1 ]; then
  echo "TIDELINE_REQUIRE_FIXTURES=1: nothing may be skipped here" >&2
  exit 1
fi
