package main

// rescue returns the files of the rescue menu, which are the same for every machine: the
// menu, and the hooks that put it and lxc-pull into an initramfs made by initramfs-tools
// or dracut, and into GRUB's boot menu.
func (s *source) rescue() (tree, error) {
	var t tree
	for _, f := range []struct {
		recipe, name string
		mode         int64
	}{
		{"menu", "usr/share/lxc-pull/rescue", 0o755},
		{"initramfs-hook", "usr/share/initramfs-tools/hooks/lxc-pull", 0o755},
		{"initramfs-script", "usr/share/initramfs-tools/scripts/init-premount/lxc-pull", 0o755},
		{"dracut-module-setup.sh", "usr/lib/dracut/modules.d/90lxc-pull/module-setup.sh", 0o755},
		{"dracut-pre-mount.sh", "usr/lib/dracut/modules.d/90lxc-pull/lxc-pull.sh", 0o755},
		{"grub-entry", "etc/grub.d/45_lxc-pull", 0o755},
	} {
		text, err := recipe("rescue/"+f.recipe, s.words())
		if err != nil {
			return nil, err
		}
		t.file(f.name, f.mode, text)
	}
	return t, nil
}

// rescueArchive makes the tar archive of the rescue menu for systems without Debian's
// packages. It is unpacked in the root directory.
func (s *source) rescueArchive() ([]product, error) {
	t, err := s.rescue()
	if err != nil {
		return nil, err
	}
	if err := s.licences(&t, "usr/share/doc/lxc-pull-rescue/"); err != nil {
		return nil, err
	}
	data, err := t.tarGzip(s.date)
	return []product{{"lxc-pull-" + s.version() + "-rescue.tar.gz", data}}, err
}
