// Command yamldiff compares image.ParseIncus with PyYAML: it reads what cases.py writes.
//
//	python3 scripts/lab/yamldiff/cases.py SEED COUNT | go run -C scripts ./lab/yamldiff
//
// Whatever ParseIncus reads, PyYAML must read too, with the same result. ParseIncus may refuse a
// text that PyYAML reads, but of those that PyYAML wrote only those with a style that metadata has
// not: folded blocks, blocks with an indentation or chomping of their own, and tags.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"

	"lxc-pull/image"
)

// A testCase is a line of cases.py.
type testCase struct {
	Text  string `json:"text"`
	Value any    `json:"value"`
	OK    bool   `json:"ok"`
	Valid bool   `json:"valid"`
}

func main() {
	show := flag.Bool("v", false, "show PyYAML's own texts that are refused")
	flag.Parse()
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 1<<24)
	read, refused, failed := 0, map[string]int{}, 0
	for in.Scan() {
		var c testCase
		if err := json.Unmarshal(in.Bytes(), &c); err != nil {
			fmt.Fprintln(os.Stderr, "yamldiff:", err)
			os.Exit(1)
		}
		m, err := image.ParseIncus([]byte(c.Text))
		why := ""
		switch {
		case err != nil && c.Valid && c.OK:
			_, reason, _ := strings.Cut(strings.TrimPrefix(err.Error(), "metadata.yaml: "), ": ")
			refused[reason]++
			if *show {
				fmt.Printf("%v: %q\n", err, c.Text)
			}
		case err != nil:
		case !c.OK && strings.Contains(c.Text, "\t"): // libyaml takes tabs in more places, and so does ParseIncus
		case !c.OK:
			why = "PyYAML refuses it"
		default:
			read++
			why = compare(m, c.Value)
		}
		if why != "" {
			failed++
			if failed <= 20 {
				fmt.Printf("%s: %q\n", why, c.Text)
			}
		}
	}
	fmt.Printf("%d texts are read as PyYAML reads them, %d are not\n", read, failed)
	for reason, n := range refused {
		fmt.Printf("PyYAML's own texts refused: %d times: %s\n", n, reason)
	}
	if failed > 0 || read == 0 || in.Err() != nil {
		os.Exit(1)
	}
}

// compare says what is wrong with metadata, "" if it is what value has.
func compare(m *image.IncusMetadata, value any) string {
	top, _ := value.(map[string]any)
	if got, want := m.Arch, scalar(top["architecture"]); got != want {
		return fmt.Sprintf("architecture %q is %q", want, got)
	}
	if why := properties(m.Properties, top["properties"]); why != "" {
		return why
	}
	templates, _ := top["templates"].(map[string]any)
	if len(templates) != len(m.Templates) {
		return fmt.Sprintf("%d templates are %d", len(templates), len(m.Templates))
	}
	for _, t := range m.Templates {
		want, _ := templates[t.Path].(map[string]any)
		when, _ := want["when"].([]any)
		if t.Template != scalar(want["template"]) || len(when) != len(t.When) {
			return fmt.Sprintf("template %q is %+v", t.Path, t)
		}
		for i := range when {
			if t.When[i] != scalar(when[i]) {
				return fmt.Sprintf("%q is %q", when[i], t.When[i])
			}
		}
		if why := properties(t.Properties, want["properties"]); why != "" {
			return why
		}
	}
	return ""
}

// properties says what is wrong with properties.
func properties(got [][2]string, value any) string {
	want, _ := value.(map[string]any)
	if len(got) != len(want) {
		return fmt.Sprintf("properties %q are %q", want, got)
	}
	for _, p := range got {
		if text, ok := want[p[0]]; !ok || p[1] != scalar(text) {
			return fmt.Sprintf("property %q: %q is %q", p[0], text, p[1])
		}
	}
	return ""
}

// scalar returns a scalar's text.
func scalar(value any) string {
	text, _ := value.(string)
	return text
}
