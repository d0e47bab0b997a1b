package cache

import (
	"os"

	"golang.org/x/sys/unix"
)

// earlyBytes is how much is written to a file, in bytes, before the kernel is told to write it to
// the disk: no less than an SD card writes at once, and little for a router with 64 MB.
const earlyBytes = 4 << 20

// An earlyWriter has the kernel write a file to the disk while more of it is downloaded, so that
// little is left for the fsync(2) before its rename.
type earlyWriter struct {
	_       [0]func() // forbids ==, whose code nothing needs
	waiting int       // bytes that were written since the last call
}

// write appends to a file. Errors of sync_file_range(2), which FUSE and some architectures lack,
// are ignored: it is a hint, and fsync reports a failed write.
func (w *earlyWriter) write(f *os.File, p []byte) (int, error) {
	n, err := f.Write(p)
	if w.waiting += n; w.waiting >= earlyBytes {
		w.waiting = 0
		unix.SyncFileRange(int(f.Fd()), 0, 0, unix.SYNC_FILE_RANGE_WRITE) // 0: to the end
	}
	return n, err
}
