package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"lxc-pull/cross"
)

// benchLines maps the rows of README's tables of costs to the lines of docs/bench.txt that
// their figures come from. Each line there is preceded by its section and by the title of its
// table, such as the link: "section|title|line". A row that isn't here is named after a goal, and
// its figures are those of the goal's line.
var benchLines = map[string]string{
	"xz -6, one thread":                  `^decompression\|\|rootfs\.6\.tar\.xz `,
	"xz -9e (64 MiB dictionary)":         `^decompression\|\|rootfs\.9e\.tar\.xz `,
	"the blocks of xz -T2, wall time":    `^decompression\|\|rootfs\.6T2\.tar\.xz .* -T`,
	"gzip -9":                            `^decompression\|\|rootfs\.9\.tar\.gz `,
	"zstd -19":                           `^decompression\|\|rootfs\.19\.tar\.zst `,
	"bzip2 -9":                           `^decompression\|\|rootfs\.tar\.bz2 `,
	"extraction to memory, all CPU time": `^extraction\|`,
	"verification of 500 MiB, SHA-256":   `^signatures\|\|SHA-256 `,
	"start-up, wall time":                `^start-up\|`,
	"unshaped":                           `^creations\|unshaped\|`,
	"unshaped, `--memory 24M`":           `^creations\|unshaped\|`,
	"50 MB/s":                            `^creations\|50 MB/s\|`,
	"8 MB/s":                             `^creations\|8 MB/s\|`,
	"2 MB/s":                             `^creations\|2 MB/s\|`,
}

// linesOf returns the pattern of a row's lines in docs/bench.txt.
func linesOf(name string) string {
	if pattern, ok := benchLines[name]; ok {
		return pattern
	}
	return `\|goal +` + regexp.QuoteMeta(strings.ReplaceAll(name, "`", "")) + `  `
}

var (
	figure = regexp.MustCompile(`\b(\d+(?:\.\d+)?) (?:s|ms|us|MB|MiB|KiB|calls)\b`)
	ratio  = regexp.MustCompile(`\b\d+\.\d\d\b`)
)

// TestFigures checks that each figure in README's tables of costs is one that "make bench"
// wrote to docs/bench.txt, or the quotient of two figures of its row.
func TestFigures(t *testing.T) {
	top := topDirectory(t)
	text, err := os.ReadFile(filepath.Join(top, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, costs, _ := strings.Cut(string(text), "\n## What it costs\n")
	costs, _, _ = strings.Cut(costs, "\n## ")
	bench, err := os.ReadFile(filepath.Join(top, "docs/bench.txt"))
	if os.IsNotExist(err) {
		t.Skip(`docs/bench.txt is missing: run "make bench" on an idle machine, as root`)
	} else if err != nil {
		t.Fatal(err)
	}
	seen, problems := checkFigures(costs, string(bench))
	for _, problem := range problems {
		t.Errorf("README.md: %s", problem)
	}
	if seen < 60 {
		t.Errorf("found only %d figures", seen)
	}
}

// TestCheckFigures checks that wrong figures are found.
func TestCheckFigures(t *testing.T) {
	const bench = `== decompression
    rootfs.6.tar.xz            xz -dc -T1    2.85   1.00    5.25  10.0
    rootfs.6.tar.xz     lxc-pull zcat -T1    1.96   0.69    1.64  14.7
== creations
37000000 bytes packed, 2 processors

unshaped, 5 runs
  lxc-pull --no-cache   1.07  1.50   82.1   0.0  0.36
== start-up
lxc-pull version       1.76 ms   1.84 ms   6540 KiB
== disk
cold: a new file system, 5 runs
  lxc-pull   1.37  1.50   82.1   0.0  0.46
                                                       ours    peer  ratio  at most
goal  disk, cold, lxc-pull --no-cache, to stock      1.37 s  2.98 s   0.46     0.5  met
== goals
goal  disk, cold, lxc-pull --no-cache, to stock      1.37 s  2.98 s   0.46     0.5  met
`
	for _, test := range []struct{ row, want string }{
		{"| xz -6, one thread | 1.96 s, 15 MiB | xz 5.4.1: 2.85 s, 10 MiB | 0.69 |", ""},
		{"| xz -6, one thread | 1.96 s | xz: 2.85 s | 1.45 |", ""},
		{"| xz -6, one thread | 1.95 s | xz: 2.85 s | 0.69 |", "1.95 s"},
		{"| xz -6, one thread | 1.96 s | xz: 2.85 s | 0.60 |", "0.60"},
		{"| xz -6, one thread | 6 s | | |", "6 s"}, // the 6 in the file's name is no figure
		{"| unshaped | 1.07 s, 82 MB | | 0.36 | |", ""},
		{"| 8 MB/s | 1.07 s | | 0.36 | |", "lacks it"},
		{"| start-up, wall time | 1.8 ms, 6 MiB | | |", ""},
		{"| start-up, wall time | 1.9 ms, 6 MiB | | |", "1.9 ms"},
		{"| another | 1.8 ms | | |", "lacks it"},
		{"| a | b | c | d |\n| --- | --- | --- | --- |\n| start-up, wall time | 1.8 ms | | |", ""}, // a heading
		{"| disk, cold, `lxc-pull --no-cache`, to stock | 1.37 s | 2.98 s | 0.46 | at most 0.50 |", ""},
		{"| disk, cold, `lxc-pull --no-cache`, to stock | 1.37 s | 2.98 s | 0.46 | at most 0.60 |", "0.60"},
		{"| disk, cold, `lxc-pull --no-cache`, to stock | 1.38 s | 2.98 s | 0.46 | |", "1.38 s"},
		{"| disk, cold, lxc-pull | 1.37 s | | |", "lacks it"},
	} {
		_, problems := checkFigures(test.row+"\n", bench)
		if got := strings.Join(problems, "; "); (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
			t.Errorf("%s: got %q, want %q", test.row, got, test.want)
		}
	}
}

// checkFigures compares the figures in the tables of costs with bench. It returns their
// number and what is wrong.
func checkFigures(costs, bench string) (seen int, problems []string) {
	name := ""
	var measured []string // the numbers of the row's lines
	var row []float64     // the figures of the row, and of the rows above it that it continues
	lines := slices.Collect(strings.Lines(costs))
	for i, line := range lines {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		heading := i+1 < len(lines) && strings.HasPrefix(lines[i+1], "| ---")
		if !strings.HasPrefix(line, "|") || len(cells) < 4 || heading || strings.HasPrefix(line, "| ---") {
			continue
		}
		if first := strings.TrimSpace(cells[0]); first != "" {
			name, row = first, nil
			measured = numbersOf(bench, linesOf(name))
			if len(measured) == 0 {
				problems = append(problems, fmt.Sprintf("%q: docs/bench.txt lacks it", name))
				continue
			}
		}
		last := 3 // where ratios begin: the second table has two columns of them
		for _, m := range figure.FindAllStringSubmatch(strings.Join(cells[1:last], "|"), -1) {
			seen++
			value, _ := strconv.ParseFloat(m[1], 64)
			row = append(row, value)
			if !slices.ContainsFunc(measured, func(s string) bool { return rounded(s, m[1], 1) || rounded(s, m[1], 1024) }) {
				problems = append(problems, fmt.Sprintf("%q: docs/bench.txt has no %s", name, m[0]))
			}
		}
		for _, r := range ratio.FindAllString(strings.Join(cells[last:], "|"), -1) {
			seen++
			if !slices.ContainsFunc(measured, func(s string) bool { return rounded(s, r, 1) }) && !quotient(row, r) {
				problems = append(problems, fmt.Sprintf("%q: the ratio %s is neither in docs/bench.txt nor that of two figures", name, r))
			}
		}
	}
	return seen, problems
}

// numbersOf returns the numbers in the lines of bench that match a pattern of benchLines.
// Names that contain digits are no numbers.
func numbersOf(bench, pattern string) (found []string) {
	wanted := regexp.MustCompile(pattern)
	section, title := "", ""
	for line := range strings.Lines(bench) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "== "); ok {
			section, title = name, ""
		} else if comma := strings.LastIndex(line, ", "); comma >= 0 && strings.HasSuffix(line, " runs") {
			title = line[:comma]
		}
		if !wanted.MatchString(section + "|" + title + "|" + line) {
			continue
		}
		for _, word := range strings.Fields(line) {
			if _, err := strconv.ParseFloat(strings.Trim(word, ",:"), 64); err == nil {
				found = append(found, strings.Trim(word, ",:"))
			}
		}
	}
	return found
}

// rounded reports whether s, divided by unit, is figure when it has as many decimals.
func rounded(s, figure string, unit float64) bool {
	value, err := strconv.ParseFloat(s, 64)
	_, decimals, _ := strings.Cut(figure, ".")
	return err == nil && strconv.FormatFloat(value/unit, 'f', len(decimals), 64) == figure
}

// quotient reports whether ratio is that of two of the values. They are rounded, so it may
// be wrong by one in its last digit.
func quotient(values []float64, ratio string) bool {
	want, err := strconv.ParseFloat(ratio, 64)
	for _, a := range values {
		for _, b := range values {
			if a != b && math.Abs(a/b-want) < 0.0101 {
				return err == nil
			}
		}
	}
	return false
}

// TestSizes checks the sizes of the program in README.md and docs/size.md against the
// builds' budgets, which the builds themselves are checked against.
func TestSizes(t *testing.T) {
	top := topDirectory(t)
	smallest, largest := math.MaxInt, 0
	size, err := os.ReadFile(filepath.Join(top, "docs/size.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range cross.Targets() {
		smallest, largest = min(smallest, target.Budget), max(largest, target.Budget)
		name := strings.TrimPrefix(target.File(), "lxc-pull-")
		row := regexp.MustCompile(`\n\| ` + name + ` \| ([0-9,]+) \|\n`).FindSubmatch(append([]byte("\n"), size...))
		if row == nil {
			t.Errorf("docs/size.md has no row for %s", name)
			continue
		}
		bytes, err := strconv.Atoi(strings.ReplaceAll(string(row[1]), ",", ""))
		if err != nil || math.Abs(float64(bytes-target.Budget)) > float64(target.Budget)/100 {
			t.Errorf("docs/size.md: %s has %s bytes, and its budget is %d: more than 1 %% apart", name, row[1], target.Budget)
		}
	}
	readme, err := os.ReadFile(filepath.Join(top, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`The program has ([0-9.]+) to ([0-9.]+) MB`).FindSubmatch(readme)
	if m == nil || !rounded(strconv.Itoa(smallest), string(m[1]), 1e6) || !rounded(strconv.Itoa(largest), string(m[2]), 1e6) {
		t.Errorf("README.md: the program has %.1f to %.1f MB by the budgets, not %q", float64(smallest)/1e6, float64(largest)/1e6, m)
	}
}
