#!/usr/bin/env bash
# Starts kithd and opens the app: "make run". kithd needs root for the TUN, so a
# normal user is asked for sudo for kithd alone, is named an operator, and runs
# the app unprivileged. kithd runs until Ctrl-C; the networks stay on disk.
set -euo pipefail
bin=$(cd "$1" && pwd)
socket=${KITH_SOCKET:-/run/kith/kithd.sock}
app=""

if "$bin/kith" --socket "$socket" status >/dev/null 2>&1; then
  echo "kithd already runs at $socket."
  kithd=""
else
  sudo="" operator=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "kithd needs root and there is no sudo: run \"make run\" as root." >&2; exit 1; }
    sudo=sudo operator=(--operator "$(id -un)")
    echo "kithd needs root for its network interface; sudo may ask for your password."
    sudo -v
  fi
  # sudo passes no signals on from its own process group, so kithd's own ID is
  # noted and signalled.
  noted=$(mktemp -d)
  # shellcheck disable=SC2016
  $sudo sh -c 'echo $$ >"$1"; shift; exec "$@"' sh "$noted/pid" "$bin/kithd" run --socket "$socket" "${operator[@]}" &
  kithd=$!
  # shellcheck disable=SC2317
  stop() {
    trap '' INT TERM
    [ -z "$app" ] || kill "$app" 2>/dev/null || true
    $sudo kill "$(cat "$noted/pid")" 2>/dev/null || true
    wait "$kithd" 2>/dev/null || true
    rm -rf "$noted"
  }
  trap stop EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  for _ in $(seq 100); do
    "$bin/kith" --socket "$socket" status >/dev/null 2>&1 && break
    [ -e "/proc/$kithd" ] || { echo "kithd ended; its messages are above." >&2; exit 1; }
    sleep 0.1
  done
fi

"$bin/kith" --socket "$socket" status || true
if [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; then
  "$(dirname "$0")/desktop.sh" install "$bin" || echo "The desktop does not know Kith's links; the app works without." >&2
  echo "Opening the app."
  # Waited for, so that a signal ends it too: bash puts traps off until a
  # command in the foreground ends.
  KITH_SOCKET=$socket "$bin/kith-app" &
  app=$!
  wait "$app" || true
  app=""
  echo "The app has ended."
else
  echo
  echo "There is no display, so there is no window: use the command line, in another terminal:"
  echo "  $bin/kith create home          make a network"
  echo "  $bin/kith invite               print a link that lets another device join it"
  echo "  $bin/kith join -               join with a link, pasted"
  echo "  $bin/kith --help"
fi
[ -z "$kithd" ] || { echo "kithd runs until Ctrl-C."; wait "$kithd"; }
