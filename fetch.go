package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"lxc-pull/fetch"
)

const fetchUsage = `usage: lxc-pull fetch [OPTION]... URL...

Fetches a file over https, http, or from a file URL. What a broken connection
left is continued, by the same call or a later one; FILE appears when it is
complete. Several URLs name the same file; they need --sha256.

  -o, --output FILE     write to FILE, "-" for standard output; without it the
                        last part of the URL, which must not exist yet
      --sha256 HEX      the file must have this digest
      --html            a web page is what I want; else it is an error, as
                        login pages of networks come in place of files
      --limit-rate N    bytes per second, or 200K, 2M
  -4, -6                IPv4 only, IPv6 only
      --cacert FILE     trust the certificates in FILE too; again for more
      --dns ADDRESS     ask this name server; again for more
      --resolve HOST:ADDRESS   connect to ADDRESS for HOST
      --time TIME       judge certificates as of that time, not by the clock
      --header-file F   send the lines of F ("Name: value") to the URLs' hosts
      --netrc-file F    users and passwords by host, as in ~/.netrc; else the
                        file that NETRC in the environment names
  -q, --quiet           errors only
  -v, --verbose

Proxies are taken from http_proxy, https_proxy and no_proxy. Example:

  lxc-pull fetch -o rootfs.tar.xz https://example.org/images/rootfs.tar.xz
`

// maxCredentials bounds a header or netrc file.
const maxCredentials = 64 << 10

// A fetchCall is one call of the command, parsed.
type fetchCall struct {
	ui      *ui
	urls    []string
	output  string
	digest  []byte // nil: not known
	html    bool
	network fetch.Options
}

// fetchCommand brings one file: wget's place.
func fetchCommand(ctx context.Context, ui *ui, args []string) error {
	flags, operands, err := getopt(args, []option{
		{short: 'o', long: "output", arg: true},
		{long: "sha256", arg: true},
		{long: "html"},
		{long: "limit-rate", arg: true},
		{short: '4', long: "ipv4"},
		{short: '6', long: "ipv6"},
		{long: "cacert", arg: true},
		{long: "dns", arg: true},
		{long: "resolve", arg: true},
		{long: "time", arg: true},
		{long: "header-file", arg: true},
		{long: "netrc-file", arg: true},
		{short: 'q', long: "quiet"},
		{short: 'v', long: "verbose"},
		{short: 'h', long: "help"},
	})
	if err != nil {
		return err
	}
	call := &fetchCall{ui: ui, urls: operands}
	call.network.UserAgent = "lxc-pull/" + version()
	call.network.Resolve = map[string][]string{}
	var given time.Time
	netrc, headers := os.Getenv("NETRC"), ""
	for _, f := range flags {
		var err error
		switch f.name {
		case "output":
			call.output = f.value
		case "sha256":
			call.digest, err = hex.DecodeString(f.value)
			if err == nil && len(call.digest) != sha256.Size {
				err = fmt.Errorf("not %d hexadecimal digits", 2*sha256.Size)
			}
		case "html":
			call.html = true
		case "limit-rate":
			call.network.LimitRate, err = parseSize(f.value)
		case "ipv4":
			call.network.IPv4Only = true
		case "ipv6":
			call.network.IPv6Only = true
		case "cacert":
			call.network.CACerts = append(call.network.CACerts, f.value)
		case "dns":
			call.network.DNS = append(call.network.DNS, f.value)
		case "resolve":
			host, address, _ := strings.Cut(f.value, ":")
			host = strings.ToLower(host)
			if _, err = netip.ParseAddr(strings.Trim(address, "[]")); err == nil && host == "" {
				err = errors.New("no host name")
			}
			call.network.Resolve[host] = append(call.network.Resolve[host], strings.Trim(address, "[]"))
		case "time":
			given, err = parseTime(f.value)
		case "header-file":
			headers = f.value
		case "netrc-file":
			netrc = f.value
		case "quiet":
			ui.quiet = true
		case "verbose":
			ui.verbose = true
		case "help":
			_, err := io.WriteString(ui.out, fetchUsage)
			return err
		}
		if err != nil {
			return usageErrorf("--%s %q: %v", f.name, f.value, err)
		}
	}
	switch {
	case len(call.urls) == 0:
		return usageErrorf("fetch takes a URL")
	case len(call.urls) > 1 && call.digest == nil:
		return usageErrorf("several URLs name one file, and nothing but --sha256 can tell that they do")
	}
	if err := call.name(); err != nil {
		return err
	}
	call.network.Now = func() time.Time { return now(given, time.Now()) }
	call.network.Notify = call.retried
	if call.network.Credentials, err = credentials(netrc, headers, call.urls); err != nil {
		return err
	}
	client, err := fetch.NewClient(call.network)
	if err != nil {
		return usageErrorf("%v", err)
	}
	defer client.Close()
	defer func() {
		if trust := client.Trust(); trust != "" {
			ui.notef("servers' certificates were judged by those of %s", printable(trust))
		}
	}()
	if call.output == "-" {
		return call.to(ctx, client, ui.out)
	}
	info, err := os.Stat(call.output)
	switch {
	case err != nil || info.Mode().IsRegular():
		return call.toFile(ctx, client)
	case info.IsDir():
		return usageErrorf("%q is a folder", call.output)
	}
	// A device or a pipe is written to, never replaced.
	f, err := os.OpenFile(call.output, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	return call.to(ctx, client, f)
}

// retried tells of a failure that is followed by another attempt.
func (c *fetchCall) retried(e fetch.Event) {
	next := "trying " + printable(e.Next)
	if e.Next == e.Err.URL {
		next = "trying again"
	}
	if e.Wait > 0 {
		next += " in " + e.Wait.Round(time.Second/10).String()
	}
	if e.Offset > 0 {
		next += ", from " + byteCount(e.Offset) + " on"
	}
	c.ui.warnf("%s; %s", printable(e.Err.Error()), next)
}

// name finds the output's name.
func (c *fetchCall) name() error {
	if c.output != "" {
		return nil
	}
	u, err := url.Parse(c.urls[0])
	if err != nil {
		return usageErrorf("%q is not a URL", c.urls[0])
	}
	name := path.Base(u.Path)
	if name == "." || name == "/" || name == ".." || strings.HasSuffix(u.Path, "/") || name != printable(name) {
		return usageErrorf("the URL has no file name in it: use -o FILE")
	}
	if _, err := os.Lstat(name); err == nil {
		return usageErrorf("%q exists: use -o %s to replace it", name, name)
	}
	c.output = name
	return nil
}

// request is what the client is asked for, from offset on.
func (c *fetchCall) request(urls []string, offset int64, validator string) fetch.Request {
	return fetch.Request{URLs: urls, Pinned: c.digest != nil, Offset: offset, Validator: validator, HTML: c.html}
}

// check compares what came with --sha256.
func (c *fetchCall) check(sum hash.Hash) error {
	if c.digest == nil || bytes.Equal(sum.Sum(nil), c.digest) {
		return nil
	}
	return &unverifiedError{"file", fmt.Errorf("its SHA-256 is %x, not %x", sum.Sum(nil), c.digest)}
}

// to writes the file to w as it comes, before its digest is known.
func (c *fetchCall) to(ctx context.Context, client *fetch.Client, w io.Writer) error {
	body, err := client.Open(ctx, c.request(c.urls, 0, ""))
	if err != nil {
		return err
	}
	defer body.Close()
	sum := sha256.New()
	if _, err := io.Copy(io.MultiWriter(w, sum), body); err != nil {
		return err
	}
	return c.check(sum)
}

// toFile fetches into FILE.part and renames it when it is complete. Beside it,
// FILE.part.from says of which file of which URL its bytes are, so that a later
// call can go on with them.
func (c *fetchCall) toFile(ctx context.Context, client *fetch.Client) error {
	part := c.output + ".part"
	f, err := os.OpenFile(part, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o666)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err == unix.EWOULDBLOCK {
		return fmt.Errorf("%q is being written by another process", part)
	}
	// The file may have been complete, and renamed, before we had the lock.
	if mine, err := f.Stat(); err != nil {
		return err
	} else if there, err := os.Lstat(part); err != nil || !os.SameFile(mine, there) {
		return fmt.Errorf("%q is being written by another process", part)
	}
	err = c.complete(ctx, client, f)
	if info, statErr := f.Stat(); err != nil && statErr == nil && info.Size() == 0 {
		os.Remove(part)
		os.Remove(part + ".from")
	}
	if err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Rename(part, c.output); err != nil {
		return err
	}
	os.Remove(part + ".from")
	return nil
}

// complete fetches until the file is whole and right. A file that changes under
// the download is begun anew. So is one with a wrong digest, in another way:
// bytes of an earlier call are not used again, bytes of several servers are
// fetched from one at a time, and a server that gave wrong ones alone is not
// asked again.
func (c *fetchCall) complete(ctx context.Context, client *fetch.Client, f *os.File) error {
	const restarts = 3 // of a file that changes
	changes := 0
	ways := [][]string{c.urls}
	var bad error // the first wrong digest
	for {
		had, sources, err := c.into(ctx, client, f, ways[0])
		var network *fetch.Error
		var wrong *unverifiedError
		switch {
		case err == nil || ctx.Err() != nil:
			return err
		case errors.As(err, &wrong):
			if bad == nil {
				bad = err
			}
			if had == 0 {
				ways = append(otherWays(ways[0], sources), ways[1:]...)
			}
		case errors.As(err, &network) && network.Kind == fetch.KindChanged && changes < restarts:
			changes++
		case bad == nil:
			return err // what has come stays for a later call
		default:
			ways = ways[1:]
		}
		if err := f.Truncate(0); err != nil {
			return err
		}
		os.Remove(f.Name() + ".from")
		if len(ways) == 0 {
			return bad
		}
		c.ui.warnf("%s; starting again", printable(err.Error()))
	}
}

// otherWays returns which URLs to ask, in which company, after those of sources
// gave bytes that together are wrong.
func otherWays(urls, sources []string) [][]string {
	switch {
	case len(urls) == 1:
		return nil
	case len(sources) == 1:
		return [][]string{slices.DeleteFunc(slices.Clone(urls), func(u string) bool { return u == sources[0] })}
	}
	var ways [][]string
	for _, u := range urls {
		ways = append(ways, []string{u})
	}
	return ways
}

// into completes the file f, whose had bytes, if any, an earlier call left. It
// returns which URLs the others came from.
func (c *fetchCall) into(ctx context.Context, client *fetch.Client, f *os.File, urls []string) (had int64, sources []string, err error) {
	from := f.Name() + ".from"
	validator := c.validator(from)
	if c.digest == nil && validator == "" {
		if err := f.Truncate(0); err != nil {
			return 0, nil, err
		}
	}
	writers := []io.Writer{f}
	sum := sha256.New()
	if c.digest == nil {
		had, err = f.Seek(0, io.SeekEnd)
	} else if _, err = f.Seek(0, io.SeekStart); err == nil {
		writers = append(writers, sum) // which costs a small router more than the rest
		had, err = io.Copy(sum, f)
	}
	if err != nil {
		return 0, nil, err
	}
	if had > 0 {
		c.ui.notef("going on from byte %d", had)
	}
	body, err := client.Open(ctx, c.request(urls, had, validator))
	if err != nil {
		return had, nil, err
	}
	defer body.Close()
	if body.Validator != "" && len(c.urls) == 1 {
		// Without it a later call begins anew; no reason to fail.
		os.WriteFile(from, []byte(c.tag()+"\n"+body.Validator+"\n"), 0o666)
	}
	missing := int64(-1)
	if body.Size >= 0 {
		missing = body.Size - had
	}
	progress := c.ui.begin(path.Base(c.output), missing)
	defer progress.end()
	if _, err = io.Copy(io.MultiWriter(append(writers, progress)...), body); err == nil {
		err = c.check(sum)
	}
	return had, body.Sources(), err
}

// tag stands for the URL, which may hold a password.
func (c *fetchCall) tag() string {
	return fmt.Sprintf("%x", sha256.Sum256([]byte(c.urls[0])))
}

// validator reads FILE.part.from; "" when it is of another URL.
func (c *fetchCall) validator(from string) string {
	data, err := readFileLimit(from, maxCredentials)
	if err != nil {
		return ""
	}
	lines := strings.Split(string(data), "\n")
	if len(lines) != 3 || lines[0] != c.tag() {
		return ""
	}
	return lines[1]
}

// credentials reads a netrc file and a file of header lines; the latter are
// for the hosts of the URLs. They come from files alone: lxc-create writes its
// arguments into the container's config, and ps shows them to everybody.
func credentials(netrc, headers string, urls []string) ([]fetch.Credential, error) {
	var list []fetch.Credential
	if netrc != "" {
		data, err := readFileLimit(netrc, maxCredentials)
		if err != nil {
			return nil, err
		}
		if list, err = parseNetrc(string(data)); err != nil {
			return nil, fmt.Errorf("%q: %w", netrc, err)
		}
	}
	if headers == "" {
		return list, nil
	}
	data, err := readFileLimit(headers, maxCredentials)
	if err != nil {
		return nil, err
	}
	header, err := parseHeader(string(data))
	if err != nil {
		return nil, fmt.Errorf("%q: %w", headers, err)
	}
	for _, raw := range urls {
		if u, err := url.Parse(raw); err == nil && u.Host != "" {
			list = append(list, fetch.Credential{Host: u.Host, Header: header})
		}
	}
	return list, nil
}

// parseHeader reads lines "Name: value"; empty ones and those that begin with #
// are passed over. A message never shows a value: it is likely to be a secret.
func parseHeader(text string) (http.Header, error) {
	header := http.Header{}
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimRight(line, "\r\n")
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		if !ok || name == "" || strings.ContainsFunc(name, notToken) || strings.ContainsFunc(value, isControl) {
			return nil, fmt.Errorf("line %d is not of the form \"Name: value\"", n)
		}
		header.Add(name, value)
	}
	return header, nil
}

// notToken reports whether a character can't be in a header's name (RFC 9110,
// 5.6.2).
func notToken(r rune) bool {
	return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
}

func isControl(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }

// parseNetrc reads the machine, login and password words of a netrc file
// (ftp(1)). A "default" entry is refused: it would give a password to whatever
// host is asked.
func parseNetrc(text string) ([]fetch.Credential, error) {
	var list []fetch.Credential
	words := strings.Fields(text)
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
