package cli

// doctorRules is the table of the checks of doctor, with an empty line after each. The first
// line of a check is its name. The others are its rules, and the first rule whose conditions
// hold is the finding:
//
//	STATUS|CONDITIONS|TEXT|REMEDY
//
// STATUS is ok, warn, fail, or "-" if the check does not apply. A rule without TEXT has that
// of the rule before. {NAME} stands for a fact, {/PATH} for a file's content, and "\n" in
// REMEDY begins a line. A check whose name begins with "$" sets the fact of that name to TEXT.
//
// Conditions, all of which must hold ("!" before one denies it):
//
//	NAME, NAME=VALUE      the fact is not empty; it has that value
//	/PATH, /PATH=VALUE    the file exists; its content is VALUE
//	/PATH~VALUE           the file contains VALUE, in which "+" stands for blanks and newlines
//	+/PATH                the program has root's rights, by its mode or file capabilities
//
// It is one string because code for each check would add four times the bytes to the program.
const doctorRules = `settings
-|

options
fail|error|{error}|Correct the option or setting that names that file.
-|

$sysctl
||>>/etc/sysctl.d/90-lxc.conf && sysctl -p /etc/sysctl.d/90-lxc.conf

$root
|user|As root: 

$packages
||lxc lxc-start lxc-stop lxc-attach lxc-ls lxc-configs kmod-veth

$install
|/bin/opkg|{root}opkg update && opkg install {packages}
|/etc/openwrt_release|{root}apk add {packages}
|/sbin/apk|{root}apk add lxc lxc-bridge shadow-uidmap
|/usr/bin/apt-get|{root}apt-get install lxc uidmap
||Install LXC and newuidmap by your system's packages.

$other
||Name another directory: -P DIR, or lxc.lxcpath = DIR in lxc.conf.

$mount
||{root}mount -o remount

name servers
-|!asks
ok|dns|from {dns}
fail|!android !termux|/etc/resolv.conf names none|{root}echo nameserver ADDRESS >>/etc/resolv.conf (your router's address), or pass --dns ADDRESS
fail||none found|Pass --dns ADDRESS, with your router's address.

certificates
-|!asks
fail|error|{error}|Correct SSL_CERT_FILE and SSL_CERT_DIR, or unset them.
ok||from {trust}

proxy
fail|error|{error}|Correct that variable, or unset it.
ok|proxy|set by{proxy}
ok||none is set

server
fail|error|{error}|{hint}
warn|none|{url}: {images}|Choose another server, or an architecture that this machine can run: lxc-pull list.
warn|blind|{url}: {images}; no signature was verified|Omit --no-validate.
ok||{url}: {images}; the signature is good

clock
warn|wrong|{wrong}|{root}date -u {set}
fail|late|{now}, more than ten years after this program was built|{root}date -u {set}
warn|right|{now}, but {right} by the server|{root}date -u {set}
ok||{now}

Android
-|!android
fail|user|without root no container can start|A root file system needs no root (Termux: pkg install proot):\n  lxc-pull rootfs debian debian/trixie\n  proot -0 -r debian -b /dev -b /proc -b /sys -w / /bin/sh -l
warn|!/data/lxc|/data/lxc does not exist|mkdir /data/lxc, or pass -P DIR with the directory of your LXC
ok||root, and /data/lxc

SELinux
-|!android
ok|/sys/fs/selinux/enforce=0|permissive
warn|!user /sys/fs/selinux/enforce=1|enforcing: its rules may keep containers from starting|setenforce 0
ok||enforcing, or not known

user namespaces
-|app
ok|!mapped|not needed: root's containers run without one
-|!/proc/self
fail|!/proc/self/ns/user|not in this kernel|Use a kernel with CONFIG_USER_NS=y, or run containers as root.
fail|/proc/sys/user/max_user_namespaces=0|user.max_user_namespaces is 0|{root}echo user.max_user_namespaces=15000 {sysctl}
fail|user /proc/sys/kernel/unprivileged_userns_clone=0|kernel.unprivileged_userns_clone is 0|{root}echo kernel.unprivileged_userns_clone=1 {sysctl}
fail|user /proc/sys/kernel/apparmor_restrict_unprivileged_userns=1 !/etc/apparmor.d/lxc-usernsexec|AppArmor forbids them|{root}echo kernel.apparmor_restrict_unprivileged_userns=0 {sysctl}
ok||allowed

default config
-|app
fail|error|{error}|Correct {config}.
fail|user !map|no lxc.idmap in {config}, which an ordinary user's containers need|Add to that file:{offer}
ok|map|maps to{map}
ok||no lxc.idmap: root's containers have the host's user ids

subordinate ids
-|app
-|!mapped
-|!user !/usr/bin/newuidmap
fail|missing|root has not lent {name} the ids of{missing}|{root}{lend}
ok||{name} has them

newuidmap
-|app
-|!user
fail|!/usr/bin/newuidmap|not installed|{install}
ok|+/usr/bin/newuidmap +/usr/bin/newgidmap|it and newgidmap have root's rights
fail||it or newgidmap lacks root's rights|{root}chmod u+s /usr/bin/newuidmap /usr/bin/newgidmap

bridge
-|app
warn|!kind|no network in the default config|Add to {config}:\n  lxc.net.0.type = veth\n  lxc.net.0.link = lxcbr0
-|!/sys/class/net
ok|!link|{kind}
ok|/sys/class/net/{link}|{link}
fail|!kind=veth|the interface {link} of the default config does not exist|Write another lxc.net.0.link into {config}.
fail|/etc/openwrt_release /sys/class/net/br-lan||Write lxc.net.0.link = br-lan into {config}.
fail|link=lxcbr0 /run/systemd/system /lib/systemd/system/lxc-net.service||{root}systemctl enable --now lxc-net
fail|link=lxcbr0 /etc/init.d/lxc-net||{root}service lxc-net start
fail|link=lxcbr0 /sbin/apk||{root}apk add lxc-bridge && rc-update add dnsmasq.lxcbr0 && rc-service dnsmasq.lxcbr0 start
fail|||{root}ip link add {link} type bridge && ip link set {link} up

lxc-usernet
-|app
-|!user
-|!kind=veth
-|!link
fail|/usr/libexec/lxc/lxc-user-nic !+/usr/libexec/lxc/lxc-user-nic|lxc-user-nic is not set-user-ID root|{root}chmod u+s /usr/libexec/lxc/lxc-user-nic
ok|/etc/lxc/lxc-usernet~+{name}+veth+{link}+|{name} may attach containers to {link}
ok|/etc/lxc/lxc-usernet~@ /etc/lxc/lxc-usernet~+veth+{link}+|a group of users may attach containers to {link}
fail||{name} may not attach containers to {link}|{root}echo {name} veth {link} 10 >>/etc/lxc/lxc-usernet

LXC
-|app
fail|!start|no lxc-start in PATH: containers can be made, but not started|{install}
warn|old|version {version} does not know the keys of today's images|Install LXC 3.0 or later.
ok|version|{start}, {version}
ok||{start}, version not known

template
-|!/usr/share/lxc/templates
ok|as|lxc-create -t {as} is this program
warn||lxc-create -t pull does not find this program (lxc-pull create needs no template)|{root}ln -s {own} /usr/share/lxc/templates/lxc-pull

LXC's configs
-|app
ok|{dir}/common.conf {dir}/userns.conf|in {dir}
fail||no common.conf and userns.conf in {dir}, which images include|{install}

LXC path
-|!path
fail|file|{path} is not a directory|{other}
fail|locked|you may not write to {locked}|{other}
fail|closed|the container's root may not pass through {closed}|chmod o+x {closed}
ok|new|{path}, which create makes
ok||{path}

room for containers
-|!path
fail|error|{error}|{other}
fail|little|{room} free: too little for most images|Free some. {other}
warn|tight|{room} free: a large image does not fit|Free some. {other}
ok||{room} free

their file system
-|!path
-|error
fail|unfit|{fs} can't hold owners, modes and links|{other}
fail|readonly|{fs}, mounted read-only|{mount},rw {point}
fail|noexec|{fs}, mounted noexec: no program in a container can run|{mount},exec {point}
fail|nocase|{fs} ignores upper and lower case there|{other}
warn|nosuid|{fs}, mounted nosuid: su and sudo fail in containers|{mount},suid {point}
warn|weak|{fs} may lack owners or extended attributes|{other}
warn|fs=tmpfs|tmpfs is in memory: containers are lost at shutdown|{other}
ok|nodev|{fs}, mounted nodev (LXC does not mind)
ok||{fs}

cache
warn|!cache|neither HOME nor LXC_CACHE_PATH is set: there is none|Set LXC_CACHE_PATH to a directory.
warn|error|{error}|Set LXC_CACHE_PATH to another directory.
warn|lost|{cache} is in memory: no image is kept|Set LXC_CACHE_PATH to a directory on a disk.
warn|file|{cache} is not a directory|Set LXC_CACHE_PATH to another directory.
warn|readonly|{cache} is read-only|Set LXC_CACHE_PATH to another directory.
warn|locked|you may not write to {locked}|Set LXC_CACHE_PATH to another directory.
warn|tight|{cache}, {room} free: too little for large images|lxc-pull cache gc
ok||{cache}, {room} free

kernel
fail|!/proc/self|/proc is not mounted, which LXC and these checks need|{root}mount -t proc proc /proc
ok||{/proc/sys/kernel/osrelease}

control groups
-|!/proc/self
fail|!/proc/self/mounts~+cgroup+ !/proc/self/mounts~+cgroup2+ /etc/init.d/cgroups|none are mounted|{root}rc-update add cgroups && rc-service cgroups start
fail|!/proc/self/mounts~+cgroup+ !/proc/self/mounts~+cgroup2+||{root}mount -t cgroup2 cgroup2 /sys/fs/cgroup
warn|!/proc/self/mounts~,memory !/sys/fs/cgroup/cgroup.controllers~memory|no controller memory|Add cgroup_enable=memory to the kernel's command line, and restart.
warn|!/proc/self/mounts~,pids !/sys/fs/cgroup/cgroup.controllers~pids|no controller pids|Use a kernel with CONFIG_CGROUP_PIDS=y.
warn|fixed /run/systemd/system|you may not change the group of this shell|Start containers so: systemd-run --user --scope -p Delegate=yes -- lxc-start -n NAME
warn|fixed||Let root give you a directory below /sys/fs/cgroup, and enter it.
ok|!/proc/self/mounts~+cgroup+|version 2, with memory and pids
ok||version 1, with memory and pids

namespaces
-|!/proc/self
ok|/proc/self/ns/mnt /proc/self/ns/pid /proc/self/ns/ipc /proc/self/ns/uts /proc/self/ns/net|mnt, pid, ipc, uts, net
warn|!/proc/self/ns/mnt !/proc/self/ns/pid|not to be seen before Linux 3.8|Use a newer kernel.
fail||not all of mnt, pid, ipc, uts, net|Use a kernel with CONFIG_NAMESPACES, PID_NS, IPC_NS, UTS_NS and NET_NS.

file systems
-|!/proc/self
fail|!/proc/filesystems~tmpfs|no tmpfs|Use a kernel with CONFIG_TMPFS=y.
fail|!/proc/filesystems~devpts|no devpts|Use a kernel with CONFIG_UNIX98_PTYS=y.
ok|/proc/filesystems~overlay|tmpfs, devpts, overlay
ok||tmpfs, devpts (overlay, for snapshots, may be a module that loads later)

seccomp
-|!/proc/self
ok|/proc/self/status~Seccomp:|in this kernel
warn||not in this kernel: LXC may refuse to start containers|Use a kernel with CONFIG_SECCOMP_FILTER=y.`
