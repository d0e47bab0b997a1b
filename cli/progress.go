package cli

import (
	"io"
	"strconv"
	"strings"
	"time"

	"lxc-pull/pull/source"
)

// This file shows how far a phase is: as a line that is rewritten on a terminal, and
// elsewhere as a plain line now and then. A phase also tells the events (events.go).

// A progress is a phase that processes a number of bytes. A nil *progress shows nothing.
type progress struct {
	_     uncomparable
	ui    *ui
	phase string
	kept  int64     // bytes that were there before the phase began
	total int64     // with the kept bytes; -1: not known
	done  int64     // with the kept bytes
	start time.Time // when the first byte after the kept ones came
	shown time.Time // when the line was last written
	told  time.Time // when an event was last written
	wide  int       // width of the line on the terminal
}

const (
	// progressInterval is the time between two rewritings of the line, and between two events.
	// It is short enough to show that the program works, and long enough for a serial console.
	progressInterval = 200 * time.Millisecond
	// plainInterval is the time between two plain lines, and before the first of them.
	plainInterval = 10 * time.Second
)

// progressFlag returns the flag --progress.
func progressFlag() flag {
	return flag{long: "progress", value: "WHEN", help: "auto, plain (a line every ten seconds) or none", into: (*ui)(nil), exact: true, more: true}
}

// begin starts a phase of total bytes, -1 if that is not known; Close ends it.
func (u *ui) begin(phase string, total int64) *progress { return u.beginAt(phase, 0, total) }

// beginAt is begin for a phase of which an earlier run has done the first kept bytes. They
// count as done. If they are written to the progress again, they do not count twice.
func (u *ui) beginAt(phase string, kept, total int64) *progress {
	u.events.phase(phase)
	if u.events == nil && (u.quiet || u.screen.mode == "none") {
		return nil
	}
	now := time.Now()
	p := &progress{ui: u, phase: phase, kept: kept, total: total, start: now, shown: now}
	u.mu.Lock()
	if u.screen.columns > 0 {
		p.shown = time.Time{}
	}
	u.screen.progress = p
	u.mu.Unlock()
	return p
}

// Write counts bytes, so that io.TeeReader can write to a progress.
func (p *progress) Write(b []byte) (int, error) {
	if p == nil {
		return len(b), nil
	}
	u, now := p.ui, time.Now()
	u.mu.Lock()
	p.done += int64(len(b))
	if p.done <= p.kept {
		p.start = now
	}
	if now.Sub(p.told) >= progressInterval {
		p.told = now
		u.events.progress(max(p.done, p.kept), p.total)
	}
	interval := progressInterval
	if u.screen.columns == 0 {
		interval = plainInterval
	}
	if now.Sub(p.shown) >= interval && u.screen.progress == p && !u.quiet && u.screen.mode != "none" {
		p.shown = now
		p.show(now)
	}
	u.mu.Unlock()
	return len(b), nil
}

// show writes the line. The caller holds the lock.
func (p *progress) show(now time.Time) {
	u := p.ui
	u.hear()
	if u.screen.columns == 0 {
		io.WriteString(u.err, p.text(now, 0)+"\n")
		return
	}
	room := u.room()
	if u.screen.passing > 0 {
		u.clear()
	}
	text := p.text(now, room)
	if p.wide > room { // the terminal has become narrower, and its last columns show the old line
		io.WriteString(u.err, "\r\x1b[K") // erase in line, ECMA-48 8.3.41
		p.wide = 0
	}
	blank := max(0, p.wide-width(text))
	p.wide = width(text)
	io.WriteString(u.err, "\r"+text+strings.Repeat(" ", blank))
}

// text returns the line: phase, percent, bytes, rate and time left. If it is wider than room
// columns (0: any width), it lacks, in this order, the rate, the total, a part of the phase's
// words, the bytes, and the end of the phase.
func (p *progress) text(now time.Time, room int) string {
	done, elapsed := max(p.done, p.kept), now.Sub(p.start)
	phase := printable(p.phase)
	var percent, of, rate, left string
	bytes := "  " + source.ByteCount(done)
	if p.total > 0 {
		percent, of = "  "+strconv.FormatInt(min(done*100/p.total, 100), 10)+" %", " of "+source.ByteCount(p.total)
	}
	if speed := int64(float64(p.done-p.kept) / elapsed.Seconds()); elapsed >= time.Second && speed > 0 {
		rate = "  " + source.ByteCount(speed) + "/s"
		if p.total > done {
			left = "  " + (time.Duration(min((p.total-done)/speed, 1e9)) * time.Second).String() + " left"
		}
	}
	for step := 0; ; step++ {
		end := percent + bytes + of + rate + left
		if room == 0 || width(phase)+len(end) <= room {
			return phase + end
		}
		switch step {
		case 0:
			rate = ""
		case 1:
			of = ""
		case 2:
			phase = strings.Replace(phase, " the rootfs", "", 1)
		case 3:
			if percent != "" {
				bytes = ""
			}
		default:
			return fit(fit(phase, room-len(end))+end, room)
		}
	}
}

// Close ends the phase and removes the line.
func (p *progress) Close() error {
	if p == nil {
		return nil
	}
	u := p.ui
	u.mu.Lock()
	if u.screen.progress == p {
		u.events.progress(max(p.done, p.kept), p.total)
		u.clear()
		u.screen.progress = nil
	}
	u.mu.Unlock()
	return nil
}

// clear removes the progress line or passing message until the next line. The caller holds
// the lock.
func (u *ui) clear() {
	wide := u.screen.passing
	if p := u.screen.progress; p != nil {
		wide = max(wide, p.wide)
		p.wide = 0
	}
	u.screen.passing = 0
	if wide > 0 {
		io.WriteString(u.err, "\r"+strings.Repeat(" ", min(wide, u.room())+2)+"\r") // "^C" is 2 wide
	}
}

// shows reports whether a phase shows its progress.
func (u *ui) shows() bool {
	u.mu.Lock()
	shows := u.screen.progress != nil && u.screen.mode != "none"
	u.mu.Unlock()
	return shows
}

// room returns the columns of a line that is rewritten: the terminal's, without the last one,
// where the cursor would go on to the next line, and without two, in which a terminal shows
// "^C" when the user ends the run. The terminal's width may have changed. The caller holds the
// lock.
func (u *ui) room() int {
	if u.screen.file != nil && u.screen.columns > 0 {
		if n := terminalSize(u.screen.file); n > 0 {
			u.screen.columns = n
		}
	}
	return max(u.screen.columns-3, 1)
}

// width returns the columns that a text takes. East Asian characters take two, and so may
// other characters above U+1100: too large a width does no harm.
func width(text string) (n int) {
	for _, r := range text {
		n++
		if r >= 0x1100 {
			n++
		}
	}
	return n
}

// fit returns the beginning of a text that fits into room columns.
func fit(text string, room int) string {
	for i, r := range text {
		if room -= width(string(r)); room < 0 {
			return text[:i]
		}
	}
	return text
}
