package cli

import (
	"context"
	"errors"
)

const checkUsage = `Usage: lxc-pull check NAME [OPTION]...

`

// A checkCall is one use of "check".
type checkCall struct{}

func (c *checkCall) groups() []group { return []group{commonFlags()} }

func (c *checkCall) run(ctx context.Context, ui *ui, operands []string) error {
	return errors.New("not built yet")
}
