package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"lxc-pull/lxc"
	"lxc-pull/lxc/host"
)

const doctorUsage = `Usage: lxc-pull doctor [OPTION]...

Checks this machine for containers: network, server, users, LXC, room, kernel.
Each line begins with ok, warn or fail; what to do stands below. It reads only,
and ends with exit status 1 if a check fails.
`

// checkTime is the longest time of one check.
const checkTime = 2 * time.Second

// maxDoctorServers is how many servers doctor asks: each may take checkTime.
const maxDoctorServers = 5

// A doctorCall is one use of "doctor". doctor_rules.go has the checks, doctor_facts.go
// collects what they need.
type doctorCall struct {
	finder        finderOptions
	lxcPath       string
	json, offline bool

	ui             *ui
	findings       []jsonObject
	failed, warned int
}

func (c *doctorCall) groups() []group {
	own := group{"", []flag{
		{short: 'P', long: "lxcpath", value: "DIR", help: "where containers are (default: as in lxc.conf)", into: &c.lxcPath, exact: true},
		{long: "offline", help: "ask no server", into: &c.offline, exact: true},
		{long: "json", help: "print JSON", into: &c.json, exact: true},
	}}
	return []group{own, c.finder.servers.group(), c.finder.trust.group(), c.finder.network.group(), commonFlags()}
}

func (c *doctorCall) run(ctx context.Context, ui *ui, operands []string) error {
	if len(operands) > 0 {
		return usageErrorf("doctor takes no names: %q", operands)
	}
	c.ui = ui
	d, err := c.prepare(ctx)
	if err == nil {
		err = c.checkAll(ctx, d)
	}
	switch {
	case err != nil:
		return err
	case c.json:
		err = printObjects(ui.out, c.findings)
	case !ui.quiet:
		n := len(c.findings)
		_, err = fmt.Fprintf(ui.out, "%d checks: %d ok, %d warn, %d fail\n", n, n-c.warned-c.failed, c.warned, c.failed)
	}
	if err == nil && c.failed > 0 {
		err = &silentError{}
	}
	return err
}

// checkAll carries out all checks. d has the facts that prepare collects.
func (c *doctorCall) checkAll(ctx context.Context, d *doctor) (err error) {
	for _, rules := range strings.Split(doctorRules, "\n\n") {
		name, rules, _ := strings.Cut(rules, "\n")
		for _, url := range c.urls(d, name) {
			if d, err = c.check(ctx, d, name, url, rules); err != nil {
				return err
			}
		}
	}
	return nil
}

// urls returns the servers for which a check is carried out; "" for a check of this machine.
func (c *doctorCall) urls(d *doctor, name string) []string {
	switch {
	case name != "server":
		return []string{""}
	case d.opt == nil || c.offline:
		return nil
	}
	urls := d.opt.Servers.URLs()
	return urls[:min(len(urls), maxDoctorServers)]
}

// check carries out one check, but not longer than checkTime, and prints the finding. It
// returns d with the facts that it has found; what it finds later is lost.
func (c *doctorCall) check(ctx context.Context, d *doctor, name, url, rules string) (*doctor, error) {
	short, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	own := new(doctor) // a check that takes too long runs on, with facts of its own
	*own = *d
	own.facts = maps.Clone(d.facts)
	own.put("url", url)
	before := d.answered()
	err := untilDone(short, func() error {
		own.put("error", "")
		if err := own.gather(short, name); err != nil {
			own.put("error", err.Error())
			own.put("hint", own.remedy(err))
		}
		own.judge(rules)
		return nil
	})
	switch {
	case ctx.Err() != nil:
		return d, context.Cause(ctx)
	case err != nil || short.Err() != nil:
		own = new(doctor)
		*own = *d
		own.status, own.text, own.remedyText = "fail", url+" no answer within 2 seconds", "Repair the network or disk that does not answer, and try again."
		if d.answered() != before {
			own.status, own.text = "warn", url+" is slow: no whole answer within 2 seconds"
		}
	}
	if fact, ok := strings.CutPrefix(name, "$"); ok {
		own.put(fact, own.text)
		return own, nil
	}
	return own, c.print(name, own)
}

// answered returns a number that changes with each answer of a server.
func (d *doctor) answered() (ahead time.Duration) {
	if d.opt != nil {
		ahead, _ = d.opt.Client.ClockOffset()
	}
	return ahead
}

// print prints the finding of a check, or keeps it for JSON.
func (c *doctorCall) print(name string, d *doctor) error {
	switch d.status {
	case "-":
		return nil
	case "fail":
		c.failed++
	case "warn":
		c.warned++
	}
	text := strings.TrimSpace(d.text)
	var o jsonObject
	o.text("check", name)
	o.text("status", d.status)
	o.text("text", text)
	o.text("remedy", d.remedyText)
	c.findings = append(c.findings, o)
	if c.json || c.ui.quiet && d.status != "fail" {
		return nil
	}
	lines := (d.status + "   ")[:6-2] + "  " + name + ": " + text + "\n"
	if d.remedyText != "" {
		lines += "      " + strings.ReplaceAll(d.remedyText, "\n", "\n      ") + "\n"
	}
	_, err := io.WriteString(c.ui.out, printable(lines))
	return err
}

// prepare collects the facts that several checks need. A wrong option that names a file is a
// finding; any other is an error.
func (c *doctorCall) prepare(ctx context.Context) (*doctor, error) {
	silent := &ui{out: io.Discard, err: io.Discard, quiet: true, command: c.ui.command, clock: c.ui.clock}
	start := doctor{machine: host.This(), uid: os.Geteuid(), ui: silent, facts: map[string]string{}}
	short, cancel := context.WithTimeout(ctx, 2*checkTime)
	defer cancel()
	d := new(doctor)
	*d = start
	err := untilDone(short, func() error {
		d.read(c.lxcPath)
		finder := c.finder
		finder.namespace, finder.owner, finder.lxcPath = host.Namespace(), unchanged(), d.lxcPath
		if finder.network.retries == 0 {
			finder.network.retries = -1 // the time of a check is too short for any
		}
		opt, err := finder.options(silent, false)
		if err == nil {
			d.opt = opt
		}
		return err
	})
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case exitStatus(err) == exitUsage:
		return nil, err
	case short.Err() != nil:
		d = &start
		d.unread = errors.New("LXC's settings, or a file of the options, do not answer")
		d.lxcPath, err = c.lxcPath, d.unread
	}
	if err != nil {
		d.put("idle", "yes")
		d.status, d.text, d.remedyText = "fail", err.Error(), "Correct the option or setting that names that file."
		err = c.print("options", d)
	}
	d.setUser()
	return d, err
}

// read reads LXC's settings.
func (d *doctor) read(lxcPath string) {
	m := d.machine
	if lxcPath == "" {
		lxcPath = m.LXCPath()
	}
	d.lxcPath, _ = filepath.Abs(lxcPath) // fails only in a directory that was removed
	d.config, d.unread = m.DefaultConfig("")
	if d.unread == nil {
		d.ranges, d.unread = lxc.IDMap(d.config)
	}
	if d.unread == nil && len(d.ranges) > 0 {
		_, d.unread = lxc.RootIDs(d.ranges)
	}
}
