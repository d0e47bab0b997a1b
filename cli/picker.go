package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
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
var errNotChosen error = &usageError{"no image was chosen"}

// A picker is a list of images to choose from.
type picker struct {
	images  []image.Image
	cached  []cache.Info
	own     []string // the names of this machine's architecture, or of the one that the user named
	all     bool     // the images of other architectures are shown, too
	filter  string   // what the user typed
	found   []int    // the images that match, as indexes
	total   int      // how many an empty filter finds
	at, top int      // the selected row and the first row on the screen, as indexes of found
	widths  [pickerCells]int
	screen  struct {
		columns int      // of the terminal
		height  int      // rows of the list
		shown   []string // the lines that are on the terminal; nil: none
	}
}

// The columns of the list.
const (
	cellDist = iota
	cellRelease
	cellVariant
	cellArch
	cellBuild
	cellSize   // of the root file system, as it is downloaded
	cellCached // a mark
	pickerCells
)

// Limits.
const (
	maxPickerRows = 15  // a longer list takes seconds on a slow serial line
	maxFilter     = 100 // bytes; more than any sensible text
	dumbRows      = 20  // lines on a terminal without control sequences
)

// newPicker returns a list of images. At first it shows those of the architecture arch, if
// there are any.
func newPicker(images []image.Image, arch string, cached []cache.Info) *picker {
	p := &picker{images: images, own: cross.Spellings(arch), cached: cached}
	sortImages(images)
	p.narrow(-1)
	if p.all = p.total == 0; p.all {
		p.narrow(-1)
	}
	return p
}

// narrow finds the images whose names contain each word of the filter, and selects the image
// keep if it is among them, else the first. It also computes the widths of the columns, which
// do not depend on the filter, so that few lines change.
func (p *picker) narrow(keep int) {
	p.found, p.total, p.at, p.top = p.found[:0], 0, 0, 0
	p.widths = [pickerCells]int{}
	words := strings.Fields(strings.ToLower(p.filter))
	for i := range p.images {
		img := &p.images[i]
		match := p.all
		for _, name := range p.own {
			match = match || strings.EqualFold(name, img.Arch)
		}
		if !match {
			continue
		}
		p.total++
		for cell, text := range p.cells(img) {
			p.widths[cell] = max(p.widths[cell], len(text))
		}
		text := img.Dist + "/" + img.Release + "/" + img.Variant
		if p.all {
			text += " " + img.Name.String() // a word has no blank
		}
		text = strings.ToLower(text)
		for _, word := range words {
			// Nearly all names end with "default": the variant counts from its third letter on.
			at, variant := strings.Index(text, word), len(img.Dist)+len(img.Release)+2
			match = match && at >= 0 && (p.all || at < variant || at == variant && len(word) > 2)
		}
		if i == keep && match {
			p.at = len(p.found)
		}
		if match {
			p.found = append(p.found, i)
		}
	}
	p.shrink()
}

// press does what a key says.
func (p *picker) press(key int) {
	filter := p.filter
	switch key {
	case keyUp:
		p.at--
	case keyDown:
		p.at++
	case keyPageUp:
		p.at -= p.screen.height
	case keyPageDown:
		p.at += p.screen.height
	case keyHome:
		p.at = 0
	case keyEnd:
		p.at = len(p.found)
	case keyTab:
		p.all = !p.all
		p.narrow(p.selected())
	case keyErase:
		_, n := utf8.DecodeLastRuneInString(filter)
		filter = filter[:len(filter)-n]
	case keyClear:
		filter = ""
	case keyRedraw:
		p.screen.shown = nil
	default:
		if key >= ' ' && len(filter) < maxFilter {
			filter += string([]byte{byte(key)})
		}
	}
	if filter != p.filter {
		p.filter = filter
		p.narrow(-1)
	}
	// The selected row stays on the screen. The list scrolls by half of a screen, because each
	// time most lines are written again.
	p.at = max(0, min(p.at, len(p.found)-1))
	if p.at < p.top || p.at >= p.top+p.screen.height {
		p.top = p.at - p.screen.height/2
	}
	p.top = max(0, min(p.top, len(p.found)-p.screen.height))
}

// selected returns the index of the selected image, -1 if there is none.
func (p *picker) selected() int {
	if len(p.found) == 0 {
		return -1
	}
	return p.found[p.at]
}

// image returns the image of a row.
func (p *picker) image(row int) *image.Image { return &p.images[p.found[row]] }

// setSize adapts the list to the size of the terminal.
func (p *picker) setSize(columns, rows int) {
	p.screen.columns, p.screen.height, p.screen.shown = max(columns, 1), max(1, min(rows-3, maxPickerRows, len(p.images))), nil
	p.narrow(p.selected())
	p.press(keyNone)
}

// shrink makes the columns fit the terminal. What tells images apart stays: the size goes
// first, then the date; at last the longest names are cut.
func (p *picker) shrink() {
	w := &p.widths
	for step := 0; ; step++ {
		sum, widest := len("> "), cellDist
		for cell, width := range w {
			if width > 0 {
				sum += width + 1 // the last column of the terminal stays empty
			}
			if width > w[widest] && cell < cellBuild {
				widest = cell
			}
		}
		switch {
		case sum <= p.screen.columns:
			return
		case step < 2:
			w[cellSize-step] = 0
		case w[widest] < 2:
			return
		default:
			w[widest]--
		}
	}
}

// cells returns the texts of an image's columns.
func (p *picker) cells(img *image.Image) []string {
	cells := []string{img.Dist, img.Release, img.Variant, "", cut(img.Build, 16), "", ""}
	if p.all {
		cells[cellArch] = img.Arch
	}
	if t, ok := image.BuildTime(img.Build); ok {
		cells[cellBuild] = t.Format("2006-01-02")
	}
	for i := range p.cached {
		if kept := &p.cached[i]; kept.Name == img.Name && kept.Build == img.Build && kept.Damage == nil {
			cells[cellSize], cells[cellCached] = fmt.Sprintf("%8s", source.ByteCount(kept.Size)), "*"
		}
	}
	return cells
}

// row returns the text of a row.
func (p *picker) row(img *image.Image) (line string) {
	for cell, text := range p.cells(img) {
		if width := p.widths[cell]; width > 0 {
			line += fmt.Sprintf("%-*s ", width, cut(printable(text), width))
		}
	}
	return strings.TrimRight(line, " ")
}

// cut shortens a text to so many bytes. A character takes at most as many columns of a
// terminal as it has bytes, so the text takes no more columns than that.
func cut(text string, width int) string {
	if len(text) <= width {
		return text
	}
	if width < 1 {
		return ""
	}
	for width--; width > 0 && !utf8.RuneStart(text[width]); width-- {
	}
	return text[:width] + "~"
}

// lines returns the lines of the screen: the one in which the user types, the rows, and one
// that says how many there are and which keys help.
func (p *picker) lines() (lines []string) {
	lines = []string{cut("Image: "+printable(p.filter), p.screen.columns-2)}
	for i := p.top; i < p.top+p.screen.height; i++ {
		line := ""
		if i < len(p.found) {
			line = cut("  "+p.row(p.image(i)), p.screen.columns-1) // a line that wraps would move the others
			if i == p.at && line != "" {
				line = ">" + line[1:]
			}
		}
		addTo(&lines, line)
	}
	which, other := p.own[0], "all"
	if p.all {
		which, other = other, which
	}
	found, total := strconv.Itoa(len(p.found)), strconv.Itoa(p.total)
	help := found + " of " + total + " images (" + which + "). Enter: take, Tab: " + other + ", Esc: leave, *: cached"
	if p.screen.columns < 80 {
		help = found + "/" + total + " " + which + ". Enter: take, Tab: " + other
	}
	addTo(&lines, cut(help, p.screen.columns-1))
	return lines
}

// draw writes the lines that have changed on the screen. Before and after, the cursor is in
// the first line.
func (p *picker) draw(w io.Writer) (err error) {
	lines := p.lines()
	text, changed := "\r", p.screen.shown == nil
	if changed {
		text, p.screen.shown = eraseList, make([]string, len(lines))
	}
	for i, line := range lines {
		if line != p.screen.shown[i] {
			text += line + "\x1b[K"
			changed = true
		}
		text += "\r\n"
	}
	if changed {
		p.screen.shown = lines
		_, err = io.WriteString(w, text[:len(text)-2]+"\x1b["+strconv.Itoa(len(lines)-1)+"A\r"+lines[0])
	}
	return err
}

// eraseList removes the list, so that what comes next has a fresh line.
const eraseList = "\r\x1b[J"

// choose lets the user choose an image.
func (p *picker) choose(ctx context.Context, out io.Writer, in *os.File) (*image.Image, error) {
	if term := os.Getenv("TERM"); term != "" && term != "dumb" {
		if t, err := openRaw(ctx, in); err == nil {
			defer t.close()
			img, err := p.watch(t, out)
			io.WriteString(out, eraseList)
			return img, err
		}
	}
	p.fit(len("100 "))
	return p.ask(out, newCancelReader(ctx, in))
}

// fit adapts the list to the size of the terminal that is standard output. Each line has a
// margin on its left.
func (p *picker) fit(margin int) {
	size, err := unix.IoctlGetWinsize(int(os.Stdout.Fd()), unix.TIOCGWINSZ)
	if err != nil || size.Col == 0 || size.Row == 0 {
		size = &unix.Winsize{Col: 80, Row: 24} // a serial console does not know its size
	}
	p.setSize(max(int(size.Col)-margin, 5*margin), int(size.Row)) // numbered lines may wrap
}

// watch shows the list and follows the user's keys.
func (p *picker) watch(t *rawTerminal, out io.Writer) (*image.Image, error) {
	for key := keyChanged; ; {
		switch {
		case key == keyEscape:
			return nil, errNotChosen
		case key == keyEnter && len(p.found) > 0:
			return p.image(p.at), nil
		case key == keySuspend:
			io.WriteString(out, eraseList)
			t.suspend()
		case key == keyChanged:
			p.fit(0)
		default:
			p.press(key)
		}
		if events, _ := t.poll(0); events == 0 && key != keySuspend { // else the next key may change everything
			if err := p.draw(out); err != nil {
				return nil, t.hangUp()
			}
		}
		var err error
		if key, err = t.next(); err != nil {
			return nil, err
		}
	}
}

// ask prints numbered lines and reads what the user wants.
func (p *picker) ask(out io.Writer, in io.Reader) (*image.Image, error) {
	for next, end := 0, dumbRows; ; end = next + dumbRows {
		for ; next < min(end, len(p.found)); next++ {
			fmt.Fprintf(out, "%3d %s\n", next+1, p.row(p.image(next)))
		}
		io.WriteString(out, strconv.Itoa(next)+" of "+strconv.Itoa(len(p.found))+" images. Enter: more, a number or text to narrow, *: all, q: leave: ")
		answer, err := readLine(in)
		if err != nil {
			io.WriteString(out, "\n")
			if !errors.Is(err, context.Canceled) {
				err = errNotChosen
			}
			return nil, err
		}
		number, _ := strconv.Atoi(answer)
		switch {
		case answer == "q":
			return nil, errNotChosen
		case 0 < number && number <= next:
			return p.image(number - 1), nil
		case answer == "" && next < len(p.found):
			continue
		case answer == "*":
			p.all, answer = true, ""
		}
		next, p.filter = 0, answer
		p.narrow(-1)
	}
}
