package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A sandbox is a directory with a signed image tree, the program, and the environment in
// which the documents' commands run as they are written: a proxy on the loopback interface
// leads the documents' servers to a server of the sandbox, and the program trusts the
// sandbox's key in place of the built-in one. Nothing else can be reached.
type sandbox struct {
	dir    string // everything that the sandbox makes
	work   string // the working directory of commands
	home   string
	env    []string
	user   *syscall.Credential // commands run as this user; nil: as the caller
	listen []net.Listener

	proxy      string // URL of the way to the image server
	otherProxy string // an address whose port 3128 is the same way
}

// servers are the servers that the sandbox stands in for.
var servers = append([]string{"images.linuxcontainers.org", "images.example.org", "repo.turris.cz"}, registries...)

// nobody is the user as whom root runs the commands: the documents' commands must not
// write into /var/lib/lxc, and most readers aren't root.
const nobody = 65534

// standInKey is the file that takes the place of pgp/linuxcontainers.go.
const standInKey = `package pgp

// LinuxContainers returns a Keyring with the key of a test.
func LinuxContainers() *Keyring {
	k, err := ReadKeyring([]byte(%s))
	if err != nil {
		panic(err)
	}
	return k
}
`

// newSandbox makes a sandbox below dir with the images that the documents name. The image
// debian/trixie has size bytes when it is unpacked, and a third of that packed.
func newSandbox(ctx context.Context, top, dir string, size int) (s *sandbox, err error) {
	s = &sandbox{dir: dir, work: filepath.Join(dir, "work"), home: filepath.Join(dir, "home")}
	for _, name := range []string{"bin", "work", "home", "rootfs/etc", "rootfs/usr/bin", "rootfs/dev", "rootfs/proc", "rootfs/sys"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			return nil, err
		}
	}
	if os.Geteuid() == 0 {
		s.user = &syscall.Credential{Uid: nobody, Gid: nobody}
		for _, name := range []string{s.work, s.home} {
			if err := os.Chown(name, nobody, nobody); err != nil {
				return nil, err
			}
		}
	}
	if err := s.publish(ctx, top, size); err != nil {
		return nil, err
	}
	if err := buildTrusting(ctx, top, filepath.Join(dir, "tree.key.pub"), filepath.Join(dir, "bin/lxc-pull")); err != nil {
		return nil, err
	}
	if err := s.serve(); err != nil {
		return nil, err
	}
	s.env = []string{
		"PATH=" + filepath.Join(dir, "bin") + ":/usr/bin:/bin",
		"HOME=" + s.home,
		"LC_ALL=C.UTF-8",
		"TREE=" + filepath.Join(dir, "tree"), // a tree that scripts/publish made; TREE.key.pub has its key
		"https_proxy=" + s.proxy,
		"SSL_CERT_FILE=" + filepath.Join(dir, "ca.crt"),
		// LXC's own config files need subordinate ids; without them create makes a
		// container that only another machine could start.
		"LXC_TEMPLATE_CONFIG=" + s.home,
	}
	return s, nil
}

func (s *sandbox) close() {
	for _, l := range s.listen {
		l.Close()
	}
}

// command returns a command that runs in the sandbox.
func (s *sandbox) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = s.work, s.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.user}
	return cmd
}

// buildTrusting builds lxc-pull so that its built-in key is the one in the file key.
func buildTrusting(ctx context.Context, top, key, output string) error {
	text, err := os.ReadFile(key)
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "docs-program-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	source, overlay := filepath.Join(work, "key.go"), filepath.Join(work, "overlay.json")
	replace, err := json.Marshal(map[string]map[string]string{
		"Replace": {filepath.Join(top, "pgp", "linuxcontainers.go"): source},
	})
	if err != nil {
		return err
	}
	if err := os.WriteFile(source, fmt.Appendf(nil, standInKey, strconv.Quote(string(text))), 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(overlay, replace, 0o644); err != nil {
		return err
	}
	output, err = filepath.Abs(output)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-tags=nethttpomithttp2", "-overlay", overlay, "-o", output, ".")
	return quietly(cmd, top, "CGO_ENABLED=0")
}

// quietly runs a command in dir; its output is in the error.
func quietly(cmd *exec.Cmd, dir string, env ...string) error {
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return nil
}

// debianArch maps Go's names of architectures to Debian's, where they differ.
var debianArch = map[string]string{"386": "i386", "arm": "armhf", "ppc64le": "ppc64el"}

// ownArch returns this machine's architecture as image servers call it.
func ownArch() string {
	if name, ok := debianArch[runtime.GOARCH]; ok {
		return name
	}
	return runtime.GOARCH
}

// pinnedBuild is the build that docs/scripts.md names.
const pinnedBuild = "20260829_05:24"

// createMessage is the message that images of images.linuxcontainers.org have.
const createMessage = `You just created a %s %s %s (%s) container.

To enable SSH, run: apt install openssh-server
No default root or user password are set by LXC.
`

// publish makes the tree of images.
func (s *sandbox) publish(ctx context.Context, top string, size int) error {
	program := filepath.Join(s.dir, "bin/publish")
	build := exec.CommandContext(ctx, "go", "build", "-C", "scripts", "-o", program, "./publish")
	if err := quietly(build, top, "CGO_ENABLED=0"); err != nil {
		return err
	}
	root := filepath.Join(s.dir, "rootfs")
	files := map[string]string{
		"etc/hostname": "LXC_NAME\n",
		"etc/hosts":    "127.0.0.1 localhost\n127.0.1.1 LXC_NAME\n",
		"etc/passwd":   "root:x:0:0:root:/root:/bin/sh\n",
		"etc/shadow":   "root:*:20000:0:99999:7:::\n",
		"usr/bin/data": "a file\n",
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	layer := exec.CommandContext(ctx, "tar", "--owner=0", "--group=0", "-cf", filepath.Join(s.dir, "layer.tar"), "-C", root, "etc") // for docs/docker.md
	if err := quietly(layer, top); err != nil {
		return err
	}
	other := "arm64"
	if ownArch() == other {
		other = "armhf"
	}
	images := []string{
		"debian/trixie/" + ownArch() + "/default@" + pinnedBuild,
		"alpine/3.22/" + ownArch() + "/default",
		"debian/bookworm/" + ownArch() + "/default",
		"debian/trixie/" + ownArch() + "/cloud",
		"debian/trixie/" + other + "/default",
		"ubuntu/noble/" + ownArch() + "/default",
		"debian/trixie/" + ownArch() + "/default",
	}
	for i, image := range images {
		if i == len(images)-1 { // the one that commands use
			content := make([]byte, size)
			if _, err := rand.Read(content[:size/3]); err != nil { // random bytes can't be compressed
				return err
			}
			if err := os.WriteFile(filepath.Join(root, "usr/bin/data"), content, 0o755); err != nil {
				return err
			}
		}
		image, pinned, _ := strings.Cut(image, "@")
		name := strings.Split(image, "/")
		build := pinned
		if pinned == "" {
			build = time.Now().AddDate(0, 0, i-len(images)).UTC().Format("20060102") + "_05:24"
		}
		text := fmt.Sprintf(createMessage, strings.ToUpper(name[0][:1])+name[0][1:], name[1], name[2], build)
		message := filepath.Join(s.dir, "message")
		if err := os.WriteFile(message, []byte(text), 0o644); err != nil {
			return err
		}
		publish := exec.CommandContext(ctx, program, "--tree", filepath.Join(s.dir, "tree"), "--new-key", "--owner", "0:0",
			"--dist", name[0], "--release", name[1], "--arch", name[2], "--variant", name[3],
			"--build", build, "--meta", "create-message="+message, root)
		if err := quietly(publish, top); err != nil {
			return err
		}
	}
	return nil
}

// serve starts the image server, and the proxy that leads to it. It writes the server's
// certificate authority to ca.crt.
func (s *sandbox) serve() error {
	certificate, err := s.certificate()
	if err != nil {
		return err
	}
	images, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	door, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		images.Close()
		return err
	}
	// The documents name a proxy with a port. An address of this process's own has that
	// port free.
	pid := os.Getpid()
	s.otherProxy = fmt.Sprintf("127.%d.%d.%d", 100+pid>>16&0x7f, pid>>8&0xff, max(1, pid&0xfe))
	otherDoor, err := net.Listen("tcp", s.otherProxy+":3128")
	if err != nil {
		return err
	}
	s.listen = []net.Listener{images, door, otherDoor}
	tree := http.FileServer(http.Dir(filepath.Join(s.dir, "tree")))
	containers, err := newRegistry(s.dir)
	if err != nil {
		return err
	}
	paths := http.NewServeMux()
	paths.Handle("/", tree)
	for _, host := range registries {
		paths.Handle(host+"/", containers)
	}
	paths.Handle("/lxc/", http.StripPrefix("/lxc", tree)) // the path of Turris's server
	server := &http.Server{
		Handler:           paths,
		TLSConfig:         &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12},
		ReadHeaderTimeout: 30 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0),
	}
	go server.ServeTLS(images, "", "")
	connect := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodConnect || !slices.Contains(servers, strings.TrimSuffix(r.Host, ":443")) {
				http.Error(w, "the sandbox has only "+strings.Join(servers, ", "), http.StatusForbidden)
				return
			}
			join(w, images.Addr().String())
		}),
		ReadHeaderTimeout: 30 * time.Second,
	}
	go connect.Serve(door)
	go connect.Serve(otherDoor)
	s.proxy = "http://" + door.Addr().String()
	return nil
}

// join connects a client of the proxy with the server at addr.
func join(w http.ResponseWriter, addr string) {
	server, err := net.Dial("tcp", addr)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer server.Close()
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer client.Close()
	io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n")
	go func() {
		io.Copy(server, buffered)
		server.(*net.TCPConn).CloseWrite()
	}()
	io.Copy(client, server)
}

// certificate makes a certificate authority that signs one certificate, for the image
// server, and writes the authority to ca.crt.
func (s *sandbox) certificate() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(now.UnixNano()),
		Subject:               pkix.Name{CommonName: "sandbox of scripts/docs"},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(24 * time.Hour),
		DNSNames:              servers,
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, err
	}
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := os.WriteFile(filepath.Join(s.dir, "ca.crt"), authority, 0o644); err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
