package main

import (
	"strings"
)

// An option is one that a command line may hold.
type option struct {
	short byte   // 0: none
	long  string // "": none
	arg   bool   // takes a value
	exact bool   // the long name counts only in full, never by a prefix
}

// A flagValue is an option as it was given. name is the long name, or the
// short letter where there is no long one.
type flagValue struct {
	name, value string
}

func (o option) name() string {
	if o.long != "" {
		return o.long
	}
	return string(o.short)
}

// getopt splits args as util-linux getopt(1), which the stock template uses,
// does: options and operands in any order, "--x=y" and "--x y", glued short
// options ("-r3.20", "-lv"), unique prefixes of long names, and "--" before
// operands only.
func getopt(args []string, options []option) (flags []flagValue, operands []string, err error) {
	for len(args) > 0 {
		word := args[0]
		args = args[1:]
		switch {
		case word == "--":
			return flags, append(operands, args...), nil
		case strings.HasPrefix(word, "--"):
			name, value, given := strings.Cut(word[2:], "=")
			o, err := longOption(name, options)
			if err != nil {
				return nil, nil, err
			}
			switch {
			case o.arg && !given && len(args) == 0:
				return nil, nil, usageErrorf("option --%s needs a value", o.long)
			case o.arg && !given:
				value, args = args[0], args[1:]
			case !o.arg && given:
				return nil, nil, usageErrorf("option --%s takes no value", o.long)
			}
			flags = append(flags, flagValue{o.name(), value})
		case len(word) > 1 && word[0] == '-':
			for letters := word[1:]; letters != ""; {
				o, ok := shortOption(letters[0], options)
				if !ok {
					return nil, nil, usageErrorf("unknown option -%s", printable(letters[:1]))
				}
				value := ""
				letters = letters[1:]
				if o.arg {
					value, letters = letters, ""
					if value == "" && len(args) == 0 {
						return nil, nil, usageErrorf("option -%c needs a value", o.short)
					}
					if value == "" {
						value, args = args[0], args[1:]
					}
				}
				flags = append(flags, flagValue{o.name(), value})
			}
		default:
			operands = append(operands, word)
		}
	}
	return flags, operands, nil
}

func shortOption(letter byte, options []option) (option, bool) {
	for _, o := range options {
		if o.short == letter && letter != 0 {
			return o, true
		}
	}
	return option{}, false
}

// longOption finds the option of that name, or the only one that begins so.
func longOption(name string, options []option) (option, error) {
	var found []option
	for _, o := range options {
		if o.long == name && name != "" {
			return o, nil
		}
		if name != "" && !o.exact && strings.HasPrefix(o.long, name) {
			found = append(found, o)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return option{}, usageErrorf("unknown option %q", "--"+name)
	}
	names := make([]string, len(found))
	for i, o := range found {
		names[i] = "--" + o.long
	}
	return option{}, usageErrorf("option %q may be %s", "--"+name, strings.Join(names, " or "))
}
