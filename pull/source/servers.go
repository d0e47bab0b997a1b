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

// maxServers is the largest number of servers, and of mirrors, of a run. The largest
// distribution has 400 mirrors.
const maxServers = 1000

// A server is an image server or mirror, and what this run has found out about it.
type server struct {
	url    string // the base URL, without a slash at the end
	failed error  // why it is not asked for lists and signatures again; nil: it may be asked

	// Set by downloads of files whose digest is known, which any server may give.
	out     bool     // it sent wrong bytes or can't be reached: it is not asked again in this run
	last    bool     // it failed and may have recovered: it is asked after the others
	missing []string // URLs of the directories of builds that it does not have

	list   *signedList // its list of images; nil: not read yet
	reread bool        // list was read a second time, because the first named a build that is not there
}

// A signedList is a server's list of images.
type signedList struct {
	index image.Index
	by    signers
	proof evidence // the list's text and its signature
}

// Servers are the image servers and mirrors of a run. Lists and signatures come from one
// server at a time, in the order in which the servers were added. The files of a build,
// whose digests are known then, come from any server or mirror that has them.
type Servers struct {
	list    []*server
	mirrors []*server // asked only for files whose digest is known

	mu sync.Mutex // guards out, last and missing of each server, which concurrent downloads set
}

// Add adds an image server by its name, HOST[:PORT][/PATH] or a URL of scheme https, http or
// file. A name that was added before is no error. The error shows no password.
func (s *Servers) Add(name string) (err error) {
	s.list, err = s.add(s.list, name)
	return err
}

// AddMirror adds a server that is asked only for files whose digest is known. The name is as
// for Add.
func (s *Servers) AddMirror(name string) (err error) {
	s.mirrors, err = s.add(s.mirrors, name)
	return err
}

// add returns list with the server of that name added, unless list has it.
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

// serverURL returns the base URL of a server. HOST[:PORT][/PATH] means https, as for the stock
// template. The error shows nothing of server, which may hold a password.
func serverURL(server string) (string, error) {
	scheme, rest, _ := strings.Cut(server, ":")
	switch {
	case strings.Contains(server, "://"):
	case strings.HasPrefix(server, "/"), strings.HasPrefix(server, "."), strings.HasPrefix(server, "~"):
		return "", errors.New("a directory is written file:///DIR, with its absolute path")
	case scheme == "file":
		return "", errors.New("file: needs three slashes: file:///DIR")
	case (scheme == "http" || scheme == "https") && strings.HasPrefix(rest, "/"):
		return "", fmt.Errorf("%s: needs two slashes: %s://HOST", scheme, scheme)
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

// current returns the server that is asked for lists and signatures: the first that has not
// failed, nil if all have.
func (s *Servers) current() *server {
	for _, each := range s.list {
		if each.failed == nil {
			return each
		}
	}
	return nil
}

// others reports whether there is another server to ask if the current one fails.
func (s *Servers) others() bool {
	n := 0
	for _, each := range s.list {
		if each.failed == nil {
			n++
		}
	}
	return n > 1
}

// giveUp records that the current server failed with err, and returns the next server, nil if
// there is none.
func (s *Servers) giveUp(err error) *server {
	s.current().failed = err
	return s.current()
}

// verdict returns the most severe of the servers' errors, after all servers have failed.
func (s *Servers) verdict() error {
	var verdict error
	for _, each := range s.list {
		if verdict == nil || severity(each.failed) > severity(verdict) {
			verdict = each.failed
		}
	}
	return verdict
}

// files returns the URLs of a file whose digest is known, in the order in which to ask: the
// mirrors, the current server, the other servers, and at the end those that failed before.
func (s *Servers) files(path string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := slices.Clone(s.mirrors)
	current := s.current()
	if current != nil {
		all = append(all, current)
	}
	all = append(all, s.list...)
	var urls, last []string
	for _, each := range all {
		u := each.url + "/" + path
		switch {
		case each.failed != nil || each.out || slices.Contains(urls, u) || slices.Contains(last, u):
		case each != current && slices.Contains(each.missing, dirOf(u)):
		case each.last:
			last = append(last, u)
		default:
			urls = append(urls, u)
		}
	}
	if urls = append(urls, last...); len(urls) == 0 && current != nil {
		urls = []string{current.url + "/" + path} // its error says why it can't give the file
	}
	return urls
}

// dirOf returns a URL without the file's name.
func dirOf(u string) string { return u[:strings.LastIndexByte(u, '/')+1] }

// find returns the server to which a URL belongs, nil if there is none.
func (s *Servers) find(u string) *server {
	var found *server
	for _, each := range slices.Concat(s.list, s.mirrors) {
		if strings.HasPrefix(u, each.url+"/") && (found == nil || len(each.url) > len(found.url)) {
			found = each
		}
	}
	return found
}

// Failed records a failure after which another server is asked: a server that is down is not
// asked again, one that lacks a file is not asked for other files of the same build, and any
// other one is asked after the others. Pass it to fetch.ReportOptions.Notify.
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

// noteWrong records that the bytes from sources were wrong. If there are several sources,
// nothing tells which of them sent wrong bytes, and it records nothing.
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

// safe reports whether a decoder may read a URL's bytes before they are verified. Plain http
// can be altered on the way, and a mirror is run by others.
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

// withholds reports whether err says that the current server has no such file, or refuses to
// give it. For an optional file both mean the same: object stores answer 403 if a file does
// not exist, other servers answer with a web page.
func (s *Servers) withholds(err error) bool {
	return slices.ContainsFunc(fetch.Failures(err), func(e *fetch.Error) bool {
		refused := e.Kind == fetch.KindHTML || e.Kind == fetch.KindStatus && (e.Status == 401 || e.Status == 403)
		return (refused || absent(e)) && s.find(e.URL) == s.current()
	})
}

// absent reports whether a failure says that the file does not exist.
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
