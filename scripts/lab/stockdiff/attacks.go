package main

import (
	"archive/tar"
	"fmt"
	"path"
	"strings"
)

// waysTo returns texts of links that lead from a directory in the rootfs to a path of the
// host.
func waysTo(target string) []string {
	return []string{
		target,
		"../../../.." + target,
		strings.Repeat("../", 40) + target[1:],
		"/../../../.." + target,
		"/proc/self/root" + target,
		"/proc/1/root" + target,
		"/proc/self/cwd/canary/" + path.Base(target),
		"../../../../canary/" + path.Base(target),
		"../../../canary/" + path.Base(target),
		"../../../../lxc/../canary/" + path.Base(target),
		"//" + target,
		"./../../../../canary/./" + path.Base(target),
	}
}

// templateAttacks have entries in templates that lead out of the rootfs, or to files that
// must not be opened.
func templateAttacks(canary string) []attack {
	templates := func(lines ...string) []member { return []member{mFile("templates", strings.Join(lines, "\n")+"\n")} }
	etc := mDir("./etc/", 0o755)
	var list []attack
	for _, to := range waysTo(canary + "/file") {
		list = append(list,
			attack{name: "templates: a link to " + to, rootfs: []member{etc, mLink("./etc/x", to)}, meta: templates("/etc/x"), want: created},
			attack{name: "templates: a chain of links to " + to, rootfs: []member{etc, mLink("./etc/x", "y"), mLink("./etc/y", "/etc/z"), mLink("./etc/z", to)}, meta: templates("/etc/x"), want: created})
	}
	for _, to := range waysTo(canary + "/dir") {
		list = append(list,
			attack{name: "templates: below a link to " + to, rootfs: []member{mLink("./etc", to)}, meta: templates("/etc/file"), want: created},
			attack{name: "templates: between, a link to " + to, rootfs: []member{etc, mDir("./etc/a", 0o755), mLink("./etc/a/b", to)}, meta: templates("/etc/a/b/file", "/etc/a/b/../file"), want: created})
	}
	for _, line := range []string{
		"../canary/file", "../../../canary/file", "/../../../canary/file", "/usr/../../../../canary/file", canary + "/file", "../keep", "../config", "..",
		"usr/../../keep", strings.Repeat("../", 60) + canary[1:] + "/file", "/usr/hostname/../../../keep", "./../keep", "\x1b[31m", "a\x00b", "LXC_PATH/keep", "LXC_ROOTFS/../keep",
		strings.Repeat("a/", 5000), strings.Repeat("n", 10000), "~/keep", "$HOME/keep", "`id`", "*", "/usr/*", "../*",
	} {
		list = append(list, attack{name: fmt.Sprintf("templates: the line %.60q", line), meta: templates(line), want: created})
	}
	list = append(list,
		attack{name: "templates: a loop", rootfs: []member{etc, mLink("./etc/x", "x"), mLink("./etc/y", "z"), mLink("./etc/z", "y")}, meta: templates("/etc/x", "/etc/y", "/etc/x/y"), want: created},
		attack{name: "templates: links that double", rootfs: doublingLinks(), meta: templates("/l60"), want: created},
		attack{name: "templates: a FIFO", rootfs: []member{mNode("./fifo", tar.TypeFifo, 0, 0), mLink("./link", "fifo")}, meta: templates("/fifo", "/link"), want: created},
		attack{name: "templates: a FIFO of the host", rootfs: []member{mLink("./link", "../../../canary/fifo")}, meta: templates("/link"), want: created},
		attack{name: "templates: devices", rootfs: []member{mNode("./null", tar.TypeChar, 1, 3), mNode("./zero", tar.TypeChar, 1, 5), mNode("./tty", tar.TypeChar, 5, 0), mNode("./disk", tar.TypeBlock, 254, 0), mLink("./link", "zero")},
			meta: templates("/null", "/zero", "/tty", "/disk", "/link"), want: created},
		attack{name: "templates: a hole of 8 EiB", rootfs: []member{mPAX('x', "GNU.sparse.major", "1"), mRaw("./huge", '0', "", "0000000\x00", "00000001000\x00", "1\n9223372036854775807\n0\n")}, meta: templates("/huge"), want: refused},
		attack{name: "templates: a file of 1 TiB of holes", rootfs: []member{sparse10("./huge", 1<<40)}, meta: templates("/huge"), want: either},
		attack{name: "templates: absolute and relative links inside are followed", rootfs: []member{etc, mLink("./etc/a", "/usr/hostname"), mLink("./etc/b", "../usr/hostname")}, meta: templates("/etc/a"), want: created,
			inRootfs: map[string]string{"usr/hostname": "web"}},
		attack{name: "templates: a directory's link inside is followed", rootfs: []member{mLink("./etc", "/usr")}, meta: templates("/etc/hostname"), want: created, inRootfs: map[string]string{"usr/hostname": "web"}},
		attack{name: "templates: very many lines", meta: templates(strings.Repeat("/usr/hostname\n", 50000)), want: either},
	)
	return list
}

// doublingLinks returns links that each pass through the previous link twice.
func doublingLinks() []member {
	members := []member{mDir("./d", 0o755), mLink("./l0", "d")}
	for i := range 60 {
		members = append(members, mLink(fmt.Sprintf("./l%d", i+1), fmt.Sprintf("l%d/../l%d", i, i)))
	}
	return members
}

// sparse10 returns a sparse file (PAX format 1.0) that is one hole.
func sparse10(name string, size int64) member {
	record := func(key, value string) string {
		text := " " + key + "=" + value + "\n"
		n := len(text) + 2
		if n > 99 {
			n++
		}
		return fmt.Sprint(n) + text
	}
	records := record("GNU.sparse.major", "1") + record("GNU.sparse.minor", "0") + record("GNU.sparse.name", name) + record("GNU.sparse.realsize", fmt.Sprint(size))
	x := mRaw("pax", 'x', "", "0000000\x00", fmt.Sprintf("%011o\x00", len(records)), records)
	body := fmt.Sprintf("1\n%d\n0\n", size)
	f := mRaw("sparse", '0', "", "0000000\x00", "00000001000\x00", body)
	return member{raw: append(x.raw, f.raw...)}
}

// dirAttacks use the paths that a creation itself changes: dev/pts and etc/init/tty.conf.
func dirAttacks(canary string) []attack {
	var list []attack
	for _, to := range waysTo(canary + "/empty") {
		list = append(list,
			attack{name: "dev is a link to " + to, rootfs: []member{mLink("./dev", to)}, want: created},
			attack{name: "dev/pts is a link to " + to, rootfs: []member{mDir("./dev", 0o755), mLink("./dev/pts", to)}, want: created},
			attack{name: "dev/pts is a link below " + to, rootfs: []member{mDir("./dev", 0o755), mLink("./dev/pts", to+"/new/directory")}, want: created})
	}
	for _, to := range waysTo(canary + "/etc") {
		list = append(list,
			attack{name: "etc is a link to " + to, rootfs: []member{mLink("./etc", to)}, want: created},
			attack{name: "etc/init is a link to " + to, rootfs: []member{mDir("./etc", 0o755), mLink("./etc/init", to+"/init")}, want: created},
			attack{name: "etc/init/tty.conf is a link to " + to, rootfs: []member{mDir("./etc", 0o755), mDir("./etc/init", 0o755), mLink("./etc/init/tty.conf", to+"/init/tty.conf")}, want: created})
	}
	init := []member{mDir("./etc", 0o755), mDir("./etc/init", 0o755)}
	return append(list,
		attack{name: "dev is a link inside", rootfs: []member{mLink("./dev", "usr")}, want: created, inRootfs: map[string]string{"usr/pts": "/"}},
		attack{name: "dev is an absolute link inside", rootfs: []member{mLink("./dev", "/usr")}, want: created, inRootfs: map[string]string{"usr/pts": "/"}},
		attack{name: "dev is a loop", rootfs: []member{mLink("./dev", "dev")}},
		attack{name: "dev is a file", rootfs: []member{mFile("./dev", "x")}},
		attack{name: "dev is a FIFO", rootfs: []member{mNode("./dev", tar.TypeFifo, 0, 0)}},
		attack{name: "dev/pts is a file", rootfs: []member{mDir("./dev", 0o755), mFile("./dev/pts", "x")}},
		attack{name: "dev/pts is a FIFO", rootfs: []member{mDir("./dev", 0o755), mNode("./dev/pts", tar.TypeFifo, 0, 0)}},
		attack{name: "dev dangles", rootfs: []member{mLink("./dev", "nowhere/at/all")}},
		attack{name: "tty.conf is a FIFO", rootfs: append(init, mNode("./etc/init/tty.conf", tar.TypeFifo, 0, 0)), want: created},
		attack{name: "tty.conf is a device", rootfs: append(init, mNode("./etc/init/tty.conf", tar.TypeChar, 1, 5)), want: created},
		attack{name: "tty.conf is a directory", rootfs: append(init, mDir("./etc/init/tty.conf", 0o755)), want: created},
		attack{name: "tty.conf is a link inside", rootfs: append(init, mLink("./etc/init/tty.conf", "/usr/tty.conf")), want: created, inRootfs: map[string]string{"usr/tty.conf": "mingetty --nohangup"}},
		attack{name: "etc is a file", rootfs: []member{mFile("./etc", "x")}, want: created},
	)
}

// archiveAttacks are attacks that succeeded against other extractors.
func archiveAttacks(canary string) []attack {
	up := "../../../canary"
	size0 := "00000000000\x00"
	root := "0000000\x00"
	return []attack{
		{name: "archive: a name with ..", rootfs: []member{mFile("../keep2", "x")}, want: refused},
		{name: "archive: .. within a name", rootfs: []member{mFile("./usr/../../keep", "x")}, want: refused},
		{name: "archive: .. at the end", rootfs: []member{mDir("./usr/..", 0o777)}, want: refused},
		{name: "archive: .. to the canary", rootfs: []member{mFile(up+"/file", "x")}, want: refused},
		{name: "archive: an absolute name", rootfs: []member{mFile(canary+"/file", "x")}},
		{name: "archive: .. in a PAX path", rootfs: []member{mPAX('x', "path", up+"/file"), mRaw("x", '0', "", root, "00000000001\x00", "x")}, want: refused},
		{name: "archive: .. in a global path", rootfs: []member{mPAX('g', "path", up+"/file"), mRaw("x", '0', "", root, "00000000001\x00", "x")}, want: refused},
		{name: "archive: .. in a GNU long name", rootfs: []member{mRaw("././@LongLink", 'L', "", root, fmt.Sprintf("%011o\x00", len(up)+6), up+"/file\x00"), mRaw("x", '0', "", root, "00000000001\x00", "x")}, want: refused},
		{name: "archive: .. in a sparse name", rootfs: []member{sparse10("../../../canary/new", 100)}, want: refused},
		{name: "archive: a NUL in a PAX path", rootfs: []member{mPAX('x', "path", "a\x00/../x"), mRaw("x", '0', "", root, size0, "")}, want: refused},
		{name: "archive: written through a link", rootfs: []member{mLink("./l", canary), mFile("./l/file", "x")}, want: refused},
		{name: "archive: written through a relative link", rootfs: []member{mLink("./l", up), mFile("./l/file", "x")}, want: refused},
		{name: "archive: written through a chain", rootfs: []member{mLink("./a", ".."), mLink("./b", "a/.."), mLink("./c", "b/../canary"), mFile("./c/file", "x")}, want: refused},
		{name: "archive: a directory made through a link", rootfs: []member{mLink("./l", up), mDir("./l/new", 0o777)}, want: refused},
		{name: "archive: a file over a link", rootfs: []member{mLink("./l", up+"/file"), mFile("./l", "x")}, want: created, inRootfs: map[string]string{"l": "x"}},
		{name: "archive: a directory over a link", rootfs: []member{mLink("./l", up), mDir("./l", 0o777), mFile("./l/file", "x")}, want: created, inRootfs: map[string]string{"l/file": "x"}},
		{name: "archive: a link over a directory in use", rootfs: []member{mDir("./d", 0o755), mLink("./d", up), mFile("./d/file", "x")}, want: refused},
		{name: "archive: a link in place of a directory, its mode late", rootfs: []member{mDir("./d", 0o777), mFile("./d/x", "x"), mLink("./e", up+"/dir"), mDir("./e", 0o1777), mLink("./e", up+"/dir")}},
		{name: "archive: the root is a link", rootfs: []member{mLink("./", up)}, noBase: true, want: refused},
		{name: "archive: the root becomes a link", rootfs: []member{mLink("./", up), mFile("./file", "x")}, want: refused},
		{name: "archive: a hard link to the host", rootfs: []member{mHard("./h", canary+"/file")}, want: refused},
		{name: "archive: a hard link with ..", rootfs: []member{mHard("./h", up+"/file")}, want: refused},
		{name: "archive: a hard link through a link", rootfs: []member{mLink("./l", up), mHard("./h", "./l/file"), mFile("./h", "x")}, want: refused},
		{name: "archive: a hard link to a link, rewritten", rootfs: []member{mLink("./l", up+"/file"), mHard("./h", "./l")}, meta: []member{mFile("templates", "/h\n")}, want: created},
		{name: "archive: a hard link to a link, written over", rootfs: []member{mLink("./l", up+"/file"), mHard("./h", "./l"), mFile("./h", "x")}, want: created},
		{name: "archive: a hard link to what is not there", rootfs: []member{mHard("./h", "./none")}, want: refused},
		{name: "archive: owner 2^32-1", rootfs: []member{mRaw("x", '0', "", "\x80\x00\x00\x00\xff\xff\xff\xff", size0, "")}, want: refused},
		{name: "archive: owner 2^32", rootfs: []member{mPAX('x', "uid", "4294967296"), mRaw("x", '0', "", root, size0, "")}, want: refused},
		{name: "archive: a negative size", rootfs: []member{mRaw("x", '0', "", root, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "")}, want: refused},
		{name: "archive: a size beyond the end", rootfs: []member{mRaw("x", '0', "", root, "77777777777\x00", "short")}, want: refused},
		{name: "archive: a link with a body", rootfs: []member{mRaw("x", '2', "usr", root, "00000001000\x00", strings.Repeat("x", 512))}, want: refused},
		{name: "archive: a size in PAX and another in ustar", rootfs: []member{mPAX('x', "size", "512"), mRaw("x", '0', "", root, size0, string(mRaw(up+"/new", '0', "", root, size0, "").raw))}},
		{name: "archive: an unknown type", rootfs: []member{mRaw("x", 'Z', "", root, size0, "")}, want: refused},
		{name: "archive: a device number too large", rootfs: []member{mNode("./n", tar.TypeChar, 2097151, 3)}, want: refused},
		{name: "archive: a name that steers", rootfs: []member{mDir("./esc\x1b[31m\r\b", 0o755), mFile("./esc\x1b[31m\r\b/../x", "x")}, want: refused},
		{name: "archive: a link target that steers", rootfs: []member{mHard("./h", "./\x1b]0;title\x07")}, want: refused},
		{name: "archive: a deep tree", rootfs: []member{mDir(strings.Repeat("d/", 20000), 0o755)}, want: refused},
		{name: "archive: a name of 1 MiB", rootfs: []member{mFile(strings.Repeat("n", 1<<20-100), "x")}, want: refused},
		{name: "archive: overlay and security xattrs", rootfs: []member{{Header: tar.Header{Typeflag: tar.TypeReg, Name: "./x", Mode: 0o644, PAXRecords: map[string]string{
			"SCHILY.xattr.trusted.overlay.redirect": "/../../..", "SCHILY.xattr.user.overlay.opaque": "y", "SCHILY.xattr.security.ima": "x"}}}}, want: created},
		{name: "archive: a system time far off", rootfs: []member{{Header: tar.Header{Typeflag: tar.TypeReg, Name: "./x", Mode: 0o644, PAXRecords: map[string]string{"comment": "\x1b"}}}}, want: created},
		{name: "archive: nothing in it", noBase: true, want: refused},
		{name: "archive: set-id bits on the root", rootfs: []member{mDir("./", 0o6777)}, want: created},
		{name: "archive: excluded by a pattern that leads on", rootfs: []member{mFile("./x", "x")}, meta: []member{mFile("excludes", strings.Repeat("*a", 2000)+"\n"+strings.Repeat("[", 5000)+"\n--checkpoint-action=exec=sh\n-C /\n")}, want: created},
	}
}

// metaAttacks have metadata archives with other members than regular files.
func metaAttacks(canary string) []attack {
	config := mFile("config", "lxc.arch = x86_64\n")
	up := "../../../../../../../canary"
	var list []attack
	for _, name := range []string{"config", "fstab", "templates", "excludes", "expiry", "create-message", "config-user", "config.7", "other"} {
		for _, m := range []member{mLink(name, canary+"/file"), mLink(name, up+"/file"), mHard(name, canary+"/file"), mHard(name, up+"/file"),
			mNode(name, tar.TypeFifo, 0, 0), mNode(name, tar.TypeChar, 1, 5), mDir(name, 0o777)} {
			members := []member{config, m}
			if name == "config" {
				members = []member{m}
			}
			list = append(list, attack{name: fmt.Sprintf("metadata: %s of type %c to %q", name, m.Typeflag, m.Linkname), meta: members, want: refused})
		}
	}
	for _, name := range []string{"rootfs.tar.xz", "meta.tar.xz", "build_id", ".lxc-pull", ".lxc-pull/SHA256SUMS", "SHA256SUMS", "rootfs.tar.xz.asc", "sub/config", "../keep", "../../../../keep", up + "/file",
		canary + "/file", "./../keep", "..", "a/../../keep", "./sub/x"} {
		want := refused
		if name == "SHA256SUMS" || name == "meta.tar.xz" || name == "rootfs.tar.xz.asc" {
			want = either
		}
		list = append(list, attack{name: "metadata: a file named " + name, meta: []member{config, mFile(name, "evil\n")}, want: want})
	}
	big := strings.Repeat("# much\n", 1<<20)
	many := []member{config}
	for i := range 3000 {
		many = append(many, mFile(fmt.Sprintf("f%d", i), "x"))
	}
	return append(list,
		attack{name: "metadata: a link and a file through it", meta: []member{config, mLink("d", canary), mFile("d/file", "x")}, want: refused},
		attack{name: "metadata: a link and a file over it", meta: []member{config, mLink("fstab", canary+"/file"), mFile("fstab", "# x\n")}, want: refused},
		attack{name: "metadata: hard links among its own", meta: []member{config, mHard("fstab", "config")}, want: refused},
		attack{name: "metadata: config twice", meta: []member{config, mFile("config", "lxc.arch = x86_64\nlxc.hook.pre-start = /bin/sh\n")}, want: refused},
		attack{name: "metadata: config and ./config", meta: []member{config, mFile("./config", "lxc.hook.pre-start = /bin/sh\n")}, want: refused},
		attack{name: "metadata: a huge file", meta: []member{config, mFile("fstab", big)}, want: refused},
		attack{name: "metadata: a huge hole", meta: []member{config, sparse10("fstab", 1<<45)}, want: refused},
		attack{name: "metadata: very many files", meta: many},
		attack{name: "metadata: a name that steers", meta: []member{config, mFile("esc\x1b[31m/x", "x")}, want: refused},
		attack{name: "metadata: no archive", metaRaw: []byte("<html>login here \x1b[31m</html>"), want: refused},
		attack{name: "metadata: nothing", metaRaw: []byte{}, want: refused},
		attack{name: "metadata: no config", meta: []member{mFile("xconfig", "")}, want: refused},
		attack{name: "metadata: in ./ form", meta: []member{mDir("./", 0o755), mFile("./config", "lxc.arch = x86_64\n")}, want: created},
	)
}

// configAttacks have lines in config and fstab that would give the image access to the host
// when the container starts, in every spelling that LXC's parser accepts.
func configAttacks(canary string) []attack {
	var list []attack
	for _, line := range []string{
		"lxc.hook.pre-start = /bin/sh -c id", "lxc.hook.pre-start=/bin/sh", "\t lxc.hook.pre-start\t=\t/bin/sh\t", "lxc.hook.pre-start = '/bin/sh'", "lxc.hook.pre-start = \"/bin/sh\"",
		"lxc.hook.autodev = LXC_ROOTFS/x", "lxc.hook.start-host = LXC_HOOK_DIR/../x", "lxc.hook.start-host = LXC_HOOK_DIR/./../../x", "lxc.hook.clone = LXC_HOOK_DIR/clonehostname; id",
		"lxc.hook.clone = LXC_HOOK_DIR/clonehostname\tx; id", "lxc.hook.clone = LXC_HOOK_DIR/$(id)", "lxc.hook.clone = LXC_HOOK_DIR/clonehostname\r", "lxc.hook.clone = LXC_HOOK_DIR", "lxc.hook.clone = LXC_HOOK_DIR/",
		"lxc.hook.mount = LXC_PATH/rootfs/x", "lxc.hook.destroy = " + canary + "/file", "lxc.hook = /bin/sh", "lxc.hook.post-stop = LXC_TEMPLATE_CONFIG/x",
		"lxc.include = " + canary + "/x.conf", "lxc.include = " + canary, "lxc.include = LXC_ROOTFS/etc/x.conf", "lxc.include = LXC_TEMPLATE_CONFIG/../../../../" + canary + "/x.conf", "lxc.include = LXC_PATH/keep",
		"lxc.include = ../keep", "lxc.include=/etc", "lxc.include = LXC_TEMPLATE_CONFIG/no-such.conf", "lxc.include = LXC_TEMPLATE_CONFIG/common.conf\rx", "lxc.include = LXC_TEMPLATE_CONFIG/nesting.conf",
		"lxc.rootfs.path = dir:/", "lxc.rootfs.path = /", "lxc.rootfs = /", "lxc.rootfs.mount = /", "lxc.rootfs.options = idmap=container", "lxc.rootfs.managed = 0", "lxc.rootfs.backend = dir",
		"lxc.idmap = u 0 0 4294967295", "lxc.id_map = u 0 0 4294967295",
		"lxc.mount.entry = / mnt none bind 0 0", "lxc.mount.entry = /dev dev none rbind 0 0", "lxc.mount.entry = " + canary + " mnt none bind,create=dir 0 0", "lxc.mount.entry = ../../../canary mnt none bind",
		"lxc.mount.entry = /dev/sda1 mnt ext4 defaults", "lxc.mount.entry = overlay mnt overlay lowerdir=/ 0 0", "lxc.mount.entry = tmpfs ../../../../canary/new tmpfs create=dir 0 0",
		"lxc.mount.entry = tmpfs LXC_ROOTFS/../../../canary/new tmpfs create=file 0 0", "lxc.mount.entry = x mnt none move", "lxc.mount.entry = LXC_PATH/.. mnt none bind",
		"lxc.mount.fstab = /etc/fstab", "lxc.mount.fstab = LXC_ROOTFS/etc/fstab", "lxc.mount = /etc/fstab",
		"lxc.mount.auto = shmounts:/:/mnt", "lxc.mount.auto = proc:mixed shmounts:" + canary, "lxc.mount.auto = shmounts:/",
		"lxc.proc.root.etc.shadow = x", "lxc.proc.cwd.x = y", "lxc.proc./etc/x = y", "lxc.sysctl.kernel.core_pattern = |/bin/sh", "lxc.sysctl.kernel/core_pattern = x", "lxc.sysctl.vm.overcommit_memory = 1",
		"lxc.cgroup.../../../x = y", "lxc.cgroup2.../../../../../" + canary + "/file = y", "lxc.cgroup2./etc/x = y",
		"lxc.namespace.share.net = 1", "lxc.namespace.share.pid = /proc/1/ns/pid", "lxc.namespace.keep = net user", "lxc.namespace.clone = pid",
		"lxc.net.0.type = phys", "lxc.net.1.type=none", "lxc.network.type = none", "lxc.net.0.script.up = /bin/sh", "lxc.net.0.script.down = LXC_ROOTFS/x", "lxc.network.script.up = /bin/sh",
		"lxc.log.file = " + canary + "/file", "lxc.logfile = " + canary + "/new", "lxc.console.logfile = " + canary + "/file", "lxc.console.path = /dev/tty1", "lxc.console = /dev/tty1",
		"lxc.seccomp.profile = " + canary + "/file", "lxc.seccomp = LXC_ROOTFS/x", "lxc.seccomp.notify.proxy = unix:/run/x", "lxc.environment = SECRET",
		"lxc.tty.dir = ../../../../../../" + canary + "/new", "lxc.devttydir = ..", "lxc.pivotdir = ../x", "lxc.apparmor.raw = } profile x /usr/sbin/sshd {",
		"lxc.environment = LD_PRELOAD=LXC_ROOTFS/x.so", "lxc.environment = PATH=LXC_ROOTFS/bin:/bin", "lxc.environment.hooks = A=B", "lxc.environment = \"BASH_ENV=LXC_ROOTFS/x\"",
		"lxc.hook.clone = LXC_HOOK_DIR/ubuntu-cloud-prep --userdata=" + canary + "/file", "lxc.net.1.link = eth0", "lxc.net.1.veth.pair = tun0", "lxc.net.1.veth.ipv4.route = 192.0.2.0/24",
		"lxc.cgroup.dir = x", "lxc.cgroup2.cgroup.procs = 1", "lxc.cgroup.tasks = 1", "lxc.mount.entry = " + canary + " mnt tmpfs bindx", "lxc.mount.entry = cgroup mnt cgroup release_agent=/x",
		"lxc.mount.entry = " + canary + " mnt\vnone\vbind tmpfs defaults", "lxc.autodev = 0\nlxc.mount.entry = tmpfs dev/x/new tmpfs create=dir",
		"lxc.arch = nonsense", "lxc.arch = x86_64\x00\nlxc.hook.start = /bin/sh", "lxc.tty.max = 1\x00", "lxc.hook.pre-start = LXC_NAME", "lxc.mount.entry = tmpfs \x1b[31m tmpfs bind 0 0",
		"# x\rlxc.hook.pre-start = /bin/sh", "# x\r\rlxc.hook.pre-start = /bin/sh\r\n", "lxc.mount.entry = tmpfs tmp tmpfs rw 0 0", "lxc.hook.clone = LXC_HOOK_DIR/clonehostname", "lxc.proc.oom_score_adj = 10",
		"lxc.sysctl.net.ipv4.ip_forward = 1", "lxc.cgroup.devices.allow = c 10:200 rwm", "lxc.environment = A=B", "lxc.cgroup2.memory.max = 1G", "lxc.cap.drop =", "lxc.cap.keep = 16", "lxc.start.auto = 1", "lxc.ephemeral = 1",
		"lxc.keyring.session = 0", "lxc.apparmor.profile = x", "lxc.autodev = 0", "lxc.tty = 4",
	} {
		list = append(list, attack{name: fmt.Sprintf("config: %q", line), meta: []member{mFile("config", "lxc.arch = x86_64\n"+line+"\nlxc.tty.max = 4\n")}, once: true, want: refused})
	}
	last := "lxc.hook.start-host = /bin/sh"
	list = append(list,
		attack{name: "config: without a line feed at the end", meta: []member{mFile("config", "lxc.arch = x86_64\n"+last)}, want: refused},
		attack{name: "config: of the user's mode", meta: []member{mFile("config", last), mFile("config-system", last), mFile("config-user.7", last)}, want: refused},
		attack{name: "config: a mount below a link of the image, its directory made by LXC", rootfs: []member{mLink("./link", canary)},
			meta: []member{mFile("config", "lxc.arch = x86_64\nlxc.mount.entry = tmpfs link/new tmpfs create=dir 0 0\n")}, want: refused})
	for _, line := range []string{
		"# lxc.hook.pre-start = /bin/sh", "hook = /bin/sh", "LXC.hook.pre-start = /bin/sh", "x lxc.hook.pre-start = /bin/sh", "lxc.cap.drop = sys_module", "lxc.mount.auto = proc:mixed sys:ro cgroup:mixed",
		"lxc.mount.entry = /sys/fs/pstore sys/fs/pstore none bind,optional 0 0", "lxc.signal.halt = SIGPWR", "lxc.environment = TERM=linux", "lxc.tty.dir =", "lxc.tty.max = 1\r",
	} {
		list = append(list, attack{name: fmt.Sprintf("config, harmless: %q", line), meta: []member{mFile("config", "lxc.arch = x86_64\n"+line+"\n")}, once: true, want: created})
	}
	for _, line := range []string{
		"/ mnt none bind 0 0", "/etc etc none rbind 0 0", "\t" + canary + " mnt none bind,create=dir 0 0", "/dev/sda1 mnt ext4 defaults 0 0", "LXC_PATH mnt none bind 0 0", "LXC_ROOTFS/../.. mnt none bind 0 0",
		"../../canary mnt none bind", "overlay mnt overlay lowerdir=/,upperdir=/x,workdir=/y 0 0", "tmpfs ../../../canary/new tmpfs create=dir 0 0", "none mnt tmpfs bind 0 0", "x y devtmpfs defaults", "a b none \\142ind",
		"/proc/1/root mnt none rbind", "tmpfs tmp tmpfs x\x00\n/ mnt none bind", "tmpfs tmp tmpfs defaults 0 0", "proc proc proc nodev,noexec,nosuid 0 0", "run\vrun tmpfs rw,nosuid,nodev,relatime,mode=755 0 0",
	} {
		list = append(list, attack{name: fmt.Sprintf("fstab: %q", line), meta: []member{mFile("fstab", "# x\n"+line+"\n")}, once: true, want: refused})
	}
	return list
}

// indexAttacks have signed indexes whose fields lead to other servers and paths.
func indexAttacks() []attack {
	var list []attack
	for _, field := range []string{
		"/../../../x", "/images/../../../../etc/", "/%2e%2e/%2e%2e/x/", "@URL@/../../x/", "https://@OTHER@@URL@/", "http://@OTHER@@URL@/", "//@OTHER@@URL@/", "@@OTHER@@URL@/", ":x@@OTHER@@URL@/", ".@OTHER@@URL@/",
		"\\\\@OTHER@@URL@/", "@URL@/?x=", "@URL@/#x", "@URL@/\x1b[31m/", "@URL@/\r", "@URL@/ x/", "@URL@/\x00/", "@URL@/%0d%0aHost:%20x/", "/" + strings.Repeat("a/", 100000), "file:///etc/", "@URL@;more",
	} {
		list = append(list, attack{name: fmt.Sprintf("index: the path %.60q", field), index: "@KEY@;20260829_05:24;" + field + "\n"})
	}
	for _, build := range []string{"../../../x", "..", ".", "a/b", "/etc", "\x1b[31m", "$(id)", "`id`", "x\r", strings.Repeat("b", 70000), "%2e%2e", "\x00", "a b"} {
		list = append(list, attack{name: fmt.Sprintf("index: the build %.60q", build), index: "@KEY@;" + build + ";@URL@/\n"})
	}
	for _, line := range []string{"../..;x;amd64;default;1;/x/\n", "\x1b[31m;\x1b]0;x\x07;amd64;default;1;/x/\n", strings.Repeat(";", 1<<20) + "\n", strings.Repeat("x", 1<<22) + "\n", "\xff\xfe\n", "<html>\n"} {
		list = append(list, attack{name: fmt.Sprintf("index: beside the image, %.40q", line), index: line + "@KEY@;20260829_05:24;@URL@/\n"})
		list = append(list, attack{name: fmt.Sprintf("index, listed: %.40q", line), index: line, words: []string{"--list"}})
	}
	for _, words := range [][]string{{"--dist", "../../canary"}, {"-r", ".."}, {"-a", "a/b"}, {"--variant", "../x"}, {"-d", "\x1b[31m"}, {"--dist="}, {"--variant", "."}} {
		list = append(list, attack{name: fmt.Sprintf("the user's words %q", words), words: words, want: refused})
	}
	return list
}

// messageAttacks have texts that would control the terminal.
func messageAttacks() []attack {
	var list []attack
	for _, text := range []string{
		"\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\x1b]52;c;aWQ=\x07", "\u009b31m", "\x9b31m", "a\rb", "a\bb\x7f", "\x00", "\u202etxt", "\u200b", "\xff\xfe\xc0\x80", "\x1bP$q\x1b\\", "\x0e\x0f", "\xed\xa0\x80", "\ufeff",
	} {
		list = append(list, attack{name: fmt.Sprintf("message: %q", text), meta: []member{mFile("create-message", "before "+text+" after\n")}, want: created})
	}
	return append(list, attack{name: "message: LXC_NAME and tokens", meta: []member{mFile("create-message", "LXC_NAME LXC_PATH\n---\n")}, want: created})
}

// cacheAttacks have cache entries that the stock template made from hostile metadata before
// our program was installed: the stock template unpacks links.
func cacheAttacks(canary string) []attack {
	var list []attack
	for _, name := range []string{"config", "create-message", "templates", "fstab", "excludes", "expiry", "build_id", "rootfs.tar.xz", ".lxc-pull"} {
		for _, to := range []string{canary + "/file", canary + "/dir", canary + "/new", canary + "/fifo"} {
			for _, words := range [][]string{nil, {"--force-cache"}, {"--flush-cache"}} {
				list = append(list, attack{name: fmt.Sprintf("cache: %s is a link to %s, %q", name, path.Base(to), words), cached: map[string]string{name: to}, words: words})
			}
		}
	}
	return list
}
