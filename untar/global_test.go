package untar

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// paxRecords returns the records of an extended header.
func paxRecords(pairs ...string) string {
	var b strings.Builder
	for i := 0; i < len(pairs); i += 2 {
		body := " " + pairs[i] + "=" + pairs[i+1] + "\n"
		n := len(body) + 1
		for n != len(body)+len(fmt.Sprint(n)) {
			n = len(body) + len(fmt.Sprint(n))
		}
		fmt.Fprintf(&b, "%d%s", n, body)
	}
	return b.String()
}

// tarMember returns a header with its body.
func tarMember(t testing.TB, typ byte, name, body string) []byte {
	t.Helper()
	b := build(t, body, tar.Header{Name: name, Uid: 11, Gid: 12, Uname: "u", Gname: "g", Format: tar.FormatUSTAR})
	b = b[:len(b)-1024]
	b[offType] = typ
	copy(b[offChecksum:], "        ")
	sum := 0
	for _, c := range b[:blockSize] {
		sum += int(c)
	}
	copy(b[offChecksum:], fmt.Sprintf("%06o\x00 ", sum))
	return b
}

func TestGlobalHeader(t *testing.T) {
	const file = "uid 11 gid 12 u g mtime 0.0"
	x := func(pairs ...string) []byte { return tarMember(t, 'x', "x", paxRecords(pairs...)) }
	g := func(pairs ...string) []byte { return tarMember(t, 'g', "g", paxRecords(pairs...)) }
	f := tarMember(t, '0', "f", "hello")
	for _, c := range []struct {
		name    string
		members [][]byte
		want    []string
		strict  error
	}{
		{"comment", [][]byte{g("comment", "0123abcd"), f}, []string{file}, nil},
		{"owner and time", [][]byte{f, g("uid", "7", "gid", "8", "mtime", "-1.5", "uname", "U", "gname", "G"), f, f},
			[]string{file, "uid 7 gid 8 U G mtime -2.500000000", "uid 7 gid 8 U G mtime -2.500000000"}, nil},
		{"the entry's own count more", [][]byte{g("uid", "7", "mtime", "5"), x("uid", "9"), f, f},
			[]string{"uid 9 gid 12 u g mtime 5.0", "uid 7 gid 12 u g mtime 5.0"}, nil},
		{"own ones without a value undo it", [][]byte{g("uid", "7", "mtime", "5"), x("uid", "", "mtime", ""), f, f},
			[]string{file, "uid 7 gid 12 u g mtime 5.0"}, nil},
		{"a later one adds", [][]byte{g("uid", "7", "gid", "8"), f, g("uid", "9"), f, g("gid", ""), f},
			[]string{"uid 7 gid 8 u g mtime 0.0", "uid 9 gid 8 u g mtime 0.0", "uid 9 gid 12 u g mtime 0.0"}, nil},
		{"between an extended header and its entry", [][]byte{x("gid", "8"), g("uid", "7"), f}, []string{"uid 7 gid 8 u g mtime 0.0"}, nil},
		{"names, sizes, attributes", [][]byte{g("path", "evil", "size", "1", "SCHILY.xattr.user.x", "y", "GNU.sparse.realsize", "9"), f}, []string{file}, errGlobal},
	} {
		archive := append(slices.Concat(c.members...), make([]byte, 1024)...)
		for _, strict := range []bool{false, true} {
			var got []string
			opt := Options{Strict: strict}
			err := opt.Walk(bytes.NewReader(archive), func(e *Entry, r io.Reader) error {
				body, err := io.ReadAll(r)
				if string(e.Name) != "f" || string(body) != "hello" || len(e.xattrs) > 0 {
					t.Errorf("%s: %q has %q, %q", c.name, e.Name, body, e.xattrs)
				}
				got = append(got, fmt.Sprintf("uid %d gid %d %s %s mtime %d.%d", e.UID, e.GID, e.Uname, e.Gname, e.Sec, e.Nsec))
				return err
			})
			want, wantErr := c.want, error(nil)
			if strict && c.strict != nil {
				want, wantErr = nil, c.strict
			}
			if !errors.Is(err, wantErr) || err != nil && wantErr == nil || !slices.Equal(got, want) {
				t.Errorf("%s, strict %v: %q, %v; want %q, %v", c.name, strict, got, err, want, wantErr)
			}
		}
	}
	for _, bad := range [][]byte{g("uid", "4294967295"), g("uid", "-1"), g("mtime", "x"), g("uname", strings.Repeat("u", maxGlobal))} {
		err := new(Options).Walk(bytes.NewReader(append(bad, f...)), func(*Entry, io.Reader) error { return nil })
		if err == nil {
			t.Errorf("%.60q is accepted", bad[blockSize:])
		}
	}
}

// A sparse map uses no more memory than maxExtents allows, in each format, and most of that
// is freed after the entry.
func TestSparseMapMemory(t *testing.T) {
	const size = maxExtents * 2
	pairs := func(from, to int) string { // one byte stored, then a hole of one byte
		var b strings.Builder
		for i := from; i < to; i++ {
			fmt.Fprintf(&b, "%d\n1\n", 2*i)
		}
		return b.String()
	}
	form1 := func(count, have int) []byte {
		text := fmt.Sprintf("%d\n", count) + pairs(0, have)
		text += strings.Repeat("\x00", -len(text)&(blockSize-1)) + strings.Repeat("y", have)
		return append(tarMember(t, 'x', "x", paxRecords("GNU.sparse.major", "1", "GNU.sparse.minor", "0", "GNU.sparse.realsize", fmt.Sprint(size), "GNU.sparse.name", "f")),
			tarMember(t, '0', "f", text)...)
	}
	for _, c := range []struct {
		name        string
		count, have int
		good        bool
		most        uint64 // bytes of memory
	}{
		{"1.0", maxExtents, maxExtents, true, 16<<20 + 1<<20},
		{"1.0, more than there are", maxExtents, 3, false, 1 << 20},
		{"1.0, too many", maxExtents + 1, 3, false, 1 << 20},
	} {
		archive := append(form1(c.count, c.have), make([]byte, 1024)...)
		var before, after runtime.MemStats
		s := newStream(bytes.NewReader(archive), true, false)
		runtime.ReadMemStats(&before)
		e, err := s.next()
		runtime.ReadMemStats(&after)
		if (err == nil) != c.good || err == nil && (e.extents.n != c.have || e.Size != size) {
			t.Errorf("%s: %v", c.name, err)
		}
		if got := after.TotalAlloc - before.TotalAlloc; got > c.most {
			t.Errorf("%s: %d bytes of memory", c.name, got)
		}
		if err == nil {
			e.extents.reset()
			if len(e.extents.chunks) > keptChunks {
				t.Errorf("%s: %d chunks stay", c.name, len(e.extents.chunks))
			}
		}
	}
}

func TestSparseVersion(t *testing.T) {
	for version, want := range map[[2]string]string{{"1", "1"}: "1.1", {"2", "0"}: "2.0", {"0", "2"}: "0.2"} {
		archive := append(tarMember(t, 'x', "x", paxRecords("GNU.sparse.major", version[0], "GNU.sparse.minor", version[1], "GNU.sparse.realsize", "9")), tarMember(t, '0', "f", "0\n")...)
		err := new(Options).Walk(bytes.NewReader(archive), func(*Entry, io.Reader) error { return nil })
		if err == nil || !strings.Contains(err.Error(), "sparse file of the unknown format "+want) {
			t.Errorf("%v: %v", version, err)
		}
	}
}
