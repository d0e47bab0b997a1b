package main

import (
	"bytes"
	"fmt"
	"strings"
)

// The outcomes: of both readings, or of the lenient reading only.
func accept(name, about string, data []byte, has ...string) vector {
	return expect(name, about, true, true, data, has)
}

func refuse(name, about string, data []byte) vector {
	return expect(name, about, false, false, data, nil)
}

func lenient(name, about string, data []byte, has ...string) vector {
	return expect(name, about, false, true, data, has)
}

// expect builds a vector. A line that begins with '!' names a path that must not exist.
func expect(name, about string, strict, lenient bool, data []byte, lines []string) vector {
	v := vector{name: name + ".tar", about: about, strict: strict, lenient: lenient, data: data}
	for _, l := range lines {
		if not, ok := strings.CutPrefix(l, "!"); ok {
			v.hasnot = append(v.hasnot, not)
		} else {
			v.has = append(v.has, l)
		}
	}
	return v
}

func vectors() []vector {
	var all []vector
	for _, group := range [][]vector{framing(), numbers(), formats(), paxHeaders(), types(), sparse(), names(), symlinks(), hardlinks(), directories()} {
		all = append(all, group...)
	}
	return all
}

const hello = `a file 0644 "hello"`

func framing() []vector {
	a := file("a", "hello")
	badSum := header{name: "b", typ: '0', sum: "000001\x00 "}.bytes()
	signed := header{name: "\xe9", typ: '0', mode: 0644}
	signed.sum = fmt.Sprintf("%06o\x00 ", checksum(signed.bytes(), true))
	return []vector{
		refuse("frame-empty", "no byte at all", nil),
		lenient("frame-only-end", "nothing but end-of-archive blocks", tar()),
		lenient("frame-no-end", "no end-of-archive blocks; cut at the edge of an entry it would look the same", a, hello),
		accept("frame-one-zero-block", "one zero block, then the end of the input", bytes.Join([][]byte{a, zeros(1)}, nil), hello),
		lenient("frame-half-zero-block", "a second zero block that is not whole", bytes.Join([][]byte{a, zeros(1), make([]byte, 100)}, nil), hello),
		refuse("frame-lone-zero-block", "a zero block, then another entry", bytes.Join([][]byte{a, zeros(1), tar(file("b", ""))}, nil)),
		lenient("frame-lone-zero-garbage", "a zero block, then bytes that are no header", bytes.Join([][]byte{a, zeros(1), bytes.Repeat([]byte("x"), block)}, nil), hello),
		accept("frame-garbage-after-end", "bytes after the end mean nothing", append(tar(a), "garbage"...), hello),
		accept("frame-second-archive", "an archive after the end is not extracted", append(tar(a), tar(file("b", ""))...), hello, "!b"),
		refuse("frame-cut-header", "cut in a header", append(bytes.Clone(a), dir("b", 0755)[:300]...)),
		refuse("frame-cut-body", "cut in a body", fileWith(header{name: "a", typ: '0', size: 2000}, "short")),
		refuse("frame-cut-padding", "cut in the padding after a body", file("a", "hello")[:block+100]),
		refuse("frame-html", "an HTML page", []byte("<!DOCTYPE html><html><body>"+strings.Repeat("Log in to this network. ", 40)+"</body></html>")),
		refuse("frame-checksum", "a wrong checksum in the second header", tar(a, badSum)),
		accept("frame-checksum-signed", "a checksum of signed bytes, as historic tars made", tar(signed.bytes()), `"\xe9" file 0644 ""`),
	}
}

func numbers() []vector {
	with := func(at int, field string) []byte {
		return tar(header{name: "a", typ: '0', mode: 0644, raw: map[int]string{at: field}}.bytes())
	}
	return []vector{
		refuse("number-size-negative", "base-256 size below 0", with(124, strings.Repeat("\xff", 12))),
		refuse("number-size-95-bits", "base-256 size beyond 63 bits", with(124, "\x80\x01"+strings.Repeat("\x00", 10))),
		refuse("number-size-letters", "size that is no number", with(124, "12x\x00")),
		refuse("number-size-8", "size with a digit that is not octal", with(124, "00000000008\x00")),
		accept("number-size-blanks", "size padded with blanks", append(fileWith(header{name: "a", typ: '0', mode: 0644, raw: map[int]string{124: "          5 "}}, "hello"), zeros(2)...), hello),
		accept("number-size-base256", "base-256 size", append(fileWith(header{name: "a", typ: '0', mode: 0644, raw: map[int]string{124: base256(12, 5)}}, "hello"), zeros(2)...), hello),
		lenient("number-digits-after-nul", "digits after the NUL that ends a number", with(124, "0\x0077777\x00"), `a file 0644 ""`),
		lenient("number-two-nuls-in-front", "two NULs before the digits: GNU tar and bsdtar read 0, archive/tar 10", with(124, "\x00\x00000012\x00\x00\x00\x00"), `a file 0644 ""`),
		accept("number-empty-fields", "owner fields left empty", with(108, strings.Repeat("\x00", 16)), `a file 0644 ""`),
		accept("number-mode-type-bits", "mode with the file type in it", with(100, "100755\x00"), `a file 0755 ""`),
		refuse("number-mode-negative", "base-256 mode below 0", with(100, strings.Repeat("\xff", 8))),
		refuse("number-uid-minus-one", "user 2^32-1 is `leave as it is` to chown(2)", with(108, base256(8, 1<<32-1))),
		refuse("number-gid-minus-one", "group 2^32-1", with(116, base256(8, 1<<32-1))),
		refuse("number-uid-wide", "user 2^32 is user 0 where it is cut to 32 bits", with(108, base256(8, 1<<32))),
		refuse("number-uid-negative", "user below 0", with(108, strings.Repeat("\xff", 8))),
		refuse("number-uid-pax-minus-one", "user 2^32-1 in a pax record", tar(pax("uid", "4294967295"), file("a", ""))),
		accept("number-mtime-negative", "time before 1970 in base-256", with(136, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x9c"), `a file 0644 "" mtime -100.000000000`),
	}
}

func formats() []vector {
	longName := "d/" + strings.Repeat("n", 150)
	return []vector{
		accept("format-v7", "v7: no magic, a directory by its slash", tar(header{name: "d/", magic: v7, mode: 0755}.bytes(), fileWith(header{name: "d/f", magic: v7, mode: 0600}, "x")), `d dir 0755`, `d/f file 0600 "x"`),
		accept("format-ustar-prefix", "ustar: the prefix comes before the name", tar(fileWith(header{name: "f", typ: '0', mode: 0644, raw: map[int]string{345: "a/b"}}, "x")), `a/b/f file 0644 "x"`),
		accept("format-gnu-no-prefix", "GNU: bytes 345 on are times, not a prefix", tar(fileWith(header{name: "f", typ: '0', mode: 0644, magic: gnu, raw: map[int]string{345: "14524770400\x00"}}, "x")), `f file 0644 "x"`),
		accept("format-star-prefix", "star: a prefix of 131 bytes, then times", tar(fileWith(header{name: "f", typ: '0', mode: 0644, raw: map[int]string{345: "p" + strings.Repeat("/p", 65), 476: "00000000001 00000000001 ", 508: "tar\x00"}}, "x")), strings.Repeat("p/", 66)+`f file 0644 "x"`),
		accept("format-gnu-long-name", "GNU long name", tar(long('L', longName), fileWith(header{name: "cut", typ: '0', mode: 0644, magic: gnu}, "x")), longName+` file 0644 "x"`, "!cut"),
		accept("format-gnu-long-name-nul", "GNU long name ends at its first NUL", tar(long('L', "a\x00b"), fileWith(header{name: "cut", typ: '0', mode: 0644, magic: gnu}, "hello")), hello),
		accept("format-gnu-long-link", "GNU long link target", tar(long('K', strings.Repeat("t", 200)), header{name: "l", typ: '2', link: "cut", magic: gnu}.bytes()), fmt.Sprintf("l symlink 0777 %q", strings.Repeat("t", 200))),
		accept("format-solaris", "Solaris X header", tar(extended('X', records("path", "a")), file("cut", "hello")), hello),
		accept("format-unknown-magic", "a magic that nobody knows is v7", tar(fileWith(header{name: "a", typ: '0', mode: 0644, magic: "what?\x00\x00\x00", raw: map[int]string{345: "no/prefix"}}, "hello")), hello),
	}
}

func paxHeaders() []vector {
	a := file("a", "hello")
	vs := []vector{
		accept("pax-size-wins", "pax size over a ustar size of 0: the inner header is content (CVE-2025-62518)",
			tar(pax("size", "1024"), header{name: "outer", typ: '0', mode: 0644}.bytes(), file("inner", "x")[:1024], file("after", "")), `after file 0644 ""`, "!inner"),
		accept("pax-size-zero-wins", "pax size of 0 over a ustar size of 512: what follows is a header", tar(pax("size", "0"), header{name: "outer", typ: '0', mode: 0644, size: 512}.bytes(), file("after", "")), `outer file 0644 ""`, `after file 0644 ""`),
		accept("pax-empty-value", "a record without a value unsets the keyword", tar(pax("path", "", "mtime", ""), a), hello),
		accept("pax-last-record-wins", "a keyword twice", tar(pax("path", "b", "path", "a"), file("c", "hello")), hello, "!b", "!c"),
		accept("pax-unset-again", "a keyword with a value, then without one: the header's own counts", tar(pax("path", "b", "size", "1024", "mtime", "1.5", "path", "", "size", "", "mtime", ""), file("a", "hello")), hello+" mtime 0.000000000", "!b"),
		lenient("pax-sparse-size-alone", "the size of a sparse file without a map: a hole at the end, as GNU tar and bsdtar have it", tar(pax("GNU.sparse.realsize", "8"), file("s", "hello")), `s file 0644 "hello\x00\x00\x00"`),
		refuse("pax-sparse-size-less", "the size of a sparse file without a map, below what is stored", tar(pax("GNU.sparse.realsize", "3"), file("s", "hello"))),
		accept("pax-empty-header", "an extended header without records", tar(extended('x', ""), a), hello),
		accept("pax-mtime-fraction", "digits after nanoseconds are cut", tar(pax("mtime", "1700000000.1234567899"), a), hello+" mtime 1700000000.123456789"),
		accept("pax-mtime-negative", "a fraction before 1970 counts upwards", tar(pax("mtime", "-1.5"), a), hello+" mtime -2.500000000"),
		lenient("pax-mtime-tail", "letters after a time", tar(pax("mtime", "999xxx.5"), a), hello+" mtime 999.000000000"),
		refuse("pax-mtime-word", "a time that is no number", tar(pax("mtime", "yesterday"), a)),
		refuse("pax-path-nul", "NUL in a path, where others cut it", tar(pax("path", "a\x00b"), a)),
		refuse("pax-linkpath-nul", "NUL in a link target", tar(pax("linkpath", "a\x00b"), symlink("l", "x"))),
		refuse("pax-xattr-nul", "NUL in an attribute's name", tar(pax("SCHILY.xattr.user.a\x00b", "v"), a)),
		refuse("pax-too-long", "an extended header that claims 8 GiB", tar(header{name: "x", typ: 'x', size: 8 << 30}.bytes())),
		refuse("pax-at-end", "an extended header without an entry", tar(a, pax("path", "b"))),
		lenient("pax-twice", "two extended headers before an entry: the last counts", tar(pax("path", "b", "mtime", "1"), pax("path", "a"), file("c", "hello")), hello, "!b"),
		lenient("pax-and-long-name", "pax path and GNU long name differ: pax counts", tar(pax("path", "a"), long('L', "b"), file("c", "hello")), hello, "!b"),
		accept("pax-and-same-long-name", "pax path and GNU long name agree", tar(pax("path", "a"), long('L', "a"), file("c", "hello")), hello),
		lenient("pax-long-name-twice", "two GNU long names: the last counts", tar(long('L', "b"), long('L', "a"), file("c", "hello")), hello, "!b"),
		refuse("pax-long-name-too-long", "a GNU long name of 128 KiB", tar(long('L', strings.Repeat("a/", 64<<10)), file("c", ""))),
		accept("pax-global-comment", "a global comment, as git archive writes it, makes no file", tar(extended('g', records("comment", "0123abcd")), a), hello, "!PaxHeaders"),
		lenient("pax-global-path", "a global path is for no entry", tar(extended('g', records("path", "evil")), a), hello, "!evil"),
		lenient("pax-global-size", "a global size is for no entry", tar(extended('g', records("size", "1024")), a), hello),
		refuse("pax-global-too-long", "a global header of 2 MiB", tar(header{name: "g", typ: 'g', size: 2 << 20}.bytes())),
	}
	for i, value := range []string{"-1", "+5", "0x5", " 5", "5 ", "", "5.0", "18446744073709551621", "9223372036854775808"} {
		if value == "" {
			continue // an empty value unsets the keyword
		}
		vs = append(vs, refuse(fmt.Sprintf("pax-size-bad-%d", i+1), fmt.Sprintf("pax size %q", value), tar(pax("size", value), a)))
	}
	for i, r := range []string{"99 path=b\n", "0 path=b\n", "10 path=b", "9 pathxb\n", "010 path=b\n", "-10 path=b\n", "8 =b\n\n\n\n", "path=b\n", "99999999999999999999 path=b\n", " 10 path=b\n", "10 path=bb"} {
		vs = append(vs, refuse(fmt.Sprintf("pax-record-bad-%d", i+1), fmt.Sprintf("record %q", r), tar(extended('x', r), a)))
	}
	return vs
}

func types() []vector {
	inner := file("inner", "")
	return []vector{
		lenient("type-unknown", "a type that nobody knows is a file", tar(fileWith(header{name: "a", typ: 'Q', mode: 0644}, "hello")), hello),
		refuse("type-multivolume", "the rest of a file of another volume", tar(fileWith(header{name: "a", typ: 'M', magic: gnu}, "hello"))),
		refuse("type-old-names", "GNU's old long names", tar(fileWith(header{name: "a", typ: 'N', magic: gnu}, "hello"))),
		accept("type-volume-label", "a volume label makes nothing", tar(header{name: "label", typ: 'V', magic: gnu}.bytes(), file("a", "hello")), hello, "!label"),
		accept("type-contiguous", "a contiguous file is a file", tar(fileWith(header{name: "a", typ: '7', mode: 0644}, "hello")), hello),
		accept("type-dumpdir", "a directory of a GNU incremental archive; its body is passed over", tar(fileWith(header{name: "d", typ: 'D', mode: 0755, magic: gnu}, "Yone\x00\x00"), file("d/one", "x")), `d dir 0755`, `d/one file 0644 "x"`),
		lenient("type-directory-with-size", "a directory with a size has no body", tar(header{name: "d", typ: '5', mode: 0755, size: 512}.bytes(), inner), `d dir 0755`, `inner file 0644 ""`),
		lenient("type-slash-directory-with-size", "a directory by its slash with a size has no body", tar(header{name: "d/", typ: '0', mode: 0755, size: 512}.bytes(), inner), `d dir 0755`, `inner file 0644 ""`),
		lenient("type-symlink-with-size", "a symbolic link with a size has no body", tar(header{name: "l", typ: '2', link: "x", size: 512}.bytes(), inner), `l symlink 0777 "x"`, `inner file 0644 ""`),
		lenient("type-fifo-with-size", "a pipe with a size has no body", tar(header{name: "p", typ: '6', mode: 0600, size: 512}.bytes(), inner), `p fifo 0600`, `inner file 0644 ""`),
		accept("type-link-with-size", "a hard link with the file's size and no body", tar(file("a", "hello"), header{name: "b", typ: '1', link: "a", size: 5}.bytes(), inner), hello, `b file 0644 "hello"`, `inner file 0644 ""`),
		refuse("type-link-with-body", "a hard link with a body", tar(file("a", "hello"), fileWith(header{name: "b", typ: '1', link: "a"}, "other"))),
		accept("type-fifo", "a pipe", tar(header{name: "p", typ: '6', mode: 0622}.bytes()), `p fifo 0622`),
		refuse("type-device-major", "a major number beyond 12 bits", tar(header{name: "c", typ: '3', major: 4096}.bytes())),
		refuse("type-device-minor", "a minor number beyond 20 bits", tar(header{name: "c", typ: '4', minor: 1 << 20}.bytes())),
	}
}

func sparse() []vector {
	old := func(real int64, extended bool, numbers ...int64) header {
		raw := map[int]string{386: pairs(numbers...), 483: fmt.Sprintf("%011o\x00", real)}
		if extended {
			raw[482] = "\x01"
		}
		return header{name: "s", typ: 'S', mode: 0644, magic: gnu, raw: raw}
	}
	more := func(numbers ...int64) []byte { return pad([]byte(pairs(numbers...))) }
	v1 := func(real, text, data string) []byte {
		return tar(pax("GNU.sparse.major", "1", "GNU.sparse.minor", "0", "GNU.sparse.name", "s", "GNU.sparse.realsize", real),
			fileWith(header{name: "GNUSparseFile.0/s", typ: '0', mode: 0644}, string(pad([]byte(text)))+data))
	}
	v01 := func(real, text, data string) []byte {
		return tar(pax("GNU.sparse.size", real, "GNU.sparse.numblocks", "2", "GNU.sparse.map", text), fileWith(header{name: "s", typ: '0', mode: 0644}, data))
	}
	want := fmt.Sprintf("s file 0644 %q", "\x00\x00\x00\x00ab\x00\x00cd\x00\x00\x00\x00\x00\x00")
	return []vector{
		accept("sparse-gnu", "old GNU form; the hole at the end has no entry of its own", tar(fileWith(old(16, false, 4, 2, 8, 2), "abcd")), want),
		accept("sparse-gnu-extended", "old GNU form with a second block of map", tar(append(func() header { h := old(16, true, 4, 1, 5, 1, 6, 0, 7, 0); h.size = 4; return h }().bytes(), append(more(8, 1, 9, 1, 16, 0), pad([]byte("abcd"))...)...)), want),
		accept("sparse-0.0", "pax 0.0: repeated records in order", tar(pax("GNU.sparse.size", "16", "GNU.sparse.numblocks", "2", "GNU.sparse.offset", "4", "GNU.sparse.numbytes", "2", "GNU.sparse.offset", "8", "GNU.sparse.numbytes", "2"), fileWith(header{name: "s", typ: '0', mode: 0644}, "abcd")), want),
		accept("sparse-0.1", "pax 0.1: a map in one record", v01("16", "4,2,8,2", "abcd"), want),
		accept("sparse-1.0", "pax 1.0: a map before the data", v1("16", "2\n4\n2\n8\n2\n", "abcd"), want, "!GNUSparseFile.0"),
		accept("sparse-hole-only", "nothing but a hole", v1("16", "0\n", ""), fmt.Sprintf("s file 0644 %q", strings.Repeat("\x00", 16))),
		accept("sparse-large-hole", "1 TiB of hole takes no time and no space", v1("1099511627776", "1\n0\n2\n", "ab"), "s file 0644 size 1099511627776"),
		refuse("sparse-overlap", "pieces that overlap", v01("16", "4,3,5,1", "abcd")),
		refuse("sparse-order", "pieces out of order", v01("16", "8,2,4,2", "abcd")),
		refuse("sparse-past-end", "a piece beyond the file's end", v01("9", "4,2,8,2", "abcd")),
		refuse("sparse-overflow", "offset and length beyond 63 bits", v01("16", "9223372036854775807,2,8,2", "abcd")),
		refuse("sparse-sum", "fewer bytes stored than the map says", v01("16", "4,2,8,4", "abcd")),
		refuse("sparse-odd-map", "an offset without a length", v01("16", "4,2,8", "ab")),
		refuse("sparse-negative", "an offset below 0", v01("16", "-4,2,8,2", "abcd")),
		refuse("sparse-map-letters", "a 1.0 map with letters", v1("16", "2\nx\n2\n8\n2\n", "abcd")),
		refuse("sparse-map-cut", "a 1.0 map that promises more than there is", v1("16", "3\n4\n2\n8\n2\n", "abcd")),
		refuse("sparse-map-huge-count", "a 1.0 map of 2^40 pieces", v1("16", "1099511627776\n", "")),
		refuse("sparse-8-eib", "a file of 8 EiB less one byte", v1("9223372036854775807", "0\n", "")),
		refuse("sparse-no-size", "a map without the file's size", tar(pax("GNU.sparse.map", "0,5"), file("a", "hello"))),
		refuse("sparse-version-2", "a form after 1.0", tar(pax("GNU.sparse.major", "2", "GNU.sparse.minor", "0"), file("a", "hello"))),
	}
}

func names() []vector {
	vs := []vector{
		refuse("name-in-prefix", `".." in the ustar prefix`, tar(header{name: "victim/f", typ: '0', raw: map[int]string{345: ".."}}.bytes())),
		refuse("name-in-long-name", `".." in a GNU long name`, tar(long('L', "../victim/f"), file("a", "x"))),
		refuse("name-in-pax", `".." in a pax path`, tar(pax("path", "../victim/f"), file("a", "x"))),
		refuse("name-in-sparse", `".." in GNU.sparse.name`, tar(pax("GNU.sparse.name", "../victim/f"), file("a", "x"))),
		refuse("name-empty", "no name at all", tar(file("", "x"))),
		refuse("name-root-file", "the root as a file", tar(file(".", "x"))),
		refuse("name-root-symlink", "the root as a symbolic link (CVE-2021-29136)", tar(symlink("./", "/"))),
		refuse("name-slash-symlink", "the root, written /, as a symbolic link", tar(symlink("/", "/tmp"))),
		accept("name-absolute", "a leading slash is dropped", tar(file("/a", "hello")), hello),
		accept("name-slashes", "double slashes and dots fold", tar(file(".//d/./e//f", "x")), `d/e/f file 0644 "x"`),
		accept("name-dots", "names that only look like ..", tar(file("...", ""), file("..a", ""), file("a..", "")), `... file 0644 ""`, `..a file 0644 ""`, `a.. file 0644 ""`),
		accept("name-bytes", "a name of bytes that are no text", tar(file("\xff\x1b[2J\n", "")), `"\xff\x1b[2J\n" file 0644 ""`),
		refuse("name-component-256", "a component of 256 bytes", tar(pax("path", strings.Repeat("n", 256)), file("a", ""))),
		refuse("name-deep", "1,025 components", tar(pax("path", strings.Repeat("d/", 1024)+"f"), file("a", ""))),
	}
	for i, name := range []string{"../victim/f", "/../victim/f", "a/../../victim/f", "a/..", "..", "./..", "a/b/../c", "../", "/.."} {
		vs = append(vs, refuse(fmt.Sprintf("name-dotdot-%d", i+1), fmt.Sprintf("the name %q", name), tar(dir("a", 0755), file(name, "x"))))
	}
	return vs
}

func symlinks() []vector {
	return []vector{
		refuse("symlink-write-through", "a file below a link to outside", tar(symlink("l", "../victim"), file("l/f", "x"))),
		refuse("symlink-absolute", "a file below an absolute link", tar(symlink("l", "/tmp"), file("l/f", "x"))),
		refuse("symlink-inside", "a file below a link that stays inside", tar(dir("d", 0755), symlink("l", "d"), file("l/f", "x"))),
		refuse("symlink-chain", "links that each stay near and together leave", tar(dir("a", 0755), symlink("a/b", ".."), symlink("c", "a/b/.."), file("c/victim/f", "x"))),
		refuse("symlink-directory-below", "a directory below a link", tar(symlink("l", "../victim"), dir("l/d", 0755))),
		refuse("symlink-after-directory", "an empty directory becomes a link, then a file below it (CVE-2021-32803)", tar(dir("d", 0755), file("d2/x", ""), dir("d", 0755), symlink("d", "../victim"), file("d/f", "x"))),
		refuse("symlink-over-full-directory", "a directory that is not empty becomes a link", tar(file("d/f", ""), symlink("d", "../victim"))),
		accept("symlink-over-directory-end", "a directory becomes a link; its mode and time must not reach the target (CVE-2021-31566)", tar(header{name: "d", typ: '5', mode: 0700, mtime: 1}.bytes(), symlink("d", "../victim")), `d symlink 0777 "../victim"`),
		accept("symlink-replaced", "a file over a link replaces the link", tar(symlink("l", "../victim/hello"), file("l", "x")), `l file 0644 "x"`),
		accept("symlink-directory-over", "a directory over a link replaces the link", tar(symlink("l", "../victim"), dir("l", 0700), file("l/f", "x")), `l dir 0700`, `l/f file 0644 "x"`),
		accept("symlink-fifo-over", "a pipe over a link replaces the link", tar(symlink("l", "../victim/new"), header{name: "l", typ: '6', mode: 0600}.bytes()), `l fifo 0600`),
		accept("symlink-targets", "targets are kept as they are", tar(symlink("a", "/etc/passwd"), symlink("b", "../../x"), symlink("c", "//x/./y/")), `a symlink 0777 "/etc/passwd"`, `b symlink 0777 "../../x"`, `c symlink 0777 "//x/./y/"`),
		refuse("symlink-empty", "an empty target", tar(symlink("l", ""))),
		refuse("symlink-4096", "a target of 4,096 bytes", tar(pax("linkpath", strings.Repeat("t", 4096)), symlink("l", "x"))),
		accept("symlink-slash", "a trailing slash on a link's name", tar(symlink("l/", "x")), `l symlink 0777 "x"`),
	}
}

func hardlinks() []vector {
	a := file("a", "hello")
	return []vector{
		refuse("link-dotdot", `".." in the target`, tar(hardlink("l", "../victim/hello"))),
		refuse("link-absolute-outside", "an absolute target is inside the root, and not there", tar(hardlink("l", "/victim/hello"))),
		accept("link-absolute", "an absolute target inside the root", tar(a, hardlink("l", "/a")), hello, `l file 0644 "hello"`),
		refuse("link-through-symlink", "a target below a link (CVE-2025-4330)", tar(symlink("s", "../victim"), hardlink("l", "s/hello"))),
		accept("link-to-symlink", "a hard link to a link is that link, not its target", tar(symlink("s", "../victim/hello"), hardlink("l", "s")), `l symlink 0777 "../victim/hello"`),
		refuse("link-to-symlink-write", "and is no way to write through it", tar(symlink("s", "../victim"), hardlink("l", "s"), file("l/f", "x"))),
		refuse("link-missing", "a target that is not there", tar(hardlink("l", "a"))),
		refuse("link-forward", "a target that comes later", tar(hardlink("l", "a"), a)),
		refuse("link-directory", "a directory as target", tar(dir("d", 0755), hardlink("l", "d"))),
		refuse("link-root", "the root as target", tar(hardlink("l", "."))),
		refuse("link-empty", "an empty target", tar(hardlink("l", ""))),
		accept("link-self", "a link to itself, as old GNU tar writes", tar(a, hardlink("a", "a")), hello),
		accept("link-self-dot", "a link to itself by another spelling", tar(a, hardlink("a", "./a")), hello),
		accept("link-dot", "./ in the target", tar(file("d/a", "x"), hardlink("l", "./d/a")), `l file 0644 "x"`),
		accept("link-rewrite", "writing one name again leaves the other", tar(a, hardlink("l", "a"), file("l", "new")), hello, `l file 0644 "new"`),
		accept("link-metadata", "the metadata of a link's own header is not applied", tar(a, header{name: "l", typ: '1', link: "a", mode: 04777}.bytes()), hello),
		accept("link-over-directory", "a link over an empty directory, its target in a third directory", tar(file("d/e/a", "hello"), dir("f/l", 0755), hardlink("f/l", "d/e/a")), `d/e/a file 0644 "hello"`, `f/l file 0644 "hello"`),
		accept("link-over-file", "a link over a file", tar(a, file("l", "old"), hardlink("l", "a")), `l file 0644 "hello"`),
		refuse("link-target-replaced", "the target's directory became a link", tar(file("d/a", "x"), file("d/a", "x"), hardlink("k", "d/a"), symlink("d", "../victim"), hardlink("l", "d/hello"))),
	}
}

func directories() []vector {
	return []vector{
		accept("directory-implicit", "missing parents are 0755", tar(file("d/e/f", "x")), `d dir 0755`, `d/e dir 0755`, `d/e/f file 0644 "x"`),
		accept("directory-implicit-fixed", "a parent's own entry may come later", tar(file("d/f", "x"), dir("d", 0700)), `d dir 0700`, `d/f file 0644 "x"`),
		accept("directory-twice", "the last entry of a directory counts", tar(dir("d", 0700), file("d/f", "x"), dir("d", 0750)), `d dir 0750`),
		accept("directory-read-only", "a read-only directory gets its files", tar(dir("d", 0555), file("d/f", "x"), dir("d/e", 0500), file("d/e/g", "y")), `d dir 0555`, `d/e dir 0500`, `d/e/g file 0644 "y"`),
		accept("directory-mtime", "the directory's time comes after its files", tar(header{name: "d", typ: '5', mode: 0755, mtime: 1000}.bytes(), file("d/f", "x")), `d dir 0755 mtime 1000.000000000`),
		accept("directory-root", "the root's own mode and time", tar(header{name: "./", typ: '5', mode: 0711, mtime: 1234}.bytes(), file("./f", "x")), `. dir 0711 mtime 1234.000000000`, `f file 0644 "x"`),
		accept("directory-sticky", "the umask does not count", tar(dir("t", 01777), fileWith(header{name: "f", typ: '0', mode: 0666}, "x")), `t dir 01777`, `f file 0666 "x"`),
		accept("directory-over-file", "a directory over a file", tar(file("d", "x"), dir("d", 0755), file("d/f", "y")), `d dir 0755`, `d/f file 0644 "y"`),
		accept("directory-file-over-empty", "a file over an empty directory", tar(dir("d", 0755), file("d", "x")), `d file 0644 "x"`),
		refuse("directory-file-over-full", "a file over a directory that is not empty", tar(file("d/f", "x"), file("d", "y"))),
		refuse("directory-file-as-parent", "a file as a parent", tar(file("d", "x"), file("d/f", "y"))),
	}
}
