package cli

import (
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
mirror l none
mirror-list F none
keyring F built-in key
keyid l each key of the keyring
cacert F the system's certificates, else built-in ones
dns l the system's
resolve l none
netrc-file f the file in NETRC
limit-rate o no limit
retries o 7
stall-time o 30
memory o automatic
cache-size o no limit
progress o auto
`

// protections are options that switch off a protection, each between blanks.
const protections = " no-validate allow-older allow-host-config force-cache time "

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
func settingNames() (names []string) {
	for rest := settingTable; rest != ""; {
		name, _, _ := strings.Cut(rest, " ")
		names = append(names, name)
		_, rest, _ = strings.Cut(rest, "\n")
	}
	return names
}

// variableOf returns the environment variable of a setting.
func variableOf(name string) string {
	return "LXC_PULL_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// A setting is one value from a file or a variable.
type setting struct {
	name, value string
	where       string // "/etc/lxc/pull.conf line 3", or the variable
	rank        int    // those of a higher rank replace those of a lower one
}

// settings are all values that files and variables give.
type settings struct {
	list  []*setting
	used  []*setting // those that a command has taken
	files []string   // the files that were looked for; after each what was found there
	errs  []string   // what is wrong in files and variables
	rank  int        // of what is read now
}

// A settingError is an error in a setting.
type settingError struct {
	text string
	err  error
}

func (e *settingError) Error() string { return e.text }
func (e *settingError) Unwrap() error { return e.err }

// readSettings reads the files and variables. mapped is the caller's id in this process's user
// namespace, -1 if it is not known.
func readSettings(mapped int) *settings {
	s := new(settings)
	layout := host.This()
	users := []int{0, os.Geteuid()}
	system := layout.CacheOwners()
	if host.Namespace() != lxc.HostNamespace {
		// The namespace shows the host's ids in another way: the caller's as lxc-create says,
		// and root's, which it may lack, as the kernel's overflow id (DEFAULT_OVERFLOWUID in
		// kernel/sys.c). On the host /etc is root's.
		system = append(system, 65534)
		users = append(users, mapped)
	}
	system = append(system, users...)
	paths, user := layout.PullConfigs()
	for _, path := range paths {
		s.addFile(path, system)
	}
	if user != "" {
		s.addFile(user, users)
	}
	s.rank++
	for _, name := range settingNames() {
		variable := variableOf(name)
		value := os.Getenv(variable)
		if kind, _ := kindOf(name); kind == "l" || kind == "F" {
			for _, word := range strings.Fields(value) {
				s.add(name, word, variable)
			}
		} else if value != "" {
			s.add(name, value, variable)
		}
	}
	return s
}

// add adds a value of the file or variable that is read now.
func (s *settings) add(name, value, where string) {
	s.list = append(s.list, &setting{name, value, where, s.rank})
}

// addFile reads a file if nobody but owners can change it.
func (s *settings) addFile(path string, owners []int) {
	text, state := readOwned(path, owners)
	s.files = append(s.files, path, state)
	s.rank++
	switch {
	case state != "":
	case len(text) > maxSettings:
		s.errs = append(s.errs, path+": larger than "+strconv.Itoa(maxSettings)+" bytes")
	default:
		s.parse(text, path)
	}
}

// absent is how readOwned says that there is no file.
const absent = "does not exist"

// readOwned returns the text of a file, maxSettings+1 bytes at most. why says why not: the
// file is not a regular one, or it, its directory or one of the two above can be changed by
// others than owners. These have made the links on the way, so links are followed.
func readOwned(path string, owners []int) (text, why string) {
	var file, st unix.Stat_t
	if unix.Stat(path, &file) != nil { // a directory that is closed to this user has no file of the user's
		return "", absent
	}
	st = file
	name := path
	for range 4 {
		switch {
		case !slices.Contains(owners, int(st.Uid)):
			return "", strconv.Quote(name) + " belongs to user " + strconv.Itoa(int(st.Uid))
		case st.Mode&0o022 != 0:
			return "", "others may write " + strconv.Quote(name) + "; chmod go-w closes it"
		}
		name = filepath.Dir(name)
		if err := unix.Stat(name, &st); err != nil {
			return "", err.Error()
		}
	}
	if file.Mode&unix.S_IFMT != unix.S_IFREG { // opening a device can start something
		return "", "not a regular file"
	}
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // does not wait for a FIFO that took its place
	if err != nil {
		return "", withoutPath(err).Error()
	}
	defer f.Close()
	if err := unix.Fstat(int(f.Fd()), &st); err != nil || st.Ino != file.Ino || st.Dev != file.Dev {
		return "", "it has just changed"
	}
	data, err := readUpTo(f, maxSettings)
	if err != nil {
		return "", withoutPath(err).Error()
	}
	return string(data), ""
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
		switch {
		case value == "":
			s.errs = append(s.errs, where+": "+strconv.Quote(line)+" is not NAME = VALUE")
		case kind == "":
			s.errs = append(s.errs, where+": "+unknownSetting(name))
		case (kind == "f" || kind == "F") && value[0] != '/':
			s.add(name, filepath.Dir(path)+"/"+value, where)
		default:
			s.add(name, value, where)
		}
	}
}

// unknownSetting says why a name is not a setting.
func unknownSetting(name string) string {
	switch {
	case name != "" && strings.Contains(protections, " "+name+" "):
		return strconv.Quote(name) + " switches off a protection, so it can stand only on the command line"
	case slices.Contains(longNames(flagsOf(new(createCall).groups())), name):
		return strconv.Quote(name) + " is not a setting, only an option of the command line"
	}
	return "unknown setting " + strconv.Quote(name) + didYouMean(name, "", settingNames())
}

// of returns the values of a setting that count: those of its highest rank, and of a setting
// that is not a list the last. Mirrors belong to a server: a server of a higher rank does not
// have them.
func (s *settings) of(name string) (list []*setting) {
	kind, _ := kindOf(name)
	for _, x := range s.list {
		mine := x.name == name
		if list != nil && (mine && (kind == "o" || kind == "f") || x.rank > list[0].rank && (mine || x.name == "server" && strings.HasPrefix(name, "mirror"))) {
			list = nil
		}
		if mine {
			list = append(list, x)
		}
	}
	return list
}

// takeSettings gives the flags in groups the values of the settings, unless the command line
// gives them. It returns nil if the command has no settings.
func (c command) takeSettings(ui *ui, groups []group, given, operands []string) (*settings, error) {
	switch {
	case c.name == "untar", c.name == "zcat", c.name == "verify":
		return nil, nil // these take any files, and scripts pass them all that they need
	case c.name == "cache" && (len(operands) == 0 || operands[0] != "verify"):
		return nil, nil // the other subcommands take none of these options
	}
	flags := flagsOf(groups)
	mapped, some := -1, false
	for i := range flags {
		kind, _ := kindOf(flags[i].long)
		some = some || kind != ""
		if text, ok := flags[i].into.(*string); ok && flags[i].long == "mapped-uid" {
			mapped, _ = mappedID(*text)
		}
	}
	if !some {
		return nil, nil
	}
	s := readSettings(mapped)
	for i := 0; i < len(s.files); i += 2 {
		if why := s.files[i+1]; why != "" && why != absent && (c.name != "create" || mapped < 0) { // enterNamespace's caller has warned
			ui.warn("ignored-option", "the settings in %q are not used: %s", s.files[i], why)
		}
	}
	d, isDoctor := c.call.(*doctorCall)
	if !isDoctor {
		s.give(flags, given)
		return s, s.fault()
	}
	// It says what is wrong in the settings of all commands, and goes on without that.
	s.give(flagsOf(new(createCall).groups()), nil)
	wrong := s.errs
	s.used = nil
	s.give(flags, given)
	d.settings, s.errs = s, wrong
	return s, nil
}

// fault returns the errors in the settings as one error, nil if there are none. s may be nil.
func (s *settings) fault() error {
	if s == nil || len(s.errs) == 0 {
		return nil
	}
	return &settingError{strings.Join(s.errs, "\n"), &usageError{}}
}

// give sets the flags that the command line does not give. It adds to s.errs what is wrong.
func (s *settings) give(flags []flag, given []string) {
	for i := range flags {
		f := &flags[i]
		switch {
		case slices.Contains(given, f.long),
			f.long == "cache-size" && slices.Contains(given, "no-cache"),
			strings.HasPrefix(f.long, "mirror") && slices.Contains(given, "server"):
			continue
		}
		for _, x := range s.of(f.long) {
			if err := f.set(x.value); err != nil {
				s.errs = append(s.errs, x.where+": "+x.name+" "+strconv.Quote(x.value)+": "+err.Error())
				continue
			}
			s.used = append(s.used, x)
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
	for _, x := range s.used {
		option := "--" + x.name
		if (strings.HasPrefix(text, option+" ") || strings.HasPrefix(text, option+":")) && (of == nil || strings.Contains(text, strconv.Quote(x.value))) {
			of = x
		}
	}
	if of == nil {
		return err
	}
	return &settingError{of.where + ": " + text[2:], err}
}
