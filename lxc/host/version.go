package host

import (
	"bufio"
	"io"
	"os"
	"strings"
)

// maxPackages is how much of a list of installed packages LXCVersion reads, in bytes. A
// desktop's has 10 MB.
const maxPackages = 64 << 20

// LXCVersion returns the version of the installed LXC by the list of packages of dpkg, apk
// or opkg, else the name of its library; "" if neither is found.
func (l *Layout) LXCVersion() string {
	for _, list := range []string{"/var/lib/dpkg/status", "/lib/apk/db/installed", "/usr/lib/apk/db/installed", "/usr/lib/opkg/status"} {
		if version := installedLXC(l.Top + list); version != "" {
			return version
		}
	}
	for _, dir := range []string{"/usr/lib/", "/usr/lib64/", "/usr/local/lib/"} {
		if library, err := os.Readlink(l.Top + dir + "liblxc.so.1"); err == nil {
			return library
		}
	}
	return ""
}

// installedLXC returns the version of package lxc, or of LXC's library, in a list of installed
// packages: paragraphs of "Package: NAME" and "Version: VERSION", or "P:NAME" and "V:VERSION".
func installedLXC(list string) string {
	f, err := os.Open(list)
	if err != nil {
		return ""
	}
	defer f.Close()
	lines := bufio.NewScanner(io.LimitReader(f, maxPackages))
	lines.Buffer(nil, maxConfig)
	ours := false
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimSpace(value)
		switch key {
		case "Package", "P":
			ours = value == "lxc" || strings.HasPrefix(value, "liblxc")
		case "Status":
			ours = ours && strings.HasSuffix(value, " installed")
		case "Version", "V":
			if ours {
				return value[strings.IndexByte(value, ':')+1:] // without dpkg's epoch: 1:5.0.2-1
			}
		}
	}
	return ""
}
