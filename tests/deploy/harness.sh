# shellcheck shell=bash
# A small harness for tests of shell scripts: every function named test_… is a case, run in a subshell with
# errexit and an empty folder $CASE_DIR. `run_cases` at the end of the file runs them all and says which failed.

REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
export REPO

fail() {
  printf '    %s:%s: %s\n' "${BASH_SOURCE[1]##*/}" "${BASH_LINENO[0]}" "$*"
  exit 1
}
expect_equal() { [[ $1 == "$2" ]] || fail "expected '$2', got '$1'"; }
expect_contains() { [[ $1 == *"$2"* ]] || fail "expected '$2' in: $1"; }
expect_lacks() { [[ $1 != *"$2"* ]] || fail "did not expect '$2' in: $1"; }
# expect_failure COMMAND…: prints what it wrote.
expect_failure() {
  local output
  if output=$("$@" 2>&1); then fail "succeeded: $*"; fi
  printf '%s' "$output"
}

# What a test that needs it calls when WHAT is not here: a skip, or a failure where the host must have it.
missing() {
  echo "missing: $1"
  if [[ ${THAW_REQUIRE_HOST:-0} == 1 ]]; then exit 1; fi
  exit 77
}

run_cases() {
  local name output failed=0 ran=0
  for name in $(compgen -A function test_); do
    CASE_DIR=$(mktemp -d)
    ((++ran))
    # In a process of its own: errexit does not hold in a function that is a condition.
    set +e
    output=$(
      set -euo pipefail
      cd "$CASE_DIR"
      "$name" 2>&1
    )
    local result=$?
    set -e
    rm -rf "$CASE_DIR"
    if ((result == 0)); then
      echo "ok      ${name#test_}"
    else
      echo "FAILED  ${name#test_} (status $result)"
      printf '%s\n' "$output" | sed 's/^/    /'
      failed=1
    fi
  done
  if ((ran == 0)); then
    echo "no cases"
    exit 1
  fi
  exit "$failed"
}
