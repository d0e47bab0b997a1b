package cli

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"lxc-pull/lxc"
	"lxc-pull/lxc/host"
	"lxc-pull/pull/source"
)

// Settings are values for options that the user gives once: in /etc/lxc/pull.conf, in
// ~/.config/lxc/pull.conf, or in variables such as LXC_PULL_SERVER. Later ones replace
// earlier ones, and the command line replaces all. Method run of command gives each command
// its own, as if they stood on the command line.
//
// A setting says where images come from, who is trusted, and how much this machine may
// spend. Not every option can be a setting:
//
//   - No protection can be switched off for all runs (protections, below).
//   - What a command is about, such as --arch, stands with the command. A forgotten setting
//     would make another container than the same command makes elsewhere.
//   - --cert, --key and --header-file send a secret to the first server, whichever that is.
//     The file of netrc-file says to which host each of its secrets goes.

// settingTable has a line for each setting: its name, which is the long name of an option,
// its kind, and what holds without it. Of the kinds, l is a list, F a list of files, f a
// file, and o any other.
const settingTable = `server l ` + source.DefaultServer + `
protocol o lxc
mirror l none
mirror-list F none
keyring F built-in key
keyid l each key of the keyring
require-signature o off
cacert F the system's certificates, else built-in ones
dns l the system's
resolve l none
netrc-file f none, or the file in NETRC if that is set
auth-file f none, or the files of podman login and docker login
limit-rate o no limit
retries o 7
stall-time o 30
memory o automatic
cache-size o no limit
progress o auto
`

// protections are options that switch off a protection.
const protections = "no-validate allow-older allow-host-config force-cache time"

// maxSettings is the largest file of settings, in bytes. Real ones have a few hundred.
const maxSettings = 64 << 10

// kindOf returns the kind of a setting and what holds without it. The kind of any other
// name is "".
func kindOf(name string) (kind, fallback string) {
	if strings.Contains(name, " ") {
		return "", ""
	}
	kind, fallback, _ = strings.Cut(lineOf(settingTable, name), " ")
	return kind, fallback
}

// lineOf returns what follows a name in the line of a table that begins with it, "" if there
// is none.
func lineOf(table, name string) string {
	_, rest, _ := strings.Cut("\n"+table, "\n"+name+" ")
	rest, _, _ = strings.Cut(rest, "\n")
	return rest
}

// settingNames returns the names of all settings.
func settingNames() []string {
	return strings.Fields("server protocol mirror mirror-list keyring keyid require-signature cacert dns resolve netrc-file auth-file limit-rate retries stall-time memory cache-size progress")
}

// variableOf returns the environment variable of a setting.
func variableOf(name string) string {
	return "LXC_PULL_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// among reports whether word is one of words, which blanks separate.
func among(words, word string) bool { return strings.Contains(" "+words+" ", " "+word+" ") }

// addTo appends words to a list. A call takes less room in the program than append itself.
func addTo(list *[]string, words ...string) { *list = append(*list, words...) }

// A setting is one value from a file or a variable.
type setting struct {
	_           uncomparable
	name, value string
	where       string // "/etc/lxc/pull.conf line 3", or the variable
	rank        int    // those of a higher rank replace those of a lower one
	used        bool   // a command has taken it
}

// settings are all values that files and variables give.
type settings struct {
	list  []*setting
	files []string // the files that were looked for, and unknown variables; after each what was found there
	errs  []string // what is wrong in files and variables
	rank  int      // of what is read now
}

// settingError returns an error in a setting. err is the cause; nil: the value is wrong, which
// is a usage error.
func settingError(text string, err error) error {
	if err == nil {
		err = &usageError{}
	}
	return &retoldError{text: text, err: err, setting: true}
}

// fromSettings reports whether a setting is wrong.
func fromSettings(err error) bool {
	var own *retoldError
	return errors.As(err, &own) && own.setting
}

// readSettings reads the files and variables. mapped is the caller's id in this process's user
// namespace, -1 if it is not known.
func readSettings(mapped int) *settings {
	s := new(settings)
	layout := host.This()
	owners, private := trustedOwners(mapped)
	owners = append(layout.CacheOwners(), owners...)
	paths, user := layout.PullConfigs()
	addTo(&paths, user)
	for _, path := range paths {
		if path == "" {
			continue
		}
		if path == user {
			owners = owners[len(owners)-3:]
		}
		text, state := readOwned(path, owners, private)
		addTo(&s.files, path, state)
		s.rank++
		if len(text) > maxSettings {
			text = ""
			addTo(&s.errs, path+": larger than "+strconv.Itoa(maxSettings)+" bytes")
		}
		s.parse(text, path)
	}
	s.rank++
	var variables []string
	for _, name := range settingNames() {
		variable := variableOf(name)
		values := []string{os.Getenv(variable)}
		if kind, _ := kindOf(name); kind == "l" || kind == "F" {
			values = strings.Fields(values[0])
		}
		for _, value := range values {
			if value != "" {
				s.add(name, value, variable)
			}
		}
		addTo(&variables, variable)
	}
	for _, entry := range os.Environ() {
		name, value, _ := strings.Cut(entry, "=")
		if value != "" && strings.HasPrefix(name, "LXC_PULL_") && !slices.Contains(variables, name) {
			addTo(&s.files, name, "no setting has this name"+didYouMean(name, "", variables))
		}
	}
	return s
}

// trustedOwners returns the users who may own what readOwned reads: in a user namespace the
// overflow id, root, this user, and mapped, the caller's id in this process's user namespace (-1:
// not known). private is as readOwned takes it.
func trustedOwners(mapped int) (owners []int, private int) {
	overflow := 0
	if host.Namespace() == lxc.HostNamespace {
		mapped = 0
	} else {
		// The namespace shows the host's ids in another way: the caller's as lxc-create says,
		// and root's, which it may lack, as the kernel's overflow id (DEFAULT_OVERFLOWUID in
		// kernel/sys.c). On the host /etc is root's.
		overflow = 65534
	}
	uid := os.Geteuid()
	private = mapped // the user whose group has no other member
	if host.Namespace() == lxc.HostNamespace && os.Getegid() == uid {
		private = uid
	}
	return []int{overflow, 0, uid, mapped}, private
}

// inTime returns the settings that read returns, for doctor: after checkTime an error takes
// their place.
func inTime(read func() *settings) *settings {
	short, cancel := context.WithTimeout(context.Background(), checkTime)
	defer cancel()
	var all *settings
	if untilDone(short, func() error { all = read(); return nil }) == nil {
		return all
	}
	late := new(settings)
	addTo(&late.errs, "pull.conf: no answer within 2 seconds from the file system of /etc/lxc, HOME or XDG_CONFIG_HOME")
	return late
}

// add adds a value of the file or variable that is read now.
func (s *settings) add(name, value, where string) {
	s.list = append(s.list, &setting{name: name, value: value, where: where, rank: s.rank})
}

// absent is how readOwned says that there is no file.
const absent = "does not exist"

// readOwned returns the text of a file, maxSettings+1 bytes at most. why says why not: the
// file is not a regular one, or it, its directory or one of the two above can be changed by
// others than owners. Links are followed, and the directories where they lead are looked at, too.
// Where the umask is 002, a user has a group of the same id to himself, which may write his
// files; private is that id, 0 or less: none.
func readOwned(path string, owners []int, private int) (text, why string) {
	var file, st unix.Stat_t
	if unix.Stat(path, &file) != nil { // a directory that is closed to this user has no file of the user's
		return "", absent
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", withoutPath(err).Error()
	}
	for level, name := 0, path; level < 8; level++ {
		if level == 4 {
			name = real
		}
		if err := unix.Stat(name, &st); err != nil {
			return "", err.Error()
		}
		switch {
		case !slices.Contains(owners, int(st.Uid)):
			return "", strconv.Quote(name) + " belongs to user " + strconv.Itoa(int(st.Uid))
		case level > 4 && st.Mode&unix.S_ISVTX != 0: // Nix's store is sticky
		case st.Mode&0o002 != 0, st.Mode&0o020 != 0 && (private <= 0 || int(st.Uid) != private || int(st.Gid) != private):
			return "", "its group or others may write " + strconv.Quote(name) + "; chmod go-w " + strconv.Quote(name) + " closes it"
		}
		name = filepath.Dir(name)
	}
	if file.Mode&unix.S_IFMT != unix.S_IFREG { // opening a device can start something
		return "", "not a regular file"
	}
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // does not wait for a FIFO that took its place
	if err != nil {
		return "", withoutPath(err).Error()
	}
	data, err := readUpTo(f, maxSettings)
	if unix.Fstat(int(f.Fd()), &st) != nil || st.Ino != file.Ino || st.Dev != file.Dev {
		why = "it has just changed"
	} else if err != nil {
		why = withoutPath(err).Error()
	}
	f.Close()
	if why != "" {
		data = nil
	}
	return string(data), why
}

// parse reads the text of a file: lines "NAME = VALUE", empty lines, and comments, which begin
// with "#". It ends after 20 errors: then it is no file of settings.
func (s *settings) parse(text, path string) {
	for n := 1; text != "" && len(s.errs) < 20; n++ {
		var line string
		line, text, _ = strings.Cut(text, "\n")
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		where := path + " line " + strconv.Itoa(n)
		name, value, _ := strings.Cut(line, "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		kind, _ := kindOf(name)
		wrong := ""
		switch {
		case value == "":
			wrong = strconv.Quote(line) + " is not NAME = VALUE"
		case among(protections, name):
			wrong = strconv.Quote(name) + " switches off a protection, so it can stand only on the command line"
		case kind == "" && slices.Contains(longNames(flagsOf(new(createCall).groups())), name):
			wrong = strconv.Quote(name) + " is not a setting, only an option of the command line"
		case kind == "":
			wrong = "unknown setting " + strconv.Quote(name) + didYouMean(name, "", settingNames())
		case (kind == "f" || kind == "F") && value[0] != '/':
			value = filepath.Dir(path) + "/" + value
		}
		if wrong != "" {
			addTo(&s.errs, where+": "+wrong)
		} else {
			s.add(name, value, where)
		}
	}
}

// of returns the values of a setting that count: those of its highest rank, and of a setting
// that is not a list the last. Mirrors and the protocol belong to a server: a server of a higher
// rank does not have them.
func (s *settings) of(name string) (list []*setting) {
	kind, _ := kindOf(name)
	for _, x := range s.list {
		mine := x.name == name
		if list != nil && (mine && (kind == "o" || kind == "f") || x.rank > list[0].rank && (mine || x.name == "server" && ofServer(name))) {
			list = nil
		}
		if mine {
			list = append(list, x)
		}
	}
	return list
}

// ofServer reports whether a setting belongs to the server of the settings: another server does not
// have it.
func ofServer(name string) bool { return strings.HasPrefix(name, "mirror") || name == "protocol" }

// takeSettings gives the flags of a command the values of the settings, unless the command line
// gives them. It returns nil if the command has no settings.
func (u *ui) takeSettings(cmd *command, flags []flag, given, operands []string) (*settings, error) {
	switch {
	case among("untar zcat", cmd.name):
		return nil, nil // these take any files, and scripts pass them all that they need
	case cmd.name == "cache" && (len(operands) == 0 || operands[0] != "verify"):
		return nil, nil // the other subcommands take none of these options
	}
	mapped, some := -1, false
	for i := range flags {
		f := &flags[i]
		kind, _ := kindOf(f.long)
		some = some || kind != ""
		if text, ok := f.into.(*string); ok && f.long == "mapped-uid" {
			mapped, _ = mappedID(*text)
		}
	}
	if !some {
		return nil, nil
	}
	d, isDoctor := cmd.call.(*doctorCall)
	var s *settings
	if isDoctor {
		s = inTime(func() *settings { return readSettings(mapped) })
	} else {
		s = readSettings(mapped)
	}
	for i := 0; i < len(s.files); i += 2 {
		if why := s.files[i+1]; why != "" && why != absent && (cmd.name != "create" || mapped < 0) { // enterNamespace's caller has warned
			u.warnText("ignored-option", "the settings in "+strconv.Quote(s.files[i])+" are not used: "+why)
		}
	}
	if !isDoctor {
		s.give(flags, given)
		return s, s.fault()
	}
	// It says what is wrong in the settings of all commands, and goes on without that.
	s.give(flagsOf(new(createCall).groups()), nil)
	wrong := s.errs
	for _, x := range s.list {
		x.used = false
	}
	s.give(flags, given)
	d.settings, s.errs = s, wrong
	return s, nil
}

// fault returns the errors in the settings as one error, nil if there are none. s may be nil.
func (s *settings) fault() error {
	if s == nil || len(s.errs) == 0 {
		return nil
	}
	return settingError(strings.Join(s.errs, "\n"), nil)
}

// give sets the flags that the command line does not give. It adds to s.errs what is wrong. A
// flag "NAME*" gets the setting, too.
func (s *settings) give(flags []flag, given []string) {
	for i := range flags {
		f := &flags[i]
		name := strings.TrimSuffix(f.long, "*")
		switch {
		case slices.Contains(given, name),
			name == "keyid" && slices.Contains(given, "fingerprint"), // verify's name of it
			f.long == "cache-size" && slices.Contains(given, "no-cache"),
			ofServer(f.long) && slices.Contains(given, "server"):
			continue
		}
		for _, x := range s.of(name) {
			err := f.set(x.value)
			if name == "require-signature" && !slices.Contains([]string{"1", "yes", "true", "on"}, x.value) {
				err = errors.New("write 1 to require signatures; to require none, remove the setting")
			}
			if err != nil {
				addTo(&s.errs, x.where+": "+x.name+" "+strconv.Quote(x.value)+": "+err.Error())
				continue
			}
			x.used = true
		}
	}
}

// blame says where the value comes from that err is about. Errors about options begin with
// "--NAME". s may be nil.
func (s *settings) blame(err error) error {
	if s == nil || err == nil {
		return err
	}
	text := err.Error()
	var of *setting
	for _, x := range s.list {
		option := "--" + x.name
		if x.used && (strings.HasPrefix(text, option+" ") || strings.HasPrefix(text, option+":")) && (of == nil || strings.Contains(text, strconv.Quote(x.value))) {
			of = x
		}
	}
	if of == nil {
		return err
	}
	return settingError(of.where+": "+text[2:], err)
}
