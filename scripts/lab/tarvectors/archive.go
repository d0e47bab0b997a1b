package main

import (
	"bytes"
	"fmt"
	"strings"
)

const block = 512

// A header is a tar header that is written byte by byte, because archive/tar refuses
// most of the headers that the vectors need.
type header struct {
	name, link   string
	typ          byte
	mode         int64
	uid, gid     int64
	size         int64
	mtime        int64
	major, minor int64
	magic        string         // default: ustar
	raw          map[int]string // bytes by offset, written last, before the checksum
	sum          string         // the checksum field itself
}

const (
	ustar = "ustar\x0000"
	gnu   = "ustar  \x00"
	v7    = "\x00\x00\x00\x00\x00\x00\x00\x00"
)

func (h header) bytes() []byte {
	b := make([]byte, block)
	copy(b[0:100], h.name)
	octal := func(at, width int, v int64) { copy(b[at:], fmt.Sprintf("%0*o", width-1, v)) }
	octal(100, 8, h.mode)
	octal(108, 8, h.uid)
	octal(116, 8, h.gid)
	octal(124, 12, h.size)
	octal(136, 12, h.mtime)
	b[156] = h.typ
	copy(b[157:257], h.link)
	if h.magic == "" {
		h.magic = ustar
	}
	copy(b[257:265], h.magic)
	if h.typ == '3' || h.typ == '4' {
		octal(329, 8, h.major)
		octal(337, 8, h.minor)
	}
	for at, s := range h.raw {
		copy(b[at:], s)
	}
	if h.sum == "" {
		h.sum = fmt.Sprintf("%06o\x00 ", checksum(b, false))
	}
	copy(b[148:156], h.sum)
	return b
}

// checksum returns the sum of a header's bytes as signed numbers, as some historic tars
// computed it.
func checksum(b []byte, signed bool) int64 {
	sum := int64(0)
	for i, c := range b {
		switch {
		case i >= 148 && i < 156:
			sum += ' '
		case signed:
			sum += int64(int8(c))
		default:
			sum += int64(c)
		}
	}
	return sum
}

// pad fills b up to a whole block.
func pad(b []byte) []byte { return append(b, make([]byte, -len(b)&(block-1))...) }

// zeros returns n blocks of zeros, as they end an archive.
func zeros(n int) []byte { return make([]byte, n*block) }

// tar joins the pieces and appends the end of the archive.
func tar(pieces ...[]byte) []byte {
	return append(bytes.Join(pieces, nil), zeros(2)...)
}

func file(name, content string) []byte {
	return fileWith(header{name: name, typ: '0', mode: 0644}, content)
}

// fileWith returns an entry with a body. Its size is the body's unless h sets it.
func fileWith(h header, content string) []byte {
	if h.size == 0 {
		h.size = int64(len(content))
	}
	return append(h.bytes(), pad([]byte(content))...)
}

func dir(name string, mode int64) []byte {
	return header{name: name, typ: '5', mode: mode}.bytes()
}

func symlink(name, target string) []byte {
	return header{name: name, link: target, typ: '2', mode: 0777}.bytes()
}

func hardlink(name, target string) []byte {
	return header{name: name, link: target, typ: '1', mode: 0644}.bytes()
}

// record returns one pax record, including its length.
func record(key, value string) string {
	n := len(key) + len(value) + 3
	for d := 1; ; d++ {
		if s := fmt.Sprintf("%d %s=%s\n", n+d, key, value); len(s) == n+d {
			return s
		}
	}
}

func records(kv ...string) string {
	var b strings.Builder
	for i := 0; i < len(kv); i += 2 {
		b.WriteString(record(kv[i], kv[i+1]))
	}
	return b.String()
}

// pax returns an extended header with these records.
func pax(kv ...string) []byte { return extended('x', records(kv...)) }

func extended(typ byte, body string) []byte {
	return fileWith(header{name: "PaxHeaders/x", typ: typ, mode: 0644}, body)
}

// long returns the entry of a GNU long name or link target.
func long(typ byte, name string) []byte {
	return fileWith(header{name: "././@LongLink", typ: typ, magic: gnu}, name+"\x00")
}

// base256 returns GNU's binary form of a number.
func base256(width int, v int64) string {
	b := make([]byte, width)
	for i := width - 1; i >= 0; i-- {
		b[i] = byte(v)
		v >>= 8
	}
	b[0] |= 0x80
	return string(b)
}

// pairs returns entries of an old GNU sparse map.
func pairs(numbers ...int64) string {
	var b strings.Builder
	for _, n := range numbers {
		fmt.Fprintf(&b, "%011o\x00", n)
	}
	return b.String()
}
