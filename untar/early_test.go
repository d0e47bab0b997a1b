package untar

import (
	"archive/tar"
	"errors"
	"io"
	"testing"

	"golang.org/x/sys/unix"
)

// TestEarlySync checks that an extraction begins to write to the disk before its end, once it has
// enough content: of one large file, and of many.
func TestEarlySync(t *testing.T) {
	for _, size := range []int64{2*earlyBytes - 1, earlyBytes / 16, earlyBytes / 64} {
		archive, w := io.Pipe()
		go func() {
			tw := tar.NewWriter(w)
			for i := range 32 {
				if i > 0 && size > earlyBytes {
					break
				}
				tw.WriteHeader(&tar.Header{Name: string(rune('A' + i)), Size: size, Mode: 0o644})
				io.CopyN(tw, zeros{}, size)
			}
			w.CloseWithError(tw.Close())
		}()
		root, err := OpenRoot(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		report, err := root.Extract(archive, Options{})
		if err != nil {
			t.Fatal(err)
		}
		begun := root.early.waiting < report.Bytes
		if want := report.Bytes >= earlyBytes; begun != want {
			t.Errorf("%d bytes in files of %d: written early: %v, want %v", report.Bytes, size, begun, want)
		}
		if err := root.Sync(); err != nil || root.early.running != nil {
			t.Errorf("Sync: %v, still running: %v", err, root.early.running != nil)
		}
		if err := root.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestEarlySyncError checks that an error which only an early call got fails each later Sync.
func TestEarlySyncError(t *testing.T) {
	good, err := OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer good.Close()
	for _, calls := range []int{1, 3} {
		r := &Root{fd: -1, path: "x"}
		for range calls {
			r.wrote(earlyBytes)
		}
		for range 2 {
			r.early.wait() // so that the call is over before there is a good descriptor
			r.fd = good.fd
			if err := r.Sync(); !errors.Is(err, unix.EBADF) {
				t.Errorf("after %d early calls: %v", calls, err)
			}
			r.wrote(earlyBytes) // succeeds
		}
		r.early.wait()
	}
}
