#!/system/bin/sh
# Runs when the module is installed, and at every start, so that an LXC that
# comes later is found too: puts the template where it looks. What is there
# already is left alone.
for lxc in /data/data/com.termux/files/usr /data/lxc /data/lxc3 /data/share; do
	templates=$lxc/share/lxc/templates
	[ -d "$templates" ] || continue
	[ -e "$templates/lxc-pull" ] || [ -L "$templates/lxc-pull" ] || ln -s /system/bin/lxc-pull "$templates/lxc-pull"
done
exit 0
