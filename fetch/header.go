package fetch

import (
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"
)

// contentRange parses the value of a Content-Range field (RFC 9110, 14.4):
// "bytes 2-9/10", "bytes 2-9/*", or "bytes */10" in a 416 response. total is -1 if
// the size of the file is unknown; last is -1 if there is no range. ok is false for
// any other value.
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

// digits parses 1*DIGIT; ParseInt alone would also accept a sign.
func digits(s string) (int64, bool) {
	if s == "" || s[0] < '0' || s[0] > '9' {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// retryAfter returns the time that the server asks the client to wait (RFC 9110,
// 10.2.3), at most 24 hours; 0 if the field is absent or malformed. A date is
// compared with the Date of the same response, since the local clock may be wrong.
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

// validator returns the value for a later If-Range: the ETag if it is strong.
// Otherwise it returns the Last-Modified date if that is at least one second before
// the Date of the response (RFC 9110, 8.8.2.2 and 13.1.5), and else "".
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

// matches reports whether a response has the same file as the response with the
// validator v.
func matches(h http.Header, v string) bool {
	return v != "" && (v == h.Get("ETag") || v == h.Get("Last-Modified"))
}

// encoded reports whether a response has a Content-Encoding that changes the bytes
// of the file. An encoding that matches the file's suffix does not: Apache's
// AddEncoding labels such files, and the request did not ask for compression.
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

// isHTML reports whether the Content-Type is that of a web page.
func isHTML(h http.Header) bool {
	media, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	switch strings.ToLower(strings.TrimSpace(media)) {
	case "text/html", "application/xhtml+xml":
		return true
	}
	return false
}

// looksHTML reports whether start is the start of a web page. Captive portals do not
// always send the Content-Type of a web page.
func looksHTML(start []byte) bool {
	s := strings.TrimLeft(strings.TrimPrefix(string(start[:min(len(start), 512)]), "\ufeff"), " \t\r\n")
	// XHTML begins with an XML declaration, and comments may precede both kinds.
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
