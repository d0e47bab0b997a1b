#!/bin/bash
# Kills lxc-pull untar at random moments, and lets it run out of space. Neither may leave a
# tree that looks complete, and the next run must start without old files.
#
#   untar-crash.sh LXC-PULL ROOTFS.tar [KILLS]
#
# Needs root. Half of the KILLS (default 200) use a target that doesn't exist, the others
# an empty directory. The trees are made in E2E_DIR (default /var/tmp/lxc-pull-e2e). The
# exit status is 1 if something was wrong.
set -u -o pipefail
(($# >= 2)) || { echo "usage: untar-crash.sh LXC-PULL ROOTFS.tar [KILLS]" >&2; exit 2; }
((EUID == 0)) || { echo "untar-crash: needs root" >&2; exit 2; }
ours=$(realpath "$1") archive=$(realpath "$2") kills=${3:-200}
base=${E2E_DIR:-/var/tmp/lxc-pull-e2e}
mkdir -p "$base" && work=$(mktemp -d "$base/crash.XXXXXX") || exit
trap 'umount "$work/small" "$work/whole" "$work/empty/zz/mounted" 2>/dev/null; rm -rf "$work"' EXIT
failed=0
RANDOM=4 # nearly the same moments in every run

fail() { echo "FAIL $*"; failed=1; }
count() { find "$1" | wc -l; }

took=0
for _ in 1 2 3; do
  mkdir "$work/whole"
  start=${EPOCHREALTIME/./}
  "$ours" untar -C "$work/whole" "$archive" || exit
  now=$((${EPOCHREALTIME/./} - start))
  ((took > 0 && took < now)) || took=$now
  whole=$(count "$work/whole")
  rm -rf "$work/whole"
done
echo "a whole run takes $((took / 1000)) ms and leaves $whole entries"

for kind in absent empty; do
  early=0 late=0
  for ((i = 0; i < kills / 2; i++)); do
    dir=$work/$kind
    [[ $kind == absent || -d $dir ]] || mkdir "$dir"
    "$ours" untar -q -C "$dir" "$archive" &
    pid=$!
    moment=$(((RANDOM * 32768 + RANDOM) % (took + took / 20)))
    sleep "$(printf '%d.%06d' $((moment / 1000000)) $((moment % 1000000)))"
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
    looks_complete=no
    if [[ $kind == absent && -d $dir ]]; then looks_complete=yes; fi
    if [[ $kind == empty && ! -e $work/.empty.incomplete && -n $(ls -A "$dir") ]]; then looks_complete=yes; fi
    if [[ $looks_complete == yes ]]; then
      ((++late))
      [[ $(count "$dir") == "$whole" ]] || fail "$kind $i: looks complete and has $(count "$dir") entries"
      rm -rf "$dir" "$work"/.*.partial-*
      continue
    fi
    ((++early))
    # Only every tenth is run again to its end; the others leave their files.
    ((i % 10 == 0)) || continue
    "$ours" untar -q -C "$dir" "$archive" || fail "$kind $i: the next run failed"
    [[ $(count "$dir") == "$whole" ]] || fail "$kind $i: the next run left $(count "$dir") entries"
    [[ ! -e $work/.empty.incomplete ]] || fail "$kind $i: the marker is left"
    rm -rf "$dir" "$work"/.*.partial-*
  done
  rm -rf "$work/$kind" "$work"/.*.partial-* "$work"/.*.incomplete
  echo "$kind: killed $early times in the middle and $late times after the end"
done

# The next run removes nothing from the directory: it merges into the files that are
# there, and removes the marker of the interrupted run.
mkdir "$work/empty" "$work/precious"
echo precious >"$work/precious/file"
"$ours" untar -q -C "$work/empty" "$archive" &
pid=$!
sleep "$(printf '%d.%06d' $((took / 2000000)) $((took / 2 % 1000000)))"
kill -9 $pid
wait $pid 2>/dev/null
if [[ -e $work/.empty.incomplete ]]; then
  mkdir -p "$work/empty/zz/mounted"
  echo thesis >"$work/empty/zz/thesis"
  mount --bind "$work/precious" "$work/empty/zz/mounted" || exit
  "$ours" untar -C "$work/empty" "$archive" 2>"$work/said" || fail "merge: the next run failed: $(tail -1 "$work/said")"
  grep -q 'holds what an interrupted run left' "$work/said" || fail "merge: no warning"
  [[ $(<"$work/precious/file") == precious && $(<"$work/empty/zz/thesis") == thesis ]] || fail "merge: it removed files that it had not made"
  umount "$work/empty/zz/mounted"
  rm -r "$work/empty/zz"
  [[ $(count "$work/empty") == "$whole" && ! -e $work/.empty.incomplete ]] || fail "merge: left $(count "$work/empty") entries, $(ls -A "$work")"
  echo "merge: $(head -1 "$work/said" | cut -c1-160)"
else
  echo "merge: not tried, the run was over before it was killed"
fi
rm -rf "$work/empty"

# A disk that is 2 MB too small. The tree's size is measured on a tmpfs too, because on
# other file systems directories need blocks.
mkdir "$work/small" "$work/whole"
mount -t tmpfs -o mode=755 none "$work/whole" || exit
"$ours" untar -C "$work/whole" "$archive" || exit
need=$(du -s --block-size=1M "$work/whole" | cut -f1)
umount "$work/whole"
mount -t tmpfs -o "size=$((need - 2))m,mode=755" none "$work/small" || exit
for kind in absent empty; do
  dir=$work/small/$kind
  [[ $kind == absent ]] || mkdir "$dir"
  "$ours" untar -C "$dir" "$archive" 2>"$work/said"
  code=$?
  ((code == 6)) || fail "full disk, $kind: exit status $code: $(tail -1 "$work/said")"
  [[ $kind == empty || ! -e $dir ]] || fail "full disk: $dir is there"
  # In a directory that existed before, all files stay: the program can't distinguish
  # extracted files from files that somebody put there since.
  [[ $kind == absent || -n $(ls -A "$dir") ]] || fail "full disk: $dir was emptied"
  [[ $kind == absent ]] || grep -q 'what was extracted stays in' "$work/said" || fail "full disk: it doesn't say which files stay"
  left=$(find "$work/small" -mindepth 1 ! -path "$dir" ! -path "$dir/*" | head -3)
  [[ -z $left ]] || fail "full disk, $kind: left $left"
  echo "full disk, $kind: exit status $code, $(grep '^lxc-pull:' "$work/said" | cut -c1-160)"
  rm -rf "$dir"
done
((failed)) || echo "ok"
exit $failed
