# Sourced by scripts that need the tideline program: prints its path.
# shellcheck shell=bash

tideline_bin() {
  local root newest
  root=$(dirname "${BASH_SOURCE[0]}")/..
  if [ -n "${TIDELINE:-}" ]; then
    printf '%s\n' "$TIDELINE"
    return
  fi
  newest=
  for built in "$root"/target/{release,demo,debug}/tideline; do
    if [ -x "$built" ] && { [ -z "$newest" ] || [ "$built" -nt "$newest" ]; }; then
      newest=$built
    fi
  done
  if command -v tideline > /dev/null; then
    command -v tideline
  elif [ -n "$newest" ]; then
    printf '%s\n' "$newest"
  else
    echo "tideline is not on the PATH and not built: make build, or set TIDELINE" >&2
    return 1
  fi
}
