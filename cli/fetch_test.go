package cli

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lxc-pull/fetch"
)

// A fetchServer serves data under every name. Each number in cuts is for one request: the
// answer breaks off after so many bytes; if the number is negative, the answer is 404.
type fetchServer struct {
	data  []byte
	etag  string
	cuts  []int
	asked []string // the Range header of each request
}

func (s *fetchServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.asked = append(s.asked, r.Header.Get("Range"))
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("ETag", s.etag)
	if len(s.cuts) == 0 {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(s.data))
		return
	}
	n := s.cuts[0]
	s.cuts = s.cuts[1:]
	if n < 0 {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(s.data)))
	w.Write(s.data[:n])
	w.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

// fetchTest runs "fetch" with these arguments in the current directory.
func fetchTest(t *testing.T, args ...string) (out, messages string, err error) {
	t.Helper()
	return perform(t, append([]string{"fetch"}, args...)...)
}

// closedPort returns an address at which nothing listens while the test runs. The port is
// bound, so that no other socket gets it.
func closedPort(t *testing.T) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", name.(*unix.SockaddrInet4).Port)
}

// directory returns the names in the current directory, with spaces between them.
func directory(t *testing.T) string {
	t.Helper()
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

// A call continues the part file of an earlier call if that is of the same version of the
// same file. Otherwise it downloads from the beginning.
func TestFetchContinues(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789"), 10_000)
	other := bytes.Repeat([]byte("abcdefghij"), 10_000)
	digest := fmt.Sprintf("%x", sha256.Sum256(data))
	s := &fetchServer{data: data, etag: `"1"`, cuts: []int{70_000, -1}}
	server := httptest.NewServer(s)
	defer server.Close()
	t.Chdir(t.TempDir())
	_, _, err := fetchTest(t, "-q", "-o", "x", server.URL+"/x")
	var e *fetch.Error
	if !errors.As(err, &e) || e.Status != 404 || exitStatus(err) != exitNetwork {
		t.Fatalf("the first call: %v, status %d", err, exitStatus(err))
	}
	if directory(t) != "x.part x.part.from" {
		t.Errorf("the first call leaves %q", directory(t))
	}
	part, _ := os.ReadFile("x.part")
	from, _ := os.ReadFile("x.part.from")
	tests := []struct {
		name  string
		args  []string
		path  string
		file  []byte // the server's file at the second call
		etag  string
		asked string
	}{
		{"the same file", nil, "/x", data, `"1"`, "[bytes=70000-]"},
		{"by digest", []string{"--sha256", digest}, "/x", data, `"1"`, "[bytes=70000-]"},
		{"by digest, from elsewhere", []string{"--sha256", digest}, "/mirror", data, `"3"`, "[bytes=70000-]"},
		{"another file", nil, "/x", other, `"2"`, "[bytes=70000- ]"},
		{"another URL", nil, "/y", data, `"1"`, "[]"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			os.WriteFile("x.part", part, 0o644)
			os.WriteFile("x.part.from", from, 0o644)
			s.data, s.etag, s.asked = test.file, test.etag, nil
			if _, _, err := fetchTest(t, append(test.args, "-q", "-o", "x", server.URL+test.path)...); err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(s.asked); got != test.asked {
				t.Errorf("asked for %s, want %s", got, test.asked)
			}
			if got, _ := os.ReadFile("x"); !bytes.Equal(got, test.file) {
				t.Errorf("%d bytes, not the file", len(got))
			}
			if directory(t) != "x" {
				t.Errorf("the directory holds %q", directory(t))
			}
		})
	}
}

// If one of several servers sends wrong bytes, the file comes from the others.
func TestFetchWrongBytes(t *testing.T) {
	good := bytes.Repeat([]byte("0123456789"), 10_000)
	bad := bytes.Repeat([]byte("abcdefghij"), 10_000)
	digest := fmt.Sprintf("%x", sha256.Sum256(good))
	serve := func(data []byte, cuts ...int) (*fetchServer, string) {
		s := &fetchServer{data: data, etag: `"1"`, cuts: cuts}
		server := httptest.NewServer(s)
		t.Cleanup(server.Close)
		return s, server.URL
	}
	call := func(urls ...string) (string, error) {
		_, _, err := fetchTest(t, append([]string{"-q", "-o", "x", "--sha256", digest}, urls...)...)
		data, _ := os.ReadFile("x")
		os.Remove("x")
		switch {
		case err != nil:
			return "", err
		case bytes.Equal(data, good) && directory(t) == "":
			return "right", nil
		}
		return "wrong", nil
	}
	t.Chdir(t.TempDir())
	liar, liarURL := serve(bad)
	_, goodURL := serve(good)
	if got, err := call(liarURL, goodURL); got != "right" || len(liar.asked) != 1 {
		t.Errorf("a liar first: %s, %v; it was asked %d times", got, err, len(liar.asked))
	}
	_, cutURL := serve(good, 70_000, -1) // breaks off, then answers 404, then sends the file
	if got, err := call(cutURL, liarURL); got != "right" {
		t.Errorf("a liar in the middle: %s, %v", got, err)
	}
	if got, err := call(liarURL); exitStatus(err) != exitUnverified || directory(t) != "" {
		t.Errorf("only a liar: %s, %v, directory %q", got, err, directory(t))
	}
	_, emptyURL := serve(nil)
	if got, err := call(emptyURL, goodURL); got != "right" {
		t.Errorf("an empty file first: %s, %v", got, err)
	}
	if got, err := call(emptyURL, emptyURL+"/again"); exitStatus(err) != exitUnverified {
		t.Errorf("only empty files: %s, %v", got, err)
	}
	os.WriteFile("x.part", bad[:70_000], 0o644)
	os.WriteFile("x.part.from", []byte(strings.Repeat("ab", sha256.Size)+"\n\n"), 0o644)
	if got, err := call(goodURL); got != "right" {
		t.Errorf("a wrong part: %s, %v", got, err)
	}
}

// A FILE.part of another program, such as a browser, is as it was after a call that fails;
// after one that succeeds it has become the file.
func TestFetchForeignPart(t *testing.T) {
	good := bytes.Repeat([]byte("0123456789"), 10_000)
	digest := []string{"--sha256", fmt.Sprintf("%x", sha256.Sum256(good))}
	for _, test := range []struct {
		name   string
		part   string
		from   string // content of the record; "": there is no record
		args   []string
		cuts   []int
		status int
		asked  int // requests; -1: any number
	}{
		{"another program's", "half of it", "", nil, nil, exitUsage, 0},
		{"with a record that is none", "half of it", "of a person's\n\n", nil, nil, exitUsage, 0},
		{"with a long record", "half of it", strings.Repeat("x", maxRecord+1), nil, nil, exitUsage, 0},
		{"goes on", string(good[:100]), "", digest, nil, 0, 1},
		{"is whole", string(good), "", digest, nil, 0, -1},
		{"wrong bytes", "half of it", "", digest, nil, exitUnverified, 1},
		{"breaks off", string(good[:100]), "", digest, []int{50, -1}, exitNetwork, -1},
		{"not found", string(good[:100]), "", digest, []int{-1}, exitNetwork, 1},
		{"not found, too long", strings.Repeat("x", 200_000), "", digest, []int{-1, -1, -1, -1}, exitNetwork, -1},
		{"empty, not found", "", "", nil, []int{-1}, exitNetwork, 1},
		{"empty", "", "", nil, nil, 0, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &fetchServer{data: good, etag: `"1"`, cuts: test.cuts}
			server := httptest.NewServer(s)
			defer server.Close()
			t.Chdir(t.TempDir())
			os.WriteFile("x.part", []byte(test.part), 0o644)
			if test.from != "" {
				os.WriteFile("x.part.from", []byte(test.from), 0o644)
			}
			_, _, err := fetchTest(t, append(test.args, "-q", "-o", "x", server.URL+"/x")...)
			status := 0
			if err != nil {
				status = exitStatus(err)
			}
			if status != test.status || test.asked >= 0 && len(s.asked) != test.asked {
				t.Errorf("status %d, want %d; %d requests (%v)", status, test.status, len(s.asked), err)
			}
			if from, _ := os.ReadFile("x.part.from"); string(from) != test.from {
				t.Errorf("the record holds %q", from)
			}
			if test.status == 0 {
				if got, _ := os.ReadFile("x"); !bytes.Equal(got, good) || directory(t) != "x" {
					t.Errorf("%d bytes; the directory holds %q", len(got), directory(t))
				}
			} else if part, err := os.ReadFile("x.part"); string(part) != test.part || err != nil {
				t.Errorf("the part has %d bytes, had %d (%v)", len(part), len(test.part), err)
			}
		})
	}
}

func TestFetchStatus(t *testing.T) {
	s := &fetchServer{data: []byte("hello"), etag: `"1"`}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/missing":
			http.NotFound(w, r)
		case r.URL.Path == "/page":
			w.Header().Set("Content-Type", "text/html")
			io.WriteString(w, "<html>")
		default:
			s.ServeHTTP(w, r)
		}
	}))
	defer server.Close()
	file := filepath.Join(t.TempDir(), "file")
	os.WriteFile(file, []byte("local"), 0o644)
	zeros := strings.Repeat("0", 64)
	hello := fmt.Sprintf("%x", sha256.Sum256([]byte("hello")))
	tests := []struct {
		name   string
		args   []string
		status int
		out    string
		left   string
	}{
		{"named by the URL", []string{server.URL + "/a"}, exitDone, "", "a"},
		{"to standard output", []string{server.URL + "/a", "-o-"}, exitDone, "hello", ""},
		{"a local file", []string{"-o", "x", "file://" + file}, exitDone, "", "x"},
		{"with its digest", []string{"-o", "x", "--sha256", strings.ToUpper(hello), server.URL + "/missing", server.URL + "/a"}, exitDone, "", "x"},
		{"a wrong digest", []string{"-o", "x", "--sha256", zeros, server.URL}, exitUnverified, "", ""},
		{"a wrong digest to standard output", []string{"-o-", "--sha256", zeros, server.URL}, exitUnverified, "hello", ""},
		{"a device", []string{"-o", "/dev/null", server.URL}, exitDone, "", ""},
		{"a directory", []string{"-o", "/", server.URL}, exitUsage, "", ""},
		{"missing", []string{server.URL + "/missing"}, exitNetwork, "", ""},
		{"a web page", []string{server.URL + "/page"}, exitNetwork, "", ""},
		{"a welcome web page", []string{"--html", "-o-", server.URL + "/page"}, exitDone, "<html>", ""},
		{"no URL", nil, exitUsage, "", ""},
		{"not a URL", []string{"-o", "x", "::"}, exitUsage, "", ""},
		{"several without a digest", []string{server.URL + "/a", server.URL + "/b"}, exitUsage, "", ""},
		{"no name", []string{server.URL}, exitUsage, "", ""},
		{"no name but a dot", []string{server.URL + "/.."}, exitUsage, "", ""},
		{"a directory's name", []string{server.URL + "/a/"}, exitUsage, "", ""},
		{"a name that steers the terminal", []string{server.URL + "/%1b[2J"}, exitUsage, "", ""},
		{"half a digest", []string{"--sha256", "00", server.URL + "/a"}, exitUsage, "", ""},
		{"no rate", []string{"--limit-rate", "fast", server.URL + "/a"}, exitUsage, "", ""},
		{"no address", []string{"--resolve", "a:b", server.URL + "/a"}, exitUsage, "", ""},
		{"no host", []string{"--resolve", ":127.0.0.1", server.URL + "/a"}, exitUsage, "", ""},
		{"no name server", []string{"--dns", "x", server.URL + "/a"}, exitUsage, "", ""},
		{"no address family", []string{"-46", server.URL + "/a"}, exitUsage, "", ""},
		{"no such option", []string{"--post", server.URL + "/a"}, exitUsage, "", ""},
		{"all at once", []string{"-q", "-4", "--limit-rate=1G", "--time=2026-08-29", "--resolve", "images.test:127.0.0.1", "-o-", strings.Replace(server.URL, "127.0.0.1", "images.test", 1)}, exitDone, "hello", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			out, _, err := fetchTest(t, test.args...)
			if got := exitStatus(err); err == nil && test.status != exitDone || err != nil && got != test.status {
				t.Errorf("%v, status %d, want %d", err, got, test.status)
			}
			if out != test.out || directory(t) != test.left {
				t.Errorf("output %q, directory %q; want %q, %q", out, directory(t), test.out, test.left)
			}
		})
	}
	t.Chdir(t.TempDir())
	os.WriteFile("a", []byte("mine"), 0o644)
	if _, _, err := fetchTest(t, server.URL+"/a"); exitStatus(err) != exitUsage {
		t.Errorf("a file is replaced unasked: %v", err)
	}
	if _, _, err := fetchTest(t, server.URL+"/a", "-o", "a"); err != nil {
		t.Error(err)
	}
	if got, _ := os.ReadFile("a"); string(got) != "hello" {
		t.Errorf("the file is %q", got)
	}
	os.Symlink(file, "b.part")
	if _, _, err := fetchTest(t, server.URL+"/a", "-o", "b"); err == nil {
		t.Error("a link in the place of the part file is followed")
	}
}

func TestFetchCredentials(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		fmt.Fprintf(w, "%s:%s %s", user, password, r.Header.Get("X-Token"))
	}))
	defer server.Close()
	t.Chdir(t.TempDir())
	os.WriteFile("netrc", []byte("machine 127.0.0.1\n\tlogin Aladdin password secret\nmachine other login o"), 0o600)
	os.WriteFile("header", []byte("# mine\nX-Token: T\r\n"), 0o600)
	if out, _, err := fetchTest(t, "-o-", "--netrc-file", "netrc", "--header-file", "header", server.URL); out != "Aladdin:secret T" {
		t.Errorf("%q, %v", out, err)
	}
	t.Setenv("NETRC", "netrc")
	if out, _, err := fetchTest(t, "-o-", server.URL); out != "Aladdin:secret " {
		t.Errorf("NETRC: %q, %v", out, err)
	}
	for _, text := range []string{"default login a password secret", "machine", "login secret", "machine a port secret", "secret", "machine a password \"secret"} {
		if _, err := parseNetrc(text); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("netrc %q: %v", text, err)
		}
	}
	for _, text := range []string{"secret", ": secret", "a b: secret", "X: secret\x00", "X: a\rY: secret", "[secret", "[]", "[a:secret]", "[ftp://secret]", "[http://u:secret@]"} {
		if _, err := parseHeaders(text, "a"); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("header %q: %v", text, err)
		}
	}
	// Lines for one host are not sent to another host.
	os.WriteFile("header", []byte("X-Token: T\n["+strings.Replace(server.URL, "127.0.0.1", "other.test", 1)+"]\nX-Token: other's\n"), 0o600)
	elsewhere := strings.Replace(server.URL, "127.0.0.1", "mirror.test", 1)
	named := strings.Replace(server.URL, "127.0.0.1", "other.test", 1)
	digest := fmt.Sprintf("%x", sha256.Sum256([]byte(": other's")))
	if out, _, err := fetchTest(t, "-q", "-o-", "--header-file", "header", "--sha256", digest, "--resolve", "mirror.test:127.0.0.1", "--resolve", "other.test:127.0.0.1", "http://"+closedPort(t)+"/", named); out != ": other's" {
		t.Errorf("a host named in the file: %q, %v", out, err)
	}
	digest = fmt.Sprintf("%x", sha256.Sum256([]byte(": ")))
	if out, _, err := fetchTest(t, "-q", "-o-", "--header-file", "header", "--sha256", digest, "--resolve", "mirror.test:127.0.0.1", "http://"+closedPort(t)+"/", elsewhere); out != ": " {
		t.Errorf("a host not named in the file: %q, %v", out, err)
	}
	// Another port of the host is another origin.
	os.WriteFile("header", []byte("X-Token: T\n"), 0o600)
	digest = fmt.Sprintf("%x", sha256.Sum256([]byte("Aladdin:secret ")))
	if out, _, err := fetchTest(t, "-q", "-o-", "--header-file", "header", "--sha256", digest, "http://"+closedPort(t)+"/", server.URL); out != "Aladdin:secret " {
		t.Errorf("another port of the host: %q, %v", out, err)
	}
	for text, want := range map[string]string{
		"# mine\nmachine 127.0.0.1 login \"a b\" password \"q\\\"\\\\ #x\"": `a b:q"\ #x `,
		"machine 127.0.0.1\n login a\n#password x\n password #y":            "a:#y ",
		"machine 127.0.0.1:1 login a password b":                            ": ",
	} {
		os.WriteFile("netrc", []byte(text), 0o600)
		if out, _, err := fetchTest(t, "-o-", server.URL); out != want {
			t.Errorf("netrc %q: %q, %v, want %q", text, out, err, want)
		}
	}
	os.WriteFile("netrc", []byte("default"), 0o600)
	if _, _, err := fetchTest(t, "-o-", server.URL); err == nil {
		t.Error("a broken netrc file is passed over")
	}
	if _, _, err := fetchTest(t, "-o-", "--header-file", "absent", server.URL); err == nil {
		t.Error("an absent header file is passed over")
	}
}

// If a power failure has emptied the record, the next call still knows FILE.part as a part
// of this program.
func TestFetchLostRecord(t *testing.T) {
	good := bytes.Repeat([]byte("0123456789"), 10_000)
	digest := []string{"--sha256", fmt.Sprintf("%x", sha256.Sum256(good))}
	for _, test := range []struct {
		name   string
		mode   os.FileMode
		from   string
		args   []string
		status int
		asked  string
	}{
		{"an empty record", 0o600, "", nil, 0, "[]"},
		{"NULs", 0o600, strings.Repeat("\x00", 70), nil, 0, "[]"},
		{"an empty record, with the digest", 0o600, "", digest, 0, "[bytes=100-]"},
		{"a part of another mode", 0o644, "", nil, exitUsage, "[]"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &fetchServer{data: good, etag: `"1"`}
			server := httptest.NewServer(s)
			defer server.Close()
			t.Chdir(t.TempDir())
			os.WriteFile("x.part", good[:100], test.mode)
			os.WriteFile("x.part.from", []byte(test.from), 0o644)
			_, messages, err := fetchTest(t, append(test.args, "-o", "x", server.URL+"/x")...)
			if test.status != 0 {
				if err == nil || exitStatus(err) != test.status || directory(t) != "x.part x.part.from" || len(s.asked) > 0 {
					t.Errorf("%v; %d requests; the directory holds %q", err, len(s.asked), directory(t))
				}
				return
			}
			if got, _ := os.ReadFile("x"); err != nil || !bytes.Equal(got, good) || directory(t) != "x" || fmt.Sprint(s.asked) != test.asked {
				t.Errorf("%d bytes; asked for %s; the directory holds %q (%v)", len(got), s.asked, directory(t), err)
			}
			if said := strings.Contains(messages, "from the beginning"); said != (test.args == nil) {
				t.Errorf("said %q", messages)
			}
		})
	}
}

// A call uses an empty FILE.part that has no record, and the next call continues it.
func TestFetchEmptyPart(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789"), 10_000)
	s := &fetchServer{data: data, etag: `"1"`, cuts: []int{70_000, -1}}
	server := httptest.NewServer(s)
	defer server.Close()
	t.Chdir(t.TempDir())
	os.WriteFile("x.part", nil, 0o600)
	if _, _, err := fetchTest(t, "-q", "-o", "x", server.URL+"/x"); err == nil {
		t.Fatal("the first call did not fail")
	}
	if info, err := os.Stat("x.part"); err != nil || info.Size() != 70_000 {
		t.Fatalf("the part: %v (%v); the directory holds %q", info, err, directory(t))
	}
	s.asked = nil
	if _, _, err := fetchTest(t, "-q", "-o", "x", server.URL+"/x"); err != nil || fmt.Sprint(s.asked) != "[bytes=70000-]" || directory(t) != "x" {
		t.Errorf("asked for %s; the directory holds %q (%v)", s.asked, directory(t), err)
	}
}

// The record is written before the part has its first byte. A call whose record can't be
// written, since another file has the name, warns and goes on; if the disk is full, it fails
// and leaves nothing.
func TestFetchRecordFirst(t *testing.T) {
	var record string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, _ := os.ReadFile("x.part.from")
		record = string(data)
		w.Header().Set("Content-Type", "application/octet-stream")
		io.WriteString(w, "data")
	}))
	defer server.Close()
	call := func() (string, error) {
		record = "not asked"
		_, messages, err := fetchTest(t, "-o", "x", server.URL+"/x")
		return messages, err
	}
	t.Chdir(t.TempDir())
	// An empty file aside, left by a call that was killed, is overwritten.
	os.WriteFile("x.part.from.new", nil, 0o600)
	if _, err := call(); err != nil || directory(t) != "x" || len(record) != 2*sha256.Size+2 {
		t.Errorf("%v; the directory holds %q, the record %q", err, directory(t), record)
	}
	for _, name := range []string{"x.part.from", "x.part.from.new"} {
		t.Chdir(t.TempDir())
		os.WriteFile(name, []byte("of a person's\n"), 0o600)
		messages, err := call()
		text, _ := os.ReadFile(name)
		if err != nil || !strings.Contains(messages, name) || string(text) != "of a person's\n" || directory(t) != "x "+name {
			t.Errorf("%s: %v, said %q; the directory holds %q", name, err, messages, directory(t))
		}
	}
	t.Chdir(t.TempDir())
	// A full disk: a process that may write ten bytes.
	needsKernel(t)
	header := filepath.Join(t.TempDir(), "header")
	if err := unix.Mkfifo(header, 0o600); err != nil {
		t.Fatal(err)
	}
	record = "not asked"
	var said bytes.Buffer
	cmd := exec.Command("lxc-pull", "fetch", "-o", "x", "--header-file", header, server.URL+"/x")
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var limit unix.Rlimit
	err := unix.Prlimit(cmd.Process.Pid, unix.RLIMIT_FSIZE, nil, &limit)
	if limit.Cur = 10; err == nil {
		err = unix.Prlimit(cmd.Process.Pid, unix.RLIMIT_FSIZE, &limit, nil)
	}
	if err != nil {
		t.Error(err)
	}
	go os.WriteFile(header, []byte("X-Test: 1\n"), 0) // until it has the limit, the process waits for this
	cmd.Wait()
	if cmd.ProcessState.ExitCode() != exitDisk || !strings.Contains(said.String(), "file too large") || record != "not asked" || directory(t) != "" {
		t.Errorf("a full disk: %v, %s; the server was asked: %q; the directory holds %q", cmd.ProcessState, &said, record, directory(t))
	}
}
