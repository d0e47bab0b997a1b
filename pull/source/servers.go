package source

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

// DefaultServer is the stock template's image server, the one whose key is built in
// (pgp.LinuxContainers).
const DefaultServer = "images.linuxcontainers.org"

// maxServers bounds how many servers, and how many mirrors, a run may have: the
// largest distribution has 400 mirrors.
const maxServers = 1000

// A server is the base URL of an image tree and what this run knows of it.
type server struct {
	url    string // no slash at the end
	failed error  // why it is not asked for signed text again; nil: it is asked

	// What downloads found out. They know the digest, so that any server's bytes do.
	out     bool     // it sent wrong bytes or can't be reached: it is not asked again in this run
	last    bool     // it failed and may have recovered: it is asked after the others
	missing []string // URLs of builds' directories that it does not have

	list *signedList // of images; nil: not read yet
	// reread says that list was read a second time, since the first named a build
	// that is not there.
	reread bool
}

// A signedList is a server's list of images.
type signedList struct {
	index image.Index
	by    signers
	proof evidence // the list itself and its signature
}

// Servers are the image servers and mirrors of a run. Signed text comes from one
// server at a time, in the order in which they were added; the files of a build,
// whose digest the signed text tells, come from every server and mirror that has
// them.
type Servers struct {
	list    []*server
	mirrors []*server // their bytes are checked, and nothing that they say is believed

	mu sync.Mutex // guards out, last and missing of each, which downloads side by side may set
}

// Add adds an image server by its name (see serverURL), unless it is there
// already. The error shows no password.
func (s *Servers) Add(name string) (err error) {
	s.list, err = s.add(s.list, name)
	return err
}

// AddMirror adds a server that only files whose digest is known are taken from.
func (s *Servers) AddMirror(name string) (err error) {
	s.mirrors, err = s.add(s.mirrors, name)
	return err
}

// add returns list with the server of that name, once.
func (s *Servers) add(list []*server, name string) ([]*server, error) {
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
		return append(list, s.list[i]), nil // an image server that is a mirror too
	}
	return append(list, &server{url: u}), nil
}

// serverURL returns the base URL of a server. HOST[:PORT][/PATH] means https, as for
// the stock template. No error shows what may be a password.
func serverURL(server string) (string, error) {
	scheme, rest, _ := strings.Cut(server, ":")
	switch {
	case strings.Contains(server, "://"):
	case strings.HasPrefix(server, "/"), strings.HasPrefix(server, "."), strings.HasPrefix(server, "~"):
		return "", errors.New("a directory is given as file:///DIR, from the root directory on")
	case scheme == "file":
		return "", errors.New("after file: come three slashes: file:///DIR")
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

// current returns the server whose signed text counts now: the first that has not
// failed, nil if all have.
func (s *Servers) current() *server {
	for _, each := range s.list {
		if each.failed == nil {
			return each
		}
	}
	return nil
}

// others reports whether there is a server to turn to when the current one
// fails.
func (s *Servers) others() bool {
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
func (s *Servers) giveUp(err error) *server {
	s.current().failed = err
	return s.current()
}

// verdict returns the error to end with when all servers have failed: the most
// severe.
func (s *Servers) verdict() error {
	var verdict error
	for _, each := range s.list {
		if verdict == nil || severity(each.failed) > severity(verdict) {
			verdict = each.failed
		}
	}
	return verdict
}

// files returns the URLs of a file whose bytes will be checked, in the order in
// which to ask: mirrors, the server that names it, the other servers; those
// that failed before come last.
func (s *Servers) files(path string) []string {
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
		case each.failed != nil || each.out || slices.Contains(urls, u) || slices.Contains(late, u):
		case each != current && slices.Contains(each.missing, dirOf(u)):
		case each.last:
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

// dirOf cuts the file's name off a URL.
func dirOf(u string) string { return u[:strings.LastIndexByte(u, '/')+1] }

// find returns the server that a URL is of; nil: none.
func (s *Servers) find(u string) *server {
	var found *server
	for _, each := range slices.Concat(s.list, s.mirrors) {
		if strings.HasPrefix(u, each.url+"/") && (found == nil || len(each.url) > len(found.url)) {
			found = each
		}
	}
	return found
}

// Failed notes a failure after which another server is asked: one that is down, or
// has no such build, is not asked for another file of it. It is for
// fetch.ReportOptions.Notify.
func (s *Servers) Failed(e fetch.Event) {
	each := s.find(e.Err.URL)
	if each == nil || each == s.find(e.Next) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case Offline(e.Err):
		each.out = true
	case absent(e.Err):
		each.missing = append(each.missing, dirOf(e.Err.URL))
	default:
		each.last = true
	}
}

// noteWrong notes that bytes which came from sources were wrong, if that tells which
// server sent them.
func (s *Servers) noteWrong(sources []string) {
	if len(sources) != 1 {
		return
	}
	if each := s.find(sources[0]); each != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		each.out = true
	}
}

// safe reports whether a URL's bytes may meet the decoders before they are
// verified: over plain http anybody on the way could feed them, and a mirror is
// somebody else's machine.
func (s *Servers) safe(u string) bool {
	each := s.find(u)
	return each != nil && !slices.Contains(s.mirrors, each) && !strings.HasPrefix(u, "http:")
}

// hasNot reports whether err says that the current server has no such file.
func (s *Servers) hasNot(err error) bool {
	return slices.ContainsFunc(fetch.Failures(err), func(e *fetch.Error) bool {
		return absent(e) && s.find(e.URL) == s.current()
	})
}

// withholds reports whether err says that the current server has no such file,
// or gives it to nobody. Of a file that need not be there that is the same: stores of
// objects answer 403 for what is absent, other servers a web page.
func (s *Servers) withholds(err error) bool {
	return slices.ContainsFunc(fetch.Failures(err), func(e *fetch.Error) bool {
		refused := e.Kind == fetch.KindHTML || e.Kind == fetch.KindStatus && (e.Status == 401 || e.Status == 403)
		return (refused || absent(e)) && s.find(e.URL) == s.current()
	})
}

// absent reports whether a failure is the answer that there is no such file.
func absent(e *fetch.Error) bool {
	return e.Kind == fetch.KindStatus && (e.Status == 404 || e.Status == 410) || e.Kind == fetch.KindFile && errors.Is(e.Err, fs.ErrNotExist)
}

// URLs returns the base URLs of the image servers, without mirrors.
func (s *Servers) URLs() []string {
	var urls []string
	for _, each := range s.list {
		urls = append(urls, each.url)
	}
	return urls
}
