package cli

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"lxc-pull/fetch"
)

// This file is the command "version", and tells the rest of the program its version and the
// earliest date at which it can have been built. Both come from the build info that the go
// command puts into the program; the date also comes from the embedded root certificates.

// A versionCall is one call of the command.
type versionCall struct{}

func (c *versionCall) groups() []*group {
	return []*group{{"", []flag{{short: 'h', long: "help"}}}}
}

func (c *versionCall) run(_ context.Context, ui *ui, operands []string) error {
	if len(operands) != 0 {
		return usageErrorf("version takes no arguments")
	}
	_, err := fmt.Fprintf(ui.out, "lxc-pull %s %s/%s\n", version(), runtime.GOOS, runtime.GOARCH)
	return err
}

// version returns the program's version: that of its module if it has one, else "devel" and
// the commit.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	revision, dirty := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && len(s.Value) >= 12:
			revision = s.Value[:12]
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "+dirty"
		}
	}
	if revision == "" {
		return "devel"
	}
	return "devel-" + revision + dirty
}

// sourceDate is the date of the sources, in decimal seconds of Unix time. A build sets it
// with -ldflags "-X lxc-pull/cli.sourceDate=$SOURCE_DATE_EPOCH"
// (reproducible-builds.org/specs/source-date-epoch); "": it is not set.
var sourceDate string

// buildDate returns the earliest date at which this program can have been built: the newest
// of sourceDate, the commit's date, the dates in the versions of the modules in the program,
// and the date of the embedded root certificates, which every build has.
func buildDate() time.Time {
	newest := versionDate(fetch.RootsVersion())
	if seconds, err := strconv.ParseInt(sourceDate, 10, 64); err == nil {
		if t := time.Unix(seconds, 0).UTC(); t.After(newest) {
			newest = t
		}
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return newest
	}
	dates := []time.Time{versionDate(info.Main.Version)}
	for _, s := range info.Settings {
		if s.Key == "vcs.time" {
			if t, err := time.Parse(time.RFC3339, s.Value); err == nil {
				dates = append(dates, t)
			}
		}
	}
	for _, m := range info.Deps {
		dates = append(dates, versionDate(m.Version))
	}
	for _, t := range dates {
		if t.After(newest) {
			newest = t
		}
	}
	return newest
}

// versionDate returns the commit's date in a pseudo-version, such as
// v0.0.0-20261030153154-30a33513ff6d (go.dev/ref/mod, "Pseudo-versions"). For any other
// version it returns zero.
func versionDate(version string) time.Time {
	version, _, _ = strings.Cut(version, "+")
	parts := strings.Split(version, "-")
	if len(parts) < 3 {
		return time.Time{}
	}
	stamp := parts[len(parts)-2]
	stamp = stamp[strings.LastIndexByte(stamp, '.')+1:] // "0.20261030153154" after a tag: v1.2.4-0.20261030153154-...
	t, err := time.Parse("20060102150405", stamp)
	if err != nil {
		return time.Time{}
	}
	return t
}
