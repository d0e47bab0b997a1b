package cli

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"lxc-pull/fetch"
)

// This file reads the user's credentials for servers from a netrc file and a file of header
// lines. Both come from files alone, since lxc-create writes its arguments into the container's
// config, and ps(1) shows them to everybody. Each credential is for one host and is never sent
// to another host.

// maxCredentials is the largest file that is read here, in bytes.
const maxCredentials = 64 << 10

// credentials reads the netrc file (--netrc-file, else NETRC) and --header-file. Header lines
// that name no host are for the origin of the URL first.
func (n *networkOptions) credentials(first string) ([]fetch.Credential, error) {
	netrc, what := n.files.netrc, "--netrc-file"
	if netrc == "" {
		netrc, what = os.Getenv("NETRC"), "NETRC"
	}
	var list []fetch.Credential
	if netrc != "" {
		data, err := readFile(netrc, maxCredentials)
		if err == nil {
			list, err = parseNetrc(string(data))
		}
		if err != nil {
			return nil, fmt.Errorf("%s %q: %w", what, netrc, withoutPath(err))
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
		return nil, fmt.Errorf("--header-file %q: %w", n.files.header, err)
	}
	return append(list, headers...), nil
}

// parseHeaders reads lines of the form "Name: value". A line "[host]" says to which origin the
// lines after it go; it means https unless it begins with "http://". The lines before it go to
// the origin first, or nowhere if first is "". Empty lines and lines that begin with # are
// skipped. An error never shows a value, since that is likely to be a secret.
func parseHeaders(text, first string) ([]fetch.Credential, error) {
	list := []fetch.Credential{{Host: first, Header: http.Header{}}}
	n := 0
	for _, line := range strings.Split(text, "\n") {
		n++
		line = strings.TrimRight(line, "\r\n")
		if line == "" || line[0] == '#' {
			continue
		}
		if host, ok := strings.CutPrefix(line, "["); ok {
			origin, err := parseHost(host)
			if err != nil {
				return nil, fmt.Errorf("line %d %w", n, err)
			}
			list = append(list, fetch.Credential{Host: origin, Header: http.Header{}})
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		if !ok || name == "" || strings.ContainsFunc(name, notToken) || strings.ContainsFunc(value, isControl) {
			return nil, fmt.Errorf("line %d is not of the form \"Name: value\"", n)
		}
		list[len(list)-1].Header.Add(name, value)
	}
	if first == "" { // a file URL has no server
		list = list[1:]
	}
	return list, nil
}

// parseHost returns the origin that a line "[host]" names; text is the line after its "[".
func parseHost(text string) (origin string, err error) {
	// The last "]" ends it: the host may itself be "[::1]".
	host, ok := strings.CutSuffix(strings.TrimSpace(text), "]")
	if !ok || host == "" {
		return "", errors.New("is not of the form \"[host]\"")
	}
	if !strings.Contains(host, "://") {
		host = "https://" + host
	}
	if origin = fetch.Origin(host); origin == "" {
		return "", errors.New("has no host, host:port or http://host:port in the brackets")
	}
	return origin, nil
}

// notToken reports whether a character may not be in the name of a header (RFC 9110, section
// 5.6.2).
func notToken(r rune) bool {
	return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
}

func isControl(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }

// parseNetrc reads a netrc file (ftp(1)) of machine, login, password and account entries.
// "machine HOST" is for the host at any port, "machine HOST:PORT" for that port. An entry
// "default" is an error, since it would send a password to every host that is asked.
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
			return nil, errors.New("a \"default\" entry is not supported: it would send a password to every host")
		case word != "machine" && word != "login" && word != "password" && word != "account":
			return nil, errors.New("not a netrc file of machine, login and password entries")
		case len(words) == 0:
			return nil, fmt.Errorf("no value after %q at the end", word)
		case word == "machine":
			list = append(list, fetch.Credential{Host: words[0]})
		case len(list) == 0:
			return nil, fmt.Errorf("%q before the first machine", word)
		case word == "login":
			list[len(list)-1].User = words[0]
		case word == "password":
			list[len(list)-1].Password = words[0]
		}
		words = words[1:]
	}
	return list, nil
}

// netrcWords splits a netrc file into words as curl does. A line that begins with # is a
// comment. A word that begins with a quotation mark ends at the next one; in such a word a
// backslash escapes a quotation mark or a backslash.
func netrcWords(text string) (words []string, err error) {
	for _, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "#") {
			continue
		}
		for ; line != ""; line = strings.TrimLeft(line, " \t") {
			var word string
			if line[0] == '"' {
				if word, line, err = quotedWord(line); err != nil {
					return nil, err
				}
			} else {
				end := strings.IndexAny(line, " \t")
				if end < 0 {
					end = len(line)
				}
				word, line = line[:end], line[end:]
			}
			addTo(&words, word)
		}
	}
	return words, nil
}

// quotedWord returns the word in quotation marks with which a line begins, and the rest of
// the line.
func quotedWord(line string) (word, rest string, err error) {
	var b []byte
	for i := 1; i < len(line); i++ {
		switch {
		case line[i] == '"':
			return string(b), line[i+1:], nil
		case line[i] == '\\' && i+1 < len(line):
			i++
		}
		b = append(b, line[i])
	}
	return "", "", errors.New("a quotation mark is not closed")
}
