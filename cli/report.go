package cli

import (
	"context"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// A reportFile is where --report is written to. It is opened before the work
// begins, so that a place that can't be written costs nothing; but in the directory
// that is to be filled only at the end, since that must be empty.
type reportFile struct {
	out     *output
	f       *os.File
	regular bool
	made    bool // by this run, and nothing is in it
}

// openReport opens the file of that path for a report; nil: no report is wanted. filled
// are the directories that are to be filled.
func openReport(ctx context.Context, path string, filled ...string) (*reportFile, error) {
	if path == "" {
		return nil, nil
	}
	o, err := openOutput(path)
	if err != nil {
		return nil, err
	}
	defer o.close()
	r := new(reportFile)
	if r.out, err = o.target(); err != nil {
		return nil, err
	}
	if r.f, err = r.out.device(ctx); err == nil && r.f == nil {
		r.regular = true
		if !r.out.isIn(filled) {
			err = r.begin()
		}
	}
	if err != nil {
		r.out.close()
		return nil, err
	}
	return r, nil
}

// isIn reports whether the output's directory is one of those.
func (o *output) isIn(directories []string) bool {
	var here, there unix.Stat_t
	if unix.Fstatat(o.dir, "", &here, unix.AT_EMPTY_PATH) != nil {
		return false
	}
	return slices.ContainsFunc(directories, func(path string) bool {
		return unix.Stat(path, &there) == nil && there.Dev == here.Dev && there.Ino == here.Ino
	})
}

// begin opens a regular file, or makes it.
func (r *reportFile) begin() (err error) {
	fd, err := unix.Openat(r.out.dir, r.out.base, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o666)
	switch err {
	case nil:
		r.f, r.made = os.NewFile(uintptr(fd), r.out.path), true
	case unix.EEXIST:
		// In another's directory any file of ours there may have been given the name.
		var here unix.Stat_t
		if err = unix.Fstatat(r.out.dir, "", &here, unix.AT_EMPTY_PATH); err != nil {
			return r.out.fail("stat", "", err)
		}
		switch {
		case !trustedOwner(here.Uid):
			return fmt.Errorf("%q exists, in a directory of another user (uid %d): remove it, or name another file", r.out.path, here.Uid)
		case here.Mode&0o002 != 0 && here.Mode&unix.S_ISVTX == 0:
			return fmt.Errorf("%q exists, in a directory that everybody may write: remove it, or name another file", r.out.path)
		}
		r.f, err = r.out.existing("", unix.O_RDWR)
	default:
		err = r.out.fail("create", "", err)
	}
	return err
}

// write writes the report in the place of what was there. A device or a pipe may
// wait, no longer than until ctx is done.
func (r *reportFile) write(ctx context.Context, data []byte) error {
	if r.f == nil {
		if err := r.begin(); err != nil {
			return err
		}
	}
	if !r.regular {
		return untilDone(ctx, func() error {
			_, err := r.f.Write(data)
			return err
		})
	}
	r.made = false
	if err := r.f.Truncate(0); err != nil {
		return err
	}
	if _, err := r.f.WriteAt(data, 0); err != nil {
		return err
	}
	return r.f.Sync() // what a close would say too late
}

// close ends the use of the file; one that was made for nothing is removed.
func (r *reportFile) close() {
	if r == nil {
		return
	}
	if r.made && r.out.holds(r.f, "") {
		unix.Unlinkat(r.out.dir, r.out.base, 0)
	}
	r.out.close()
	if r.f != nil {
		r.f.Close()
	}
}
