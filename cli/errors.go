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
	exitFailure    = 1 // any other error; check and doctor: only what they find
	exitUsage      = 2 // check and doctor: also any other error
	exitNetwork    = 3
	exitNoImage    = 4 // also no container
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

// A retoldError is an error in other words: those of the stock template, which scripts look
// for, or those that say where a setting is.
type retoldError struct {
	_       uncomparable
	text    string // of the stock template: "ERROR: ..."
	err     error  // the cause, which decides on the exit status and the hint; nil: none
	setting bool
}

func (e *retoldError) Error() string { return e.text }
func (e *retoldError) Unwrap() error { return e.err }

// A usageError is an error in the command line.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

// usageErrorf returns a usageError.
func usageErrorf(format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...)}
}

// wrongValue returns the usage error for the value of an option.
func wrongValue(option, value, why string) error {
	return &usageError{"--" + option + " " + strconv.Quote(value) + ": " + why}
}

// A silentError is a failure of which the user has been told already.
type silentError struct {
	_          uncomparable
	usage      bool
	code, text string // for events; "": "failed"
}

func (e *silentError) Error() string {
	if e.text == "" {
		return "failed"
	}
	return e.text
}

// A sopError is an error with one of SOP's exit statuses (sopv.go).
type sopError struct {
	_      uncomparable
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
		if status == exitFailure && among("check doctor", u.command) && !among("differs unhealthy", code) {
			status = exitUsage // exitFailure is what these two find
		}
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
	c := causesOf(err)
	if c.own.silent != nil {
		return err.Error(), ""
	}
	if u.screen.columns > 0 && c.canceled {
		io.WriteString(u.err, "\r  \r") // the terminal has shown "^C"
	}
	text, phrase := u.describe(err, c)
	switch {
	case phrase && (c.kind == source.NotFound || c.kind == source.Gone):
		u.say(text + "\n") // the stock template prints this phrase on standard output
	case phrase:
		u.write("ERROR:", strings.TrimPrefix(text, "ERROR:"))
	default:
		u.write("lxc-pull:", " "+text)
	}
	if hint = u.hint(err); hint != "" {
		u.write("", hint)
	}
	if c.network != nil && u.verbose && c.network.Detail() != "" {
		u.write("", c.network.Detail())
	}
	if !among("usage failed interrupted", code) && (u.verbose || u.screen.file != nil && !u.isTemplate()) {
		u.write("", "More: lxc-pull help "+code)
	}
	return text, hint
}

// exitStatus returns the exit status of an error.
func exitStatus(err error) int {
	status, _ := classify(err)
	return status
}

// causes are the errors that an error wraps, the first of each type; nil: none.
type causes struct {
	_   uncomparable
	own struct { // of this package
		sop    *sopError
		silent *silentError
		usage  *usageError
		mapped *mappedError
		retold *retoldError
		kept   *keptError
		file   *fileError
	}
	other struct { // of other packages
		missing   *image.NotFoundError
		untrusted *pgp.UntrustedError
		bad       *pgp.BadSignatureError
		unfit     *untar.UnfitError
		owner     *untar.OwnerError
		memory    *xz.MemoryError
		path      *fs.PathError
	}
	target    *pull.Error
	fault     pull.Kind // of target
	left      *pull.LeftError
	resumable *pull.ResumableError
	network   *fetch.Error // the most telling one
	kind      source.Kind
	errno     syscall.Errno // the one that tells most; ENOSPC also for pull.NoRoom; 0: none
	busy      bool
	canceled  bool
}

// causesOf returns the causes of an error.
func causesOf(err error) *causes {
	c := &causes{network: telling(err), kind: source.KindOf(err), busy: errors.Is(err, untar.ErrBusy), canceled: errors.Is(err, context.Canceled)}
	for _, first := range []any{
		&c.own.sop, &c.own.silent, &c.own.usage, &c.own.mapped, &c.own.retold, &c.own.kept, &c.own.file,
		&c.other.missing, &c.other.untrusted, &c.other.bad, &c.other.unfit, &c.other.owner, &c.other.memory, &c.other.path,
		&c.target, &c.left, &c.resumable,
	} {
		errors.As(err, first)
	}
	for _, errno := range [...]syscall.Errno{syscall.ENOENT, syscall.EPERM, syscall.EACCES, syscall.EROFS, syscall.EFBIG, syscall.EIO, syscall.EDQUOT, syscall.ENOSPC} {
		if errors.Is(err, errno) {
			c.errno = errno
		}
	}
	if c.target != nil {
		c.fault = c.target.Kind
	}
	if c.fault == pull.NoRoom || errors.Is(err, untar.ErrTooBig) {
		c.errno = syscall.ENOSPC
	}
	return c
}

// classify returns the exit status of an error and its code, which is one of those in codes.txt.
func classify(err error) (status int, code string) {
	c := causesOf(err)
	switch {
	case c.own.sop != nil:
		return c.own.sop.status, "failed"
	case c.own.silent != nil && !c.own.silent.usage:
		if code = c.own.silent.code; code == "" {
			code = "failed"
		}
		return exitFailure, code
	case c.own.silent != nil, c.own.usage != nil:
		return exitUsage, "usage"
	case c.own.mapped != nil:
		return exitPermission, "id-map"
	}
	switch {
	case c.kind == source.NotFound:
		status, code = exitNoImage, "no-image"
	case c.kind == source.Gone:
		status, code = exitNoImage, "gone"
	case c.kind == source.Replayed:
		status, code = exitUnverified, "old-image"
	case c.kind == source.Login:
		status, code = exitNetwork, "http-login"
	case c.kind == source.Limited:
		status, code = exitNetwork, "rate-limit"
	case c.kind == source.Unverified && c.other.untrusted != nil:
		status, code = exitUnverified, "untrusted"
	case c.kind == source.Unverified:
		status, code = exitUnverified, "unverified"
	case c.network != nil && c.network.Kind != fetch.KindFile:
		_, code, _ = networkLine(c.network)
		status = exitNetwork
		if c.network.Kind == fetch.KindURL || c.network.Kind == fetch.KindSettings {
			status = exitUsage
		}
	default:
		status, code = c.local()
	}
	if c.canceled {
		code = "interrupted"
	}
	return status, code
}

// local returns the exit status and the code of an error of this machine.
func (c *causes) local() (status int, code string) {
	switch c.errno {
	case syscall.ENOSPC, syscall.EDQUOT:
		return exitDisk, "no-room"
	case syscall.EIO, syscall.EFBIG:
		return exitDisk, "disk-error"
	case syscall.EROFS:
		return exitDisk, "read-only"
	}
	switch {
	case c.other.owner != nil:
		return exitPermission, "owners"
	case c.errno == syscall.EACCES, c.errno == syscall.EPERM:
		return exitPermission, "permission"
	case c.fault != 0:
		if code, _ = c.targetLine(); c.fault >= pull.NoRecord {
			return exitNoImage, code
		}
	case c.kind == source.History:
		code = "history"
	case c.kind == source.Unusable:
		code = "unusable"
	case c.other.unfit != nil:
		code = "file-system"
	case c.busy:
		code = "lock"
	case c.other.memory != nil:
		code = "memory"
	case c.own.file != nil, c.network != nil, c.errno == syscall.ENOENT:
		code = "file"
	default:
		code = "failed"
	}
	return exitFailure, code
}

// targetTable has the code and the hint of each kind of error of package pull, in their order.
const targetTable = `no-room
not-empty The image would be mixed with the files in it. Empty the directory first.
exists Choose another name, or remove it first.
no-config
missing-include LXC would refuse the container. If LXC's configs are in another directory, pass --template-config DIR.
host-config If you trust the image with this host, pass --allow-host-config.
no-directory Pass its directory with --rootfs DIR. If it is an image, mount it there first.
no-record Only lxc-pull after 0.1.0 writes that file. After lxc-copy, copy it from the original container.
no-container Check the name, and -P DIR.
`

// targetLine returns the code and the hint of the error of package pull.
func (c *causes) targetLine() (code, hint string) {
	line := strings.Split(targetTable, "\n")[c.fault-pull.NoRoom]
	code, hint, _ = strings.Cut(line, " ")
	return code, hint
}

// networkTable has a line for each kind of network failure, and for some HTTP statuses: how
// telling it is among several failures (a server that is down tells less than a server that
// refuses a certificate), its code, and the hint, which networkHint may replace. No hint
// advises to trust more certificates than are needed.
const networkTable = `url 4 usage A URL begins with https://, http:// or file:///.
settings 4 proxy Correct that variable, or unset it.
dns 1 dns Check the name and the network. Without name servers, pass --dns ADDRESS or --resolve HOST:ADDRESS.
refused 1 refused
unreachable 1 unreachable
timeout 1 timeout
proxy 3 proxy Check the proxy in https_proxy, http_proxy or all_proxy.
tls 4 tls This program speaks TLS 1.2 and later. The server may be older, or want a client certificate: --cert FILE --key FILE.
clock 4 tls-clock
expired 4 tls-expired
authority 4 tls-authority If it is your own server, pass --cacert FILE with the certificate that signed the server's.
name 4 tls-name Check --server. If it is right, the server's owner must put that name into the certificate, as a subjectAltName.
wants-cert 4 client-cert Pass --cert FILE and --key FILE. The server's owner provides both.
refuses-cert 4 client-cert Check that the certificate is the right one and has not expired. Ask the server's owner who must have signed it.
speaks-http 4 wrong-scheme Check the port. For a server without TLS write http://HOST:PORT.
speaks-tls 4 wrong-scheme Write https:// instead of http://.
stall 3 connection-lost
truncated 3 connection-lost
changed 4 changed The server is being updated. Try again later.
html 4 login-page The answer is a web page. Either the network wants a login first (open any page in a browser), or --server is wrong.
redirect 4 redirect The server redirects without end, or to an unsafe address. Check --server.
too-large 4 bad-answer The network alters the server's answers, or this is not an image server. Use another server.
encoding 4 bad-answer The network alters the server's answers, or this is not an image server. Use another server.
protocol 4 bad-answer The network alters the server's answers, or this is not an image server. Use another server.
file 0 file Check that the path is right and readable.
status 4 http-status Try again later, or use another server.
429 4 rate-limit The server limits how much each address or account may download. Wait, or use another server or a mirror (--mirror).
401 4 http-login The server requires a login (--netrc-file FILE, --header-file FILE, or --cert FILE), or blocks you for some time.
404 2 http-missing The server does not have that file: --server may need a path, or a mirror is being updated. Try again later, or use another server.
407 4 proxy The proxy in https_proxy, http_proxy or all_proxy requires a user and a password.
`

// networkLine returns what networkTable has about a failed download.
func networkLine(e *fetch.Error) (rank, code, hint string) {
	name := string(e.Kind)
	if e.Kind == fetch.KindStatus {
		switch e.Status {
		case 401, 403:
			name = "401"
		case 404, 410:
			name = "404"
		case 429:
			name = "429"
		case 407:
			name = "407"
		}
	}
	rank, hint, _ = strings.Cut(lineOf(networkTable, name), " ")
	code, hint, _ = strings.Cut(hint, " ")
	return rank, code, hint
}

// describe returns the text of an error. phrase says that it is one of the stock template's
// phrases.
func (u *ui) describe(err error, c *causes) (text string, phrase bool) {
	text = withoutCall(err.Error(), c.other.path)
	switch {
	case c.canceled && c.left != nil:
		return "interrupted: " + text, false
	case c.canceled && c.own.kept != nil:
		return "interrupted; " + c.own.kept.kept(), false
	case c.canceled && c.resumable != nil:
		return "interrupted; nothing half-made is left, and the next run continues the download", false
	case c.canceled && u.leavesNothing():
		return "interrupted; nothing half-made is left", false
	case c.canceled:
		return "interrupted (" + text + ")", false
	case c.own.retold != nil && !c.own.retold.setting:
		return text, true
	case c.fault == pull.NoConfig:
		return "ERROR: " + text, true
	case !u.isTemplate():
		return text, false
	case c.kind == source.Gone:
		return "ERROR: Couldn't find a matching image\n" + text, true
	case c.kind == source.NotFound && c.other.missing == nil:
		return "ERROR: Couldn't find a matching image\n" + text, true
	case c.kind == source.NotFound:
		return "ERROR: Couldn't find a matching image", true
	case c.network != nil:
		return "ERROR: Failed to download " + fetch.ShowURL(fetch.Failures(err)[0].URL) + "\n" + text, true
	}
	return text, false
}

// withoutCall returns the text of an error without the name of the system call that looked for a
// file, which says nothing to people. path may be nil.
func withoutCall(text string, path *fs.PathError) string {
	if path == nil || !among("open openat stat lstat", path.Op) {
		return text
	}
	name := strconv.Quote(path.Path)
	before, after, found := strings.Cut(text, path.Error())
	if !found {
		return text
	}
	if strings.Contains(before, name) {
		name = ""
	} else {
		name += ": "
	}
	return before + name + path.Err.Error() + after
}

// hint returns what the user can do about an error, in a sentence or two; "" if there is
// nothing to say.
func (u *ui) hint(err error) string {
	c := causesOf(err)
	switch {
	case err == errNotChosen:
		return ""
	case c.own.usage != nil && c.own.retold != nil && c.own.retold.setting:
		return "\"lxc-pull config\" shows all settings, and where each comes from."
	case c.own.usage != nil && u.isTemplate():
		return "See lxc-pull help " + u.command + "."
	case c.own.usage != nil && (u.command == "" || u.command == "help"):
		return "See lxc-pull --help."
	case c.own.usage != nil:
		return "See lxc-pull " + u.command + " --help."
	case c.own.mapped != nil:
		return c.own.mapped.remedy
	case c.own.file != nil && c.own.file.option != "" && c.errno == syscall.ENOENT:
		return "Check the path that --" + c.own.file.option + " names."
	case c.own.file != nil && c.own.file.option == "keyring" && c.errno == 0:
		return "A keyring has public keys: the output of gpg --export, or a key of signify, minisign or cosign."
	}
	text := u.sourceHint(err, c)
	if text == "" || c.fault == pull.HostConfig {
		text = u.localHint(err, c)
	}
	return text
}

// nothing returns the sentence of a hint that says that nothing was kept, "" if a part of a
// download was.
func (c *causes) nothing() string {
	if c.own.kept != nil || c.resumable != nil {
		return ""
	}
	return "Nothing was kept. "
}

// sourceHint returns the hint about servers and signatures.
func (u *ui) sourceHint(err error, c *causes) string {
	untrusted, bad := c.other.untrusted, c.other.bad
	local := among("verify sopv cache lxc-local", u.command) // asks no server
	switch {
	case u.registry != nil && u.registryHint(err) != "":
		return u.registryHint(err)
	case u.named != nil && u.namedHint(err, c) != "":
		return u.namedHint(err, c)
	case u.command == "check" && (c.kind == source.Gone || c.kind == source.NotFound):
		return "Servers keep few builds. Name a server that has this one with --server, or make a new container and copy your data."
	case c.other.missing != nil:
		return u.nearHint(c.other.missing)
	case c.kind == source.Replayed:
		return "An old image may have known security holes. Use another server, or accept the old image with --allow-older."
	case untrusted != nil && untrusted.Good > 0:
		return "Signatures by more of the trusted keys are required."
	case c.kind == source.History:
		return "Without this history lxc-pull can't tell an old image from a new one. Remove the file \"seen\" to begin a new history, or accept any image with --allow-older."
	case untrusted != nil && local:
		return "None of the trusted keys signed it. Pass another key with --keyring FILE; get the key from a source that you trust."
	case untrusted != nil:
		return "None of the trusted keys signed it. If the server has its own key, pass --keyring FILE; get the key from a source that you trust, not from this server."
	case bad != nil && bad.Future:
		return u.clockHint()
	case bad != nil && local:
		return "The file is not what was signed, or the key may no longer sign."
	case bad != nil:
		return "Nothing was kept: the file differs from the signed file, or the key may no longer sign. Try again later, or use another server."
	case c.network != nil && c.kind == source.Unverified && !source.Offline(err):
		return "The server lacks a signature that must be there. Use another server; --no-validate would trust this one blindly."
	case c.network != nil:
		return u.networkHint(c.network, c.nothing() == "")
	case c.kind != source.Unverified, local && errors.As(err, new(*pgp.FormatError)):
		return ""
	case local:
		return "The file is not what was signed."
	}
	return c.nothing() + "Try again later, or use another server."
}

// registryHint returns the hint about an error of a registry or of a container image, "" if there
// is none of its own. text/registry.txt has a line for each code, in which % stands for the
// repository. The codes of archives begin with "a-" there. In place of http-login "helper" stands
// for a login that this program can't use, whose file is %, and in place of unverified "unsigned"
// for an image that no trusted key signed.
func (u *ui) registryHint(err error) string {
	r := u.registry
	_, code := classify(err)
	name := "docker:" + r.image.Reference.Name()
	switch {
	case code == "http-login" && r.image.Archive == "" && r.lacking() != "":
		code, name = "helper", r.lacking()
	case r.image.Reference.Plain:
		name = "docker+http://" + r.image.Reference.Name()
	case r.image.Archive == "-":
		name = "-"
	case r.image.Archive != "":
		scheme, _, _ := strings.Cut(r.name, ":")
		name = scheme + ":" + r.image.Archive
	}
	if code == "unverified" && errors.Is(err, source.ErrNoSignature) {
		code = "unsigned"
	} else if r.image.Archive != "" && code != "unusable" && code != "untrusted" {
		code = "a-" + code
	}
	table, _ := textOf(packedTexts, "registry.txt") // TestTexts finds damage
	return strings.Replace(lineOf(table, code), "%", shellWord(name), 1)
}

// namedHint returns the hint about an error of a source that neither is an image server with an
// index nor has container images, "" if there is none of its own. text/sources.txt has a line for
// each code and kind of source, in which % stands for its name. In place of unverified "unsigned"
// stands for what no trusted key signed, or "required" if only --require-signature refuses it; in
// place of untrusted "key" for the lists of a known server, whose key the package % has; in place
// of http-missing "gone" for a file that the lists name, and "alias" for URL:ALIAS without
// --protocol; and in place of failed "format" for a file that can't be decoded.
func (u *ui) namedHint(err error, c *causes) string {
	_, code := classify(err)
	name, near := u.named.path, ""
	if u.named.kind == fromStreams {
		name = u.named.listWords()
	}
	k := known(u.named.known)
	switch {
	case code == "unverified" && (errors.Is(err, source.ErrNoSignature) || errors.Is(err, source.ErrUnvouched)):
		if code = "unsigned"; u.named.mustSign && u.named.kind == fromURL {
			code = "required"
		}
	case code == "http-missing" && u.named.kind == fromStreams && !strings.Contains(c.network.URL, "/streams/v1/index."):
		code = "gone"
	case u.named.kind == fromURL && c.network != nil && c.network.NotFound() && hasAlias(u.named.word):
		code = "alias"
	case code == "file" && !strings.Contains(err.Error(), strconv.Quote(u.named.path)):
		return "" // it is another file
	case code == "failed" && isFormat(err):
		code = "format"
	case code == "untrusted" && k != nil && k.Package != "":
		code, name = "key", k.Package
	case code == "no-image" && c.other.missing != nil && len(c.other.missing.Near) > 0:
		near = "The nearest: " + c.other.missing.Near[0].Name.String() + ". "
	}
	table, _ := textOf(packedTexts, "sources.txt") // TestTexts finds damage
	hint := lineOf(table, kindLetters[u.named.kind:u.named.kind+1]+"-"+code)
	if hint == "" {
		return ""
	}
	return near + strings.Replace(hint, "%", name, 1)
}

// isFormat reports whether an error says that a file is damaged, cut off or of an unknown format.
func isFormat(err error) bool {
	return errors.As(err, new(*untar.FormatError)) || errors.As(err, new(*xz.FormatError)) || errors.Is(err, io.ErrUnexpectedEOF)
}

// localHint returns the hint about the directory to fill, LXC's rules, disk space, memory and
// permissions.
func (u *ui) localHint(err error, c *causes) (hint string) {
	if c.fault != 0 {
		_, hint = c.targetLine()
	}
	switch {
	case c.other.unfit != nil:
		return "Choose another file system: ext4, f2fs, btrfs, xfs and tmpfs have all features that are needed."
	case c.busy:
		return "Wait until the other run has ended."
	case c.target != nil && c.target.Marker != "":
		return "Look at both, and remove them if you do not need them."
	case hint != "":
		return hint
	case c.other.owner != nil && errors.Is(err, untar.ErrUnmapped):
		return "The copy would have another owner. Pass an archive, which has the owners: tar -C DIR -c . | lxc-pull create NAME -"
	case c.other.owner != nil && errors.Is(err, syscall.EINVAL):
		return "The user namespace does not have that id: widen the ranges in /etc/subuid, /etc/subgid and lxc.idmap."
	case c.other.owner != nil:
		return "The file system can't store owners, or does not let you set them. Choose another directory."
	case c.other.memory != nil && c.other.memory.Needed > 0:
		return "Allow more with --memory " + strconv.FormatInt(int64(c.other.memory.Needed+1<<20-1)>>20, 10) + "M."
	}
	switch c.errno {
	case syscall.ENOSPC, syscall.EDQUOT:
		if u.leavesNothing() {
			return c.nothing() + "Free some space, or choose another directory."
		}
		return "Free some space, or choose another directory."
	case syscall.EROFS:
		return "Choose a directory that is writable."
	case syscall.EACCES, syscall.EPERM:
	default:
		return ""
	}
	if c.own.file != nil {
		return "You may not read " + strconv.Quote(c.own.file.name) + ". Use sudo, or name another file."
	}
	if c.other.path == nil && u.named != nil && u.named.kind == fromFile {
		return "You may not read all of " + strconv.Quote(u.named.path) + ", or not write there. Use sudo."
	}
	if c.other.path == nil {
		return "Only another user or root may do that. Use sudo, or a place of your own."
	}
	verb, option := "write to ", ""
	if c.other.path.Op == "open" {
		verb = "read or write "
	}
	switch u.command {
	case "create":
		option = " with -P DIR"
	case "fetch":
		option = " with -o FILE"
	case "untar":
		option = " with -C DIR"
	}
	return "You may not " + verb + strconv.Quote(c.other.path.Path) + ". Use sudo, or choose another place" + option + "."
}

// leavesNothing reports whether the command leaves no files after an error, unless the error
// says so. Others may have written to standard output, or to a directory that existed.
func (u *ui) leavesNothing() bool {
	return !among("untar zcat verify sopv list cache version help --install doctor config check info completion", u.command)
}

// telling returns the most telling of the network failures in err, which may be of several
// servers, nil if there is none.
func telling(err error) (best *fetch.Error) {
	most := ""
	for _, e := range fetch.Failures(err) {
		if rank, _, _ := networkLine(e); best == nil || rank > most {
			best, most = e, rank
		}
	}
	return best
}

// clockHint returns the hint that a clock may be wrong.
func (u *ui) clockHint() string {
	const layout = "2006-01-02 15:04"
	if given := u.clock.Given(); !given.IsZero() {
		return "--time says " + given.UTC().Format(layout) + " UTC. If that is wrong, pass another time or omit --time."
	}
	return "The system's clock says " + time.Now().UTC().Format(layout) + " UTC. If that is wrong, set the clock or pass --time."
}

// networkHint returns the hint about a failed download. resumes says that a part is kept, so
// that the same command continues the download.
func (u *ui) networkHint(e *fetch.Error, resumes bool) string {
	switch e.Kind {
	case fetch.KindRefused, fetch.KindUnreachable, fetch.KindTimeout:
		if u.registry != nil {
			return "Check the network, the proxy in https_proxy, and whether the registry is up. A mirror (--mirror HOST) may be."
		}
		if e.Proxy != "" || proxySet() {
			return "Check the network, and whether the server is up. A proxy is set: https_proxy, http_proxy, all_proxy and no_proxy say which requests use it."
		}
		return "Check the network, and whether the server is up. Behind a proxy, set https_proxy."
	case fetch.KindExpired:
		return u.expiredHint(time.Now())
	case fetch.KindClock:
		return u.clockHint()
	case fetch.KindStall, fetch.KindTruncated:
		if !resumes {
			return "The connection or the server fails. Try again later."
		}
		return "The connection fails. The same command continues the download."
	}
	_, _, hint := networkLine(e)
	if u.command == "fetch" {
		if e.NotFound() {
			return "The server does not have that file. Check the URL."
		}
		hint = strings.Replace(hint, "--server", "the URL", 1)
	}
	return hint
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
