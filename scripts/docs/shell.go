package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// splitShell splits a command line as a shell does, as far as the documents need it: into
// simple commands, each of words without quotes. It refuses lines that it can't split.
func splitShell(line string) (commands [][]string, err error) {
	var words []string
	var word strings.Builder
	inWord := false
	endWord := func() {
		if inWord {
			words = append(words, word.String())
		}
		word.Reset()
		inWord = false
	}
	endCommand := func() {
		endWord()
		if len(words) > 0 {
			commands = append(commands, words)
		}
		words = nil
	}
	for i := 0; i < len(line); i++ {
		switch c := line[i]; c {
		case ' ', '\t':
			endWord()
		case '\'', '"':
			end := strings.IndexByte(line[i+1:], c)
			if end < 0 {
				return nil, fmt.Errorf("a quote is not closed")
			}
			word.WriteString(line[i+1 : i+1+end])
			inWord = true
			i += end + 1
		case '\\':
			if i++; i < len(line) {
				word.WriteByte(line[i])
				inWord = true
			}
		case '|', ';', '(', ')', '\n':
			endCommand()
		case '&':
			if i > 0 && line[i-1] == '>' { // 2>&1
				word.WriteByte(c)
				continue
			}
			endCommand()
		case '#':
			if inWord {
				word.WriteByte(c)
				continue
			}
			endCommand()
			return commands, nil
		default:
			word.WriteByte(c)
			inWord = true
		}
	}
	endCommand()
	return commands, nil
}

var (
	assignment  = regexp.MustCompile(`^[A-Za-z_]\w*=`)
	redirection = regexp.MustCompile(`^\d*(?:>>?&?|<)(.*)$`)
	ourBinary   = regexp.MustCompile(`^(?:.*/)?lxc-pull(?:-(?:linux|android)-[\w-]+)?$`)
	flagInHelp  = regexp.MustCompile(`(?m)^ +(?:(-\w)(?:, )?)?(--[\w-]+)?(?: |$)`)
)

// simplify drops assignments, redirections and programs that run another one.
func simplify(words []string) []string {
	var kept []string
	for i := 0; i < len(words); i++ {
		if m := redirection.FindStringSubmatch(words[i]); m != nil {
			if m[1] == "" {
				i++ // the file's name is the next word
			}
			continue
		}
		kept = append(kept, words[i])
	}
	for len(kept) > 0 && (assignment.MatchString(kept[0]) || slices.Contains([]string{"sudo", "exec", "time", "!"}, kept[0])) {
		kept = kept[1:]
	}
	return kept
}

// A manual is what the program says about its options.
type manual struct {
	top      string
	commands map[string]map[string]bool // the options of each command, and of "template"
	codes    []string                   // of errors and warnings, and the word "codes"
	targets  string                     // the Makefile
	publish  string                     // what scripts/publish says about its options
}

// checkLine checks each command of a line: the program must be known, and a command and
// the options of lxc-pull must exist.
func (m *manual) checkLine(line string) error {
	commands, err := splitShell(line)
	if err != nil {
		return err
	}
	for _, words := range commands {
		if words = simplify(words); len(words) == 0 {
			continue
		}
		if err := m.checkWords(words); err != nil {
			return err
		}
	}
	return nil
}

func (m *manual) checkWords(words []string) error {
	switch name := words[0]; {
	case ourBinary.MatchString(name):
		return m.checkOurs(words[1:])
	case name == "lxc-create":
		if at := slices.Index(words, "--"); at >= 0 && slices.Contains(words, "pull") {
			return m.checkOptions("template", words[at+1:])
		} else if at >= 0 && slices.Contains(words, "oci") {
			return m.checkOptions("lxc-oci", words[at+1:])
		} else if at >= 0 && slices.Contains(words, "local") {
			return m.checkOptions("lxc-local", words[at+1:])
		}
	case name == "make":
		for _, target := range words[1:] {
			if !assignment.MatchString(target) && !strings.Contains(m.targets, "\n"+target+":") {
				return fmt.Errorf("the Makefile has no target %q", target)
			}
		}
	case strings.HasPrefix(name, "scripts/"):
		if _, err := os.Stat(filepath.Join(m.top, name)); err != nil {
			return err
		}
	case strings.Contains(name, "/"):
		if base := filepath.Base(name); !slices.Contains(knownPrograms, base) {
			return fmt.Errorf("unknown program %q: a misspelling, or a word for knownPrograms in scripts/docs", base)
		}
	case !slices.Contains(knownPrograms, name):
		return fmt.Errorf("unknown program %q: a misspelling, or a word for knownPrograms in scripts/docs", name)
	}
	return nil
}

// checkOurs checks the arguments of lxc-pull.
func (m *manual) checkOurs(args []string) error {
	switch {
	case len(args) == 0 || slices.Contains([]string{"--help", "-h", "--version", "-V", "COMMAND"}, args[0]):
		return nil
	case args[0] == "help":
		if len(args) > 1 && m.commands[args[1]] == nil && !slices.Contains(m.codes, args[1]) && strings.ToUpper(args[1]) != args[1] {
			return fmt.Errorf("lxc-pull has no command %q, and no such code", args[1])
		}
		return nil
	case m.commands[args[0]] != nil:
		return m.checkOptions(args[0], args[1:])
	case strings.HasPrefix(args[0], "-"):
		return m.checkOptions("template", args)
	}
	return fmt.Errorf("lxc-pull has no command %q", args[0])
}

// checkOptions checks that the command has each option. Options are written in full.
func (m *manual) checkOptions(command string, args []string) error {
	for _, arg := range args {
		if arg == "--" {
			return nil
		}
		name, _, _ := strings.Cut(arg, "=")
		if len(name) > 1 && name[0] == '-' && !strings.HasPrefix(name, "--") {
			name = name[:2] // -ofile
		}
		if len(name) < 2 || name[0] != '-' || name[1] >= '0' && name[1] <= '9' && !m.commands[command][name] {
			continue
		}
		if !m.commands[command][name] {
			return fmt.Errorf("lxc-pull %s has no option %q", command, name)
		}
	}
	return nil
}

// knownPrograms are the programs of others that the documents may name. The list finds
// misspelled words, and lines of output in a block of commands.
var knownPrograms = strings.Fields(`
	adb apt apt-get awk cat cd chmod chown chroot cmp cp curl date dd debootstrap df diff dpkg dpkg-divert echo export
	find fsck getprop go gpg gpgv grep grep-dctrl grub-install gunzip id incus insmod install ip iptables kill lighttpd ln
	ls lsmod lxc-attach lxc-console lxc-copy lxc-create lxc-destroy lxc-download lxc-execute lxc-ls lxc-start lxc-stop
	lxc-unpriv-attach lxc-unpriv-start lxc-usernsexec loginctl man mkdir mkfs.ext4 mkinitcpio mknod mmdebstrap modprobe mount mv nginx
	openssl opkg passwd pkg printf proot proot-distro ps publish python3 reboot resize2fs rm rsync scp sed serve sh
	sha256sum skopeo sleep ssh ssh-keygen su swapon sync systemctl systemd-run tar tee termux-setup-storage test touch
	umoci umount uname unshare update-grub update-initramfs useradd usermod wget xz zcat true sysctl stat
	build-package.sh cross/build bin/publish feeds apk docker podman ntpd hwclock xzcat untar sopv opkg-key uci busybox
	sha512sum sort exit ldd lxc-info timeout stockdiff lxc-setup-cgroups signify minisign blkid lsblk ping nano vi bash zsh fish cut tail head df mkswap lxc-checkconfig
`)
