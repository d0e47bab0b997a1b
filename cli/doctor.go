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
	"lxc-pull/pull/source"
)

const doctorUsage = `Usage: lxc-pull doctor [OPTION]...

Checks this machine for containers: network, server, users, LXC, room, kernel.
Each line begins with ok, warn or fail; what to do stands below. It reads only,
and ends with exit status 1 if a check fails.
`

// checkTime is the longest time of one check.
const checkTime = 2 * time.Second

// maxDoctorServers is how many servers doctor asks: each may take twice checkTime.
const maxDoctorServers = 5

// A doctorCall is one use of "doctor". doctor_rules.go has the checks, doctor_facts.go
// collects what they need.
type doctorCall struct {
	finder        finderOptions
	lxcPath       string
	json, offline bool

	ui       *ui
	findings []jsonObject
	failed   int
	warned   int
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

// checkAll carries out all checks. server and index are carried out for each server.
func (c *doctorCall) checkAll(ctx context.Context, d *doctor) error {
	urls := []string{}
	if d.opt != nil && !c.offline {
		urls = d.opt.Servers.URLs()
		urls = urls[:min(len(urls), maxDoctorServers)]
	}
	name, rules := "", ""
	var server [2]string // the rules of server and index
	for line := range strings.Lines(doctorRules + "\n") {
		if line != "\n" && strings.Contains(line, "|") {
			rules += line
			continue
		}
		switch name {
		case "":
		case "server":
			server[0] = rules
		case "index":
			server[1] = rules
			for _, url := range urls {
				d.facts["url"] = url
				status, err := c.check(ctx, d, "server", server[0])
				if err == nil && status == "ok" {
					_, err = c.check(ctx, d, name, server[1])
				}
				if err != nil {
					return err
				}
			}
		default:
			if _, err := c.check(ctx, d, name, rules); err != nil {
				return err
			}
		}
		name, rules = strings.TrimSpace(line), ""
	}
	return nil
}

// check carries out one check, but not longer than checkTime, and prints the finding. What it
// finds later is lost.
func (c *doctorCall) check(ctx context.Context, d *doctor, name, rules string) (status string, err error) {
	short, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	own := *d // a check that takes too long runs on, with facts of its own
	own.facts = maps.Clone(d.facts)
	type finding struct{ status, text, remedy string }
	got := make(chan finding, 1)
	go func() {
		own.facts["error"] = ""
		if err := own.gather(short, name); err != nil {
			own.facts["error"], own.facts["hint"] = err.Error(), own.remedy(err)
		}
		status, text, remedy := own.judge(rules)
		got <- finding{status, text, remedy}
	}()
	var f finding
	select {
	case f = <-got:
		d.facts = own.facts
	case <-short.Done():
	}
	switch {
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case short.Err() != nil:
		f = finding{"fail", "no answer within 2 seconds", "Repair the disk or network that does not answer, and try again."}
		if name == "index" {
			f.status = "warn"
		}
	}
	if fact, ok := strings.CutPrefix(name, "$"); ok {
		d.facts[fact] = f.text
	} else if f.status != "-" {
		err = c.print(name, f.status, f.text, f.remedy)
	}
	return f.status, err
}

// print prints a finding, or keeps it for JSON.
func (c *doctorCall) print(name, status, text, remedy string) error {
	var o jsonObject
	o.text("check", name)
	o.text("status", status)
	o.text("text", text)
	o.text("remedy", remedy)
	c.findings = append(c.findings, o)
	switch status {
	case "fail":
		c.failed++
	case "warn":
		c.warned++
	}
	if c.json || c.ui.quiet && status != "fail" {
		return nil
	}
	lines := fmt.Sprintf("%-4s  %s: %s\n", status, name, text)
	if remedy != "" {
		lines += "      " + strings.ReplaceAll(remedy, "\n", "\n      ") + "\n"
	}
	_, err := io.WriteString(c.ui.out, printable(lines))
	return err
}

// prepare collects the facts that several checks need.
func (c *doctorCall) prepare(ctx context.Context) (*doctor, error) {
	d := &doctor{
		machine: host.This(), uid: os.Geteuid(), lxcPath: c.lxcPath, facts: map[string]string{},
		ui: &ui{out: io.Discard, err: io.Discard, quiet: true, command: c.ui.command, clock: c.ui.clock},
	}
	short, cancel := context.WithTimeout(ctx, 2*checkTime)
	defer cancel()
	m := d.machine
	path, err := getUntilDone(short, func() (string, error) { return m.LXCPath(), nil })
	if d.lxcPath == "" {
		d.lxcPath = path
	}
	if err == nil {
		d.config, err = getUntilDone(short, func() ([]byte, error) { return m.DefaultConfig("") })
	}
	if err == nil {
		d.ranges, err = lxc.IDMap(d.config)
	}
	if err == nil && len(d.ranges) > 0 {
		_, err = lxc.RootIDs(d.ranges)
	}
	d.unread = err
	if d.lxcPath, err = filepath.Abs(d.lxcPath); err != nil {
		return nil, err
	}
	c.finder.namespace, c.finder.owner, c.finder.lxcPath = host.Namespace(), unchanged(), d.lxcPath
	if c.finder.network.retries == 0 {
		c.finder.network.retries = -1 // the time of a check is too short for any
	}
	d.opt, err = getUntilDone(short, func() (*source.Options, error) { return c.finder.options(d.ui, false) })
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case exitStatus(err) == exitUsage:
		return nil, err
	case errors.Is(err, context.DeadlineExceeded):
		err = errors.New("a file of the options does not answer")
	}
	if err != nil {
		d.opt, d.facts["idle"] = nil, "yes"
		err = c.print("options", "fail", err.Error(), "Correct the option or setting that names that file.")
	}
	d.setUser()
	return d, err
}
