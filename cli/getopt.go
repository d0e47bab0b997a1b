package cli

import "strings"

// A flagValue is a flag that the command line gives, with its value.
type flagValue struct {
	_     uncomparable
	flag  int // its index in the table of flags
	value string
}

// getopt splits args into options and operands by the rules of util-linux getopt(1), which
// the stock template uses: options and operands in any order, "--x=y" and "--x y", short
// options in one argument ("-r3.20", "-lv"), long names shortened to a unique prefix, and
// only operands after "--".
func getopt(args []string, flags []flag) (values []flagValue, operands []string, err error) {
	for len(args) > 0 {
		word := args[0]
		args = args[1:]
		switch {
		case word == "--":
			return values, append(operands, args...), nil
		case strings.HasPrefix(word, "--"):
			name, value, given := strings.Cut(word[2:], "=")
			i, err := longFlag(name, flags)
			if err != nil {
				return nil, nil, err
			}
			takes := flags[i].value != ""
			switch {
			case takes && !given && len(args) == 0:
				return nil, nil, usageErrorf("option --%s needs a value", flags[i].long)
			case takes && !given:
				value, args = args[0], args[1:]
			case !takes && given:
				return nil, nil, usageErrorf("option --%s takes no value", flags[i].long)
			}
			values = append(values, flagValue{flag: i, value: value})
		case len(word) > 1 && word[0] == '-':
			var some []flagValue
			if some, args, err = shortFlags(word[1:], args, flags); err != nil {
				return nil, nil, err
			}
			values = append(values, some...)
		default:
			addTo(&operands, word)
		}
	}
	return values, operands, nil
}

// shortFlags reads an argument of short options, without its dash. The value of the last
// option may be the first of args; rest is args without it.
func shortFlags(letters string, args []string, flags []flag) (values []flagValue, rest []string, err error) {
	for letters != "" {
		i := 0
		for i < len(flags) && (flags[i].short == 0 || flags[i].short != letters[0]) {
			i++
		}
		if i == len(flags) {
			return nil, nil, usageErrorf("unknown option -%s", letters[:1])
		}
		value := ""
		letters = letters[1:]
		if flags[i].value != "" {
			value, letters = letters, ""
			if value == "" && len(args) == 0 {
				return nil, nil, usageErrorf("option -%c needs a value", flags[i].short)
			}
			if value == "" {
				value, args = args[0], args[1:]
			}
		}
		values = append(values, flagValue{flag: i, value: value})
	}
	return values, args, nil
}

// longFlag returns the index of the flag with that long name, or of the only flag whose
// long name begins with it.
func longFlag(name string, flags []flag) (int, error) {
	var found []int
	for i, f := range flags {
		if f.long == name && name != "" {
			return i, nil
		}
		if name != "" && !f.exact && strings.HasPrefix(f.long, name) {
			found = append(found, i)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return 0, usageErrorf("unknown option %q%s", "--"+name, didYouMean(name, "--", longNames(flags)))
	}
	names := make([]string, len(found))
	for n, i := range found {
		names[n] = "--" + flags[i].long
	}
	return 0, usageErrorf("option %q may be %s", "--"+name, strings.Join(names, " or "))
}
