package cli

import (
	"context"
	"errors"
)

const configUsage = `Usage: lxc-pull config

`

// A configCall is one use of "config".
type configCall struct{}

func (c *configCall) groups() []group { return []group{commonFlags()} }

func (c *configCall) run(ctx context.Context, ui *ui, operands []string) error {
	return errors.New("not built yet")
}
