package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"lxc-pull/fetch"
	"lxc-pull/image"
	"lxc-pull/lxc"
	"lxc-pull/pgp"
	"lxc-pull/untar"
	"lxc-pull/untar/xz"
)

// ui is where words for a person go. Results go to out; messages, warnings and
// progress go to err. Nothing from outside reaches either unescaped: texts are
// passed through printable, names through %q.
type ui struct {
	out, err io.Writer
	quiet    bool // -q: errors only
	verbose  bool // -v

	mu       sync.Mutex   // warnings come from other goroutines than progress
	columns  int          // of the terminal that err is; 0: none, no progress
	progress *progress    // the line being shown; nil: none
	passing  int          // columns of a passing line being shown
	template bool         // called by lxc-create: the stock template's phrases
	resumes  bool         // a download is kept that the same command goes on with
	command  string       // the command's name, whose options a hint may name
	given    time.Time    // --time, in whose place a hint would put the clock; zero: not given
	heard    atomic.Int64 // when a line was last shown, in ns of Unix time
}

func newUI(out, err *os.File) *ui {
	u := &ui{out: out, err: err}
	if os.Getenv("TERM") != "dumb" {
		u.columns = terminalSize(err)
	}
	return u
}

// settle takes away what is shown for a moment, before a result goes to
// standard output, which may be the same terminal.
func (u *ui) settle() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.clear()
}

// warnf writes one warning.
func (u *ui) warnf(format string, args ...any) {
	if !u.quiet {
		u.line("warning: "+format, args...)
	}
}

// notef writes one line that only -v asks for.
func (u *ui) notef(format string, args ...any) {
	if u.verbose {
		u.line(format, args...)
	}
}

// line writes a line to err, around the progress line if there is one.
func (u *ui) line(format string, args ...any) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.clear()
	u.hear()
	// Callers quote what comes from outside; that one forgets must not matter.
	fmt.Fprintln(u.err, printable(fmt.Sprintf(format, args...)))
}

// hear notes that the user is told something.
func (u *ui) hear() { u.heard.Store(time.Now().UnixNano()) }

// transient shows a line on a terminal until anything else is shown there, and
// reports whether there is a terminal.
func (u *ui) transient(text string) bool {
	if u.columns == 0 || u.quiet {
		return false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.clear()
	text = printable(text)
	if runes := []rune(text); len(runes) >= u.columns {
		text = string(runes[:u.columns-1])
	}
	u.passing = u.columns - 1
	u.hear()
	fmt.Fprintf(u.err, "%s", strings.ReplaceAll(text, "\n", " "))
	return true
}

// say writes one of the stock template's phrases, which scripts look for. Other
// commands have their results on standard output, and say this beside it.
func (u *ui) say(text string) { u.sayRaw(text + "\n") }

// sayRaw says a text whose last line end, or none, is its own.
func (u *ui) sayRaw(text string) {
	if u.quiet {
		return
	}
	u.settle()
	u.hear()
	w := u.err
	if u.template {
		w = u.out
	}
	io.WriteString(w, text)
}

// terminalSize returns how many columns the terminal f has, 0 where f is none.
func terminalSize(f *os.File) int {
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0
	}
	if size.Col == 0 {
		return 80 // a serial console does not know
	}
	return int(size.Col)
}

// isTerminal reports whether f is a terminal that a person may sit at.
func isTerminal(f *os.File) bool { return terminalSize(f) > 0 }

// A progress is one line on a terminal, rewritten in place: phase, bytes, rate,
// time left.
type progress struct {
	ui     *ui
	phase  string
	total  int64 // -1: unknown
	start  time.Time
	shown  time.Time
	done   int64
	widest int
}

// progressInterval is how often the line is rewritten: often enough to look
// alive, seldom enough for a serial console.
const progressInterval = 200 * time.Millisecond

// begin starts a progress line; end it with done. Where no terminal shows it,
// or after -q, it is nil, on which the methods do nothing.
func (u *ui) begin(phase string, total int64) *progress {
	if u.columns == 0 || u.quiet {
		return nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.progress = &progress{ui: u, phase: phase, total: total, start: time.Now()}
	return u.progress
}

// Write counts bytes, so that a progress can stand behind io.TeeReader.
func (p *progress) Write(b []byte) (int, error) {
	if p == nil {
		return len(b), nil
	}
	p.ui.mu.Lock()
	defer p.ui.mu.Unlock()
	p.done += int64(len(b))
	if now := time.Now(); now.Sub(p.shown) >= progressInterval {
		p.shown = now
		p.show(now)
	}
	return len(b), nil
}

// show rewrites the line. The caller holds the lock.
func (p *progress) show(now time.Time) {
	if p.ui.progress != p {
		return
	}
	text := progressText(p.phase, p.done, p.total, now.Sub(p.start))
	if p.ui.passing > 0 {
		p.ui.clear()
	}
	if len(text) >= p.ui.columns {
		text = text[:p.ui.columns-1]
	}
	p.widest = max(p.widest, len(text))
	p.ui.hear()
	fmt.Fprintf(p.ui.err, "\r%-*s", p.widest, text)
}

// progressText is what a progress line says.
func progressText(phase string, done, total int64, elapsed time.Duration) string {
	text := phase + "  " + byteCount(done)
	if total > 0 {
		text += " of " + byteCount(total)
	}
	if elapsed < time.Second {
		return text
	}
	rate := int64(float64(done) / elapsed.Seconds())
	text += "  " + byteCount(rate) + "/s"
	if total > done && rate > 0 {
		text += "  " + (time.Duration((total-done)/rate) * time.Second).String() + " left"
	}
	return text
}

// byteCount is a size for people: three digits and a unit.
func byteCount(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	value := float64(n)
	unit := 0
	for value >= 1000 && unit < len(units)-1 {
		value /= 1024
		unit++
	}
	if unit == 0 || value >= 100 {
		return fmt.Sprintf("%.0f %s", value, units[unit])
	}
	return fmt.Sprintf("%.1f %s", value, units[unit])
}

// end takes the line away.
func (p *progress) end() {
	if p == nil {
		return
	}
	p.ui.mu.Lock()
	defer p.ui.mu.Unlock()
	p.ui.clear()
	p.ui.progress = nil
}

// clear takes the progress line away for a moment. The caller holds the lock.
func (u *ui) clear() {
	if u.passing > 0 {
		fmt.Fprintf(u.err, "\r%*s\r", u.passing, "")
		u.passing = 0
	}
	if u.progress != nil && u.progress.widest > 0 {
		fmt.Fprintf(u.err, "\r%*s\r", u.progress.widest, "")
	}
}

// pick lets a person at a terminal choose one of names, by number or name.
func (u *ui) pick(in io.Reader, what string, names []string) (string, error) {
	width, line := 0, ""
	for _, n := range names {
		width = max(width, len(printable(n)))
	}
	for i, n := range names {
		cell := fmt.Sprintf("%3d %-*s  ", i+1, width, printable(n))
		if columns := max(u.columns, 40); line != "" && len(line)+len(cell) > columns {
			fmt.Fprintln(u.out, strings.TrimRight(line, " "))
			line = ""
		}
		line += cell
	}
	fmt.Fprintln(u.out, strings.TrimRight(line, " "))
	for {
		fmt.Fprintf(u.out, "%s: ", what)
		answer, err := readLine(in)
		if errors.Is(err, context.Canceled) {
			return "", err
		}
		if err != nil {
			return "", usageErrorf("nothing chosen")
		}
		if n, err := strconv.Atoi(answer); err == nil && 1 <= n && n <= len(names) && !slices.Contains(names, answer) {
			return names[n-1], nil
		}
		for _, n := range names {
			if strings.EqualFold(n, answer) {
				return n, nil
			}
		}
		fmt.Fprintf(u.out, "%q is not in the list\n", answer)
	}
}

// A usageError is a command line that can't be carried out.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usageErrorf(format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...)}
}

// An exitError carries a command's own exit status; err may be nil, then
// nothing is printed.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// finish prints the error, if any, with what to do about it, and returns the
// exit status.
func (u *ui) finish(err error) int {
	u.settle()
	if err == nil {
		return exitDone
	}
	code := exitStatus(err)
	var own *exitError
	if errors.As(err, &own) && own.err == nil {
		return code
	}
	text, phrase := u.describe(err)
	var missing *image.NotFoundError
	switch {
	case phrase && errors.As(err, &missing):
		u.say(text) // the stock template says this one on standard output
	case phrase:
		u.line("%s", text)
	default:
		u.line("lxc-pull: %s", text)
	}
	if hint := u.hint(err); hint != "" {
		u.line("%s", printable(hint))
	}
	return code
}

// describe puts an error in words. phrase says that they are the stock
// template's, which scripts look for.
func (u *ui) describe(err error) (text string, phrase bool) {
	var missing *image.NotFoundError
	var network *fetch.Error
	var gone *goneError
	var left *leftError
	var kept *keptError
	text = printable(err.Error())
	switch {
	case errors.Is(err, context.Canceled) && errors.As(err, &left):
		return "interrupted: " + text, false
	case errors.Is(err, context.Canceled) && errors.As(err, &kept):
		return "interrupted; " + printable(kept.kept()), false
	case errors.Is(err, context.Canceled):
		return "interrupted; nothing half-made is left (" + text + ")", false
	case strings.HasPrefix(text, "ERROR: "):
		return text, true
	case u.template && errors.As(err, &gone):
		return "ERROR: Couldn't find a matching image\n" + text, true
	case u.template && errors.As(err, &missing):
		return "ERROR: Couldn't find a matching image", true
	case u.template && errors.As(err, &network):
		return "ERROR: Failed to download " + printable(fetch.ShowURL(network.URL)) + "\n" + text, true
	}
	return text, false
}

// hint says what to do about an error, in a sentence or two; "" where there is
// nothing to say.
func (u *ui) hint(err error) string {
	var (
		usage     *usageError
		missing   *image.NotFoundError
		untrusted *pgp.UntrustedError
		badSig    *pgp.BadSignatureError
		wrong     *unverifiedError
		replay    *replayError
		seen      *seenError
		host      *lxc.HostConfigError
		include   *missingIncludeError
		notEmpty  *notEmptyError
		exists    *existsError
		memory    *xz.MemoryError
		owner     *untar.OwnerError
		unfit     *untar.UnfitError
		mapped    *mappedError
		kept      *keptError
	)
	network := telling(err)
	nothing := "Nothing of it was kept. "
	if errors.As(err, &kept) {
		nothing = ""
	}
	switch {
	case errors.As(err, &usage):
		return "See lxc-pull --help."
	case errors.As(err, &mapped):
		return mapped.hint()
	case errors.As(err, &unfit):
		return "Choose a place on another file system: ext4, f2fs, btrfs, xfs and tmpfs have all that is needed."
	case errors.Is(err, untar.ErrBusy):
		return "Wait until it is done."
	case errors.As(err, &missing):
		return u.nearHint(missing)
	case errors.As(err, &replay):
		return "An old image may have holes that are known by now. Ask another server, or take it all the same with --allow-older."
	case errors.As(err, &untrusted) && untrusted.Good > 0:
		return "It needs signatures by more of the trusted keys."
	case errors.As(err, &seen):
		return "Without it an old image can't be told from a new one. Remove the file \"seen\" to begin anew, or take what the server has with --allow-older."
	case errors.As(err, &untrusted) && u.local():
		return "None of the trusted keys signed it. Another key is given with --keyring FILE: get it from a source that you trust."
	case errors.As(err, &untrusted):
		return "None of the trusted keys signed it. A server with a key of its own needs --keyring FILE with that key: get it from a source that you trust, not from this server."
	case errors.As(err, &badSig) && badSig.Future:
		return u.clockHint()
	case errors.As(err, &badSig) && u.local():
		return "The file is not what was signed, or the key may not sign any more."
	case errors.As(err, &badSig):
		return "Nothing of it was kept: the file is not what was signed, or the key may not sign any more. Try again later or another server."
	case network != nil && errors.As(err, &wrong) && !offline(err):
		return "The server has no signature where one must be. A mirror that drops signatures can't be trusted alone; --no-validate would trust it blindly."
	case network != nil:
		return u.networkHint(network, kept != nil || u.resumes)
	case errors.As(err, &wrong) && u.local():
		return ""
	case errors.As(err, &wrong):
		return nothing + "Try again later or another server."
	case errors.As(err, &host):
		return "If you trust the image with this host, pass --allow-host-config."
	case errors.As(err, &include):
		return "LXC would refuse the container. Where LXC keeps its configs elsewhere, pass --template-config DIR."
	case errors.As(err, &notEmpty):
		return "What is in it would be mixed with the image: empty it first."
	case errors.As(err, &exists) && exists.marker != "":
		return "Look, and remove both by hand, or choose another name."
	case errors.As(err, &exists):
		return "Choose another name, or remove it first."
	case errors.As(err, &owner) && errors.Is(err, syscall.EINVAL):
		return "The ids of the user namespace don't reach that far: widen the ranges in /etc/subuid, /etc/subgid and lxc.idmap."
	case errors.As(err, &owner):
		return "The file system may not know owners, or not let you set them. Choose another place."
	case errors.Is(err, untar.ErrTooBig):
		return nothing + "Make room, or choose another place."
	case errors.As(err, &memory) && memory.Needed > 0:
		return fmt.Sprintf("Allow more with --memory %dM.", (memory.Needed+1<<20-1)>>20)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return nothing + "Make room, or choose another place."
	case errors.Is(err, syscall.EROFS):
		return "Choose a place that can be written."
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		var path *fs.PathError
		if errors.As(err, &path) {
			return fmt.Sprintf("You may not write to %q, or read it. Use sudo, or choose another place (-P DIR, -o FILE).", path.Path)
		}
		return "Another user, or root, may do that."
	}
	return ""
}

// nearHint names what there is instead.
func (u *ui) nearHint(e *image.NotFoundError) string {
	hint := ""
	if u.template { // the error is the stock template's phrase, which names nothing
		hint = e.Error() + ". "
	}
	switch {
	case e.Gone != "" && len(e.Near) == 0:
		return "The server is being updated, or lags. Try again later or another server."
	case e.Gone != "":
		hint = "The server is being updated, or lags: try again later or another server. "
	case len(e.Near) == 0:
		return hint + "See lxc-pull list."
	}
	hint += "The nearest:"
	for _, img := range e.Near {
		hint += "\n  " + img.Name()
		if e.Gone != "" {
			hint += "  " + img.Build
		}
	}
	return hint
}

// local reports whether the command asks no server.
func (u *ui) local() bool { return u.command == "verify" || u.command == "sopv" }

// telling returns of the failures that err is made of, of several URLs or
// servers, the one that says most of what to do: that one was down says less
// than that another refused a certificate. nil: there are none.
func telling(err error) *fetch.Error {
	rank := func(e *fetch.Error) int {
		switch {
		case e.Kind == fetch.KindFile:
			return 0
		case offline(e) && e.Kind != fetch.KindProxy:
			return 1
		case absent(e):
			return 2
		case e.Kind == fetch.KindProxy, e.Kind == fetch.KindStall, e.Kind == fetch.KindTruncated:
			return 3
		}
		return 4
	}
	var best *fetch.Error
	for _, e := range fetch.Failures(err) {
		if best == nil || rank(e) > rank(best) {
			best = e
		}
	}
	return best
}

// clockHint says that a clock may be wrong.
func (u *ui) clockHint() string {
	if !u.given.IsZero() {
		return "--time says " + u.given.UTC().Format("2006-01-02 15:04") + " UTC. If that is wrong give another, or leave it out."
	}
	return "The system's clock says " + time.Now().UTC().Format("2006-01-02 15:04") + " UTC. If that is wrong set it, or pass --time."
}

// networkHint says what to do about a failed download. No advice about a
// certificate is to trust more than is needed.
// resumes says that something was kept with which the same command goes on.
func (u *ui) networkHint(e *fetch.Error, resumes bool) string {
	server := "--server"
	if u.command == "fetch" {
		server = "the URL"
	}
	switch e.Kind {
	case fetch.KindDNS:
		return "Is the name right, and is there a network? Without name servers, pass --dns ADDRESS or --resolve HOST:ADDRESS."
	case fetch.KindRefused, fetch.KindUnreachable, fetch.KindTimeout:
		if e.Proxy != "" || proxySet() {
			return "Is there a network, and the server up? A proxy is set: https_proxy, http_proxy, all_proxy and no_proxy say what goes through it."
		}
		return "Is there a network, and the server up? Behind a proxy, set https_proxy."
	case fetch.KindProxy:
		return "Check the proxy in https_proxy, http_proxy or all_proxy."
	case fetch.KindTLS:
		return "This program speaks TLS 1.2 and later. The server may be older, or want a client certificate: --cert FILE --key FILE."
	case fetch.KindAuthority:
		return "If it is your own server, pass --cacert FILE with the certificate that signed its own."
	case fetch.KindExpired:
		return u.expiredHint(time.Now())
	case fetch.KindName:
		return "Is the server's name right? If so its owner needs a certificate that has that name as a subjectAltName."
	case fetch.KindWantsCert:
		return "Pass --cert FILE and --key FILE, which the server's owner gives to you."
	case fetch.KindSpeaksHTTP:
		return "Is the port right? A server without TLS is written http://HOST:PORT."
	case fetch.KindSpeaksTLS:
		return "Write https:// in the place of http://."
	case fetch.KindClock:
		return u.clockHint()
	case fetch.KindHTML:
		return "A web page came instead, as from a network that wants a log-in first (open any page in a browser), or because " + server + " is wrong."
	case fetch.KindStall, fetch.KindTruncated:
		if !resumes {
			return "The connection or the server is bad. Try again later."
		}
		return "The connection is bad; the same command goes on where this one stopped."
	case fetch.KindRedirect:
		return "The server sends elsewhere without end, or to an unsafe place. Check " + server + "."
	case fetch.KindSettings:
		return "Mend that variable, or unset it."
	case fetch.KindRefusesCert:
		return "Is it the right one, and not ended? The server's owner says who must have signed it."
	case fetch.KindStatus:
		switch e.Status {
		case 401, 403:
			return "The server requires a login (--netrc-file FILE, --header-file FILE, or --cert FILE), or blocks you for a while."
		case 404, 410:
			if u.command == "fetch" {
				return "The server lacks that file: is the URL right?"
			}
			return "The server lacks that file: --server may need a path, or a mirror is being updated. Try again later or another server."
		case 407:
			return "Check the proxy in https_proxy, http_proxy or all_proxy: it wants a user and password."
		}
		return "Try again later or another server."
	case fetch.KindChanged:
		return "The server is being updated. Try again later."
	case fetch.KindEncoding, fetch.KindProtocol, fetch.KindTooLarge:
		return "Something between here and the server alters what it sends, or it is not the server that was meant. Try another one."
	case fetch.KindURL:
		return "A URL begins with https://, http:// or file:///."
	case fetch.KindFile:
		return "Is the path right, and readable?"
	}
	return ""
}

// expiredHint says what to do about a certificate that has ended by now. Long
// after the program was built the clock is more likely to be wrong.
func (u *ui) expiredHint(now time.Time) string {
	if !u.given.IsZero() {
		return "Tell the server's owner. " + u.clockHint()
	}
	if now.After(buildDate().Add(maxAge)) {
		return u.clockHint()
	}
	return "Tell the server's owner; if this machine's clock is wrong, set it or pass --time."
}

// exitStatus maps an error to the documented statuses.
func exitStatus(err error) int {
	var (
		own      *exitError
		usage    *usageError
		missing  *image.NotFoundError
		wrong    *unverifiedError
		replay   *replayError
		badSig   *pgp.BadSignatureError
		noSigner *pgp.UntrustedError
		owner    *untar.OwnerError
		mapped   *mappedError
	)
	network := telling(err)
	switch {
	case errors.As(err, &own):
		return own.code
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &missing):
		return exitNoImage
	case errors.As(err, &wrong), errors.As(err, &replay), errors.As(err, &badSig), errors.As(err, &noSigner):
		return exitUnverified
	case network != nil && (network.Kind == fetch.KindURL || network.Kind == fetch.KindSettings):
		return exitUsage
	case network != nil && network.Kind != fetch.KindFile:
		return exitNetwork
	case errors.Is(err, untar.ErrTooBig), errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EIO), errors.Is(err, syscall.EROFS), errors.Is(err, syscall.EFBIG):
		return exitDisk
	case errors.As(err, &owner), errors.As(err, &mapped), errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return exitPermission
	}
	return exitFailure
}

// printable returns s with control characters and broken UTF-8 escaped as Go
// would write them in a string, line feeds and tabs kept, so that a text from
// outside can't steer a terminal.
func printable(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r == '\n' || r == '\t':
			b.WriteRune(r)
		case r < 0x20 || r == 0x7f:
			fmt.Fprintf(&b, `\x%02x`, r)
		case steersTerminal(r):
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		default:
			b.WriteRune(r)
		}
		i += n
	}
	return b.String()
}

// steersTerminal tells C1 controls, and marks and tags that reorder or hide what
// stands beside them, or can't be seen themselves.
func steersTerminal(r rune) bool {
	switch {
	case 0x80 <= r && r < 0xa0, r == 0x061c, r == 0x180e, 0x200b <= r && r <= 0x200f, 0x2028 <= r && r <= 0x202e,
		0x2060 <= r && r <= 0x206f, r == 0xfeff, 0xfff9 <= r && r <= 0xfffb, 0xe0000 <= r && r <= 0xe007f:
		return true
	}
	return false
}
