package pgp

import (
	"errors"
	"strings"
	"testing"
)

const (
	digestA = "c2eed8f2bf4fe70287ba9244161f30aefdb86328f5759d7efcdbf2b8a92288d6"
	digestB = "82f3e1c98159b76de3a3e9d5c9614ae7adcd672a6466a8c890c353526cb990ea"
	gnuSums = digestA + "  rootfs.tar.xz\n" + digestB + " *delta-20260828_05:24.vcdiff\n"
	bsdSums = "SHA256 (rootfs.tar.xz) = " + digestA + "\nSHA256 (a (b) = c) = " + digestB + "\n"
)

func TestParseSums(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []string // names; nil: refused
	}{
		{"GNU", gnuSums, []string{"rootfs.tar.xz", "delta-20260828_05:24.vcdiff"}},
		{"BSD", bsdSums, []string{"rootfs.tar.xz", "a (b) = c"}},
		{"CR LF", strings.ReplaceAll(gnuSums, "\n", "\r\n"), []string{"rootfs.tar.xz", "delta-20260828_05:24.vcdiff"}},
		{"no final line end", digestA + "  a", []string{"a"}},
		{"upper case", strings.ToUpper(digestA) + "  a\n", []string{"a"}},
		{"a name with blanks", digestA + "   a b \n", []string{" a b "}},
		{"a dot and a slash in front", digestA + "  ./a\n" + digestB + " *./b/c\n", []string{"a", "b/c"}},
		{"a dot and a slash in front, in BSD's", "SHA256 (./a) = " + digestA + "\n", []string{"a"}},
		{"a dot and a slash in front of nothing", digestA + "  ./\n", nil},
		{"with and without them, different", digestA + "  ./a\n" + digestB + "  a\n", nil},
		{"a path", digestA + "  b/a\n", []string{"b/a"}},
		{"letter case counts", digestA + "  a\n" + digestB + "  A\n", []string{"a", "A"}},
		{"byte order mark", "\xef\xbb\xbf" + gnuSums, nil},
		{"two line feeds in CR LF", strings.ReplaceAll(gnuSums, "\n", "\r\r\n"), nil},
		{"a blank before the digest", " " + gnuSums, nil},
		{"BSD in lower case", "sha256 (a) = " + digestA + "\n", nil},
		{"BSD and a blank more", "SHA256 (a) =  " + digestA + "\n", nil},
		{"twice the same", digestA + "  a\n" + digestA + "  a\n", []string{"a"}},
		{"twice, different", digestA + "  a\n" + digestB + "  a\n", nil},
		{"empty", "", nil},
		{"empty line", digestA + "  a\n\n", nil},
		{"one blank", digestA + " a\n", nil},
		{"a tab", digestA + "\ta\n", nil},
		{"no name", digestA + "  \n", nil},
		{"no name at all", digestA + "\n", nil},
		{"short digest", digestA[1:] + "  a\n", nil},
		{"long digest", digestA + "0  a\n", nil},
		{"no hex digits", "x" + digestA[1:] + "  a\n", nil},
		{"escaped name", `\` + digestA + "  a\\nb\n", nil},
		{"control character", digestA + "  a\x1bb\n", nil},
		{"carriage return inside", digestA + "  a\rb\n", nil},
		{"log before", "building...\n" + gnuSums, nil},
		{"log after", gnuSums + "done\n", nil},
		{"both formats", gnuSums + bsdSums, nil},
		{"BSD of another algorithm", "SHA1 (a) = " + digestA + "\n", nil},
		{"BSD without a digest", "SHA256 (a) = \n", nil},
		{"comment", "# sums\n" + gnuSums, nil},
		{"long name", digestA + "  " + strings.Repeat("x", maxName+1) + "\n", nil},
		{"large", strings.Repeat(gnuSums, MaxSums/len(gnuSums)+1), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			sums, err := ParseSums([]byte(c.text))
			var format *FormatError
			if c.want == nil {
				if !errors.As(err, &format) || sums != nil {
					t.Fatalf("%v, %v", sums, err)
				}
				return
			}
			if err != nil || len(sums) != len(c.want) {
				t.Fatalf("%v, %v", sums, err)
			}
			for _, name := range c.want {
				if _, ok := sums[name]; !ok {
					t.Errorf("%q is missing from %v", name, sums)
				}
			}
		})
	}
}
