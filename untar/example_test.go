package untar_test

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"log"
	"os"

	"lxc-pull/untar"
)

// archive returns a small tar archive.
func archive() io.Reader {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range []tar.Header{
		{Name: "./etc/", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "./etc/hostname", Typeflag: tar.TypeReg, Mode: 0o644, Size: 5},
		{Name: "./dev/null", Typeflag: tar.TypeReg, Mode: 0o644, Size: 5},
	} {
		h.Uid, h.Gid = os.Geteuid(), os.Getegid()
		if err := w.WriteHeader(&h); err != nil {
			log.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := w.Write([]byte("demo\n")); err != nil {
				log.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		log.Fatal(err)
	}
	return &b
}

// Extract an archive into a new directory, which appears only when it is complete.
func ExampleTarget() {
	dir, err := os.MkdirTemp("", "untar")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	target, err := untar.OpenTarget(dir + "/rootfs")
	if err != nil {
		log.Fatal(err)
	}
	defer target.Close()
	plain, err := untar.Decompress(archive(), untar.DecompressOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer plain.Close()
	report, err := target.Root().Extract(plain, untar.Options{
		Strict: true,
		Filter: untar.Filter{Exclude: []string{"./dev/*"}},
		Limits: untar.Limits{Bytes: 1 << 20},
	})
	if err != nil {
		target.Abort()
		log.Fatal(err)
	}
	_, err = os.Stat(dir + "/rootfs")
	fmt.Println("complete:", err == nil)
	if err := target.Commit(); err != nil {
		log.Fatal(err)
	}
	_, err = os.Stat(dir + "/rootfs")
	fmt.Println("complete:", err == nil)
	text, err := os.ReadFile(dir + "/rootfs/etc/hostname")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d entries, %d bytes: %q\n", report.Entries, report.Bytes, text)
	// Output:
	// complete: false
	// complete: true
	// 3 entries, 5 bytes: "demo\n"
}

// List the entries of an archive.
func ExampleOptions_Walk() {
	err := untar.Options{}.Walk(archive(), func(e *untar.Entry, body io.Reader) error {
		content, err := io.ReadAll(body)
		fmt.Printf("%c %04o %s %q\n", e.Type, e.Mode, e.Name, content)
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// 5 0755 ./etc/ ""
	// 0 0644 ./etc/hostname "demo\n"
	// 0 0644 ./dev/null "demo\n"
}
