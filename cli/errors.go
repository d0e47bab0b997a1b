package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"lxc-pull/fetch"
	"lxc-pull/image"
	"lxc-pull/lxc"
	"lxc-pull/pgp"
	"lxc-pull/pull"
	"lxc-pull/pull/source"
	"lxc-pull/untar"
	"lxc-pull/untar/xz"
)

// This file alone knows which exit status an error has, how it is put in words, and what
// the user can do about it. Errors come with a Kind from where they are made: source.Kind,
// pull.Kind, fetch.Kind.

// Exit statuses, the same for every command but sopv, which has SOP's own.
const (
	exitDone       = 0
	exitFailure    = 1 // anything without a status of its own
	exitUsage      = 2
	exitNetwork    = 3
	exitNoImage    = 4
	exitUnverified = 5 // bad or missing signature, wrong digest
	exitDisk       = 6 // disk full, quota, I/O error
	exitPermission = 7

	// A command that a signal ended has 128 and its number, as shells have it:
	// 130 for SIGINT, 143 for SIGTERM, 129 for SIGHUP.
	exitSignal = 128
)

// A signalError is the signal that ended the run.
type signalError unix.Signal

func (e signalError) Error() string        { return unix.Signal(e).String() + " signal received" }
func (e signalError) Is(target error) bool { return target == context.Canceled }

// A phraseError is an error in the words of the stock template, which scripts look for.
type phraseError struct {
	text string
	err  error // whose exit status and remedy it has; nil: none
}

func (e *phraseError) Error() string { return "ERROR: " + e.text }
func (e *phraseError) Unwrap() error { return e.err }

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

// finish prints the error, if any, with what to do about it, and returns the exit
// status.
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
	switch kind := source.KindOf(err); {
	case phrase && (kind == source.NotFound || kind == source.Gone):
		u.say(text) // the stock template says this one on standard output
	case phrase:
		u.line("%s", text)
	default:
		u.line("lxc-pull: %s", text)
	}
	if hint := u.hint(err); hint != "" {
		u.line("%s", hint)
	}
	return code
}

// exitStatus returns the documented status of an error.
func exitStatus(err error) int {
	var (
		own    *exitError
		usage  *usageError
		owner  *untar.OwnerError
		mapped *mappedError
	)
	switch {
	case errors.As(err, &own):
		return own.code
	case errors.As(err, &usage):
		return exitUsage
	}
	switch source.KindOf(err) {
	case source.NotFound, source.Gone:
		return exitNoImage
	case source.Unverified, source.Replayed:
		return exitUnverified
	}
	network := telling(err)
	switch {
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

// describe puts an error in words. phrase says that they are the stock template's.
func (u *ui) describe(err error) (text string, phrase bool) {
	var network *fetch.Error
	var left *pull.LeftError
	var kept *keptError
	var own *phraseError
	text = err.Error()
	kind := source.KindOf(err)
	switch {
	case errors.Is(err, context.Canceled) && errors.As(err, &left):
		return "interrupted: " + text, false
	case errors.Is(err, context.Canceled) && errors.As(err, &kept):
		return "interrupted; " + kept.kept(), false
	case errors.Is(err, context.Canceled):
		return "interrupted; nothing half-made is left (" + text + ")", false
	case errors.As(err, &own):
		return text, true
	case pull.KindOf(err) == pull.NoConfig:
		return "ERROR: " + text, true
	case u.template && kind == source.Gone:
		return "ERROR: Couldn't find a matching image\n" + text, true
	case u.template && kind == source.NotFound:
		return "ERROR: Couldn't find a matching image", true
	case u.template && errors.As(err, &network):
		return "ERROR: Failed to download " + fetch.ShowURL(network.URL) + "\n" + text, true
	}
	return text, false
}

// hint says what to do about an error, in a sentence or two; "" if there is nothing to
// say.
func (u *ui) hint(err error) string {
	var usage *usageError
	var mapped *mappedError
	switch {
	case errors.As(err, &usage):
		return u.usageHint()
	case errors.As(err, &mapped):
		return mapped.remedy
	}
	for _, hint := range []func(error) string{u.sourceHint, placeHint, u.diskHint} {
		if text := hint(err); text != "" {
			return text
		}
	}
	return ""
}

// usageHint names the help text of the command that was called.
func (u *ui) usageHint() string {
	switch {
	case u.template:
		return "See lxc-pull help template."
	case u.command == "":
		return "See lxc-pull --help."
	case u.command == "sopv":
		return "See lxc-pull sopv --help."
	}
	return "See lxc-pull " + u.command + " --help."
}

// keeps reports whether what came of a download is kept after err, and returns the
// sentence that says so if it is not.
func keeps(err error) (kept bool, nothing string) {
	var download *keptError
	var resumable *pull.ResumableError
	if errors.As(err, &download) {
		return true, ""
	}
	return errors.As(err, &resumable), "Nothing of it was kept. "
}

// sourceHint is the hint about where an image comes from and who vouches for it.
func (u *ui) sourceHint(err error) string {
	var (
		missing   *image.NotFoundError
		untrusted *pgp.UntrustedError
		badSig    *pgp.BadSignatureError
	)
	network, kind := telling(err), source.KindOf(err)
	kept, nothing := keeps(err)
	switch {
	case errors.As(err, &missing):
		return u.nearHint(missing)
	case kind == source.Replayed:
		return "An old image may have holes that are known by now. Ask another server, or take it all the same with --allow-older."
	case errors.As(err, &untrusted) && untrusted.Good > 0:
		return "It needs signatures by more of the trusted keys."
	case kind == source.History:
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
	case network != nil && kind == source.Unverified && !source.Offline(err):
		return "The server has no signature where one must be. A mirror that drops signatures can't be trusted alone; --no-validate would trust it blindly."
	case network != nil:
		return u.networkHint(network, kept)
	case kind == source.Unverified && !u.local():
		return nothing + "Try again later or another server."
	}
	return ""
}

// placeHint is the hint about the place that is filled, and what LXC would say to it.
func placeHint(err error) string {
	var (
		host  *lxc.HostConfigError
		unfit *untar.UnfitError
		own   *pull.Error
	)
	switch {
	case errors.As(err, &unfit):
		return "Choose a place on another file system: ext4, f2fs, btrfs, xfs and tmpfs have all that is needed."
	case errors.Is(err, untar.ErrBusy):
		return "Wait until it is done."
	case errors.As(err, &host):
		return "If you trust the image with this host, pass --allow-host-config."
	case !errors.As(err, &own):
		return ""
	}
	switch own.Kind {
	case pull.MissingInclude:
		return "LXC would refuse the container. If LXC keeps its configs elsewhere, pass --template-config DIR."
	case pull.NotEmpty:
		return "What is in it would be mixed with the image: empty it first."
	case pull.Exists:
		if own.Marker != "" {
			return "Look, and remove both by hand, or choose another name."
		}
		return "Choose another name, or remove it first."
	}
	return ""
}

// diskHint is the hint about room, memory and permissions.
func (u *ui) diskHint(err error) string {
	var memory *xz.MemoryError
	var owner *untar.OwnerError
	_, nothing := keeps(err)
	switch {
	case errors.As(err, &owner) && errors.Is(err, syscall.EINVAL):
		return "The ids of the user namespace don't reach that far: widen the ranges in /etc/subuid, /etc/subgid and lxc.idmap."
	case errors.As(err, &owner):
		return "The file system may not know owners, or not let you set them. Choose another place."
	case errors.As(err, &memory) && memory.Needed > 0:
		return fmt.Sprintf("Allow more with --memory %dM.", (memory.Needed+1<<20-1)>>20)
	case errors.Is(err, untar.ErrTooBig), errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
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
		hint += "\n  " + img.Name.String()
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
		case source.Offline(e) && e.Kind != fetch.KindProxy:
			return 1
		case isAbsent(e):
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

// isAbsent reports whether a failure is the answer that there is no such file.
func isAbsent(e *fetch.Error) bool {
	return e.Kind == fetch.KindStatus && (e.Status == 404 || e.Status == 410)
}

// clockHint says that a clock may be wrong.
func (u *ui) clockHint() string {
	if given := u.clock.Given(); !given.IsZero() {
		return "--time says " + given.UTC().Format("2006-01-02 15:04") + " UTC. If that is wrong give another, or leave it out."
	}
	return "The system's clock says " + time.Now().UTC().Format("2006-01-02 15:04") + " UTC. If that is wrong set it, or pass --time."
}

// networkHint says what to do about a failed download. No advice about a certificate is
// to trust more than is needed. resumes says that something was kept with which the same
// command goes on.
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

// expiredHint says what to do about a certificate that has expired by now. Long after
// the program was built the clock is more likely to be wrong.
func (u *ui) expiredHint(now time.Time) string {
	switch {
	case !u.clock.Given().IsZero():
		return "Tell the server's owner. " + u.clockHint()
	case !u.clock.CanBe(now):
		return u.clockHint()
	}
	return "Tell the server's owner; if this machine's clock is wrong, set it or pass --time."
}
