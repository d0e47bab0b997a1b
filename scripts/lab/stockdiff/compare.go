package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A leftover has the files and output of one call of a program.
type leftover struct {
	result
	files manifest // everything below the view, the container's directory at "@"
}

// collect reads the files that a call left.
func (s *side) collect(r result) (leftover, error) {
	files, err := readTree(s.dir, func(p string) bool {
		// The private files of each program (difference 9).
		base := filepath.Base(p)
		return base == ".lxc-pull" || p == "home/.wget-hsts" || s.local && p == localDir
	})
	if err != nil {
		return leftover{}, err
	}
	l := leftover{result: r, files: manifest{}}
	rename := func(p string) string {
		if p == s.container() || strings.HasPrefix(p, s.container()+"/") {
			return "@" + strings.TrimPrefix(p, s.container())
		}
		return p
	}
	for p, e := range files {
		if e.link != "" {
			e.link = rename(e.link)
		}
		l.files[rename(p)] = e
	}
	return l, nil
}

// A comparison collects the differences between two calls.
type comparison struct {
	*plan
	stock, ours leftover
	oursSide    *side
	meta        map[string]metaFile // the metadata of the build that both used
	found       []string
}

func (c *comparison) reportf(format string, args ...any) {
	c.found = append(c.found, fmt.Sprintf(format, args...))
}

// run compares the two calls. It returns one line for each difference.
func (c *comparison) run() []string {
	if (c.stock.status == 0) != (c.ours.status == 0) {
		c.reportf("exit status: stock %d, ours %d\nstock: %s\nours: %s", c.stock.status, c.ours.status,
			indent(c.stock.stdout+c.stock.stderr), indent(c.ours.stdout+c.ours.stderr))
		return c.found
	}
	c.compareWords()
	if c.stock.status != 0 {
		if c.oursSide.program.stock {
			return c.found
		}
		// After a failure our program must leave nothing, whatever the stock template leaves.
		for _, p := range paths(c.ours.files) {
			if strings.HasPrefix(p, "@/rootfs/") {
				c.reportf("%q is left in the rootfs after a failure", p)
				break
			}
		}
		return c.found
	}
	if len(c.stock.requests) == 0 && len(c.ours.requests) > 0 && !c.differences[badExpiry] {
		c.reportf("requests: stock none, ours %q", c.ours.requests)
	}
	for _, p := range paths(c.stock.files, c.ours.files) {
		c.comparePath(p)
	}
	c.compareModel()
	return c.found
}

// Phrases of the stock template that scripts look for.
var phrases = []string{
	"Downloading the image index", "Downloading the rootfs", "Downloading the metadata", "The image cache is now ready",
	"The cache is already up to date", "Using image from local cache", "Unpacking the rootfs", "Flushing the cache...",
	"The cached copy has expired, re-downloading...",
}

func (c *comparison) compareWords() {
	for _, phrase := range []string{"ERROR: Couldn't find a matching image", "ERROR: meta tarball is missing the configuration file"} {
		if strings.Contains(c.stock.stdout, phrase) && !strings.Contains(c.ours.stdout, phrase) {
			c.reportf("stdout lacks %q: %q, stderr %q", phrase, c.ours.stdout, c.ours.stderr)
		}
		if strings.Contains(c.stock.stderr, phrase) && !strings.Contains(c.ours.stderr, phrase) {
			c.reportf("stderr lacks %q: %q", phrase, c.ours.stderr)
		}
	}
	if c.stock.status != 0 {
		return
	}
	if !c.differences[badExpiry] {
		for _, phrase := range phrases {
			if strings.Contains(c.stock.stdout, phrase) != strings.Contains(c.ours.stdout, phrase) {
				c.reportf("the phrase %q: stock's stdout:\n%s\nours:\n%s", phrase, indent(c.stock.stdout), indent(c.ours.stdout))
			}
		}
	}
	_, stock, stockHas := strings.Cut(c.stock.stdout, "\n---\n")
	_, ours, oursHas := strings.Cut(c.ours.stdout, "\n---\n")
	if c.differences[escapedMessages] {
		if i := strings.IndexFunc(ours, hidden); i >= 0 {
			c.reportf("message: a character that steers terminals is shown as it is: %q", ours)
		}
		// The text between control characters is shown unchanged, in order.
		rest := ours
		for _, piece := range strings.FieldsFunc(stock, hidden) {
			i := strings.Index(rest, piece)
			if i < 0 {
				c.reportf("message: %q is lost in %q", piece, ours)
				break
			}
			rest = rest[i+len(piece):]
		}
		return
	}
	if stockHas != oursHas || stock != ours {
		c.reportf("message: stock %v %q, ours %v %q", stockHas, stock, oursHas, ours)
	}
}

func (c *comparison) comparePath(p string) {
	a, inStock := c.stock.files[p]
	b, inOurs := c.ours.files[p]
	cacheFile, inCache := c.cachePath(p)
	switch {
	case inStock && !inOurs:
		if _, own := c.meta[cacheFile]; inCache && !own && c.stockMeta[cacheFile].data != nil {
			return // only the stock template got this file
		}
		c.reportf("%q: ours lacks it", p)
		return
	case inOurs && !inStock && p == "@/image.json": // the stock template records nothing
		return
	case inOurs && !inStock:
		c.reportf("%q: only ours has it", p)
		return
	}
	differ := func(what string, stock, ours any) {
		c.reportf("%q: %s: stock %v, ours %v", p, what, stock, ours)
	}
	if a.kind != b.kind {
		differ("type", fmt.Sprintf("%#o", a.kind), fmt.Sprintf("%#o", b.kind))
		return
	}
	if a.mode != b.mode && !c.knownMode(p, a, b) {
		differ("mode", fmt.Sprintf("%#o", a.mode), fmt.Sprintf("%#o", b.mode))
	}
	if (a.uid != b.uid || a.gid != b.gid) && !c.knownOwner(p, b) {
		differ("owner", fmt.Sprint(a.uid, ":", a.gid), fmt.Sprint(b.uid, ":", b.gid))
	}
	if a.rdev != b.rdev {
		differ("device", a.rdev, b.rdev)
	}
	name, inRootfs := strings.CutPrefix(p, "@/rootfs")
	name = path.Join(".", name)
	switch {
	case inRootfs:
		c.compareRootfs(name, p, a, b)
	case inCache && c.meta[cacheFile].data != nil:
		if want := c.meta[cacheFile].data; !bytes.Equal(b.data, want) {
			differ("contents", fmt.Sprintf("%q", a.data), fmt.Sprintf("%q", b.data))
		}
	case (p == "@/config" || p == "@/fstab") && c.differences[literalTokens]:
		// compareModel checks this file.
	default:
		if a.sum != b.sum {
			differ("contents", fmt.Sprintf("%q", a.data), fmt.Sprintf("%q", b.data))
		}
		if a.link != b.link {
			differ("link", a.link, b.link)
		}
		if !maps.Equal(a.xattrs, b.xattrs) {
			differ("xattrs", a.xattrs, b.xattrs)
		}
	}
}

// knownMode returns whether the modes of a path may differ, and how.
func (c *comparison) knownMode(p string, stock, ours entry) bool {
	name, inRootfs := strings.CutPrefix(p, "@/rootfs/")
	source := c.source[name]
	file, inCache := c.cachePath(p)
	switch {
	case inRootfs && c.isRewritten(name) && ours.mode == source.mode:
		// sed loses set-ID bits if it may not set them after the owner.
		c.differences[inodesKept] = true
	case inRootfs && ours.kind == unix.S_IFDIR && ours.mode == source.mode && stock.mode == source.mode|unix.S_ISGID:
		// GNU tar leaves the bit that a directory inherits from its parent.
		c.differences[setGroupID] = true
	case inCache && c.meta[file].data != nil && ours.mode == stock.mode&^0o022|0o400:
		c.differences[cacheModes] = true
	default:
		return false
	}
	return true
}

// knownOwner returns whether the owners of a path may differ, and how: the stock template
// gives only a part of the cache to the user.
func (c *comparison) knownOwner(p string, ours entry) bool {
	owner, _ := c.outcome.owners(c.bare)
	if c.oursSide.program.stock || ours.uid != uint32(owner) || ours.gid != uint32(owner) {
		return false
	}
	if c.oursSide.local && (p == "@/config" || p == "@/fstab") {
		c.differences[filesHanded] = true
		return true
	}
	if p == "home/.cache" || c.cacheInEnv && strings.HasPrefix(p, "elsewhere/") {
		c.differences[cacheOwners] = true
		return true
	}
	return false
}

// cachePath returns the name of the metadata file at a path in the cache, and whether the
// path is in the image's cache directory.
func (c *comparison) cachePath(p string) (file string, ok bool) {
	dir, file := path.Split(p)
	return file, strings.HasSuffix(dir, path.Join("download", c.dist, c.release, c.arch, c.variant)+"/")
}

// compareRootfs compares the properties that tar sets and the creation may rewrite.
func (c *comparison) compareRootfs(name, p string, a, b entry) {
	source := c.source[name]
	if c.isRewritten(name) {
		c.compareRewritten(name, p, a, b)
		return
	}
	if a.sum != b.sum {
		c.reportf("%q: contents: stock %.200q, ours %.200q", p, a.data, b.data)
	}
	if a.link != b.link && !c.sharesRewritten(a.link, b.link) {
		c.reportf("%q: hard link: stock %q, ours %q", p, a.link, b.link)
	}
	if !maps.Equal(a.xattrs, b.xattrs) {
		c.reportf("%q: xattrs: stock %q, ours %q", p, a.xattrs, b.xattrs)
	}
	stock, ours := c.when(a.mtime, c.stock.start), c.when(b.mtime, c.ours.start)
	if stock == ours || a.kind == unix.S_IFDIR && c.holdsRewritten(name) {
		return
	}
	if a.kind == unix.S_IFDIR && stock == "new" && b.mtime.Unix() == source.mtime.Unix() {
		// With our program a directory keeps its archived time even if its members
		// come in several places of the archive.
		c.differences[dirTimes] = true
		return
	}
	c.reportf("%q: mtime: stock %s, ours %s (archived %s)", p, stock, ours, source.mtime.UTC())
}

func (c *comparison) when(t, start time.Time) string {
	if t.After(start) && t.Before(time.Now().Add(time.Second)) {
		return "new"
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// isRewritten reports whether the creation rewrites this file of the rootfs, under this name
// or under another hard link's.
func (c *comparison) isRewritten(name string) bool {
	if c.rewritten[name] {
		return true
	}
	link := c.source[name].link
	if link == "" {
		return false
	}
	for other := range c.rewritten {
		if c.source[other].link == link {
			return true
		}
	}
	return false
}

func (c *comparison) holdsRewritten(dir string) bool {
	for name := range c.rewritten {
		if path.Dir(name) == dir {
			return true
		}
	}
	return false
}

// sharesRewritten reports whether two first names of one inode differ because one of its
// names is rewritten.
func (c *comparison) sharesRewritten(a, b string) bool {
	return c.isRewritten(strings.TrimPrefix(a, "@/rootfs/")) || c.isRewritten(strings.TrimPrefix(b, "@/rootfs/"))
}

// compareRewritten checks a rewritten file against the stock template's if that is a
// reference, else against the file in the image (differences 2, 5).
func (c *comparison) compareRewritten(name, p string, a, b entry) {
	if c.oursSide.program.stock {
		if a.sum != b.sum || a.link != b.link || !maps.Equal(a.xattrs, b.xattrs) {
			c.reportf("%q: contents, link or xattrs: %.300q, %.300q", p, a.data, b.data)
		}
		return
	}
	source := c.source[name]
	dir := c.oursSide.inside(c.oursSide.container())
	want := source.data
	if c.byTemplates(name) {
		want = replaceTokens(want, c.oursSide.name, dir, dir+"/rootfs")
	}
	if c.rewrittenTTY(name) {
		want = addNoHangup(want)
	}
	if source.size <= keepData && !bytes.Equal(b.data, want) {
		c.reportf("%q: contents: ours %.300q, the model %.300q", p, b.data, want)
	}
	plain := source.link == "" && !c.differences[literalTokens]
	if plain && a.sum != b.sum {
		c.reportf("%q: contents: stock %.300q, ours %.300q", p, a.data, b.data)
	}
	if want := c.linkLeft(name); strings.TrimPrefix(b.link, "@/rootfs/") != want {
		c.reportf("%q: hard link: ours %q, the image %q", p, b.link, want)
	}
	if c.packing.keepsXattrs() {
		want := map[string]string{}
		for name, value := range source.xattrs {
			if name == "security.capability" && c.outcome != outcomeNo {
				value = rootedCapability(value, subID)
			}
			if name == "system.posix_acl_access" && c.outcome != outcomeNo {
				value = shiftedACL(value, subID)
			}
			want[name] = value
		}
		if !maps.Equal(want, b.xattrs) && len(want)+len(b.xattrs) > 0 {
			c.reportf("%q: xattrs: ours %q, the image %q", p, b.xattrs, want)
		}
	}
}

// linkLeft returns the first name of the same inode that was not excluded, or "" if there is
// no other name.
func (c *comparison) linkLeft(name string) string {
	link := c.source[name].link
	if link == "" {
		return ""
	}
	var left []string
	for _, other := range paths(c.source) {
		if _, ok := c.ours.files["@/rootfs/"+other]; ok && c.source[other].link == link {
			left = append(left, other)
		}
	}
	if len(left) < 2 {
		return ""
	}
	return left[0]
}

func (c *comparison) byTemplates(name string) bool {
	for other := range c.rewritten {
		if (other == name || c.source[name].link != "" && c.source[other].link == c.source[name].link) && c.inTemplates[other] {
			return true
		}
	}
	return false
}

func (c *comparison) rewrittenTTY(name string) bool {
	const tty = "etc/init/tty.conf"
	return c.rewritten[tty] && (name == tty || c.source[name].link != "" && c.source[name].link == c.source[tty].link)
}

// addNoHangup makes the stock template's change of tty.conf, to the first "mingetty" of
// every line.
func addNoHangup(data []byte) []byte {
	var out []byte
	for line := range bytes.SplitAfterSeq(data, []byte("\n")) {
		out = append(out, bytes.Replace(line, []byte("mingetty"), []byte("mingetty --nohangup"), 1)...)
	}
	return out
}

// rootedCapability converts a security.capability of version 2 to the version 3 that the
// host sees if the root of a namespace, with ID root on the host, has set it.
func rootedCapability(v2 string, root uint32) string {
	v := []byte(v2)
	v[3] = 3
	return string(binary.LittleEndian.AppendUint32(v, root))
}

// shiftedACL converts an ACL to the one that the host sees if it was set in a namespace
// whose IDs begin at base.
func shiftedACL(acl string, base uint32) string {
	v := []byte(acl)
	for at := 4; at+8 <= len(v); at += 8 {
		if id := binary.LittleEndian.Uint32(v[at+4:]); id != 1<<32-1 {
			binary.LittleEndian.PutUint32(v[at+4:], id+base)
		}
	}
	return string(v)
}

// compareModel checks our config and fstab against the model. So difference 2 is checked in
// cases where the stock template is no reference. In all other cases ours equal the stock
// template's, so these cases check the model.
func (c *comparison) compareModel() {
	dir := c.oursSide.inside(c.oursSide.container())
	fstab := relevant(c.meta, "fstab", c.mode)
	old := bytes.ReplaceAll(c.config, []byte("@ROOTFS@"), []byte(dir+"/rootfs"))
	want := modelConfig(old, c.meta[relevant(c.meta, "config", c.mode)].data, fstab != "", dir, c.oursSide.name)
	if got := c.ours.files["@/config"].data; !bytes.Equal(got, want) {
		c.reportf("config: ours\n%s\nthe model\n%s", indent(string(got)), indent(string(want)))
	}
	if fstab == "" {
		return
	}
	want = replaceTokens(c.meta[fstab].data, c.oursSide.name, dir, dir+"/rootfs")
	if got := c.ours.files["@/fstab"].data; !bytes.Equal(got, want) {
		c.reportf("fstab: ours %q, the model %q", got, want)
	}
}

func (p packing) keepsXattrs() bool { return slices.Contains(p.args, "--xattrs") }

func indent(s string) string {
	return "    " + strings.ReplaceAll(strings.TrimSuffix(fmt.Sprintf("%q", s), `"`)[1:], `\n`, "\n    ")
}
