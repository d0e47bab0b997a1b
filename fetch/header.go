package fetch

import (
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"
)

// contentRange parses a Content-Range (RFC 9110, 14.4): "bytes 2-9/10",
// "bytes 2-9/*", "bytes */10" of a 416. total is -1 when it is not told; last
// is -1 where no range is. ok is false for anything else.
func contentRange(s string) (first, last, total int64, ok bool) {
	unit, rest, found := strings.Cut(strings.TrimSpace(s), " ")
	if !found || !strings.EqualFold(unit, "bytes") {
		return 0, 0, 0, false
	}
	span, size, found := strings.Cut(rest, "/")
	if !found {
		return 0, 0, 0, false
	}
	total = -1
	if size != "*" {
		if total, ok = digits(size); !ok {
			return 0, 0, 0, false
		}
	}
	if span == "*" {
		return 0, -1, total, total >= 0
	}
	from, to, found := strings.Cut(span, "-")
	if !found {
		return 0, 0, 0, false
	}
	first, ok = digits(from)
	if !ok {
		return 0, 0, 0, false
	}
	last, ok = digits(to)
	if !ok || last < first || total >= 0 && last >= total {
		return 0, 0, 0, false
	}
	return first, last, total, true
}

// digits parses 1*DIGIT; ParseInt alone would take a sign.
func digits(s string) (int64, bool) {
	if s == "" || s[0] < '0' || s[0] > '9' {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// retryAfter returns how long the server asks to stay away (RFC 9110, 10.2.3),
// 0 when it doesn't say. A date is taken relative to the answer's own Date:
// our clock may be anywhere.
func retryAfter(h http.Header) time.Duration {
	s := strings.TrimSpace(h.Get("Retry-After"))
	if n, ok := digits(s); ok {
		if n > int64(24*time.Hour/time.Second) {
			return 24 * time.Hour
		}
		return time.Duration(n) * time.Second
	}
	until, err := http.ParseTime(s)
	if err != nil {
		return 0
	}
	from, err := http.ParseTime(h.Get("Date"))
	if err != nil || !until.After(from) {
		return 0
	}
	return min(until.Sub(from), 24*time.Hour)
}

// validator returns what an If-Range may say about this answer: its ETag when
// that is a strong one, else its Last-Modified when the file had rested for a
// second by the server's own clock (RFC 9110, 8.8.2.2 and 13.1.5), else "".
func validator(h http.Header) string {
	if tag := h.Get("ETag"); len(tag) >= 2 && tag[0] == '"' && tag[len(tag)-1] == '"' {
		return tag
	}
	modified, err := http.ParseTime(h.Get("Last-Modified"))
	if err != nil {
		return ""
	}
	date, err := http.ParseTime(h.Get("Date"))
	if err != nil || date.Sub(modified) < time.Second {
		return ""
	}
	return h.Get("Last-Modified")
}

// matches reports whether an answer is of the same bytes as the one that gave
// the validator v.
func matches(h http.Header, v string) bool {
	return v != "" && (v == h.Get("ETag") || v == h.Get("Last-Modified"))
}

// encoded reports whether an answer has a Content-Encoding that changes the
// bytes of the file. One that only repeats the file's own suffix does not:
// Apache's AddEncoding labels files so, and we did not ask for compression.
func encoded(h http.Header, u *url.URL) bool {
	coding := strings.ToLower(strings.TrimSpace(strings.Join(h.Values("Content-Encoding"), ",")))
	suffix := path.Ext(u.Path)
	switch coding {
	case "", "identity":
		return false
	case "gzip", "x-gzip":
		return suffix != ".gz" && suffix != ".tgz"
	case "xz", "x-xz":
		return suffix != ".xz"
	case "zstd":
		return suffix != ".zst"
	case "bzip2", "x-bzip2":
		return suffix != ".bz2"
	}
	return true
}

// isHTML reports whether an answer calls itself a web page.
func isHTML(h http.Header) bool {
	media, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	switch strings.ToLower(strings.TrimSpace(media)) {
	case "text/html", "application/xhtml+xml":
		return true
	}
	return false
}

// looksHTML reports whether a file that begins so is a web page: captive
// portals don't always say so in the header.
func looksHTML(start []byte) bool {
	s := strings.TrimLeft(strings.TrimPrefix(string(start[:min(len(start), 512)]), "\ufeff"), " \t\r\n")
	// XHTML begins with a declaration of XML, and either may have comments first.
	for {
		begin, end := "<?xml", "?>"
		if strings.HasPrefix(s, "<!--") {
			begin, end = "<!--", "-->"
		}
		i := strings.Index(s, end)
		if !strings.HasPrefix(s, begin) || i < 0 {
			break
		}
		s = strings.TrimLeft(s[i+len(end):], " \t\r\n")
	}
	for _, prefix := range []string{"<!doctype html", "<html"} {
		if len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix) {
			return true
		}
	}
	return false
}
