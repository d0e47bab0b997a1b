package lxc

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A liblxc is a running program that calls the real liblxc (scripts/lab/liblxc). It reads from
// standard input a length (four bytes, little endian) and a config of that length, writes
// to standard output a length and what liblxc read in the config, and repeats.
type liblxc struct {
	in  io.WriteCloser
	out *bufio.Reader
}

// An answer is what liblxc read in a config.
type answer struct {
	version float64
	verdict string
	items   []item   // key and value; what differs from an empty config
	lines   []string // as it cut the text
}

func startLiblxc(t *testing.T, program string) *liblxc {
	t.Helper()
	cmd := exec.Command(program)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("LXC_PULL_LIBLXC: %v", err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v", program, err)
		}
	})
	return &liblxc{in, bufio.NewReader(out)}
}

func (l *liblxc) ask(t *testing.T, config string) answer {
	t.Helper()
	if _, err := l.in.Write(append(binary.LittleEndian.AppendUint32(nil, uint32(len(config))), config...)); err != nil {
		t.Fatal(err)
	}
	var size [4]byte
	if _, err := io.ReadFull(l.out, size[:]); err != nil {
		t.Fatalf("%q: %v", config, err)
	}
	text := make([]byte, binary.LittleEndian.Uint32(size[:]))
	if _, err := io.ReadFull(l.out, text); err != nil {
		t.Fatalf("%q: %v", config, err)
	}
	var a answer
	for row := range strings.SplitSeq(strings.TrimSuffix(string(text), "\n"), "\n") {
		kind, rest, _ := strings.Cut(row, "\t")
		key, value, _ := strings.Cut(rest, "\t")
		switch kind {
		case "liblxc":
			major, minor, _ := strings.Cut(rest, ".")
			minor, _, _ = strings.Cut(minor, ".")
			a.version, _ = strconv.ParseFloat(major+"."+minor, 64)
		case "verdict":
			a.verdict = key
		case "item":
			a.items = append(a.items, item{key, key, unescape(t, value)})
		case "line":
			a.lines = append(a.lines, unescape(t, rest))
		}
	}
	if a.version == 0 || a.verdict == "" {
		t.Fatalf("%q: the program answered %q", config, text)
	}
	return a
}

func unescape(t *testing.T, s string) string {
	t.Helper()
	text, err := strconv.Unquote(`"` + strings.ReplaceAll(s, `"`, `\"`) + `"`)
	if err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return text
}

// randomConfig returns a config of random pieces that matter to a parser.
func randomConfig(r *rand.Rand, names []string) string {
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	stock := []string{"lxc.arch = x86_64", "lxc.cap.drop = sys_module mknod", "lxc.mount.auto = proc:mixed sys", "lxc.mount.entry = /sys/fs/pstore sys/fs/pstore none bind,optional 0 0", "lxc.tty.max = 4", "lxc.pty.max = 1024",
		"lxc.tty.dir = lxc", "lxc.tty.dir =", "lxc.autodev = 1", "lxc.uts.name = web", "lxc.signal.halt = SIGPWR", "lxc.signal.stop = SIGRTMIN+3", "lxc.environment = TERM=linux", "# x", "", "text"}
	foreign := foreignLines()
	var b strings.Builder
	for range 1 + r.IntN(6) {
		switch r.IntN(6) {
		case 0, 1, 2:
			b.WriteString(pick(stock...))
		case 3:
			b.WriteString(pick(foreign...))
		default:
			b.WriteString(pick("", " ", "\t", "\v", "#", "\f", "x ") + pick(names...) + pick("", "", ".", "x", ".x", " ", "\t") + pick("=", " = ", "", "==") + pick("", "1", "0", "2", "0x1", "+1", "010", "08", "1_0", "-1", "x", "'1'", `"x`, "1 ", "lxc", "\t1\t", "veth", "none", "proc:rw sys", "cgroup2", "99999999999"))
		}
		b.WriteString(pick("\n", "\n", "\n", "\r", "\r\n", "\n\n", " \n", "\\\n", "\x00", "\f\n", "\n\ufeff", ""))
	}
	return b.String()
}

// TestModelAgainstLiblxc compares the model, CheckConfig and CheckLoads with the real
// liblxc. liblxc must split lines as the model does and refuse the lines that the model
// refuses. It must load every config that CheckConfig accepts, and set no key that is not
// allowed. CheckLoads must accept every config that liblxc loads.
func TestModelAgainstLiblxc(t *testing.T) {
	program := os.Getenv("LXC_PULL_LIBLXC")
	if program == "" {
		t.Skip("LXC_PULL_LIBLXC names no program that asks liblxc")
	}
	count := 4000
	if n, err := strconv.Atoi(os.Getenv("LXC_PULL_LIBLXC_COUNT")); err == nil {
		count = n
	}
	l := startLiblxc(t, program)
	model := releases()[0]
	for _, r := range releases() {
		if r.version <= l.ask(t, "").version {
			model = r
		}
	}
	seed, _ := strconv.ParseUint(os.Getenv("LXC_PULL_LIBLXC_SEED"), 10, 64)
	random := rand.New(rand.NewPCG(seed, 1))
	names := releases()[3].names() // LXC 2.1 knows most
	names = append(names, model.names()...)
	seen := map[string]int{}
	for range count {
		config := randomConfig(random, names)
		a := l.ask(t, config)
		seen[a.verdict]++
		if a.verdict == "died" {
			continue // a fault of liblxc: nothing to compare
		}
		items, bad := model.readTo(config)
		if err := compareLines(model, config, a, bad); err != nil {
			t.Errorf("%q: %v", config, err)
		}
		if bad != "" && a.verdict != "refused" {
			t.Errorf("%q: liblxc takes the line %q", config, bad)
		}
		if _, err := CheckLoads([]byte(config)); bad != "" && err == nil && !strings.ContainsAny(config, "\r\x00") && !usesEnded(config, model) {
			t.Errorf("%q: CheckLoads takes the line %q", config, bad)
		}
		if _, err := CheckLoads([]byte(config)); err != nil && a.verdict == "ok" && !strings.ContainsAny(config, "\r\x00") {
			t.Errorf("%q: liblxc takes it: %v", config, err)
		}
		found, err := web.CheckConfig([]byte(config), false)
		if err != nil || found.Includes != nil || slices.ContainsFunc(found.Arch, func(arch string) bool { return arch != "x86_64" }) {
			continue // whether files are there, and which machines LXC knows, the caller checks
		}
		seen["accepted"]++
		if a.verdict != "ok" {
			t.Errorf("%q: liblxc refuses what CheckConfig accepts, at %q", config, a.lines[len(a.lines)-1])
		}
		for _, i := range a.items {
			if i.key == "lxc.cap.keep" {
				continue // LXC 5.0.2 shows those of lxc.cap.drop here too
			}
			if !slices.ContainsFunc(items, func(m item) bool { return m.key == i.key }) {
				t.Errorf("%q: liblxc sets %q, the model does not", config, i)
			}
		}
	}
	t.Log(seen)
	if seen["accepted"] < count/50 || seen["refused"] < count/50 {
		t.Errorf("too few of one kind: %v", seen)
	}
}

// compareLines compares liblxc's lines with the model's, up to the line that liblxc
// refused. The model refuses the line bad because of its key or form; liblxc may refuse
// the value of an earlier line, but must not go on after bad. The program does not report
// blank lines and lines with lxc.idmap.
func compareLines(model release, config string, a answer, bad string) error {
	drop := func(s string) bool {
		return strings.Trim(s, " \t\r\n\f") == "" || strings.Contains(s, "lxc.idmap")
	}
	want, got := slices.DeleteFunc(model.cut(config), drop), slices.DeleteFunc(slices.Clone(a.lines), drop)
	if last := slices.Index(want, bad); last >= 0 && len(got) > last+1 {
		return fmt.Errorf("liblxc goes on after %q, to %q", bad, got[len(got)-1])
	}
	if a.verdict != "ok" {
		want = want[:min(len(want), len(got))]
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("liblxc cuts %q, the model %q", got, want)
	}
	return nil
}

// TestProcessAgainstLiblxc lets liblxc read the lines of ProcessConfig for words and variables
// that a parser could change. It must find the values that were asked for. (How it splits the
// command into words only started containers show: scripts/lab/e2e/process.)
func TestProcessAgainstLiblxc(t *testing.T) {
	program := os.Getenv("LXC_PULL_LIBLXC")
	if program == "" {
		t.Skip("LXC_PULL_LIBLXC names no program that asks liblxc")
	}
	l := startLiblxc(t, program)
	version := fmt.Sprintf("%.1f.99", l.ask(t, "").version)
	words, variables := nastyWords(), nastyVariables()
	accepted := 0
	for i := range max(len(words), len(variables)) {
		p := Process{
			Args: []string{"/x", words[i%len(words)], words[(i+1)%len(words)]}, Env: []string{variables[i%len(variables)], "Z=z"}, Identity: Identity{UID: uint32(i) << 20, GID: 4294967294 - uint32(i), Groups: []uint32{0, uint32(i), 4294967294}}, LXC: version, Dir: "/" + words[i%len(words)],
			StopSignal: []string{"", "TERM", "15", "SIGRTMIN+3", "RTMAX-1", "SIGWINCH"}[i%6], Tools: Tools{Shell: i%2 == 0}, EmptyRun: true, Sysctls: []string{"net.ipv4.ping_group_range=0 65535"}, DHCP: true,
		}
		config, _, err := web.ProcessConfig(&p)
		if err != nil {
			continue
		}
		accepted++
		want, lines := readProcess(t, config)
		a := l.ask(t, string(config))
		if a.verdict != "ok" {
			t.Errorf("%q: %s", config, a.verdict)
			continue
		}
		got := map[string][]string{}
		for _, item := range a.items {
			got[item.key] = append(got[item.key], item.value)
		}
		env := append(got["lxc.environment"], got["lxc.environment.runtime"]...)
		if !slices.Equal(splitQuoted(got["lxc.init.cmd"][0]), want.Args) || !slices.Equal(env, want.Env) || !slices.Equal(got["lxc.execute.cmd"], lines["lxc.execute.cmd"]) {
			t.Errorf("%q: liblxc reads %q", config, got)
		}
		for _, key := range []string{"lxc.init.uid", "lxc.init.gid", "lxc.init.groups"} {
			if lines[key] == nil || lines[key][0] == "0" {
				continue
			}
			list := ""
			for number := range strings.SplitSeq(strings.Join(got[key], ","), ",") {
				n, _ := strconv.ParseInt(number, 10, 64) // liblxc prints them as signed numbers of 32 bits
				list += fmt.Sprintf(",%d", uint32(n))
			}
			if list != ","+lines[key][0] {
				t.Errorf("%q: liblxc reads %s as %q", config, key, got[key])
			}
		}
		if list := got["lxc.signal.halt"]; p.StopSignal != "" && (len(list) != 1 || list[0] == "0") {
			t.Errorf("%q: liblxc reads the signal %q", config, list)
		}
	}
	if accepted < 60 {
		t.Errorf("only %d were accepted", accepted)
	}
	for number, name := range map[string]string{"15": "TERM", "37": "RTMIN+3", "63": "RTMAX-1", "28": "WINCH", "30": "PWR", "10": "USR1", "29": "IO", "31": "SYS", "16": "STKFLT"} {
		config, _, err := web.ProcessConfig(&Process{Args: []string{"/x"}, Dir: "/", StopSignal: name})
		if a := l.ask(t, string(config)); err != nil || !slices.Contains(a.items, item{"lxc.signal.halt", "lxc.signal.halt", number}) {
			t.Errorf("%s: %q, %v", name, a.items, err)
		}
	}
	for name := range strings.SplitSeq(signalNames, " ") {
		if a := l.ask(t, "lxc.signal.halt = SIG"+name+"\n"); a.verdict != "ok" {
			t.Errorf("%s: %s", name, a.verdict)
		}
	}
}
