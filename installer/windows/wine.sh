#!/usr/bin/env bash
# The Windows tier of "make e2e": kithd.exe, kith.exe and kith-app.exe, built here
# with mingw-w64, under Wine on an X server of their own. The app is driven by
# clicks and its pictures are kept in KITH_ARTEFACTS; the service is installed,
# asked over its named pipe and removed. There is no Wintun in Wine: what needs a
# network interface has to say so, and goes no further.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
installer/linux/deps.sh wine
# shellcheck source=../checks.sh
. installer/checks.sh
shots=${KITH_ARTEFACTS:-$PWD/artefacts}
mkdir -p "$shots"
work=$(mktemp -d /tmp/kith-wine.XXXXXX)
export WINEPREFIX=$work/wine WINEARCH=win64 WINEDEBUG=-all WINEDLLOVERRIDES="mscoree=d;mshtml=d"
export LC_ALL=C.UTF-8
unset XDG_RUNTIME_DIR KITH_SOCKET
disk=$WINEPREFIX/drive_c
dir=$disk/Kith
pids=""
# shellcheck disable=SC2317
cleanup() {
  local i
  touch "$work/over"
  # shellcheck disable=SC2086
  kill $pids 2>/dev/null || true
  for i in 1 2 3; do # a program that was just starting starts a server of its own
    timeout 20 wineserver -k 2>/dev/null || true
    timeout 20 wineserver -w 2>/dev/null || true
    sleep 0.3
  done
  rm -rf "$work"
}
trap cleanup EXIT

# built makes the programs of a release and, with the hook of GUI tests, the app.
built() {
  local go=${GO:-go} net
  say "Building for Windows"
  export GOOS=windows GOARCH=amd64
  # Go sets an option of UDP sockets that Wine 8 lacks, and opens none without.
  net=$("$go" env GOROOT)/src/net/fd_windows.go
  awk '/windows.SIO_UDP_NETRESET/ { print; getline; sub(/err != nil/, "err != nil \\&\\& err != syscall.Errno(10045)") } { print }' \
    "$net" >"$work/fd_windows.go"
  printf '{"Replace": {"%s": "%s"}}' "$net" "$work/fd_windows.go" >"$work/overlay.json"
  CGO_ENABLED=0 nice -n 5 "$go" build -overlay "$work/overlay.json" -ldflags '-s -w' -o "$1/kithd.exe" ./helper
  CGO_ENABLED=0 nice -n 5 "$go" build -ldflags '-s -w' -o "$1/kith.exe" ./app/ctl
  CGO_ENABLED=1 CC=$here/cc.sh nice -n 5 "$go" build -tags migrated_fynedo,no_emoji,gui -ldflags '-s -w -H=windowsgui' -o "$1/kith-app.exe" ./app
  unset GOOS GOARCH
}

# desktop starts an X server with a window manager, and Wine.
desktop() {
  local display
  coproc x { exec Xvfb -displayfd 1 -screen 0 1280x860x24 -nolisten tcp 2>/dev/null; }
  # shellcheck disable=SC2154
  pids="$pids $x_PID"
  read -r display <&"${x[0]}"
  export DISPLAY=:$display
  openbox >/dev/null 2>&1 &
  pids="$pids $!"
  timeout 300 wine wineboot -i >"$work/wineboot.log" 2>&1 || { cat "$work/wineboot.log"; exit 1; }
  # Wine before 10 lacks the library that Go takes random bytes from.
  if [ ! -e "$disk/windows/system32/bcryptprimitives.dll" ]; then
    cat >"$work/prng.c" <<'C'
#include <windows.h>
#include <ntsecapi.h>
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE b, SIZE_T n) { return RtlGenRandom(b, n); }
C
    x86_64-w64-mingw32-gcc -shared -o "$disk/windows/system32/bcryptprimitives.dll" "$work/prng.c" -ladvapi32
  fi
  # One program runs all along: with the last one Wine's service manager ends, and
  # a command that comes just then would start a second beside it.
  wineserver -k || true
  wineserver -w
  mkfifo "$work/idle"
  exec 9<>"$work/idle"
  wine cmd /c pause <&9 >/dev/null 2>&1 &
  pids="$pids $!"
}

run() { local p=$1; shift; timeout -k 5 60 wine "C:\\Kith\\$p.exe" "$@" </dev/null; }
kith() { run kith "$@"; }
kithd() { run kithd "$@"; }
registry() { timeout 60 wine reg query "$@"; }
# apps is how many processes of the app run with such an argument.
apps() { pgrep -c -f "^C:\\\\Kith\\\\kith-app\.exe.*$1" || true; }
runs() { [ "$(apps "$2")" -eq "$1" ] || { echo "$(apps "$2") run, not $1"; return 1; }; }

# A pipe's first client under Wine is one that go-winio never serves. The app gives
# up after two seconds, and who asks again is served; for kithd this is that client.
hold() {
  while sleep 0.1 && [ ! -e "$work/over" ]; do wine cmd /c "type $1" || true; done >/dev/null 2>&1 </dev/null &
  pids="$pids $!"
}

# words has the window write where each of its texts stands, as JSON.
words() {
  rm -f "$dir/words"
  printf '{"verb":"rects","text":"C:\\\\Kith\\\\words"}' | timeout -k 5 60 wine 'C:\Kith\kith-app.exe' --window >/dev/null 2>&1 || return
  for _ in $(seq 300); do [ -s "$dir/words" ] && break; sleep 0.1; done
  sed 's/},{/},\n{/g' "$dir/words"
}
shows() { says "\"Text\":\"$1" words; }
click() { # click WORDS: on the text that is exactly so
  local rect id
  rect=$(words | grep -F "\"Text\":\"$1\"" | head -1) || { echo "no $1"; return 1; }
  id=$(window) || return
  # shellcheck disable=SC2046
  xdotool mousemove --window "$id" $(sed -E 's/.*"X":([0-9.-]+),"Y":([0-9.-]+),"W":([0-9.]+),"H":([0-9.]+).*/\1 \2 \3 \4/' <<<"$rect" |
    awk '{ printf "%d %d", $1 + ($3 < 30 ? $3 / 2 : 15), $2 + $4 / 2 }') click 1
}
closes() { wmctrl -c Kith; runs 0 --window; }
window() { xdotool search --onlyvisible --name '^Kith$' | head -1 | grep .; }
picture() { # picture NAME: one with a window in it
  sleep 2 # software GL draws slowly
  import -window root -strip "$shots/windows-$1.png"
  [ "$(identify -format %k "$shots/windows-$1.png")" -gt 50 ] || { echo "the window is empty"; return 1; }
}

commands() {
  check "kith version" says '^kith ' kith version
  check "kith --help" says 'Create a network' kith --help
  check "kith status: the helper is not running" exits 3 kith status
  check "it says what to do" says 'kithd start' eval 'kith status 2>&1 || true'
  check "kith status --json has the code" says '"code":"unreachable"' eval 'kith status --json 2>&1 || true'
  check "a wrong verb is a wrong use" exits 2 kith bogus
  check "kithd version" says '^kithd ' kithd version
  check "kithd --help" says 'Undo on this host' kithd --help
  check "kithd status: it is not installed" says 'not installed' kithd status
  check "kithd start without a service fails" exits 1 kithd start
  check "kithd cleanup with nothing to do" kithd cleanup
}

# alone is the app without a helper.
alone() {
  local scheme='HKCU\Software\Classes\kith' auto='HKCU\Software\Microsoft\Windows\CurrentVersion\Run'
  (cd / && exec wine 'C:\Kith\kith-app.exe' --background) </dev/null >"$work/app.log" 2>&1 &
  pids="$pids $!"
  check "kith-app --background stays, without a window" within 60 runs 1 --background
  check "links of kith:// are this account's, by the app" within 60 says 'kith-app.exe" "%1"' registry "$scheme\\shell\\open\\command"
  check "its key says that it is a scheme" says 'URL Protocol' registry "$scheme"
  check "a second one ends" run kith-app --background
  check "a link ends too: the first took it" within 60 run kith-app kith://join/AAAA
  check "the window comes up" within 60 window
  check "it says that the service isn't running" within 60 shows "The background service isn't running."
  check "it offers to start it" within 60 shows 'Start"'
  check "it previews the link" within 60 shows 'kith://join/AAAA'
  check "a picture of it" within 60 picture link
  check "another link goes to the same window" run kith-app kith://join/BBBB
  check "which shows it" within 60 shows 'kith://join/BBBB'
  check "one window runs" within 60 runs 1 --window
  check "Cancel" within 60 click Cancel
  check "Settings" within 60 click Settings
  check "it does not start at login" lacks kith-app registry "$auto"
  check "Start Kith at login" within 60 click "Start Kith at login"
  check "the registry has it" within 60 says 'kith-app.exe" --background' registry "$auto"
  check "a picture of it" within 60 picture settings
  check "no more" within 60 click "Start Kith at login"
  check "the registry has it no more" within 60 lacks kith-app registry "$auto"
}

# service is kithd under Wine's service manager.
service() {
  check "kithd install" kithd install
  check "kithd status: stopped" says stopped kithd status
  check "kithd install again fails" exits 1 kithd install
  check "the app's Start" within 60 click Start
  hold '\\.\pipe\ProtectedPrefix\Administrators\kith'
  check "kithd status: running" within 60 says running kithd status
  check "kith status over the pipe" within 60 says 'in no network' kith status
  check "the caller's token lets it do all" says '"machine"' kith status --json
  check "the versions of both" says '^kithd ' kith version
  check "kith diag" says 'NRPT' kith diag
  check "kith create says that Wintun is missing" says 'no TUN device.*put wintun.dll beside' eval "kith create home --phrase-file 'C:\\Kith\\phrase' 2>&1 || true"
  check "with its code" says '"code":"no-tun"' eval "kith create home --json --phrase-file 'C:\\Kith\\phrase' 2>&1 || true"
  check "kithd lives on, in no network" says 'in no network' kith status
  check "the app knows: no networks yet" within 60 shows "No networks yet"
  check "and which version the service has" within 60 shows 'App dev · service'
  check "Devices" within 60 click Devices
  check "a picture of it" within 60 picture running
  check "kithd stop" kithd stop
  check "kithd status: stopped, again" within 60 says stopped kithd status
  check "kith status: unreachable" within 60 exits 3 kith status
  check "the app says so" within 60 shows "The background service isn't running."
  check "kithd uninstall" kithd uninstall
  check "kithd status: not installed" within 60 says 'not installed' kithd status
}

closing() {
  check "the window closes" wmctrl -c Kith
  check "its process ends" within 60 runs 0 --window
  check "the tray stays" within 60 runs 1 --background
  # A search looks at windows that may be going away, and fails then.
  check "a click on its icon" within 20 xdotool search --name '^Wine System Tray$' mousemove --window %1 10 10 click 1
  check "opens the window again" within 60 window
  check "and it closes again" within 60 closes
  check "the app complained of nothing" lacks 'panic\|Fyne error\|call thread' cat "$work/app.log"
}

built "$work/bin"
desktop
mkdir -p "$dir"
cp "$work"/bin/*.exe "$dir"
say "Under $(wine --version)"
commands
alone
service
closing
[ "$failed" -eq 0 ] || { say "--- the app's log"; tail -40 "$work/app.log"; }
say "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
