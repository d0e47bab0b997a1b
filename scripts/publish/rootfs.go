package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"sort"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// Facts are the facts about a root file system that the metadata needs.
type facts struct {
	devices   []string // names of device nodes in the archive
	templates []string // the nameFiles that contain LXC_NAME, with a leading slash
	hostname  bool     // there is an etc/hostname
}

// nameFiles are the files that should contain the container's name.
var nameFiles = []string{"etc/hostname", "etc/hosts"}

// maxNameFile is the number of bytes of a name file that are searched: such files have
// only a few lines.
const maxNameFile = 64 << 10

// packRootfs writes the root file system at source, a directory or a tar archive, to out as
// .tar.xz, and returns facts about it. It copies an archive that is .xz already byte for
// byte. xzCommand, if not empty, is a shell command that compresses its standard input to
// its standard output.
func packRootfs(out io.Writer, source string, directory *dirArchive, xzCommand string) (facts, error) {
	info, err := os.Stat(source)
	if err != nil {
		return facts{}, err
	}
	if info.IsDir() {
		pr, pw := io.Pipe()
		go func() { pw.CloseWithError(directory.write(pw, source)) }()
		defer pr.Close()
		return compressTar(out, pr, xzCommand)
	}

	f, err := os.Open(source)
	if err != nil {
		return facts{}, err
	}
	defer f.Close()
	in := bufio.NewReaderSize(f, 1<<16)
	magic, _ := in.Peek(6)
	var plain io.Reader
	switch {
	case bytes.HasPrefix(magic, []byte("\xfd7zXZ\x00")):
		copied := io.TeeReader(in, out)
		r, err := xz.NewReader(copied)
		if err != nil {
			return facts{}, err
		}
		found, err := scanTar(r)
		if err != nil {
			return facts{}, err
		}
		_, err = io.Copy(io.Discard, copied)
		return found, err
	case bytes.HasPrefix(magic, []byte("\x1f\x8b")):
		plain, err = gzip.NewReader(in)
	case bytes.HasPrefix(magic, []byte("\x28\xb5\x2f\xfd")):
		var d *zstd.Decoder
		if d, err = zstd.NewReader(in); err == nil {
			defer d.Close()
			plain = d
		}
	case bytes.HasPrefix(magic, []byte("BZh")):
		plain = bzip2.NewReader(in)
	default:
		plain = in
	}
	if err != nil {
		return facts{}, err
	}
	return compressTar(out, plain, xzCommand)
}

// compressTar compresses a tar stream to out as .xz, and scans it at the same time.
func compressTar(out io.Writer, in io.Reader, xzCommand string) (facts, error) {
	packer, err := newPacker(out, xzCommand)
	if err != nil {
		return facts{}, err
	}
	found, err := scanTar(io.TeeReader(in, packer))
	closeErr := packer.Close()
	if closeErr != nil {
		return facts{}, closeErr // which also explains a broken pipe
	}
	return found, err
}

func newPacker(out io.Writer, xzCommand string) (io.WriteCloser, error) {
	if xzCommand == "" {
		return newXZWriter(out), nil
	}
	cmd := exec.Command("/bin/sh", "-c", xzCommand)
	cmd.Stdout, cmd.Stderr = out, os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &commandPacker{stdin, cmd}, nil
}

// A commandPacker is a compressor that runs as a separate process.
type commandPacker struct {
	io.WriteCloser
	cmd *exec.Cmd
}

func (p *commandPacker) Close() error {
	err := p.WriteCloser.Close()
	if waitErr := p.cmd.Wait(); waitErr != nil {
		return fmt.Errorf("%q: %v", p.cmd.Args[2], waitErr)
	}
	return err
}

// scanTar reads a tar stream to its end.
func scanTar(in io.Reader) (facts, error) {
	var found facts
	seen, isDevice := make(map[string]bool), make(map[string]bool)
	entries := 0
	for tr := tar.NewReader(in); ; entries++ {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return facts{}, err
		}
		switch h.Typeflag {
		case tar.TypeChar, tar.TypeBlock:
			if strings.ContainsAny(h.Name, "\n\r") {
				return facts{}, fmt.Errorf("a device node's name holds a line feed, which no list of excludes can say: %q", h.Name)
			}
			found.devices = append(found.devices, h.Name)
			isDevice[path.Clean(h.Name)] = true
		case tar.TypeLink: // a hard link to an excluded node can't be made either
			if isDevice[path.Clean(h.Linkname)] {
				found.devices = append(found.devices, h.Name)
			}
		case tar.TypeReg:
			name := path.Clean(strings.TrimPrefix(h.Name, "/"))
			for _, candidate := range nameFiles {
				if name != candidate {
					continue
				}
				content, err := io.ReadAll(io.LimitReader(tr, maxNameFile))
				if err != nil {
					return facts{}, err
				}
				found.hostname = found.hostname || name == "etc/hostname"
				if bytes.Contains(content, []byte("LXC_NAME")) && !seen[name] {
					seen[name] = true
					found.templates = append(found.templates, "/"+name)
				}
			}
		}
	}
	if entries == 0 {
		return facts{}, fmt.Errorf("no tar archive, or an empty one")
	}
	sort.Strings(found.templates)
	// Bytes after the end-of-archive marker belong to the file too.
	_, err := io.Copy(io.Discard, in)
	return found, err
}
