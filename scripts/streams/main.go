// Command streams makes the tree of an image server for Incus and LXD (simplestreams), in the form
// of images.linuxcontainers.org or of cloud-images.ubuntu.com/releases:
//
//	go run -C scripts ./streams --tree DIR --key FILE --root FILE.tar.xz [OPTION...] IMAGE...
//
// An IMAGE is DIST/RELEASE/ARCH/VARIANT/VERSION, such as debian/trixie/amd64/default/20260829_05:24
// or ubuntu/noble/amd64/default/20260829; cloud-images has only Ubuntu's releases. All images have the same root file system, and metadata
// of their own. The lists name exactly these images; files of images that are in DIR stay, so that
// a second run makes other lists for the same server.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"lxc-pull/scripts/signer"
)

const usage = `usage: streams --tree DIR --key FILE --root FILE.tar.xz [OPTION...] IMAGE...

  --tree DIR        the server's document root; it is made if it is missing
  --layout NAME     incus (images.linuxcontainers.org, the default) or ubuntu (cloud-images.ubuntu.com)
  --root FILE       the root file system: a tar archive, compressed by xz; "": images have none
  --squashfs FILE   the same as squashfs; "": images have none
  --unified         images are one file with metadata and root file system, incus_combined.tar.gz
  --metadata FILE   metadata.yaml for all images
  --fill COUNT      the lists have COUNT more products, whose files are missing: 1400 make 5 MB
  --key FILE        OpenPGP secret key; it is made if it is missing, and FILE.pub beside it
  --at SECONDS      time of the signatures, since 1970 (default: now)
  --sign HOW        full      .sjson and .json.gpg beside each .json (the default)
                    sjson     only .sjson
                    gpg       only .json.gpg
                    none      no signature
                    other     as full, by another key
                    altered   as full, and each document was changed afterwards
                    mixed     the index as full, the lists of images without signature
                    stale     .sjson and .json.gpg stay as they are: those of the run before
`

// options are the command line.
type options struct {
	tree, layout, root, squashfs, metadata, key, sign string
	unified                                           bool
	fill                                              int
	at                                                time.Time
	images                                            []*build
}

// A build is a version of a product.
type build struct {
	dist, release, arch, variant, version string
	items                                 map[string]*item // by their names in the list
}

func main() {
	o := &options{at: time.Now()}
	err := o.parse(os.Args[1:])
	if err == nil {
		err = o.run()
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Print(usage)
	case err != nil:
		fmt.Fprintln(os.Stderr, "streams:", err)
		os.Exit(1)
	}
}

func (o *options) parse(args []string) error {
	f := flag.NewFlagSet("streams", flag.ContinueOnError)
	f.Usage = func() {}
	f.SetOutput(new(strings.Builder)) // main prints errors and usage
	f.StringVar(&o.tree, "tree", "", "")
	f.StringVar(&o.layout, "layout", "incus", "")
	f.StringVar(&o.root, "root", "", "")
	f.StringVar(&o.squashfs, "squashfs", "", "")
	f.StringVar(&o.metadata, "metadata", "", "")
	f.StringVar(&o.key, "key", "", "")
	f.StringVar(&o.sign, "sign", "full", "")
	f.BoolVar(&o.unified, "unified", false, "")
	f.IntVar(&o.fill, "fill", 0, "")
	f.Func("at", "", func(text string) error {
		seconds, err := strconv.ParseInt(text, 10, 64)
		o.at = time.Unix(seconds, 0)
		return err
	})
	if err := f.Parse(args); err != nil {
		return err
	}
	switch {
	case o.tree == "" || o.key == "" || f.NArg() == 0:
		return errors.New("--tree, --key and an image are needed")
	case o.layout != "incus" && o.layout != "ubuntu":
		return fmt.Errorf("there is no layout %q", o.layout)
	case o.unified && o.root == "", o.root == "" && o.squashfs == "":
		return errors.New("a root file system is needed")
	}
	for _, name := range f.Args() {
		part := strings.Split(name, "/")
		if len(part) != 5 {
			return fmt.Errorf("%q is not DIST/RELEASE/ARCH/VARIANT/VERSION", name)
		}
		o.images = append(o.images, &build{part[0], part[1], part[2], part[3], part[4], map[string]*item{}})
	}
	return nil
}

func (o *options) run() error {
	if err := os.MkdirAll(filepath.Join(o.tree, "streams/v1"), 0o755); err != nil {
		return err
	}
	for _, im := range o.images {
		if err := o.addFiles(im); err != nil {
			return fmt.Errorf("%s/%s: %v", im.dist, im.release, err)
		}
	}
	s, err := o.signer(o.key)
	if err != nil {
		return err
	}
	if o.sign == "other" {
		if s, err = o.signer(filepath.Join(o.tree, ".other.key")); err != nil {
			return err
		}
	}
	for n := range 2 * o.fill {
		o.images = append(o.images, o.filler(n))
	}
	documents, err := o.documents()
	if err != nil {
		return err
	}
	for name, text := range documents {
		if err := o.write(s, name, text); err != nil {
			return err
		}
	}
	return nil
}

// signer opens a key, and makes it if it is missing: long ago, so that it can sign at any time.
func (o *options) signer(file string) (*signer.Signer, error) {
	if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
		if err := signer.New(file, "Images", time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)); err != nil {
			return nil, err
		}
	}
	s, err := signer.Read(file, nil)
	if err != nil {
		return nil, err
	}
	return s.At(o.at), s.WritePublic(file + ".pub")
}

// write writes a document of streams/v1 and its signatures.
func (o *options) write(s *signer.Signer, name string, text []byte) error {
	file := filepath.Join(o.tree, "streams/v1", name)
	sjson, detached := strings.TrimSuffix(file, ".json")+".sjson", file+".gpg"
	if o.sign != "stale" {
		for _, old := range []string{sjson, detached} {
			if err := os.Remove(old); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
	}
	if err := os.WriteFile(file, text, 0o644); err != nil {
		return err
	}
	var both, clear, beside bool
	switch o.sign {
	case "full", "other", "altered":
		both = true
	case "mixed":
		both = name == "index.json"
	case "sjson":
		clear = true
	case "gpg":
		beside = true
	case "none", "stale":
	default:
		return fmt.Errorf("there is no way %q to sign", o.sign)
	}
	if both || clear {
		if err := s.Cleartext(sjson, "", text); err != nil {
			return err
		}
	}
	if both || beside {
		if err := s.Detached(file, "", ".gpg"); err != nil {
			return err
		}
	}
	if o.sign == "altered" {
		for _, signed := range []string{file, sjson} {
			text, err := os.ReadFile(signed)
			if err != nil {
				return err
			}
			changed := strings.Replace(string(text), "{", `{"altered":true,`, 1)
			if err := os.WriteFile(signed, []byte(changed), 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}
