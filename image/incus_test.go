package image

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

// incusTexts are metadata.yaml in the forms of those who write it, and what they mean.
var incusTexts = []struct {
	text string
	want IncusMetadata
}{
	{`architecture: x86_64
creation_date: 1756444000
expiry_date: 1759036000
properties:
  architecture: amd64
  description: Alpine edge amd64 (20260829_13:00)
  name: alpine-edge-amd64-default-20260829_13:00
  serial: "20260829_13:00"
  quoted: 'it''s'
templates:
  /etc/hostname:
    when:
    - create
    - copy
    create_only: false
    template: hostname.tpl
    properties: {}
  /var/lib/cloud/seed/nocloud-net/user-data:
    when:
      - create
    create_only: true
    template: cloud-init-user.tpl
    properties:
      default: |
        #cloud-config
        {}
    mode: "0644"
    uid: 1
    gid: 4294967294
`, IncusMetadata{Arch: "x86_64", Created: 1756444000, Expires: 1759036000, Properties: [][2]string{
		{"architecture", "amd64"}, {"description", "Alpine edge amd64 (20260829_13:00)"}, {"name", "alpine-edge-amd64-default-20260829_13:00"},
		{"serial", "20260829_13:00"}, {"quoted", "it's"},
	}, Templates: []IncusTemplate{
		{Path: "/etc/hostname", When: []string{"create", "copy"}, Template: "hostname.tpl"},
		{Path: "/var/lib/cloud/seed/nocloud-net/user-data", When: []string{"create"}, Template: "cloud-init-user.tpl", CreateOnly: true, UID: 1, GID: 4294967294, Mode: 0o644, Properties: [][2]string{{"default", "#cloud-config\n{}\n"}}},
	}}},
	{`{
    "architecture": "x86_64", "creation_date": 1713890000,
    "properties": {"architecture":"amd64", "description": "Ubuntu \u00e4\n\x41 \"24.04\"", "none": null},
    "templates": {"/etc/hostname": {"template": "hostname.tpl", "when": ["create", "copy"],}}
}
`, IncusMetadata{Arch: "x86_64", Created: 1713890000, Properties: [][2]string{{"architecture", "amd64"}, {"description", "Ubuntu ä\nA \"24.04\""}, {"none", ""}},
		Templates: []IncusTemplate{{Path: "/etc/hostname", When: []string{"create", "copy"}, Template: "hostname.tpl"}}}},
	{`architecture: "aarch64"
creation_date: 1394480435
properties: {architecture: arm64, description: 'Ubuntu 14.04 LTS server
    (20140310)', long: some words
    and more, url: http://example.org/a#b,
  x: }
`, IncusMetadata{Arch: "aarch64", Created: 1394480435, Properties: [][2]string{
		{"architecture", "arm64"}, {"description", "Ubuntu 14.04 LTS server (20140310)"}, {"long", "some words and more"}, {"url", "http://example.org/a#b"}, {"x", ""},
	}}},
	{"\ufeff# a comment\r\n---\r\n\r\narchitecture:   i686   # Intel's\r\n  # another\r\nproperties:\r\n    a: b\r\n\r\n    c:\r\n\t\r\n    \"d\" : first\r\n      second\r\n\r\n      third\r\n    e: |-\r\n      text\r\n\r\n       more\r\n    f: a#b\r\n...\r\n",
		IncusMetadata{Arch: "i686", Properties: [][2]string{{"a", "b"}, {"c", ""}, {"d", "first second\nthird"}, {"e", "text\n\n more"}, {"f", "a#b"}}}},
	{"--- {properties: {\"a\":b, 'c':\"d\", e: f:1, g: }}", IncusMetadata{Properties: [][2]string{{"a", "b"}, {"c", "d"}, {"e", "f:1"}, {"g", ""}}}},
	{"architecture: x86_64\nserial: [1, {a: b}, [c]]\nother:\n- a: 1\n  b: 2\n- - x\n  - y\n-\n  z: 1\n- plain\n", IncusMetadata{Arch: "x86_64"}},
	{"architecture: null\nproperties: ~\ntemplates:\n", IncusMetadata{}},
	{"", IncusMetadata{}},
	{"# nothing\n", IncusMetadata{}},
	{"properties: {\"fold\": \"one  \n   two\\\n\n    three \\\n    four\"}", IncusMetadata{Properties: [][2]string{{"fold", "one two\nthree four"}}}},
	{"properties:\n  a: \"one\n    two\n\n    three\"\n  b: 'x'\n", IncusMetadata{Properties: [][2]string{{"a", "one two\nthree"}, {"b", "x"}}}},
}

func TestParseIncus(t *testing.T) {
	for _, test := range incusTexts {
		got, err := ParseIncus([]byte(test.text))
		if err != nil || !reflect.DeepEqual(got, &test.want) {
			t.Errorf("%q: %+v, %v, want %+v", test.text, got, err, test.want)
		}
	}
}

// What is not in the part of YAML is an error, which names the line.
func TestRefusedIncus(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"a: &x b\n", `line 1: a value that begins with "&"`},
		{"a: b\nc: *x\n", `line 2: a value that begins with "*"`},
		{"a: !!str b\n", `line 1: a value that begins with "!"`},
		{"a: >\n  b\n", `line 1: a value that begins with ">"`},
		{"a: |2\n  b\n", `line 1: unexpected "2"`},
		{"a: |+\n  b\n", `line 1: unexpected "+"`},
		{"%YAML 1.1\n---\na: b\n", `line 1: a value that begins with "%"`},
		{"? a\n: b\n", `line 1: a value that begins with "?"`},
		{"a: `b`\n", "line 1: a value that begins with \"`\""},
		{"a: @b\n", `line 1: a value that begins with "@"`},
		{"<<: b\n", "line 1: << is not supported"},
		{"a: b\na: c\n", `line 2: a second "a" in one mapping`},
		{"{a: b, \"a\": c}\n", `line 1: a second "a" in one mapping`},
		{"a: b\n\tc: d\n", "line 2: a tab in the indentation"},
		{"a: b\n c: d\n", "line 2: "},
		{"a:\n  b: c\n d: e\n", "line 3: the indentation fits nothing above"},
		{"a: b\n---\na: c\n", "line 2: the document ends here, and only one is supported"},
		{"a: b: c\n", `line 1: unexpected ":"`},
		{"a: 'b\n\n\n", "line 4: a quote is not closed"},
		{"a: 'b' c\n", `line 1: unexpected "c"`},
		{"a: [b, c\n", "line 2: no comma and no end"},
		{"a: {b}\n", "line 1: no key with a colon in braces"},
		{"a: {b: c]\n", "line 1: "},
		{"a: [b: c]\n", "line 1: no comma and no end"},
		{"a: [,]\n", `line 1: a value that begins with ","`},
		{"{a: b}\nc: d\n", "line 2: the indentation fits nothing above"},
		{"a: b\n~: c\n", "line 2: null is a key"},
		{"{a: :b}\n", `line 1: a value that begins with ":"`},
		{"a: {b: c?d}\n", "line 1: no comma and no end"},
		{"a: 'b\n---\n'\n", "line 2: the document ends here"},
		{"a: [\n---\n  b]\n", "line 2: the document ends here"},
		{"a: {\n... : b}\n", "line 2: the document ends here"},
		{"a: b\n  c\nd\n", "line 3: a line without a key and a colon"},
		{"a: {b: c} d\n", `line 1: unexpected "d"`},
		{"a: \"\\q\"\n", "line 1: an escape that is not supported"},
		{"a: \"\\u0000\"\n", "line 1: an escape that is not supported"},
		{"a: \"\\ud83d\\ude00\"\n", "line 1: an escape that is not supported"},
		{"a: b\n\x00", "line 2: a control character"},
		{"a: b\rc: d\n", "line 1: a control character"},
		{"a: b\u0085", "line 1: a control character"},
		{"a: \xff\n", "line 1: a control character, or no UTF-8"},
		{"- a\n", "line 1: a value of another kind"},
		{"just words\n", "line 1: a value of another kind"},
		{"architecture: [a]\n", "line 1: a mapping or"},
		{"creation_date: soon\n", `line 1: "soon" is no number from 0`},
		{"creation_date: -1\n", `line 1: "-1" is no number from 0`},
		{"a: b\nproperties: x\n", "line 2: a value of another kind"},
		{"properties: {a: {b: c}}\n", "line 1: a mapping or"},
		{"templates: [a]\n", "line 1: a value of another kind"},
		{"templates:\n  /a: b\n", "line 2: a value of another kind"},
		{"templates:\n  /a:\n    when: create\n", "line 3: a value of another kind"},
		{"templates:\n  /a:\n    when: [create]\n", `line 3: the name of the template of "/a" is missing`},
		{"templates: {/a: {template: ../b}}\n", `line 1: the name of the template of "/a" is missing or bad`},
		{"templates: {/a: {template: b, create_only: perhaps}}\n", `line 1: "perhaps" is neither true nor false`},
		{"templates: {/a: {template: b, mode: 888}}\n", `line 1: "888" is no number from 0 to 7777`},
		{"templates: {/a: {template: b, uid: 4294967295}}\n", `line 1: "4294967295" is no number`},
		{"a: " + strings.Repeat("[", 100) + "\n", "line 1: mappings and sequences are nested more than 16 deep"},
		{strings.Repeat("- ", 100) + "\n", "line 1: mappings and sequences are nested more than 16 deep"},
		{"a: [" + strings.Repeat("b,", maxNodes) + "]\n", "line 1: more than 10000 values"},
		{strings.Repeat("#\n", MaxIncus/2) + "#", "line 1: it is larger than 1048576 bytes"},
	} {
		_, err := ParseIncus([]byte(test.text))
		if err == nil || !strings.HasPrefix(err.Error(), "metadata.yaml: "+test.want) {
			t.Errorf("%q: %v, want %s", test.text[:min(len(test.text), 60)], err, test.want)
		}
	}
}

func TestRender(t *testing.T) {
	tpl := IncusTemplate{Properties: [][2]string{{"default", "#cloud-config\n{}"}, {"x.y", "odd"}}}
	for _, test := range []struct{ text, want string }{
		{"", ""}, {"plain { text } }} %}\n", "plain { text } }} %}\n"},
		{"{{ container.name }}\n", "c1\n"}, {"{{instance.name}}{", "c1{"}, {"{{{ instance.name }}", "-"},
		{"127.0.1.1\t{{ container.name }} {{container.name}}\n", "127.0.1.1\tc1 c1\n"},
		{"{{ properties.default }}|{{ properties.missing }}|{{ properties.x.y }}", "#cloud-config\n{}||odd"},
		{`{{ config_get("user.user-data", properties.default) }}{{ config_get("user.meta-data", "") }}{{ config_get('a', 'b') }}`, "#cloud-config\n{}b"},
		{`{{ config_get("user.user-data") }}`, "-"}, {`{{ config_get("a", "b\n") }}`, "-"}, {`{{ config_get("a", "b" + "c") }}`, "-"}, {`{{ config_get("a", x) }}`, "-"},
		{"{% if x %}", "-"}, {"{# comment #}", "-"}, {"{{ container.architecture }}", "-"}, {"{{ container.name|upper }}", "-"}, {"{{ container.name", "-"},
		{"{{ properties.a-b }}", "-"}, {"{{ properties. }}", "-"}, {"{{}}", "-"},
		{strings.Repeat("{{ properties.default }}", 100000), "-"},
	} {
		tpl.Text = []byte(test.text)
		got, ok := tpl.Render("c1")
		if !ok {
			got = []byte("-")
		}
		if string(got) != test.want {
			t.Errorf("%q: %q, want %q", test.text[:min(len(test.text), 60)], got, test.want)
		}
	}
}

// incusBlock writes metadata as distrobuilder does, incusFlow as Ubuntu's build. Every text is in
// double quotes.
func incusBlock(m *IncusMetadata) string {
	var b strings.Builder
	q := func(text string) string { return yamlQuote(text) }
	properties := func(indent string, list [][2]string) {
		b.WriteString(indent + "properties:\n")
		for _, p := range list {
			b.WriteString(indent + "  " + q(p[0]) + ": " + q(p[1]) + "\n")
		}
	}
	fmt.Fprintf(&b, "architecture: %s\ncreation_date: %d\nexpiry_date: %d\n", q(m.Arch), m.Created, m.Expires)
	properties("", m.Properties)
	b.WriteString("templates:\n")
	for _, t := range m.Templates {
		fmt.Fprintf(&b, "  %s:\n    when:\n", q(t.Path))
		for _, w := range t.When {
			b.WriteString("    - " + q(w) + "\n")
		}
		fmt.Fprintf(&b, "    create_only: %v\n    template: %s\n    uid: %d\n    gid: %d\n    mode: %o\n", t.CreateOnly, q(t.Template), t.UID, t.GID, t.Mode)
		properties("    ", t.Properties)
	}
	return b.String()
}

func incusFlow(m *IncusMetadata) string {
	var b strings.Builder
	properties := func(list [][2]string) {
		b.WriteString("\"properties\":{")
		for _, p := range list {
			b.WriteString("\n" + yamlQuote(p[0]) + ":" + yamlQuote(p[1]) + ",")
		}
		b.WriteString("}")
	}
	fmt.Fprintf(&b, "{architecture: %s, creation_date: %d, expiry_date: %d, ", yamlQuote(m.Arch), m.Created, m.Expires)
	properties(m.Properties)
	b.WriteString(", templates: {")
	for _, t := range m.Templates {
		fmt.Fprintf(&b, "%s: {when: [", yamlQuote(t.Path))
		for _, w := range t.When {
			b.WriteString(yamlQuote(w) + ", ")
		}
		fmt.Fprintf(&b, "],\n create_only: %v, template: %s, uid: %d, gid: %d, mode: %o,", t.CreateOnly, yamlQuote(t.Template), t.UID, t.GID, t.Mode)
		properties(t.Properties)
		b.WriteString("},")
	}
	return b.String() + "}}\n"
}

// yamlQuote quotes a text for YAML. Go's escapes are YAML's, but for those of bytes.
func yamlQuote(text string) string { return strconv.QuoteToASCII(text) }

// What is read from a text is read from both ways to write it again; an error names a line of the
// text.
func FuzzIncus(f *testing.F) {
	for _, test := range incusTexts {
		f.Add(test.text)
	}
	f.Add("a: |\n\n  x\n y\n")
	f.Add("a: - b\n- c: d\n   e: f\n")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := ParseIncus([]byte(text))
		if err != nil {
			var line int
			if _, scanned := fmt.Sscanf(err.Error(), "metadata.yaml: line %d: ", &line); scanned != nil || line < 1 || line > 1+strings.Count(text, "\n") {
				t.Errorf("%v", err)
			}
			return
		}
		for i := range m.Templates {
			m.Templates[i].Text = []byte(text)
			m.Templates[i].Render("c1")
			m.Templates[i].Text = nil
		}
		for _, again := range []string{incusBlock(m), incusFlow(m)} {
			got, err := ParseIncus([]byte(again))
			if err != nil || !reflect.DeepEqual(got, m) {
				t.Errorf("%+v is read from %q, and %+v, %v from %q", m, text, got, err, again)
			}
		}
	})
}
