package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"lxc-pull/cross"
	"lxc-pull/fetch"
	"lxc-pull/image"
	"lxc-pull/pull/source"
)

// The checks of doctor about the network and the servers.

// maxDoctorServers is how many servers doctor asks: each may take four seconds.
const maxDoctorServers = 5

func (d *doctor) nameServers(context.Context) []finding {
	if d.opt == nil {
		return nil
	}
	if from := d.opt.Client.NameServers(); from != "" {
		return good("from " + from)
	}
	if d.machine.Android() || d.machine.Termux() != "" {
		return bad("none found", "Pass --dns ADDRESS, with the address of your router.")
	}
	return bad("none found: /etc/resolv.conf has no nameserver line", "echo nameserver ADDRESS >>/etc/resolv.conf, with the address of your router; or pass --dns ADDRESS.")
}

func (d *doctor) certificates(context.Context) []finding {
	if d.opt == nil {
		return nil
	}
	from, err := d.opt.Client.LoadTrust()
	if err != nil {
		return bad(err.Error(), "Correct SSL_CERT_FILE and SSL_CERT_DIR, or unset them.")
	}
	return good("from " + from)
}

func (d *doctor) proxy(context.Context) []finding {
	if err := fetch.CheckProxies(); err != nil {
		return bad(err.Error(), "Correct that variable, or unset it.")
	}
	set := ""
	for _, name := range []string{"https_proxy", "http_proxy", "all_proxy", "no_proxy"} {
		for _, name := range []string{name, strings.ToUpper(name)} {
			if os.Getenv(name) != "" {
				set += " " + name
			}
		}
	}
	if set == "" {
		return good("none is set")
	}
	return good("set by" + set)
}

// serverChecks returns two checks for each server: whether it answers, and whether its index of
// images has a good signature.
func (d *doctor) serverChecks() (list []check) {
	for _, url := range d.opt.Servers.URLs() {
		if len(list) == 2*maxDoctorServers {
			break
		}
		reached := false
		list = append(list, check{"server", func(d *doctor, ctx context.Context) []finding {
			found := d.reach(ctx, url)
			reached = found[0].status == statusOK
			return found
		}}, check{"index", func(d *doctor, ctx context.Context) []finding {
			if !reached {
				return nil // the server's own line says why
			}
			return d.index(ctx, url)
		}})
	}
	return list
}

// reach asks a server for a small file.
func (d *doctor) reach(ctx context.Context, url string) []finding {
	start := time.Now()
	file := url + "/" + image.IndexDir + "/index-" + string(d.opt.Mode) + image.SigSuffix
	_, _, err := d.opt.Client.Load(ctx, fetch.Request{URLs: []string{file}, Max: 1 << 16, Hasty: true})
	var answer *fetch.Error
	switch {
	case ctx.Err() != nil:
		return bad(fmt.Sprintf("%q: no answer within 2 seconds", url), d.ui.networkHint(&fetch.Error{Kind: fetch.KindTimeout}, false))
	case errors.As(err, &answer) && answer.NotFound(): // the next check says what is missing
	case err != nil:
		return bad(err.Error(), d.remedy(err))
	}
	return good(fmt.Sprintf("%q answers in %d ms", url, time.Since(start).Milliseconds()))
}

// index reads a server's index and verifies its signature.
func (d *doctor) index(ctx context.Context, url string) []finding {
	one := *d.opt
	one.Servers = new(source.Servers)
	err := one.Servers.Add(url)
	var index image.Index
	if err == nil {
		index, err = source.Open(one, d.ui.listener()).List(ctx)
	}
	switch {
	case ctx.Err() != nil:
		return doubt(fmt.Sprintf("%q: the index of images did not arrive within 2 seconds", url), "The network or the server is slow. lxc-pull list waits longer.")
	case err != nil:
		return bad(err.Error(), d.remedy(err))
	}
	arch := hostArch()
	mine := len(index.Select(image.Query{Arch: cross.Spellings(arch)}))
	text := fmt.Sprintf("%d images, %d of them for %s", len(index.Images), mine, arch)
	switch {
	case mine == 0:
		return doubt(text, "Choose another server, or an architecture that this machine can run: lxc-pull list.")
	case one.Keys == nil:
		return doubt(text+"; no signature was verified", "Omit --no-validate.")
	}
	return good(text + ", with a good signature")
}

// remedy returns the hint about an error.
func (d *doctor) remedy(err error) string {
	if hint := d.ui.hint(err); hint != "" {
		return hint
	}
	return "Try again later, or use another server."
}

// clock compares the clock with what signatures, the server's answers and the program's own
// build say.
func (d *doctor) clock(context.Context) []finding {
	now := time.Now().UTC()
	text := "it is " + now.Format("2006-01-02 15:04") + " UTC"
	set := "date -u MMDDhhmmYYYY"
	var ahead time.Duration
	known := false
	if d.opt != nil {
		ahead, known = d.opt.Client.ClockOffset()
	}
	if known {
		set = "date -u " + now.Add(ahead).Format("010215042006")
	}
	switch {
	case d.opt != nil && d.opt.Clock.Warning() != "":
		return doubt(d.opt.Clock.Warning(), set)
	case !d.ui.clock.CanBe(now):
		return bad(text+", more than ten years after this program was built", set)
	case known && ahead.Abs() > 5*time.Minute:
		return doubt(text+", and the server says "+now.Add(ahead).Format("2006-01-02 15:04"), set)
	case known:
		return good(text + ", as the server says")
	}
	return good(text + ", later than this program's build")
}
