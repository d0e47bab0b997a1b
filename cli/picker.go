package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"lxc-pull/cross"
	"lxc-pull/image"
	"lxc-pull/image/cache"
	"lxc-pull/pull/source"
)

// This file lets the user choose an image at a terminal, from a list that gets shorter with
// each typed character. The list needs no second screen and few control sequences, so that it
// works on a serial console: it is below the line in which the user types, the cursor stays in
// that line, and a line is written again only where it differs. After a change of the size
// the cursor's line is still known, whether or not the terminal has wrapped the other lines.
//
// A terminal without control sequences gets numbered lines (ask).

// errNotChosen says that the user left the list. It is a usage error, as a missing name is.
var errNotChosen = usageErrorf("no image was chosen")

// A picker is a list of images to choose from.
type picker struct {
	rows    []pickerRow
	foreign int    // how many rows are of other architectures than this machine's
	all     bool   // these are shown, too
	filter  string // what the user typed
	found   []int  // the rows that match, as indexes
	at, top int    // the selected row and the first row on the screen, as indexes of found
	columns int    // of the terminal
	height  int    // rows on the screen
	arch    string // this machine's
	widths  [pickerCells]int
	shown   []string // the lines that are on the screen; nil: none
}

// A pickerRow is an image in the list.
type pickerRow struct {
	image.Image
	foreign bool
	cached  bool
	size    int64  // bytes of the root file system, as it is downloaded; 0: unknown
	key     string // what the filter looks into
}

// The columns of the list.
const (
	cellDist = iota
	cellRelease
	cellVariant
	cellArch
	cellBuild
	cellSize
	cellCached
	pickerCells
)

// Limits.
const (
	maxPickerRows = 15  // a longer list takes seconds on a slow serial line
	maxFilter     = 100 // bytes; more than any sensible text
	dumbRows      = 20  // lines on a terminal without control sequences
)

// newPicker returns a list of images, and shows those of the architecture arch.
func newPicker(images []image.Image, arch string, cached []cache.Info) *picker {
	p := &picker{arch: arch, columns: 80, height: maxPickerRows}
	spellings := cross.Spellings(arch)
	for _, img := range images {
		row := pickerRow{Image: img, foreign: true}
		for _, name := range spellings {
			row.foreign = row.foreign && !strings.EqualFold(name, img.Arch)
		}
		if row.foreign {
			p.foreign++
		}
		p.rows = append(p.rows, row)
	}
	for _, kept := range cached {
		for i := range p.rows {
			if row := &p.rows[i]; row.Name == kept.Name && row.Build == kept.Build && kept.Damage == nil {
				row.cached, row.size = true, kept.Size
			}
		}
	}
	sort.SliceStable(p.rows, func(i, j int) bool { return before(&p.rows[i].Image, &p.rows[j].Image) })
	p.show(p.foreign == len(p.rows))
	return p
}

// before reports whether an image comes before another: by the distribution, then the newer
// release, the default variant, and the newer build.
func before(a, b *image.Image) bool {
	switch {
	case a.Dist != b.Dist:
		return a.Dist < b.Dist
	case a.Release != b.Release:
		return newerRelease(a.Release, b.Release)
	case a.Variant != b.Variant:
		return a.Variant == defaultVariant || b.Variant != defaultVariant && a.Variant < b.Variant
	case a.Arch != b.Arch:
		return a.Arch < b.Arch
	}
	return a.Build > b.Build
}

// newerRelease reports whether release a comes before b: numbers before words, and larger
// numbers and later letters first. Code names mostly follow the alphabet.
func newerRelease(a, b string) bool {
	for a != "" && b != "" {
		m, n := digits(a), digits(b)
		if (m > 0) != (n > 0) {
			return m > 0
		}
		if m == 0 {
			m, n = 1, 1
		}
		x, y := strings.TrimLeft(a[:m], "0"), strings.TrimLeft(b[:n], "0")
		if len(x) != len(y) {
			return len(x) > len(y)
		}
		if x != y {
			return x > y
		}
		a, b = a[m:], b[n:]
	}
	return len(a) > len(b)
}

// digits returns the number of digits at the beginning of s.
func digits(s string) int { return len(s) - len(strings.TrimLeft(s, "0123456789")) }

// show shows the images of all architectures, or only this machine's. The selected image
// stays selected.
func (p *picker) show(all bool) {
	selected := -1
	if len(p.found) > 0 {
		selected = p.found[p.at]
	}
	p.all = all
	for i := range p.rows {
		row := &p.rows[i]
		release := row.Dist + "/" + row.Release + "/"
		row.key = release + row.Variant
		if all {
			row.key += " " + release + row.Arch + "/" + row.Variant // a word of the filter has no blank
		}
		row.key = strings.ToLower(row.key)
	}
	p.layOut()
	p.narrow()
	for i, row := range p.found {
		if row == selected {
			p.at = i
		}
	}
}

// total returns the number of images that an empty filter finds.
func (p *picker) total() int {
	if p.all {
		return len(p.rows)
	}
	return len(p.rows) - p.foreign
}

// narrow finds the rows that contain each word of the filter, and selects the first.
func (p *picker) narrow() {
	p.found, p.at, p.top = p.found[:0], 0, 0
	words := strings.Fields(strings.ToLower(p.filter))
	for i := range p.rows {
		row := &p.rows[i]
		match := p.all || !row.foreign
		for _, word := range words {
			match = match && strings.Contains(row.key, word)
		}
		if match {
			p.found = append(p.found, i)
		}
	}
}

// press does what a key says.
func (p *picker) press(key rune) {
	filter := p.filter
	switch key {
	case keyUp:
		p.at--
	case keyDown:
		p.at++
	case keyPageUp:
		p.at -= p.height
	case keyPageDown:
		p.at += p.height
	case keyHome:
		p.at = 0
	case keyEnd:
		p.at = len(p.found)
	case keyTab:
		if 0 < p.foreign && p.foreign < len(p.rows) {
			p.show(!p.all)
		}
	case keyErase:
		_, n := utf8.DecodeLastRuneInString(filter)
		filter = filter[:len(filter)-n]
	case keyEraseWord:
		filter = strings.TrimRight(filter, " ")
		filter = filter[:strings.LastIndexByte(filter, ' ')+1]
	case keyClear:
		filter = ""
	case keyRedraw:
		p.shown = nil
	default:
		if key >= ' ' && len(filter) < maxFilter {
			filter += string(key)
		}
	}
	if filter != p.filter {
		p.filter = filter
		p.narrow()
	}
	p.scroll()
}

// scroll keeps the selected row on the screen. It scrolls by half of a screen, because each
// time all lines are written again.
func (p *picker) scroll() {
	p.at = max(0, min(p.at, len(p.found)-1))
	if p.at < p.top || p.at >= p.top+p.height {
		p.top = p.at - p.height/2
	}
	p.top = max(0, min(p.top, len(p.found)-p.height))
}

// setSize adapts the list to the size of the terminal.
func (p *picker) setSize(columns, rows int) {
	p.columns, p.height, p.shown = max(columns, 20), max(1, min(rows-3, maxPickerRows, len(p.rows))), nil
	p.layOut()
	p.scroll()
}

// layOut computes the widths of the columns. If the terminal is too narrow, what tells images
// apart stays: the size goes first, then the date; at last the longest names are cut.
func (p *picker) layOut() {
	w := &p.widths
	*w = [pickerCells]int{}
	for i := range p.rows {
		row := &p.rows[i]
		if row.foreign && !p.all {
			continue
		}
		w[cellDist], w[cellRelease] = max(w[cellDist], len(row.Dist)), max(w[cellRelease], len(row.Release))
		w[cellVariant] = max(w[cellVariant], len(row.Variant))
		if p.all {
			w[cellArch] = max(w[cellArch], len(row.Arch))
		}
		if row.size > 0 {
			w[cellSize] = len("1000 MiB")
		}
		if row.cached {
			w[cellCached] = len("cached")
		}
	}
	w[cellBuild] = len("2006-01-02")
	room := p.columns - 3 // each row has a mark, and the last column stays empty
	if p.width() > room && w[cellCached] > 0 {
		w[cellCached] = 1
	}
	for _, cell := range []int{cellSize, cellBuild} {
		if p.width() > room {
			w[cell] = 0
		}
	}
	for p.width() > room {
		widest := cellDist
		for cell := cellRelease; cell <= cellArch; cell++ {
			if w[cell] > w[widest] {
				widest = cell
			}
		}
		if w[widest] <= 2 {
			return
		}
		w[widest]--
	}
}

// width returns the number of columns of a row.
func (p *picker) width() (sum int) {
	for _, w := range p.widths {
		if w > 0 {
			sum += w + 1
		}
	}
	return sum - 1
}

// row returns the text of a row.
func (p *picker) row(row *pickerRow) string {
	line := ""
	for cell, width := range p.widths {
		if width == 0 {
			continue
		}
		text := ""
		switch cell {
		case cellDist:
			text = row.Dist
		case cellRelease:
			text = row.Release
		case cellVariant:
			text = row.Variant
		case cellArch:
			text = row.Arch
		case cellBuild:
			text = row.Build
			if t, ok := image.BuildTime(text); ok {
				text = t.Format("2006-01-02")
			}
		case cellSize:
			if row.size > 0 {
				text = source.ByteCount(row.size)
			}
			text = strings.Repeat(" ", max(0, width-len(text))) + text
		case cellCached:
			switch {
			case row.cached && width > 1:
				text = "cached"
			case row.cached:
				text = "*"
			}
		}
		text = cut(printable(text), width)
		line += text + strings.Repeat(" ", width+1-len(text))
	}
	return strings.TrimRight(line, " ")
}

// cut shortens a text to so many bytes. A character takes at most as many columns of a
// terminal as it has bytes, so the text takes no more columns than that.
func cut(text string, width int) string {
	if len(text) <= width {
		return text
	}
	n := 0
	for i := range text {
		if i < width {
			n = i
		}
	}
	return text[:n] + "~"
}

// lines returns the lines of the screen: the one in which the user types, the rows, and a
// line that says how many there are and which keys help.
func (p *picker) lines() []string {
	typed := p.filter
	for len("Image: ")+len(typed) > p.columns-2 { // the end is what the user looks at
		_, n := utf8.DecodeRuneInString(typed)
		typed = typed[n:]
	}
	lines := []string{"Image: " + typed}
	for i := p.top; i < p.top+p.height; i++ {
		line := ""
		if i < len(p.found) {
			line = "  " + p.row(&p.rows[p.found[i]])
			if i == p.at {
				line = ">" + line[1:]
			}
		}
		lines = append(lines, line)
	}
	return append(lines, p.status())
}

// status returns the last line of the screen, as long as there is room for it.
func (p *picker) status() string {
	count := fmt.Sprintf("%d of %d", len(p.found), p.total())
	images, short := count+" images", count
	if len(p.found) == 0 {
		images, short = "No image matches", "no match"
	}
	if !p.all {
		images, short = images+" for "+p.arch, short+" "+p.arch
	}
	tab, shortTab := "", ""
	if 0 < p.foreign && p.foreign < len(p.rows) {
		tab, shortTab = "Tab: all architectures, ", "Tab: all, "
		if p.all {
			tab, shortTab = "Tab: only "+p.arch+", ", "Tab: "+p.arch+", "
		}
	}
	for _, line := range []string{
		images + ". Type to narrow; " + tab + "Enter: take, Esc: leave",
		images + ". " + tab + "Enter: take, Esc: leave",
		short + ". " + shortTab + "Esc: leave",
	} {
		if len(line) < p.columns {
			return line
		}
	}
	return cut(short, p.columns-1)
}

// draw writes what has changed on the screen. Before and after, the cursor is in the first
// line.
func (p *picker) draw(w io.Writer) error {
	lines := p.lines()
	text, at := "", 0
	if p.shown == nil {
		text = "\r\x1b[J" + strings.Join(lines, "\r\n")
		at = len(lines) - 1
	}
	for i := 1; i < len(lines) && p.shown != nil; i++ {
		if lines[i] != p.shown[i] {
			text += fmt.Sprintf("\x1b[%dB", i-at) + rewrite(p.shown[i], lines[i])
			at = i
		}
	}
	if at > 0 {
		text += fmt.Sprintf("\x1b[%dA", at)
	}
	if text != "" || lines[0] != p.shown[0] {
		text += "\r" + lines[0]
		if p.shown != nil && len(lines[0]) < len(p.shown[0]) {
			text += "\x1b[K"
		}
	}
	p.shown = lines
	_, err := io.WriteString(w, text)
	return err
}

// rewrite returns the bytes that turn one line on the screen into another.
func rewrite(old, line string) string {
	if !ascii(old) || !ascii(line) { // the columns of the characters are not known
		return "\r" + line + "\x1b[K"
	}
	same, end := 0, len(line)
	for same < min(len(old), end) && old[same] == line[same] {
		same++
	}
	// Rows often differ only at their beginning, by the mark of the selected one.
	for len(old) == len(line) && end > same && old[end-1] == line[end-1] {
		end--
	}
	text := "\r" + line[:end]
	if same > 4 { // moving the cursor takes four bytes
		text = fmt.Sprintf("\r\x1b[%dC", same) + line[same:end]
	}
	if len(line) < len(old) {
		text += "\x1b[K"
	}
	return text
}

// ascii reports whether each byte of s is a character of one column.
func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// choose lets the user choose an image.
func (p *picker) choose(ctx context.Context, out io.Writer, in *os.File) (image.Image, error) {
	if term := os.Getenv("TERM"); term != "" && term != "dumb" {
		if t, err := openRaw(ctx, in); err == nil {
			defer t.close()
			return p.watch(t, out)
		}
	}
	columns, rows := screenSize()
	p.setSize(columns-len("100 "), rows)
	return p.ask(out, newCancelReader(ctx, in))
}

// screenSize returns the size of the terminal that is standard output.
func screenSize() (columns, rows int) {
	size, err := unix.IoctlGetWinsize(int(os.Stdout.Fd()), unix.TIOCGWINSZ)
	if err != nil || size.Col == 0 || size.Row == 0 {
		return 80, 24 // a serial console does not know its size
	}
	return int(size.Col), int(size.Row)
}

// watch shows the list and follows the user's keys.
func (p *picker) watch(t *rawTerminal, out io.Writer) (image.Image, error) {
	// From the first line on the screen is erased, so that what comes next has a fresh line.
	erase := func() error {
		p.shown = nil
		_, err := io.WriteString(out, "\r\x1b[J")
		return err
	}
	defer erase()
	p.setSize(screenSize())
	for {
		if t.idle() { // else the next key may change everything
			if err := p.draw(out); err != nil {
				return image.Image{}, t.hangUp()
			}
		}
		key, err := t.next()
		switch {
		case err != nil:
			return image.Image{}, err
		case key == keyEscape:
			return image.Image{}, errNotChosen
		case key == keyEnter && len(p.found) > 0:
			return p.rows[p.found[p.at]].Image, nil
		case key == keySuspend:
			erase()
			if err := t.suspend(); err != nil {
				return image.Image{}, t.hangUp()
			}
			p.setSize(screenSize())
		case key == keyChanged:
			p.setSize(screenSize())
		default:
			p.press(key)
		}
	}
}

// ask prints numbered lines and reads what the user wants.
func (p *picker) ask(out io.Writer, in io.Reader) (image.Image, error) {
	next, page := 0, dumbRows
	for {
		end := min(next+page, len(p.found))
		for ; next < end; next++ {
			fmt.Fprintf(out, "%3d %s\n", next+1, p.row(&p.rows[p.found[next]]))
		}
		fmt.Fprint(out, p.question(next))
		answer, err := readLine(in)
		if err != nil {
			fmt.Fprintln(out)
			if !errors.Is(err, context.Canceled) {
				err = errNotChosen
			}
			return image.Image{}, err
		}
		page = dumbRows
		number, err := strconv.Atoi(answer)
		filter := p.filter
		switch {
		case answer == "q":
			return image.Image{}, errNotChosen
		case err == nil && 1 <= number && number <= next:
			return p.rows[p.found[number-1]].Image, nil
		case answer == "" && next < len(p.found):
			continue // with the next lines
		case answer == "*" && p.foreign > 0:
			p.show(true)
		case len(answer) > maxFilter:
			fmt.Fprintln(out, "That is too long.")
		default:
			p.filter = answer
			p.narrow()
		}
		if len(p.found) == 0 {
			fmt.Fprintf(out, "No image matches %q.\n", answer)
			p.filter = filter
			p.narrow()
			page = 0
			continue
		}
		next = 0
	}
}

// question returns the text that asks for the next answer after so many lines.
func (p *picker) question(next int) string {
	text := fmt.Sprintf("%d of %d images. ", next, len(p.found))
	if next < len(p.found) {
		text += "Enter: more, "
	} else if p.filter != "" {
		text += "Enter: all, "
	}
	if p.foreign > 0 && !p.all {
		text += "*: all architectures, "
	}
	return text + "a number or text to narrow, q: leave: "
}
