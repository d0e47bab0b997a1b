package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
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

func versionCommand(_ context.Context, ui *ui, args []string) error {
	if len(args) == 1 && (args[0] == "--help" || args[0] == "-h") {
		fmt.Fprint(ui.out, "Usage: lxc-pull version\n\nPrints the version and the machine that the program was built for.\n")
		return nil
	}
	if len(args) != 0 {
		return usageErrorf("version takes no arguments")
	}
	fmt.Fprintf(ui.out, "lxc-pull %s %s/%s\n", version(), runtime.GOOS, runtime.GOARCH)
	return nil
}
