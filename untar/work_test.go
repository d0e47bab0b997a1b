package untar

import (
	"archive/tar"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A workCase is an input of some size, and another with twice the entries in directories
// twice as deep.
type workCase struct {
	name   string
	layers func(n int) [][]tar.Header // the archives to extract, one after another
}

func workCases() []workCase {
	const depth, entries = 60, 90 // half of those of the larger input
	chain := func(component string, n int) string { return strings.Repeat(component+"/", depth*n) }
	file := func(format string, args ...any) tar.Header { return tar.Header{Name: fmt.Sprintf(format, args...)} }
	dir := func(name string) tar.Header {
		return tar.Header{Name: strings.TrimSuffix(name, "/") + "/", Typeflag: tar.TypeDir, Mode: 0o755}
	}
	type headers = []tar.Header
	return []workCase{
		{"in turn below two chains", func(n int) []headers {
			var h headers
			for i := range entries * n {
				h = append(h, file("%s%d", chain(string("ab"[i%2]), n), i))
			}
			return []headers{h}
		}},
		{"one deep chain", func(n int) []headers {
			return []headers{{file("%sf", strings.Repeat("d/", 500*n))}}
		}},
		{"in turn below twenty chains", func(n int) []headers {
			var h headers
			for i := range entries * n {
				h = append(h, file("%c/%s%d", 'a'+i%20, chain("c", n), i))
			}
			return []headers{h}
		}},
		{"paths longer than PATH_MAX", func(n int) []headers {
			var h headers
			for i := range entries * n {
				h = append(h, file("%s%d", chain(strings.Repeat(string("ab"[i%2]), 50), 1), i))
			}
			return []headers{h}
		}},
		{"hard links in turn", func(n int) []headers {
			h := headers{file("%sf", chain("a", n)), file("%sf", chain("b", n))}
			for i := range entries * n {
				h = append(h, tar.Header{Name: fmt.Sprintf("%s%d", chain("c", n), i), Typeflag: tar.TypeLink, Linkname: chain(string("ab"[i%2]), n) + "f"})
			}
			return []headers{h}
		}},
		{"merged, in turn below two chains", func(n int) []headers {
			h := headers{file("%sf", chain("a", n)), file("%sf", chain("b", n))}
			var second headers
			for i := range entries * n {
				second = append(second, file("%s%d", chain(string("ab"[i%2]), n), i))
			}
			return []headers{h, second}
		}},
		{"below a link to a chain", func(n int) []headers {
			h := headers{file("%sf", chain("a", n)), {Name: "l", Typeflag: tar.TypeSymlink, Linkname: chain("a", n)}}
			for i := range entries * n {
				h = append(h, file("l/%d", i))
			}
			return []headers{h}
		}},
		{"below links in turn", func(n int) []headers {
			h := headers{file("%sf", chain("a", n)), {Name: "l1", Typeflag: tar.TypeSymlink, Linkname: "/l2"}, {Name: "l2", Typeflag: tar.TypeSymlink, Linkname: chain("a", n)},
				file("%sf", chain("b", n)), {Name: chain("b", n) + "up", Typeflag: tar.TypeSymlink, Linkname: "/l1"}}
			for i := range entries * n {
				h = append(h, file("l%d/%d", i%2+1, i), file("%sup/u%d", chain("b", n), i))
			}
			return []headers{h}
		}},
		{"one opaque directory", func(n int) []headers {
			var h headers
			for i := range entries * n {
				h = append(h, file("d/%d", i))
			}
			for range entries * n {
				h = append(h, file("d/.wh..wh..opq"))
			}
			return []headers{{dir("d"), file("d/low")}, h}
		}},
		{"opaque directories upwards and downwards", func(n int) []headers {
			h := headers{}
			for i := range entries * n {
				h = append(h, file("%s%d", chain("a", n), i))
			}
			all := chain("a", n)
			for i := len(all); i > 0; i -= 2 {
				h = append(h, file("%s.wh..wh..opq", all[:i]))
			}
			for i := 0; i < len(all); i += 2 {
				h = append(h, file("%s.wh.a", all[:i]))
			}
			return []headers{{file("%slow", all)}, h}
		}},
		{"whiteouts of names upwards", func(n int) []headers {
			h := headers{}
			for i := range entries * n {
				h = append(h, file("%s%d", chain("a", n), i))
			}
			all := chain("a", n)
			for i := len(all) - 2; i >= 0; i -= 2 {
				h = append(h, dir(all[:i+2]), file("%s.wh.a", all[:i]))
			}
			return []headers{{file("%slow", all)}, h}
		}},
		{"whiteouts of a directory that stays", func(n int) []headers {
			var low, h headers
			h = append(h, dir("d"))
			for i := range entries * n {
				low, h = append(low, file("d/low%d/x", i)), append(h, file("d/%d", i))
			}
			for range entries * n {
				h = append(h, file(".wh.d"), file("d/.wh.low1"))
			}
			return []headers{low, h}
		}},
	}
}

// doWork extracts an input and removes the tree.
func doWork(t *testing.T, dir string, layers [][]tar.Header) {
	target, err := OpenTarget(filepath.Join(dir, "root"))
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	for _, h := range layers {
		if _, err := target.Root().Extract(bytes.NewReader(build(t, "", h...)), Options{Layer: true}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err = target.Abort(); err != nil {
		t.Fatal(err)
	}
}

// The work of an extraction and a removal grows linearly: twice the entries, in directories
// twice as deep, need twice the system calls, not four times as many. This holds on a file
// system with inode generations, and on tmpfs, which has none.
func TestWorkIsLinear(t *testing.T) {
	if os.Getenv("TEST_EMULATOR") != "" {
		t.Skip("an emulator's system calls are not the program's")
	}
	if strconv.IntSize == 32 { // so that a run of the tests for both counts them once
		t.Skip("a 64-bit program makes the same calls")
	}
	if where := os.Getenv("WORK_IN"); where != "" { // this is the process whose calls are counted
		n, _ := strconv.Atoi(os.Getenv("WORK_SIZE"))
		for _, c := range workCases() {
			if c.name == os.Getenv("WORK_CASE") {
				doWork(t, where, c.layers(n))
			}
		}
		return
	}
	for _, base := range []string{os.TempDir(), "/dev/shm"} {
		for _, c := range workCases() {
			t.Run(base+"/"+c.name, func(t *testing.T) {
				var calls [2]int
				for n := 1; n <= 2; n++ {
					dir, err := os.MkdirTemp(base, "work")
					if err != nil {
						t.Skip(err)
					}
					defer os.RemoveAll(dir)
					cmd := exec.Command(os.Args[0], "-test.run=^TestWorkIsLinear$")
					cmd.Env = append(os.Environ(), "WORK_IN="+dir, "WORK_CASE="+c.name, fmt.Sprint("WORK_SIZE=", n))
					calls[n-1] = countCalls(t, cmd)
				}
				t.Logf("system calls: %d, %d", calls[0], calls[1])
				if calls[1]*2 > calls[0]*5 {
					t.Errorf("twice the input is %d system calls, and not about twice %d", calls[1], calls[0])
				}
			})
		}
	}
}

// countCalls runs a program and counts the file system calls of all its threads. It ignores
// calls that the Go runtime makes, since their number varies.
func countCalls(t *testing.T, cmd *exec.Cmd) (calls int) {
	t.Helper()
	runtime.LockOSThread() // ptrace works per thread
	defer runtime.UnlockOSThread()
	file, err := os.CreateTemp(t.TempDir(), "output")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	cmd.Stdout, cmd.Stderr = file, file
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	if err := cmd.Start(); err != nil {
		t.Skipf("no process can be traced here: %v", err)
	}
	pid := cmd.Process.Pid
	const sysGood = 1 // PTRACE_O_TRACESYSGOOD; see ptrace(2)
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(pid, &status, 0, nil); err != nil {
		t.Fatal(err)
	}
	if err := syscall.PtraceSetOptions(pid, sysGood|syscall.PTRACE_O_TRACECLONE|unix.PTRACE_O_EXITKILL); err != nil {
		cmd.Process.Kill()
		t.Skipf("ptrace: %v", err)
	}
	syscall.PtraceSyscall(pid, 0)
	for {
		// Wait for the threads of this child only.
		tid, err := syscall.Wait4(-1, &status, unix.WALL, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if tid == pid && (status.Exited() || status.Signaled()) {
			break
		}
		if !status.Stopped() {
			continue
		}
		signal := 0
		switch s := status.StopSignal(); {
		case s == syscall.SIGTRAP|0x80:
			if nr, entry := systemCall(t, tid); entry && !ofRuntime(nr) {
				calls++
			}
		case s == syscall.SIGTRAP, s == syscall.SIGSTOP: // a new thread
		default:
			signal = int(s)
		}
		syscall.PtraceSyscall(tid, signal)
	}
	if text, err := os.ReadFile(file.Name()); err != nil || status.ExitStatus() != 0 {
		t.Fatalf("%v: %v: %s", cmd.Args, status, text)
	}
	return calls
}

// systemCall returns the number of the system call at which a thread has stopped, and
// whether it is at its entry (PTRACE_GET_SYSCALL_INFO, Linux 5.3).
func systemCall(t *testing.T, tid int) (nr uint64, entry bool) {
	t.Helper()
	var info struct {
		op         uint8
		_          [3]uint8
		arch       uint32
		ip, sp, nr uint64
		_          [64]byte
	}
	const getSyscallInfo, atEntry = 0x420e, 1
	if _, _, e := syscall.Syscall6(syscall.SYS_PTRACE, getSyscallInfo, uintptr(tid), unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info)), 0, 0); e != 0 {
		t.Skipf("this kernel does not say which call a process makes: %v", e)
	}
	return info.nr, info.op == atEntry
}

func ofRuntime(nr uint64) bool {
	switch nr {
	case unix.SYS_FUTEX, unix.SYS_NANOSLEEP, unix.SYS_MADVISE, unix.SYS_TGKILL, unix.SYS_RT_SIGRETURN, unix.SYS_RT_SIGPROCMASK,
		unix.SYS_SCHED_YIELD, unix.SYS_EPOLL_PWAIT, unix.SYS_MUNMAP, unix.SYS_GETPID, unix.SYS_CLONE, unix.SYS_SIGALTSTACK, unix.SYS_GETTID:
		return true
	}
	return false
}

// Whiteouts of a layer and removals need few descriptors, whatever the depth of the tree.
func TestRemovalNeedsFewDescriptors(t *testing.T) {
	dir := t.TempDir()
	target, err := OpenTarget(filepath.Join(dir, "root"))
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	deep := strings.Repeat("d/", 1000)
	low := build(t, "", tar.Header{Name: deep + "low"}, tar.Header{Name: "d/low"}, tar.Header{Name: deep[:1000] + "low"})
	layer := build(t, "", tar.Header{Name: deep + "new"}, tar.Header{Name: "d/.wh..wh..opq"}, tar.Header{Name: ".wh.d"})
	if _, err := target.Root().Extract(bytes.NewReader(low), Options{Layer: true}); err != nil {
		t.Fatal(err)
	}
	// RLIMIT_NOFILE limits the numbers of descriptors, and some numbers are in use already.
	// So open 20 descriptors and close them: the next ones get these numbers.
	var free []*os.File
	for range 20 {
		f, err := os.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		free = append(free, f)
	}
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	few := was
	few.Cur = uint64(free[len(free)-1].Fd()) + 1
	for _, f := range free {
		f.Close()
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	_, err = target.Root().Extract(bytes.NewReader(layer), Options{Layer: true})
	var aborted error
	grown := filepath.Join(target.grown(), deep[:200])
	left, _ := filepath.Glob(grown + "/*")
	if err == nil {
		_, aborted = target.Abort()
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	if err != nil || aborted != nil {
		t.Error(err, aborted)
	}
	if len(left) != 1 {
		t.Errorf("at %d levels there is %q", 100, left)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// A remembered directory is forgotten when it is removed. Another directory may get its
// inode number, at a path that leads through a link.
func TestRemovedDirsAreForgotten(t *testing.T) {
	s := newSandbox(t)
	deep := strings.Repeat("d/", 10)
	makeTree(t, s.root, deep+"empty/", deep+"full/x=1", deep+"z/c/")
	r, err := OpenRoot(s.root)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	r.known.start(true, false)
	for _, name := range []string{"empty", "full", "z/c"} {
		d := r.dirs()
		if _, _, err := d.enter([]byte(deep + name)); err != nil {
			t.Fatal(err)
		}
		d.close()
	}
	if len(r.known.ids) < 5 {
		t.Fatalf("%d directories are remembered", len(r.known.ids))
	}
	if err := r.RemoveNames("d"); err != nil || len(r.known.ids) > 0 {
		t.Errorf("%d removed directories are remembered (%v)", len(r.known.ids), err)
	}
}

// If a remembered path now leads to another directory, through a link or not, each component
// is opened again, and a link is an error.
func TestRememberedPathOfAnother(t *testing.T) {
	s := newSandbox(t)
	deep := strings.Repeat("d/", 12)
	makeTree(t, s.root, deep+"x=1", "other/"+deep[2:])
	r, err := OpenRoot(s.root)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	r.known.start(true, false)
	opened := 0
	enter := func() error {
		d := r.dirs()
		defer d.close()
		_, _, err := d.enter([]byte(strings.TrimSuffix(deep, "/")))
		opened = d.open
		return err
	}
	if err := enter(); err != nil || opened != 12 {
		t.Fatalf("%d directories opened (%v)", opened, err)
	}
	if err := enter(); err != nil || opened != 1 {
		t.Errorf("to come back opens %d directories (%v)", opened, err)
	}
	if err := os.Rename(filepath.Join(s.root, "d"), filepath.Join(s.root, "was")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("other", filepath.Join(s.root, "d")); err != nil {
		t.Fatal(err)
	}
	if err := enter(); !isNotDir(err) {
		t.Errorf("through a link: %v", err)
	}
}

// The generation of an inode is read correctly on machines of both byte orders: it is never
// zero on a file system with generations.
func TestGeneration(t *testing.T) {
	r, err := OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	id, ok := r.known.identify(r.fd)
	if !ok {
		t.Skip("this file system has no generations of inodes")
	}
	if id.generation == 0 {
		t.Error("the generation is zero")
	}
}

// If a file system has no generations, the kernel is asked only once.
func TestGenerationsAreAskedForOnce(t *testing.T) {
	if os.Getenv("TEST_EMULATOR") != "" {
		t.Skip("an emulator's system calls are not the program's")
	}
	f, err := os.Open("/proc")
	if err != nil {
		t.Skip(err)
	}
	defer f.Close()
	var k knownDirs
	if _, ok := k.identify(int(f.Fd())); ok || !k.unknown {
		t.Error("/proc has generations")
	}
	if _, ok := k.identify(int(f.Fd())); ok {
		t.Error("asked again")
	}
}

// A few directories stay open after a stack has left them, until they are removed or the
// extraction ends.
func TestLeftDirs(t *testing.T) {
	s := newSandbox(t)
	for i := range 6 {
		makeTree(t, s.root, fmt.Sprintf("%d/a/b/c/", i))
	}
	r, err := OpenRoot(s.root)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	r.known.start(false, true)
	d := r.dirs()
	enter := func(path string) {
		t.Helper()
		if _, _, err := d.enter([]byte(path)); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
	}
	for i := range 6 {
		enter(fmt.Sprintf("%d/a/b/c", i))
	}
	if len(r.known.left) != maxLeft {
		t.Errorf("%d directories are open", len(r.known.left))
	}
	enter("3/a/b/c")
	if d.open != 1 || len(d.levels) != 4 || string(d.path) != "3/a/b/c" {
		t.Errorf("to come back opens %d of %d levels, to %q", d.open, len(d.levels), d.path)
	}
	// From there, all parents can be reached.
	enter("3/a")
	enter("4")
	for _, path := range []string{"2/a/b/c", "2/a/b", "2/a", "2"} {
		r.known.forget([]byte(path))
	}
	for _, l := range r.known.left {
		if strings.HasPrefix(string(l.path), "2") {
			t.Errorf("%s is still open", l.path)
		}
	}
	r.known.start(false, false)
	d.close()
	if len(r.known.left) > 0 {
		t.Errorf("at the end %d directories are open", len(r.known.left))
	}
}

// A directory that a layer removes is not reused. Its replacement is opened anew, and if
// that is a link, it is not followed.
func TestLeftDirsThatAreRemoved(t *testing.T) {
	s := newSandbox(t)
	file := func(name string) tar.Header { return tar.Header{Name: name} }
	low := build(t, "", file("a/b/c/d/low"), file("z/b/c/d/low"))
	layer := build(t, "", file("z/b/c/d/1"), file("a/b/.wh.c"), file("z/b/c/d/2"), file("a/b/c/d/new"), file("z/b/c/d/3"), file("a/b/c/d/.wh.new"), file(".wh.z"), file("z/b/c/d/4"))
	r, err := OpenRoot(s.root)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, archive := range [][]byte{low, layer} {
		if _, err := r.Extract(bytes.NewReader(archive), Options{Layer: true}); err != nil {
			t.Fatal(err)
		}
	}
	want := "a/ a/b/ a/b/c/ a/b/c/d/ a/b/c/d/new z/ z/b/ z/b/c/ z/b/c/d/ z/b/c/d/1 z/b/c/d/2 z/b/c/d/3 z/b/c/d/4"
	if got := strings.Join(s.tree(t), " "); got != want {
		t.Errorf("the tree is %s\nwant %s", got, want)
	}
}
