package cli

import (
	"context"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// This file writes the file of --report. openReport opens it before a command begins its
// work, so that a file that can't be written costs nothing; write writes it at the end; close
// removes a new file that was not written.

// A reportFile is the file that --report names.
type reportFile struct {
	_       uncomparable
	out     *output
	regular bool // a regular file; else a device or a pipe
	// postponed says that write is to open the file: it is in the directory that the command
	// fills, which must be empty when the work begins.
	postponed bool
	created   bool     // this run created the file, and has not begun to write to it
	f         *os.File // nil while the opening is postponed
}

// openReport opens the report file at that path; it returns nil if path is "". filled are
// the directories that the command fills.
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
	if r.f, err = r.out.openDevice(ctx); err == nil && r.f == nil {
		r.regular = true
		if r.postponed = r.out.isIn(filled); !r.postponed {
			err = r.open()
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
	dir, err := o.statDir()
	if err != nil {
		return false
	}
	for _, path := range directories {
		var st unix.Stat_t
		if unix.Stat(path, &st) == nil && st.Dev == dir.Dev && st.Ino == dir.Ino {
			return true
		}
	}
	return false
}

// open opens a regular file, or creates it.
func (r *reportFile) open() (err error) {
	if r.f, err = r.out.create("", newMode); err == nil {
		r.created = true
		return nil
	}
	if err != unix.EEXIST {
		return r.out.pathError("create", "", err)
	}
	// A user who can rename files in the directory can move any file of ours there to this name.
	dir, err := r.out.statDir()
	switch {
	case err != nil:
		return err
	case !trustedOwner(dir.Uid):
		return fmt.Errorf("%q exists, in a directory of another user (uid %d): remove it, or name another file", r.out.path, dir.Uid)
	case dir.Mode&0o002 != 0 && dir.Mode&unix.S_ISVTX == 0:
		return fmt.Errorf("%q exists, in a directory that everybody may write to: remove it, or name another file", r.out.path)
	}
	r.f, err = r.out.openExisting("", unix.O_RDWR)
	return err
}

// write replaces the file's content with the report. Writing to a device or a pipe may block;
// write returns when ctx is done.
func (r *reportFile) write(ctx context.Context, data []byte) error {
	if r.postponed {
		if err := r.open(); err != nil {
			return err
		}
		r.postponed = false
	}
	if !r.regular {
		return untilDone(ctx, func() error {
			_, err := r.f.Write(data)
			return err
		})
	}
	r.created = false
	if err := r.f.Truncate(0); err != nil {
		return err
	}
	if _, err := r.f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if _, err := r.f.Write(data); err != nil {
		return err
	}
	return r.f.Sync() // reports errors that close would report too late
}

// close closes the file, and removes it if this run created it and did not write to it. It
// does nothing if r is nil.
func (r *reportFile) close() {
	if r == nil {
		return
	}
	if r.created && r.out.isStill(r.f, "") {
		unix.Unlinkat(r.out.dir, r.out.base, 0)
	}
	r.out.close()
	if r.f != nil {
		r.f.Close()
	}
}
