package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// self shows that the comparison works: the stock template equals itself in everything, and
// each mutation is noticed.
func (h *harness) self(seed uint64, count int) error {
	if err := h.compareMany(seed, count, h.stock); err != nil || h.failed > 0 {
		return err
	}
	for _, m := range mutations {
		noticed, err := h.notices(seed, m)
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		if !noticed {
			return fmt.Errorf("the comparison doesn't notice: %s", m.name)
		}
	}
	fmt.Printf("%d mutations, all noticed\n", len(mutations))
	return nil
}

// notices reports whether a mutation is noticed in the first case that has the file it
// changes.
func (h *harness) notices(seed uint64, m mutation) (bool, error) {
	applied := false
	watched := mutation{m.name, func(s *side, r *result) (bool, error) {
		done, err := m.apply(s, r)
		applied = applied || done
		return done, err
	}}
	const tries = 40
	for i := range uint64(tries) {
		before := h.failed
		h.quiet = true
		err := h.compareCase(seed+i, h.stock, &watched, outcomeNo)
		h.quiet = false
		noticed := h.failed > before
		h.failed = before
		if err != nil || applied {
			return noticed, err
		}
	}
	return false, fmt.Errorf("none of %d cases has what it changes", tries)
}

// inRootfs returns a mutation of one file that every image has.
func inRootfs(name string, apply func(path string) error) mutation {
	return mutation{name, func(s *side, r *result) (bool, error) {
		p := s.host(s.container() + "/rootfs/srv/setuid")
		if _, err := os.Lstat(p); err != nil {
			return false, nil
		}
		return true, apply(p)
	}}
}

// inFile returns a mutation of the first file that matches a pattern below the container's
// directory or the view.
func inFile(name, pattern string, apply func(path string) error) mutation {
	return mutation{name, func(s *side, r *result) (bool, error) {
		found, err := filepath.Glob(s.host(strings.ReplaceAll(pattern, "@", s.container())))
		if err != nil || len(found) == 0 {
			return false, err
		}
		return true, apply(found[0])
	}}
}

// flip changes the last bit of a file's middle byte.
func flip(p string) error {
	data, err := os.ReadFile(p)
	if err != nil {
		return err
	}
	if len(data) == 0 {
		data = []byte{0}
	}
	data[len(data)/2] ^= 1
	return os.WriteFile(p, data, 0)
}

var mutations = []mutation{
	inFile("a byte of config", "@/config", flip),
	inFile("the mode of config", "@/config", func(p string) error { return os.Chmod(p, 0o604) }),
	inFile("the owner of config", "@/config", func(p string) error { return os.Chown(p, 5, -1) }),
	inFile("a byte of fstab", "@/fstab", flip),
	inFile("no fstab", "@/fstab", os.Remove),
	inFile("a file beside config", "@/config", func(p string) error { return os.WriteFile(p+"-auto", nil, 0o644) }),
	inFile("a byte of the cached rootfs", "cache/download/*/*/*/*/rootfs.tar.xz", flip),
	inFile("a byte of the build id", "cache/download/*/*/*/*/build_id", flip),
	inFile("a file in the cache", "cache/download/*/*/*/*/build_id", func(p string) error { return os.WriteFile(p+".new", nil, 0o644) }),
	inFile("the owner of the cache", "cache/download", func(p string) error { return os.Chown(p, 5, 5) }),
	inRootfs("a mode in the rootfs", func(p string) error { return os.Chmod(p, 0o700) }),
	inRootfs("an owner in the rootfs", func(p string) error { return os.Lchown(p, 77, -1) }),
	inRootfs("a time in the rootfs", func(p string) error { t := time.Unix(1, 0); return os.Chtimes(filepath.Dir(p), t, t) }),
	inRootfs("an xattr in the rootfs", func(p string) error { return unix.Setxattr(p, "user.x", []byte("y"), 0) }),
	inRootfs("a file less", os.Remove),
	inRootfs("a file more", func(p string) error { return os.WriteFile(p+"2", nil, 0o644) }),
	inRootfs("a file for a directory", func(p string) error {
		if err := os.Remove(p); err != nil {
			return err
		}
		return os.Mkdir(p, 0o755)
	}),
	inRootfs("a hard link broken", func(p string) error {
		p = filepath.Join(filepath.Dir(p), "hard")
		data, err := os.ReadFile(p)
		if err != nil {
			return nil
		}
		if err := os.Remove(p); err != nil {
			return err
		}
		return os.WriteFile(p, data, 0o644)
	}),
	{"a byte of the message", func(s *side, r *result) (bool, error) {
		if !strings.Contains(r.stdout, "\n---\n") {
			return false, nil
		}
		r.stdout += "!"
		return true, nil
	}},
	{"a phrase", func(s *side, r *result) (bool, error) {
		r.stdout = strings.Replace(r.stdout, "Unpacking the rootfs", "Unpacking", 1)
		return true, nil
	}},
	{"the exit status", func(s *side, r *result) (bool, error) {
		r.status = 1 - min(r.status, 1)
		return true, nil
	}},
}
