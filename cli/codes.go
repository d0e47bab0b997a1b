package cli

import (
	"fmt"
	"io"
	"strings"
)

// codes explains the codes of errors and warnings, which the events have (events.go) and
// "help CODE" explains. A paragraph is a code, and then what it means, why it happens and what
// to do. The names are stable: programs compare them.
const codes = `bad-answer
The server's answer breaks the rules of HTTP, or is too large.
A proxy on the way may alter it, or this is not an image server. Use another
server or network.

cache-problem
The image cache is not used, or the image is not kept in it.
The run goes on; the next one downloads the image again. The text says why:
often another owner or a full disk. "lxc-pull cache ls" shows the cache.

changed
The file on the server changed while it was downloaded.
The server is being updated. Run the command again later.

client-cert
The server wants to see a certificate of this client, or refuses it.
Pass --cert FILE and --key FILE. The server's owner makes both and knows which
authority must have signed them.

clock
The clock of this machine is wrong.
Signatures and certificates are then judged by the newest date that can be
proven. Set the clock, or pass --time DATE.

connection-lost
The connection broke or stalled, and all retries did too.
What has come is kept if the text says so: the same command goes on from there.
See also --retries, --stall-time and --mirror.

disk-error
The kernel could not read or write the disk.
The disk, card or network mount may be failing: see dmesg.

dns
The server's name has no address, or no name server answers.
Check the spelling, the network, and /etc/resolv.conf. Without name servers pass
--dns ADDRESS or --resolve HOST:ADDRESS.

exists
There is something with that name already.
Choose another name, or remove it first: lxc-destroy -n NAME.

failed
An error for which there is no special code; the text says what failed.

file
A file URL, or a file that an option names, can't be read.
Check the path and its permissions.

file-system
The file system lacks something that images need.
Use ext4, f2fs, btrfs, xfs or tmpfs. FAT and many network mounts have no owners
or extended attributes.

foreign-arch
The image is for a processor whose programs this machine can't run.
The container won't start until qemu-user and its entries in binfmt_misc are
installed (Debian: qemu-user-static). Else pass the right --arch.

garbage
A compressed file has other bytes after its end, which were ignored.

gone
The server lists the image, but no longer or not yet has it.
The server is being updated. Try again later, or use another server.

history
The record of builds, by which an old image is recognized, can't be used.
Remove the file "seen" that the text names to begin anew.

host-config
The image's config or fstab would change this host.
Such an image can take over the machine. If you trust it with that, pass
--allow-host-config.

http-login
The server wants a login, or refuses you for some time (401 or 403).
Pass --netrc-file FILE, --header-file FILE or --cert FILE; or wait.

http-missing
The server has no such file (404 or 410).
Check the URL, or the path in --server.

http-status
The server answered with an error.
Numbers from 500 on are the server's own troubles: try again later, or use
another server.

id-map
An ordinary user's container needs a range of user ids.
In this order: lines "lxc.idmap" in ~/.config/lxc/default.conf, ranges in
/etc/subuid and /etc/subgid from root, a line in /etc/lxc/lxc-usernet for the
network.

ignored-option
An option or argument has no effect here.

image-config
The image's config has, or lacks, something that you should know.

image-file
A file that the image wants to be edited was left as it is.

interrupted
A signal ended the run, which then cleaned up.

leftover
A run that was killed had left files there.

lock
Another run works in the same directory.
Wait until it has ended.

login-page
A web page came instead of the file.
Most likely the network wants a login first: open any page in a browser.
Otherwise the URL is wrong.

memory
The image needs more memory for unpacking than --memory allows.

merge
The directory held files before, which stay beside those of the image.

missing-include
LXC's config lacks a file that the image's config includes.
Install LXC's own configs (Debian: lxc), or pass --template-config DIR.

no-config
The image's metadata has no config: it is not an image for LXC.

no-image
No server has such an image.
"lxc-pull list" shows what there is; the nearest names are in the text.

no-room
The disk, or its quota or inodes, can't hold the image.
Free some space, or use another directory (-P DIR, LXC_CACHE_PATH).

not-empty
The directory for the root file system holds files.
Choose another directory, or empty it first.

not-restored
Some attributes of the image's files could not be stored.
--report FILE says which and why.

no-validate
Signatures are not verified, as --no-validate demands.

offline
No server can be reached, so a cached image is used.

ok
Nothing failed.

old-image
The image is older than one seen before, or has expired.
An old image may have known holes. Use another server, or --allow-older.

owners
The owners of the image's files can't be stored.
The file system has no owners, or the user namespace lacks these ids: widen
/etc/subuid, /etc/subgid and lxc.idmap.

permission
You may not read or write a file.
Use sudo, or a place of your own: -P DIR, -o FILE, -C DIR.

proxy
The proxy can't be reached, refuses, or its setting is wrong.
http_proxy, https_proxy, all_proxy and no_proxy say which requests use it.

read-only
The file system can't be written.

redirect
The server redirects without end, or to an unsafe address.

refused
The server's machine answers, but nothing listens on that port.
Check the port and whether the server runs. Behind a proxy, set https_proxy.

retry
A failure that is tried again, or on another server.

timeout
The server did not answer in time.
It is down, or a firewall drops the packets. Behind a proxy, set https_proxy.

tls
The server and this program did not agree on encryption.
TLS 1.2 or later is needed; the server may also want --cert FILE and --key FILE.

tls-authority
No authority that this machine trusts signed the server's certificate.
If it is your own server, pass --cacert FILE. If not, somebody may be reading
along: use another network.

tls-clock
The server's certificate is not valid yet: this machine's clock is behind.

tls-expired
The server's certificate has ended.
Tell the server's owner. If this machine's clock is ahead, set it or pass --time.

tls-name
The server's certificate is for other host names.
Check --server or the URL. Otherwise the owner must renew the certificate.

unreachable
There is no way to the server's network.
Check the cable or radio, the address (ip addr) and the route (ip route); -4 and
-6 choose one kind of address.

untrusted
The signature is good, but none of the trusted keys made it.
Pass the server's key with --keyring FILE; get it from a source that you trust,
not from this server.

unverified
The file is not what was signed, or its signature is missing.
Nothing of it was kept. Try another server; if it happens again, tell the owner.

usage
The command line is wrong. "lxc-pull help COMMAND" has all options.

weak-key
A key has expired or lapsed since it signed.

wrong-scheme
The port speaks https and the URL says http, or the other way round.
`

// codeText returns the explanation of a code, "" if there is no such code.
func codeText(code string) string {
	for paragraph := range strings.SplitSeq(codes, "\n\n") {
		if name, text, _ := strings.Cut(paragraph, "\n"); name == code {
			return strings.TrimSuffix(text, "\n")
		}
	}
	return ""
}

// printCodes prints the codes with the first line of each explanation.
func printCodes(w io.Writer) error {
	var b strings.Builder
	for paragraph := range strings.SplitSeq(codes, "\n\n") {
		name, text, _ := strings.Cut(paragraph, "\n")
		text, _, _ = strings.Cut(text, "\n")
		fmt.Fprintf(&b, "%-15s %s\n", name, text)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
