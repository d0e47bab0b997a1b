package json

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// Both readers read a text as encoding/json does, but for the differences that the package
// documents: depth, repeated names, UTF-8 and surrogates.
func TestParse(t *testing.T) {
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for _, test := range []struct{ text, strict, loose string }{
		{`{}`, "", ""}, {`[]`, "", ""}, {`""`, "", ""}, {`0`, "", ""}, {`-0`, "", ""}, {`null`, "", ""}, {`true`, "", ""}, {" \t\r\nfalse \t\r\n", "", ""},
		{`{"a":[1,{"b":null},"c"],"d":{}}`, "", ""},
		{`[ 1 , 2.5e+10 , -0.1E-2 , 1e5 , { "a" : [ ] , "b" : { } } ]`, "", ""},
		{`"\u00e4\u00E4\ud83d\ude00\/\"\\\b\f\n\r\t"`, "", ""},
		{"\"\u007f\u0085\U0001f600\"", "", ""},
		{" ,1", "no valid JSON at byte 1", "no valid JSON at byte"}, {"", "no valid JSON at byte 0", "no valid JSON at byte"},
		{" ", "no valid JSON at byte 1", "no valid JSON at byte"},
		{"<html>", "no valid JSON at byte 0", "no valid JSON at byte"},
		{"\x00", "no valid JSON at byte 0", "no valid JSON at byte 0"},
		{"\ufeff{}", "no valid JSON at byte 0", "no valid JSON at byte 0"},
		{`{} {}`, "no valid JSON at byte 3", "no valid JSON at byte"},
		{"{}\x00", "no valid JSON at byte", "no valid JSON at byte"},
		{`01`, "no valid JSON at byte", "no valid JSON at byte"}, {`-`, "no valid JSON at byte", "no valid JSON at byte"}, {`-01`, "no valid JSON at byte", "no valid JSON at byte"},
		{`1.`, "no valid JSON at byte", "no valid JSON at byte"}, {`.5`, "no valid JSON at byte", "no valid JSON at byte"}, {`1e`, "no valid JSON at byte", "no valid JSON at byte"}, {`1e+`, "no valid JSON at byte", "no valid JSON at byte"},
		{`+1`, "no valid JSON at byte", "no valid JSON at byte"}, {`0x1`, "no valid JSON at byte", "no valid JSON at byte"}, {`1_0`, "no valid JSON at byte", "no valid JSON at byte"}, {`NaN`, "no valid JSON at byte", "no valid JSON at byte"},
		{`[1 2]`, "no valid JSON at byte 3", "no valid JSON at byte"}, {`[1,]`, "no valid JSON at byte", "no valid JSON at byte"}, {`[,1]`, "no valid JSON at byte", "no valid JSON at byte"}, {`[`, "no valid JSON at byte", "no valid JSON at byte"}, {`[1`, "no valid JSON at byte", "no valid JSON at byte"}, {`[1,`, "no valid JSON at byte", "no valid JSON at byte"}, {`[1}`, "no valid JSON at byte", "no valid JSON at byte"},
		{`{"a"}`, "no valid JSON at byte", "no valid JSON at byte"}, {`{"a":}`, "no valid JSON at byte", "no valid JSON at byte"}, {`{"a":1,}`, "no valid JSON at byte", "no valid JSON at byte"}, {`{a:1}`, "no valid JSON at byte", "no valid JSON at byte"}, {`{1:1}`, "no valid JSON at byte", "no valid JSON at byte"}, {`{"a":1]`, "no valid JSON at byte", "no valid JSON at byte"}, {`{"a" 1}`, "no valid JSON at byte", "no valid JSON at byte"}, {`{"a":1 "b":2}`, "no valid JSON at byte", "no valid JSON at byte"}, {`{`, "no valid JSON at byte", "no valid JSON at byte"}, {`{"a`, "no valid JSON at byte", "no valid JSON at byte"}, {`{"a":`, "no valid JSON at byte", "no valid JSON at byte"},
		{`nul`, "no valid JSON at byte", "no valid JSON at byte"}, {`truee`, "no valid JSON at byte", "no valid JSON at byte"}, {`[nullx]`, "no valid JSON at byte", "no valid JSON at byte"}, {`'a'`, "no valid JSON at byte 0", "no valid JSON at byte 0"},
		{"\"a\nb\"", "no valid JSON at byte 2", "no valid JSON at byte"}, {"\"a\x00b\"", "no valid JSON at byte", "no valid JSON at byte"}, {"[1,/**/2]", "no valid JSON at byte", "no valid JSON at byte"},
		{`"\x41"`, "no valid JSON at byte 1", "no valid JSON at byte"}, {`"\u12"`, "no valid JSON at byte", "no valid JSON at byte"}, {`"\u+123"`, "no valid JSON at byte", "no valid JSON at byte"}, {`"\u1_23"`, "no valid JSON at byte", "no valid JSON at byte"}, {`"\U0041"`, "no valid JSON at byte", "no valid JSON at byte"}, {`"\`, "no valid JSON at byte", "no valid JSON at byte"}, {`"\"`, "no valid JSON at byte", "no valid JSON at byte"},
		{`"\ud83d"`, "no valid JSON at byte", ""}, {`"\ud83d\u0041"`, "no valid JSON at byte", ""}, {`"\ude00\ud83d"`, "no valid JSON at byte", ""}, {`"\ud83dx"`, "no valid JSON at byte", ""}, {`{"\udfff":1}`, "no valid JSON at byte", ""},
		{"\"\xff\"", "no valid JSON at byte", ""}, {"\"\xe2\x82\"", "no valid JSON at byte", ""}, {"\"\xed\xa0\x80\"", "no valid JSON at byte", ""}, {"\"\xc0\xaf\"", "no valid JSON at byte", ""},
		{`{"a":1,"a":2}`, "two members of one name", ""}, {`{"a":1,"\u0061":2}`, "two members of one name", ""}, {`[{"b":{"":1,"c":2,"":1}}]`, "two members of one name", ""}, {`{"a":{"a":[{"a":1}]},"b":{"a":1}}`, "", ""},
		{`{"` + strings.Repeat("x", 1000) + `":1,"` + strings.Repeat("x", 1000) + `":1}`, "two members of one name", ""},
		{deep(MaxDepth), "", ""}, {deep(MaxDepth + 1), "more than 32", ""}, {strings.Repeat(`{"a":`, MaxDepth) + "{}" + strings.Repeat("}", MaxDepth), "more than 32", ""},
		{strings.Repeat("[", 5<<20), "more than 32", "no valid JSON at byte"},
	} {
		name := test.text[:min(len(test.text), 60)]
		for reader, want := range []string{test.strict, test.loose} {
			_, err := []func(string) (Value, error){Parse, ParseLoose}[reader](test.text)
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%q: %v, want %q (reader %d)", name, err, want, reader)
			}
		}
		if json.Valid([]byte(test.text)) != (test.loose == "") {
			t.Errorf("%q: encoding/json has another opinion", name)
		}
	}
}

// Objects with many members are checked for repeated names, in every size of the table.
func TestRepeatedNames(t *testing.T) {
	for _, n := range []int{3, 15, 16, 17, 18, 32, 33, 64, 65, 1000} {
		for _, same := range []int{-1, 0, n / 2, n - 2} {
			text := "{"
			for i := range n {
				name := i
				if i == n-1 && same >= 0 {
					name = same
				}
				text += fmt.Sprintf("%q:{\"inner\":[]},", strconv.Itoa(name))
			}
			_, err := Parse(text[:len(text)-1] + "}")
			if (err == nil) != (same < 0) || err != nil && !strings.Contains(err.Error(), "two members") {
				t.Errorf("%d members, %d twice: %v", n, same, err)
			}
		}
	}
}

func TestValue(t *testing.T) {
	v, err := Parse(` { "s" : "t\u0065xt" , "n":-12, "list" : [ 1 , "]" , [ ] , {"}":"\"}"} , null,true ] , "\u006fbject" : {"a":{"b":3}}, "none":null, "f":1.5, "big":9223372036854775808 } `)
	if err != nil {
		t.Fatal(err)
	}
	if s, ok := v.Get("s").Text(); s != "text" || !ok {
		t.Errorf("%q, %v", s, ok)
	}
	if n, ok := v.Get("n").Int(); n != -12 || !ok {
		t.Errorf("%d, %v", n, ok)
	}
	if n, ok := v.Get("object").Get("a").Get("b").Int(); n != 3 || !ok {
		t.Errorf("%d, %v", n, ok)
	}
	texts := func(parts []Value, ok bool) (texts []string) {
		for _, part := range parts {
			texts = append(texts, part.text)
		}
		if !ok {
			t.Errorf("%q is no array or object", texts)
		}
		return texts
	}
	items, members := texts(v.Get("list").Items()), texts(v.Get("object").Members())
	if want := []string{"1", `"]"`, "[ ]", `{"}":"\"}"}`, "null", "true"}; !reflect.DeepEqual(items, want) {
		t.Errorf("%q, want %q", items, want)
	}
	if want := []string{`"a"`, `{"b":3}`}; !reflect.DeepEqual(members, want) {
		t.Errorf("%q, want %q", members, want)
	}
	for _, other := range []Value{{}, v, v.Get("missing"), v.Get("none"), v.Get("f"), v.Get("big"), v.Get("list")} {
		_, text := other.Text()
		_, number := other.Int()
		if text || number {
			t.Errorf("%q is a string or an integer", other.text)
		}
	}
	for _, other := range []Value{{}, v.Get("s"), v.Get("n"), v.Get("none")} {
		_, list := other.Items()
		_, object := other.Members()
		if list || object || other.Get("a").text != "" {
			t.Errorf("%q has items or members", other.text)
		}
	}
	if !v.Get("none").IsNull() || !v.Get("missing").IsNull() || v.IsNull() || v.Get("n").IsNull() {
		t.Error("IsNull is wrong")
	}
	if loose, _ := ParseLoose(`{"a":1,"a":2}`); loose.Get("a").text != "1" {
		t.Error("not the first of the members")
	}
}

// No text of a few megabytes takes long.
func TestHostile(t *testing.T) {
	const size = 4 << 20
	var many, same strings.Builder
	for i := 0; many.Len() < size; i++ {
		fmt.Fprintf(&many, `"%x":0,`, i)
	}
	for i := 0; same.Len() < size; i++ { // many objects just too large for pairs
		same.WriteByte('{')
		for j := range 17 {
			fmt.Fprintf(&same, `"\u00%02x":0,`, j)
		}
		same.WriteString(`"":0},`)
	}
	long := strings.Repeat("x", size/16-8)
	text := map[string]string{
		"members":      "{" + strings.TrimSuffix(many.String(), ",") + "}",
		"small tables": "[{" + strings.TrimSuffix(many.String(), ",") + "}," + strings.TrimSuffix(same.String(), ",") + "]",
		"long names":   "{",
		"empty arrays": "[" + strings.Repeat("[],", size/3) + "[]]",
		"escapes":      `["` + strings.Repeat(`\n`, size/2) + `"]`,
		"digits":       "[" + strings.Repeat("9", size) + "]",
	}
	for i := range 15 {
		text["long names"] += fmt.Sprintf(`"%s%x":0,`, long, i)
	}
	text["long names"] += `"":0}`
	for name, text := range text {
		start := time.Now()
		v, err := Parse(text)
		v.Get("none")
		v.Items()
		v.Members()
		if took := time.Since(start); err != nil || took > 10*time.Second {
			t.Errorf("%s: %v after %v", name, err, took)
		} else {
			t.Logf("%s: %v", name, took)
		}
	}
}

// decode returns a value as encoding/json decodes it.
func decode(v Value) any {
	object, list := map[string]any{}, []any{}
	if parts, ok := v.Members(); ok {
		for i := 0; i < len(parts); i += 2 {
			name, _ := parts[i].Text()
			object[name] = decode(parts[i+1])
		}
		w := v.Walk()
		for i := 0; ; i += 2 { // the same members, one by one
			name, value, ok := w.Next()
			if !ok && i == len(parts) {
				break
			}
			if !ok || i == len(parts) || name != parts[i] || value != parts[i+1] {
				panic("Walk and Members differ")
			}
		}
		return object
	}
	if items, ok := v.Items(); ok {
		for _, item := range items {
			list = append(list, decode(item))
		}
		return list
	}
	if v.IsNull() {
		return nil
	}
	if text, ok := v.Text(); ok {
		return text
	}
	if v.text == "true" || v.text == "false" {
		return v.text == "true"
	}
	return json.Number(v.text)
}

// depth returns how deep a value is nested.
func depth(v any) (n int) {
	switch v := v.(type) {
	case map[string]any:
		for _, value := range v {
			n = max(n, depth(value))
		}
		return n + 1
	case []any:
		for _, item := range v {
			n = max(n, depth(item))
		}
		return n + 1
	}
	return 0
}

// repeats reports whether a text that is valid has two members of one name, or half a
// surrogate pair: it counts the members with the tokens of encoding/json.
func repeats(text []byte) bool {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	type frame struct {
		names map[string]bool
		key   bool
	}
	var open []*frame
	for {
		token, err := d.Token()
		if err == io.EOF {
			return false
		}
		if err != nil {
			return true
		}
		var top *frame
		if len(open) > 0 {
			top = open[len(open)-1]
		}
		if name, ok := token.(string); ok && top != nil && top.names != nil && top.key {
			if top.names[name] {
				return true
			}
			top.names[name], top.key = true, false
			continue
		}
		if mark, ok := token.(json.Delim); ok && (mark == '}' || mark == ']') {
			open = open[:len(open)-1]
			if len(open) > 0 {
				open[len(open)-1].key = true
			}
			continue
		} else if ok && mark == '{' {
			open = append(open, &frame{map[string]bool{}, true})
			continue
		} else if ok {
			open = append(open, &frame{})
			continue
		}
		if top != nil {
			top.key = true
		}
	}
}

// ParseLoose agrees with encoding/json about every text and value. Parse agrees with it but for
// the texts that it documents to refuse.
func FuzzParse(f *testing.F) {
	for _, text := range []string{`{"a":[1,{"b":null},"c\u0041"],"d":{}}`, `[1e5,-0.1,true,false,"\ud83d\ude00"]`, `{"a":1,"\u0061":2}`, "\"\xff\\ud83d\"", `[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		loose, err := ParseLoose(string(text))
		var want any
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		if json.Valid(text) != (err == nil) {
			if err == nil && bytes.Count(text, []byte("["))+bytes.Count(text, []byte("{")) > 10000 {
				return // encoding/json has a limit of the depth
			}
			t.Fatalf("%q: %v, and encoding/json has another opinion", text, err)
		}
		strict, errStrict := Parse(string(text))
		if err != nil {
			if errStrict == nil {
				t.Fatalf("%q: only Parse takes it", text)
			}
			return
		}
		if err := d.Decode(&want); err != nil {
			t.Fatal(err)
		}
		if got := decode(loose); !reflect.DeepEqual(got, want) {
			t.Fatalf("%q: got %#v, want %#v", text, got, want)
		}
		// Half a surrogate pair becomes U+FFFD; a text that has that otherwise is not looked at.
		odd := !utf8.Valid(text) || depth(want) > MaxDepth || repeats(text)
		if half := strings.Contains(fmt.Sprint(want), "\ufffd") || bytes.Contains(bytes.ToLower(text), []byte(`\ud`)); errStrict != nil && !odd && !half || errStrict == nil && odd {
			t.Fatalf("%q: Parse: %v", text, errStrict)
		}
		if errStrict == nil && !reflect.DeepEqual(decode(strict), want) {
			t.Fatalf("%q: the strict value differs", text)
		}
	})
}

// BenchmarkParse reads a text like a large list of images.
func BenchmarkParse(b *testing.B) {
	text := benchText()
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(text); err != nil {
			b.Fatal(err)
		}
	}
}

func benchText() string {
	text := `{"schemaVersion":2,"manifests":[`
	var s strings.Builder
	for i := 0; s.Len() < 5<<20; i++ {
		fmt.Fprintf(&s, "{\n  \"mediaType\": \"application/vnd.oci.image.manifest.v1+json\",\n  \"digest\": \"sha256:%064x\",\n  \"size\": %d,\n  \"platform\": {\"architecture\": \"arm\", \"os\": \"linux\", \"variant\": \"v7\"},\n  \"annotations\": {\"text\": \"a \\\"name\\\" \\u00e4\"}\n},", i, i)
	}
	return text + strings.TrimSuffix(s.String(), ",") + "]}"
}
