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
//	                                                  wait or flush; T is the phase in words
//	{"event": "progress", "phase": P, "bytes": N, "total": N}
//	                                                  at most five a second; total may be null
//	{"event": "image", "image": "DIST/RELEASE/ARCH/VARIANT", "build": B, "digest": D, "cached": true}
//	                                                  once; D is the SHA-256 of the root file
//	                                                  system, null if it is not known yet
//	{"event": "warning", "code": C, "text": T}        C is one of the codes in codes.go
//	{"event": "result", "exit": N, "code": C, "text": T, "remedy": R}
//	                                                  the last one; after success C is "ok"
//
// Programs must ignore events and fields that they do not know: later versions may add some.

// An events writes events to a descriptor. A nil *events writes nothing.
type events struct {
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
	return flag{long: "json-fd", value: "N", help: "write events as JSON to file descriptor N", into: (*ui).openEvents, exact: true, more: true}
}

// jsonFlag returns the flag --json of a command that has no JSON of its own.
func jsonFlag() flag {
	return flag{long: "json", help: "write events as JSON to standard output, and nothing else", into: func(u *ui, _ string) error { return u.openEvents("1") }, exact: true, more: true}
}

// bind makes the flags that set something of the ui do so. It adds --json-fd, without a help
// text, to a command that does not have it.
func (u *ui) bind(groups []group) []group {
	hidden := eventsFlag()
	hidden.help = ""
	for _, g := range groups {
		for i := range g.flags {
			if g.flags[i].long == hidden.long {
				hidden.long = ""
			}
		}
	}
	if hidden.long != "" {
		groups = append(groups, group{flags: []flag{hidden}})
	}
	for _, g := range groups {
		for i := range g.flags {
			if set, ok := g.flags[i].into.(func(*ui, string) error); ok {
				g.flags[i].into = func(value string) error { return set(u, value) }
			}
		}
	}
	return groups
}

// findEvents opens the events after a usage error in arguments that were not parsed to the end.
func (u *ui) findEvents(args []string) {
	for i, arg := range args {
		value, found := strings.CutPrefix(arg, "--json-fd=")
		switch {
		case found:
		case arg == "--json-fd" && i+1 < len(args):
			value = args[i+1]
		case arg == "--json" && (u.command == "create" || u.command == "rootfs" || u.command == "fetch"):
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
	if n == 1 {
		u.out = u.err
	}
	u.events = &events{fd: int(n)}
	return nil
}

// send writes an event: its name, and keys and values by turns. A value is text, or JSON if its
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
	patience := eventsPatience
	if name == "progress" { // the next one says more
		patience = 0
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for len(line) > 0 && !e.gone {
		poll := []unix.PollFd{{Fd: int32(e.fd), Events: unix.POLLOUT}}
		n, err := unix.Poll(poll, patience)
		switch {
		case err == unix.EINTR:
			continue
		case n == 0 && name == "progress":
			return
		case n > 0:
			// unix.Write returns EPIPE; os.File.Write would end the process for descriptor 1.
			n, err = unix.Write(e.fd, line)
		}
		e.gone = n <= 0 && err != unix.EINTR && err != unix.EAGAIN
		line = line[max(n, 0):]
	}
}

// phases has a line for each phase: the beginning of its words, and its name.
const phases = `Downloading the image index=index
Downloading the metadata=metadata
Downloading the=download
Unpacking=unpack
Waiting=wait
Flushing=flush
`

// phase tells that a phase begins, if text is the beginning of one.
func (e *events) phase(text string) {
	for rest := phases; e != nil && rest != ""; {
		var line string
		line, rest, _ = strings.Cut(rest, "\n")
		words, name, _ := strings.Cut(line, "=")
		if !strings.HasPrefix(text, words) {
			continue
		}
		if e.last != name || strings.Contains(text, "/") { // another layer is another phase
			e.last = name
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
	of := "null"
	if total >= 0 {
		of = strconv.FormatInt(total, 10)
	}
	e.send("progress", "phase", e.last, "#bytes", strconv.FormatInt(done, 10), "#total", of)
}

// image tells which image the run uses.
func (e *events) image(i image.Image, digest string, cached bool) {
	if digest = jsonString(digest); digest == `""` {
		digest = "null"
	}
	e.send("image", "image", i.Name.String(), "build", i.Build, "#digest", digest, "#cached", strconv.FormatBool(cached))
}
