package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"strings"
	"time"

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
	err := c.checkAll(ctx, c.begin(host.This(), os.Geteuid()))
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

// begin returns a doctor for a machine and a user.
func (c *doctorCall) begin(machine *host.Layout, uid int) *doctor {
	silent := &ui{out: io.Discard, err: io.Discard, quiet: true, command: c.ui.command, clock: c.ui.clock}
	d := &doctor{call: c, machine: machine, uid: uid, ui: silent, facts: map[string]string{}}
	d.mark("user", uid != 0)
	return d
}

// checkAll carries out all checks.
func (c *doctorCall) checkAll(ctx context.Context, d *doctor) (err error) {
	for _, rules := range strings.Split(doctorRules, "\n\n") {
		name, rules, _ := strings.Cut(rules, "\n")
		urls := []string{""}
		if name == "server" {
			urls = d.urls()
		}
		for _, url := range urls {
			if d, err = c.check(ctx, d, name, url, rules); err != nil {
				return err
			}
		}
	}
	return nil
}

// urls returns the servers to ask.
func (d *doctor) urls() []string {
	if d.opt == nil || d.call.offline {
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
		err := own.gather(short, name)
		own.put("error", "")
		if err != nil {
			own.put("error", err.Error())
			own.put("hint", own.remedy(err))
		}
		own.judge(rules)
		return err
	})
	switch {
	case ctx.Err() != nil:
		return d, context.Cause(ctx)
	case short.Err() != nil:
		own = d
		own.found = finding{"fail", url + " no answer within 2 seconds", "Repair the network, disk or file that does not answer, and try again."}
		if d.answered() != before {
			own.found.status, own.found.text = "warn", url+" is slow: no whole answer within 2 seconds"
		}
	case name == "options" && exitStatus(err) == exitUsage:
		return own, err
	}
	if fact, ok := strings.CutPrefix(name, "$"); ok {
		own.put(fact, own.found.text)
		return own, nil
	}
	return own, c.print(name, own.found)
}

// answered returns a number that changes with each answer of a server.
func (d *doctor) answered() (ahead time.Duration) {
	if d.opt != nil {
		ahead, _ = d.opt.Client.ClockOffset()
	}
	return ahead
}

// print prints the finding of a check, or keeps it for JSON.
func (c *doctorCall) print(name string, f finding) error {
	switch f.status {
	case "-":
		return nil
	case "fail":
		c.failed++
	case "warn":
		c.warned++
	}
	text := strings.TrimSpace(f.text)
	var o jsonObject
	o.text("check", name)
	o.text("status", f.status)
	o.text("text", text)
	o.text("remedy", f.remedy)
	c.findings = append(c.findings, o)
	if c.json || c.ui.quiet && f.status != "fail" {
		return nil
	}
	lines := (f.status + "  ")[:4] + "  " + name + ": " + text + "\n"
	if f.remedy != "" {
		lines += "      " + strings.ReplaceAll(f.remedy, "\n", "\n      ") + "\n"
	}
	_, err := io.WriteString(c.ui.out, printable(lines))
	return err
}
