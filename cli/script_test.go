package cli

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/ulikunitz/xz"
	"golang.org/x/sys/unix"

	"lxc-pull/image"
	"lxc-pull/image/cache"
	"lxc-pull/pull/source/registrytest"
)

// init keeps the main goroutine on the main thread, as main.go does.
func init() { runtime.LockOSThread() }

// The command line's contract is in testdata/script. The program under test is
// this test binary, called by the names that main knows.
func TestMain(m *testing.M) {
	programs := map[string]func(){}
	for _, name := range programNames() {
		programs[name] = func() { os.Exit(Run(os.Args)) }
	}
	if programs[filepath.Base(os.Args[0])] == nil {
		// nohup(1) and a shell's "&" make this process ignore signals that tests send to its
		// children, and children inherit that. If this process handles such a signal instead,
		// its children get the default action.
		for _, s := range []os.Signal{unix.SIGHUP, unix.SIGINT} {
			if signal.Ignored(s) {
				signal.Notify(make(chan os.Signal, 1), s)
			}
		}
	}
	testscript.Main(m, programs)
}

func TestScripts(t *testing.T) {
	params := scriptParams(t)
	if os.Getenv(emulator) != "" { // each start of the program takes a tenth of a second there
		params.Dir = ""
		for _, name := range []string{"create", "containerarchive", "export", "files", "merge", "streams", "tampered", "untar", "whole"} {
			params.Files = append(params.Files, "testdata/script/"+name+".txtar")
		}
	}
	testscript.Run(t, params)
}

// scriptParams says how scripts are run.
func scriptParams(t *testing.T) testscript.Params {
	return testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", env.WorkDir+"/home")
			env.Values[registryKey{}] = new(*registrytest.Registry)
			env.Setenv("LXC_CACHE_PATH", env.WorkDir+"/cache")
			env.Setenv("LXC_TEMPLATE_CONFIG", env.WorkDir+"/lxcconfig")
			env.Setenv("LXC_HOOK_DIR", env.WorkDir+"/hooks")
			if err := os.MkdirAll(env.WorkDir+"/lxcconfig", 0o755); err != nil {
				return err
			}
			if err := emulate(env); err != nil {
				return err
			}
			env.Setenv("MODE", "system") // whose index and cache files are used
			if os.Geteuid() != 0 {
				env.Setenv("MODE", "user")
				env.Setenv("PATH", withoutLXC(t, env.Getenv("PATH")))
			}
			return os.WriteFile(env.WorkDir+"/lxcconfig/common.conf", nil, 0o644)
		},
		Condition: func(name string) (bool, error) { return name == "root" && os.Geteuid() == 0, nil },
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"image":    publishImage,
			"streams":  publishStreams,
			"serve":    serveTree,
			"flip":     flipByte,
			"mode":     checkMode,
			"sign":     signFile,
			"empty":    checkEmpty,
			"grow":     growFile,
			"until":    waitUntil,
			"lists":    listNames,
			"bytes":    writeBytes,
			"fault":    serveFault,
			"keep":     keepContainer,
			"registry": registryCommand(t),
		},
	}
}

// keepContainer puts an image into the cache: keep REFERENCE ARCH [build=B] [expires=TIME]
// TEXT..., a blob for each text, of which the first is the manifest. Without a reference, "-", no
// image needs the blobs, and the last one is incomplete.
func keepContainer(ts *testscript.TestScript, _ bool, args []string) {
	c := &cache.Cache{Base: ts.Getenv("LXC_CACHE_PATH")}
	k := &cache.Kept{Reference: args[0], Name: image.Name{Dist: "x", Release: "latest", Arch: args[1], Variant: "default"}, MediaType: "application/vnd.oci.image.manifest.v1+json"}
	for len(args) > 2 {
		build, ok := strings.CutPrefix(args[2], "build=")
		expires, dated := strings.CutPrefix(args[2], "expires=")
		if ok {
			k.Build = build
		} else if dated {
			var err error
			k.Expires, err = time.Parse(time.DateOnly, expires)
			ts.Check(err)
		} else {
			break
		}
		args = append(args[:2:2], args[3:]...)
	}
	for i, text := range args[2:] {
		d := image.Digest(fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(text))))
		k.Blobs = append(k.Blobs, d)
		b, err := c.Blob(context.Background(), d, -1)
		ts.Check(err)
		if !b.Complete {
			_, err = io.WriteString(b, text)
			ts.Check(err)
			if args[0] != "-" || i+1 < len(args[2:]) {
				ts.Check(b.Commit())
			}
		}
		ts.Check(b.Close())
	}
	if args[0] != "-" {
		k.Manifest, k.Top = k.Blobs[0], k.Blobs[0]
		ts.Check(c.Keep(context.Background(), k))
	}
}

// TestErrorsAreShort runs the scripts of mishaps again, and looks at each call that fails: after
// progress and warnings come what failed, why and what to do, in at most three lines.
func TestErrorsAreShort(t *testing.T) {
	if os.Getenv(emulator) != "" {
		t.Skip("takes minutes under an emulator")
	}
	dir, calls := t.TempDir(), 0
	for _, name := range []string{"errors.txtar", "names.txtar", "usage.txtar"} {
		script, err := os.ReadFile("testdata/script/" + name)
		if err != nil {
			t.Fatal(err)
		}
		commands, files, _ := strings.Cut(string(script), "\n-- ")
		text := ""
		for line := range strings.Lines(commands + "\n") {
			text += line
			if strings.HasPrefix(line, "! ") && strings.Contains(line, "lxc-pull ") && !strings.Contains(line, " -v ") {
				text += "short\n"
				calls++
			}
		}
		if files != "" {
			text += "-- " + files
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if calls < 80 {
		t.Fatalf("%d calls fail", calls)
	}
	params := scriptParams(t)
	params.Dir = dir
	params.Cmds["short"] = func(ts *testscript.TestScript, _ bool, _ []string) {
		said := "\n" + ts.ReadFile("stderr")
		for _, begin := range []string{"\nlxc-pull:", "\nERROR:"} {
			if i := strings.LastIndex(said, begin); i >= 0 && strings.Count(said[i:], "\n") > 4 {
				ts.Fatalf("more than three lines: %s", said[i:])
			}
		}
	}
	testscript.Run(t, params)
}

// withoutLXC returns the search path without LXC's own programs: if they are installed, an
// ordinary user's container needs ids that a test can't have.
func withoutLXC(t *testing.T, path string) string {
	dirs := filepath.SplitList(path)
	for i, dir := range dirs {
		if there, _ := filepath.Glob(filepath.Join(dir, "lxc-start")); there == nil {
			continue
		}
		links := t.TempDir()
		programs, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range programs {
			if name := p.Name(); !strings.HasPrefix(name, "lxc-") {
				os.Symlink(filepath.Join(dir, name), filepath.Join(links, name))
			}
		}
		dirs[i] = links
	}
	return strings.Join(dirs, string(filepath.ListSeparator))
}

// emulator is the variable by which scripts/lab/test32 names the program that runs
// this test binary where the kernel can't.
const emulator = "TEST_EMULATOR"

// emulate puts scripts that call the emulator before the copies of the test
// binary that testscript has made.
func emulate(env *testscript.Env) error {
	program := os.Getenv(emulator)
	if program == "" {
		return nil
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	dir := filepath.Join(env.WorkDir, ".emulated")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	for _, name := range programNames() {
		script := fmt.Sprintf("#!/bin/sh\nexec %s -0 %s %s \"$@\"\n", program, name, self)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
			return err
		}
	}
	env.Setenv("PATH", dir+":"+env.Getenv("PATH"))
	return nil
}

// needsKernel skips a test that starts the program itself where only an emulator
// can: its signals and namespaces are not the kernel's.
func needsKernel(t *testing.T) {
	if os.Getenv(emulator) != "" {
		t.Skip("the kernel can't start this program")
	}
}

// programNames are the names by which the scripts call the program.
func programNames() []string {
	return []string{"lxc-pull", "lxc-download", "lxc-oci", "lxc-local", "untar", "sopv", "zcat", "xzcat", "zstdcat", "bzcat"}
}

// signer is the key of the tests' image servers: any Ed25519 key will do.
func signer() ed25519.PrivateKey {
	seed := sha256.Sum256([]byte("the key of the tests' image servers"))
	return ed25519.NewKeyFromSeed(seed[:])
}

// signify formats a key or signature as signify(1) does.
func signify(comment string, payload []byte) []byte {
	blob := append([]byte("Ed12345678"), payload...)
	return fmt.Appendf(nil, "untrusted comment: %s\n%s\n", comment, base64.StdEncoding.EncodeToString(blob))
}

func signed(data []byte) []byte {
	return signify("a test's", ed25519.Sign(signer(), data))
}

// publishImage is the command
//
//	image TREE META ROOTFS DIST/RELEASE/ARCH/VARIANT BUILD [nosums] [nosig] [huge] [gzip] [zeros|garbage]
//
// It adds an image to a server's tree out of two directories, with the key in
// TREE.pub.
func publishImage(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 5 {
		ts.Fatalf("usage: image TREE META ROOTFS DIST/RELEASE/ARCH/VARIANT BUILD [nosums] [nosig]")
	}
	tree, name, build := ts.MkAbs(args[0]), args[3], args[4]
	options := strings.Join(args[5:], " ")
	write := func(path string, data []byte) {
		ts.Check(os.MkdirAll(filepath.Dir(path), 0o755))
		ts.Check(os.WriteFile(path, data, 0o644))
		if !strings.Contains(options, "nosig") {
			ts.Check(os.WriteFile(path+".asc", signed(data), 0o644))
		}
	}
	ts.Check(os.MkdirAll(tree, 0o755))
	ts.Check(os.WriteFile(tree+".pub", signify("public key", signer().Public().(ed25519.PublicKey)), 0o644))
	dir := filepath.Join(tree, "images", name, build)
	sums := ""
	for i, file := range []string{"meta.tar.xz", "rootfs.tar.xz"} {
		data := packXZ(ts, ts.MkAbs(args[1+i]))
		if file == "rootfs.tar.xz" && strings.Contains(options, "huge") {
			data = claim(data, 1<<50)
		}
		if file == "rootfs.tar.xz" && strings.Contains(options, "gzip") {
			data = packGzip(ts, data)
		}
		for option, tail := range map[string]string{"zeros": strings.Repeat("\x00", 512), "garbage": "garbage"} {
			if file == "rootfs.tar.xz" && strings.Contains(options, option) {
				data = append(data, tail...)
			}
		}
		write(filepath.Join(dir, file), data)
		sums += fmt.Sprintf("%x  %s\n", sha256.Sum256(data), file)
	}
	if !strings.Contains(options, "nosums") {
		write(filepath.Join(dir, "SHA256SUMS"), []byte(sums))
	}
	line := strings.ReplaceAll(name, "/", ";") + ";" + build + ";/images/" + name + "/" + build + "/\n"
	for _, mode := range []string{"system", "user"} {
		index := filepath.Join(tree, "meta/1.0/index-"+mode)
		before, _ := os.ReadFile(index)
		var lines []byte
		for l := range strings.Lines(string(before)) {
			if !strings.HasPrefix(l, strings.ReplaceAll(name, "/", ";")+";") {
				lines = append(lines, l...)
			}
		}
		write(index, append(lines, line...))
	}
}

// packGzip makes a .gz of an .xz.
func packGzip(ts *testscript.TestScript, file []byte) []byte {
	var packed bytes.Buffer
	r, err := xz.NewReader(bytes.NewReader(file))
	ts.Check(err)
	w := gzip.NewWriter(&packed)
	_, err = io.Copy(w, r)
	ts.Check(err)
	ts.Check(w.Close())
	return packed.Bytes()
}

// claim makes the index of an .xz file of one block say that it unpacks to so
// many bytes (xz file format, sections 2.1.2 and 4).
func claim(file []byte, content uint64) []byte {
	sum := func(b []byte) []byte { return binary.LittleEndian.AppendUint32(nil, crc32.ChecksumIEEE(b)) }
	footer := file[len(file)-12:]
	begin := len(file) - 12 - int(binary.LittleEndian.Uint32(footer[4:])+1)*4
	unpadded, n := binary.Uvarint(file[begin+2:])
	if file[begin+1] != 1 || n <= 0 {
		panic("not one block")
	}
	index := binary.AppendUvarint(binary.AppendUvarint([]byte{0, 1}, unpadded), content)
	index = append(index, make([]byte, -len(index)&3)...)
	index = append(index, sum(index)...)
	size := binary.LittleEndian.AppendUint32(nil, uint32(len(index)/4-1))
	size = append(size, footer[8:10]...)
	return slices.Concat(file[:begin], index, sum(size), size, footer[10:])
}

// packXZ makes a compressed tarball of a directory, owned by root, as a generator
// of images does. A file "LINKS" in it lists symbolic links and devices to be
// added: "name -> target", "name => hard link's target".
func packXZ(ts *testscript.TestScript, dir string) []byte {
	var paths []string
	ts.Check(filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		paths = append(paths, path)
		return err
	}))
	sort.Strings(paths)
	var packed bytes.Buffer
	xw, err := xz.NewWriter(&packed)
	ts.Check(err)
	tw := tar.NewWriter(xw)
	when := time.Unix(1700000000, 0)
	var links string
	for _, path := range paths {
		info, err := os.Lstat(path)
		ts.Check(err)
		rel, _ := filepath.Rel(dir, path)
		if rel == "LINKS" {
			data, err := os.ReadFile(path)
			ts.Check(err)
			links = string(data)
			continue
		}
		h := &tar.Header{Name: "./" + rel, Mode: int64(info.Mode().Perm()), ModTime: when, Format: tar.FormatPAX}
		if info.IsDir() {
			h.Typeflag, h.Name = tar.TypeDir, "./"+strings.TrimPrefix(rel+"/", "./")
			ts.Check(tw.WriteHeader(h))
			continue
		}
		data, err := os.ReadFile(path)
		ts.Check(err)
		h.Typeflag, h.Size = tar.TypeReg, int64(len(data))
		ts.Check(tw.WriteHeader(h))
		_, err = tw.Write(data)
		ts.Check(err)
	}
	for line := range strings.Lines(links) {
		line = strings.TrimSpace(line)
		h := &tar.Header{Mode: 0o777, ModTime: when, Format: tar.FormatPAX}
		if name, target, ok := strings.Cut(line, " -> "); ok {
			h.Typeflag, h.Name, h.Linkname = tar.TypeSymlink, name, target
		} else if name, target, ok := strings.Cut(line, " => "); ok {
			h.Typeflag, h.Name, h.Linkname = tar.TypeLink, name, target
		} else {
			h.Typeflag, h.Name = tar.TypeFifo, line
		}
		ts.Check(tw.WriteHeader(h))
	}
	ts.Check(tw.Close())
	ts.Check(xw.Close())
	return packed.Bytes()
}

// signFile is "sign FILE...": each gets its .asc anew.
func signFile(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		data := ts.ReadFile(name)
		ts.Check(os.WriteFile(ts.MkAbs(name)+".asc", signed([]byte(data)), 0o644))
	}
}

// serveTree is "serve TREE [NAME]": HTTPS on loopback until the script ends. It
// sets SERVER (or NAME) and CA; $WORK/requests (or requests.NAME) has a line for
// each request. A file TREE/.html makes every answer a web page; TREE/.stall
// keeps back the second half of a rootfs; with TREE/.whole the server ignores ranges; with
// TREE/.forbidden it answers 403 for missing files, as object stores do. A
// file PATH.then takes the place of PATH once that has been asked for.
func serveTree(ts *testscript.TestScript, _ bool, args []string) {
	tree, name := ts.MkAbs(args[0]), "SERVER"
	log := ts.MkAbs("requests")
	if len(args) > 1 {
		name = args[1]
		log += "." + name
	}
	ts.Check(os.WriteFile(log, nil, 0o644))
	var mu sync.Mutex
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		if _, err := os.Stat(filepath.Join(tree, ".stall")); err == nil && r.Header.Get("Range") == "" && strings.HasSuffix(r.URL.Path, "rootfs.tar.xz") {
			mu.Unlock()
			data, _ := os.ReadFile(filepath.Join(tree, filepath.FromSlash(r.URL.Path)))
			w.Header().Set("Content-Length", strconv.Itoa(len(data)))
			w.Write(data[:len(data)/2])
			http.NewResponseController(w).Flush()
			<-r.Context().Done()
			return
		}
		defer mu.Unlock()
		f, err := os.OpenFile(log, os.O_APPEND|os.O_WRONLY, 0)
		if err == nil {
			fmt.Fprintln(f, r.Method, r.URL.Path)
			f.Close()
		}
		if _, err := os.Stat(filepath.Join(tree, ".html")); err == nil {
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, "<!DOCTYPE html><title>Log in</title>")
			return
		}
		if _, err := os.Stat(filepath.Join(tree, ".whole")); err == nil {
			r.Header.Del("Range")
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		file := filepath.Join(tree, filepath.FromSlash(r.URL.Path))
		if _, err := os.Stat(filepath.Join(tree, ".forbidden")); err == nil {
			if _, err := os.Stat(file); err != nil {
				w.WriteHeader(http.StatusForbidden)
				return
			}
		}
		http.ServeFile(w, r, file)
		os.Rename(file+".then", file) // there is one seldom
	}))
	ts.Defer(server.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	ts.Check(os.WriteFile(ts.MkAbs("ca.pem"), ca, 0o644))
	ts.Setenv(name, server.URL)
	ts.Setenv("CA", ts.MkAbs("ca.pem"))
}

// writeBytes is "bytes FILE TEXT...": the words, in which Go's escapes stand for
// what an editor does not show, and a line feed after each.
func writeBytes(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: bytes FILE TEXT...")
	}
	var data []byte
	for _, word := range args[1:] {
		text, err := strconv.Unquote(`"` + word + `"`)
		ts.Check(err)
		data = append(data, text+"\n"...)
	}
	ts.Check(os.MkdirAll(filepath.Dir(ts.MkAbs(args[0])), 0o755))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), data, 0o644))
}

// growFile is "grow FILE BYTES": bytes that can't be packed, appended.
func growFile(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	data := make([]byte, n)
	rand.NewChaCha8([32]byte{}).Read(data)
	ts.Check(os.MkdirAll(filepath.Dir(ts.MkAbs(args[0])), 0o755))
	f, err := os.OpenFile(ts.MkAbs(args[0]), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	ts.Check(err)
	_, err = f.Write(data)
	ts.Check(err)
	ts.Check(f.Close())
}

// waitUntil is "until PATTERN [TEXT]": it waits until a file matches PATTERN and, with TEXT,
// contains TEXT. The limit of the wait only ends a test that fails.
func waitUntil(ts *testscript.TestScript, _ bool, args []string) {
	for range 3000 {
		found, err := filepath.Glob(ts.MkAbs(args[0]))
		ts.Check(err)
		if len(found) > 0 && (len(args) == 1 || strings.Contains(ts.ReadFile(found[0]), args[1])) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	ts.Fatalf("no %s", args[0])
}

// listNames is "lists DIR NAME...": DIR must have exactly these entries, including hidden
// ones.
func listNames(ts *testscript.TestScript, _ bool, args []string) {
	entries, err := os.ReadDir(ts.MkAbs(args[0]))
	ts.Check(err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	want := slices.Sorted(slices.Values(args[1:]))
	if !slices.Equal(names, want) {
		ts.Fatalf("%s holds %q, not %q", args[0], names, want)
	}
}

// flipByte is "flip FILE OFFSET": one bit of one byte; a negative offset counts
// from the end.
func flipByte(ts *testscript.TestScript, _ bool, args []string) {
	data := []byte(ts.ReadFile(args[0]))
	at, err := strconv.Atoi(args[1])
	ts.Check(err)
	if at < 0 {
		at += len(data)
	}
	data[at] ^= 1
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), data, 0o644))
}

// checkMode is "mode 0755 FILE...".
func checkMode(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args[1:] {
		info, err := os.Lstat(ts.MkAbs(name))
		ts.Check(err)
		if got := fmt.Sprintf("%04o", info.Mode().Perm()); got != args[0] {
			ts.Fatalf("%s has mode %s, not %s", name, got, args[0])
		}
	}
}

// checkEmpty is "[!] empty DIR".
func checkEmpty(ts *testscript.TestScript, neg bool, args []string) {
	entries, err := os.ReadDir(ts.MkAbs(args[0]))
	ts.Check(err)
	if (len(entries) == 0) == neg {
		ts.Fatalf("%s holds %v", args[0], entries)
	}
}
