package main

import (
	"context"
	_ "embed"
	"errors"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"lxc-pull/scripts/lab/terminal"
)

// A machine is a root file system in the sandbox, in which the documents' commands run as
// root: our program really, and the programs of others that change a machine or that
// Debian lacks as stubs. Commands run in namespaces of their own for users and mounts, so
// that even a command with a fault can't reach the machine that runs the test.
type machine struct {
	dir  string
	env  []string
	user string // setpriv's options for an ordinary user; "" for root
	at   string // the working directory, which "cd" changes
}

// A kind says how a kind of machine differs from a Debian host.
type kind struct {
	files []string // made empty; a directory ends with a slash
	env   []string // "NAME=value"
	home  string   // below the machine's directory
	user  bool     // commands run as the owner of home, not as root
	same  string   // the label of the kind whose machine it shares; "" for its own
}

const termuxPrefix = "/data/data/com.termux/files/usr"

// kinds are the machines by label.
var kinds = map[string]kind{
	"debian":  {home: "root"},
	"":        {home: "root", same: "debian"},
	"host":    {home: "root", same: "debian"},
	"user":    {home: "home/tux", user: true},
	"systemd": {home: "home/tux", user: true, same: "user"},
	"router":  {home: "root", files: []string{"etc/openwrt_release", "mnt/sda1/"}},
	"turris":  {home: "root", files: []string{"etc/openwrt_release", "srv/lxc/"}},
	"phone":   {home: "root", files: []string{"data/lxc/containers/", "data/local/tmp/", "dev/__properties__/"}},
	"termux":  {home: "data/data/com.termux/files/home", user: true, files: termuxFiles, env: []string{"PREFIX=" + termuxPrefix}},
	"tsu":     {home: "data/data/com.termux/files/home", files: termuxFiles, env: []string{"PREFIX=" + termuxPrefix}},
}

var termuxFiles = []string{"data/data/com.termux/files/usr/bin/", "dev/__properties__/"}

// stubText is the program behind every stub.
//
//go:embed stub
var stubText []byte

// stubs are the programs that a machine has as stubs, also where the real one is
// installed. All others are those of the machine that runs the test.
var stubs = strings.Fields(`
	adb apk apt blkid chroot docker dpkg-divert go gpg grub-install loginctl lxc-attach lxc-create lxc-execute lxc-info
	lxc-setup-cgroups lxc-start lxc-stop lxc-unpriv-attach lxc-unpriv-start mkfs.ext4 mount opkg passwd pkg proot reboot scp ssh su sudo
	sync sysctl systemctl systemd-run termux-setup-storage umount update-grub usermod wget
`)

// machineFiles are the files of every machine. A name that ends with a slash is a
// directory, and a text that begins with @ names a file of the sandbox.
var machineFiles = map[string]string{
	"proc/": "", "sys/class/net/lxcbr0/": "", "tmp/": "", "mnt/": "", "media/stick/": "", "var/cache/lxc/": "", "var/lib/lxc/": "",
	"images/scripts/publish/": "", "images/rootfs/": "", "usr/bin/": "", "usr/lib/": "", "usr/lib64/": "", "srv/": "",
	"etc/passwd":           "root:x:0:0:root:/root:/bin/sh\ntux:x:1000:1000::/home/tux:/bin/sh\n",
	"etc/group":            "root:x:0:\ntux:x:1000:\n",
	"etc/hostname":         "newcomer\n",
	"etc/resolv.conf":      "nameserver 192.0.2.53\n",
	"etc/subuid":           "tux:100000:65536\n",
	"etc/subgid":           "tux:100000:65536\n",
	"etc/lxc/default.conf": "lxc.net.0.type = veth\nlxc.net.0.link = lxcbr0\nlxc.net.0.flags = up\n",

	"usr/share/lxc/config/common.conf":          "",
	"usr/share/lxc/config/userns.conf":          "",
	"usr/share/lxc/templates/lxc-download":      "#!/bin/sh\n",
	"usr/share/lxc/templates/lxc-oci":           "#!/bin/sh\n",
	"usr/share/lxc/templates/lxc-local":         "#!/bin/sh\n",
	"usr/share/lxc-pull/templates/lxc-download": "@bin/lxc-pull",
	"usr/local/bin/lxc-pull":                    "@bin/lxc-pull",

	// What the documents' commands find in the directory where they begin.
	"root/lxc-pull-linux-amd64":          "@bin/lxc-pull",
	"root/lxc-pull_1_amd64.deb":          "",
	"root/dist/lxc-pull-linux-arm64":     "@bin/lxc-pull",
	"root/bin/publish":                   "@bin/publish",
	"root/images.key.pub":                "@tree.key.pub",
	"root/cosign.pub":                    "@cosign.pub",
	"root/turris.asc":                    "@tree.key.pub",
	"root/FILE":                          "\n",
	"root/rootfs/etc/hostname":           "LXC_NAME\n",
	"root/blobs/sha256/0123456789abcdef": "@layer.tar",
	"images/rootfs/etc/hostname":         "LXC_NAME\n",
	"images/secret":                      "@tree.key",
}

// newMachine makes a machine of a kind in the new directory dir.
func (s *sandbox) newMachine(dir string, k kind) (*machine, error) {
	m := &machine{dir: dir, at: "/" + k.home}
	path := "/stubs:" + termuxPrefix + "/bin:/usr/local/sbin:/usr/local/bin:/usr/bin:/bin"
	m.env = append([]string{"PATH=" + path, "HOME=" + m.at, "TERM=xterm-256color", "LC_ALL=C.UTF-8", "https_proxy=" + s.proxy}, k.env...)
	files := maps.Clone(machineFiles)
	for _, name := range append(k.files, k.home+"/") {
		files[name] = ""
	}
	files["etc/hosts"] = "127.0.0.1 localhost\n" + s.otherProxy + " proxy.example.org\n"
	files["etc/ssl/certs/ca-certificates.crt"] = "@ca.crt"
	for _, name := range stubs {
		files["stubs/"+name] = string(stubText)
	}
	for name, text := range files {
		if err := s.put(filepath.Join(dir, name), text, strings.HasSuffix(name, "/")); err != nil {
			return nil, err
		}
	}
	for _, name := range []string{"bin", "sbin", "lib", "lib64"} { // as Debian has them
		if err := os.Symlink("usr/"+name, filepath.Join(dir, name)); err != nil {
			return nil, err
		}
	}
	if k.user && os.Geteuid() == 0 {
		m.user = "--reuid=1000 --regid=1000 --clear-groups"
		return m, quietly(exec.Command("chown", "-R", "1000:1000", strings.Split(k.home, "/")[0]), dir)
	}
	return m, nil
}

// put makes a file of a machine as machineFiles says.
func (s *sandbox) put(file, text string, directory bool) error {
	if directory {
		return os.MkdirAll(file, 0o755)
	}
	content := []byte(text)
	if name, ok := strings.CutPrefix(text, "@"); ok {
		var err error
		if content, err = os.ReadFile(filepath.Join(s.dir, name)); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, content, 0o755)
}

// enter goes into a machine: the programs and libraries of this machine, which can't be
// written there, and a few devices. pivot_root and not chroot, after which nobody could
// make a user namespace. Arguments: the machine, options of setpriv for an ordinary user,
// the working directory, the command.
const enter = `set -e
own=$PATH PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount --make-rprivate /
mount --bind "$1" "$1"
cd "$1"
for d in usr/bin usr/lib usr/lib64 etc/alternatives; do
	[ -d /$d ] || continue
	mkdir -p $d
	mount --rbind /$d $d
	mount -o remount,bind,ro $d
done
mkdir -p dev/pts
mount --rbind /proc proc
mount --rbind /dev/pts dev/pts
for d in null zero random urandom tty; do
	[ -e dev/$d ] || : >dev/$d
	mount --bind /dev/$d dev/$d
done
pivot_root . .
umount -l .
exec setpriv $2 env PATH="$own" /bin/sh -c 'cd "$1" && eval "$2"' sh "$3" "$4"`

// command returns a command that runs a line of a document in the machine.
func (m *machine) command(ctx context.Context, line string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", enter, "sh", m.dir, m.user, m.at, line)
	cmd.Dir, cmd.Env = "/", m.env
	// Root's namespace has every id, so that it looks like a machine's.
	uid, gid, count := os.Geteuid(), os.Getegid(), 1
	if uid == 0 {
		all := uint32(math.MaxUint32)
		gid, count = 0, int(all)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:                 syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings:                []syscall.SysProcIDMap{{HostID: uid, Size: count}},
		GidMappings:                []syscall.SysProcIDMap{{HostID: gid, Size: count}},
		GidMappingsEnableSetgroups: uid == 0,
	}
	return cmd
}

// withoutImage is the command that shows a list to pick from.
var withoutImage = regexp.MustCompile(`^lxc-pull create [a-z]+$`)

// run runs a line and returns its output and exit status. "cd" holds for the next lines.
func (m *machine) run(ctx context.Context, line string) (output string, status int, err error) {
	if to, ok := strings.CutPrefix(line, "cd "); ok {
		m.at = to
	}
	cmd := m.command(ctx, line)
	if withoutImage.MatchString(line) {
		return pick(ctx, cmd)
	}
	return exitStatus(cmd)
}

// exitStatus runs a command and returns its output and exit status.
func exitStatus(cmd *exec.Cmd) (output string, status int, err error) {
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return string(out), 0, err
	}
	return string(out), cmd.ProcessState.ExitCode(), nil
}

// pick runs a command on a terminal: it types into the list that appears, and presses
// Enter when the list has become short.
func pick(ctx context.Context, cmd *exec.Cmd) (output string, status int, err error) {
	t, err := terminal.Start(cmd, 80, 24)
	if err != nil {
		return "", 0, err
	}
	at := 0
	for _, step := range []struct{ expect, keys string }{{"debian", "debian trixie"}, {"trixie", "\r"}} {
		at, err = t.Expect(ctx, step.expect, at)
		if err == nil {
			err = t.Type(step.keys)
		}
		if err != nil {
			cmd.Process.Kill()
			t.Wait()
			return t.Screen().Text(), 0, err
		}
	}
	status, err = t.Wait()
	return t.Screen().Text(), status, err
}
