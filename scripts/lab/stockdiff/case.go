package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A mutation changes the result of a program, to show that the comparison notices it.
type mutation struct {
	name  string
	apply func(s *side, r *result) (done bool, err error)
}

// compareCase makes the image of a seed and creates containers from it, in every outcome,
// with the stock template and a second program. It applies the mutation, if there is one,
// to the second program's result.
func (h *harness) compareCase(seed uint64, second program, m *mutation, outcomes ...outcome) error {
	dir, err := os.MkdirTemp(h.dir, fmt.Sprintf("case%d.", seed))
	if err != nil {
		return err
	}
	c := newCase(seed)
	im, err := c.makeImage(h.authority, dir)
	if err != nil {
		return err
	}
	failed := false
	for _, o := range outcomes {
		found, err := h.compareOutcome(c, im, o, second, dir, m)
		if err != nil {
			return fmt.Errorf("outcome %s: %w", o, err)
		}
		if len(found) > 0 {
			failed = true
			h.report(c, o, found, dir)
		}
	}
	if failed && h.keep {
		return nil
	}
	return os.RemoveAll(dir)
}

func (h *harness) report(c *testCase, o outcome, found []string, dir string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failed++
	if h.quiet {
		return
	}
	fmt.Printf("seed %d, outcome %s: %d differ\n", c.seed, o, len(found))
	if h.verbose {
		fmt.Printf("  %s\n", c.packing)
	}
	if h.keep {
		fmt.Printf("  kept: %s\n", dir)
	}
	const most = 8
	for i, f := range found {
		if i == most {
			fmt.Printf("  ... and %d more\n", len(found)-most)
			break
		}
		fmt.Printf("  %s\n", strings.ReplaceAll(f, "\n", "\n  "))
	}
}

// An image has the files that a case publishes.
type image struct {
	rootfs []byte
	source manifest // the tree in rootfs
}

// makeImage makes the root file system's tree and archive.
func (c *testCase) makeImage(a *authority, dir string) (*image, error) {
	tree := filepath.Join(dir, "source")
	if err := os.Mkdir(tree, 0o755); err != nil {
		return nil, err
	}
	if err := makeTree(tree, c.nodes); err != nil {
		return nil, err
	}
	source, err := readTree(tree, nil)
	if err != nil {
		return nil, err
	}
	rootfs, err := c.packing.pack(tree, dir, func() error { return c.change(tree) })
	if err != nil {
		return nil, err
	}
	for name := range c.changed {
		if source[name], err = readEntry(filepath.Join(tree, name)); err != nil {
			return nil, err
		}
	}
	return &image{rootfs, source}, nil
}

// change writes the second contents of the members that come twice.
func (c *testCase) change(tree string) error {
	for name, data := range c.changed {
		for _, n := range c.nodes {
			if n.path != name {
				continue
			}
			n.data = data
			if err := os.Remove(filepath.Join(tree, name)); err != nil {
				return err
			}
			if err := makeTree(tree, []node{n}); err != nil {
				return err
			}
		}
	}
	return nil
}

// packMeta makes a metadata archive.
func (c *testCase) packMeta(meta map[string]metaFile, dir string) ([]byte, error) {
	tree, err := os.MkdirTemp(dir, "meta.")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tree)
	if err := os.Chmod(tree, 0o755); err != nil {
		return nil, err
	}
	p := c.metaPacking
	p.args = append([]string{"--mtime=@1700000000", "--sort=name"}, p.args...)
	if p.format == "pax" || p.format == "posix" {
		// A build that is published again under its name must be the same.
		p.args = append(p.args, "--pax-option=delete=atime,delete=ctime")
	}
	p.order = nil
	for name, f := range meta {
		if err := os.WriteFile(filepath.Join(tree, name), f.data, 0o600); err != nil {
			return nil, err
		}
		if err := os.Chmod(filepath.Join(tree, name), os.FileMode(f.mode)); err != nil {
			return nil, err
		}
		p.order = append(p.order, name)
	}
	slices.Sort(p.order)
	return p.pack(tree, dir, nil)
}

// site publishes the case's image with the given metadata and end of the index.
func (c *testCase) site(a *authority, im *image, meta map[string]metaFile, build, tail, dir string) (site, error) {
	archive, err := c.packMeta(meta, dir)
	if err != nil {
		return nil, err
	}
	directory := strings.Join([]string{"images", c.dist, c.release, c.arch, c.variant, build}, "/")
	s := site{}
	if err := s.addBuild(a, directory, im.rootfs, archive, c.sums); err != nil {
		return nil, err
	}
	line := func(build, directory string) string {
		if c.slash {
			directory += "/"
		}
		return strings.Join([]string{c.dist, c.release, c.arch, c.variant, build, "/" + directory}, ";")
	}
	head := ""
	for _, d := range c.decoys {
		head += d + "\n"
	}
	index := head + line(build, directory) + tail
	if c.missing {
		index = head + "x" + line(build, directory) + "\n"
	}
	for _, mode := range []string{"system", "user"} {
		name := "meta/1.0/index-" + mode
		if c.level {
			if err := s.add(a, name+".7", []byte(index)); err != nil {
				return nil, err
			}
			index := line("20250101_00:00", "images/no/longer") + "\n"
			if err := s.add(a, name, []byte(index)); err != nil {
				return nil, err
			}
			continue
		}
		if err := s.add(a, name, []byte(index)); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// compareOutcome runs a case in one outcome.
func (h *harness) compareOutcome(c *testCase, im *image, o outcome, second program, dir string, m *mutation) ([]string, error) {
	p := newPlan(c, o, im.source)
	p.bare = p.bare && o == outcomeRoot
	dir, err := os.MkdirTemp(dir, string(o)+".")
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	sides := [2]*side{
		{dir: filepath.Join(dir, "stock"), view: h.view, program: h.stock, local: h.local, lxcpath: c.lxcpath, name: p.stockName},
		{dir: filepath.Join(dir, "second"), view: h.view, program: second, local: h.local, lxcpath: c.lxcpath, name: c.name},
	}
	metas := [2]map[string]metaFile{p.stockMeta, c.meta}
	tails := [2]string{p.stockTail, c.tail}
	if second.stock {
		sides[1].name, metas[1], tails[1] = p.stockName, p.stockMeta, p.stockTail
		clear(p.differences) // excuse nothing
	}
	var servers [2]*server
	for i, s := range sides {
		if err := s.prepare(p, h.authority); err != nil {
			return nil, err
		}
		if servers[i], err = serve(h.authority, c.prefix); err != nil {
			return nil, err
		}
		defer servers[i].close()
	}

	if h.local {
		delete(p.differences, pastExpiry) // whoever has the file decides
	}
	if p.differences[pastExpiry] && !second.stock {
		if found, err := h.refusesExpired(p, im, second, dir); err != nil || len(found) > 0 {
			return found, err
		}
	}

	creates := []string{""}
	switch {
	case h.local: // there is no cache
	case c.second == "newer" && p.differences[badExpiry]:
		// The stock template never replaces the old build.
	case c.second != "":
		creates = append(creates, c.second)
	}
	for _, kind := range creates {
		build := c.build
		if kind == "newer" {
			build = "20260830_05:24"
			for i := range metas {
				metas[i] = maps.Clone(metas[i])
				metas[i]["newer"] = metaFile{[]byte("a newer build\n"), 0o644}
			}
		}
		var left [2]leftover
		for i, s := range sides {
			signer := h.authority
			if s.program.stock {
				signer = nil // it asks for no signature
			}
			site, err := c.site(signer, im, metas[i], build, tails[i], dir)
			if err != nil {
				return nil, err
			}
			servers[i].show(site)
			if h.local {
				archive, err := c.packMeta(metas[i], dir)
				if err == nil {
					err = s.putFiles(im.rootfs, archive)
				}
				if err != nil {
					return nil, err
				}
			}
			var words []string
			switch kind {
			case "flush":
				words = append(words, "--flush-cache")
			case "force":
				words = append(words, "--force-cache")
			}
			if !s.program.stock {
				words = append(words, p.oursFlags...)
			}
			if kind != "" {
				if err := s.newContainer(p); err != nil {
					return nil, err
				}
			}
			r, err := s.create(p, servers[i], words...)
			if err != nil {
				return nil, err
			}
			if m != nil && i == 1 {
				if done, err := m.apply(s, &r); err != nil || !done {
					return nil, err
				}
			}
			if left[i], err = s.collect(r); err != nil {
				return nil, err
			}
		}
		cmp := &comparison{plan: p, stock: left[0], ours: left[1], oursSide: sides[1], meta: metas[1]}
		found := cmp.run()
		if h.verbose && left[0].status != 0 {
			fmt.Printf("seed %d, outcome %s: the stock template fails: %q\n", c.seed, o, left[0].stderr[max(0, len(left[0].stderr)-200):])
		}
		h.count(p, left[0].status != 0)
		if len(found) > 0 {
			if kind != "" {
				found = append([]string{"in the second creation (" + kind + "):"}, found...)
			}
			return found, nil
		}
		if left[0].status != 0 {
			break
		}
	}
	return nil, os.RemoveAll(dir)
}

// refusesExpired checks that an image past its signed expiry is refused unless the user
// allows it, and that nothing is left.
func (h *harness) refusesExpired(p *plan, im *image, ours program, dir string) ([]string, error) {
	s := &side{dir: filepath.Join(dir, "expired"), view: h.view, program: ours, lxcpath: p.lxcpath, name: p.name}
	if err := s.prepare(p, h.authority); err != nil {
		return nil, err
	}
	srv, err := serve(h.authority, p.prefix)
	if err != nil {
		return nil, err
	}
	defer srv.close()
	site, err := p.site(h.authority, im, p.meta, p.build, p.tail, dir)
	if err != nil {
		return nil, err
	}
	srv.show(site)
	r, err := s.create(p, srv)
	if err != nil {
		return nil, err
	}
	var found []string
	if r.status == 0 {
		found = append(found, "an image past its expiry is accepted")
	}
	left, err := os.ReadDir(s.host(s.container() + "/rootfs"))
	if err == nil && len(left) > 0 {
		found = append(found, fmt.Sprintf("%q is left of an image past its expiry", left[0].Name()))
	}
	return found, err
}

func (h *harness) count(p *plan, refused bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.creations++
	if refused {
		h.refusals++
	}
	for name := range p.differences {
		h.differences[name]++
	}
}
