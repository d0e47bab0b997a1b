package lxc_test

import (
	"errors"
	"fmt"

	"lxc-pull/lxc"
)

// A hook would run as root on the host, so an image may not set it.
func ExampleContainer_CheckConfig() {
	container := lxc.Container{
		Name: "web", Path: "/var/lib/lxc/web", Rootfs: "/var/lib/lxc/web/rootfs",
		TemplateConfig: "/usr/share/lxc/config", HookDir: "/usr/share/lxc/hooks",
	}
	for _, config := range []string{
		"lxc.include = LXC_TEMPLATE_CONFIG/common.conf\nlxc.arch = x86_64\n",
		"lxc.hook.pre-start = LXC_ROOTFS/bin/sh\n",
	} {
		found, err := container.CheckConfig(container.Expand([]byte(config)), false)
		var refused *lxc.HostConfigError
		if errors.As(err, &refused) {
			fmt.Println(refused)
			continue
		}
		fmt.Println("arch:", found.Arch, "includes:", found.Includes)
	}
	// Output:
	// arch: [x86_64] includes: [/usr/share/lxc/config/common.conf]
	// the image's config has "lxc.hook.pre-start = /var/lib/lxc/web/rootfs/bin/sh": an image may not set this key to this value
}

// Every LXC since 3.0 refuses the keys of LXC 1 and 2.
func ExampleCheckLoads() {
	_, err := lxc.CheckLoads([]byte("lxc.utsname = web\n"))
	fmt.Println(err)
	// Output:
	// LXC would refuse the line "lxc.utsname = web": LXC 3.0 and later call this key lxc.uts.name
}
