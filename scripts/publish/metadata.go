package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"time"
)

// lxcArch maps the architecture names of image servers, which are Debian's, to values of
// lxc.arch, which are the kernel's names of personalities.
var lxcArch = map[string]string{
	"amd64": "x86_64", "i386": "i686", "arm64": "aarch64", "armhf": "armv7l", "armel": "armel",
	"ppc64el": "ppc64le", "riscv64": "riscv64", "s390x": "s390x", "loong64": "loongarch64",
	"mipsel": "mipsel", "mips64el": "mips64el", "powerpc": "powerpc",
}

// oldConfig lists the distributions for which LXC before 2.1 had a separate configuration
// file, DIST.common.conf. Compatibility levels 1 to 4 are LXC 1.0, 1.1, 2.0 and 2.1.
var oldConfig = map[string]bool{
	"alpine": true, "archlinux": true, "centos": true, "debian": true, "fedora": true, "gentoo": true,
	"opensuse": true, "openwrt": true, "oracle": true, "plamo": true, "slackware": true, "ubuntu": true, "voidlinux": true,
}

// metaName matches the names of metadata files: one of the template's names, for one kind
// of container or both, for one compatibility level or all.
var metaName = regexp.MustCompile(`^(config|fstab|expiry|excludes|templates|create-message)(-(system|user))?(\.[1-9][0-9]*)?$`)

// metadata returns the files of meta.tar.xz. It generates them, then the given files
// replace generated ones or are added. A given file that is nil is left out.
func metadata(im image, found facts, expiry time.Time, given map[string][]byte) (map[string][]byte, error) {
	article := "a"
	if im.dist != "" && strings.Contains("aeiou", im.dist[:1]) {
		article = "an"
	}
	files := map[string][]byte{
		"create-message": fmt.Appendf(nil, "You just created %s %s %s %s (%s) container, variant %s.\n", article, im.dist, im.release, im.arch, im.build, im.variant),
		"excludes-user":  []byte(excludes(found.devices)),
	}
	if arch, ok := lxcArch[im.arch]; ok {
		lines := func(includes ...string) []byte {
			var b strings.Builder
			for _, name := range includes {
				fmt.Fprintf(&b, "lxc.include = LXC_TEMPLATE_CONFIG/%s\n", name)
			}
			fmt.Fprintf(&b, "lxc.arch = %s\n", arch)
			return []byte(b.String())
		}
		files["config"] = lines("common.conf")
		files["config-user"] = lines("common.conf", "userns.conf")
		if oldConfig[im.dist] {
			for level := 1; level <= 4; level++ {
				files[fmt.Sprintf("config.%d", level)] = lines(im.dist + ".common.conf")
				files[fmt.Sprintf("config-user.%d", level)] = lines(im.dist+".common.conf", im.dist+".userns.conf")
			}
		}
	}
	if !expiry.IsZero() {
		files["expiry"] = fmt.Appendf(nil, "%d\n", expiry.Unix())
	}
	if len(found.templates) > 0 {
		files["templates"] = []byte(strings.Join(found.templates, "\n") + "\n")
	}
	for name, content := range given {
		if content == nil {
			delete(files, name)
		} else {
			files[name] = content
		}
	}
	if files["config"] == nil {
		return nil, fmt.Errorf("no lxc.arch is known for architecture %q: give the configuration with --meta config=FILE and --meta config-user=FILE", im.arch)
	}
	return files, nil
}

// excludes returns patterns for the device nodes, because a user namespace can't make
// device nodes. The names are those in the archive, because GNU tar matches these.
func excludes(devices []string) string {
	if len(devices) == 0 {
		return "\n" // as on images.linuxcontainers.org
	}
	quote := strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`)
	var b strings.Builder
	for _, name := range devices {
		b.WriteString(quote.Replace(name) + "\n")
	}
	return b.String()
}

// packMetadata writes files as meta.tar.xz: without directories, sorted, with equal times.
func packMetadata(out io.Writer, files map[string][]byte, when time.Time) error {
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	sort.Strings(names)
	var archive bytes.Buffer
	tw := tar.NewWriter(&archive)
	for _, name := range names {
		h := &tar.Header{Name: name, Mode: 0o644, Size: int64(len(files[name])), ModTime: when.Truncate(time.Second)}
		if err := tw.WriteHeader(h); err != nil {
			return err
		}
		if _, err := tw.Write(files[name]); err != nil {
			return err
		}
	}
	if err := tw.Close(); err != nil {
		return err
	}
	w := newXZWriter(out)
	w.Write(archive.Bytes()) // Close reports what went wrong
	return w.Close()
}

// parseLifetime reads a time span such as 30d; the units are s, m, h, d and w.
// "never" is 0.
func parseLifetime(s string) (time.Duration, error) {
	if s == "never" {
		return 0, nil
	}
	units := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour}
	if s != "" {
		n, err := strconv.ParseUint(s[:len(s)-1], 10, 31)
		if unit, ok := units[s[len(s)-1]]; ok && err == nil && n > 0 && n <= uint64(100*365*24*time.Hour/unit) {
			return time.Duration(n) * unit, nil
		}
	}
	return 0, fmt.Errorf("%q is no time span: a number and one of s, m, h, d, w, or \"never\"", s)
}
