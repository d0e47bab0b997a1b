package cli

import (
	"context"
	"errors"
)

const infoUsage = `Usage: lxc-pull info NAME [OPTION]...

`

// A infoCall is one use of "info".
type infoCall struct{}

func (c *infoCall) groups() []group { return []group{commonFlags()} }

func (c *infoCall) run(ctx context.Context, ui *ui, operands []string) error {
	return errors.New("not built yet")
}
