package cli

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"lxc-pull/fetch"
)

// maxCredentials bounds a header or netrc file.
const maxCredentials = 64 << 10

// credentials reads the netrc file and the file of header lines. They come from
// files alone: lxc-create writes its arguments into the container's config, and
// ps shows them to everybody. Each is for one host, never for all that are
// asked.
func (n *networkOptions) credentials(first string) ([]fetch.Credential, error) {
	var list []fetch.Credential
	netrc := n.files.netrc
	if netrc == "" {
		netrc = os.Getenv("NETRC")
	}
	if netrc != "" {
		data, err := readOption("netrc-file", netrc, maxCredentials)
		if err != nil {
			return nil, err
		}
		if list, err = parseNetrc(string(data)); err != nil {
			return nil, fmt.Errorf("%q: %w", netrc, err)
		}
	}
	if n.files.header == "" {
		return list, nil
	}
	data, err := readOption("header-file", n.files.header, maxCredentials)
	if err != nil {
		return nil, err
	}
	headers, err := parseHeaders(string(data), fetch.Origin(first))
	if err != nil {
		return nil, fmt.Errorf("%q: %w", n.files.header, err)
	}
	return append(list, headers...), nil
}

// parseHeaders reads lines "Name: value", and lines "[host]" that say for which
// origin the lines below are: an https one unless it begins with "http://".
// Those above are for the origin first, if there is one. Empty
// lines and those that begin with # are passed over. A message never shows a
// value: it is likely to be a secret.
func parseHeaders(text, first string) ([]fetch.Credential, error) {
	list := []fetch.Credential{{Host: first, Header: http.Header{}}}
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimRight(line, "\r\n")
		if line == "" || line[0] == '#' {
			continue
		}
		if host, ok := strings.CutPrefix(line, "["); ok {
			// The last bracket, for a host may be "[::1]".
			if host, ok = strings.CutSuffix(strings.TrimSpace(host), "]"); !ok || host == "" {
				return nil, fmt.Errorf("line %d is not of the form \"[host]\"", n)
			}
			if !strings.Contains(host, "://") {
				host = "https://" + host
			}
			if host = fetch.Origin(host); host == "" {
				return nil, fmt.Errorf("line %d has no host, host:port or http://host:port", n)
			}
			list = append(list, fetch.Credential{Host: host, Header: http.Header{}})
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		if !ok || name == "" || strings.ContainsFunc(name, notToken) || strings.ContainsFunc(value, isControl) {
			return nil, fmt.Errorf("line %d is not of the form \"Name: value\"", n)
		}
		list[len(list)-1].Header.Add(name, value)
	}
	if first == "" { // a file URL: there is nobody to send them to
		list = list[1:]
	}
	return list, nil
}

// notToken reports whether a character can't be in a header's name (RFC 9110,
// 5.6.2).
func notToken(r rune) bool {
	return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
}

func isControl(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }

// parseNetrc reads the machine, login and password words of a netrc file
// (ftp(1)). An entry is for its host at any port, or for HOST:PORT, as its
// machine says. A "default" entry is refused: it would give a password to
// whatever host is asked.
func parseNetrc(text string) ([]fetch.Credential, error) {
	var list []fetch.Credential
	words, err := netrcWords(text)
	if err != nil {
		return nil, err
	}
	for len(words) > 0 {
		word := words[0]
		words = words[1:]
		switch {
		case word == "default":
			return nil, errors.New("a default entry is for every host, and so for the wrong one")
		case word != "machine" && word != "login" && word != "password" && word != "account":
			return nil, errors.New("not a netrc file of machine, login and password entries")
		case len(words) == 0:
			return nil, fmt.Errorf("%q ends the file", word)
		case word == "machine":
			list = append(list, fetch.Credential{Host: words[0]})
		case len(list) == 0:
			return nil, fmt.Errorf("%q before any machine", word)
		case word == "login":
			list[len(list)-1].User = words[0]
		case word == "password":
			list[len(list)-1].Password = words[0]
		}
		words = words[1:]
	}
	return list, nil
}

// netrcWords splits a netrc file as curl does: a word that begins with a
// quotation mark ends at the next, and has backslashes before marks and
// backslashes in it; a line that begins with # is a comment.
func netrcWords(text string) (words []string, err error) {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "#") {
			continue
		}
		for ; line != ""; line = strings.TrimLeft(line, " \t") {
			if line[0] != '"' {
				end := strings.IndexAny(line, " \t")
				if end < 0 {
					end = len(line)
				}
				words, line = append(words, line[:end]), line[end:]
				continue
			}
			var word []byte
			i := 1
			for ; i < len(line) && line[i] != '"'; i++ {
				if line[i] == '\\' && i+1 < len(line) {
					i++
				}
				word = append(word, line[i])
			}
			if i == len(line) {
				return nil, errors.New("a quotation mark without its second")
			}
			words, line = append(words, string(word)), line[i+1:]
		}
	}
	return words, nil
}
