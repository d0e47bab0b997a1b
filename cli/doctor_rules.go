package cli

// doctorRules is the table of the checks of doctor. A line without "|" is the name of a
// check; the lines below are its rules, and the first whose conditions hold is the finding:
//
//	STATUS|CONDITIONS|TEXT|REMEDY
//
// STATUS is ok, warn, fail, or "-" if the check does not apply. A rule without TEXT has that
// of the rule before. {NAME} stands for a fact; " / " in REMEDY begins a line. A check whose
// name begins with "$" sets a fact of the rest of the name to its TEXT.
//
// Conditions, all of which must hold ("!" before one denies it):
//
//	NAME, NAME=VALUE                  a fact is not empty; it has that value
//	/PATH, /PATH=VALUE, /PATH~VALUE   the file exists; its content is, or contains, VALUE
//
// It is one string because code for each check would cost four times the bytes.
const doctorRules = `$sysctl
||>>/etc/sysctl.d/90-lxc.conf && sysctl -p /etc/sysctl.d/90-lxc.conf
$root
|user|As root: 
$install
|/bin/opkg|opkg update && opkg install lxc lxc-create lxc-start lxc-stop lxc-attach lxc-ls lxc-info lxc-destroy lxc-configs kmod-veth
|/etc/openwrt_release|apk add lxc lxc-create lxc-start lxc-stop lxc-attach lxc-ls lxc-info lxc-destroy lxc-configs kmod-veth
|/sbin/apk|apk add lxc lxc-bridge shadow-uidmap
|/usr/bin/apt-get|apt-get install lxc uidmap
||Install LXC and newuidmap by your system's packages.
$other
||Name another directory: -P DIR, or lxc.lxcpath = DIR in lxc.conf.
name servers
-|idle
ok|dns|from {dns}
fail|!android !termux|none: /etc/resolv.conf names none|{root}echo nameserver ADDRESS >>/etc/resolv.conf (your router's address), or pass --dns ADDRESS
fail||none found|Pass --dns ADDRESS, with the address of your router.
certificates
-|idle
fail|error|{error}|Correct SSL_CERT_FILE and SSL_CERT_DIR, or unset them.
ok||from {trust}
proxy
fail|error|{error}|Correct that variable, or unset it.
ok|proxy|set by{proxy}
ok||none is set
server
fail|error|{error}|{hint}
ok||{url} answers
index
fail|error|{error}|{hint}
warn|none|{images}|Choose another server, or an architecture that this machine can run: lxc-pull list.
warn|blind|{images}; no signature was verified|Omit --no-validate.
ok||{images}, with a good signature
clock
warn|wrong|{wrong}|{root}date -u {set}
fail|late|{now}, more than ten years after this program was built|{root}date -u {set}
warn|server|{now}, but {server} by the server|{root}date -u {set}
ok||{now}
Android
-|!android
fail|user|without root no container can start|A root file system needs no root (Termux: pkg install proot): / lxc-pull rootfs debian debian/trixie / proot -0 -r debian -b /dev -b /proc -b /sys -w / /bin/sh -l
warn|!/data/lxc|/data/lxc does not exist|mkdir /data/lxc, or pass -P DIR with the directory of your LXC
ok||root, and /data/lxc
SELinux
-|!android
warn|!user /sys/fs/selinux/enforce=1|enforcing: its rules may keep containers from starting|setenforce 0
ok|/sys/fs/selinux/enforce=0|permissive
ok|/sys/fs/selinux/enforce=1|enforcing
ok||its mode is not known
user namespaces
-|app
ok|!mapped|not needed: root's containers run without one
-|!/proc/self
fail|!/proc/self/ns/user|this kernel has none|Use a kernel with CONFIG_USER_NS=y, or run containers as root.
fail|/proc/sys/user/max_user_namespaces=0|user.max_user_namespaces is 0|{root}echo user.max_user_namespaces=15000 {sysctl}
fail|user /proc/sys/kernel/unprivileged_userns_clone=0|kernel.unprivileged_userns_clone is 0|{root}echo kernel.unprivileged_userns_clone=1 {sysctl}
fail|user /proc/sys/kernel/apparmor_restrict_unprivileged_userns=1 !/etc/apparmor.d/lxc-usernsexec|AppArmor forbids them|{root}echo kernel.apparmor_restrict_unprivileged_userns=0 {sysctl}
ok||allowed
default config
-|app
fail|error|{error}|Correct {config}.
fail|user !map|{config} has no lxc.idmap, which an ordinary user's containers need|Add to that file:{offer}
ok|map|maps to{map}
ok||no lxc.idmap: root's containers have the host's user ids
subordinate ids
-|app
-|!mapped
fail|missing|root has not lent {name}{missing}|{root}{grant}
ok||{name} has them
newuidmap and newgidmap
-|app
-|!user
fail|absent|{absent} is not in PATH|{root}{install}
fail|weak|{weak} is not set-user-ID root|{root}chmod u+s {weak}
ok||set-user-ID root, or with file capabilities
bridge
-|app
-|!/sys/class/net
warn|!links !gone|the default config names no network|Add to {config}: /   lxc.net.0.type = veth /   lxc.net.0.link = lxcbr0
fail|gone !kind=veth|the interface {gone} of the default config does not exist|Write another one into lxc.net.N.link of {config}.
fail|gone /etc/openwrt_release /sys/class/net/br-lan||Write br-lan into lxc.net.N.link of {config}.
fail|gone=lxcbr0 /run/systemd/system /lib/systemd/system/lxc-net.service||{root}systemctl enable --now lxc-net
fail|gone=lxcbr0 /etc/init.d/lxc-net||{root}service lxc-net start
fail|gone=lxcbr0 /sbin/apk||{root}apk add lxc-bridge && rc-update add dnsmasq.lxcbr0 && rc-service dnsmasq.lxcbr0 start
fail|gone||{root}ip link add {gone} type bridge && ip link set {gone} up
ok||{links}
lxc-usernet
-|app
-|!user
-|!bridge
fail|barred|{name} may not attach containers to {bridge}|{root}echo {name} veth {bridge} 10 >>/etc/lxc/lxc-usernet
fail|weak|{weak} is not set-user-ID root|{root}chmod u+s {weak}
ok||{name} may attach containers to {bridge}
LXC
-|app
fail|!start|lxc-start is not in PATH: containers can be made, but not started|{root}{install}
warn|old|version {version} does not know the keys of today's images|Install LXC 3.0 or later.
ok|version|{start}, {version}
ok||{start}, version not known
template
-|!/usr/share/lxc/templates
ok|as|lxc-create -t {as} is this program
warn||lxc-create -t pull does not find this program (lxc-pull create needs no template)|{root}ln -s {own} /usr/share/lxc/templates/lxc-pull
LXC's configs
-|app
fail|absent|{absent}, which images include, does not exist|{root}{install}
ok||in {dir}
LXC path
fail|file|{path} is not a directory|{other}
fail|locked|you may not write to {locked}|{other}
fail|closed|the container's root may not pass through {closed}|chmod o+x {closed}
ok|new|{path}, which create makes
ok||{path}
room for containers
fail|error|{error}|{other}
fail|little|{room} free: too little for most images|Free some, or name another directory: -P DIR.
warn|tight|{room} free: a large image does not fit|Free some, or name another directory: -P DIR.
ok||{room} free
their file system
fail|error|{error}|{other}
fail|unfit|{fs} can't hold owners, modes and links|{other}
fail|readonly|{fs} is mounted read-only|{root}mount -o remount,rw {mount}
fail|noexec|{fs} is mounted noexec: no program in a container can run|{root}mount -o remount,exec {mount}
fail|nocase|{fs} ignores upper and lower case there|{other}
warn|nosuid|{fs} is mounted nosuid: su and sudo fail in containers|{root}mount -o remount,suid {mount}
warn|weak|{fs} may lack owners or extended attributes|{other}
warn|fs=tmpfs|tmpfs is in memory: containers are lost at shutdown|{other}
ok|nodev|{fs}, nodev (LXC does not mind)
ok||{fs}
cache
warn|!cache|neither HOME nor LXC_CACHE_PATH is set: there is none|Set LXC_CACHE_PATH to a directory.
warn|memory|{cache} is in memory: no image is kept|Set LXC_CACHE_PATH to a directory on a disk.
warn|error|{error}|Set LXC_CACHE_PATH to another directory, or pass --no-cache.
warn|file|{cache} is not a directory|Set LXC_CACHE_PATH to another directory, or pass --no-cache.
warn|readonly|{cache} is read-only|Set LXC_CACHE_PATH to another directory, or pass --no-cache.
warn|locked|you may not write to {locked}|Set LXC_CACHE_PATH to another directory, or pass --no-cache.
warn|tight|{cache}, {room} free: too little for large images|lxc-pull cache gc
ok||{cache}, {room} free
kernel
fail|!/proc/self|{kernel}; /proc is not mounted, which LXC needs, and these checks too|{root}mount -t proc proc /proc
warn|ancient|{kernel} is older than 3.8, the first with all namespaces|Use a newer kernel.
ok||{kernel}
control groups
-|!/proc/self
fail|!version /etc/init.d/cgroups|none are mounted|{root}rc-update add cgroups && rc-service cgroups start
fail|!version||{root}mount -t cgroup2 cgroup2 /sys/fs/cgroup
warn|!memory|version {version}, without the controller memory|Add cgroup_enable=memory to the kernel's command line, and restart.
warn|!pids|version {version}, without the controller pids|Use a kernel with CONFIG_CGROUP_PIDS=y.
warn|locked /run/systemd/system|version {version}, and you may not change your own group|Start a container so: systemd-run --user --scope -p Delegate=yes -- lxc-start -n NAME
warn|locked||Let root give you a directory below /sys/fs/cgroup, and enter it.
ok||version {version}, with memory and pids
namespaces
-|!/proc/self
-|ancient
ok|/proc/self/ns/mnt /proc/self/ns/pid /proc/self/ns/ipc /proc/self/ns/uts /proc/self/ns/net|mnt, pid, ipc, uts, net
fail||not all of mnt, pid, ipc, uts, net|Use a kernel with CONFIG_NAMESPACES, PID_NS, IPC_NS, UTS_NS and NET_NS.
file systems
-|!/proc/self
fail|!/proc/filesystems~tmpfs|no tmpfs|Use a kernel with CONFIG_TMPFS=y.
fail|!/proc/filesystems~devpts|no devpts|Use a kernel with CONFIG_UNIX98_PTYS=y.
ok|/proc/filesystems~overlay|tmpfs, devpts, overlay
ok||tmpfs, devpts (overlay, for snapshots, may be a module that loads later)
seccomp
-|!/proc/self
ok|/proc/self/status~Seccomp:|there
warn||not in this kernel: LXC may refuse to start containers|Use a kernel with CONFIG_SECCOMP_FILTER=y.
`
