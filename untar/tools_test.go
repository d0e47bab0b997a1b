package untar

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A toolVerdict is the result of decompressing a file.
type toolVerdict uint8

const (
	toolRefuses toolVerdict = iota
	toolAccepts
	toolWarns // accepts, and warns of garbage after the end
)

func (v toolVerdict) String() string {
	return [...]string{"refused", "accepted", "accepted with a warning"}[v]
}

// ownTool decompresses data with the format's own tool.
func ownTool(t *testing.T, format string, data []byte) ([]byte, toolVerdict) {
	t.Helper()
	command := map[string][]string{
		FormatGzip: {"gzip", "-dc"}, FormatBzip2: {"bzip2", "-dc"}, FormatXZ: {"xz", "-dc", "--format=xz"},
		FormatLZMA: {"xz", "-dc", "--format=lzma"}, FormatZstd: {"zstd", "-dcq", "--memory=128MB"},
	}[format]
	cmd := exec.Command(command[0], command[1:]...)
	var out, said bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(data), &out, &said
	err := cmd.Run()
	code := cmd.ProcessState.ExitCode()
	switch {
	case format == FormatGzip && code == 2, err == nil && strings.Contains(said.String(), "garbage"):
		return out.Bytes(), toolWarns
	case err == nil:
		return out.Bytes(), toolAccepts
	case code < 1:
		t.Fatalf("%s: %v, %s", command[0], err, said.String())
	}
	return nil, toolRefuses
}

// packWithTool compresses content with a format's own tool.
func packWithTool(t *testing.T, content []byte, command ...string) []byte {
	t.Helper()
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdin = bytes.NewReader(content)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%q: %v", command, err)
	}
	return out
}

// TestOwnTools decompresses files with the formats' own tools and with Decompress, and
// compares verdict, warning and content.
func TestOwnTools(t *testing.T) {
	count, _ := strconv.Atoi(os.Getenv("FORMATS_COUNT"))
	if count == 0 {
		t.Skip("scripts/lab/formats/run runs it: it needs gzip, bzip2, xz and zstd")
	}
	seed, _ := strconv.ParseUint(os.Getenv("FORMATS_SEED"), 10, 64)
	r := rand.New(rand.NewPCG(seed, 0))
	words := make([]byte, 0, 300_000)
	for len(words) < 300_000 {
		words = fmt.Appendf(words, "%d ", r.IntN(5000))
	}
	contents := [][]byte{nil, []byte(hello), words[:5000], words}
	whole := map[string][][]byte{}
	for format, commands := range map[string][]string{
		FormatGzip:  {"gzip -1", "gzip -9n"},
		FormatBzip2: {"bzip2 -1", "bzip2 -9"},
		FormatXZ:    {"xz -0", "xz -T2 --block-size=100000"},
		FormatLZMA:  {"xz --format=lzma"},
		FormatZstd:  {"zstd -q", "zstd -q --no-check -19", "zstd -q --ultra --long=27"},
	} {
		for _, c := range commands {
			for _, content := range contents {
				whole[format] = append(whole[format], packWithTool(t, content, strings.Fields(c)...))
			}
		}
	}
	tails := []string{"\x00", "\x00\x00\x00\x00", strings.Repeat("\x00", 70_000), "x", "garbage", "\x00x", "\x00\x00\x00\x00x",
		"\x1f", "\x1f\x8b", "\x1f\x8b\x08", "PK\x03\x04", "B", "BZ", "BZx", "BZh", "BZhx", "BZh9", "BZh9x", "\xfd7zXZ\x00", "\xfd7z",
		"\x28\xb5\x2f\xfd", "\x28\xb5", "\x50\x2a\x4d\x18\x03\x00\x00\x00abc", "\x50\x2a\x4d\x18\x03\x00\x00\x00a", "\x5f\x2a\x4d\x18"}
	for _, format := range slices.Sorted(func(yield func(string) bool) {
		for f := range whole {
			if !yield(f) {
				return
			}
		}
	}) {
		files := whole[format]
		seen := map[toolVerdict]int{}
		try := func(what string, data []byte) {
			seen[compareWithTool(t, format, what, data)]++
		}
		for i, f := range files {
			try(fmt.Sprintf("file %d", i), f)
			for _, tail := range tails {
				try(fmt.Sprintf("file %d and %.12q", i, tail), slices.Concat(f, []byte(tail)))
			}
		}
		for i := range count {
			f := bytes.Clone(files[r.IntN(len(files))])
			if r.IntN(2) == 0 {
				f = append(f, files[r.IntN(len(files))]...)
			}
			what := fmt.Sprintf("seed %d, change %d: ", seed, i)
			switch r.IntN(4) {
			case 0:
				n := r.IntN(len(f) + 1)
				what, f = what+fmt.Sprint("cut at ", n), f[:n]
			case 1:
				n := r.IntN(min(len(f), 40)) // near the beginning
				f[n] ^= 1 << r.IntN(8)
				what += fmt.Sprint("bit of byte ", n)
			case 2:
				n := r.IntN(len(f))
				f[n] ^= 1 << r.IntN(8)
				what += fmt.Sprint("bit of byte ", n)
			case 3:
				tail := tails[r.IntN(len(tails))] + tails[r.IntN(len(tails))]
				what, f = what+fmt.Sprintf("%.12q after it", tail), append(f, tail...)
			}
			try(what, f)
		}
		t.Logf("%s: %v", format, seen)
		if seen[toolAccepts] == 0 || seen[toolRefuses] == 0 {
			t.Errorf("%s: the changes are not what they should be", format)
		}
	}
}

func compareWithTool(t *testing.T, format, what string, data []byte) toolVerdict {
	t.Helper()
	d, err := Decompress(bytes.NewReader(data), DecompressOptions{Memory: 128 << 20})
	var got []byte
	ours := toolRefuses
	if err == nil {
		defer d.Close()
		if d.Format != format {
			return toolRefuses // another format
		}
		if got, err = io.ReadAll(d); err == nil {
			if ours = toolAccepts; d.Garbage() {
				ours = toolWarns
			}
		}
	}
	want, theirs := ownTool(t, format, data)
	changed := strings.Contains(what, "bit of byte")
	switch {
	case ours == theirs:
	case format == FormatBzip2 && ours == toolAccepts && theirs == toolWarns && data[len(data)-1] == 0:
		return theirs // bzip2 warns of zero bytes, too
	case format == FormatGzip && ours == toolWarns && theirs == toolRefuses && !changed:
		return theirs // gzip fails if the garbage is a single byte
	case format == FormatZstd && ours == toolRefuses && theirs == toolAccepts && changed:
		return theirs // without a checksum zstd decodes data that the library finds corrupt
	}
	if ours != theirs {
		t.Errorf("%s, %s: %v (%v), by its own tool %v", format, what, ours, err, theirs)
	} else if ours != toolRefuses && !bytes.Equal(got, want) {
		t.Errorf("%s, %s: %d bytes, its own tool has %d others", format, what, len(got), len(want))
	}
	return theirs
}
