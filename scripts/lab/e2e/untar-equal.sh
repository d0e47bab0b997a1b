#!/bin/bash
# Extracts a root file system with GNU tar, called as the stock template calls it,
# and with lxc-pull untar, and compares the trees entry by entry: as root, in a
# user namespace through lxc-usernsexec, and as an ordinary user (owners apart).
#
#   untar-equal.sh LXC-PULL ROOTFS.tar[.xz]
#
# Needs root, lxc-usernsexec and uidmap, and a disk that keeps attributes at
# E2E_DIR (default /var/tmp/lxc-pull-e2e). scripts/lab/e2e/make-rootfs makes an
# archive with one of everything. Prints "ok NAME" or "FAIL NAME: why".
set -u -o pipefail
(($# == 2)) || { echo "usage: untar-equal.sh LXC-PULL ROOTFS.tar" >&2; exit 2; }
((EUID == 0)) || { echo "untar-equal: needs root" >&2; exit 2; }
ours=$(realpath "$1") archive=$(realpath "$2") here=$(realpath "$(dirname "$0")")
user=lxc-pull-untar base=${E2E_DIR:-/var/tmp/lxc-pull-e2e}
mkdir -p "$base" && work=$(mktemp -d "$base/equal.XXXXXX") || exit
chmod 755 "$base" "$work"
trap 'rm -rf "$work"; userdel -f "$user" 2>/dev/null' EXIT
PATH=$PATH:/usr/sbin:/sbin
failed=0

"$here/programs" "$work" lab/e2e/manifest || exit
install -m 755 "$ours" "$work/lxc-pull"
case $archive in
*.xz) xz -dc "$archive" >"$work/rootfs.tar" || exit ;;
*) cp "$archive" "$work/rootfs.tar" || exit ;;
esac
chmod 644 "$work/rootfs.tar"

# The device nodes, as excludes-user in an image's metadata lists them.
tar -tvf "$work/rootfs.tar" --quoting-style=literal | awk '/^[bc]/ {print $NF}' >"$work/devices"

report() { # NAME WHY
  if [[ -z $2 ]]; then echo "ok $1"; else echo "FAIL $1: $2"; failed=1; fi
}

same() { # NAME: compares $work/gnu and $work/ours
  "$work/manifest" "$work/gnu" >"$work/gnu.list" && "$work/manifest" "$work/ours" >"$work/ours.list" || { report "$1" "no manifest"; return; }
  if diff "$work/gnu.list" "$work/ours.list" >"$work/diff"; then
    report "$1 ($(wc -l <"$work/ours.list") entries)" ""
  else
    report "$1" "$(grep -c '^[<>]' "$work/diff") lines differ: $(head -3 "$work/diff")"
  fi
  rm -rf "$work/gnu" "$work/ours"
}

gnu=(tar --anchored --numeric-owner '--xattrs-include=*' -xpf "$work/rootfs.tar")

mkdir "$work/gnu" "$work/ours"
"${gnu[@]}" -C "$work/gnu" 2>/dev/null
"$work/lxc-pull" untar -C "$work/ours" "$work/rootfs.tar" || report root "exit status $?"
same root

mkdir "$work/ours"
"$work/lxc-pull" untar --strict -C "$work/ours" "$work/rootfs.tar" || report strict "exit status $?"
mkdir "$work/gnu"
"${gnu[@]}" -C "$work/gnu" 2>/dev/null
same strict

useradd --create-home --shell /bin/sh "$user" || exit
sub=$(awk -F: -v u="$user" '$1 == u {print $2; exit}' /etc/subuid)
subg=$(awk -F: -v u="$user" '$1 == u {print $2; exit}' /etc/subgid)
if [[ -z $sub || -z $subg ]]; then
  report userns "no subordinate IDs for $user"
else
  mkdir "$work/gnu" "$work/ours"
  chown "$sub:$subg" "$work/gnu" "$work/ours"
  inside() { su "$user" -c "cd / && exec lxc-usernsexec -m u:0:$sub:65536 -m g:0:$subg:65536 -- $(printf '%q ' "$@")"; }
  inside "${gnu[@]:0:4}" --exclude-from="$work/devices" "${gnu[@]:4}" -C "$work/gnu" 2>/dev/null
  inside "$work/lxc-pull" untar -C "$work/ours" --exclude-from="$work/devices" "$work/rootfs.tar" || report userns "exit status $?"
  same userns

  # Without excludes, devices are skipped with a warning.
  mkdir "$work/ours" && chown "$sub:$subg" "$work/ours"
  if inside "$work/lxc-pull" untar -C "$work/ours" "$work/rootfs.tar" 2>"$work/said"; then
    n=$(wc -l <"$work/devices") why=
    ((n == 0)) || grep -q "^warning: .*$n device nodes\? skipped: user namespace" "$work/said" || why="it said $(cat "$work/said")"
    report "userns-devices ($n skipped)" "$why"
  else
    report userns-devices "exit status $?"
  fi
  rm -rf "$work/ours"
fi

# As an ordinary user: everything must be equal except for owners and set-ID bits.
mkdir "$work/gnu" "$work/ours"
chown "$user" "$work/gnu" "$work/ours"
as() { su "$user" -c "cd / && exec $(printf '%q ' "$@")"; }
as "${gnu[@]:0:4}" --exclude-from="$work/devices" "${gnu[@]:4}" -C "$work/gnu" 2>/dev/null
as "$work/lxc-pull" untar -C "$work/ours" "$work/rootfs.tar" 2>"$work/said" || report user "exit status $?"
# If the owner isn't kept, ours drops set-ID bits; GNU tar keeps them, which gives
# everyone the caller's rights.
find "$work/gnu" -type f -perm /6000 -exec chmod a-s {} +
find "$work/ours" -type f -perm /6000 -exec chmod a-s {} +
same user
exit $failed
