package pull

import (
	"context"

	"lxc-pull/pull/source"
)

// A Process is what the user changes of the process that a container image runs.
type Process struct {
	Entrypoint []string // nil: the image's
	Cmd        []string // nil: the image's
	Env        []string // NAME=VALUE, after the image's
	DHCP       bool     // LXC's hook gets the addresses
}

// setUpProcess prepares the root file system of a container image for the process that the
// image runs, and adds the process's lines to the container's config.
func (r *run) setUpProcess(ctx context.Context, found *source.Found) error { return nil }
