package cache

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// TestEarlyWriter checks that a file is written to the disk while it is downloaded.
func TestEarlyWriter(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var w earlyWriter
	var want []byte
	for i := range 5 {
		p := bytes.Repeat([]byte{byte(i)}, earlyBytes/2+i)
		if n, err := w.write(f, p); n != len(p) || err != nil {
			t.Fatal(n, err)
		}
		want = append(want, p...)
	}
	got, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<40))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d other bytes are in the file: %v", len(got), err)
	}
	if w.waiting >= earlyBytes {
		t.Errorf("%d bytes wait", w.waiting)
	}
	// Linux 6.5 tells how many pages of a file still wait; in memory all do, or none.
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &st); err != nil || int64(st.Type) != unix.EXT4_SUPER_MAGIC {
		t.Skip("not on ext4")
	}
	var stat struct{ cached, dirty, writing, evicted, recent uint64 }
	const cachestat = 451
	span := [2]uint64{0, uint64(len(want))}
	if _, _, e := unix.Syscall6(cachestat, f.Fd(), uintptr(unsafe.Pointer(&span)), uintptr(unsafe.Pointer(&stat)), 0, 0, 0); e != 0 {
		t.Skip("cachestat: ", e)
	}
	if most := uint64(earlyBytes / os.Getpagesize()); stat.dirty > most {
		t.Errorf("%d pages wait, want at most %d", stat.dirty, most)
	}
}

// TestEarlyWriterErrors checks that the hint can't fail a download: a pipe can't be synced.
func TestEarlyWriterErrors(t *testing.T) {
	r, f, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	go io.Copy(io.Discard, r)
	defer f.Close()
	var w earlyWriter
	if n, err := w.write(f, make([]byte, earlyBytes)); n != earlyBytes || err != nil {
		t.Error(n, err)
	}
}

// TestEarlyWriterUsed checks that both kinds of downloads use it.
func TestEarlyWriterUsed(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	st, b := &Stage{Rootfs: f}, &Blob{File: f}
	st.Write([]byte("1"))
	b.Write([]byte("12"))
	if st.early.waiting != 1 || b.early.waiting != 2 {
		t.Errorf("%d and %d bytes wait", st.early.waiting, b.early.waiting)
	}
}
