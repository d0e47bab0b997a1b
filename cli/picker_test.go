package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"lxc-pull/image"
	"lxc-pull/image/cache"
)

// pickerTree makes a server's tree whose list has 40 images of this machine and 20 of another.
// All names stand for the same files. It returns the options by which the program finds it.
func pickerTree(t *testing.T) []string {
	t.Helper()
	options := imageTree(t, []testFile{{"config", "lxc.arch = " + hostArch() + "\n"}}, []testFile{{"file", "text"}})[:2]
	index := ""
	line := func(dist, release, arch, variant, build string) {
		index += strings.Join([]string{dist, release, arch, variant, build, "/images/1/\n"}, ";")
	}
	for _, release := range []string{"bookworm", "sid", "trixie"} {
		line("debian", release, hostArch(), "cloud", "20260829_05:24")
		line("debian", release, hostArch(), "default", "20260829_05:24")
		line("debian", release, otherArch(), "default", "20260828_05:24")
	}
	for n := 1; n <= 17; n++ {
		line("alpine", fmt.Sprintf("3.%d", n), hostArch(), "default", "20260830_13:00")
		line("alpine", fmt.Sprintf("3.%d", n), otherArch(), "default", "20260830_13:00")
		line("springdalelinux", fmt.Sprint(n), hostArch(), "default", "20260830_13:00")
	}
	for _, mode := range []string{"system", "user"} {
		file := filepath.Join(strings.TrimPrefix(options[0], "--server=file://"), "meta/1.0/index-"+mode)
		if err := os.WriteFile(file, []byte(index), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return options
}

// otherArch returns an architecture that is not this machine's.
func otherArch() string {
	if hostArch() == "riscv64" {
		return "amd64"
	}
	return "riscv64"
}

// startPicker starts "rootfs DIR" on a pseudo-terminal.
func startPicker(t *testing.T, columns, rows int, env []string, more ...string) (p *ptyRun, dir string) {
	t.Helper()
	dir = t.TempDir() + "/root"
	args := append([]string{"rootfs", dir}, pickerTree(t)...)
	return startPTY(t, columns, rows, env, append(args, more...)...), dir
}

// list returns the picker's lines on the screen.
func (p *ptyRun) list() string {
	screen := p.screen()
	if i := strings.Index(screen, "Image:"); i >= 0 {
		return screen[i:]
	}
	return ""
}

// waitList waits until the picker shows exactly these lines.
func (p *ptyRun) waitList(lines ...string) {
	p.t.Helper()
	want := ""
	for _, line := range lines {
		want += strings.TrimRight(strings.ReplaceAll(line, "ARCH", hostArch()), " ") + "\n"
	}
	want = strings.TrimSuffix(want, "\n")
	p.until("the list\n"+want, func(string) bool { return p.list() == want })
}

// The list narrows as one types, keys move in it, and the image is made whose row is chosen.
func TestPicker(t *testing.T) {
	for _, columns := range []int{40, 80, 200} {
		t.Run(fmt.Sprint(columns), func(t *testing.T) {
			p, dir := startPicker(t, columns, 9, nil)
			status, date, other := " images (ARCH). Enter: take, Tab: all, Esc: leave, *: cached", " 2026-08-29", " 2026-08-28"
			of := " of "
			if columns == 40 {
				status, date, other, of = " ARCH. Enter: take, Tab: all", "", "", "/"
			}
			p.wait("Enter: take")
			if want := "\n> alpine          3.17     default"; !strings.Contains(p.screen(), want) {
				t.Errorf("the screen is\n%s", p.screen())
			}
			p.send("\x1b[A\x1b[5~") // nothing is above
			p.send("WORM ebi")
			p.waitList("Image: WORM ebi",
				"> debian          bookworm default"+date,
				"  debian          bookworm cloud  "+date,
				"", "", "", "",
				"2"+of+"40"+status)
			p.send("\x1b[B")
			p.wait("> debian          bookworm cloud")
			p.send("\t")
			if columns > 40 {
				p.wait("  debian          bookworm default " + otherArch() + other)
				p.wait("> debian          bookworm cloud   " + fmt.Sprintf("%-7s", hostArch()) + date)
			} else {
				p.wait("> debian       bookworm cloud   " + hostArch())
			}
			p.wait("3" + of + "60")
			p.send("\t")
			p.wait("> debian          bookworm cloud") // it stays selected
			p.wait("2" + of + "40")
			p.send("\x7f\x7f\x7f\x7f")
			p.waitList("Image: WORM",
				"> debian          bookworm default"+date,
				"  debian          bookworm cloud  "+date,
				"", "", "", "",
				"2"+of+"40"+status)
			p.send("x\r") // Enter has no row
			p.waitList("Image: WORMx", "", "", "", "", "", "", "0"+of+"40"+status)
			p.send("\x15")
			p.wait("40" + of + "40")
			p.send("debian/trixie\x1bOB\r")
			if code := p.end(); code != 0 {
				t.Fatalf("exit status %d, the screen is\n%s", code, p.screen())
			}
			if p.modes() != p.before {
				t.Errorf("the modes are %v, they were %v", p.modes(), p.before)
			}
			if got, err := os.ReadFile(dir + "/file"); err != nil || string(got) != "text" {
				t.Errorf("%q, %v", got, err)
			}
			same := strings.ReplaceAll(p.raw()[strings.LastIndex(p.raw(), "\x1b[J")+3:], "\r\n", "\n")
			if !strings.HasPrefix(same, "Same as: lxc-pull rootfs "+dir+" --server=file:///") || !strings.Contains(same, " --no-validate debian/trixie/cloud\n") {
				t.Errorf("at the end %q", same)
			}
			if strings.Contains(p.screen(), "Image:") || strings.Contains(p.screen(), "Esc:") {
				t.Errorf("the list is still there:\n%s", p.screen())
			}
		})
	}
}

// After a change of the size the list fits again, and nothing of the old one is left.
func TestPickerResize(t *testing.T) {
	p, _ := startPicker(t, 80, 24, nil)
	p.wait("Esc: leave")
	p.send("trix")
	p.wait("2 of 40")
	p.resize(40, 8)
	p.waitList("Image: trix",
		"> debian          trixie   default",
		"  debian          trixie   cloud",
		"", "", "",
		"2/40 ARCH. Enter: take, Tab: all")
	p.send("\x15")
	p.wait("40/40")
	p.resize(200, 30)
	p.wait("*: cached")
	if n := strings.Count(p.screen(), "Image:"); n != 1 || strings.Count(p.list(), "\n") != 16 {
		t.Errorf("the screen is\n%s", p.screen())
	}
	p.send("\x1b[6~\x1b[F")
	p.wait("> springdalelinux 1 ")
	p.resize(60, 2) // too low for the list
	p.wait("Tab: all")
	p.resize(80, 24)
	p.wait("Enter: take")
	p.send("\x1b")
	if code := p.end(); code != exitUsage || p.modes() != p.before {
		t.Errorf("exit status %d, modes %v", code, p.modes())
	}
	p.wait("lxc-pull: no image was chosen")
}

// However the run ends, the terminal has its modes, and a fresh line.
func TestPickerEnds(t *testing.T) {
	for _, c := range []struct {
		name, keys, wait string
		end              string // keys
		signal           syscall.Signal
		code             int
	}{
		{"Ctrl-C", "", "40 of 40", "\x03", 0, 130},
		{"Ctrl-C after typing", "deb", "Image: deb", "\x03", 0, 130},
		{"Ctrl-C after moving", "deb\x1b[B", "> debian          trixie   cloud", "\x03", 0, 130},
		{"Ctrl-C after Tab", "\t", "60 of 60", "\x03", 0, 130},
		{"Ctrl-C in a sequence", "\x1b[1", "40 of 40", "\x03", 0, 130},
		{"SIGTERM", "deb", "Image: deb", "", syscall.SIGTERM, 143},
		{"SIGHUP", "deb", "Image: deb", "", syscall.SIGHUP, 129},
		{"SIGQUIT", "deb", "Image: deb", "", syscall.SIGQUIT, 143},
		{"SIGABRT", "deb", "Image: deb", "", syscall.SIGABRT, 143},
		{"SIGUSR1", "deb", "Image: deb", "", syscall.SIGUSR1, 143},
		{"Esc", "deb", "Image: deb", "\x1b", 0, 2},
		{"Esc Esc", "deb", "Image: deb", "\x1b\x1b", 0, 2},
		{"Ctrl-D", "", "40 of 40", "\x04", 0, 2},
		{"Ctrl-\\ does nothing", "\x1cdeb", "Image: deb", "\x03", 0, 130},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, dir := startPicker(t, 80, 24, nil)
			p.wait("Esc: leave")
			p.send(c.keys)
			p.wait(c.wait)
			if p.modes() == p.before {
				t.Error("the terminal shows what is typed")
			}
			p.send(c.end)
			if c.signal != 0 {
				p.signal(c.signal)
			}
			checkEnd(t, p, dir, c.code)
		})
	}
}

// checkEnd checks the end of a run in which no image was chosen.
func checkEnd(t *testing.T, p *ptyRun, dir string, code int) {
	t.Helper()
	if got := p.end(); got != code {
		t.Errorf("exit status %d, want %d", got, code)
	}
	if p.modes() != p.before {
		t.Errorf("the modes are %v, they were %v", p.modes(), p.before)
	}
	if strings.Contains(p.screen(), "Esc: leave") || !strings.Contains(p.screen(), "\nlxc-pull: ") || !strings.HasSuffix(p.raw(), "\n") {
		t.Errorf("the screen is\n%s", p.screen())
	}
	if strings.Contains(p.raw(), "\x1b[?25l") {
		t.Error("the cursor was hidden")
	}
	if _, err := os.Lstat(dir); err == nil {
		t.Errorf("%s is there", dir)
	}
}

// A closed terminal ends the program.
func TestPickerHangUp(t *testing.T) {
	p, _ := startPicker(t, 80, 24, nil)
	p.wait("Esc: leave")
	p.master.Close() // the kernel sends SIGHUP
	if code := p.end(); code != 129 {
		t.Errorf("exit status %d", code)
	}
}

// A process that was stopped sets the modes again and draws all lines. Ctrl-Z stops nothing
// if nobody could make the process continue, as in this session without a shell.
func TestPickerStopped(t *testing.T) {
	p, _ := startPicker(t, 80, 24, nil)
	p.wait("Esc: leave")
	p.send("deb\x1a")
	p.wait("Image: deb")
	raw := p.modes()
	p.signal(syscall.SIGSTOP)
	if err := unix.IoctlSetTermios(int(p.slave.Fd()), unix.TCSETS, &p.before); err != nil { // as a shell does
		t.Fatal(err)
	}
	before := len(p.raw())
	p.signal(syscall.SIGCONT)
	p.until("the list", func(string) bool { return p.modes() == raw && strings.Contains(p.raw()[before:], "6 of 40") })
	p.send("\x03")
	if code := p.end(); code != 130 || p.modes() != p.before {
		t.Errorf("exit status %d, modes %v", code, p.modes())
	}
}

// A sequence may arrive in pieces. What is typed after Enter is for the next program.
func TestPickerKeys(t *testing.T) {
	p, _ := startPicker(t, 80, 24, nil)
	p.wait("Esc: leave")
	p.send("deb ü\xff\x9b2J")
	p.wait(`Image: deb ü\xff\x9b2J`)
	for _, piece := range []string{"\b\b\b", "\b", "\b", "\x1b", "[", "B"} {
		p.send(piece)
		time.Sleep(5 * time.Millisecond)
	}
	p.wait("> debian          trixie   cloud")
	p.send("\x1b[24~\x1b[[A\x1bOP\x1bx\x1b[200~")     // keys without a meaning
	p.send("\x1b[" + strings.Repeat("1;", 500) + "A") // longer than any key
	p.send("\x0c")                                    // draw all again
	p.send("\rnext\n")
	p.wait("Same as: ")
	p.until("the rest", func(string) bool {
		n, err := unix.IoctlGetInt(int(p.slave.Fd()), unix.TIOCINQ)
		return err == nil && n == len("next\n")
	})
	if code := p.end(); code != 0 {
		t.Errorf("exit status %d, the screen is\n%s", code, p.screen())
	}
}

// A serial console does not know its size.
func TestPickerSerial(t *testing.T) {
	p, _ := startPicker(t, 80, 24, []string{"TERM=vt102", "NO_COLOR=1"})
	p.setSize(0, 0)
	p.wait("40 of 40 images")
	p.send("\x1b")
	p.end()
	for _, sequence := range strings.Split(p.raw(), "\x1b[")[1:] {
		if !strings.ContainsAny(strings.TrimLeft(sequence, "0123456789")[:1], "ABJK") {
			t.Errorf("the program uses ESC [ %q", sequence)
		}
	}
}

// A terminal without control sequences gets numbered lines.
func TestPickerDumb(t *testing.T) {
	for _, c := range []struct {
		dialog []string // a text on the screen, then what is typed, and so on
		code   int
	}{
		{[]string{"20 of 40", "\n", " 40 springdale", "", "40 of 40", "deb\n", "  6 debian", "", "6 of 6", "1\n"}, 0},
		{[]string{"20 of 40", "nothing\n", "0 of 0 images", "q\n"}, 2},
		{[]string{"20 of 40", "*\n", otherArch(), "", "20 of 60", "60\n", "0 of 0 images", "\x04"}, 2},
		{[]string{"20 of 40", "\x03"}, 130},
		{[]string{"20 of 40", "de\n", "6 of 6", "b\x03"}, 130},
	} {
		for _, term := range []string{"TERM=dumb", "TERM="} {
			p, dir := startPicker(t, 80, 99, []string{term})
			for i, text := range c.dialog {
				if i%2 == 0 {
					p.wait(text)
				} else {
					p.send(text)
				}
			}
			if c.code != 0 {
				checkEnd(t, p, dir, c.code)
			} else if code := p.end(); code != 0 || !strings.Contains(p.screen(), "Same as: ") {
				t.Errorf("exit status %d, the screen is\n%s", code, p.screen())
			}
			if strings.Contains(p.raw(), "\x1b") {
				t.Errorf("control sequences: %q", p.raw())
			}
		}
	}
}

// Names that are given stay: the list has what matches them.
func TestPickerGiven(t *testing.T) {
	p, _ := startPicker(t, 80, 24, nil, "-d", "debian", "-a", otherArch())
	p.wait("3 of 3 images (" + otherArch() + ")")
	p.send("\x03")
	p.end()
	p, _ = startPicker(t, 80, 24, nil, "-d", "debian", "--variant=cloud")
	p.wait("3 of 3 images")
	p.send("\x03")
	p.end()
	p, _ = startPicker(t, 80, 24, nil, "-d", "absent")
	if code := p.end(); code != exitNoImage {
		t.Errorf("exit status %d", code)
	}
}

// The template at a terminal has the same list.
func TestPickerTemplate(t *testing.T) {
	dir := t.TempDir() + "/c"
	args := []string{"--name=c", "--path=" + dir, "--rootfs=" + dir + "/rootfs"}
	for _, d := range []string{dir, dir + "/rootfs"} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	p := startPTY(t, 200, 24, nil, append(append(args, pickerTree(t)...), "--template-config", dir)...)
	p.wait("Esc: leave")
	p.send("sid\x1b[B\r")
	p.wait("Same as: lxc-create -t ")
	p.end()
	if !strings.Contains(p.raw(), " --no-validate --template-config "+dir+" -d debian -r sid --variant cloud\r\n") {
		t.Errorf("%q", p.raw())
	}
}

// A panic leaves the terminal as it was.
func TestPickerPanic(t *testing.T) {
	needsKernel(t)
	master, slave := openPTY(t)
	defer master.Close()
	defer slave.Close()
	before, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("TERM", "vt100")
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		newPicker(testImages(1), "amd64", nil).choose(context.Background(), panicWriter{}, slave)
	}()
	after, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
	if err != nil || *after != *before {
		t.Errorf("the modes are %v, they were %v: %v", after, before, err)
	}
}

type panicWriter struct{}

func (panicWriter) Write([]byte) (int, error) { panic("no") }

// testImages returns n images of amd64 and as many of arm64.
func testImages(n int) (images []image.Image) {
	for i := range n {
		for _, arch := range []string{"amd64", "arm64"} {
			images = append(images, image.Image{Name: image.Name{Dist: fmt.Sprintf("dist%d", i/100), Release: fmt.Sprint(i % 100), Arch: arch, Variant: "default"}, Build: "20260829_05:24"})
		}
	}
	return images
}

func TestPickerOrder(t *testing.T) {
	var images []image.Image
	for _, name := range strings.Fields("ubuntu/jammy/amd64/default debian/sid/amd64/cloud debian/sid/amd64/default debian/trixie/x86_64/default alpine/3.9/amd64/default alpine/edge/amd64/default alpine/3.22/amd64/default ubuntu/noble/amd64/default centos/9-Stream/amd64/default centos/10-Stream/amd64/default centos/9-Stream/i386/default") {
		f := strings.Split(name, "/")
		images = append(images, image.Image{Name: image.Name{Dist: f[0], Release: f[1], Arch: f[2], Variant: f[3]}})
	}
	p := newPicker(images, "amd64", nil)
	var got []string
	for _, i := range p.found {
		got = append(got, p.images[i].Dist+"/"+p.images[i].Release+"/"+p.images[i].Variant)
	}
	want := strings.Fields("alpine/3.22/default alpine/3.9/default alpine/edge/default centos/10-Stream/default centos/9-Stream/default debian/trixie/default debian/sid/default debian/sid/cloud ubuntu/noble/default ubuntu/jammy/default")
	if !slices.Equal(got, want) {
		t.Errorf("the order is\n%q, want\n%q", got, want)
	}
	if p := newPicker(images, "s390x", nil); !p.all || p.total != len(images) {
		t.Errorf("of a machine without images: %v, %d", p.all, p.total)
	}
}

func TestPickerFilter(t *testing.T) {
	images := []image.Image{
		{Name: image.Name{Dist: "debian", Release: "trixie", Arch: "amd64", Variant: "default"}},
		{Name: image.Name{Dist: "debian", Release: "trixie", Arch: "amd64", Variant: "cloud"}},
		{Name: image.Name{Dist: "debian", Release: "trixie", Arch: "arm64", Variant: "cloud"}},
		{Name: image.Name{Dist: "ubuntu", Release: "noble", Arch: "amd64", Variant: "default"}},
	}
	for _, c := range []struct {
		filter   string
		own, all int
	}{
		{"", 3, 4}, {" ", 3, 4}, {"deb", 2, 3}, {"DEB clo", 1, 2}, {"clo deb", 1, 2}, {"amd64", 0, 3}, {"arm", 0, 1}, {"debian/trixie", 2, 3},
		{"debian/trixie/cloud", 1, 2}, {"trixie/arm64/cloud", 0, 1}, {"u", 1, 4}, {"cloud", 1, 2}, {"de", 2, 4}, {"def", 2, 2}, {"fault", 0, 2}, {"x y", 0, 0},
	} {
		p := newPicker(images, "amd64", nil)
		for _, r := range []byte(c.filter) {
			p.press(int(r))
		}
		if len(p.found) != c.own {
			t.Errorf("%q finds %d of this machine, want %d", c.filter, len(p.found), c.own)
		}
		if p.press(keyTab); len(p.found) != c.all {
			t.Errorf("%q finds %d of all, want %d", c.filter, len(p.found), c.all)
		}
	}
}

// The selected row is always on the screen, and each line fits it.
func TestPickerWindow(t *testing.T) {
	images := testImages(250)
	images[0].Variant, images[3].Release = strings.Repeat("é", 100), "\u009b31m\u202e"
	images[5].Dist = strings.Repeat("long", 10)
	keys := []int{keyDown, keyPageDown, keyPageDown, keyUp, keyEnd, keyUp, keyUp, keyPageUp, keyHome, keyUp, keyTab, keyEnd, 'l', keyDown, keyErase, '1', keyPageDown, keyErase, keyErase, keyTab, keyNone}
	for columns := 0; columns < 130; columns++ {
		p := newPicker(slices.Clone(images), "amd64", []cache.Info{{Name: images[7].Name, Build: images[7].Build, Size: 100 << 20}})
		for i, key := range keys {
			if i%4 == 0 {
				p.setSize(columns, i+columns/5)
			}
			p.press(key)
			lines := p.lines()
			if len(lines) != p.screen.height+2 || len(p.found) > 0 && (p.at < p.top || p.at >= p.top+p.screen.height || columns > 4 && !strings.HasPrefix(lines[1+p.at-p.top], "> ")) {
				t.Fatalf("%d columns, key %d: row %d of %d, from %d, %d rows", columns, i, p.at, len(p.found), p.top, p.screen.height)
			}
			for _, line := range lines {
				if utf8.RuneCountInString(line) >= max(columns, 1) || strings.ContainsAny(line, "\u009b\u202e") {
					t.Fatalf("%d columns: %q", columns, line)
				}
			}
		}
	}
}

// What is in the cache has a mark and a size.
func TestPickerCached(t *testing.T) {
	images := testImages(3)
	kept := func(i int, build string, damage error) cache.Info {
		return cache.Info{Name: images[i].Name, Build: build, Size: 95 << 20, Damage: damage}
	}
	p := newPicker(images, "amd64", []cache.Info{kept(0, images[0].Build, nil), kept(2, "older", nil), kept(4, images[4].Build, errors.New("damaged"))})
	for columns, want := range map[int]string{
		80: "dist0 0 default 2026-08-29 95.0 MiB *", 42: "dist0 0 default 2026-08-29 95.0 MiB *",
		35: "dist0 0 default 2026-08-29 *", 25: "dist0 0 default *", 20: "dist0 0 default *",
	} {
		p.setSize(columns, 24)
		got := p.row(&p.images[p.found[len(p.found)-1]])
		for strings.Contains(got, "  ") {
			got = strings.ReplaceAll(got, "  ", " ")
		}
		if got != want {
			t.Errorf("%d columns: %q, want %q", columns, got, want)
		}
		if row := p.row(&p.images[p.found[0]]); strings.HasSuffix(row, "*") || strings.Contains(row, "MiB") {
			t.Errorf("%d columns: %q", columns, row)
		}
	}
}

// Each line that has changed is written again, and no other.
func TestPickerDraw(t *testing.T) {
	var model screenModel
	model.resize(80, 24)
	p := newPicker(testImages(20), "amd64", nil)
	p.setSize(80, 24)
	for _, c := range []struct {
		key int
		max int // bytes
	}{{keyRedraw, 1000}, {keyNone, 0}, {keyDown, 120}, {'1', 1000}, {keyDown, 120}, {'9', 700}, {keyErase, 1000}, {keyEnd, 200}, {keyTab, 1000}} {
		p.press(c.key)
		var out bytes.Buffer
		if err := p.draw(&out); err != nil {
			t.Fatal(err)
		}
		if out.Len() > c.max {
			t.Errorf("key %d writes %d bytes", c.key, out.Len())
		}
		model.write(out.Bytes())
		if want := strings.TrimRight(strings.Join(p.lines(), "\n"), " "); strings.ReplaceAll(model.String(), "Image:\n", "Image: \n") != want {
			t.Errorf("after key %d the screen is\n%s\nwant\n%s", c.key, model.String(), want)
		}
	}
}

// A list as long as an index can be is no slower than a person.
func TestPickerLong(t *testing.T) {
	p := newPicker(testImages(30_000), "amd64", nil)
	p.setSize(80, 24)
	start := time.Now()
	for _, key := range []int{'d', 'i', keyTab, '1', keyErase, keyEnd} {
		p.press(key)
		p.lines()
	}
	if spent := time.Since(start); spent > 10*time.Second {
		t.Errorf("six keys take %v", spent)
	}
}

func TestDecodeKey(t *testing.T) {
	for _, c := range []struct {
		bytes string
		want  []int
	}{
		{"a \xc3\xbc\r\n", []int{'a', ' ', 0xc3, 0xbc, keyEnter, keyEnter}},
		{"\x1b[A\x1b[B\x1bOA\x1bOB", []int{keyUp, keyDown, keyUp, keyDown}},
		{"\x1b[H\x1b[F\x1bOH\x1bOF\x1b[1~\x1b[4~\x1b[7~\x1b[8~", []int{keyHome, keyEnd, keyHome, keyEnd, keyHome, keyEnd, keyHome, keyEnd}},
		{"\x1b[5~\x1b[6~\x10\x0e\x02\x06\x01\x05", []int{keyPageUp, keyPageDown, keyUp, keyDown, keyPageUp, keyPageDown, keyHome, keyEnd}},
		{"\x7f\b\t\x15\x04\x1a\x0c\x1bOM", []int{keyErase, keyErase, keyTab, keyClear, keyEscape, keySuspend, keyRedraw, keyEnter}},
		{"\x1b", []int{keyEscape}},
		{"\x1b\x1b[A", []int{keyEscape, keyUp}},
		{"\x1b[C\x1b[D\x1b[2~\x1b[3~\x1b[15~\x1b[1;5A\x1b[[A\x1b[?1;2c\x1bx\x1bOP\x1b[", nil},
		{"\x1b[1\x03a", []int{3, 'a'}},
		{"\x1b[" + strings.Repeat("1", 16) + "a", []int{'1', '1', 'a'}},
		{"\x1b[[", nil}, {"\x1bO", nil},
	} {
		var got []int
		var pending []byte
		for _, b := range append([]byte(c.bytes), 0)[:] {
			pending = append(pending, b)
			for len(pending) > 0 {
				key, n := decodeKey(pending, false)
				if n == 0 {
					break
				}
				pending = pending[n:]
				if key != keyNone {
					got = append(got, key)
				}
			}
		}
		if !slices.Equal(got, c.want) && c.bytes != "\x1b" {
			t.Errorf("%q is %v, want %v", c.bytes, got, c.want)
		}
	}
	if key, n := decodeKey([]byte{0x1b}, true); key != keyEscape || n != 1 {
		t.Errorf("a lone ESC is %d, %d", key, n)
	}
	if key, n := decodeKey([]byte{0x1b}, false); key != keyNone || n != 0 {
		t.Errorf("an ESC is %d, %d", key, n)
	}
}

// Whatever bytes come, each is read once, and a key is a character or has a name.
func FuzzDecodeKey(f *testing.F) {
	f.Add([]byte("\x1b[1;5A\x1bO\xc3\x1b[[A\x1b"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for last := range 2 {
			for rest := data; len(rest) > 0; {
				key, n := decodeKey(rest, last == 1)
				switch {
				case n == 0 && last == 1, n < 0, n > len(rest), n == 0 && key != keyNone, n == 0 && len(rest) >= maxKey:
					t.Fatalf("%q: key %d of %d bytes", rest, key, n)
				case key < 0, key > 0xff, key == 0x7f, key == 0x1b:
					t.Fatalf("%q: key %d", rest, key)
				case n == 0:
					rest = nil
				default:
					rest = rest[n:]
				}
			}
		}
	})
}

// The line at the end says what was given, without passwords, and names the image.
func TestSameAs(t *testing.T) {
	foreign := otherArch()
	for _, c := range []struct {
		command string
		args    string // separated by blanks
		chosen  string
		want    string
	}{
		{"create", "web", "debian/trixie/" + hostArch() + "/default", "lxc-pull create web debian/trixie"},
		{"create", "web -d debian -q", "debian/trixie/" + hostArch() + "/cloud", "lxc-pull create web -d debian -q debian/trixie/cloud"},
		{"create", "web", "debian/trixie/" + foreign + "/cloud", "lxc-pull create web debian/trixie/" + foreign + "/cloud"},
		{"create", "web", "debian/trixie/" + hostArch() + "/mips", "lxc-pull create web debian/trixie/" + hostArch() + "/mips"},
		{"create", "web -r trixie -a x --variant cloud", "debian/trixie/" + foreign + "/cloud", "lxc-pull create web -r trixie -a x --variant cloud debian/trixie"},
		{"create", "--mapped-uid 0 --mapped-gid 0 -- web", "debian/sid/" + hostArch() + "/default", "lxc-pull create web debian/sid"},
		{"rootfs", "di'r --server https://u:secret@h/x?secret -P #1", "a;b/c/" + hostArch() + "/default", `lxc-pull rootfs 'di'\''r' --server 'https://h/x?...' -P '#1' 'a;b/c'`},
		{"rootfs", "d --server=u:secret@h", "a/b/" + hostArch() + "/default", "lxc-pull rootfs d '(not shown: it may hold a password)' a/b"},
		{"template", "--path=/l/web --name=web --rootfs=/l/web/rootfs --no-cache --mapped-uid 0 --mapped-gid 0", "debian/trixie/" + foreign + "/cloud", "lxc-create -t pull -n web -P /l -- --no-cache -d debian -r trixie -a " + foreign + " --variant cloud"},
		{"template", "--path=/l/web --name=web --rootfs=/l/web/rootfs -d debian", "debian/trixie/" + hostArch() + "/default", "lxc-create -t pull -n web -P /l -- -d debian -r trixie"},
	} {
		call, ok := named(c.command).call.(interface {
			groups() []*group
			rewrite([]string) []string
		})
		if c.command == "template" {
			call, ok = template(templateName).call.(*templateCall)
		}
		if !ok {
			t.Fatal(c.command)
		}
		call.rewrite(strings.Fields(c.args))
		parse(strings.Fields(c.args), call.groups())
		var made *creation
		switch call := call.(type) {
		case *createCall:
			made = &call.creation
		case *rootfsCall:
			made = &call.creation
		case *templateCall:
			made = &call.creation
			made.target.Container.Name, made.target.Container.Path = "web", "/l/web"
		}
		made.check(new(ui))
		given, chosen := made.image, strings.Split(c.chosen, "/")
		o := &made.image
		o.dist, o.release, o.arch, o.variant = chosen[0], chosen[1], chosen[2], chosen[3]
		u := &ui{command: c.command}
		got := shellWords(made.sameAs(u, &given))
		if c.command == "template" {
			got = strings.Replace(got, "-t "+shellWords([]string{lxcTemplate()}), "-t pull", 1)
		}
		if got != c.want {
			t.Errorf("%s %s: %s\nwant %s", c.command, c.args, got, c.want)
		}
	}
}
