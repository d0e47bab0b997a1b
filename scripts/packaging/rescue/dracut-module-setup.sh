#!/bin/bash
# dracut module: lxc-pull and its rescue menu in the initramfs (dracut.modules(7)).

check() {
	require_binaries lxc-pull mount umount mkdir sleep sync cat || return 1
	return 0
}

depends() {
	echo network
}

install() {
	inst_multiple mount umount mkdir sleep sync cat
	inst "$(command -v lxc-pull)" /bin/lxc-pull
	inst /usr/share/lxc-pull/rescue /bin/lxc-pull-rescue
	# shellcheck disable=SC2154 # dracut sets moddir
	inst_hook pre-mount 90 "$moddir/lxc-pull.sh"
}
