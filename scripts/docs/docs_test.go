package main

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// documents are the files that the tests check, in the repository.
func documents(t *testing.T, top string) (list []*document) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(top, "docs", "*.md"))
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files in docs, %v", len(files), err)
	}
	for _, file := range append([]string{filepath.Join(top, "README.md")}, files...) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name, err := filepath.Rel(top, file)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, parseMarkdown(name, string(text)))
	}
	return list
}

func topDirectory(t *testing.T) string {
	t.Helper()
	top, err := repository()
	if err != nil {
		t.Fatal(err)
	}
	return top
}

// box returns the sandbox, which the tests of this package share.
var box = sync.OnceValues(func() (*sandbox, error) {
	top, err := repository()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	return newSandbox(ctx, top, testDir, 300_000)
})

// testDir holds the sandbox of the tests. The user nobody can enter it.
var testDir string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "docs-test-")
		if err == nil {
			err = os.Chmod(dir, 0o755)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		testDir = dir
		return m.Run()
	}())
}

// labels are the second words behind a fence; scripts/README.md explains them.
var labels = map[string]string{
	"": "sh text", "run": "sh console", "fails": "sh console", "host": "sh", "user": "sh", "compare": "sh", "picture": "sh",
	"phone": "sh", "tsu": "sh", "router": "sh", "turris": "sh", "systemd": "sh", "termux": "sh", "elsewhere": "sh",
}

// TestForm checks the form of the documents: fenced blocks with a language and a known
// label, and lines that fit.
func TestForm(t *testing.T) {
	for _, d := range documents(t, topDirectory(t)) {
		for _, line := range d.loose {
			t.Errorf("%s:%d: an indented block: use a fence with sh, console or text, so that its commands are tested", d.file, line)
		}
		for _, line := range d.long {
			t.Errorf("%s:%d: more than %d columns", d.file, line, maxColumns)
		}
		for _, b := range d.blocks {
			languages, ok := labels[b.label]
			if !ok || b.language == "" || !strings.Contains(" "+languages+" ", " "+b.language+" ") {
				t.Errorf("%s:%d: a block of %q with the label %q: scripts/README.md has what there is", d.file, b.line-1, b.language, b.label)
			}
		}
	}
}

// TestCommands checks that all commands in the documents exist, with their options. The
// program itself says what there is.
func TestCommands(t *testing.T) {
	top := topDirectory(t)
	s, err := box()
	if err != nil {
		t.Fatal(err)
	}
	m := readManual(t, top, s)
	checked := 0
	for _, d := range documents(t, top) {
		for _, b := range d.blocks {
			if b.language == "text" || b.label == "fails" {
				continue
			}
			commands, err := b.commands()
			if err != nil {
				t.Error(err)
			}
			for _, c := range commands {
				checked++
				if err := m.checkLine(c.text); err != nil {
					t.Errorf("%s:%d: %v\n\t%s", c.file, c.line, err, c.text)
				}
			}
		}
		for _, code := range d.spans {
			if option := optionInText.FindStringSubmatch(code.text); option != nil && !m.hasOption(option[1]) {
				t.Errorf("%s:%d: no command has the option %q", d.file, code.line, option[1])
			}
			if words := strings.Fields(code.text); len(words) < 2 || words[0] != "lxc-pull" && words[0] != "make" && words[0] != "lxc-create" {
				continue
			}
			checked++
			if err := m.checkLine(strings.Map(withoutBrackets, code.text)); err != nil {
				t.Errorf("%s:%d: %v\n\t%s", d.file, code.line, err, code.text)
			}
		}
	}
	text, err := os.ReadFile(filepath.Join(top, "docs/troubleshooting.md"))
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Split(string(text), "\n") {
		if code := codeOfFailure.FindStringSubmatch(line); code != nil && !slices.Contains(m.codes, code[1]) {
			t.Errorf("docs/troubleshooting.md:%d: \"lxc-pull help codes\" has no code %q", i+1, code[1])
		}
	}
	if checked < 80 {
		t.Errorf("found only %d commands", checked)
	}
	t.Logf("%d commands", checked)
}

// optionInText finds code that is an option, perhaps with its value.
var optionInText = regexp.MustCompile(`^(--[a-z][a-z-]*)(?:[ =].*)?$`)

// hasOption reports whether a command of lxc-pull or scripts/publish has an option.
func (m *manual) hasOption(name string) bool {
	for _, options := range m.commands {
		if options[name] {
			return true
		}
	}
	return strings.Contains(m.publish, " "+name+" ") || slices.Contains(otherOptions, name)
}

// otherOptions are options of other programs that the documents name alone.
var otherOptions = []string{"--dir", "--xattrs-include", "--delay-directory-restore", "--mount-helper"}

// codeOfFailure finds the code in a section of troubleshooting.md.
var codeOfFailure = regexp.MustCompile("^Code `([a-z-]+)`\\.")

// withoutBrackets drops the characters by which prose marks optional parts.
func withoutBrackets(r rune) rune {
	if strings.ContainsRune("[]|…", r) {
		return ' '
	}
	return r
}

// readManual asks the program for its commands and options.
func readManual(t *testing.T, top string, s *sandbox) *manual {
	t.Helper()
	ask := func(args ...string) string {
		out, err := s.command(t.Context(), filepath.Join(s.dir, "bin/lxc-pull"), args...).Output()
		if err != nil {
			t.Errorf("lxc-pull %s: %v", strings.Join(args, " "), err)
		}
		return string(out)
	}
	makefile, err := os.ReadFile(filepath.Join(top, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	m := &manual{top: top, commands: map[string]map[string]bool{}, targets: "\n" + string(makefile)}
	for line := range strings.Lines(ask("help", "codes")) {
		m.codes = append(m.codes, strings.Fields(line + " .")[0])
	}
	m.codes = append(m.codes, "codes")
	usage, err := s.command(t.Context(), filepath.Join(s.dir, "bin/publish"), "-h").Output()
	if err != nil {
		t.Fatal(err)
	}
	m.publish = string(usage)
	names := []string{"template"}
	for _, match := range regexp.MustCompile(`(?m)^  ([a-z]+) {2,}`).FindAllStringSubmatch(ask("--help"), -1) {
		names = append(names, match[1])
	}
	names = append(names, "sopv", "completion", "--install", "lxc-oci", "lxc-local")
	for _, name := range names {
		options := map[string]bool{}
		for _, match := range flagInHelp.FindAllStringSubmatch(ask("help", name), -1) {
			options[match[1]], options[match[2]] = true, true
		}
		for _, option := range regexp.MustCompile(`\s\[?(--?[a-zA-Z][\w-]*)`).FindAllStringSubmatch(ask("help", name), -1) {
			options[option[1]] = true // sopv and --install name theirs in sentences
		}
		m.commands[name] = options
	}
	if len(m.commands) < 14 || !m.commands["create"]["--server"] || m.commands["create"]["--no-such"] {
		t.Fatalf("the help texts could not be read: %v", m.commands)
	}
	return m
}

// TestRun runs the blocks with the labels "run" and "fails" in a sandbox. The blocks of a
// file run one after the other in one directory.
func TestRun(t *testing.T) {
	s, err := box()
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, d := range documents(t, topDirectory(t)) {
		if err := s.clean(); err != nil {
			t.Fatal(err)
		}
		for _, b := range d.blocks {
			if b.label != "run" && b.label != "fails" {
				continue
			}
			for _, c := range commandsOf(t, b) {
				ran++
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				out, status, err := exitStatus(s.command(ctx, "/bin/sh", "-c", c.text))
				cancel()
				c.judge(t, out, status, err, b.label == "fails")
			}
		}
	}
	if ran < 20 {
		t.Errorf("ran only %d commands", ran)
	}
	t.Logf("%d commands", ran)
}

// TestMachines runs the blocks of root and of other systems in machines. The blocks of a
// file that need the same kind of machine run one after the other in one machine.
func TestMachines(t *testing.T) {
	s, err := box()
	if err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() != 0 && exec.Command("unshare", "--user", "--map-root-user", "--mount", "true").Run() != nil {
		t.Skip("this user may not make namespaces")
	}
	// Root's machines can have ordinary users with containers of their own, if LXC is here.
	_, err = exec.LookPath("lxc-usernsexec")
	_, err2 := exec.LookPath("newuidmap")
	mapsIDs := os.Geteuid() == 0 && err == nil && err2 == nil
	ran := 0
	for i, d := range documents(t, topDirectory(t)) {
		machines := map[string]*machine{}
		for _, b := range d.blocks {
			k, ok := kinds[b.label]
			if !ok || b.language != "sh" {
				continue
			}
			name := k.same
			if name == "" {
				name = b.label
			}
			if b.label != "termux" && k.user && !mapsIDs {
				continue
			}
			m := machines[name]
			if m == nil {
				if m, err = s.newMachine(filepath.Join(s.dir, "machines", fmt.Sprint(i, name)), k); err != nil {
					t.Fatal(err)
				}
				machines[name] = m
			}
			for _, c := range commandsOf(t, b) {
				ran++
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				out, status, err := m.run(ctx, c.text)
				cancel()
				if strings.HasSuffix(strings.TrimRight(c.text, "'"), "lxc-pull doctor") && status == 1 && strings.Contains(out, "name server") {
					continue // it finds what such a machine lacks
				}
				c.judge(t, out, status, err, false)
			}
		}
	}
	if ran < 110 {
		t.Errorf("ran only %d commands", ran)
	}
	t.Logf("%d commands", ran)
}

// elsewhere are the lines of documents that no machine here runs. Their blocks have the
// label "elsewhere", followed by the reason.
var elsewhere = []string{
	"docs/android.md: zcat /proc/config.gz | grep -E 'CONFIG_(PID|UTS|IPC|NET)_NS|CONFIG_CGROUP_DEVICE|CONFIG_VETH'",
	"docs/fetching.md: go run -C scripts ./lab/faultserver -seed 7 -log requests.json /srv/tree",
	"docs/packaging.md: make packages",
	"docs/stock-differences.md: go build -C scripts -o /tmp/stockdiff ./lab/stockdiff",
	"docs/stock-differences.md: sudo /tmp/stockdiff -ours bin/lxc-pull            # everything: about three minutes on two cores",
	"docs/stock-differences.md: sudo /tmp/stockdiff -ours bin/lxc-pull -seed 40 -n 1 -v -keep diff",
}

// TestElsewhere pins the lines that are not run.
func TestElsewhere(t *testing.T) {
	var got []string
	for _, d := range documents(t, topDirectory(t)) {
		for _, b := range d.blocks {
			if b.label != "elsewhere" {
				continue
			}
			if b.reason == "" {
				t.Errorf("%s:%d: the reason is missing behind the label", b.file, b.line-1)
			}
			for _, c := range commandsOf(t, b) {
				got = append(got, c.file+": "+c.text)
			}
		}
	}
	if !slices.Equal(got, elsewhere) {
		t.Errorf("the lines with the label \"elsewhere\" are\n%s", strings.Join(got, "\n"))
	}
}

// commandsOf returns a block's commands.
func commandsOf(t *testing.T, b block) []shellCommand {
	t.Helper()
	commands, err := b.commands()
	if err != nil {
		t.Error(err)
	}
	return commands
}

// judge compares a command's end and output with the document's.
func (c shellCommand) judge(t *testing.T, out string, status int, err error, fails bool) {
	t.Helper()
	if err != nil || fails != (status != 0) {
		t.Errorf("%s:%d: %s\n\tended with exit status %d, %v:\n%s", c.file, c.line, c.text, status, err, out)
	}
	if missing := firstMissing(c.says, out); missing != "" {
		t.Errorf("%s:%d: %s\n\tdid not print %q, but:\n%s", c.file, c.line, c.text, missing, out)
	}
}

// firstMissing returns the first line of says that the output lacks. Lines must come in
// this order; "..." stands for any text, in a line or for lines.
func firstMissing(says []string, output string) string {
	lines := strings.Split(output, "\n")
	for _, want := range says {
		if strings.TrimSpace(want) == "..." || strings.TrimSpace(want) == "" {
			continue
		}
		pattern := regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(strings.TrimRight(want, " ")), `\.\.\.`, ".*") + "$")
		for {
			if len(lines) == 0 {
				return want
			}
			line := strings.TrimRight(lines[0], " ")
			if lines = lines[1:]; pattern.MatchString(line) {
				break
			}
		}
	}
	return ""
}

// clean empties the working directory and the home directory. Then it makes the directory
// bin/ in the first, as "make build" does, and an SSH key in the second.
func (s *sandbox) clean() error {
	for _, dir := range []string{s.work, s.home} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	// The documents name programs that were built in the repository, and the user's SSH key.
	if err := os.Symlink(filepath.Join(s.dir, "bin"), filepath.Join(s.work, "bin")); err != nil {
		return err
	}
	const kind = "ssh-ed25519"
	key := append([]byte{0, 0, 0, byte(len(kind))}, kind...)
	key = append(append(key, 0, 0, 0, ed25519.PublicKeySize), make([]byte, ed25519.PublicKeySize)...)
	ssh := filepath.Join(s.home, ".ssh")
	if err := os.Mkdir(ssh, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(ssh, "id_ed25519.pub"), fmt.Appendf(nil, "%s %s tux\n", kind, base64.StdEncoding.EncodeToString(key)), 0o644)
}

// TestLinks checks links to files of the repository and to headings in them. Other links
// are not fetched: they must be https.
func TestLinks(t *testing.T) {
	top := topDirectory(t)
	list := documents(t, top)
	byName := map[string]*document{}
	for _, d := range list {
		byName[d.file] = d
	}
	found := 0
	for _, d := range list {
		for _, link := range d.links {
			found++
			if strings.HasPrefix(link.text, "https://") {
				continue
			}
			if strings.Contains(link.text, ":") {
				t.Errorf("%s:%d: %s: a link is relative or https", d.file, link.line, link.text)
				continue
			}
			path, anchor, _ := strings.Cut(link.text, "#")
			target := d.file
			if path != "" {
				target = filepath.Join(filepath.Dir(d.file), path)
			}
			if _, err := os.Stat(filepath.Join(top, target)); err != nil {
				t.Errorf("%s:%d: %s: there is no %s", d.file, link.line, link.text, target)
				continue
			}
			if to := byName[target]; anchor != "" && (to == nil || !to.anchors[anchor]) {
				t.Errorf("%s:%d: %s: %s has no such heading", d.file, link.line, link.text, target)
			}
		}
	}
	if found < 40 {
		t.Errorf("found only %d links", found)
	}
}

// TestAllLinked checks that the README leads to every document.
func TestAllLinked(t *testing.T) {
	list := documents(t, topDirectory(t))
	linked := map[string]bool{}
	for _, link := range list[0].links {
		path, _, _ := strings.Cut(link.text, "#")
		linked[path] = true
	}
	for _, d := range list[1:] {
		if !linked[d.file] {
			t.Errorf("README.md has no link to %s", d.file)
		}
	}
}

// TestMessages checks that the messages which troubleshooting.md explains are the
// program's: each title there, up to "...", is in a text of the program's sources or tests.
func TestMessages(t *testing.T) {
	top := topDirectory(t)
	var sources strings.Builder
	for _, dir := range []string{"cli", "cli/testdata/script", "fetch", "image", "image/cache", "lxc", "lxc/host", "pgp", "pull", "pull/source", "untar", "untar/xz"} {
		for _, pattern := range []string{"*.go", "*.txtar"} {
			files, _ := filepath.Glob(filepath.Join(top, dir, pattern))
			for _, file := range files {
				text, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				sources.Write(text)
			}
		}
	}
	all := sources.String()
	text, err := os.ReadFile(filepath.Join(top, "docs/troubleshooting.md"))
	if err != nil {
		t.Fatal(err)
	}
	titles := 0
	for i, line := range strings.Split(string(text), "\n") {
		title, ok := strings.CutPrefix(line, "### ")
		if !ok {
			continue
		}
		for _, code := range codeSpan.FindAllStringSubmatch(title, -1) {
			titles++
			for _, part := range strings.Split(code[1], "...") {
				if part = strings.TrimSpace(part); !strings.Contains(all, strings.ReplaceAll(part, `"`, `\"`)) && !strings.Contains(all, part) {
					t.Errorf("docs/troubleshooting.md:%d: the program has no message %q", i+1, part)
				}
			}
		}
	}
	if titles < 20 {
		t.Errorf("found only %d messages", titles)
	}
}

// TestPicture checks that the picture is of the README's commands, and needs nothing from
// elsewhere.
func TestPicture(t *testing.T) {
	top := topDirectory(t)
	for _, name := range []string{"docs/terminal.svg", "docs/trust.svg"} {
		picture, err := os.ReadFile(filepath.Join(top, name))
		if err != nil {
			t.Fatal(err)
		}
		decoder := xml.NewDecoder(strings.NewReader(string(picture)))
		for {
			if _, err := decoder.Token(); err == io.EOF {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		for _, foreign := range []string{"href", "url(", "@import", "<script"} {
			if strings.Contains(string(picture), foreign) {
				t.Errorf("%s has %q in it: a picture loads nothing", name, foreign)
			}
		}
		if !strings.Contains(string(picture), "prefers-color-scheme: dark") {
			t.Errorf("%s has no colours for dark pages", name)
		}
		if name == "docs/trust.svg" {
			continue
		}
		commands, err := pictureCommands(top)
		if err != nil {
			t.Fatal(err)
		}
		rest := string(picture)
		for _, c := range commands {
			_, after, ok := strings.Cut(rest, ">"+escape(c.text)+"<")
			if !ok {
				t.Errorf("%s:%d: %s does not show %q: \"make docs\" makes it anew", c.file, c.line, name, c.text)
			}
			rest = after
		}
	}
}

// TestSettings checks that the program knows the settings of the example in
// docs/settings.md.
func TestSettings(t *testing.T) {
	s, err := box()
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.command(t.Context(), filepath.Join(s.dir, "bin/lxc-pull"), "config").Output()
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, d := range documents(t, topDirectory(t)) {
		for _, b := range d.blocks {
			if d.file != "docs/settings.md" || b.language != "text" {
				continue
			}
			for i, line := range b.lines {
				name, _, ok := strings.Cut(line, " = ")
				if !ok {
					continue
				}
				checked++
				if !strings.Contains(string(out), "\n"+name+" ") {
					t.Errorf("%s:%d: lxc-pull config has no %q", b.file, b.line+i, name)
				}
			}
		}
	}
	if checked < 5 {
		t.Errorf("found only %d settings", checked)
	}
}
