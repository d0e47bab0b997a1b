package main

import (
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
// their figures come from. Each line there is preceded by its section and, for creations,
// by the link: "section|link|line".
var benchLines = map[string]string{
	"xz -6, one thread":               `^decompression\|\|rootfs\.6\.tar\.xz `,
	"xz -9e (64 MiB dictionary)":      `^decompression\|\|rootfs\.9e\.tar\.xz `,
	"the blocks of xz -T2, wall time": `^decompression\|\|rootfs\.6T2\.tar\.xz .* -T`,
	"gzip -9":                         `^decompression\|\|rootfs\.9\.tar\.gz `,
	"zstd -19":                        `^decompression\|\|rootfs\.19\.tar\.zst `,
	"bzip2 -9":                        `^decompression\|\|rootfs\.tar\.bz2 `,
	"extraction to memory":            `^extraction\|`,
	"verification of 500 MB, SHA-256": `^signatures\|\|SHA-256 `,
	"start-up":                        `^start-up\|`,
	"unshaped":                        `^creations\|unshaped\|`,
	"unshaped, `--memory 24M`":        `^creations\|unshaped\|`,
	"50 MB/s":                         `^creations\|50 MB/s\|`,
	"8 MB/s":                          `^creations\|8 MB/s\|`,
}

var (
	figure = regexp.MustCompile(`\b(\d+(?:\.\d+)?) (?:s|ms|MB|MiB|calls)\b`)
	ratio  = regexp.MustCompile(`\b\d+\.\d\d\b`)
	number = regexp.MustCompile(`\b\d+(?:\.\d+)?\b`)
)

// TestFigures checks that each figure in README's tables is one that "make bench" wrote to
// docs/bench.txt, or the quotient of two figures of its row.
func TestFigures(t *testing.T) {
	top := topDirectory(t)
	bench := readBench(t, filepath.Join(top, "docs/bench.txt"))
	text, err := os.ReadFile(filepath.Join(top, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, costs, _ := strings.Cut(string(text), "\n## What it costs\n")
	costs, _, _ = strings.Cut(costs, "\n## ")
	seen, name := 0, ""
	var measured []string // the numbers of the row's lines
	var row []float64     // the figures of the row, and of the rows above it that it continues
	for line := range strings.Lines(costs) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if !strings.HasPrefix(line, "|") || len(cells) < 4 || strings.HasPrefix(line, "| |") && name == "" || strings.HasPrefix(line, "| ---") || strings.HasPrefix(line, "| link") {
			name = ""
			continue
		}
		if first := strings.TrimSpace(cells[0]); first != "" {
			name, row = first, nil
			measured = bench(benchLines[name])
			if len(measured) == 0 {
				t.Errorf("README.md: %q: benchLines or docs/bench.txt lacks it", name)
			}
		}
		last := len(cells) - 1
		if len(cells) > 4 {
			last-- // the second table has two columns of ratios
		}
		for _, m := range figure.FindAllStringSubmatch(strings.Join(cells[1:last], "|"), -1) {
			seen++
			value, _ := strconv.ParseFloat(m[1], 64)
			row = append(row, value)
			if !slices.ContainsFunc(measured, func(s string) bool { return rounded(s, m[1], 1) || rounded(s, m[1], 1024) }) {
				t.Errorf("README.md: %q: docs/bench.txt has no %s", name, m[0])
			}
		}
		for _, r := range ratio.FindAllString(strings.Join(cells[last:], "|"), -1) {
			seen++
			if !slices.ContainsFunc(measured, func(s string) bool { return rounded(s, r, 1) }) && !quotient(row, r) {
				t.Errorf("README.md: %q: the ratio %s is neither in docs/bench.txt nor that of two figures", name, r)
			}
		}
	}
	if seen < 60 {
		t.Errorf("found only %d figures", seen)
	}
}

// readBench reads the file that "make bench" writes. The result returns the numbers in the
// lines that match a pattern.
func readBench(t *testing.T, file string) func(pattern string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	section, link := "", ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "== "); ok {
			section, link = name, ""
		} else if before, _, ok := strings.Cut(line, ", "); ok && section == "creations" && strings.HasSuffix(line, " runs") {
			link = before
		}
		lines = append(lines, section+"|"+link+"|"+line)
	}
	return func(pattern string) (found []string) {
		if pattern == "" {
			return nil
		}
		wanted := regexp.MustCompile(pattern)
		for _, line := range lines {
			if wanted.MatchString(line) {
				found = append(found, number.FindAllString(line, -1)...)
			}
		}
		return found
	}
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
