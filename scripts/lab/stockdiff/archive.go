package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// A packing says how to call GNU tar and xz to make an archive of a tree.
type packing struct {
	format string   // v7, ustar, oldgnu, gnu, pax
	args   []string // more options for tar
	dot    bool     // members "./x" from one operand "."; else "x" from a list
	order  []string // if dot is false: the members in their order
	again  []string // members that are appended a second time, after change was called
	xz     []string
}

func (p packing) String() string {
	return fmt.Sprintf("tar --format=%s %s dot=%v again=%d | xz %s", p.format, strings.Join(p.args, " "), p.dot, len(p.again), strings.Join(p.xz, " "))
}

// pack makes a .tar.xz of dir. It calls change, which may be nil, before it appends the
// members of again. The archive is made in the directory scratch.
func (p packing) pack(dir, scratch string, change func() error) ([]byte, error) {
	file := filepath.Join(scratch, "archive.tar")
	defer os.Remove(file)
	args := append([]string{"--format=" + p.format}, p.args...)
	var err error
	if p.dot {
		err = tool(nil, "tar", append([]string{"-C", dir, "-cf", file}, append(args, ".")...)...)
	} else {
		names := strings.Join(p.order, "\x00")
		err = tool([]byte(names), "tar", append([]string{"-C", dir, "-cf", file, "--null", "--no-recursion", "-T", "-"}, args...)...)
	}
	if err != nil {
		return nil, err
	}
	if len(p.again) > 0 {
		if change != nil {
			if err := change(); err != nil {
				return nil, err
			}
		}
		names := strings.Join(p.again, "\x00")
		// GNU tar can't append to a global header.
		args = slices.DeleteFunc(args, func(a string) bool { return strings.HasPrefix(a, "--pax-option=") && strings.Contains(a, "comment=") })
		if err := tool([]byte(names), "tar", append([]string{"-C", dir, "-rf", file, "--null", "--no-recursion", "-T", "-"}, args...)...); err != nil {
			return nil, err
		}
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return xz(raw, p.xz...)
}

func xz(raw []byte, args ...string) ([]byte, error) {
	cmd := exec.Command("xz", append([]string{"-c"}, args...)...)
	cmd.Stdin = bytes.NewReader(raw)
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("xz %s: %w", strings.Join(args, " "), err)
	}
	return out, nil
}

func tool(stdin []byte, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Stdin = bytes.NewReader(stdin)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %q: %w\n%s", name, args, err, out)
	}
	return nil
}
