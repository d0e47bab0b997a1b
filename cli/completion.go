package cli

import (
	"context"
	"errors"
)

const completionUsage = `Usage: lxc-pull completion SHELL

`

// A completionCall is one use of "completion".
type completionCall struct{}

func (c *completionCall) groups() []group { return []group{commonFlags()} }

func (c *completionCall) run(ctx context.Context, ui *ui, operands []string) error {
	return errors.New("not built yet")
}
