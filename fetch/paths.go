package fetch

import (
	"path/filepath"
	"strings"
)

// Paths lists the files of a system that name the name servers and contain CA
// certificates. They are tried in the order of the fields.
type Paths struct {
	// ResolvConf lists files in the format of resolv.conf(5). The first is that of
	// the system.
	ResolvConf []string
	// DNSProxy is the socket of the DNS proxy of Android's netd. It is used only if
	// Properties exists, which shows that the system is Android.
	DNSProxy   string
	Properties string
	// LateResolvConf lists files in the format of resolv.conf(5) that are tried last.
	LateResolvConf []string

	// Stores lists stores of CA certificates. The first that contains a certificate
	// is used; if none does, the certificates embedded in the program are used.
	Stores []Store
}

// A Store is a set of files with CA certificates in PEM form.
type Store struct {
	Name  string   // returned by Client.Trust
	Files []string // only the first readable file is used
	Dirs  []string // every file in these directories is used
	// Must says that the user chose this store. If it has no certificate, the next
	// stores are not tried, since the user did not ask to trust them. It is then an
	// error unless TLSOptions.CACerts has files.
	Must bool
}

// SystemPaths returns the usual Paths of Linux, Termux, Android and OpenWrt. getenv
// returns environment variables, as os.Getenv does: SSL_CERT_FILE and SSL_CERT_DIR
// (of OpenSSL, used as in crypto/x509) and PREFIX (of Termux).
func SystemPaths(getenv func(string) string) *Paths {
	p := &Paths{
		ResolvConf: []string{"/etc/resolv.conf"},
		DNSProxy:   "/dev/socket/dnsproxyd",
		Properties: "/dev/__properties__",
		// OpenWrt's since 21.02, if dnsmasq is off, and before 21.02; and what the kernel writes for
		// ip=dhcp (nfsroot.txt).
		LateResolvConf: strings.Fields("/tmp/resolv.conf.d/resolv.conf.auto /tmp/resolv.conf.auto /proc/net/pnp"),
	}
	file, dir := getenv("SSL_CERT_FILE"), getenv("SSL_CERT_DIR")
	if file != "" || dir != "" {
		s := Store{Name: "SSL_CERT_FILE and SSL_CERT_DIR", Must: true, Dirs: filepath.SplitList(dir)}
		if file != "" {
			s.Files = []string{file}
		}
		p.Stores = append(p.Stores, s)
	}
	p.Stores = append(p.Stores, Store{
		Name: "the system",
		// The files that crypto/x509 uses on Linux.
		Files: strings.Fields(`
			/etc/ssl/certs/ca-certificates.crt
			/etc/pki/tls/certs/ca-bundle.crt
			/etc/ssl/ca-bundle.pem
			/etc/pki/tls/cacert.pem
			/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem
			/etc/ssl/cert.pem`),
		Dirs: strings.Fields("/etc/ssl/certs /etc/pki/tls/certs"),
	})
	if prefix := getenv("PREFIX"); len(prefix) > 1 && prefix[0] == '/' {
		p.ResolvConf = append(p.ResolvConf, prefix+"/etc/resolv.conf")
		p.Stores = append(p.Stores, Store{Name: "Termux", Files: []string{prefix + "/etc/tls/cert.pem"}})
	}
	const added = "/data/misc/keychain/certs-added" // added by the owner of the device
	p.Stores = append(p.Stores,
		Store{Name: "Android", Dirs: []string{"/apex/com.android.conscrypt/cacerts", added}}, // Android 14 and later
		Store{Name: "Android", Dirs: []string{"/system/etc/security/cacerts", added}},
	)
	return p
}
