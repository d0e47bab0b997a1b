package untar

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"strings"
	"testing"
)

// gzipMember returns hello as a gzip member whose header has these flags and fields.
func gzipMember(t *testing.T, flags byte, fields ...string) []byte {
	t.Helper()
	body := packed(t, []byte(hello))[FormatGzip]
	if body[3] != 0 {
		t.Fatal("the writer adds fields")
	}
	head := append([]byte{0x1f, 0x8b, 8, flags}, body[4:10]...)
	for _, f := range fields {
		head = append(head, f...)
	}
	if flags&2 != 0 {
		head = binary.LittleEndian.AppendUint16(head, uint16(crc32.ChecksumIEEE(head)))
	}
	return append(head, body[10:]...)
}

// The fields of a gzip header have no limit (RFC 1952, section 2.3), in the first and in
// later members.
func TestGzipHeader(t *testing.T) {
	long := strings.Repeat("n", 1<<20) + "\x00"
	extra := "\xff\xff" + strings.Repeat("e", 1<<16-1)
	good := [][]byte{
		gzipMember(t, 1), // "text"
		gzipMember(t, 2),
		gzipMember(t, 4, "\x00\x00"),
		gzipMember(t, 4, extra),
		gzipMember(t, 8, "\x00"),
		gzipMember(t, 8, strings.Repeat("n", 511)+"\x00"),
		gzipMember(t, 8, strings.Repeat("n", 512)+"\x00"),
		gzipMember(t, 8, long),
		gzipMember(t, 16, long),
		gzipMember(t, 4|8|16|2, extra, long, long),
	}
	for i, data := range good {
		for _, all := range [][]byte{data, append(gzipMember(t, 0), data...)} {
			_, got, err := decompress(all, DecompressOptions{})
			if err != nil || len(got) == 0 || strings.ReplaceAll(string(got), hello, "") != "" {
				t.Errorf("header %d: %q, %v", i, got, err)
			}
		}
		if data[3]&2 != 0 {
			data = bytes.Clone(data)
			data[4] ^= 1 // the time
			if _, _, err := decompress(data, DecompressOptions{}); err == nil || !strings.Contains(err.Error(), "checksum of a header") {
				t.Errorf("header %d, changed: %v", i, err)
			}
		}
	}
	small := gzipMember(t, 4|8|16|2, "\x03\x00abc", "name\x00", "comment\x00")
	for n := 2; n < len(small); n++ {
		if _, got, err := decompress(small[:n], DecompressOptions{}); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d of %d bytes: %q, %v", n, len(small), got, err)
		}
	}
	for i := range 8 { // the checksum and the size
		bad := bytes.Clone(small)
		bad[len(bad)-1-i] ^= 1
		if _, _, err := decompress(bad, DecompressOptions{}); err == nil {
			t.Errorf("byte %d from the end changed: accepted", i+1)
		}
	}
	method := bytes.Clone(small)
	method[2] = 7
	if _, _, err := decompress(method, DecompressOptions{}); err == nil || !strings.Contains(err.Error(), "method 7") {
		t.Error(err)
	}
}

func TestGzipReservedFlags(t *testing.T) {
	good := packed(t, []byte(hello))[FormatGzip]
	bad := bytes.Clone(good)
	bad[3] |= 0x20
	for _, data := range [][]byte{bad, append(bytes.Clone(good), bad...)} {
		if _, _, err := decompress(data, DecompressOptions{}); err == nil || !strings.Contains(err.Error(), "reserved flags 0x20") {
			t.Error(err)
		}
	}
}
