package cli

import (
	"context"
	"errors"
)

const doctorUsage = `Usage: lxc-pull doctor [OPTION]...

`

// A doctorCall is one use of "doctor".
type doctorCall struct{}

func (c *doctorCall) groups() []group { return []group{commonFlags()} }

func (c *doctorCall) run(ctx context.Context, ui *ui, operands []string) error {
	return errors.New("not built yet")
}
