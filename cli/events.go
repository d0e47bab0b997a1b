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

// bind returns the groups with the flags that set something of the ui, which knows --json-fd
// for each command.
func (u *ui) bind(groups []group) []group {
	known := false
	for _, g := range groups {
		for i := range g.flags {
			f := &g.flags[i]
			known = known || f.long == "json-fd"
			if set, ok := f.into.(func(*ui, string) error); ok {
				f.into = func(value string) error { return set(u, value) }
			}
		}
	}
	if !known {
		groups = append(groups, group{flags: []flag{{long: "json-fd", value: "N", into: u.openEvents, exact: true}}})
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

// ready reports whether the descriptor takes bytes within that time, in milliseconds.
func (e *events) ready(wait int) bool {
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(e.fd), Events: unix.POLLOUT}}, wait)
		if err != unix.EINTR {
			return n > 0
		}
	}
}

// send writes an event. The run goes on without events if that fails.
func (e *events) send(o jsonObject) {
	line := []byte("{" + strings.Join(o, ", ") + "}\n")
	for len(line) > 0 && !e.gone {
		// unix.Write returns EPIPE; os.File.Write would end the process for descriptor 1.
		e.gone = !e.ready(eventsPatience)
		n, err := 0, error(nil)
		if !e.gone {
			n, err = unix.Write(e.fd, line)
		}
		if err != nil && err != unix.EINTR && err != unix.EAGAIN {
			e.gone = true
		}
		line = line[max(n, 0):]
	}
}

// event returns an object with the name of an event.
func event(name string) (o jsonObject) {
	o.text("event", name)
	return o
}

// phase tells that a phase begins, if text is the beginning of one.
func (e *events) phase(text string) {
	if e == nil {
		return
	}
	for word := range strings.SplitSeq("Downloading the image index=index;Downloading the metadata=metadata;Downloading the=download;Unpacking=unpack;Waiting=wait;Flushing=flush", ";") {
		beginning, name, _ := strings.Cut(word, "=")
		if !strings.HasPrefix(text, beginning) {
			continue
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.last != name || strings.Contains(text, "/") { // another layer is another phase
			e.last = name
			o := event("phase")
			o.text("phase", name)
			o.text("text", text)
			e.send(o)
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
	defer e.mu.Unlock()
	if !e.ready(0) { // the next one says more
		return
	}
	o := event("progress")
	o.text("phase", e.last)
	o.raw("bytes", strconv.FormatInt(done, 10))
	o.raw("total", "null")
	if total >= 0 {
		o[len(o)-1] = `"total": ` + strconv.FormatInt(total, 10)
	}
	e.send(o)
}

// image tells which image the run uses.
func (e *events) image(i image.Image, digest string, cached bool) {
	if e == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	o := event("image")
	o.text("image", i.Name.String())
	o.text("build", i.Build)
	o.raw("digest", "null")
	if digest != "" {
		o[len(o)-1] = `"digest": ` + jsonString(digest)
	}
	o.raw("cached", strconv.FormatBool(cached))
	e.send(o)
}

// warning tells a warning.
func (e *events) warning(code, text string) {
	if e == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	o := event("warning")
	o.text("code", code)
	o.text("text", text)
	e.send(o)
}

// result tells how the run ended.
func (e *events) result(exit int, code, text, remedy string) {
	if e == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	o := event("result")
	o.raw("exit", strconv.Itoa(exit))
	o.text("code", code)
	o.text("text", text)
	o.text("remedy", remedy)
	e.send(o)
}
