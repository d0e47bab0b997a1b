// Oci measures what a container image costs: by lxc-pull, and by the programs that others use for
// it: skopeo and umoci, LXC's lxc-oci template (which calls both), and podman.
//
//	go run -C scripts ./lab/bench/oci -image DIR -tag TAG -template LXC-OCI ../bin/lxc-pull
//
// DIR is an OCI layout. A registry in a network namespace of its own serves the image, behind a
// virtual cable that limits its speed. The candidates take turns. The table has the medians of
// wall time, of the CPU time of all processes, of the peak of their resident memory, and of the
// peak of bytes on a disk besides the root file system; and the bytes of the programs. Every
// candidate but podman ends with "sync -f", because lxc-pull syncs too. The goals are below the
// table; the exit status is 3 if one is missed. It needs root, docker-registry, skopeo, umoci,
// podman, jq, openssl, ip and tc. Wall times are meaningful only on an idle machine.
package main

import (
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"lxc-pull/scripts/lab/bench/measure"
)

// The goals.
const (
	maxRatio  = 0.60 // wall time, as a ratio to skopeo copy and umoci unpack, without a limit
	maxMemory = 64   // MB
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("bench/oci: ")
	var b bench
	flag.StringVar(&b.image, "image", "", "OCI layout `directory`")
	flag.StringVar(&b.tag, "tag", "", "the image's `tag` in it")
	flag.StringVar(&b.template, "template", "/usr/share/lxc/templates/lxc-oci", "LXC's `template`")
	work := flag.String("work", "", "`directory` to work in, on a disk (default: a temporary one)")
	rates := flag.String("rates", "0,8", "MB per second, 0: no limit")
	runs := flag.Int("n", 5, "runs of each; one with a limit")
	flag.Parse()
	if flag.NArg() != 1 || b.image == "" || b.tag == "" {
		flag.Usage()
		os.Exit(2)
	}
	measure.Outlive()
	met, err := b.all(flag.Arg(0), *work, strings.Split(*rates, ","), *runs)
	if err != nil {
		log.Fatal(err)
	}
	if !met {
		os.Exit(measure.Missed)
	}
}

// A bench has everything that the runs share.
type bench struct {
	image, tag, template, ours string

	dir   string
	cable *measure.Cable
	at    string // the registry's host and port
	goals measure.Goals
}

func (b *bench) all(ours, work string, rates []string, runs int) (bool, error) {
	var err error
	for into, path := range map[*string]string{&b.ours: ours, &b.image: b.image} {
		if *into, err = filepath.Abs(path); err != nil {
			return false, err
		}
	}
	if b.dir, err = os.MkdirTemp(work, "bench-oci"); err != nil {
		return false, err
	}
	defer os.RemoveAll(b.dir)
	if b.cable, err = measure.NewCable("o"+strconv.Itoa(os.Getpid()), 78); err != nil {
		return false, err
	}
	defer b.cable.Remove()
	stop, err := b.serve()
	if err != nil {
		return false, err
	}
	defer stop()
	for _, text := range rates {
		rate, err := strconv.ParseFloat(text, 64)
		if err != nil || rate < 0 {
			return false, fmt.Errorf("rate %q", text)
		}
		if err := b.cable.Limit(rate); err != nil {
			return false, err
		}
		n := runs
		if rate > 0 {
			n = 1 // a run that long isn't dominated by noise
		}
		ways := b.ways()
		for range n {
			for _, w := range ways {
				env := []string{"LXC_CACHE_PATH=" + b.dir + "/run/cache", "LXC_PULL_CACHE_SIZE=", "HOME=" + b.dir + "/run/tmp", "XDG_RUNTIME_DIR=" + b.dir + "/run/tmp"}
				if err := w.Run(b.dir+"/run", env, b.config); err != nil {
					return false, fmt.Errorf("%s: %w", w.Name, err)
				}
			}
		}
		b.show(rate, ways)
	}
	return !b.goals.Missed(), nil
}

// config writes the config that lxc-create leaves for a template.
func (b *bench) config() error {
	return os.WriteFile(b.dir+"/run/c/config", []byte("lxc.rootfs.path = dir:"+b.dir+"/run/c/rootfs\n"), 0o644)
}

// serve starts the registry and pushes the image to it.
func (b *bench) serve() (stop func(), err error) {
	b.at = net.JoinHostPort(b.cable.Address, "5000")
	text := "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: " + b.dir + "/store}}\nhttp: {addr: " + b.at + ", tls: {certificate: " + b.dir + "/ca.pem, key: " + b.dir + "/key.pem}}\n"
	out, err := exec.Command("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=bench",
		"-addext", "subjectAltName=IP:"+b.cable.Address, "-keyout", b.dir+"/key.pem", "-out", b.dir+"/ca.pem").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("openssl: %w: %s", err, out)
	}
	if err := os.WriteFile(b.dir+"/registry.yml", []byte(text), 0o644); err != nil {
		return nil, err
	}
	cmd := exec.Command("ip", "netns", "exec", b.cable.Far, "docker-registry", "serve", b.dir+"/registry.yml")
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop = func() {
		cmd.Process.Kill()
		cmd.Wait()
	}
	for range 50 {
		var out []byte
		out, err = exec.Command("ip", "netns", "exec", b.cable.Near, "skopeo", "copy", "-q", "--dest-tls-verify=false",
			"oci:"+b.image+":"+b.tag, "docker://"+b.at+"/bench:latest").CombinedOutput()
		if err == nil {
			return stop, nil
		}
		err = fmt.Errorf("skopeo: %w: %s", err, out)
		time.Sleep(100 * time.Millisecond)
	}
	stop()
	return nil, err
}

// ways returns the candidates: ours is the first, skopeo and umoci the second.
func (b *bench) ways() []*measure.Way {
	inside := func(argv ...string) []string {
		return append([]string{"ip", "netns", "exec", b.cable.Near}, argv...)
	}
	shell := func(script string) func(string) []string {
		return func(dir string) []string { return inside("sh", "-ec", script, "sh", dir, b.at+"/bench", b.template) }
	}
	create := func(more ...string) func(string) []string {
		return func(dir string) []string {
			return inside(append([]string{b.ours, "--path=" + dir + "/c", "--name=c", "--rootfs=" + dir + "/c/rootfs", "docker://" + b.at + "/bench", "--cacert=" + b.dir + "/ca.pem"}, more...)...)
		}
	}
	return []*measure.Way{
		{Name: "lxc-pull --no-cache", Made: "c/rootfs", Argv: create("--no-cache")},
		{Name: "skopeo, umoci", Made: "c/rootfs", Argv: shell(`skopeo copy -q --src-tls-verify=false "docker://$2" "oci:$1/tmp/layout:x"; umoci unpack --image "$1/tmp/layout:x" "$1/c/rootfs"; sync -f "$1/c/rootfs"`)},
		{Name: "lxc-oci", Made: "c/rootfs", Argv: shell(`mkdir -p "$1/tmp/.config/containers"; printf '[[registry]]\nlocation = "%s"\ninsecure = true\n' "${2%/*}" >"$1/tmp/.config/containers/registries.conf"; ` +
			`sed "s#^LOCALSTATEDIR=.*#LOCALSTATEDIR=$1/tmp#" "$3" >"$1/tmp/lxc-oci"; bash "$1/tmp/lxc-oci" --name=c --path="$1/c" --rootfs="$1/c/rootfs" -u "docker://$2"; sync -f "$1/c/rootfs"`)},
		{Name: "podman pull", Made: "c/rootfs", Argv: shell(`r=$(mktemp -d -p /tmp); podman --root "$1/c/rootfs" --runroot "$r" --storage-driver vfs pull -q --tls-verify=false "$2"; umount "$1"/c/rootfs/* 2>/dev/null || true; rm -rf "$r"`)},
		{Name: "lxc-pull", Made: "c/rootfs", Argv: create()},
	}
}

// programs returns the bytes of the programs that a candidate needs.
func (b *bench) programs(name string) int64 {
	needs := map[string]string{"skopeo, umoci": "skopeo umoci", "lxc-oci": "skopeo umoci jq bash getopt", "podman pull": "podman"}[name]
	paths := []string{b.ours}
	if needs != "" {
		paths = nil
		for _, program := range strings.Fields(needs) {
			if path, err := exec.LookPath(program); err == nil {
				paths = append(paths, path)
			}
		}
	}
	sum := int64(0)
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil {
			sum += info.Size()
		}
	}
	return sum
}

// show prints the table of a rate, and tells which goals are met.
func (b *bench) show(rate float64, ways []*measure.Way) {
	link := "unshaped"
	if rate > 0 {
		link = fmt.Sprintf("%g MB/s", rate)
	}
	fmt.Printf("\n%s, %d runs\n", link, len(ways[0].Wall))
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\twall s\tCPU s\tmemory MB\tbesides the rootfs MB\tprograms MB\twall ratio\t")
	peer := measure.Median(ways[1].Wall)
	for _, w := range ways {
		fmt.Fprintf(t, "%s\t%.2f\t%.2f\t%.1f\t%.1f\t%.1f\t%.2f\t\n", w.Name, measure.Median(w.Wall), measure.Median(w.CPU),
			float64(measure.Median(w.Memory))/1e6, float64(measure.Median(w.Disk))/1e6, float64(b.programs(w.Name))/1e6, measure.Median(w.Wall)/peer)
	}
	t.Flush()
	ours, name := ways[0], "container image, "+link
	if rate == 0 {
		b.goals.Ratio(name+", to skopeo and umoci", "s", measure.Median(ours.Wall), peer, maxRatio)
	}
	b.goals.Limit(name+", memory", "MB", float64(measure.Median(ours.Memory))/1e6, maxMemory)
	// A creation edits the config, so it must exist before.
	b.goals.Limit(name+", besides the root file system", "MB", float64(measure.Median(ours.Disk))/1e6, 0.01)
}
