#!/system/bin/sh
# Removes only the links that service.sh made.
for lxc in /data/data/com.termux/files/usr /data/lxc /data/lxc3 /data/share; do
	link=$lxc/share/lxc/templates/lxc-pull
	[ -L "$link" ] && [ "$(readlink "$link")" = /system/bin/lxc-pull ] && rm -f "$link"
done
exit 0
