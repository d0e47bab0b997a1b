package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"
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

// finish prints an error with a hint, and returns the exit status. err may be nil. signal is
// the one that ended the run, 0 if none did.
func (u *ui) finish(err error, signal signalError) int {
	u.mu.Lock()
	u.clear()
	u.screen.progress = nil // a goroutine that still runs must not draw it again
	u.mu.Unlock()
	status, code, text, hint := exitDone, "ok", "", ""
	if err != nil {
		status, code = classify(err)
		text, hint = u.explain(err, code)
	}
	if signal != 0 {
		status = exitSignal + int(signal)
	}
	u.events.send("result", "#exit", strconv.Itoa(status), "code", code, "text", text, "remedy", hint)
	return status
}

// explain prints an error, and returns its text and the hint.
func (u *ui) explain(err error, code string) (text, hint string) {
	if errors.As(err, new(*silentError)) {
		return err.Error(), ""
	}
	if u.columns > 0 && errors.Is(err, context.Canceled) {
		io.WriteString(u.err, "\r  \r") // the terminal has shown "^C"
	}
	text, phrase := u.describe(err)
	kind := source.KindOf(err)
	switch {
	case phrase && (kind == source.NotFound || kind == source.Gone):
		u.say(text) // the stock template prints this phrase on standard output
	case phrase:
		u.marked("ERROR:", strings.TrimPrefix(text, "ERROR: "))
	default:
		u.marked("lxc-pull:", text)
	}
	if hint = u.hint(err); hint != "" {
		u.line("%s", hint)
	}
	if network := telling(err); network != nil && u.verbose && network.Detail() != "" {
		u.line("%s", network.Detail())
	}
	if code != "usage" && code != "failed" && code != "interrupted" && (u.verbose || u.screen.file != nil && !u.template) {
		u.line("More: lxc-pull help %s", code)
	}
	return text, hint
}

// exitStatus returns the exit status of an error.
func exitStatus(err error) int {
	status, _ := classify(err)
	return status
}

// classify returns the exit status of an error and its code, which is one of those in codes.txt.
func classify(err error) (status int, code string) {
	var sop *sopError
	var silent *silentError
	switch {
	case errors.As(err, &sop):
		return sop.status, "failed"
	case errors.As(err, &silent) && !silent.usage:
		return exitFailure, "failed"
	case silent != nil, errors.As(err, new(*usageError)):
		return exitUsage, "usage"
	case errors.As(err, new(*mappedError)):
		return exitPermission, "id-map"
	}
	status, code = exitUnverified, "unverified"
	network := telling(err)
	switch kind := source.KindOf(err); {
	case kind == source.NotFound:
		status, code = exitNoImage, "no-image"
	case kind == source.Gone:
		status, code = exitNoImage, "gone"
	case kind == source.Replayed:
		code = "old-image"
	case kind == source.Unverified:
		if errors.As(err, new(*pgp.UntrustedError)) {
			code = "untrusted"
		}
	case network != nil && network.Kind != fetch.KindFile:
		status, code = networkCode(network)
	default:
		status, code = localCode(err)
		if network != nil && code == "failed" {
			code = "file"
		}
	}
	if errors.Is(err, context.Canceled) {
		code = "interrupted"
	}
	return status, code
}

// networkCodes has the codes of the kinds of network failures that are not the kind itself.
const networkCodes = " url=usage settings=proxy clock=tls-clock expired=tls-expired authority=tls-authority name=tls-name" +
	" wants-cert=client-cert refuses-cert=client-cert speaks-http=wrong-scheme speaks-tls=wrong-scheme stall=connection-lost" +
	" truncated=connection-lost html=login-page too-large=bad-answer encoding=bad-answer protocol=bad-answer status=http-status" +
	" 401=http-login 403=http-login 404=http-missing 407=proxy 410=http-missing "

// networkCode returns the exit status and the code of a failed download.
func networkCode(e *fetch.Error) (status int, code string) {
	status, code = exitNetwork, string(e.Kind)
	for _, name := range []string{code, strconv.Itoa(e.Status)} {
		if _, rest, found := strings.Cut(networkCodes, " "+name+"="); found {
			code, _, _ = strings.Cut(rest, " ")
		}
	}
	if e.Kind == fetch.KindURL || e.Kind == fetch.KindSettings {
		status = exitUsage
	}
	return status, code
}

// pullCodes has the codes of the kinds of errors of package pull, in their order.
const pullCodes = "no-room not-empty exists no-config missing-include host-config no-record no-directory"

// localCode returns the exit status and the code of an error of this machine.
func localCode(err error) (status int, code string) {
	switch {
	case pull.KindOf(err) == pull.NoRoom, errors.Is(err, untar.ErrTooBig), errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return exitDisk, "no-room"
	case errors.Is(err, syscall.EIO), errors.Is(err, syscall.EFBIG):
		return exitDisk, "disk-error"
	case errors.Is(err, syscall.EROFS):
		return exitDisk, "read-only"
	case errors.As(err, new(*untar.OwnerError)):
		return exitPermission, "owners"
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return exitPermission, "permission"
	case pull.KindOf(err) != 0:
		code = strings.Fields(pullCodes)[pull.KindOf(err)-pull.NoRoom]
	case source.KindOf(err) == source.History:
		code = "history"
	case errors.As(err, new(*untar.UnfitError)):
		code = "file-system"
	case errors.Is(err, untar.ErrBusy):
		code = "lock"
	case errors.As(err, new(*xz.MemoryError)):
		code = "memory"
	case errors.As(err, new(*fileError)), errors.Is(err, syscall.ENOENT):
		code = "file"
	default:
		code = "failed"
	}
	return exitFailure, code
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
	var set *settingError
	switch {
	case errors.As(err, &set) && errors.As(err, &usage):
		return "\"lxc-pull config\" shows all settings, and where each comes from."
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
	case u.command == "check" && (kind == source.Gone || kind == source.NotFound):
		return "Servers keep few builds. Name a server that has this one with --server, or make a new container and copy your data."
	case errors.As(err, &missing):
		return u.nearHint(missing)
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
		return "The file is not what was signed, or the key may no longer sign."
	case errors.As(err, &badSig):
		return "Nothing was kept: the file differs from the signed file, or the key may no longer sign. Try again later, or use another server."
	case network != nil && kind == source.Unverified && !source.Offline(err):
		return "The server lacks a signature that must be there. Use another server; --no-validate would trust this one blindly."
	case network != nil:
		return u.networkHint(network, kept)
	case kind == source.Unverified && u.local():
		if errors.As(err, new(*pgp.FormatError)) {
			return ""
		}
		return "The file is not what was signed."
	case kind == source.Unverified:
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
			option := map[string]string{"create": " with -P DIR", "fetch": " with -o FILE", "untar": " with -C DIR"}[u.command]
			verb := "write to"
			if path.Op == "open" {
				verb = "read or write"
			}
			return fmt.Sprintf("You may not %s %q. Use sudo, or choose another place%s.", verb, path.Path, option)
		}
		return "Only another user or root may do that. Use sudo, or a place of your own."
	}
	return ""
}

// leavesNothing reports whether the command leaves no files after an error, unless the error
// says so. Others may have written to standard output, or to a directory that existed.
func (u *ui) leavesNothing() bool {
	switch u.command {
	case "untar", "zcat", "verify", "sopv", "list", "cache", "version", "help", "--install", "doctor", "config", "check", "info", "completion":
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
		return "Check " + server + ". If it is right, the server's owner must put that name into the certificate, as a subjectAltName."
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
		return "This machine's clock says " + now.UTC().Format(time.DateOnly) + ", more than ten years after this program was built. Set the clock, or pass --time."
	}
	return "Tell the server's owner; if this machine's clock is wrong, set it or pass --time."
}
