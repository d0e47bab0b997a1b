package main

import (
	"slices"
	"strings"
	"testing"

	"lxc-pull/scripts/lab/terminal"
)

func TestSplitShell(t *testing.T) {
	for _, test := range []struct{ line, want string }{
		{"a b c", "a b c"},
		{`a 'b c' "d"`, "a b c d"},
		{"a | b && c; d &", "a/b/c/d"},
		{"a >file 2>&1", "a >file 2>&1"},
		{"a # comment", "a"},
		{"a b#c", "a b#c"},
		{`a b\ c`, "a b c"},
		{"(cd x && y)", "cd x/y"},
	} {
		commands, err := splitShell(test.line)
		var got []string
		for _, words := range commands {
			got = append(got, strings.Join(words, " "))
		}
		if strings.Join(got, "/") != test.want || err != nil {
			t.Errorf("%q: got %q, %v; want %q", test.line, got, err, test.want)
		}
	}
	if _, err := splitShell("a 'b"); err == nil {
		t.Error("an open quote is no error")
	}
}

// TestCheckLine checks that the checks find what they are for.
func TestCheckLine(t *testing.T) {
	m := &manual{top: topDirectory(t), targets: "\nbuild:\n\ndemo: build\n", commands: map[string]map[string]bool{
		"create": {"--server": true, "-d": true, "-4": true}, "template": {"-d": true, "--keyring": true},
	}}
	for _, test := range []struct{ line, want string }{
		{"lxc-pull create web debian --server=x -d x -4", ""},
		{"LXC_PULL_MEMORY=24M sudo ./lxc-pull create web -dx", ""},
		{"lxc-pull creat web", `no command "creat"`},
		{"lxc-pull create web --sever x", `no option "--sever"`},
		{"lxc-pull create web | xyzzy", `unknown program "xyzzy"`},
		{"lxc-pull -d x", ""},
		{"lxc-create -t pull -n web -- -d x --keyring f", ""},
		{"lxc-create -t pull -n web -- -d x --keyrin f", `no option "--keyrin"`},
		{"lxc-create -t download -n web -- --any", ""},
		{"make demo", ""},
		{"make dmeo", `no target "dmeo"`},
		{"scripts/lab/check", ""},
		{"scripts/" + "lab/chekc", "no such file"},
		{"lxc-pull help create && lxc-pull help CODE", ""},
		{"lxc-pull help creat", `no command "creat"`},
	} {
		err := m.checkLine(test.line)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: %v; want %q", test.line, err, test.want)
		}
	}
}

func TestParseMarkdown(t *testing.T) {
	d := parseMarkdown("x.md", strings.Join([]string{
		"# A `title`, of sorts",                        // 1
		"Text with `lxc-pull",                          // 2
		"list` and [a link](y.md#z) and `[no](link)`.", // 3
		"",                                                                                   // 4
		"    indented",                                                                       // 5
		"",                                                                                   // 6
		"```sh run",                                                                          // 7
		"# comment",                                                                          // 8
		"one \\",                                                                             // 9
		"  two",                                                                              // 10
		"three",                                                                              // 11
		"```",                                                                                // 12
		"```console fails",                                                                   // 13
		"$ four",                                                                             // 14
		"it says",                                                                            // 15
		"# five",                                                                             // 16
		"```",                                                                                // 17
		strings.Repeat("long ", 21),                                                          // 18
		`<img src="p.svg">`,                                                                  // 19
		"## A title of sorts", "## A title of sorts", "", "| " + strings.Repeat("wide ", 30), // 20 to 23
	}, "\n"))
	if want := []string{"a-title-of-sorts", "a-title-of-sorts-1", "a-title-of-sorts-2"}; len(d.anchors) != 3 || !d.anchors[want[0]] || !d.anchors[want[1]] || !d.anchors[want[2]] {
		t.Errorf("anchors %v", d.anchors)
	}
	if !slices.Equal(d.loose, []int{5}) || !slices.Equal(d.long, []int{18}) {
		t.Errorf("indented blocks in lines %v, long lines %v", d.loose, d.long)
	}
	if want := []span{{3, "y.md#z"}, {19, "p.svg"}}; !slices.Equal(d.links, want) {
		t.Errorf("links %v, want %v", d.links, want)
	}
	if len(d.spans) != 3 || d.spans[1] != (span{2, "lxc-pull list"}) {
		t.Errorf("code %+v", d.spans)
	}
	if len(d.blocks) != 2 {
		t.Fatalf("%d blocks", len(d.blocks))
	}
	first, err := d.blocks[0].commands()
	if err != nil || len(first) != 2 || first[0].text != "one two" || first[0].line != 9 || first[1].line != 11 || d.blocks[0].label != "run" {
		t.Errorf("%+v, %v", first, err)
	}
	second, err := d.blocks[1].commands()
	if err != nil || len(second) != 2 || second[0].text != "four" || !slices.Equal(second[0].says, []string{"it says"}) || second[1].line != 16 {
		t.Errorf("%+v, %v", second, err)
	}
}

func TestFirstMissing(t *testing.T) {
	const output = "one 17\ntwo\nthree\n"
	for _, test := range []struct{ says, want string }{
		{"one ...", ""}, {"one 17|...|three", ""}, {"two|one ...", "one ..."}, {"tw", "tw"}, {"three|", ""},
	} {
		if got := firstMissing(strings.Split(test.says, "|"), output); got != test.want {
			t.Errorf("%q: got %q, want %q", test.says, got, test.want)
		}
	}
}

// TestRender draws a screen: blanks become places, and the looks become classes.
func TestRender(t *testing.T) {
	s := &terminal.Screen{Columns: 80}
	s.Write("\x1b[1m<a>\x1b[0m b   c\r\n  \x1b[31md\r\n")
	got := string(render(s.Lines()))
	for _, want := range []string{
		`<text class="b" x="18.0" y="44" textLength="25.2">&lt;a&gt;</text>`,
		`<text x="51.6" y="44" textLength="8.4">b</text>`,
		`<text x="85.2" y="44" textLength="8.4">c</text>`,
		`<text class="c31" x="34.8" y="63" textLength="8.4">d</text>`,
		`<desc>&lt;a&gt; b   c&#xA;  d&#xA;</desc>`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in\n%s", want, got)
		}
	}
}
