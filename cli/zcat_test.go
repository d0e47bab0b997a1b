package cli

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	ulikunitz "github.com/ulikunitz/xz"

	"lxc-pull/untar/xz"
)

// runZcat runs the command and returns what it writes to stdout and stderr.
func runZcat(t *testing.T, args ...string) (string, error) {
	t.Helper()
	out, messages, err := perform(t, append([]string{"zcat"}, args...)...)
	return out + messages, err
}

// xzFile makes an .xz file of content, in blocks of blockSize bytes, and returns its path.
func xzFile(t *testing.T, content string, blockSize int64) string {
	t.Helper()
	var packed bytes.Buffer
	w, err := ulikunitz.WriterConfig{DictCap: 1 << 20, BlockSize: blockSize}.NewWriter(&packed)
	if err == nil {
		_, err = w.Write([]byte(content))
	}
	if err == nil {
		err = w.Close()
	}
	name := filepath.Join(t.TempDir(), "content.xz")
	if err == nil {
		err = os.WriteFile(name, packed.Bytes(), 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func TestZcat(t *testing.T) {
	content := strings.Repeat("hello world\n", 200000)
	name := xzFile(t, content, 1<<20)
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, content},
		{[]string{"-T", "1"}, content},
		{[]string{"-T2", "--memory=1M"}, content},
		{[]string{"--threads=0", "-cdkq"}, content},
		{[]string{"-t"}, ""},
		{[]string{name}, content + content},
	} {
		got, err := runZcat(t, append(c.args, name)...)
		if err != nil || got != c.want {
			t.Errorf("%q: %d bytes, %v; want %d", c.args, len(got), err, len(c.want))
		}
	}
	var memory *xz.MemoryError
	if _, err := runZcat(t, "--memory", "64K", name); !errors.As(err, &memory) || memory.Allowed != 64<<10 {
		t.Errorf("with 64 KiB: %v", err)
	}
}

func TestZcatList(t *testing.T) {
	name := xzFile(t, strings.Repeat("hello world\n", 100), 1000)
	got, err := runZcat(t, "--list", name)
	if err != nil {
		t.Fatal(err)
	}
	var fields []string
	for line := range strings.Lines(got) {
		fields = append(fields, strings.Join(strings.Fields(line), " "))
	}
	if len(fields) != 4 || !strings.HasPrefix(fields[1], "1 1 12 ") || !strings.HasSuffix(fields[1], "CRC64 1048576 no lzma2") ||
		!strings.Contains(fields[2], " 200 ") || !strings.HasSuffix(fields[3], "total") || !strings.HasPrefix(fields[3], "1 2 ") {
		t.Errorf("%q", fields)
	}
}

func TestZcatErrors(t *testing.T) {
	name := xzFile(t, "hello world\n", 1000)
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, data[:len(data)-5], 0o666); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{name}, {"-t", name}, {"-l", name}} {
		var format *xz.FormatError
		if _, err := runZcat(t, args...); !errors.As(err, &format) || !strings.Contains(err.Error(), "content.xz") {
			t.Errorf("%q: %v", args, err)
		}
	}
	if got, err := runZcat(t, name, name); err == nil || strings.Count(err.Error(), "content.xz") != 2 || strings.Count(got, "hello") != 2 {
		t.Errorf("two bad files: %q, %v", got, err)
	}
}

// Without -f no control character reaches a terminal.
func TestTerminalText(t *testing.T) {
	for text, ok := range map[string]bool{"hello\n\tworld\r\n": true, "caf\u00e9": true, "": true, "\x1b[2J": false, "a\x00": false, "\x7f": false} {
		var out bytes.Buffer
		_, err := (&terminalText{&out}).Write([]byte(text))
		if (err == nil) != ok || err == nil && out.String() != text || err != nil && out.Len() > 0 {
			t.Errorf("%q: %v, wrote %q", text, err, out.String())
		}
	}
}
