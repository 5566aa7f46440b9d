#!/usr/bin/env bash
# [Allow me…] on a booted Debian machine with polkit's own daemon, pkexec and
# agents, as a part of "make e2e": who has an administrator's password typed may
# change the VPN then, others may not, and nothing but that comes of it. Each
# check prints a line; the last line counts them.
set -euo pipefail
bin=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
if [ "$(id -u)" -ne 0 ]; then
  echo "Booting machines needs root; sudo may ask for your password."
  exec sudo --preserve-env=XDG_CACHE_HOME,KITH_DEBIAN_MIRROR,GO "$0" "$bin"
fi
"$here/deps.sh" e2e
machines=(desk)
# shellcheck source=bed.sh
. "$here/bed.sh"
program=/usr/local/lib/kith/kith
password="an administrator's"

disk() {
  local root=$work/desk/root
  mkdir -p "$work/layers"/{upper,work} "$root"
  mount -t overlay overlay -o "lowerdir=$base-polkit:$base,upperdir=$work/layers/upper,workdir=$work/layers/work" "$root"
  echo desk >"$root/etc/hostname"
  printf '127.0.0.1 localhost desk\n::1 localhost\n' >"$root/etc/hosts"
  rm -f "$root/etc/machine-id" && : >"$root/etc/machine-id"
  ln -sf /dev/null "$root/etc/systemd/system/systemd-networkd.service"
  for user in anna bert dora; do chroot "$root" useradd -m "$user"; done
  chroot "$root" useradd -m -G sudo carl # Debian's polkit has the group sudo for administrators
  chroot "$root" chpasswd <<<"carl:$password"
  install -m 0755 "$bin/kithd" "$bin/kith" "$work/desktop.test" "$root/usr/local/bin/"
  mkdir -p "$root"/root/kith/{installer,assets/svg}
  cp -r "$here" "$root/root/kith/installer/"
  cp "$here/../../assets/svg/kith.svg" "$root/root/kith/assets/svg/"
}

as() { local user=$1; shift; on desk setpriv --reuid="$user" --regid="$user" --init-groups "$@"; }

# pkexec_as USER ARGUMENT...: pkexec wants a parent on its own machine.
pkexec_as() { local user=$1; shift; as "$user" sh -c 'pkexec --disable-internal-agent "$@"; exit $?' - "$@"; }

# asked USER WANT VARIABLE...: USER clicks [Allow me…], of which WANT has to come.
asked() {
  local user=$1 want=$2
  shift 2
  as "$user" env "KITH_WANT=$want" "$@" desktop.test -test.run '^TestAllowHere$' -test.timeout 50s
}

# typed USER WORDS WANT: the same, where polkit's agent for terminals asks, and
# WORDS are typed.
typed() {
  local user=$1 words=$2 want=$3 screen=$work/screen code=0
  : >"$screen"
  # The agent is the test's: exec keeps the number of the process.
  local session='
    rm -f "$HOME/ready"; mkfifo "$HOME/ready"
    pkttyagent --process $$ --notify-fd 9 9>"$HOME/ready" &
    cat "$HOME/ready"
    exec desktop.test -test.run "^TestAllowHere$" -test.timeout 50s'
  { within 40 grep -q 'Password:' "$screen" && printf '%s\n' "$words"; } |
    as "$user" env "HOME=/home/$user" "KITH_WANT=$want" "SESSION=$session" script -qefc 'sh -c "$SESSION"' /dev/null >"$screen" 2>&1 || code=$?
  cat "$screen"
  return "$code"
}

polkit() {
  check "desktop.sh install" on desk /root/kith/installer/linux/desktop.sh install /usr/local/bin
  check "polkit knows our action, and asks for an administrator" says 'implicit active: *auth_admin$' on desk pkaction --verbose --action-id internal.kith.allow
  check "the action names the program that root alone writes" says "exec.path -> $program" on desk pkaction --verbose --action-id internal.kith.allow
  check "nobody there to ask: the app shows the command in its place" asked anna "nobody to ask"
  check "a click on Cancel: declined; the question is our action's" asked anna declined KITH_AGENT=cancel
  check "a wrong password: refused" typed anna wrong refused
  check "anna may not act yet" exits 4 as anna kith down
  check "the right password: allowed" typed anna "$password" allowed
  check "anna may act now" as anna kith up
  check "she may do no more than that: name operators" exits 4 as anna kith operator add bert
  check "nobody else became an operator" test "$(on desk kith operator list)" = anna
}

# ruled has an administrator's own rules answer.
ruled() {
  on desk sh -c 'cat >/etc/polkit-1/rules.d/10-test.rules' <<'JS'
polkit.addRule(function(action, subject) {
  if (action.id == "internal.kith.allow" && subject.user == "bert") return polkit.Result.NO;
  if (action.id == "internal.kith.allow" && subject.user == "dora") return polkit.Result.YES;
});
JS
  check "a rule that says no to bert: refused" within 30 asked bert refused
  check "a rule that says yes to dora: allowed, nobody is asked" within 30 asked dora allowed
  check "dora may act" as dora kith up
  check "with the same leave dora runs nothing else as root" exits 127 pkexec_as dora "$program" operator add bert
  check "nor another program by that name" exits 127 pkexec_as dora /usr/local/bin/kith allow-me
  check "nor with more arguments" exits 2 pkexec_as dora "$program" allow-me --socket /tmp/x
}

# second is what bert sees of the network that anna acts on.
second() {
  check "bert: kith status shows the network" says home as bert kith status
  check "anna: kith down" as anna kith down
  check "bert: sees that" says '"state": *"off"' as bert kith status --json
  check "bert: may not connect" exits 4 as bert kith up
  check "bert: nor invite" exits 4 as bert kith invite
  check "bert: nor read who may" exits 4 as bert kith operator list
  check "anna: her right is taken back" on desk kith operator remove anna
  check "anna: may not act any more" exits 4 as anna kith up
}

removing() {
  check "desktop.sh remove" on desk /root/kith/installer/linux/desktop.sh remove
  check "no action any more" exits 1 on desk pkaction --action-id internal.kith.allow
  check "no program any more" exits 1 on desk test -e "$program"
}

(cd "$here/../.." && CGO_ENABLED=0 "${GO:-go}" test -c -tags booted -o "$work/desktop.test" ./app/internal/desktop)
tree
layer polkit "$base" polkitd pkexec
mkdir -p "$work/layers" "$work/desk"
mount -t tmpfs -o size=1g tmpfs "$work/layers"
ip netns add "${tag}desk"
ip -n "${tag}desk" link set lo up
disk
boot desk
up desk
on desk kithd install
on desk kithd start
check "the helper answers" within 60 on desk kith status
on desk kith create home --phrase-file /root/phrase >/dev/null
polkit
ruled
second
removing
if [ "$failed" -ne 0 ]; then
  say "--- polkit's log"
  on desk journalctl -u polkit -o cat --no-pager 2>/dev/null | tail -30 || true
fi
say "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
