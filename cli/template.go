package cli

import (
	"context"
	"path/filepath"
	"strings"

	"lxc-pull/lxc"
	"lxc-pull/lxc/host"
	"lxc-pull/pull"
)

// A templateCall is one use of the program as a template of LXC. It keeps the contract of
// the stock "download" template with lxc-create(1).
type templateCall struct {
	creation
	caller callerOptions
	list   bool
	oci    bool          // called as lxc-oci
	helper string        // --mount-helper of lxc-oci
	local  *localOptions // nil: not called as lxc-local
}

func (c *templateCall) groups() []*group {
	if c.oci {
		return c.ociGroups()
	}
	if c.local != nil {
		return c.localGroups()
	}
	own := &group{"", []flag{{short: 'l', long: "list", help: "list the images and make no container", into: &c.list}}}
	return append([]*group{own, c.caller.group()}, c.creation.groups(true)...)
}

// rewrite keeps the arguments for sameAs.
func (c *templateCall) rewrite(args []string) []string {
	if c.local != nil {
		args = dropEmptyArgument(args)
	}
	c.args = args
	return args
}

// takeMapped takes --mapped-uid and --mapped-gid out of the operands. lxc-create appends these
// options to the user's arguments (lxccontainer.c, create_run_template), so a "--" among
// those makes operands of them.
func (o *callerOptions) takeMapped(operands []string) (rest []string) {
	for ; len(operands) > 0; operands = operands[1:] {
		into := map[string]*string{"--mapped-uid": &o.mappedUID, "--mapped-gid": &o.mappedGID}[operands[0]]
		if into == nil || len(operands) == 1 {
			addTo(&rest, operands[0])
			continue
		}
		*into = operands[1]
		operands = operands[1:]
	}
	return rest
}

// noContainer returns the error with which --help and --list end if lxc-create called. After
// success lxc-create would keep an empty container.
func (c *templateCall) noContainer() error {
	if c.caller.rootfs != "" {
		return &silentError{}
	}
	return nil
}

func (c *templateCall) run(ctx context.Context, ui *ui, operands []string) (err error) {
	if !c.list {
		c.begin()
	}
	if err := c.useOwn(ui); err != nil {
		return err
	}
	if operands = c.caller.takeMapped(operands); c.local != nil {
		operands = ignore(ui, operands)
	}
	if len(operands) > 0 && c.caller.name == "" && named(operands[0]).name != "" {
		return usageErrorf("the command comes first: lxc-pull %s ...", operands[0])
	}
	// The stock template ignores operands.
	if len(operands) == 1 && (isElsewhere(operands[0]) && c.image.kind() == fromServer || !c.image.isNamed() && (looksLikeImage(operands[0]) || isPath(operands[0]) || unclear(operands[0]) != "")) {
		if err := c.image.readImage(operands[0]); err != nil {
			return err
		}
	} else if len(operands) > 0 {
		ui.warn("ignored-option", "ignoring %q", operands)
	}
	if c.list {
		return c.printList(ctx, ui)
	}
	if err := c.checkComplete(); err != nil {
		return err
	}
	namespace := host.Namespace()
	uid, mapped := mappedID(c.caller.mappedUID)
	gid, _ := mappedID(c.caller.mappedGID)
	if namespace == lxc.UserNamespace && !mapped {
		return &retoldError{text: "ERROR: In a user namespace without a map"}
	}
	c.target.Owner = pull.Owner{UID: uid, GID: gid}
	if !mapped {
		c.target.Owner.UID = -1
	}
	c.setTarget(c.caller.name, c.caller.path, c.caller.rootfs, namespace)
	// From here on the end of lxc-create ends the run.
	caller := pull.CallerOf(c.caller.path)
	defer caller.Close()
	caller.IgnoreUnheldLock()
	c.target.Caller = caller
	ctx, stop := caller.Watch(ctx)
	defer stop()
	defer func() {
		if err == nil {
			return
		}
		if left := caller.RemoveContainer(ctx.Err() != nil); left != nil {
			err = &pull.LeftError{Err: err, Left: left}
		}
	}()
	if err := c.check(ui); err != nil {
		return err
	}
	err = untilDone(ctx, func() (err error) {
		if c.target.BaseConfig, err = pull.ReadConfig(c.caller.path); err == nil {
			err = checkNames(c.target)
		}
		if err == nil {
			err = pull.Check(c.target, ui.listener())
		}
		return err
	})
	if err != nil {
		return err
	}
	finder, err := c.open(ctx, ui)
	if err != nil {
		return err
	}
	_, err = c.creation.run(ctx, ui, finder)
	return err
}

// checkComplete refuses a call without what every call must have, in the stock templates' words.
func (c *templateCall) checkComplete() error {
	text := ""
	switch missing := c.caller.name == "" || c.caller.path == "" || c.caller.rootfs == ""; {
	case missing && c.oci:
		text = "ERROR: Not running through LXC"
	case missing:
		text = "ERROR: Please pass the name, path, and rootfs for the container"
	case c.oci && c.image.container == "":
		text = "ERROR: no OCI URL given"
	default:
		return nil
	}
	return &retoldError{text: text, err: &usageError{}, setting: false}
}

// useOwn checks and uses the options that only lxc-oci or lxc-local has.
func (c *templateCall) useOwn(ui *ui) error {
	switch {
	case c.oci:
		return c.checkOCI(ui)
	case c.local != nil:
		return c.useLocal(ui)
	}
	return nil
}

// ignore warns of operands, and returns those that are left: none.
func ignore(ui *ui, operands []string) []string {
	if len(operands) > 0 {
		ui.warn("ignored-option", "ignoring %q", operands)
	}
	return nil
}

// printList prints the images, for --list.
func (c *templateCall) printList(ctx context.Context, ui *ui) error {
	if err := c.check(ui); err != nil {
		return err
	}
	finder := &c.finder
	finder.namespace = host.Namespace()
	if c.caller.path != "" {
		finder.lxcPath = filepath.Dir(c.caller.path)
	}
	var err error
	if c.image.container != "" {
		err = finder.listContainer(ctx, ui, &c.image, false)
	} else if kind := c.image.kind(); kind > fromStreams {
		err = usageErrorf("--list is for servers; %q is %s", c.image.word(), kindPhrases[kind])
	} else if err = finder.use(ctx, ui, &c.image); err == nil {
		err = listTemplate(ctx, ui, *finder, c.image)
	}
	if err != nil {
		return err
	}
	return c.noContainer()
}

// checkNames refuses a name or a path that LXC would refuse or misread.
func checkNames(target pull.Target) error {
	if err := lxc.CheckName(target.Container.Name); err != nil {
		return usageErrorf("invalid name %q: %v", target.Container.Name, err)
	}
	if strings.ContainsFunc(target.Container.Path, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return usageErrorf("path %q: it contains a control character", target.Container.Path)
	}
	return nil
}
