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
	"lxc-pull/pgp"
	"lxc-pull/pull"
	"lxc-pull/pull/source"
	"lxc-pull/untar"
	"lxc-pull/untar/xz"
)

// Only this file knows the exit status of an error, its text for the user, and what the user
// can do about it. Errors have a Kind from the place where they are made: source.Kind,
// pull.Kind and fetch.Kind.

// The exit statuses of every command but sopv, which has those of SOP.
const (
	exitDone       = 0
	exitFailure    = 1 // any other error
	exitUsage      = 2
	exitNetwork    = 3
	exitNoImage    = 4
	exitUnverified = 5 // bad or missing signature, wrong digest
	exitDisk       = 6 // disk full, quota, I/O error
	exitPermission = 7

	// After a signal the exit status is 128 and the number of the signal, as in shells: 130
	// for SIGINT, 143 for SIGTERM, 129 for SIGHUP.
	exitSignal = 128
)

// A signalError is the signal that ends the run.
type signalError unix.Signal

func (e signalError) Error() string        { return unix.Signal(e).String() + " signal received" }
func (e signalError) Is(target error) bool { return target == context.Canceled }

// A phraseError is an error in the words of the stock template, which scripts look for.
type phraseError struct {
	text string
	err  error // the cause, which decides on the exit status and the hint; nil: none
}

func (e *phraseError) Error() string { return "ERROR: " + e.text }
func (e *phraseError) Unwrap() error { return e.err }

// A usageError is an error in the command line.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

// usageErrorf returns a usageError.
func usageErrorf(format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...)}
}

// A silentError is a failure of which the user has been told already.
type silentError struct{ usage bool }

func (e *silentError) Error() string { return "failed" }

// A sopError is an error with one of SOP's exit statuses (sopv.go).
type sopError struct {
	status int
	err    error
}

func (e *sopError) Error() string { return e.err.Error() }
func (e *sopError) Unwrap() error { return e.err }

// finish prints an error with a hint, and returns the exit status. err may be nil.
func (u *ui) finish(err error) int {
	u.settle()
	if err == nil {
		return exitDone
	}
	code := exitStatus(err)
	var silent *silentError
	if errors.As(err, &silent) {
		return code
	}
	text, phrase := u.describe(err)
	switch kind := source.KindOf(err); {
	case phrase && (kind == source.NotFound || kind == source.Gone):
		u.say(text) // the stock template prints this phrase on standard output
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

// exitStatus returns the exit status of an error.
func exitStatus(err error) int {
	var (
		sop    *sopError
		silent *silentError
		usage  *usageError
		owner  *untar.OwnerError
		mapped *mappedError
	)
	switch {
	case errors.As(err, &sop):
		return sop.status
	case errors.As(err, &silent) && !silent.usage:
		return exitFailure
	case errors.As(err, &silent), errors.As(err, &usage):
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
	case pull.KindOf(err) == pull.NoRoom, errors.Is(err, untar.ErrTooBig), errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EIO), errors.Is(err, syscall.EROFS), errors.Is(err, syscall.EFBIG):
		return exitDisk
	case errors.As(err, &owner), errors.As(err, &mapped), errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return exitPermission
	}
	return exitFailure
}

// describe returns the text of an error. phrase says that it is one of the stock template's
// phrases.
func (u *ui) describe(err error) (text string, phrase bool) {
	var network *fetch.Error
	var left *pull.LeftError
	var kept *keptError
	var resumable *pull.ResumableError
	var own *phraseError
	text = err.Error()
	kind := source.KindOf(err)
	switch {
	case errors.Is(err, context.Canceled) && errors.As(err, &left):
		return "interrupted: " + text, false
	case errors.Is(err, context.Canceled) && errors.As(err, &kept):
		return "interrupted; " + kept.kept(), false
	case errors.Is(err, context.Canceled) && errors.As(err, &resumable):
		return "interrupted; nothing half-made is left, and the next run continues the download (" + text + ")", false
	case errors.Is(err, context.Canceled) && u.leavesNothing():
		return "interrupted; nothing half-made is left (" + text + ")", false
	case errors.Is(err, context.Canceled):
		return "interrupted (" + text + ")", false
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

// hint returns what the user can do about an error, in a sentence or two; "" if there is
// nothing to say.
func (u *ui) hint(err error) string {
	var usage *usageError
	var mapped *mappedError
	switch {
	case errors.As(err, &usage):
		return u.usageHint()
	case errors.As(err, &mapped):
		return mapped.remedy
	case pull.KindOf(err) == pull.HostConfig:
		return targetHint(err)
	}
	for _, hint := range []func(error) string{u.sourceHint, targetHint, u.diskHint} {
		if text := hint(err); text != "" {
			return text
		}
	}
	return ""
}

// usageHint names the help text of the command.
func (u *ui) usageHint() string {
	switch {
	case u.template:
		return "See lxc-pull help template."
	case u.command == "", u.command == "help":
		return "See lxc-pull --help."
	}
	return "See lxc-pull " + u.command + " --help."
}

// keeps reports whether a part of a download is kept after err. If not, the result nothing
// is a sentence for the hint, which says that nothing was kept.
func keeps(err error) (kept bool, nothing string) {
	var download *keptError
	var resumable *pull.ResumableError
	if errors.As(err, &download) {
		return true, ""
	}
	return errors.As(err, &resumable), "Nothing was kept. "
}

// sourceHint returns the hint about servers and signatures.
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
	case u.command == "check" && (kind == source.Gone || kind == source.NotFound):
		return "Servers keep few builds. Name a server that has this one with --server, or make a new container and copy your data."
	case kind == source.Replayed:
		return "An old image may have known security holes. Use another server, or accept the old image with --allow-older."
	case errors.As(err, &untrusted) && untrusted.Good > 0:
		return "Signatures by more of the trusted keys are required."
	case kind == source.History:
		return "Without this history lxc-pull can't tell an old image from a new one. Remove the file \"seen\" to begin a new history, or accept any image with --allow-older."
	case errors.As(err, &untrusted) && u.local():
		return "None of the trusted keys signed it. Pass another key with --keyring FILE; get the key from a source that you trust."
	case errors.As(err, &untrusted):
		return "None of the trusted keys signed it. If the server has its own key, pass --keyring FILE; get the key from a source that you trust, not from this server."
	case errors.As(err, &badSig) && badSig.Future:
		return u.clockHint()
	case errors.As(err, &badSig) && u.local():
		return "The file differs from the signed file, or the key may no longer sign."
	case errors.As(err, &badSig):
		return "Nothing was kept: the file differs from the signed file, or the key may no longer sign. Try again later, or use another server."
	case network != nil && kind == source.Unverified && !source.Offline(err):
		return "The server lacks a signature that must be there. Use another server; --no-validate would trust this one blindly."
	case network != nil:
		return u.networkHint(network, kept)
	case kind == source.Unverified && !u.local():
		return nothing + "Try again later, or use another server."
	}
	return ""
}

// targetHint returns the hint about the directory to fill and about LXC's rules.
func targetHint(err error) string {
	var (
		unfit *untar.UnfitError
		own   *pull.Error
	)
	switch {
	case errors.As(err, &unfit):
		return "Choose another file system: ext4, f2fs, btrfs, xfs and tmpfs have all features that are needed."
	case errors.Is(err, untar.ErrBusy):
		return "Wait until the other run has ended."
	case !errors.As(err, &own):
		return ""
	}
	switch {
	case own.Marker != "":
		return "Look at both, and remove them if you do not need them."
	case own.Kind == pull.HostConfig:
		return "If you trust the image with this host, pass --allow-host-config."
	case own.Kind == pull.MissingInclude:
		return "LXC would refuse the container. If LXC's configs are in another directory, pass --template-config DIR."
	case own.Kind == pull.NotEmpty:
		return "The image would be mixed with the files in it. Empty the directory first."
	case own.Kind == pull.NoRecord:
		return "Check the name, and -P DIR. Only lxc-pull after 0.1.0 writes that file; after lxc-copy, copy it from the original container."
	case own.Kind == pull.NotDirectory:
		return "Mount it, and pass --rootfs DIR."
	case own.Kind == pull.Exists:
		return "Choose another name, or remove it first."
	}
	return ""
}

// diskHint returns the hint about disk space, memory and permissions.
func (u *ui) diskHint(err error) string {
	var memory *xz.MemoryError
	var owner *untar.OwnerError
	_, nothing := keeps(err)
	if !u.leavesNothing() {
		nothing = ""
	}
	switch {
	case errors.As(err, &owner) && errors.Is(err, syscall.EINVAL):
		return "The user namespace does not have that id: widen the ranges in /etc/subuid, /etc/subgid and lxc.idmap."
	case errors.As(err, &owner):
		return "The file system can't store owners, or does not let you set them. Choose another directory."
	case errors.As(err, &memory) && memory.Needed > 0:
		return fmt.Sprintf("Allow more with --memory %dM.", (memory.Needed+1<<20-1)>>20)
	case pull.KindOf(err) == pull.NoRoom, errors.Is(err, untar.ErrTooBig), errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return nothing + "Free some space, or choose another directory."
	case errors.Is(err, syscall.EROFS):
		return "Choose a directory that is writable."
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		var path *fs.PathError
		var file *fileError
		if errors.As(err, &file) {
			return fmt.Sprintf("You may not read %q. Use sudo, or name another file.", file.name)
		}
		if errors.As(err, &path) {
			option := map[string]string{"create": " (-P DIR)", "fetch": " (-o FILE)", "untar": " (-C DIR)"}[u.command]
			return fmt.Sprintf("You may not read or write %q. Use sudo, or choose another directory%s.", path.Path, option)
		}
		return "Only another user or root may do that."
	}
	return ""
}

// nearHint returns the hint that names the most similar images.
func (u *ui) nearHint(e *image.NotFoundError) string {
	hint := ""
	if u.template { // the error is the stock template's phrase, which names nothing
		hint = e.Error() + ". "
	}
	switch {
	case e.Gone != "" && len(e.Near) == 0:
		return "The server is being updated, or is out of date. Try again later, or use another server."
	case e.Gone != "":
		hint = "The server is being updated, or is out of date: try again later, or use another server. "
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

// leavesNothing reports whether the command leaves no files after an error, unless the error
// says so. Others may have written to standard output, or to a directory that existed.
func (u *ui) leavesNothing() bool {
	switch u.command {
	case "untar", "zcat", "verify", "sopv", "list", "cache", "version", "help", "--install":
		return false
	}
	return true
}

// local reports whether the command asks no server.
func (u *ui) local() bool {
	return u.command == "verify" || u.command == "sopv" || u.command == "cache"
}

// telling returns the most telling of the network failures in err, which may be of several
// servers: a server that is down tells less than a server that refuses a certificate. It
// returns nil if err has no network failure.
func telling(err error) *fetch.Error {
	rank := func(e *fetch.Error) int {
		switch {
		case e.Kind == fetch.KindFile:
			return 0
		case source.Offline(e) && e.Kind != fetch.KindProxy:
			return 1
		case e.NotFound():
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

// clockHint returns the hint that a clock may be wrong.
func (u *ui) clockHint() string {
	if given := u.clock.Given(); !given.IsZero() {
		return "--time says " + given.UTC().Format("2006-01-02 15:04") + " UTC. If that is wrong, pass another time or omit --time."
	}
	return "The system's clock says " + time.Now().UTC().Format("2006-01-02 15:04") + " UTC. If that is wrong, set the clock or pass --time."
}

// networkHint returns the hint about a failed download. It never advises to trust more
// certificates than are needed. resumes says that a part is kept, so that the same command
// continues the download.
func (u *ui) networkHint(e *fetch.Error, resumes bool) string {
	server := "--server"
	if u.command == "fetch" {
		server = "the URL"
	}
	switch e.Kind {
	case fetch.KindDNS:
		return "Check the name and the network. Without name servers, pass --dns ADDRESS or --resolve HOST:ADDRESS."
	case fetch.KindRefused, fetch.KindUnreachable, fetch.KindTimeout:
		if e.Proxy != "" || proxySet() {
			return "Check the network, and whether the server is up. A proxy is set: https_proxy, http_proxy, all_proxy and no_proxy say which requests use it."
		}
		return "Check the network, and whether the server is up. Behind a proxy, set https_proxy."
	case fetch.KindProxy:
		return "Check the proxy in https_proxy, http_proxy or all_proxy."
	case fetch.KindTLS:
		return "This program speaks TLS 1.2 and later. The server may be older, or want a client certificate: --cert FILE --key FILE."
	case fetch.KindAuthority:
		return "If it is your own server, pass --cacert FILE with the certificate that signed the server's."
	case fetch.KindExpired:
		return u.expiredHint(time.Now())
	case fetch.KindName:
		return "Check the server's name. If it is right, the server's owner needs a certificate with that name as a subjectAltName."
	case fetch.KindWantsCert:
		return "Pass --cert FILE and --key FILE. The server's owner provides both."
	case fetch.KindSpeaksHTTP:
		return "Check the port. For a server without TLS write http://HOST:PORT."
	case fetch.KindSpeaksTLS:
		return "Write https:// instead of http://."
	case fetch.KindClock:
		return u.clockHint()
	case fetch.KindHTML:
		return "The answer is a web page. Either the network wants a login first (open any page in a browser), or " + server + " is wrong."
	case fetch.KindStall, fetch.KindTruncated:
		if !resumes {
			return "The connection or the server fails. Try again later."
		}
		return "The connection fails. The same command continues the download."
	case fetch.KindRedirect:
		return "The server redirects without end, or to an unsafe address. Check " + server + "."
	case fetch.KindSettings:
		return "Correct that variable, or unset it."
	case fetch.KindRefusesCert:
		return "Check that the certificate is the right one and has not expired. Ask the server's owner who must have signed it."
	case fetch.KindStatus:
		switch e.Status {
		case 401, 403:
			return "The server requires a login (--netrc-file FILE, --header-file FILE, or --cert FILE), or blocks you for some time."
		case 404, 410:
			if u.command == "fetch" {
				return "The server does not have that file. Check the URL."
			}
			return "The server does not have that file: --server may need a path, or a mirror is being updated. Try again later, or use another server."
		case 407:
			return "The proxy in https_proxy, http_proxy or all_proxy requires a user and a password."
		}
		return "Try again later, or use another server."
	case fetch.KindChanged:
		return "The server is being updated. Try again later."
	case fetch.KindEncoding, fetch.KindProtocol, fetch.KindTooLarge:
		return "The network alters the server's answers, or this is not an image server. Use another server."
	case fetch.KindURL:
		return "A URL begins with https://, http:// or file:///."
	case fetch.KindFile:
		return "Check that the path is right and readable."
	}
	return ""
}

// expiredHint returns the hint about a server's certificate that has expired at time now. If
// now is long after the program was built, the clock is more likely to be wrong.
func (u *ui) expiredHint(now time.Time) string {
	switch {
	case !u.clock.Given().IsZero():
		return "Tell the server's owner. " + u.clockHint()
	case !u.clock.CanBe(now):
		return u.clockHint()
	}
	return "Tell the server's owner; if this machine's clock is wrong, set it or pass --time."
}
