package untar

import (
	"bytes"
	"encoding/base64"
	"math"
)

var (
	errRecord error = textError("malformed pax record")
	errTime   error = textError("bad time in a pax record")
)

// nextRecord splits the first record "length keyword=value\n" off an extended header
// (pax(1), "pax Extended Header"). The length is that of the whole record.
func nextRecord(b []byte) (key, value, rest []byte, err error) {
	n, i := 0, 0
	for ; i < len(b) && '0' <= b[i] && b[i] <= '9'; i++ {
		n = n*10 + int(b[i]-'0')
		if n > len(b) {
			return nil, nil, nil, errRecord
		}
	}
	// No digits, a leading zero, no blank after them, or no room for "k=\n".
	if i == 0 || b[0] == '0' || i == len(b) || b[i] != ' ' || n < i+4 || b[n-1] != '\n' {
		return nil, nil, nil, errRecord
	}
	key, value, ok := bytes.Cut(b[i+1:n-1], []byte{'='})
	if !ok || len(key) == 0 {
		return nil, nil, nil, errRecord
	}
	return key, value, b[n:], nil
}

// decimal parses an unsigned decimal number. Signs and blanks are errors.
func decimal(b []byte) (int64, error) {
	if len(b) == 0 {
		return 0, errNumber
	}
	v := int64(0)
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, errNumber
		}
		d := int64(c - '0')
		if v > (math.MaxInt64-d)/10 {
			return 0, errRange
		}
		v = v*10 + d
	}
	return v, nil
}

// decimalOr is decimal, but returns other if there is no value.
func decimalOr(b []byte, other int64) (int64, error) {
	if len(b) == 0 {
		return other, nil
	}
	return decimal(b)
}

// paxTime parses seconds since 1970 with an optional sign and fraction. It drops digits
// after nanoseconds. As in a timespec, nsec is never negative: -1.5 is -2 s and 500000000
// ns. Bytes after the number are an error if strict, else ignored, as in GNU tar and bsdtar.
func paxTime(b []byte, strict bool) (sec int64, nsec int32, err error) {
	negative := len(b) > 0 && b[0] == '-'
	if negative {
		b = b[1:]
	}
	n := digits(b)
	if sec, err = decimal(b[:n]); err != nil {
		return 0, 0, errTime
	}
	if b = b[n:]; len(b) > 0 && b[0] == '.' {
		b = b[1:]
		n := digits(b)
		scale := int32(100_000_000)
		for _, c := range b[:n] {
			nsec += int32(c-'0') * scale
			scale /= 10
		}
		b = b[n:]
	}
	if len(b) > 0 && strict {
		return 0, 0, errTime
	}
	if negative {
		sec = -sec
		if nsec > 0 {
			sec, nsec = sec-1, 1_000_000_000-nsec
		}
	}
	return sec, nsec, nil
}

// digits returns how many decimal digits b begins with.
func digits(b []byte) int {
	n := 0
	for n < len(b) && '0' <= b[n] && b[n] <= '9' {
		n++
	}
	return n
}

// An xattr is an extended attribute of an entry. Its slices are valid until the next call of
// feed.
type xattr struct {
	name  []byte
	value []byte
}

const (
	schilyXattr     = "SCHILY.xattr."
	libarchiveXattr = "LIBARCHIVE.xattr."
)

// schilyName decodes, in place, the escapes %3D and %25 that GNU tar writes for '=' and '%'
// in keywords.
func schilyName(b []byte) []byte {
	out := b[:0]
	for i := 0; i < len(b); i++ {
		c := b[i]
		if c == '%' && i+2 < len(b) && b[i+1] == '3' && (b[i+2] == 'D' || b[i+2] == 'd') {
			c, i = '=', i+2
		} else if c == '%' && i+2 < len(b) && b[i+1] == '2' && b[i+2] == '5' {
			i += 2
		}
		out = append(out, c)
	}
	return out
}

// libarchiveName decodes, in place, the percent-encoded name in a libarchive keyword.
func libarchiveName(b []byte) []byte {
	out := b[:0]
	for i := 0; i < len(b); i++ {
		c := b[i]
		if c == '%' && i+2 < len(b) && hexDigit(b[i+1]) >= 0 && hexDigit(b[i+2]) >= 0 {
			c, i = byte(hexDigit(b[i+1])<<4|hexDigit(b[i+2])), i+2
		}
		out = append(out, c)
	}
	return out
}

// hexDigit returns the value of a hexadecimal digit, or -1.
func hexDigit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// libarchiveValue decodes base64 with or without padding, in place.
func libarchiveValue(b []byte) ([]byte, error) {
	b = bytes.TrimRight(b, "=")
	n, err := base64.RawStdEncoding.Decode(b, b)
	return b[:n], err
}
