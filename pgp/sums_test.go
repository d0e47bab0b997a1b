package pgp

import (
	"encoding/hex"
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

const (
	digest512 = digestA + digestB
	digest2b  = digestB + digestA
	md5Digest = "d41d8cd98f00b204e9800998ecf8427e"
)

func TestFindDigest(t *testing.T) {
	signed := "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n# a: 3 bytes\nSHA256 (a) = " + digestA + "\n-----BEGIN PGP SIGNATURE-----\n\nAAAA\n-----END PGP SIGNATURE-----\n"
	for _, c := range []struct {
		name, text string
		want       string // hex digits; "": none
		alone, bad bool
	}{
		{"GNU", digestB + "  b\n" + digestA + "  a\n", digestA, false, false},
		{"GNU, binary, with a dot and a slash", digestA + " *./a\r\n", digestA, false, false},
		{"upper case", strings.ToUpper(digestA) + "  a\n", digestA, false, false},
		{"SHA-512", digest512 + "  a\n", digest512, false, false},
		{"both", digest512 + "  a\n" + digestA + "  a\n", digestA, false, false},
		{"a path", digestA + "  x/a\n", "", false, false},
		{"a longer name", digestA + "  a.gz\n", "", false, false},
		{"another letter case", digestA + "  A\n", "", false, false},
		{"BSD", "SHA512 (a) = " + digest512 + "\nMD5 (a) = " + md5Digest + "\n", digest512, false, false},
		{"BSD, a wrong length", "SHA512 (a) = " + digestA + "\n", "", false, true},
		{"BSD, blanks in the name", "SHA256 (a b) = " + digestA + "\n", "", false, false},
		{"BSD, several algorithms", "BLAKE2b (a) = " + digest2b + "\nSHA256 (a) = " + digestA + "\n", digestA, false, false},
		{"BSD, an algorithm with a blank", "NOT SHA256 (a) = " + digestA + "\n", "", false, true},
		{"Gentoo", "# BLAKE2B HASH\n" + digest2b + "  a\n# SHA512 HASH\n" + digest512 + "  a\n", digest512, false, false},
		{"Gentoo in 2022", "# BLAKE2 (b2sum) HASH\n" + digest2b + "  a\n# SHA512 HASH\n" + digest512 + "  a\n", digest512, false, false},
		{"Gentoo, only BLAKE2b", "# BLAKE2B HASH\n" + digest2b + "  a\n", "", false, true},
		{"Gentoo, a wrong length", "# SHA512 HASH\n" + digestA + "  a\n", "", false, true},
		{"comments and empty lines", "# a list\n\n" + digestA + "  a\n \n", digestA, false, false},
		{"both formats", digestA + "  a\nSHA256 (a) = " + digestA + "\n", digestA, false, false},
		{"two digests", digestA + "  a\nSHA256 (a) = " + digestB + "\n", "", false, true},
		{"two digests of another file", digestA + "  a\n" + digestA + "  b\n" + digestB + "  b\n", digestA, false, false},
		{"MD5 alone", md5Digest + "  a\n", "", false, true},
		{"MD5 of another file", md5Digest + "  b\n", "", false, false},
		{"SHA-1 and SHA-256", md5Digest + "00000000  a\n" + digestA + "  a\n", digestA, false, false},
		{"cleartext", signed, digestA, false, false},
		{"cleartext, cut", signed[:len(signed)/2], "", false, true},
		{"cleartext, text before", "x\n" + signed, "", false, true},
		{"a digest alone", digestA + "\n", digestA, true, false},
		{"a digest alone, not wanted", digestA + "\n", "", false, true},
		{"SHA-512 alone", digest512, digest512, true, false},
		{"MD5 alone, without a name", md5Digest + "\n", "", true, true},
		{"two digests alone", digestA + "\n" + digestB + "\n", "", true, true},
		{"a name where none is needed", digestA + "  b\n", "", true, false},
		{"log before", "building\n" + digestA + "  a\n", "", false, true},
		{"log after", digestA + "  a\ndone\n", "", false, true},
		{"no hex digits", "x" + digestA[1:] + "  a\n", "", false, true},
		{"an odd number", digestA[1:] + "  a\n", "", false, true},
		{"short", digestA[:30] + "  a\n", "", false, true},
		{"escaped name", "\\" + digestA + "  a\\nb\n", "", false, true},
		{"control character", digestA + "  a\x1b\n", "", false, true},
		{"one blank", digestA + " a\n", "", false, true},
		{"a page", "<html>\n", "", true, true},
		{"empty", "", "", false, false},
		{"empty, in place of a digest", "", "", true, true},
		{"large", strings.Repeat(digestB+"  b\n", MaxSums/67) + digestA + "  a\n", "", false, true},
	} {
		sum, err := FindDigest([]byte(c.text), "a", c.alone)
		var format *FormatError
		if hex.EncodeToString(sum) != c.want || errors.As(err, &format) != c.bad || (err != nil) != c.bad {
			t.Errorf("%s: %x, %v", c.name, sum, err)
		}
	}
	if sum, err := FindDigest([]byte(digestA+"  ./a\n"), "./a", false); sum == nil || err != nil {
		t.Errorf("a name with a dot and a slash: %x, %v", sum, err)
	}
}
