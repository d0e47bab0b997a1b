package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/md5"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"lxc-pull/cross"
)

// targets are some of each kind, so that the tests stay as the table grows.
var targets = []cross.Target{
	{Name: "armv5", GOARCH: "arm", GOARM: "5", Image: "armel"},
	{Name: "armv6", GOARCH: "arm", GOARM: "6", Image: "armel"},
	{Name: "armv7", GOARCH: "arm", GOARM: "7", Image: "armhf"},
	{Name: "arm64", GOARCH: "arm64", Image: "arm64"},
	{Name: "386", GOARCH: "386", Image: "i386"},
	{Name: "386-softfloat", GOARCH: "386", GO386: "softfloat", Image: "i386"},
	{Name: "amd64", GOARCH: "amd64", Image: "amd64"},
	{Name: "mipsle", GOARCH: "mipsle", GOMIPS: "softfloat", Image: "mipsel"},
	{Name: "s390x", GOARCH: "s390x", Image: "s390x"},
	{Name: "arm64", GOOS: "android", GOARCH: "arm64", Image: "arm64"},
}

func fakeSource() *source {
	s := &source{
		release: release{
			base: "1.2.0", since: 7, total: 1234, revision: "0123456789abcdef0123456789abcdef01234567",
			date: time.Unix(1_790_000_000, 0).UTC(), maintainer: "A Name <name@example.org>",
		},
		changelog: []byte("# Changelog\n"), license: []byte("the licence\n"),
		documentation: tree{{name: "README.md", mode: 0o644, data: []byte("read me\n")}, {name: "docs/size.md", mode: 0o644, data: []byte("small\n")}},
		completions:   map[string][]byte{"bash": []byte("of bash\n"), "zsh": []byte("of zsh\n"), "fish": []byte("of fish\n")},
	}
	for _, t := range targets {
		s.binaries = append(s.binaries, binary{t, []byte("program for " + strings.TrimPrefix(t.File(), "lxc-pull-linux-"))})
	}
	return s
}

// fakePackages returns every package by its name.
func fakePackages(t *testing.T) map[string][]byte {
	t.Helper()
	made, err := fakeSource().packages()
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string][]byte{}
	for _, p := range made {
		if byName[p.name] != nil {
			t.Errorf("two packages are named %q", p.name)
		}
		byName[p.name] = p.data
	}
	return byName
}

func TestNamesOfPackages(t *testing.T) {
	var names []string
	for name := range fakePackages(t) {
		names = append(names, name)
	}
	slices.Sort(names)
	want := `lxc-pull-1.2.0+7.g0123456789ab-module.zip
lxc-pull-1.2.0+7.g0123456789ab-openwrt-feed.tar.gz
lxc-pull-1.2.0+7.g0123456789ab-rescue.tar.gz
lxc-pull-1.2.0+7.g0123456789ab-termux.tar.gz
lxc-pull-rescue_1.2.0+7.g0123456789ab-1_all.deb
lxc-pull_1.2.0+7.g0123456789ab-1_amd64.deb
lxc-pull_1.2.0+7.g0123456789ab-1_arm64.deb
lxc-pull_1.2.0+7.g0123456789ab-1_armel.deb
lxc-pull_1.2.0+7.g0123456789ab-1_armhf.deb
lxc-pull_1.2.0+7.g0123456789ab-1_i386.deb
lxc-pull_1.2.0+7.g0123456789ab-1_mipsel.deb
lxc-pull_1.2.0+7.g0123456789ab-1_s390x.deb
lxc-pull_1.2.0_git7~0123456789ab-r1_386-softfloat.ipk
lxc-pull_1.2.0_git7~0123456789ab-r1_386.ipk
lxc-pull_1.2.0_git7~0123456789ab-r1_amd64.ipk
lxc-pull_1.2.0_git7~0123456789ab-r1_arm64.ipk
lxc-pull_1.2.0_git7~0123456789ab-r1_armv5.ipk
lxc-pull_1.2.0_git7~0123456789ab-r1_armv6.ipk
lxc-pull_1.2.0_git7~0123456789ab-r1_armv7.ipk
lxc-pull_1.2.0_git7~0123456789ab-r1_mipsle.ipk`
	if got := strings.Join(names, "\n"); got != want {
		t.Errorf("packages:\n%s\nwant:\n%s", got, want)
	}
}

func TestTwoBuildsAreTheSameBytes(t *testing.T) {
	first, second := fakePackages(t), fakePackages(t)
	for name, data := range first {
		if !bytes.Equal(data, second[name]) {
			t.Errorf("%s differs", name)
		}
	}
}

// untarred reads a tar.gz: a line for each entry, and the regular files.
func untarred(t *testing.T, data []byte) (list string, files map[string]string) {
	t.Helper()
	zr, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	files = map[string]string{}
	tr := tar.NewReader(zr)
	for {
		h, err := tr.Next()
		if err == io.EOF {
			return list, files
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Uid != 0 || h.Gid != 0 || h.Uname != "root" || h.Gname != "root" || h.ModTime.Unix() != 1_790_000_000 {
			t.Errorf("%s: owner %d:%d (%s:%s), time %v", h.Name, h.Uid, h.Gid, h.Uname, h.Gname, h.ModTime)
		}
		list += fmt.Sprintf("%04o %s", h.Mode, h.Name)
		if h.Typeflag == tar.TypeSymlink {
			list += " -> " + h.Linkname
		}
		list += "\n"
		if h.Typeflag == tar.TypeReg {
			content, err := io.ReadAll(tr)
			if err != nil {
				t.Fatal(err)
			}
			files[h.Name] = string(content)
		}
	}
}

// has wants every one of parts in text.
func has(t *testing.T, what, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%s has no %q:\n%s", what, part, text)
		}
	}
}

// arMembers reads a deb as deb(5) describes it.
func arMembers(t *testing.T, data []byte) (names []string, members map[string][]byte) {
	t.Helper()
	rest, ok := bytes.CutPrefix(data, []byte("!<arch>\n"))
	if !ok {
		t.Fatal("no ar archive")
	}
	members = map[string][]byte{}
	for len(rest) > 0 {
		header := string(rest[:60])
		var size int
		if _, err := fmt.Sscan(header[48:58], &size); err != nil || header[58:] != "`\n" {
			t.Fatalf("ar header %q: %v", header, err)
		}
		if got, want := header[16:48], fmt.Sprintf("%-12d%-6d%-6d%-8s", 1_790_000_000, 0, 0, "100644"); got != want {
			t.Errorf("ar header %q, want %q in it", header, want)
		}
		name := strings.TrimRight(header[:16], " ")
		names = append(names, name)
		members[name] = rest[60 : 60+size]
		rest = rest[60+size+size%2:]
	}
	return names, members
}

func debParts(t *testing.T, deb []byte) (controlList string, control map[string]string, dataList string, data map[string]string) {
	t.Helper()
	names, members := arMembers(t, deb)
	if !slices.Equal(names, []string{"debian-binary", "control.tar.gz", "data.tar.gz"}) || string(members["debian-binary"]) != "2.0\n" {
		t.Fatalf("members %q, debian-binary %q", names, members["debian-binary"])
	}
	controlList, control = untarred(t, members["control.tar.gz"])
	dataList, data = untarred(t, members["data.tar.gz"])
	return
}

func TestDebianPackage(t *testing.T) {
	controlList, control, dataList, data := debParts(t, fakePackages(t)["lxc-pull_1.2.0+7.g0123456789ab-1_armhf.deb"])
	if want := "0755 ./\n0644 ./control\n0644 ./md5sums\n"; controlList != want {
		t.Errorf("control:\n%s\nwant:\n%s", controlList, want)
	}
	want := `0755 ./
0755 ./usr/
0755 ./usr/bin/
0755 ./usr/bin/lxc-pull
0755 ./usr/share/
0755 ./usr/share/bash-completion/
0755 ./usr/share/bash-completion/completions/
0644 ./usr/share/bash-completion/completions/lxc-pull
0755 ./usr/share/doc/
0755 ./usr/share/doc/lxc-pull/
0644 ./usr/share/doc/lxc-pull/README.md
0644 ./usr/share/doc/lxc-pull/changelog.Debian.gz
0644 ./usr/share/doc/lxc-pull/changelog.gz
0644 ./usr/share/doc/lxc-pull/copyright
0755 ./usr/share/doc/lxc-pull/docs/
0644 ./usr/share/doc/lxc-pull/docs/size.md
0755 ./usr/share/fish/
0755 ./usr/share/fish/vendor_completions.d/
0644 ./usr/share/fish/vendor_completions.d/lxc-pull.fish
0755 ./usr/share/lintian/
0755 ./usr/share/lintian/overrides/
0644 ./usr/share/lintian/overrides/lxc-pull
0755 ./usr/share/lxc-pull/
0755 ./usr/share/lxc-pull/templates/
0777 ./usr/share/lxc-pull/templates/lxc-download -> ../../../bin/lxc-pull
0755 ./usr/share/lxc/
0755 ./usr/share/lxc/templates/
0777 ./usr/share/lxc/templates/lxc-pull -> ../../../bin/lxc-pull
0755 ./usr/share/man/
0755 ./usr/share/man/man1/
0644 ./usr/share/man/man1/lxc-pull.1.gz
0755 ./usr/share/man/man5/
0644 ./usr/share/man/man5/lxc-pull.conf.5.gz
0755 ./usr/share/zsh/
0755 ./usr/share/zsh/vendor-completions/
0644 ./usr/share/zsh/vendor-completions/_lxc-pull
`
	if dataList = withoutCommands(t, dataList, ".gz"); dataList != want {
		t.Errorf("data:\n%s\nwant:\n%s", dataList, want)
	}
	if got := data["./usr/bin/lxc-pull"]; got != "program for armv7" {
		t.Errorf("the program is %q", got)
	}
	has(t, "control", control["./control"],
		"Package: lxc-pull\n", "Version: 1.2.0+7.g0123456789ab-1\n", "Architecture: armhf\n", "Maintainer: A Name <name@example.org>\n",
		"\nInstalled-Size: ", "Multi-Arch: foreign\n", "\nDescription: ",
	)
	for name, content := range data {
		line := fmt.Sprintf("%x  %s\n", md5.Sum([]byte(content)), strings.TrimPrefix(name, "./"))
		if !strings.Contains(control["./md5sums"], line) {
			t.Errorf("md5sums has no %q", line)
		}
	}
	if got := strings.Count(control["./md5sums"], "\n"); got != len(data) {
		t.Errorf("md5sums has %d lines for %d files", got, len(data))
	}
}

// withoutCommands removes the manual pages of single commands from a list of files, of which
// there must be one for each command that the program's help names.
func withoutCommands(t *testing.T, list, suffix string) string {
	t.Helper()
	page := regexp.MustCompile(`(?m)^0644 \S+/man1/lxc-pull-([a-z]+)\.1` + regexp.QuoteMeta(suffix) + "\n")
	var names []string
	for _, found := range page.FindAllStringSubmatch(list, -1) {
		names = append(names, found[1])
	}
	for _, name := range []string{"create", "rootfs", "list", "cache", "config", "completion", "install", "template"} {
		if !slices.Contains(names, name) {
			t.Errorf("there is no manual page of %s", name)
		}
	}
	return page.ReplaceAllString(list, "")
}

// KiB, rounded up by the file; one for the directory and one for the link.
func TestInstalledSize(t *testing.T) {
	var files tree
	files.file("usr/small", 0o644, make([]byte, 1))
	files.file("usr/large", 0o644, make([]byte, 2049))
	files.link("usr/link", "large")
	if got := files.installedSize(); got != 6 {
		t.Errorf("installed size %d, want 6", got)
	}
}

func TestRescuePackage(t *testing.T) {
	controlList, control, dataList, data := debParts(t, fakePackages(t)["lxc-pull-rescue_1.2.0+7.g0123456789ab-1_all.deb"])
	if want := "0755 ./\n0644 ./conffiles\n0644 ./control\n0644 ./md5sums\n0755 ./postinst\n0755 ./postrm\n0644 ./triggers\n"; controlList != want {
		t.Errorf("control:\n%s\nwant:\n%s", controlList, want)
	}
	has(t, "data", dataList,
		"0755 ./etc/grub.d/45_lxc-pull\n",
		"0755 ./usr/lib/dracut/modules.d/90lxc-pull/lxc-pull.sh\n",
		"0755 ./usr/lib/dracut/modules.d/90lxc-pull/module-setup.sh\n",
		"0755 ./usr/share/initramfs-tools/hooks/lxc-pull\n",
		"0755 ./usr/share/initramfs-tools/scripts/init-premount/lxc-pull\n",
		"0755 ./usr/share/lxc-pull/rescue\n",
		"0644 ./usr/share/doc/lxc-pull-rescue/copyright\n",
	)
	for _, conffile := range strings.Fields(control["./conffiles"]) {
		if _, found := data["."+conffile]; !found {
			t.Errorf("conffile %s is not in the package", conffile)
		}
		if strings.Contains(control["./md5sums"], conffile) {
			t.Errorf("conffile %s is in md5sums", conffile)
		}
	}
	// Both packages are installed side by side.
	_, _, other, _ := debParts(t, fakePackages(t)["lxc-pull_1.2.0+7.g0123456789ab-1_amd64.deb"])
	for _, line := range strings.Split(dataList, "\n") {
		if line != "" && !strings.HasSuffix(line, "/") && strings.Contains(other, line) {
			t.Errorf("both packages have %q", line)
		}
	}
}

// armel has to run on an ARMv5 and i386 on a processor without SSE2, in
// whatever order the table has them.
func TestBaselines(t *testing.T) {
	binaries := fakeSource().binaries
	for range 2 {
		picked := map[string]string{}
		for _, b := range baselines(binaries) {
			if picked[b.Image] != "" {
				t.Errorf("two binaries for %s", b.Image)
			}
			picked[b.Image] = b.Name
		}
		if picked["armel"] != "armv5" || picked["i386"] != "386-softfloat" || picked["armhf"] != "armv7" || len(picked) != 7 {
			t.Errorf("picked %v", picked)
		}
		slices.Reverse(binaries)
	}
}

func TestOpenwrtPackage(t *testing.T) {
	outer, members := untarred(t, fakePackages(t)["lxc-pull_1.2.0_git7~0123456789ab-r1_armv7.ipk"])
	if want := "0755 ./\n0644 ./control.tar.gz\n0644 ./data.tar.gz\n0644 ./debian-binary\n"; outer != want || members["./debian-binary"] != "2.0\n" {
		t.Errorf("ipk:\n%s\nwant:\n%s", outer, want)
	}
	list, control := untarred(t, []byte(members["./control.tar.gz"]))
	if want := "0755 ./\n0644 ./control\n0755 ./preinst\n"; list != want {
		t.Errorf("control:\n%s\nwant:\n%s", list, want)
	}
	has(t, "control", control["./control"],
		"Package: lxc-pull\n", "Version: 1.2.0_git7~0123456789ab-r1\n", "Architecture: all\n", "SourceDateEpoch: 1790000000\n",
	)
	list, data := untarred(t, []byte(members["./data.tar.gz"]))
	want := `0755 ./
0755 ./usr/
0755 ./usr/bin/
0755 ./usr/bin/lxc-pull
0755 ./usr/share/
0755 ./usr/share/doc/
0755 ./usr/share/doc/lxc-pull/
0644 ./usr/share/doc/lxc-pull/LICENSE
0644 ./usr/share/doc/lxc-pull/copyright
0755 ./usr/share/lxc-pull/
0755 ./usr/share/lxc-pull/templates/
0777 ./usr/share/lxc-pull/templates/lxc-download -> ../../../bin/lxc-pull
0755 ./usr/share/lxc/
0755 ./usr/share/lxc/templates/
0777 ./usr/share/lxc/templates/lxc-pull -> ../../../bin/lxc-pull
`
	if list != want {
		t.Errorf("data:\n%s\nwant:\n%s", list, want)
	}
	if got := data["./usr/bin/lxc-pull"]; got != "program for armv7" {
		t.Errorf("the program is %q", got)
	}
}

// The names are OpenWrt's, of its releases.
func TestWhichRouterTakesWhat(t *testing.T) {
	for _, c := range []struct{ arch, want string }{
		{"aarch64_cortex-a53", "arm64"}, {"aarch64_generic", "arm64"}, {"x86_64", "amd64"}, {"mipsel_24kc", "mipsle"}, {"mipsel_24kc_24kf", "mipsle"},
		{"mips_24kc", ""}, {"mips64el_mips64r2", ""}, {"powerpc_8548", ""},
		{"i386_pentium4", "386 386-softfloat"}, {"i386_pentium-mmx", "386-softfloat"},
		{"arm_arm926ej-s", "armv5"}, {"arm_xscale", "armv5"}, {"arm_cortex-a9", "armv5"}, // no FPU, whatever the A9 says
		{"arm_arm1176jzf-s_vfp", "armv5 armv6"},
		{"arm_cortex-a9_vfpv3-d16", "armv5 armv6 armv7"}, {"arm_cortex-a7_neon-vfpv4", "armv5 armv6 armv7"}, {"arm_cortex-a8_vfpv3", "armv5 armv6 armv7"},
	} {
		var take []string
		for _, b := range fakeSource().binaries {
			r, known := routerOf(b.Target)
			for _, pattern := range strings.Split(r.pattern, " | ") {
				matched, err := path.Match(pattern, c.arch)
				if err != nil {
					t.Fatal(err)
				}
				if known && matched && b.isLinux() {
					take = append(take, b.Name)
					break
				}
			}
		}
		if got := strings.Join(take, " "); got != c.want {
			t.Errorf("%s takes %q, want %q", c.arch, got, c.want)
		}
	}
}

func TestOpenwrtFeed(t *testing.T) {
	list, files := untarred(t, fakePackages(t)["lxc-pull-1.2.0+7.g0123456789ab-openwrt-feed.tar.gz"])
	has(t, "the feed", list,
		"0644 ./lxc-pull/Makefile\n", "0755 ./lxc-pull/files/lxc-pull-linux-mipsle\n", "0644 ./lxc-pull/files/LICENSE\n", "0644 ./lxc-pull/files/copyright\n",
	)
	if strings.Contains(list, "s390x") {
		t.Error("the feed has a program for s390x, which OpenWrt does not know")
	}
	makefile := files["./lxc-pull/Makefile"]
	has(t, "the Makefile", makefile,
		"\nPKG_VERSION:=1.2.0_git7~0123456789ab\n", "\n  DEPENDS:=@(arm||aarch64||i386||x86_64||mipsel)\n",
		"\nLXC_PULL_arm:=armv5\nLXC_PULL_arm_vfp:=armv6\nLXC_PULL_arm_vfpv3:=armv7\nLXC_PULL_aarch64:=arm64\nLXC_PULL_i386_sse2:=386\nLXC_PULL_i386:=386-softfloat\n",
	)
}

func TestAndroidModule(t *testing.T) {
	data := fakePackages(t)["lxc-pull-1.2.0+7.g0123456789ab-module.zip"]
	zr, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	list, files := "", map[string]string{}
	for _, f := range zr.File {
		list += fmt.Sprintf("%04o %s\n", f.Mode().Perm(), f.Name)
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[f.Name] = string(content)
	}
	want := `0644 LICENSE
0755 META-INF/com/google/android/update-binary
0644 META-INF/com/google/android/updater-script
0755 bin/lxc-pull-arm
0755 bin/lxc-pull-arm64
0644 copyright
0644 customize.sh
0644 module.prop
0755 service.sh
0755 uninstall.sh
`
	if list != want {
		t.Errorf("zip:\n%s\nwant:\n%s", list, want)
	}
	if files["bin/lxc-pull-arm"] != "program for armv7" || files["bin/lxc-pull-arm64"] != "program for arm64" {
		t.Errorf("programs: %q, %q", files["bin/lxc-pull-arm"], files["bin/lxc-pull-arm64"])
	}
	if want := "id=lxc-pull\nname=lxc-pull\nversion=1.2.0+7.g0123456789ab\nversionCode=1234\n"; !strings.HasPrefix(files["module.prop"], want) {
		t.Errorf("module.prop:\n%s", files["module.prop"])
	}
}

func TestTermuxRecipe(t *testing.T) {
	list, files := untarred(t, fakePackages(t)["lxc-pull-1.2.0+7.g0123456789ab-termux.tar.gz"])
	want := `0755 ./
0755 ./packages/
0755 ./packages/lxc-pull/
0644 ./packages/lxc-pull/LICENSE
0644 ./packages/lxc-pull/build.sh
0644 ./packages/lxc-pull/copyright
0755 ./packages/lxc-pull/lxc-pull-aarch64
0755 ./packages/lxc-pull/lxc-pull-arm
0755 ./packages/lxc-pull/lxc-pull-i686
0755 ./packages/lxc-pull/lxc-pull-x86_64
0644 ./packages/lxc-pull/lxc-pull.bash
0644 ./packages/lxc-pull/lxc-pull.fish
0644 ./packages/lxc-pull/lxc-pull.zsh
0755 ./packages/lxc-pull/man/
0755 ./packages/lxc-pull/man/man1/
0644 ./packages/lxc-pull/man/man1/lxc-pull.1
0755 ./packages/lxc-pull/man/man5/
0644 ./packages/lxc-pull/man/man5/lxc-pull.conf.5
`
	if list = withoutCommands(t, list, ""); list != want {
		t.Errorf("directory:\n%s\nwant:\n%s", list, want)
	}
	for arch, want := range map[string]string{"aarch64": "lxc-pull-android-arm64", "arm": "armv7", "i686": "386", "x86_64": "amd64"} {
		if got := files["./packages/lxc-pull/lxc-pull-"+arch]; got != "program for "+want {
			t.Errorf("the program for %s is %q, want the one for %s", arch, got, want)
		}
	}
}

// The real table: whatever is in it, packages come of it, and every target is
// in one at least.
func TestEveryTargetIsPackaged(t *testing.T) {
	s := fakeSource()
	s.binaries = nil
	for _, target := range cross.Targets() {
		s.binaries = append(s.binaries, binary{target, []byte("program for " + target.File() + ".")})
	}
	made, err := s.packages()
	if err != nil {
		t.Fatal(err)
	}
	var all []byte
	for _, p := range made {
		if strings.HasSuffix(p.name, ".zip") {
			continue
		}
		archives := [][]byte{p.data}
		if strings.HasSuffix(p.name, ".deb") {
			_, members := arMembers(t, p.data)
			archives = [][]byte{members["data.tar.gz"]}
		}
		for len(archives) > 0 {
			_, files := untarred(t, archives[0])
			archives = archives[1:]
			for name, content := range files {
				if name == "./data.tar.gz" {
					archives = append(archives, []byte(content))
				} else if strings.HasPrefix(content, "program for") {
					all = append(all, content...)
				}
			}
		}
	}
	for _, b := range s.binaries {
		if !bytes.Contains(all, b.data) {
			t.Errorf("%s is in no package", b.File())
		}
	}
}

func TestVersions(t *testing.T) {
	for _, c := range []struct {
		described string
		dirty     bool
		version   string
		openwrt   string
	}{
		{"v1.2.0-0-g0123456789ab", false, "1.2.0", "1.2.0"},
		{"v1.2.0-7-g0123456789ab", false, "1.2.0+7.g0123456789ab", "1.2.0_git7~0123456789ab"},
		{"v1.2.0-rc1-0-g0123456789ab", false, "1.2.0~rc1", "1.2.0_rc1"},
		{"v1.2-rc1-3-g0123456789ab", true, "1.2~rc1+3.g0123456789ab+dirty", "1.2_rc1_git3~0123456789ab"},
		{"v1.2.0-0-g0123456789ab", true, "1.2.0+dirty", "1.2.0"},
	} {
		r := release{revision: "0123456789abcdef", dirty: c.dirty}
		if err := r.setTag(c.described); err != nil {
			t.Errorf("%s: %v", c.described, err)
			continue
		}
		if r.version() != c.version || r.openwrtVersion() != c.openwrt {
			t.Errorf("%s: %q and %q, want %q and %q", c.described, r.version(), r.openwrtVersion(), c.version, c.openwrt)
		}
	}
	for _, described := range []string{"v1.2.0-final-0-g01234567", "version-0-g01234567", "v1", ""} {
		if err := new(release).setTag(described); err == nil {
			t.Errorf("setTag(%q) succeeded", described)
		}
	}
}

func TestReleaseOfACheckout(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	dir := t.TempDir()
	t.Setenv("SOURCE_DATE_EPOCH", "")
	t.Setenv("DEBEMAIL", "")
	git := func(args ...string) {
		t.Helper()
		cmd := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=A Name", "-c", "user.email=name@example.org"}, args...)...)
		cmd.Env = append(os.Environ(), "GIT_AUTHOR_DATE=@1780000000 +0200", "GIT_COMMITTER_DATE=@1790000000 +0200", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %q: %v\n%s", args, err, out)
		}
	}
	git("init", "-q")
	if _, err := releaseOf(dir); err == nil {
		t.Error("a repository without a commit has a release")
	}
	git("commit", "-q", "--allow-empty", "-m", "one")
	r, err := releaseOf(dir)
	if err != nil {
		t.Fatal(err)
	}
	if want := "0.0.0+1.g" + r.revision[:12]; r.version() != want || r.date.Unix() != 1790000000 || r.maintainer != project {
		t.Errorf("%q (want %q), %v, %q", r.version(), want, r.date, r.maintainer)
	}
	git("tag", "v1.2.0")
	git("commit", "-q", "--allow-empty", "-m", "two")
	if err := os.WriteFile(filepath.Join(dir, "new"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SOURCE_DATE_EPOCH", "86400")
	t.Setenv("DEBFULLNAME", "Another")
	t.Setenv("DEBEMAIL", "another@example.org")
	if r, err = releaseOf(dir); err != nil {
		t.Fatal(err)
	}
	if want := "1.2.0+1.g" + r.revision[:12] + "+dirty"; r.version() != want || r.date.Unix() != 86400 || r.maintainer != "Another <another@example.org>" || r.total != 2 {
		t.Errorf("%q (want %q), %v, %q, %d commits", r.version(), want, r.date, r.maintainer, r.total)
	}
	t.Setenv("SOURCE_DATE_EPOCH", "yesterday")
	if _, err := releaseOf(dir); err == nil {
		t.Error("SOURCE_DATE_EPOCH=yesterday is taken")
	}
}

func TestReadBinaries(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	refused := func(why string) {
		t.Helper()
		_, err := readBinaries(dir, targets)
		if err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("error %v, want %q in it", err, why)
		}
	}
	refused("make cross") // no list
	write("SHA256SUMS", "")
	refused("no binaries")
	// Of "one\n" and "two\n".
	const one = "2c8b08da5ce60398e1f19af0e5dccc744df274b826abe585eaba68c525434806  lxc-pull-linux-"
	const two = "27dd8ed44a83ff94d557f9fd0412ed5a8cbca69ea04922d88c01184a07300a5a  lxc-pull-linux-"
	write("SHA256SUMS", one+"arm64\n"+two+"armv5\n")
	write("lxc-pull-linux-arm64", "one\n")
	refused("lxc-pull-linux-armv5") // absent
	write("lxc-pull-linux-armv5", "other\n")
	refused("is not the file")
	write("lxc-pull-linux-armv5", "two\n")
	binaries, err := readBinaries(dir, targets)
	if err != nil || len(binaries) != 2 || binaries[0].Name != "armv5" || string(binaries[1].data) != "one\n" {
		t.Errorf("%v, %v", binaries, err)
	}
	write("SHA256SUMS", one+"arm64\n"+one+"vax\n")
	refused("vax")
	write("SHA256SUMS", "nonsense\n")
	refused("nonsense")
}

// The scripts come from the program, and the documents from the repository.
func TestReadFiles(t *testing.T) {
	var s source
	if err := s.readCompletions("../.."); err != nil {
		t.Fatal(err)
	}
	for shell, want := range map[string]string{"bash": "complete -F", "zsh": "#compdef lxc-pull\n", "fish": "complete -c lxc-pull"} {
		if !strings.Contains(string(s.completions[shell]), want) {
			t.Errorf("%s: %q has no %q", shell, s.completions[shell], want)
		}
	}
	if err := s.readDocuments("../.."); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"README.md", "docs/packaging.md"} {
		if !slices.ContainsFunc(s.documentation, func(e entry) bool { return e.name == name && len(e.data) > 0 }) {
			t.Errorf("there is no %s", name)
		}
	}
	if err := s.readDocuments(t.TempDir()); err == nil {
		t.Error("a directory without documents has some")
	}
}

// A word that has no value never reaches a package.
func TestRecipe(t *testing.T) {
	if _, err := recipe("openwrt/preinst", map[string]string{"@TARGET@": "x"}); err == nil || !strings.Contains(err.Error(), "@PATTERN@") {
		t.Errorf("error %v, want one about @PATTERN@", err)
	}
	text, err := recipe("openwrt/preinst", map[string]string{"@TARGET@": "x", "@PATTERN@": "@TARGET@"})
	if err != nil || !bytes.Contains(text, []byte("'' | @TARGET@)")) {
		t.Errorf("a value is filled in again: %v\n%s", err, text)
	}
}

// What was made by an earlier release goes, and nothing else.
func TestWriteReplacesOlderPackages(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"lxc-pull_0.9_all.deb", "notes.txt"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := write(dir, []product{{"lxc-pull_1.0_all.deb", []byte("one\n")}}); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{filepath.Join(dir, "SHA256SUMS"), filepath.Join(dir, "lxc-pull_1.0_all.deb"), filepath.Join(dir, "notes.txt")}
	if !slices.Equal(left, want) {
		t.Errorf("left: %q", left)
	}
	sums, err := os.ReadFile(want[0])
	if err != nil || string(sums) != "2c8b08da5ce60398e1f19af0e5dccc744df274b826abe585eaba68c525434806  lxc-pull_1.0_all.deb\n" {
		t.Errorf("SHA256SUMS: %q, %v", sums, err)
	}
}
