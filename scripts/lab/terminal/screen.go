package terminal

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// A Style is how a character looks: SGR's bold (1), dim (2) and a colour from 31 to 36,
// or 0 for the terminal's own.
type Style struct {
	Bold, Dim bool
	Colour    int
}

// A Cell is a character on the screen.
type Cell struct {
	Char rune
	Style
}

// A Screen is what a terminal shows after it has received some output. It knows what
// lxc-pull and a shell write: line ends, CR, backspace, colours, erasing and the cursor's
// movements. It has no bottom: lines that a terminal scrolls away stay.
type Screen struct {
	Columns int // characters in a line
	rows    [][]Cell
	x, y    int
	now     Style
}

// Write takes output. An escape sequence may not be split between two calls.
func (s *Screen) Write(text string) {
	for len(text) > 0 {
		if rest, ok := strings.CutPrefix(text, "\x1b["); ok {
			end := strings.IndexFunc(rest, func(r rune) bool { return r >= '@' && r <= '~' })
			if end < 0 {
				return
			}
			s.control(rest[:end], rest[end])
			text = rest[end+1:]
			continue
		}
		r, size := utf8.DecodeRuneInString(text)
		text = text[size:]
		switch {
		case r == '\n':
			s.y++
		case r == '\r':
			s.x = 0
		case r == '\b':
			s.x = max(0, s.x-1)
		case r >= ' ':
			s.put(r)
		}
	}
}

// put writes a character at the cursor. A full line continues in the next one.
func (s *Screen) put(r rune) {
	if s.x == s.Columns {
		s.x, s.y = 0, s.y+1
	}
	row := s.row()
	for len(*row) <= s.x {
		*row = append(*row, Cell{Char: ' '})
	}
	(*row)[s.x] = Cell{r, s.now}
	s.x++
}

// row returns the row at the cursor.
func (s *Screen) row() *[]Cell {
	for len(s.rows) <= s.y {
		s.rows = append(s.rows, nil)
	}
	return &s.rows[s.y]
}

// control carries out an escape sequence: ESC [ numbers final.
func (s *Screen) control(numbers string, final byte) {
	first, _, _ := strings.Cut(numbers, ";")
	n, err := strconv.Atoi(first)
	step := n
	if err != nil || n == 0 {
		step = 1
	}
	switch final {
	case 'A':
		s.y = max(0, s.y-step)
	case 'B':
		s.y += step
	case 'C':
		s.x = min(s.Columns-1, s.x+step)
	case 'D':
		s.x = max(0, s.x-step)
	case 'G':
		s.x = min(s.Columns-1, step-1)
	case 'K':
		row := s.row()
		switch {
		case n == 0 && s.x < len(*row):
			*row = (*row)[:s.x]
		case n == 2:
			*row = nil
		}
	case 'J':
		if row := s.row(); n == 0 {
			*row = (*row)[:min(s.x, len(*row))]
			s.rows = s.rows[:s.y+1]
		}
	case 'm':
		for _, number := range strings.Split(numbers, ";") {
			s.colour(number)
		}
	}
}

// colour carries out one number of SGR.
func (s *Screen) colour(number string) {
	n, err := strconv.Atoi(number)
	switch {
	case err != nil || n == 0:
		s.now = Style{}
	case n == 1:
		s.now.Bold = true
	case n == 2:
		s.now.Dim = true
	case n == 22:
		s.now.Bold, s.now.Dim = false, false
	case n >= 31 && n <= 36:
		s.now.Colour = n
	case n == 39:
		s.now.Colour = 0
	}
}

// Lines returns the screen's rows without blanks at their ends, and without empty rows at
// the end.
func (s *Screen) Lines() [][]Cell {
	rows := make([][]Cell, len(s.rows))
	last := 0
	for i, row := range s.rows {
		end := len(row)
		for end > 0 && row[end-1].Char == ' ' {
			end--
		}
		rows[i] = row[:end]
		if end > 0 {
			last = i + 1
		}
	}
	return rows[:last]
}

// Text returns the screen as plain text.
func (s *Screen) Text() string {
	var b strings.Builder
	for _, row := range s.Lines() {
		for _, c := range row {
			b.WriteRune(c.Char)
		}
		b.WriteByte('\n')
	}
	return b.String()
}
