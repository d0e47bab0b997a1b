package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"slices"
	"strings"
	"sync"

	"lxc-pull/fetch"
	"lxc-pull/image"
)

// maxServers bounds how many servers a run may have, and maxMirrorList the file
// that names them, in bytes: the largest distribution has 400 mirrors.
const (
	maxServers    = 1000
	maxMirrorList = 256 << 10
)

// A server is the base URL of an image tree and what this run knows of it.
type server struct {
	url    string // no slash at the end
	failed error  // why it is not asked again; nil: it is

	// Of its files that a digest vouches for:
	lies  bool     // wrong bytes came from it, or none can: it is not asked again
	late  bool     // it failed and may have mended: it is asked after the others
	lacks []string // URLs of builds' folders that it does not have

	index  *image.Index // read once
	made   signature    // of index
	proof  evidence     // the list and its signature
	reread bool         // index is the second: it named a build that is not there
}

// servers are those of a run. Signed text comes from one server at a time, in
// the order given; the files of a build, whose digest the signed text tells,
// from every one that has them.
type servers struct {
	list    []*server // --server
	mirrors []*server // --mirror: nothing that they say is believed, their bytes are checked

	mu sync.Mutex // of lies, late and lacks, which downloads side by side may set
}

// newServers reads --server, --mirror and --mirror-list.
func newServers(opt *options) (*servers, error) {
	s := new(servers)
	names := opt.servers
	if len(names) == 0 {
		names = []string{defaultServer}
	}
	var err error
	for _, name := range names {
		if s.list, err = s.add(s.list, name); err != nil {
			return nil, usageErrorf("--server %q: %v", withoutPassword(name), err)
		}
	}
	for _, name := range opt.mirrors {
		if err := s.addMirror(name); err != nil {
			return nil, usageErrorf("--mirror %q: %v", withoutPassword(name), err)
		}
	}
	for _, file := range opt.mirrorLists {
		data, err := readFileLimit(file, maxMirrorList)
		if err != nil {
			return nil, err
		}
		n := 0
		for line := range strings.Lines(string(data)) {
			n++
			line, _, _ = strings.Cut(line, "#")
			if line = strings.TrimSpace(line); line == "" {
				continue
			}
			if err := s.addMirror(line); err != nil {
				return nil, usageErrorf("--mirror-list %q, line %d: %v", file, n, err)
			}
		}
	}
	return s, nil
}

// add returns list with the server of that name, once.
func (s *servers) add(list []*server, name string) ([]*server, error) {
	u, err := serverURL(name)
	if err != nil {
		return list, err
	}
	same := func(each *server) bool { return each.url == u }
	if slices.ContainsFunc(list, same) {
		return list, nil
	}
	if len(list) == maxServers {
		return list, fmt.Errorf("more than %d", maxServers)
	}
	if i := slices.IndexFunc(s.list, same); i >= 0 {
		return append(list, s.list[i]), nil // a --server that is a --mirror too
	}
	return append(list, &server{url: u}), nil
}

func (s *servers) addMirror(name string) (err error) {
	s.mirrors, err = s.add(s.mirrors, name)
	return err
}

// serverURL reads --server: HOST[:PORT][/PATH] means https, as for the stock
// template; a URL means what it says. No error shows what follows a user.
func serverURL(server string) (string, error) {
	scheme, rest, _ := strings.Cut(server, ":")
	switch {
	case strings.Contains(server, "://"):
	case strings.HasPrefix(server, "/"), strings.HasPrefix(server, "."), strings.HasPrefix(server, "~"):
		return "", errors.New("a folder is given as file:///FOLDER, from the root folder on")
	case scheme == "file":
		return "", errors.New("after file: come three slashes: file:///FOLDER")
	case (scheme == "http" || scheme == "https") && strings.HasPrefix(rest, "/"):
		return "", fmt.Errorf("after %s: come two slashes: %s://HOST", scheme, scheme)
	default:
		server = "https://" + server
	}
	u, err := url.Parse(server)
	switch {
	case err != nil:
		return "", errors.New("not a host name or URL")
	case u.Scheme != "https" && u.Scheme != "http" && u.Scheme != "file":
		return "", fmt.Errorf("unsupported scheme %q (use https, http or file)", u.Scheme)
	case u.User != nil:
		// lxc-create writes its arguments into the container's config.
		return "", errors.New("a password has no place in it: use --netrc-file or --header-file")
	case u.RawQuery != "" || u.Fragment != "":
		return "", errors.New("a query or fragment has no place in it")
	}
	server = strings.TrimRight(u.String(), "/")
	var bad *fetch.Error
	if errors.As(fetch.CheckURL(server), &bad) {
		return "", bad.Err
	}
	return server, nil
}

// withoutPassword returns what may be shown of a server's name as it was given.
func withoutPassword(name string) string {
	if i := strings.LastIndexByte(name, '@'); i >= 0 {
		name = name[i+1:]
	}
	name, _, _ = strings.Cut(name, "?")
	name, _, _ = strings.Cut(name, "#")
	return name
}

// current is the server whose signed text counts now: the first that has not
// failed. nil: all have.
func (s *servers) current() *server {
	for _, each := range s.list {
		if each.failed == nil {
			return each
		}
	}
	return nil
}

// others reports whether there is a server to turn to when the current one
// fails.
func (s *servers) others() bool {
	n := 0
	for _, each := range s.list {
		if each.failed == nil {
			n++
		}
	}
	return n > 1
}

// giveUp notes that the current server failed with err, and returns the next
// one, nil where there is none.
func (s *servers) giveUp(err error) *server {
	s.current().failed = err
	return s.current()
}

// verdict is the error to end with when all servers have failed: the gravest,
// for one that gives wrong bytes must not be hidden by another that is down.
func (s *servers) verdict() error {
	var verdict error
	for _, each := range s.list {
		if verdict == nil || gravity(each.failed) > gravity(verdict) {
			verdict = each.failed
		}
	}
	return verdict
}

func gravity(err error) int {
	switch status := exitStatus(err); {
	case status == exitUnverified:
		return 3
	case status == exitNoImage:
		return 2
	case !offline(err):
		return 1
	}
	return 0
}

// files returns the URLs of a file whose bytes will be checked, in the order in
// which to ask: mirrors, the server that names it, the other servers; those
// that failed before come last.
func (s *servers) files(path string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := slices.Clone(s.mirrors)
	current := s.current()
	if current != nil {
		all = append(all, current)
	}
	all = append(all, s.list...)
	var urls, late []string
	for _, each := range all {
		u := each.url + "/" + path
		switch {
		case each.failed != nil || each.lies || slices.Contains(urls, u) || slices.Contains(late, u):
		case each != current && slices.Contains(each.lacks, folderOf(u)):
		case each.late:
			late = append(late, u)
		default:
			urls = append(urls, u)
		}
	}
	if urls = append(urls, late...); len(urls) == 0 && current != nil {
		urls = []string{current.url + "/" + path} // it says why it can't
	}
	return urls
}

// folderOf cuts the file's name off a URL.
func folderOf(u string) string { return u[:strings.LastIndexByte(u, '/')+1] }

// find returns the server that a URL is of; nil: none.
func (s *servers) find(u string) *server {
	var found *server
	for _, each := range slices.Concat(s.list, s.mirrors) {
		if strings.HasPrefix(u, each.url+"/") && (found == nil || len(each.url) > len(found.url)) {
			found = each
		}
	}
	return found
}

// failed notes a failure after which another server is asked: one that is down
// or lacks the build is not asked for another file of it.
func (s *servers) failed(e fetch.Event) {
	each := s.find(e.Err.URL)
	if each == nil || each == s.find(e.Next) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case offline(e.Err):
		each.lies = true
	case absent(e.Err):
		each.lacks = append(each.lacks, folderOf(e.Err.URL))
	default:
		each.late = true
	}
}

// wrong notes that the bytes of one server alone were wrong.
func (s *servers) wrong(sources []string) {
	if len(sources) != 1 {
		return
	}
	if each := s.find(sources[0]); each != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		each.lies = true
	}
}

// safe reports whether a URL's bytes may meet the decoders before they are
// verified: over plain http anybody on the way could feed them, and a mirror is
// somebody else's machine.
func (s *servers) safe(u string) bool {
	each := s.find(u)
	return each != nil && !slices.Contains(s.mirrors, each) && !strings.HasPrefix(u, "http:")
}

// lacks reports whether err says that the current server has no such file.
func (s *servers) lacks(err error) bool {
	return slices.ContainsFunc(fetch.Failures(err), func(e *fetch.Error) bool {
		return absent(e) && s.find(e.URL) == s.current()
	})
}

// withholds reports whether err says that the current server has no such file,
// or gives it to nobody. Of a file that need not be there that is the same: stores of
// objects answer 403 for what is absent, other servers a web page.
func (s *servers) withholds(err error) bool {
	return slices.ContainsFunc(fetch.Failures(err), func(e *fetch.Error) bool {
		refused := e.Kind == fetch.KindHTML || e.Kind == fetch.KindStatus && (e.Status == 401 || e.Status == 403)
		return (refused || absent(e)) && s.find(e.URL) == s.current()
	})
}

// absent reports whether a failure is the answer that there is no such file.
func absent(e *fetch.Error) bool {
	return e.Kind == fetch.KindStatus && (e.Status == 404 || e.Status == 410) || e.Kind == fetch.KindFile && errors.Is(e.Err, fs.ErrNotExist)
}

// urls are the base URLs of --server.
func (s *servers) urls() []string {
	var urls []string
	for _, each := range s.list {
		urls = append(urls, each.url)
	}
	return urls
}

// offline reports whether an error says that no server was reached.
func offline(err error) bool {
	list := fetch.Failures(err)
	for _, e := range list {
		switch e.Kind {
		case fetch.KindDNS, fetch.KindRefused, fetch.KindUnreachable, fetch.KindTimeout:
		case fetch.KindProxy:
			if e.Status != 0 {
				return false
			}
		default:
			return false
		}
	}
	return len(list) > 0
}
