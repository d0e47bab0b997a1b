package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"strconv"
	"strings"
	"time"

	"lxc-pull/lxc/host"
)

// checkTime is the longest time of one check.
const checkTime = 2 * time.Second

// maxDoctorServers is how many servers doctor asks: each may take checkTime.
const maxDoctorServers = 5

// A doctorCall is one use of "doctor". text/doctor.txt has the checks, doctor_rules.go
// judges by them, and doctor_facts.go collects what they need.
type doctorCall struct {
	finder        finderOptions
	settings      *settings // nil in tests
	lxcPath       string
	json, offline bool

	ui                     *ui
	findings               []jsonObject // with --json
	checks, failed, warned int
}

func (c *doctorCall) groups() []*group {
	own := &group{"", []flag{
		{short: 'P', long: "lxcpath", value: "DIR", help: "where containers are (default: as in lxc.conf)", into: &c.lxcPath, exact: true},
		{long: "offline", help: "ask no server", into: &c.offline, exact: true},
		{long: "json", help: "print JSON", into: &c.json, exact: true},
	}}
	return []*group{own, c.finder.servers.withProtocol(), c.finder.trust.group(), c.finder.network.group(), commonFlags()}
}

func (c *doctorCall) run(ctx context.Context, ui *ui, operands []string) error {
	if len(operands) > 0 {
		return unexpected(operands)
	}
	c.ui = ui
	err := c.checkAll(ctx, c.begin(host.This(), os.Geteuid()))
	switch {
	case err != nil:
		return err
	case c.json:
		err = printObjects(ui.out, c.findings)
	case !ui.quiet:
		_, err = fmt.Fprintf(ui.out, "%d checks: %d ok, %d warn, %d fail\n", c.checks, c.checks-c.warned-c.failed, c.warned, c.failed)
	}
	if err == nil && c.failed > 0 {
		err = &silentError{code: "unhealthy", text: strconv.Itoa(c.failed) + " of " + strconv.Itoa(c.checks) + " checks fail"}
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
func (c *doctorCall) checkAll(ctx context.Context, d *doctor) error {
	checks, err := textOf(packedTexts, "doctor.txt")
	if err != nil {
		return err
	}
	for _, rules := range strings.Split(checks, "\n\n") {
		name, rules, _ := strings.Cut(rules, "\n")
		urls := []string{""}
		if name == "server" {
			urls = nil
			if d.opt != nil && !c.offline {
				urls = d.opt.Servers.URLs()
				urls = urls[:min(len(urls), maxDoctorServers)]
			}
		}
		for _, url := range urls {
			if d, err = c.check(ctx, d, name, url, rules); err != nil {
				return err
			}
		}
	}
	return nil
}

// lateRules are the rules for a check that takes too long.
const lateRules = `warn|slow|{url} is slow: no whole answer within 2 seconds|Repair the network, disk or file that does not answer, and try again.
fail||{url} no answer within 2 seconds|Repair the network, disk or file that does not answer, and try again.`

// check carries out one check, but not longer than checkTime, and prints the finding. It
// returns d with the facts that it has found; what it finds later is lost.
func (c *doctorCall) check(ctx context.Context, d *doctor, name, url, rules string) (*doctor, error) {
	short, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	d.put("check", name)
	d.put("url", url)
	own := new(doctor) // a check that takes too long runs on, with facts of its own
	*own = *d
	own.facts = maps.Clone(d.facts)
	before := d.answered()
	err := untilDone(short, func() error { return own.examine(short, name, rules) })
	switch {
	case ctx.Err() != nil:
		return d, context.Cause(ctx)
	case short.Err() != nil:
		d.mark("slow", d.answered() != before)
		d.judge(lateRules)
	case name == "options" && exitStatus(err) == exitUsage && !fromSettings(err):
		return own, err
	default:
		d = own
	}
	if fact, ok := strings.CutPrefix(name, "$"); ok {
		d.put(fact, d.facts["text"])
		return d, nil
	}
	return d, c.print(d)
}

// answered returns a number that changes with each answer of a server.
func (d *doctor) answered() (ahead time.Duration) {
	if d.opt != nil {
		ahead, _ = d.opt.Client.ClockOffset()
	}
	return ahead
}

// print prints the finding of a check, or keeps it for JSON.
func (c *doctorCall) print(d *doctor) error {
	status := d.facts["status"]
	switch status {
	case "-":
		return nil
	case "fail":
		c.failed++
	case "warn":
		c.warned++
	}
	c.checks++
	if c.json {
		var o jsonObject
		for _, key := range []string{"check", "status", "text", "remedy"} {
			o.text(key, d.facts[key])
		}
		c.findings = append(c.findings, o)
		return nil
	}
	if c.ui.quiet && status != "fail" {
		return nil
	}
	form := "{status}  {check}: {text}"
	if status == "ok" {
		form = "ok    {check}: {text}"
	}
	lines := d.fill(form)
	if remedy := d.facts["remedy"]; remedy != "" {
		lines += "\n" + remedy
	}
	_, err := io.WriteString(c.ui.out, printable(strings.ReplaceAll(lines, "\n", "\n      "))+"\n")
	return err
}
