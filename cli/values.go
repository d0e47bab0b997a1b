package cli

import (
	"errors"
	"fmt"
	"strconv"
	"time"
)

// parseTime parses a time: RFC 3339, a date, or seconds since 1970.
func parseTime(s string) (time.Time, error) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return time.Unix(n, 0).UTC(), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("not a time such as 2026-08-29, 2026-08-29T05:24:00Z or 1787980800")
}

var errNotSize = errors.New("not a size such as 24M")

// parseSize parses a number of bytes: digits, and K, M or G for powers of 1024.
func parseSize(s string) (int64, error) {
	digits, unit := s, int64(1)
	if s != "" {
		switch s[len(s)-1] {
		case 'k', 'K':
			digits, unit = s[:len(s)-1], 1<<10
		case 'm', 'M':
			digits, unit = s[:len(s)-1], 1<<20
		case 'g', 'G':
			digits, unit = s[:len(s)-1], 1<<30
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n <= 0 || n > (1<<62)/unit {
		return 0, errNotSize
	}
	return n * unit, nil
}

// mappedID parses --mapped-uid or --mapped-gid: the id that the user who called lxc-create
// has in the user namespace. ok is false for -1, for an empty value, and for the garbage
// that LXC before 6.0.3 could pass.
func mappedID(s string) (id int, ok bool) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n >= 1<<32-1 {
		return -1, false
	}
	return int(n), true
}

// smallNumber parses a number of attempts or seconds.
func smallNumber(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		return 0, errors.New("not a number from 0 to 65535")
	}
	return int(n), nil
}
