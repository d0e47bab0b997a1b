# shellcheck shell=sh
# Sourced by the module installers of Magisk, KernelSU and APatch, which unpack
# the zip to $MODPATH and set $ARCH. It keeps only the program for this phone.

case $ARCH in
arm64 | arm) ;;
*) abort "! lxc-pull has no program for $ARCH in this zip" ;;
esac

mkdir -p "$MODPATH/system/bin"
mv "$MODPATH/bin/lxc-pull-$ARCH" "$MODPATH/system/bin/lxc-pull" || abort "! the zip has no program for $ARCH"
rm -rf "${MODPATH:?}/bin"
set_perm "$MODPATH/system/bin/lxc-pull" 0 2000 0755
set_perm "$MODPATH/service.sh" 0 0 0755
set_perm "$MODPATH/uninstall.sh" 0 0 0755

"$MODPATH/system/bin/lxc-pull" version || abort "! the program does not run on this phone"
sh "$MODPATH/service.sh"
ui_print "- lxc-pull is in /system/bin after the next boot"
