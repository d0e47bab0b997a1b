package main

import (
	"fmt"
	"regexp"
	"strings"
)

// A document is what the checks need of a Markdown file.
type document struct {
	file    string // its path in the repository
	blocks  []block
	spans   []span // code in the text
	links   []span // targets of links and images
	anchors map[string]bool
	long    []int // lines of more than maxColumns, outside of tables
	loose   []int // lines of blocks that are indented, not fenced
}

// maxColumns is the width of a line of text.
const maxColumns = 100

// A span is a piece of a line.
type span struct {
	line int
	text string
}

// A block is a fenced block of code.
type block struct {
	file     string
	line     int    // of the first line in it
	language string // sh, console, text, ...
	label    string // the second word behind the fence; "" if there is none
	reason   string // the words behind the label
	lines    []string
}

var (
	fence       = regexp.MustCompile("^( {0,3})(`{3,})(.*)$")
	codeSpan    = regexp.MustCompile("`([^`]+)`")
	link        = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	source      = regexp.MustCompile(`(?:src|srcset|href)="([^"]+)"`)
	heading     = regexp.MustCompile(`^#{1,6} +(.*?) *#*$`)
	notInAnchor = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// parseMarkdown reads the parts of Markdown that the documents use.
func parseMarkdown(file, text string) *document {
	d := &document{file: file, anchors: map[string]bool{}}
	lines := strings.Split(text, "\n")
	var prose []string // the lines without blocks, to find code that spans two lines
	blank := true
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		if m := fence.FindStringSubmatch(line); m != nil {
			words := append(strings.Fields(m[3]), "", "")
			b := block{file: file, line: i + 2, language: words[0], label: words[1], reason: strings.TrimSpace(strings.Join(words[2:], " "))}
			for i++; i < len(lines) && strings.TrimSpace(lines[i]) != m[2]; i++ {
				b.lines = append(b.lines, strings.TrimPrefix(lines[i], m[1]))
				if len([]rune(lines[i])) > maxColumns {
					d.long = append(d.long, i+1)
				}
				prose = append(prose, "")
			}
			d.blocks = append(d.blocks, b)
			prose = append(prose, "", "")
			blank = true
			continue
		}
		if blank && strings.HasPrefix(line, "    ") && strings.TrimSpace(line) != "" {
			d.loose = append(d.loose, i+1)
		}
		blank = strings.TrimSpace(line) == ""
		if len([]rune(line)) > maxColumns && !strings.HasPrefix(strings.TrimSpace(line), "|") {
			d.long = append(d.long, i+1)
		}
		if m := heading.FindStringSubmatch(line); m != nil {
			d.addAnchor(m[1])
		}
		prose = append(prose, line)
	}
	d.addSpans(prose)
	return d
}

// addAnchor adds the name by which a link finds a heading, as GitHub makes it.
func (d *document) addAnchor(title string) {
	title = strings.ToLower(strings.ReplaceAll(title, "`", ""))
	name := strings.ReplaceAll(notInAnchor.ReplaceAllString(title, ""), " ", "-")
	for n, unique := 1, name; ; n++ {
		if !d.anchors[unique] {
			d.anchors[unique] = true
			return
		}
		unique = fmt.Sprintf("%s-%d", name, n)
	}
}

// addSpans finds code and links. Code may go on in the next line.
func (d *document) addSpans(prose []string) {
	text := strings.Join(prose, "\n")
	lineAt := func(offset int) int { return 1 + strings.Count(text[:offset], "\n") }
	for _, paragraph := range paragraphs(text) {
		part := text[paragraph[0]:paragraph[1]]
		for _, m := range codeSpan.FindAllStringSubmatchIndex(part, -1) {
			d.spans = append(d.spans, span{lineAt(paragraph[0] + m[0]), strings.ReplaceAll(part[m[2]:m[3]], "\n", " ")})
		}
		without := codeSpan.ReplaceAllStringFunc(part, func(code string) string {
			return strings.Repeat(" ", strings.Count(code, "")-1) + strings.Repeat("\n", strings.Count(code, "\n"))
		})
		for _, pattern := range []*regexp.Regexp{link, source} {
			for _, m := range pattern.FindAllStringSubmatchIndex(without, -1) {
				line := lineAt(paragraph[0]) + strings.Count(without[:m[0]], "\n")
				for _, target := range strings.Split(without[m[2]:m[3]], ",") {
					d.links = append(d.links, span{line, strings.Fields(target)[0]})
				}
			}
		}
	}
}

// paragraphs returns the beginning and end of each part of text between blank lines.
func paragraphs(text string) (found [][2]int) {
	begin := 0
	for begin <= len(text) {
		end := strings.Index(text[begin:], "\n\n")
		if end < 0 {
			return append(found, [2]int{begin, len(text)})
		}
		found = append(found, [2]int{begin, begin + end})
		begin += end + 2
	}
	return found
}

// A shellCommand is a command of a block, with its lines joined.
type shellCommand struct {
	file string
	line int
	text string
	says []string // in a console block, the lines of output that follow it
}

// commands returns the commands of a block of sh or console. In a block of console a
// command follows "$ " or "# " (as root), and other lines are its output.
func (b block) commands() (list []shellCommand, err error) {
	open := false // the last line ended with a backslash
	for i, line := range b.lines {
		text, isCommand := line, strings.TrimSpace(line) != "" && !strings.HasPrefix(strings.TrimSpace(line), "#")
		if b.language == "console" && !open {
			text, isCommand = strings.CutPrefix(line, "$ ")
			if !isCommand {
				text, isCommand = strings.CutPrefix(line, "# ")
			}
		}
		switch {
		case open:
			list[len(list)-1].text += " " + strings.TrimSpace(text)
		case isCommand:
			list = append(list, shellCommand{file: b.file, line: b.line + i, text: strings.TrimSpace(text)})
		case b.language == "console" && len(list) > 0:
			list[len(list)-1].says = append(list[len(list)-1].says, line)
			continue
		case b.language == "console":
			return nil, fmt.Errorf("%s:%d: a block of console begins with a command after \"$ \" or \"# \"", b.file, b.line+i)
		default:
			continue
		}
		last := &list[len(list)-1].text
		*last, open = strings.CutSuffix(*last, "\\")
		*last = strings.TrimSpace(*last)
	}
	if open {
		return nil, fmt.Errorf("%s:%d: the last line of the block ends with a backslash", b.file, b.line)
	}
	return list, nil
}
