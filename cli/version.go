package cli

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

// version returns the program's version from the build info: the module
// version where there is one, else the commit.
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

const versionUsage = `Usage: lxc-pull version

Prints the version and the machine that the program was built for.
`

// A versionCall prints the version.
type versionCall struct{}

func (c *versionCall) groups() []group {
	return []group{{"", []flag{{short: 'h', long: "help"}}}}
}

func (c *versionCall) run(_ context.Context, ui *ui, operands []string) error {
	if len(operands) != 0 {
		return usageErrorf("version takes no arguments")
	}
	_, err := fmt.Fprintf(ui.out, "lxc-pull %s %s/%s\n", version(), runtime.GOOS, runtime.GOARCH)
	return err
}

// sourceDate is the time of the sources in Unix seconds, if whoever builds the
// program sets it: -ldflags "-X lxc-pull/cli.sourceDate=$SOURCE_DATE_EPOCH"
// (reproducible-builds.org/specs/source-date-epoch).
var sourceDate string

// buildDate returns a time before which this program can't have been made: the
// newest of the sources' date, the commit's, and those in the versions of the
// modules that it is made of. The last are there whatever the way of building.
// The embedded roots' version is one, so this is no earlier than their date.
func buildDate() time.Time {
	newest := time.Time{}
	if seconds, err := strconv.ParseInt(sourceDate, 10, 64); err == nil {
		newest = time.Unix(seconds, 0).UTC()
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

// versionDate returns the commit's time in a pseudo-version (go.dev/ref/mod,
// "Pseudo-versions": v0.0.0-20261030153154-30a33513ff6d), else zero.
func versionDate(version string) time.Time {
	version, _, _ = strings.Cut(version, "+")
	parts := strings.Split(version, "-")
	if len(parts) < 3 {
		return time.Time{}
	}
	stamp := parts[len(parts)-2]
	stamp = stamp[strings.LastIndexByte(stamp, '.')+1:] // after a tag: v1.2.4-0.20261030153154-...
	t, err := time.Parse("20060102150405", stamp)
	if err != nil {
		return time.Time{}
	}
	return t
}
