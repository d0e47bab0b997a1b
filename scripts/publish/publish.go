// Command publish makes and updates an image tree, which lxc-pull, LXC's own download
// template and simplestreams clients read from a web server.
//
//	publish --tree DIR --dist D --release R --arch A [OPTION...] ROOTFS
//	publish --tree DIR [--key FILE]
//
// The first form adds a build. It packs ROOTFS, a directory or a tar archive, writes the
// metadata and signs every file. Then one rename replaces the old indexes and their
// signatures by the new ones, and after that it removes all builds but the newest three.
// The second form rewrites the indexes, for instance after a build's directory was
// removed by hand.
//
// docs/publishing.md is the manual.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"lxc-pull/scripts/signer"
)

const usage = `usage: publish --tree DIR --dist D --release R --arch A [OPTION...] ROOTFS
       publish --tree DIR [--key FILE]           (indexes only)

ROOTFS is a directory or a tarball (.tar, .tar.xz, .tar.gz, .tar.zst, .tar.bz2).

  --variant V            image variant (default "default")
  --build ID             build, beginning with a date (default: now, as 20260131_05:24)
  --key FILE             OpenPGP secret key (default: DIR.key)
  --new-key              make the key if there is none
  --passphrase-file FILE the key's passphrase, if it has one
  --keep N               number of builds of an image to keep (default 3)
  --expiry SPAN          when clients should look again: 12h, 30d, 8w, never (default 30d)
  --meta NAME=FILE       use FILE as a metadata file, replacing a generated file of that name;
                         NAME is config, fstab, expiry, excludes, templates or create-message,
                         with -system or -user and .LEVEL as needed; "NAME=" leaves it out
  --owner UID:GID        owner of every entry of a directory (default: as on disk)
  --xz COMMAND           compress with COMMAND, as in --xz 'xz -9e -T0' (default: built in)

Environment: SOURCE_DATE_EPOCH (seconds) replaces the current time in archives and
expiry, and no entry of a directory gets a later time.

Example:
  publish --tree /srv/images --new-key --dist alpine --release 3.22 --arch arm64 rootfs/
`

func main() {
	unix.Umask(0o022) // a web server must be able to read the tree
	if err := run(os.Args[1:]); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintf(os.Stderr, "publish: %v\n", err)
			os.Exit(1)
		}
		fmt.Print(usage)
	}
}

// options are the command line.
type options struct {
	tree, key, passphraseFile string
	newKey                    bool
	im                        image
	keep                      int
	lifetime                  time.Duration
	meta                      map[string][]byte
	owner                     *[2]int
	xzCommand                 string
	rootfs                    string
}

func parse(args []string) (*options, error) {
	o := &options{meta: make(map[string][]byte)}
	f := flag.NewFlagSet("publish", flag.ContinueOnError)
	f.Usage = func() {}
	f.SetOutput(new(bytes.Buffer)) // main prints errors and usage
	f.StringVar(&o.tree, "tree", "", "")
	f.StringVar(&o.key, "key", "", "")
	f.BoolVar(&o.newKey, "new-key", false, "")
	f.StringVar(&o.passphraseFile, "passphrase-file", "", "")
	f.StringVar(&o.im.dist, "dist", "", "")
	f.StringVar(&o.im.release, "release", "", "")
	f.StringVar(&o.im.arch, "arch", "", "")
	f.StringVar(&o.im.variant, "variant", "default", "")
	f.StringVar(&o.im.build, "build", "", "")
	f.IntVar(&o.keep, "keep", 3, "")
	f.StringVar(&o.xzCommand, "xz", "", "")
	o.lifetime = 30 * 24 * time.Hour
	f.Func("expiry", "", func(s string) (err error) {
		o.lifetime, err = parseLifetime(s)
		return err
	})
	f.Func("meta", "", o.addMeta)
	f.Func("owner", "", func(s string) error {
		uid, gid, ok := strings.Cut(s, ":")
		u, err := strconv.ParseUint(uid, 10, 32)
		g, err2 := strconv.ParseUint(gid, 10, 32)
		if !ok || err != nil || err2 != nil {
			return fmt.Errorf("want UID:GID in numbers")
		}
		o.owner = &[2]int{int(u), int(g)}
		return nil
	})
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	switch {
	case o.tree == "":
		return nil, fmt.Errorf("--tree is missing")
	case f.NArg() > 1:
		return nil, fmt.Errorf("one root file system at a time, not %d (options come first)", f.NArg())
	case o.keep < 1:
		return nil, fmt.Errorf("--keep %d would keep nothing", o.keep)
	}
	o.tree = filepath.Clean(o.tree)
	if o.key == "" {
		o.key = o.tree + ".key"
	}
	o.rootfs = f.Arg(0)
	if o.rootfs != "" {
		if o.im.build == "" {
			o.im.build = time.Now().UTC().Format(buildTime)
		}
		return o, o.im.check()
	}
	return o, nil
}

// addMeta reads the file of one --meta NAME=FILE.
func (o *options) addMeta(s string) error {
	const maxMetaFile = 1 << 20 // clients accept no larger file
	name, file, ok := strings.Cut(s, "=")
	if !ok || !metaName.MatchString(name) {
		return fmt.Errorf("want NAME=FILE, with a NAME that templates look for")
	}
	if file == "" {
		o.meta[name] = nil
		return nil
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if len(content) > maxMetaFile {
		return fmt.Errorf("%q: more than %d bytes", file, maxMetaFile)
	}
	o.meta[name] = append([]byte{}, content...) // never nil
	return nil
}

func run(args []string) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	now, archiveTime := time.Now(), time.Now()
	var clamp time.Time
	if s := os.Getenv("SOURCE_DATE_EPOCH"); s != "" {
		seconds, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return fmt.Errorf("SOURCE_DATE_EPOCH=%q is no number of seconds", s)
		}
		clamp = time.Unix(seconds, 0)
		archiveTime = clamp
	}
	s, err := openKey(o, now)
	if err != nil {
		return err
	}
	t, err := openTree(o.tree)
	if err != nil {
		return err
	}
	defer t.close()

	if o.rootfs != "" {
		if err := t.addBuild(o.im, s, func(dir string) error { return o.fill(dir, clamp, archiveTime) }); err != nil {
			return err
		}
	}
	images, err := t.scan()
	if err != nil {
		return err
	}
	kept, old := prune(images, o.keep)
	if err := t.switchIndexes(kept, s, now); err != nil {
		return err
	}
	for _, im := range old {
		if err := t.removeBuild(im); err != nil {
			return err
		}
		fmt.Printf("removed %s\n", im.path())
	}
	if o.rootfs != "" {
		fmt.Printf("published %s\n", o.im.path())
		for _, im := range kept {
			if im.product() == o.im.product() && im.build > o.im.build {
				fmt.Fprintf(os.Stderr, "publish: warning: clients still get %s, which is newer\n", im.path())
				break
			}
		}
	}
	fmt.Printf("signed by %s; clients need %s\n", s.Fingerprint(), o.key+publicSuffix)
	return nil
}

// publicSuffix is appended to a key file's name for the file with its public part.
const publicSuffix = ".pub"

// openKey reads the signing key, or makes it if --new-key allows that.
func openKey(o *options, now time.Time) (*signer.Signer, error) {
	_, err := os.Stat(o.key)
	switch {
	case errors.Is(err, os.ErrNotExist) && o.newKey:
		if err := signer.New(o.key, "Image tree "+filepath.Base(o.tree), now); err != nil {
			return nil, err
		}
		fmt.Printf("made the signing key %s (mode 0600, no passphrase): keep a copy of it somewhere safe\n", o.key)
	case errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("there is no key %s: give one with --key, or let --new-key make one", o.key)
	}
	var passphrase []byte
	if o.passphraseFile != "" {
		text, err := os.ReadFile(o.passphraseFile)
		if err != nil {
			return nil, err
		}
		passphrase = bytes.TrimRight(text, "\r\n")
	}
	s, err := signer.Read(o.key, passphrase)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(o.key + publicSuffix); errors.Is(err, os.ErrNotExist) {
		return s, s.WritePublic(o.key + publicSuffix)
	}
	return s, nil
}

// fill writes the two archives of a build into dir.
func (o *options) fill(dir string, clamp, archiveTime time.Time) error {
	warn := func(msg string) { fmt.Fprintf(os.Stderr, "publish: warning: %s\n", msg) }
	var found facts
	err := create(filepath.Join(dir, "rootfs.tar.xz"), func(f *os.File) (err error) {
		found, err = packRootfs(f, o.rootfs, &dirArchive{clamp: clamp, owner: o.owner, warn: warn}, o.xzCommand)
		return err
	})
	if err != nil {
		return fmt.Errorf("%q: %v", o.rootfs, err)
	}
	if _, own := o.meta["templates"]; found.hostname && len(found.templates) == 0 && !own {
		warn("no LXC_NAME in etc/hostname: every container will have the same name in it")
	}
	var expiry time.Time
	if o.lifetime > 0 {
		expiry = archiveTime.Add(o.lifetime)
	}
	files, err := metadata(o.im, found, expiry, o.meta)
	if err != nil {
		return err
	}
	return create(filepath.Join(dir, "meta.tar.xz"), func(f *os.File) error { return packMetadata(f, files, archiveTime) })
}

// create makes a file and calls write for its content.
func create(name string, write func(*os.File) error) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	if err := write(f); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
