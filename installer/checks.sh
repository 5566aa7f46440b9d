#!/usr/bin/env bash
# Checks that print a line each and count themselves. It is sourced.
# shellcheck disable=SC2034
passed=0 failed=0

say() { printf '%s\n' "$*"; }
check() { # check WORDS COMMAND...: passes if the command does
  local words=$1 out
  shift
  if out=$("$@" 2>&1); then
    passed=$((passed + 1))
    say "ok      $words"
  else
    failed=$((failed + 1))
    say "FAILED  $words"
    printf '%s\n' "$out" | sed 's/^/        /'
  fi
}
exits() { # exits CODE COMMAND...
  local want=$1 got=0
  shift
  "$@" || got=$?
  [ "$got" -eq "$want" ] || { echo "exit code $got, not $want"; return 1; }
}
within() { # within SECONDS COMMAND...: tries until it passes
  local end=$(($(date +%s%N) + $1 * 1000000000)) out
  shift
  while ! out=$("$@" 2>&1); do
    [ "$(date +%s%N)" -lt "$end" ] || { printf '%s\n' "$out"; return 1; }
    sleep 0.05
  done
}
lacks() { local words=$1 out; shift; out=$("$@") || return; ! grep -- "$words" <<<"$out"; }
says() { local words=$1 out; shift; out=$("$@") || return; grep -q -- "$words" <<<"$out" || { echo "$out"; return 1; }; }
