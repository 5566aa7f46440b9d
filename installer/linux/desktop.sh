#!/usr/bin/env bash
# Makes the desktop know the app: "desktop.sh install BIN" registers the links
# and the icon for this user and, as root or by sudo, the polkit action with the
# program that it runs; "desktop.sh remove" undoes all of that. It changes only
# what differs. KITH_NO_POLKIT=1 leaves root's files out.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
data=${XDG_DATA_HOME:-$HOME/.local/share}
entry=$data/applications/kith.desktop
icon=$data/icons/hicolor/scalable/apps/kith.svg
policy=/usr/share/polkit-1/actions/internal.kith.allow.policy
# Root's own copy: what polkit lets run as root must not lie where others write.
program=/usr/local/lib/kith/kith

sudo=""
if [ "$(id -u)" -ne 0 ]; then sudo=sudo; fi

# put FILE: standard input to a file of this user's, if it differs.
put() {
  mkdir -p "$(dirname "$1")"
  local new
  new=$(mktemp "$1.XXXXXX")
  cat >"$new"
  if cmp -s "$new" "$1"; then rm -f "$new"; return 1; fi
  chmod 0644 "$new"
  mv "$new" "$1"
}

refresh() {
  if command -v update-desktop-database >/dev/null; then update-desktop-database -q "$data/applications" || true; fi
}

case "${1:-}" in
install)
  bin=$(cd "$2" && pwd)
  # The Exec key quotes twice: once for the argument, once for the string.
  exec=$(printf '%s' "$bin/kith-app" | sed -e 's/[\\"`$]/\\\\&/g' -e 's/%/%%/g')
  # xdg-open without a desktop knows no quotes, so they stand only where needed.
  case "$bin" in *[!A-Za-z0-9/._+-]*) exec="\"$exec\"" ;; esac
  escaped=$(printf '%s' "$exec" | sed -e 's/[\\&|]/\\&/g')
  if sed "s|^Exec=kith-app|Exec=$escaped|" "$here/kith.desktop" | put "$entry"; then refresh; fi
  put "$icon" <"$here/../../assets/svg/kith.svg" || true
  if [ -d "${policy%/*}" ] && [ -z "${KITH_NO_POLKIT:-}" ]; then
    want=$(mktemp)
    trap 'rm -f "$want"' EXIT
    sed "s|/usr/bin/kith|$program|" "$here/internal.kith.allow.policy" >"$want"
    cmp -s "$want" "$policy" || $sudo install -D -m 0644 -o root -g root "$want" "$policy"
    cmp -s "$bin/kith" "$program" || $sudo install -D -m 0755 -o root -g root "$bin/kith" "$program"
  fi
  ;;
remove)
  rm -f "$entry" "$icon"
  refresh
  if [ -e "$policy" ] || [ -e "$program" ]; then
    $sudo rm -f "$policy" "$program"
    $sudo rmdir "${program%/*}" 2>/dev/null || true
  fi
  ;;
*) echo "usage: desktop.sh install BIN | remove" >&2; exit 2 ;;
esac
