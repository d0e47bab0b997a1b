package fetch

import "path/filepath"

// Paths are the places of a system where name servers and certificates are
// found. The order in which they are tried is that of the fields.
type Paths struct {
	// Name servers: resolv.conf(5) files. The first is the system's own.
	ResolvConf []string
	// Android's resolver: the socket of netd's DNS proxy, asked only where
	// Properties exists, which says that this is Android.
	DNSProxy   string
	Properties string
	// Files in resolv.conf's form that are tried last.
	LateResolvConf []string

	// Certificates: the first store that holds one is used. The embedded
	// roots follow when none does.
	Stores []Store
}

// A Store is one place of CA certificates in PEM form.
type Store struct {
	Name  string   // what Client.Trust says
	Files []string // the first that can be read counts
	Dirs  []string // every file in them counts
	// Must says that the user named this store: when it has no certificate, the
	// stores after it are not tried, for to trust more than was asked for would
	// be worse. It is an error unless there are Options.CACerts.
	Must bool
}

// SystemPaths returns the usual places. getenv is asked for SSL_CERT_FILE and
// SSL_CERT_DIR (OpenSSL's, as in crypto/x509) and PREFIX (Termux's).
func SystemPaths(getenv func(string) string) *Paths {
	p := &Paths{
		ResolvConf: []string{"/etc/resolv.conf"},
		DNSProxy:   "/dev/socket/dnsproxyd",
		Properties: "/dev/__properties__",
		LateResolvConf: []string{
			"/tmp/resolv.conf.d/resolv.conf.auto", // OpenWrt since 21.02, where dnsmasq is off
			"/tmp/resolv.conf.auto",               // OpenWrt before
			"/proc/net/pnp",                       // the kernel's own, of ip=dhcp (nfsroot.txt)
		},
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
		// As crypto/x509 looks for them on Linux.
		Files: []string{
			"/etc/ssl/certs/ca-certificates.crt",
			"/etc/pki/tls/certs/ca-bundle.crt",
			"/etc/ssl/ca-bundle.pem",
			"/etc/pki/tls/cacert.pem",
			"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
			"/etc/ssl/cert.pem",
		},
		Dirs: []string{"/etc/ssl/certs", "/etc/pki/tls/certs"},
	})
	if prefix := getenv("PREFIX"); len(prefix) > 1 && prefix[0] == '/' {
		p.ResolvConf = append(p.ResolvConf, prefix+"/etc/resolv.conf")
		p.Stores = append(p.Stores, Store{Name: "Termux", Files: []string{prefix + "/etc/tls/cert.pem"}})
	}
	const added = "/data/misc/keychain/certs-added" // by the owner of the device
	p.Stores = append(p.Stores,
		Store{Name: "Android", Dirs: []string{"/apex/com.android.conscrypt/cacerts", added}}, // Android 14 and later
		Store{Name: "Android", Dirs: []string{"/system/etc/security/cacerts", added}},
	)
	return p
}
