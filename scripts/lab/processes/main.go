// Command processes starts containers with the lines that lxc.ProcessConfig writes, with
// lxc-start and with lxc-execute, and compares what their process sees with what was asked
// for: arguments, environment, ids, directory, mounts and the signal of lxc-stop. A mount hook,
// which is a program of the host, may see no variable that was asked for but the harmless ones.
//
//	processes -reporter FILE -dir DIR [-first ID] [-as COMMAND] [-only PATTERN]
//
// -reporter is the program of scripts/lab/processes/reporter, -dir an existing directory for
// the containers. With -first the containers are in a user namespace whose root is that
// user of the host. -as is a program that runs its arguments as another user, who then starts the
// containers. It needs root, LXC and a static busybox. Each container prints "ok" or "FAIL".
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"lxc-pull/lxc"
)

// Limits of one container.
const (
	startLimit = 30 * time.Second
	stopLimit  = 15 * time.Second // lxc-stop kills after 60 seconds
)

var (
	reporter = flag.String("reporter", "", "the program that runs in the containers")
	dir      = flag.String("dir", "", "a directory for the containers")
	first    = flag.Int("first", 0, "the first id of the host of a user namespace; 0: none")
	as       = flag.String("as", "", "a program that runs its arguments as another user")
	only     = flag.String("only", "*", "only the cases whose name matches the shell pattern")
)

// A testCase is a container.
type testCase struct {
	name    string
	process lxc.Process
	shell   string // of the host, for /bin/sh, with the host's env; "": busybox with its env
	tools   string // "none": no shell and no env, "shell": no env, "busybox": env only in busybox
	signal  string
	left    []string // the variables that ProcessConfig left out
}

// words are arguments that a parser could change. All can be written without a shell.
func words() []string {
	return []string{
		"", " ", "\t", "a b", "a  b", " a", "a ", "\ta\t", "a\vb", "a\fb", "'", `"`, "''", `""`, "'a'", `"a"`, "'a b'", `"a b"`, "it's", "it's a", `5" pipe`, `a'b"c`, "#", "# x", "a#b", "=", "a=b", "==", "lxc.include = /x", "$HOME", "${IFS}", "$(id)", "`id`",
		"\\", "\\n", `\"`, `\'`, "*", "?", "~", "!", "!!", "&&", "|", ";", "<", ">", "(", ")", "{a,b}", "%s", "-", "--", "-c", "--a=b c", "LXC_NAME", "LXC_ROOTFS x", "ünï cödé", "\xff\xfe", "\x01", "\x1b[31m", "\x7f", "\ufeff", strings.Repeat("x y", 100), "end",
	}
}

// shellWords need a shell.
func shellWords() []string {
	return append(words(), "a\nb", "\n", "\n\n", "a\n", "\na", `'"`, `"'`, `a' b"`, "it's \"so\"\n  $1 \\\n\t", `' " $1 '\''`, `"$@" '`, "\\\n")
}

func variables() (env []string) {
	for i, word := range words() {
		env = append(env, fmt.Sprintf("V%d=%s", i, word))
	}
	return append(env, "EMPTY=", "BLANKS=  x \t", " BLANK=x", "A.B-C=1", "1=2", "'Q'='x'", `"D"="x"`, "#H=x", "LONG="+strings.Repeat("x", 100000), "HOME=/home/x y", "PATH=/bin:/a b:/'c'")
}

// hostile are variables that would make programs of the host run files of the image.
func hostile() []string {
	const mount = "/usr/lib/x86_64-linux-gnu/lxc/rootfs"
	return []string{
		"PATH=" + mount + "/bin:/bin", "LD_PRELOAD=" + mount + "/lib/evil.so", "LD_LIBRARY_PATH=" + mount + "/lib", "BASH_ENV=" + mount + "/evil", "ENV=" + mount + "/evil", "IFS=/e", "PYTHONPATH=" + mount, "PERL5OPT=-M" + mount, "GCONV_PATH=" + mount,
		"HOME=" + mount, "LXC_ROOTFS_MOUNT=/etc", "LXC_PULL_EXEC=touch /out/evil", "PWD=/evil", "SHLVL=77", "_=evil", "UID=77", "RANDOM=evil", "PPID=evil", "OPTIND=evil", "SHELLOPTS=xtrace", "PS4=$(touch /out/evil)", "CDPATH=" + mount, "LC_ALL=evil/" + mount, "A.B=evil", "BASH_FUNC_cat%%=() { touch /out/evil; }", "X=() { :;}; touch /out/evil", "HARMLESS=1",
	}
}

func cases(version string) []testCase {
	run := func(args ...string) lxc.Process {
		return lxc.Process{Args: append([]string{"/bin/reporter"}, args...), Dir: "/", StopSignal: "SIGTERM", Env: []string{"PATH=/bin"}}
	}
	list := []testCase{{name: "plain", process: run()}, {name: "bare", process: run("it's", `a"b`, "$HOME", "\\", "#", "\x01", "ü", "\xff", "-", "lxc.arch=x")}, {name: "words", process: run(words()...)}, {name: "environment", process: run("x")}, {name: "shell", process: run(shellWords()...)}, {name: "bash", process: run(shellWords()...), shell: "bash"}, {name: "dash", process: run(shellWords()...), shell: "dash"}}
	for i := range list {
		if i > 1 {
			list[i].process.Env = variables()
		}
	}
	for _, word := range []string{"/srv/it's a \"reporter\"", "/srv/a b", `/srv/"q"`, "reporter"} {
		c := testCase{name: "path-" + path.Base(word), process: run()}
		c.process.Args[0] = word
		list = append(list, c)
	}
	for _, each := range []struct{ name, number string }{{"TERM", "15"}, {"SIGINT", "2"}, {"usr1", "10"}, {"3", "3"}, {"SIGRTMIN+3", "37"}, {"", "30"}} {
		c := testCase{name: "signal-" + each.name, process: run(), signal: each.number}
		c.process.StopSignal = each.name
		list = append(list, c)
	}
	for _, ids := range [][]uint32{{0, 0}, {1000, 1001, 1001, 5, 60000}, {0, 7, 7}, {65534, 65534, 65534}, {33, 0, 0, 33}} {
		c := testCase{name: fmt.Sprintf("user-%d-%d-%d", ids[0], ids[1], len(ids)-2), process: run()}
		c.process.UID, c.process.GID, c.process.Dir = ids[0], ids[1], "/srv/a b"
		c.process.Groups = ids[2:]
		list = append(list, c)
	}
	for _, dir := range []string{"/", "/srv/it's \"odd\"", "/srv/ blank ", "/srv/#x"} {
		c := testCase{name: "dir-" + path.Base(dir), process: run()}
		c.process.Dir = dir
		list = append(list, c)
	}
	for _, each := range []struct{ name, shell, tools string }{{"busybox", "", ""}, {"busybox-alone", "", "busybox"}, {"ash", "", "shell"}, {"dash", "dash", ""}, {"dash-alone", "dash", "shell"}, {"bash", "bash", ""}, {"none", "", "none"}} {
		c := testCase{name: "hostile-" + each.name, process: run("a b"), shell: each.shell, tools: each.tools}
		if c.tools == "none" {
			c.process.Args = c.process.Args[:1]
		}
		c.process.Env = hostile()
		list = append(list, c)
	}
	c := testCase{name: "mounts", process: run()}
	c.process.EmptyRun, c.process.Include = true, true
	last := "4294967294"
	if *first != 0 {
		last = "65535"
	}
	c.process.Sysctls = []string{"net.ipv4.ip_unprivileged_port_start=0", "net.ipv4.ping_group_range=0 " + last}
	list = append(list, c)
	for i := range list {
		p := &list[i].process
		p.LXC, p.Hooks = version, true
		p.Shell, p.EnvTool = true, "/usr/bin/env"
		switch list[i].tools {
		case "none":
			p.Shell, p.EnvTool = false, ""
		case "shell":
			p.EnvTool = ""
		case "busybox":
			p.EnvTool = "/bin/busybox env"
		}
	}
	return list
}

func main() {
	log.SetFlags(0)
	flag.Parse()
	installed, err := exec.Command("lxc-start", "--version").Output()
	if err != nil {
		log.Fatal("lxc-start --version: ", err)
	}
	failed, ran := 0, 0
	for i, c := range cases(strings.TrimSpace(string(installed))) {
		if ok, err := path.Match(*only, c.name); err != nil || !ok {
			continue
		}
		for _, tool := range []string{"lxc-start", "lxc-execute"} {
			ran++
			if err := try(&c, fmt.Sprintf("c%d", i), tool); err != nil {
				fmt.Printf("FAIL %s %q: %v\n", tool, c.name, err)
				failed++
			} else {
				fmt.Printf("ok %s %q\n", tool, c.name)
			}
		}
	}
	fmt.Printf("%d of %d containers failed\n", failed, ran)
	if failed > 0 || ran == 0 {
		os.Exit(1)
	}
}

// command returns a command of the user who starts containers.
func command(words ...string) *exec.Cmd {
	if *as != "" {
		words = append([]string{*as}, words...)
	}
	return exec.Command(words[0], words[1:]...)
}

// try starts a container and compares what it reports.
func try(c *testCase, name, tool string) error {
	container := filepath.Join(*dir, name)
	if err := build(c, name, container); err != nil {
		return err
	}
	defer os.RemoveAll(container)
	logFile, out := filepath.Join(*dir, name+".log"), filepath.Join(container, "rootfs/out")
	cmd := command(tool, "-P", *dir, "-n", name, "-l", "DEBUG", "-o", logFile)
	if tool == "lxc-start" {
		cmd.Args = append(cmd.Args, "-F") // its end is seen without a question to LXC
	}
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	kill := func() {
		command("lxc-stop", "-k", "-P", *dir, "-n", name).Run()
		cmd.Process.Kill()
		<-ended
	}
	for begin := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(out + "/report"); err == nil {
			break
		}
		select {
		case err := <-ended:
			return fmt.Errorf("it ended: %v: %s\n%s", err, said.String(), errorsOf(logFile))
		default:
		}
		if time.Since(begin) > startLimit {
			kill()
			return fmt.Errorf("no report: %s\n%s", said.String(), errorsOf(logFile))
		}
	}
	if err := compare(c, out, tool); err != nil {
		kill()
		return err
	}
	begin := time.Now()
	stop := command("lxc-stop", "-P", *dir, "-n", name, "-t", "60")
	if text, err := stop.CombinedOutput(); err != nil {
		kill()
		return fmt.Errorf("lxc-stop: %v: %s", err, text)
	}
	if took := time.Since(begin); took > stopLimit {
		return fmt.Errorf("lxc-stop took %v", took)
	}
	<-ended
	got, err := os.ReadFile(out + "/signal")
	if err != nil || c.signal != "" && tool == "lxc-start" && string(got) != c.signal {
		return fmt.Errorf("it got the signal %q, not %q: %v", got, c.signal, err)
	}
	os.Remove(logFile)
	return nil
}

// errorsOf returns the errors in a log of LXC.
func errorsOf(file string) string {
	text, _ := os.ReadFile(file)
	var lines []string
	for line := range strings.SplitSeq(string(text), "\n") {
		if strings.Contains(line, "ERROR") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}

// A report is what reporter writes.
type report struct {
	Args, Env   []byte
	Status      string
	Dir         []byte
	Mounts      string
	PID         int
	Ports, Ping string
}

func compare(c *testCase, out, tool string) error {
	text, err := os.ReadFile(out + "/report")
	if err != nil {
		return err
	}
	var r report
	if err := json.Unmarshal(text, &r); err != nil {
		return err
	}
	var errs []error
	differ := func(what string, got, want any) {
		if g, w := fmt.Sprintf("%q", got), fmt.Sprintf("%q", want); g != w {
			errs = append(errs, fmt.Errorf("%s: %s, not %s", what, g, w))
		}
	}
	p := &c.process
	if got := split(r.Args); !slices.Equal(got, p.Args) {
		errs = append(errs, fmt.Errorf("arguments %q, not %q", got, p.Args))
	}
	env := slices.DeleteFunc(split(r.Env), func(s string) bool { return s == "container=lxc" || strings.HasPrefix(s, "container_ttys=") })
	want := slices.DeleteFunc(slices.Clone(p.Env), func(s string) bool {
		name, _, _ := strings.Cut(s, "=")
		return slices.Contains(c.left, name)
	})
	errs = append(errs, compareHook(c, out))
	slices.Sort(env) // shells write theirs in another order
	slices.Sort(want)
	for _, s := range env {
		if !slices.Contains(want, s) {
			errs = append(errs, fmt.Errorf("the environment has %q", s))
		}
	}
	for _, s := range want {
		if !slices.Contains(env, s) {
			errs = append(errs, fmt.Errorf("the environment lacks %q", s))
		}
	}
	differ("user", field(r.Status, "Uid"), strings.TrimSpace(strings.Repeat(fmt.Sprint(p.UID)+" ", 4)))
	differ("group", field(r.Status, "Gid"), strings.TrimSpace(strings.Repeat(fmt.Sprint(p.GID)+" ", 4)))
	var groups []uint32
	if lxc.KnowsGroups(p.LXC, *first != 0) {
		groups = slices.Clone(p.Groups)
	}
	slices.Sort(groups) // the kernel sorts them, too
	differ("groups", field(r.Status, "Groups"), strings.Trim(fmt.Sprint(groups), "[]"))
	differ("directory", string(r.Dir), p.Dir)
	if tool == "lxc-start" {
		differ("process", r.PID, 1)
	}
	if p.EmptyRun {
		for _, mount := range []string{" /run tmpfs ", " /dev/shm tmpfs ", " /dev/mqueue mqueue "} {
			if !strings.Contains(r.Mounts, mount) {
				errs = append(errs, fmt.Errorf("no mount %q in %s", mount, r.Mounts))
			}
		}
		differ("ports", r.Ports, "0")
		differ("ping", r.Ping, strings.TrimPrefix(p.Sysctls[1], "net.ipv4.ping_group_range="))
	}
	return errors.Join(errs...)
}

// compareHook checks what the mount hook saw.
func compareHook(c *testCase, out string) error {
	text, err := os.ReadFile(out + "/hook")
	if err != nil {
		return err
	}
	seen := split(text)
	if !lxc.HasVariable(seen, "LXC_ROOTFS_MOUNT") {
		return errors.New("the hook reported nothing")
	}
	var errs []error
	for _, s := range seen {
		name, value, _ := strings.Cut(s, "=")
		if slices.Contains(c.process.Env, s) || lxc.HasVariable(hostile(), name) && (strings.Contains(value, "evil") || strings.Contains(value, "rootfs/")) && name != "LXC_PULL_EXEC" {
			errs = append(errs, fmt.Errorf("the hook saw %q", s))
		}
	}
	if _, err := os.Stat(out + "/evil"); err == nil {
		errs = append(errs, errors.New("a value was run"))
	}
	return errors.Join(errs...)
}

func split(list []byte) []string {
	return strings.Split(strings.TrimSuffix(string(list), "\x00"), "\x00")
}

// field returns the words of a line of /proc/self/status.
func field(status, name string) string {
	_, rest, _ := strings.Cut(status, "\n"+name+":")
	rest, _, _ = strings.Cut(rest, "\n")
	return strings.Join(strings.Fields(rest), " ")
}

// build makes the container's directory.
func build(c *testCase, name, container string) error {
	root := filepath.Join(container, "rootfs")
	os.RemoveAll(container)
	for _, d := range []string{"bin", "dev", "etc", "out", "proc", "run", "srv/a b", "srv/it's \"odd\"", "srv/ blank ", "srv/#x", "sys", "usr/bin"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			return err
		}
	}
	if err := os.Chmod(filepath.Join(root, "out"), 0o1777); err != nil {
		return err
	}
	program := *reporter
	for _, place := range []string{"/bin/reporter", "/srv/a\tb", c.process.Args[0]} {
		if strings.HasPrefix(place, "/") {
			if err := install(program, filepath.Join(root, place)); err != nil {
				return err
			}
		}
	}
	shells := map[string]string{"bin/sh": "busybox", "usr/bin/env": "busybox", "bin/busybox": "busybox"}
	if c.shell != "" {
		shells = map[string]string{"bin/sh": c.shell, "usr/bin/env": "env"}
	}
	if c.tools != "" {
		delete(shells, "usr/bin/env")
		if c.tools != "busybox" {
			delete(shells, "bin/busybox")
		}
		if c.tools == "none" {
			clear(shells)
		}
	}
	for place, program := range shells {
		if err := installWithLibraries(program, root, place); err != nil {
			return err
		}
	}
	box := lxc.Container{Name: name, Path: container, Rootfs: root, TemplateConfig: "/usr/share/lxc/config", UserNamespace: *first != 0}
	lines, left, err := box.ProcessConfig(&c.process)
	if err != nil {
		return err
	}
	c.left = left
	// The shell opens its own environ: cat gets only what the shell understood.
	hook := "#!/bin/sh\nexec 3</proc/self/environ\ncat <&3 >\"$LXC_ROOTFS_MOUNT/out/hook\"\nenv >/dev/null\n"
	if err := os.WriteFile(filepath.Join(container, "hook"), []byte(hook), 0o755); err != nil {
		return err
	}
	base, mode := "lxc.net.0.type = empty\nlxc.rootfs.path = dir:"+root+"\nlxc.hook.mount = "+container+"/hook\n", lxc.System
	if *first != 0 {
		base += fmt.Sprintf("lxc.idmap = u 0 %d 65536\nlxc.idmap = g 0 %d 65536\n", *first, *first)
		mode = lxc.User
	}
	meta, _ := lxc.DefaultMeta(runtime.GOARCH).Relevant("config", mode)
	text := append(box.Config([]byte(base), meta, false), lines...)
	if err := os.WriteFile(filepath.Join(container, "config"), text, 0o644); err != nil {
		return err
	}
	if *first == 0 {
		return nil
	}
	return filepath.WalkDir(container, func(name string, _ fs.DirEntry, err error) error {
		if err == nil {
			err = os.Lchown(name, *first, *first)
		}
		return err
	})
}

func install(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	os.Remove(to)
	return os.WriteFile(to, data, 0o755)
}

// installWithLibraries copies a program to a place in root, and the libraries that ldd names.
func installWithLibraries(name, root, place string) error {
	file, err := exec.LookPath(name)
	if err == nil {
		err = install(file, filepath.Join(root, place))
	}
	if err != nil {
		return err
	}
	out, _ := exec.Command("ldd", file).Output() // fails for a static program
	for word := range strings.FieldsSeq(string(out)) {
		if strings.HasPrefix(word, "/") {
			if err := install(word, filepath.Join(root, word)); err != nil {
				return err
			}
		}
	}
	return nil
}
