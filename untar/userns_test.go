package untar

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// The test starts itself again inside a user namespace. These variables tell that process
// what to do.
const (
	insideRoot    = "UNTAR_TEST_ROOT"
	insideArchive = "UNTAR_TEST_ARCHIVE"
	insideSource  = "UNTAR_TEST_SOURCE"
)

func TestMain(m *testing.M) {
	if os.Getenv(insideSource) != "" {
		copyInside()
		return
	}
	if os.Getenv(insideRoot) != "" {
		extractInside()
		return
	}
	os.Exit(m.Run())
}

// extractInside extracts an archive leniently and prints the result.
func extractInside() {
	f, err := os.Open(os.Getenv(insideArchive))
	if err != nil {
		fmt.Println("error", err)
		return
	}
	body, err := Decompress(f, DecompressOptions{})
	if err != nil {
		fmt.Println("error", err)
		return
	}
	r, err := OpenRoot(os.Getenv(insideRoot))
	if err != nil {
		fmt.Println("error", err)
		return
	}
	rep, err := r.Extract(body, Options{})
	var owner *OwnerError
	switch {
	case errors.As(err, &owner) && owner.Err == syscall.EINVAL:
		fmt.Println("unmapped")
	case err != nil:
		fmt.Println("refused")
	default:
		fmt.Println("accepted", rep.Summary())
	}
}

// copyInside copies a directory whose owner is the user 5555 and the group 6666, and prints the
// result.
func copyInside() {
	from, err := OpenRoot(os.Getenv(insideSource))
	if err != nil {
		fmt.Println("error", err)
		return
	}
	to, err := OpenRoot(os.Getenv(insideRoot))
	if err != nil {
		fmt.Println("error", err)
		return
	}
	report, err := to.Copy(from, Options{Strict: true, Metadata: Metadata{Caller: &[2]uint32{5555, 6666}}})
	if errors.Is(err, ErrUnmapped) {
		fmt.Println("unmapped", err)
		return
	}
	fmt.Println(err, report.Summary())
}

// Files of who called become root's of the container, and the bits of their modes stay. No other
// owner is outside of the namespace, and a file of a stranger is refused, but not one of nobody in
// the namespace.
func TestCopyInNamespace(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mapping a range of IDs needs root")
	}
	const caller, group, first = 5555, 6666, 100000
	program, err := os.ReadFile("/proc/self/exe")
	must(t, err)
	base := t.TempDir()
	self := filepath.Join(base, "untar.test")
	must(t, os.WriteFile(self, program, 0o755), os.Chmod(base, 0o755), os.Chmod(filepath.Dir(base), 0o755))
	type owner [2]int
	for i, test := range []struct {
		file, want owner // of the file "f", or of the link "l" if link is true
		link       bool
		refused    bool
	}{
		{file: owner{caller, group}, want: owner{first, first}},
		{file: owner{caller, group}, want: owner{first, first}, link: true},
		{file: owner{first + 12, first + 34}, want: owner{first + 12, first + 34}},
		{file: owner{caller, first + 34}, want: owner{first, first + 34}},
		{file: owner{first + 65534, first + 34}, want: owner{first + 65534, first + 34}},
		{file: owner{0, 0}, refused: true}, {file: owner{0, 0}, refused: true, link: true},
		{file: owner{65534, 65534}, refused: true}, {file: owner{caller, 0}, refused: true}, {file: owner{caller + 1, group}, refused: true},
	} {
		from, to := filepath.Join(base, fmt.Sprint("from", i)), filepath.Join(base, fmt.Sprint("to", i))
		name := "f"
		must(t, os.Mkdir(from, 0o755), os.Mkdir(to, 0o755), os.Chown(from, caller, group), os.Chown(to, first, first))
		must(t, os.Mkdir(filepath.Join(from, "d"), 0o755), os.Chown(filepath.Join(from, "d"), caller, group))
		if test.link {
			name = "l"
			must(t, os.Symlink("x", filepath.Join(from, name)))
		} else {
			must(t, os.WriteFile(filepath.Join(from, name), []byte("x"), 0o755))
		}
		must(t, os.Lchown(filepath.Join(from, name), test.file[0], test.file[1]))
		if !test.link {
			must(t, syscall.Chmod(filepath.Join(from, name), 0o4755))
		}
		ids := func(own int) []syscall.SysProcIDMap {
			return []syscall.SysProcIDMap{
				{ContainerID: 0, HostID: first, Size: own}, {ContainerID: own, HostID: own, Size: 1},
				{ContainerID: own + 1, HostID: first + own + 1, Size: 65535 - own},
			}
		}
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), insideRoot+"="+to, insideSource+"="+from)
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags: syscall.CLONE_NEWUSER, UidMappings: ids(caller), GidMappings: ids(group),
			Credential: &syscall.Credential{}, GidMappingsEnableSetgroups: true,
		}
		out, err := cmd.Output()
		if err != nil {
			t.Skipf("no user namespaces here: %v", err)
		}
		if refused := strings.HasPrefix(string(out), "unmapped"); refused != test.refused || !refused && !strings.HasPrefix(string(out), "<nil>") {
			t.Errorf("%v: %s", test.file, out)
		}
		if test.refused {
			continue
		}
		var st syscall.Stat_t
		must(t, syscall.Lstat(filepath.Join(to, name), &st))
		if got := (owner{int(st.Uid), int(st.Gid)}); got != test.want || !test.link && st.Mode&0o7777 != 0o4755 {
			t.Errorf("%v: the copy has %v and the mode %o", test.file, got, st.Mode)
		}
		must(t, syscall.Lstat(filepath.Join(to, "d"), &st))
		if st.Uid != first || st.Gid != first {
			t.Errorf("%v: the directory has %d:%d", test.file, st.Uid, st.Gid)
		}
	}
}

// inNamespace extracts an archive in a user namespace with 65,536 IDs.
func inNamespace(self, root, archive string) (string, error) {
	if err := os.Chown(root, 100000, 100000); err != nil {
		return "", err
	}
	ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 100000, Size: 65536}}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), insideRoot+"="+root, insideArchive+"="+archive)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUSER, UidMappings: ids, GidMappings: ids,
		Credential: &syscall.Credential{}, GidMappingsEnableSetgroups: true,
	}
	out, err := cmd.Output()
	return strings.TrimSpace(string(out)), err
}

// Cases with another result in a user namespace, and the reason.
var (
	// Rule: an owner without a mapping is an error. The user needs a wider range of
	// subordinate IDs.
	unmappedCases = words(`
		go/gnu go/hdr-only go/invalid-go17 go/pax-bad-mtime-file go/pax-pos-size-file go/star go/ustar-file-reg go/v7 go/writer
		libarchive/test_compat_gtar_2 libarchive/test_compat_mac-1 tar-rs/biguid_gnu tar-rs/biguid_pax tar-stream/base-256-uid-gid
		tar-stream/gnu-incremental tar-stream/gnu tar-stream/large-uid-gid go-archive/broken commons-compress/COMPRESS-324
		commons-compress/COMPRESS-355 commons-compress/test-times-gnu commons-compress/test-times-oldgnu commons-compress/test-times-posix
		commons-compress/test-times-ustar commons-compress/test-times-v7 commons-compress/dirWith1TxtFile commons-compress/emptyDir
		hostile/x17-uid-pax-large`)

	// Rule: device nodes other than 0:0 are skipped and counted.
	deviceCases = words(`cpython/test_testtar hostile/t04-block`)

	// Rule: privileged attributes (security.ima, trusted.*) are counted as not stored.
	// Capabilities are stored; processes outside read them as version 3.
	attributeCases = words(`libarchive/test_read_pax_xattr_schily`)
)

func words(s string) map[string]bool {
	m := make(map[string]bool)
	for _, w := range strings.Fields(s) {
		m[w] = true
	}
	return m
}

// TestUserNamespace extracts the reference archives in a user namespace, if they are next to
// the checkout. Except for the cases above, each archive that root accepts is accepted
// there, too.
func TestUserNamespace(t *testing.T) {
	const vectors = "../../shared/vectors/tar"
	list, err := os.Open(filepath.Join(vectors, "cases.jsonl"))
	if err != nil {
		t.Skip("no reference vectors beside the checkout")
	}
	defer list.Close()
	if os.Geteuid() != 0 {
		t.Skip("mapping a range of IDs needs root")
	}
	if testing.Short() {
		t.Skip("runs 300 processes")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	self = filepath.Join(t.TempDir(), "untar.test")
	if err := os.WriteFile(self, program, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{dir, filepath.Dir(dir), filepath.Dir(self)} { // the namespace's root must have access
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	seen := make(map[string]bool)
	scan := bufio.NewScanner(list)
	scan.Buffer(nil, 1<<20)
	for scan.Scan() {
		var c struct{ File, Expect, Prepare string }
		if err := json.Unmarshal(bytes.TrimSpace(scan.Bytes()), &c); err != nil {
			t.Fatal(err)
		}
		if c.Prepare != "" || c.Expect != "accept" && c.Expect != "refuse" {
			continue
		}
		archive, _ := filepath.Abs(filepath.Join(vectors, c.File))
		root := filepath.Join(dir, "root")
		if err := os.Mkdir(root, 0o755); err != nil {
			t.Fatal(err)
		}
		got, err := inNamespace(self, root, archive)
		if err != nil {
			t.Skipf("no user namespaces here: %v", err)
		}
		name := strings.TrimSuffix(strings.TrimSuffix(c.File, filepath.Ext(c.File)), ".tar")
		seen[name] = true
		devices := strings.Contains(got, "device node")
		attributes := strings.Contains(got, "not stored") && strings.Contains(got, ": user namespace")
		switch {
		case c.Expect == "refuse" && !strings.HasPrefix(got, "refused") && got != "unmapped":
			t.Errorf("%s: %s, should be refused", c.File, got)
		case c.Expect == "accept" && unmappedCases[name] != (got == "unmapped"):
			t.Errorf("%s: %q, IDs outside the map: %v", c.File, got, unmappedCases[name])
		case c.Expect == "accept" && got != "unmapped" && !strings.HasPrefix(got, "accepted"):
			t.Errorf("%s: %s", c.File, got)
		case c.Expect == "accept" && deviceCases[name] != devices:
			t.Errorf("%s: %q, devices: %v", c.File, got, deviceCases[name])
		case c.Expect == "accept" && attributeCases[name] != attributes:
			t.Errorf("%s: %q, attributes: %v", c.File, got, attributeCases[name])
		}
		r, err := OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		err = r.RemoveContents()
		r.Close()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, list := range []map[string]bool{unmappedCases, deviceCases, attributeCases} {
		for name := range list {
			if !seen[name] {
				t.Errorf("%s is listed and not among the vectors", name)
			}
		}
	}
}
