package main

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// A release says which commit is packaged. Its version counts the commits since the last
// tag, or since the first commit if there is no tag, so that for every package manager a
// later commit has a greater version.
type release struct {
	base     string // the tag's number: 1.2.0; 0.0.0 without a tag
	pre      string // rc1 for the tag v1.2.0-rc1; usually empty
	since    int    // commits since the tag
	total    int    // commits in all
	revision string // the commit, in full
	dirty    bool   // the working tree has uncommitted changes

	date       time.Time // of every file in the packages
	maintainer string    // NAME <ADDRESS>
}

// project is the maintainer of packages that nobody else signs for. Debian requires an address
// (Debian Policy, section 5.6.2); the project has none, and a name below "invalid" says so
// (RFC 2606). Whoever publishes packages sets his own.
const project = "lxc-pull project <lxc-pull@lxc-pull.invalid>"

var tagForm = regexp.MustCompile(`^v([0-9]+(?:\.[0-9]+)*)(?:-((?:alpha|beta|rc)[0-9]*))?$`)

// releaseOf asks git about the commit that is checked out in dir.
func releaseOf(dir string) (release, error) {
	r := release{base: "0.0.0"}
	git := func(args ...string) (string, error) {
		cmd := exec.Command("git", append([]string{"-C", dir}, args...)...)
		out, err := cmd.Output()
		if exit, ok := err.(*exec.ExitError); ok {
			err = fmt.Errorf("git %s: %s", args[0], strings.TrimSpace(string(exit.Stderr)))
		}
		return strings.TrimSpace(string(out)), err
	}
	facts, err := git("log", "-1", "--format=%H%n%ct")
	if err != nil {
		return r, err
	}
	lines := strings.Split(facts, "\n")
	if len(lines) != 2 {
		return r, fmt.Errorf("git log: %q", facts)
	}
	r.revision, r.maintainer = lines[0], project
	seconds := lines[1]
	if epoch := os.Getenv("SOURCE_DATE_EPOCH"); epoch != "" {
		seconds = epoch
	}
	n, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return r, fmt.Errorf("SOURCE_DATE_EPOCH %q is not a number of seconds", seconds)
	}
	r.date = time.Unix(n, 0).UTC()
	if email := os.Getenv("DEBEMAIL"); email != "" && os.Getenv("DEBFULLNAME") != "" {
		r.maintainer = os.Getenv("DEBFULLNAME") + " <" + email + ">"
	}
	count, err := git("rev-list", "--count", "HEAD")
	if err == nil {
		r.total, err = strconv.Atoi(count)
	}
	if err != nil {
		return r, err
	}
	changes, err := git("status", "--porcelain")
	if err != nil {
		return r, err
	}
	r.dirty = changes != ""
	r.since = r.total
	described, err := git("describe", "--tags", "--long", "--match", "v[0-9]*")
	if err != nil {
		return r, nil // no tag
	}
	return r, r.setTag(described)
}

// setTag reads the output of git describe --long: TAG-COMMITS-gREVISION.
func (r *release) setTag(described string) error {
	parts := strings.Split(described, "-")
	if len(parts) < 3 {
		return fmt.Errorf("git describe: %q", described)
	}
	tag := strings.Join(parts[:len(parts)-2], "-")
	match := tagForm.FindStringSubmatch(tag)
	if match == nil {
		return fmt.Errorf("tag %q is not of the form v1.2.0 or v1.2.0-rc1", tag)
	}
	since, err := strconv.Atoi(parts[len(parts)-2])
	if err != nil {
		return fmt.Errorf("git describe: %q", described)
	}
	r.base, r.pre, r.since = match[1], match[2], since
	return nil
}

// version is the version as Debian orders it (deb-version(7)): 1.2.0~rc1,
// 1.2.0, and 1.2.0+7.g0123456789ab seven commits later.
func (r release) version() string {
	v := r.base
	if r.pre != "" {
		v += "~" + r.pre
	}
	if r.since > 0 {
		v += fmt.Sprintf("+%d.g%.12s", r.since, r.revision)
	}
	if r.dirty {
		v += "+dirty"
	}
	return v
}

// debianVersion appends the revision of the packaging after a hyphen.
func (r release) debianVersion() string { return r.version() + "-1" }

// openwrtVersion is the version in the grammar of apk (apk-package(5)), which
// OpenWrt uses for its ipk packages too: 1.2.0_rc1, 1.2.0,
// 1.2.0_git7~0123456789ab. The grammar can't express a changed working tree.
func (r release) openwrtVersion() string {
	v := r.base
	if r.pre != "" {
		v += "_" + r.pre
	}
	if r.since > 0 {
		v += fmt.Sprintf("_git%d~%.12s", r.since, r.revision)
	}
	return v
}

// words returns the values of the words that every recipe may use.
func (r release) words() map[string]string {
	return map[string]string{
		"@VERSION@":         r.version(),
		"@DEBIAN_VERSION@":  r.debianVersion(),
		"@OPENWRT_VERSION@": r.openwrtVersion(),
		"@MAINTAINER@":      r.maintainer,
		"@DATE@":            r.date.Format("2006-01-02"),
		"@RFC_DATE@":        r.date.Format(time.RFC1123Z),
		"@EPOCH@":           strconv.FormatInt(r.date.Unix(), 10),
		"@COUNT@":           strconv.Itoa(r.total),
	}
}
