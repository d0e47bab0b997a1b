package cli

import (
	"errors"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"lxc-pull/image"
)

// This file writes events for programs that call this one: --json-fd N writes each as a JSON
// object on a line of its own to the file descriptor N. --json is the same with N = 1, and
// standard output then gets nothing else. The objects are:
//
//	{"event": "phase", "phase": P, "text": T}         P is index, metadata, download, unpack,
//	                                                  compare, wait or flush; T is the phase in words
//	{"event": "progress", "phase": P, "bytes": N, "total": N}
//	                                                  at most five a second; total may be null
//	{"event": "image", "image": "DIST/RELEASE/ARCH/VARIANT", "build": B, "digest": D, "cached": true}
//	                                                  again when another copy is used; D is the
//	                                                  SHA-256 of the root file system, null if it
//	                                                  is not known yet. A container image also
//	                                                  has "reference": its complete name, with
//	                                                  the digest, and D is that of its manifest
//	{"event": "warning", "code": C, "text": T}        C is one of the codes in codes.txt
//	{"event": "result", "exit": N, "code": C, "text": T, "remedy": R}
//	                                                  the last one; after success C is "ok"
//
// Programs must ignore events and fields that they do not know: later versions may add some.

// An events writes events to a descriptor. A nil *events writes nothing.
type events struct {
	_    uncomparable
	fd   int
	mu   sync.Mutex
	last string // the phase
	gone bool   // the reader has closed its end, or does not read
}

// eventsPatience is how long the reader may keep an event waiting, in milliseconds. Then no
// more are written, since the run is worth more than they.
const eventsPatience = 10_000

// eventsFlag returns the flag --json-fd.
func eventsFlag() flag {
	return flag{long: "json-fd", value: "N", help: "write events as JSON to file descriptor N", into: (*ui)(nil), exact: true, more: true}
}

// jsonFlag returns the flag --json of a command that has no JSON of its own.
func jsonFlag() flag {
	return flag{long: "json", help: "write events as JSON to standard output, and nothing else", into: (*ui)(nil), exact: true, more: true}
}

// bind makes the flags that set something of the ui do so. It adds --json-fd, without a help
// text, to a command that does not have it.
func (u *ui) bind(groups []*group) []*group {
	known := false
	for i := range groups {
		for j := range groups[i].flags {
			f := &groups[i].flags[j]
			if _, ok := f.into.(*ui); ok {
				f.into = u
				known = known || f.value == "N"
			}
		}
	}
	if known {
		return groups
	}
	hidden := []flag{eventsFlag()}
	hidden[0].into, hidden[0].help = u, ""
	return append(groups, &group{"", hidden})
}

// setFlag sets a flag of the ui.
func (u *ui) setFlag(name, value string) error {
	switch {
	case name == "json":
		return u.openEvents("1")
	case name != "progress":
		return u.openEvents(value)
	case value == "auto":
		value = ""
	case value != "plain" && value != "none":
		return errors.New("not auto, plain or none")
	}
	u.screen.mode = value
	return nil
}

// findEvents opens the events after a usage error in arguments that were not parsed to the end.
func (u *ui) findEvents(args []string) {
	for i, arg := range args {
		value, found := strings.CutPrefix(arg, "--json-fd=")
		switch {
		case found:
		case arg == "--json-fd" && i+1 < len(args):
			value = args[i+1]
		case arg == "--json" && among("create rootfs fetch", u.command):
			value = "1"
		default:
			continue
		}
		u.openEvents(value)
	}
}

// openEvents sets --json-fd. The descriptor stays open in a program that replaces this one
// (enterNamespace), since that runs this command again.
func (u *ui) openEvents(value string) error {
	n, err := strconv.ParseUint(value, 10, 16)
	if err != nil || n == 0 {
		return errors.New("not the number of a descriptor, 1 or above")
	}
	// Descriptors that this process has opened itself are closed on exec, and inherited ones
	// are not.
	flags, err := unix.FcntlInt(uintptr(n), unix.F_GETFD, 0)
	if err != nil || flags&unix.FD_CLOEXEC != 0 {
		return errors.New("that descriptor is not open")
	}
	if mode, err := unix.FcntlInt(uintptr(n), unix.F_GETFL, 0); err != nil || mode&unix.O_ACCMODE == unix.O_RDONLY {
		return errors.New("that descriptor is not open for writing")
	}
	u.events = &events{fd: int(n)}
	return nil
}

// applyFlags does what the flags of the ui say, after all are parsed: a later one may have
// replaced an earlier one.
func (u *ui) applyFlags() {
	if u.screen.mode == "plain" {
		u.screen.columns = 0 // passing messages are lines as well
	}
	if u.events != nil && u.events.fd == 1 {
		u.out = u.err
	}
}

// send writes an event, of which "result" is the last: its name, and keys and values by turns. A value is text, or JSON if its
// key begins with "#". The run goes on without events if writing fails.
func (e *events) send(name string, fields ...string) {
	if e == nil {
		return
	}
	var o jsonObject
	o.text("event", name)
	for ; len(fields) > 1; fields = fields[2:] {
		if key, found := strings.CutPrefix(fields[0], "#"); found {
			o.raw(key, fields[1])
		} else {
			o.text(key, fields[1])
		}
	}
	line := []byte("{" + strings.Join(o, ", ") + "}\n")
	e.mu.Lock()
	last := name == "result"
	for len(line) > 0 && !e.gone {
		patience := eventsPatience
		if name == "progress" {
			patience = 0
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(e.fd), Events: unix.POLLOUT}}, patience)
		if n == 0 && err == nil && patience == 0 {
			break // the next one says more
		}
		if n > 0 {
			// unix.Write returns EPIPE; os.File.Write would end the process for descriptor 1.
			// A pipe that is ready takes 4096 bytes without waiting (PIPE_BUF, pipe(7)).
			if n, err = unix.Write(e.fd, line[:min(len(line), 4096)]); n > 0 {
				line = line[n:]
				name = "" // the rest must follow
			}
		}
		errno, _ := err.(unix.Errno)
		e.gone = n <= 0 && errno != unix.EINTR && errno != unix.EAGAIN
	}
	e.gone = e.gone || last
	e.mu.Unlock()
}

// phases has a line for each phase: the beginning of its words, and its name.
const phases = `Downloading the image index=index
Downloading the metadata=metadata
Downloading the=download
Reading the=download
Unpacking=unpack
Comparing=compare
Waiting=wait
Flushing=flush
`

// phase tells that a phase begins, if text is the beginning of one.
func (e *events) phase(text string) {
	if e == nil {
		return
	}
	for _, line := range strings.Split(phases, "\n") {
		words, name, found := strings.Cut(line, "=")
		if !found || !strings.HasPrefix(text, words) {
			continue
		}
		e.mu.Lock()
		begins := e.last != name || strings.Contains(text, "/") // another layer is another phase
		e.last = name
		e.mu.Unlock()
		if begins {
			e.send("phase", "phase", name, "text", text)
		}
		return
	}
}

// progress tells how many bytes of the phase are done.
func (e *events) progress(done, total int64) {
	if e == nil {
		return
	}
	e.mu.Lock()
	phase := e.last
	e.mu.Unlock()
	of := "null"
	if total >= 0 {
		of = strconv.FormatInt(total, 10)
	}
	e.send("progress", "phase", phase, "#bytes", strconv.FormatInt(done, 10), "#total", of)
}

// image tells which image the run uses.
func (e *events) image(i image.Image, digest string, cached bool) {
	if digest = jsonString(digest); digest == `""` {
		digest = "null"
	}
	var more []string
	if i.Reference != "" {
		more = []string{"reference", i.Reference}
	}
	e.send("image", append([]string{"image", i.Name.String(), "build", i.Build, "#digest", digest, "#cached", strconv.FormatBool(cached)}, more...)...)
}
