package cli

import (
	"fmt"
	"strings"
)

// codes explains the codes of errors and warnings, which the events have (events.go) and
// "help CODE" explains. A paragraph is a code, and then what it means, why it happens and what
// to do. The names are stable: programs compare them.
const codes = `

bad-answer
The server's answer breaks the rules of HTTP, or is too large.
A proxy may alter it, or this is no image server. Use another server.

cache-problem
The image cache is not used, or the image is not kept in it.
The text says why: often another owner or a full disk. The run goes on.

changed
The file changed on the server meanwhile. Try again later.

client-cert
The server wants a client certificate, or refuses yours.
Pass --cert FILE and --key FILE, which the server's owner hands out.

clock
This machine's clock is wrong.
The newest date that is proven is used instead. Set the clock, or pass --time.

connection-lost
The connection broke or stalled, and so did all retries.
If the text says that a part is kept, the same command goes on from there.

disk-error
The kernel could not read or write the disk. See dmesg.

dns
The server's name has no address, or no name server answers.
Check the spelling, the network and /etc/resolv.conf. Without name servers pass
--dns ADDRESS or --resolve HOST:ADDRESS.

exists
Something has that name already. Choose another name, or remove it first.

failed
An error without a code of its own.

file
A file can't be read. Check its path and permissions.

file-system
The file system lacks what images need.
FAT and many network mounts do. Use ext4, f2fs, btrfs, xfs or tmpfs.

foreign-arch
The image is for a processor that this machine does not have.
Install qemu-user with binfmt_misc (Debian: qemu-user-static), or choose
another --arch.

garbage
Bytes after the end of a compressed file were ignored.

gone
The server lists the image, but does not have it. It is being updated.

history
The record of the builds that were seen can't be used.
Without it an old image is not noticed. Remove the file "seen" to begin anew.

host-config
The image's config would change this host.
Such an image could take it over.
If you trust it with that, pass --allow-host-config.

http-login
The server wants a login, or refuses you (401, 403).
Pass --netrc-file FILE, --header-file FILE or --cert FILE; or wait.

http-missing
The server has no such file (404, 410). Check the URL, or the path in --server.

http-status
The server answered with an error. Try again later, or use another server.

id-map
An ordinary user's container needs ids of its own.
In this order:
1. root lends ids in /etc/subuid and /etc/subgid (usermod --add-subuids),
2. lines "lxc.idmap" in ~/.config/lxc/default.conf use them,
3. a line in /etc/lxc/lxc-usernet allows the network.

ignored-option
An option or argument has no effect here.

image-config
What the image's config has or lacks may surprise you.

image-file
A file that the image wants edited was left as it is.

incomplete
The answer is incomplete. The text says why.

interrupted
A signal ended the run, which then cleaned up.

leftover
An earlier run that was killed left files.

lock
Another run works in the same directory. Wait until it has ended.

login-page
A web page came instead of the file.
Perhaps the network wants a login: open any page in a browser. Else check the
URL.

memory
Unpacking needs more memory than --memory allows.

merge
Files that were in the directory stay beside those of the image.

missing-include
LXC's configs are not where the image's config looks for them.
Install LXC, or pass --template-config DIR.

no-config
The image is not for LXC: its metadata has no config.

no-directory
The container's root file system is not one directory.
To compare it, mount it and pass --rootfs DIR.

no-image
No server has such an image. See lxc-pull list.

no-record
There is no such container, or it has no image.json.
That file says what a container was made of. Containers of older versions and of
other programs have none. A copy needs a copy of the original's image.json.

no-room
Disk space, quota or inodes do not suffice.
Free some, or use another place: -P DIR, LXC_CACHE_PATH.

no-validate
--no-validate: nobody vouches for the image.

not-empty
The directory for the root file system holds files. Use another, or empty it.

not-restored
Some attributes of files could not be stored. --report FILE says which and why.

offline
No server can be reached, so the cached image is used.

ok
Nothing failed.

old-image
The image is older than one seen before, or has expired.
It may have known holes. Use another server, or pass --allow-older.

owners
The owners of the image's files can't be stored.
Use another file system, or widen /etc/subuid, /etc/subgid and lxc.idmap.

permission
You may not read or write a file.
Use sudo, or a place of your own: -P DIR, -o FILE, -C DIR.

proxy
The proxy can't be reached, refuses, or its setting is wrong.
http_proxy, https_proxy, all_proxy and no_proxy say which requests use it.

read-only
The file system can't be written. Use another directory.

redirect
The server redirects without end, or to an unsafe address. Check the URL.

refused
The machine answers, but nothing listens on that port.
Check the port and the server. Behind a proxy, set https_proxy.

retry
A failure, after which the run tries again or elsewhere.

timeout
The server is down, or a firewall drops the packets.
Behind a proxy, set https_proxy.

tls
The server and this program did not agree on TLS 1.2 or later.

tls-authority
No trusted authority signed the server's certificate.
If it is your own server, pass --cacert FILE. If not, somebody may read along:
use another network.

tls-clock
The server's certificate is not valid yet. Set the clock, or pass --time.

tls-expired
The server's certificate has ended.
Tell the server's owner. If this machine's clock is ahead, set it.

tls-name
The server's certificate is for other hosts. Check --server or the URL.

unreachable
There is no way to the server's network.
Check cable or radio, and ip route; -4 or -6 choose the kind of address.

untrusted
None of the trusted keys made the signature.
Get the server's key from a source that you trust, not from this server, and
pass it with --keyring FILE.

unverified
The file is not what was signed, or its signature is missing.
Try another server; if it happens again, tell the owner.

usage
The command line is wrong. "lxc-pull help COMMAND" has all options.

weak-key
A key has expired or lapsed since it signed.

wrong-scheme
The URL says https and the port speaks http, or vice versa.
`

// codeText returns the explanation of a code, "" if there is no such code.
func codeText(code string) string {
	_, text, _ := strings.Cut(codes, "\n\n"+code+"\n")
	text, _, _ = strings.Cut(text, "\n\n")
	return strings.TrimSuffix(text, "\n")
}

// codeTable returns a line for each code: its name and the first sentence of its explanation.
func codeTable() string {
	var b strings.Builder
	for rest := codes; rest != ""; {
		var code, line string
		_, rest, _ = strings.Cut(rest, "\n\n")
		code, line, _ = strings.Cut(rest, "\n")
		line, _, _ = strings.Cut(line, "\n")
		line, _, _ = strings.Cut(line, ". ")
		if code != "" {
			fmt.Fprintf(&b, "%-15s %s\n", code, line)
		}
	}
	return b.String()
}
