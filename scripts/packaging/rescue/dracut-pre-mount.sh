#!/bin/sh
# dracut hook: runs the rescue menu where the kernel's command line asks for it,
# before the root is mounted. The network needs rd.neednet=1 ip=dhcp there too.
case $(cat /proc/cmdline) in
*lxc-pull.rescue* | *lxc-pull.disk=* | *lxc-pull.image=*)
	# With systemd in the initramfs the hook's standard input is closed.
	lxc-pull-rescue --boot </dev/console >/dev/console 2>&1 ||
		emergency_shell -n lxc-pull "the root file system was not installed; try: lxc-pull-rescue"
	;;
esac
