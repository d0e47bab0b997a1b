#!/bin/sh
# dracut hook: runs the rescue menu if the kernel's command line asks for it, before the
# root file system is mounted. For the network the command line also needs
# rd.neednet=1 ip=dhcp.
case $(cat /proc/cmdline) in
*lxc-pull.rescue* | *lxc-pull.disk=* | *lxc-pull.image=*)
	# With systemd in the initramfs the hook's standard input is closed.
	lxc-pull-rescue --boot </dev/console >/dev/console 2>&1 ||
		emergency_shell -n lxc-pull "the root file system was not installed; try: lxc-pull-rescue"
	;;
esac
