#!/system/bin/sh
# Runs when the module is installed and at every boot, so that it finds an LXC that is
# installed later. It links the template into LXC's template directories, and doesn't
# change files that exist already.
for lxc in /data/data/com.termux/files/usr /data/lxc /data/lxc3 /data/share; do
	templates=$lxc/share/lxc/templates
	[ -d "$templates" ] || continue
	[ -e "$templates/lxc-pull" ] || [ -L "$templates/lxc-pull" ] || ln -s /system/bin/lxc-pull "$templates/lxc-pull"
done
exit 0
