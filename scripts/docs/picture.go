package main

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"lxc-pull/scripts/lab/terminal"
)

// The size of the picture: a terminal of 80 columns, and the measures of a character in
// units of the SVG. textLength makes every row as wide as its characters, whatever font
// the reader has.
const (
	pictureColumns = 80
	charWidth      = 8.4
	lineHeight     = 19
	margin         = 18
	titleBar       = 30
	maxPictureRows = 40
)

// pictureBlock is the label of the README's block whose commands the picture shows.
const pictureBlock = "picture"

// pictureImage is the size of the image in bytes, so that progress has time to be seen.
const pictureImage = 24 << 20

// draw runs the README's commands for the picture on a terminal in a sandbox, and writes
// what the terminal shows at the end. It needs root, for a machine with all user ids.
func draw(ctx context.Context, top, file string) error {
	if os.Geteuid() != 0 {
		return errors.New("the picture shows root on a Debian host: run this as root")
	}
	dir, err := os.MkdirTemp("/var/tmp", "docs-picture-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	box, err := newSandbox(ctx, top, dir, pictureImage)
	if err != nil {
		return err
	}
	defer box.close()
	host, err := box.newMachine(filepath.Join(dir, "host"), kinds["host"])
	if err != nil {
		return err
	}
	commands, err := pictureCommands(top)
	if err != nil {
		return err
	}
	s := &terminal.Screen{Columns: pictureColumns}
	for _, c := range commands {
		if err := show(ctx, host, s, c.text); err != nil {
			return fmt.Errorf("%s:%d: %v", c.file, c.line, err)
		}
	}
	rows := s.Lines()
	if len(rows) > maxPictureRows {
		return fmt.Errorf("the picture has %d rows, more than %d", len(rows), maxPictureRows)
	}
	return os.WriteFile(file, render(rows), 0o644)
}

// pictureCommands returns the commands of the README's block for the picture.
func pictureCommands(top string) ([]shellCommand, error) {
	text, err := os.ReadFile(filepath.Join(top, "README.md"))
	if err != nil {
		return nil, err
	}
	for _, b := range parseMarkdown("README.md", string(text)).blocks {
		if b.label == pictureBlock {
			return b.commands()
		}
	}
	return nil, fmt.Errorf("README.md has no block with the label %q", pictureBlock)
}

// show runs a command on a terminal and puts the prompt, the command and its output on the
// screen.
func show(ctx context.Context, host *machine, s *terminal.Screen, command string) error {
	cmd := host.command(ctx, command)
	t, err := terminal.Start(cmd, pictureColumns, 24)
	if err != nil {
		return err
	}
	status, err := t.Wait()
	if err != nil {
		return err
	}
	if status != 0 {
		return fmt.Errorf("exit status %d: %s", status, t.Output())
	}
	if len(s.Lines()) > 0 {
		s.Write("\r\n")
	}
	s.Write("\x1b[32m#\x1b[0m \x1b[1m" + command + "\x1b[0m\r\n")
	s.Write(t.Output())
	return nil
}

// pictureStyle has the colours for light and dark pages. The page decides by the
// reader's setting.
const pictureStyle = `
text { font: 14px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: #24292f }
.page { fill: #f6f8fa; stroke: #d0d7de } .dot { fill: #afb8c1 }
.b { font-weight: bold } .d { fill: #57606a }
.c31 { fill: #cf222e } .c32 { fill: #116329 } .c33 { fill: #7d4e00 } .c34 { fill: #0550ae } .c35 { fill: #8250df } .c36 { fill: #1b7c83 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .page { fill: #0d1117; stroke: #30363d } .dot { fill: #484f58 } .d { fill: #8b949e }
.c31 { fill: #ff7b72 } .c32 { fill: #56d364 } .c33 { fill: #e3b341 } .c34 { fill: #79c0ff } .c35 { fill: #d2a8ff } .c36 { fill: #76e3ea }
}
`

// render returns the rows as an SVG.
func render(rows [][]terminal.Cell) []byte {
	width := 2*margin + pictureColumns*charWidth
	height := titleBar + len(rows)*lineHeight + margin
	var b, plain strings.Builder
	for i, row := range rows {
		y := titleBar + (i+1)*lineHeight - 5
		for begin := 0; begin < len(row); {
			end := begin + 1
			// Some programs that draw SVG make several blanks one, so a text ends before them.
			for end < len(row) && row[end].Style == row[begin].Style && (row[end].Char != ' ' || row[end-1].Char != ' ') {
				end++
			}
			run := make([]rune, 0, end-begin)
			for _, c := range row[begin:end] {
				run = append(run, c.Char)
			}
			plain.WriteString(string(run))
			text := strings.TrimRight(string(run), " ")
			if indent := len(text) - len(strings.TrimLeft(text, " ")); text != "" {
				fmt.Fprintf(&b, "<text%s x=\"%.1f\" y=\"%d\" textLength=\"%.1f\">%s</text>\n",
					class(row[begin].Style), margin+float64(begin+indent)*charWidth, y, float64(len([]rune(text))-indent)*charWidth, escape(text[indent:]))
			}
			begin = end
		}
		plain.WriteByte('\n')
	}
	head := fmt.Sprintf("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %d\" width=\"%.0f\" role=\"img\">\n", width, height, width)
	head += "<title>A terminal: lxc-pull lists the images of Debian and makes a container</title>\n"
	head += "<desc>" + escape(plain.String()) + "</desc>\n<style>" + pictureStyle + "</style>\n"
	head += fmt.Sprintf("<rect class=\"page\" x=\"0.5\" y=\"0.5\" width=\"%.0f\" height=\"%d\" rx=\"8\"/>\n", width-1, height-1)
	for i := range 3 {
		head += fmt.Sprintf("<circle class=\"dot\" cx=\"%d\" cy=\"15\" r=\"5\"/>\n", margin+5+18*i)
	}
	return []byte(head + b.String() + "</svg>\n")
}

// class returns the attribute for a character's looks.
func class(s terminal.Style) string {
	var names []string
	if s.Bold {
		names = append(names, "b")
	}
	if s.Dim {
		names = append(names, "d")
	}
	if s.Colour != 0 {
		names = append(names, fmt.Sprintf("c%d", s.Colour))
	}
	if names == nil {
		return ""
	}
	return ` class="` + strings.Join(names, " ") + `"`
}

// escape returns text for XML.
func escape(text string) string {
	var b strings.Builder
	xml.EscapeText(&b, []byte(text))
	return b.String()
}
