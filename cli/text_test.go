package cli

import (
	"bytes"
	"compress/gzip"
	"hash/crc32"
	"os"
	"slices"
	"strings"
	"testing"
)

// sourceTexts returns the content of packedTexts as the files in the directory "text" have it.
func sourceTexts(t *testing.T) string {
	t.Helper()
	files, err := os.ReadDir("text")
	if err != nil {
		t.Fatal(err)
	}
	content := ""
	for _, file := range files {
		text, err := os.ReadFile("text/" + file.Name())
		if err != nil {
			t.Fatal(err)
		}
		if bytes.IndexByte(text, 0) >= 0 || !bytes.HasSuffix(text, []byte("\n")) {
			t.Errorf("text/%s has a zero byte, or its last line has no end", file.Name())
		}
		content += "\x00" + file.Name() + "\n" + string(text)
	}
	return content
}

// packTexts compresses content.
func packTexts(t *testing.T, content string) string {
	t.Helper()
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	z.Write([]byte(content))
	z.Close()
	return packed.String()
}

// mustText returns a text of the program.
func mustText(t *testing.T, name string) string {
	t.Helper()
	text, err := textOf(packedTexts, name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestTexts checks that the embedded texts are those in the directory "text". With -update it
// writes them.
func TestTexts(t *testing.T) {
	want, got := sourceTexts(t), ""
	var names []string
	for part := range strings.SplitSeq(want, "\x00") {
		if name, text, found := strings.Cut(part, "\n"); found {
			names = append(names, name)
			have, err := textOf(packedTexts, name)
			if err != nil && !*update {
				t.Error(err)
			}
			if have != text && !*update {
				t.Errorf("the embedded text %q is not that in text/%s: run go test ./cli -run Text -update", name, name)
			}
			got += "\x00" + name + "\n" + have
		}
	}
	if !*update && len(packTexts(t, want)) < len(packedTexts)-100 {
		t.Errorf("the embedded texts have %d bytes, not %d: run go test ./cli -run Text -update", len(packedTexts), len(packTexts(t, want)))
	}
	if *update && got != want { // another compressor's output is not worth a commit
		if err := os.WriteFile("text.gz", []byte(packTexts(t, want)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	all := []string{"codes.txt", "completion.bash", "completion.fish", "completion.zsh", "doctor.txt", "registry.txt", "sources.txt"}
	for _, c := range append(commands(), *template(templateName), *template(ociName), *template(localName)) {
		all = append(all, strings.TrimLeft(c.name, "-")+".usage")
	}
	if slices.Sort(all); !slices.Equal(names, all) {
		t.Errorf("the texts are %q, not %q", names, all)
	}
}

// TestDamagedTexts checks that damaged data are an error, and never another text.
func TestDamagedTexts(t *testing.T) {
	const name = "doctor.txt"
	want, content := mustText(t, name), sourceTexts(t)
	for what, packed := range map[string]string{
		"no data": "", "no gzip": content, "no text": packTexts(t, ""), "another text": packTexts(t, "\x00x\n1\n"),
		"a byte after it": packedTexts + "x", "a large file": packTexts(t, content+strings.Repeat(" ", maxTexts-len(content)+1)),
	} {
		if text, err := textOf(packed, name); err == nil || text != "" || !strings.HasPrefix(err.Error(), `text "doctor.txt" in this program: `) {
			t.Errorf("%s: error %v, text %q", what, err, text)
		}
	}
	if _, err := textOf(packTexts(t, content+strings.Repeat(" ", maxTexts-len(content))), name); err != nil {
		t.Error(err)
	}
	sum := crc32.ChecksumIEEE([]byte(want))
	for n := range packedTexts {
		if _, err := textOf(packedTexts[:n], name); err == nil && n%97 == 0 {
			t.Errorf("the first %d bytes are no error", n)
		}
		damaged := []byte(packedTexts)
		damaged[n] ^= 1 << (n % 8)
		// Some bytes of the header, such as the name of the system, change nothing.
		if text, err := textOf(string(damaged), name); err == nil && crc32.ChecksumIEEE([]byte(text)) != sum {
			t.Errorf("a wrong byte %d is no error", n)
		}
	}
}

// TestTextsUnused checks that commands which can do without the long texts do so, and that the
// others say that the data are damaged.
func TestTextsUnused(t *testing.T) {
	before := packedTexts
	defer func() { packedTexts = before }()
	packedTexts = "damaged"
	for args, ok := range map[string]bool{
		"version": true, "help": true, "help create": true, "create --help": true, "list --help": true, "completion --words -- cr": true,
		"doctor --offline": false, "help dns": false, "help codes": false, "completion bash": false,
	} {
		var out, messages bytes.Buffer
		u := &ui{out: &out, err: &messages, clock: newUI(os.Stdout, os.Stderr).clock}
		status := u.carryOut(t.Context(), append([]string{"lxc-pull"}, strings.Fields(args)...))
		if told := strings.Contains(messages.String(), " in this program: "); told == ok || (status == exitDone) != ok {
			t.Errorf("%s: status %d, %q", args, status, &messages)
		}
		if strings.HasPrefix(args, "create") && !strings.Contains(out.String(), "--lxcpath DIR") || args == "help create" && !strings.Contains(out.String(), "--keyring FILE") {
			t.Errorf("%s: no options: %q", args, &out)
		}
	}
}
