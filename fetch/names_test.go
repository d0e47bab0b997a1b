package fetch

import (
	"bufio"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// netd starts a server that answers on a socket like Android's netd, and returns the
// path of the socket. It knows getaddrinfo, and resnsend if modern is true. The host
// device.test has the addresses 192.0.2.7 and 2001:db8::7.
func netd(t *testing.T, modern bool) string {
	t.Helper()
	// The path must be short, since sun_path has 108 bytes.
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "dnsproxyd")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				command, err := bufio.NewReader(conn).ReadString(0)
				if err == nil {
					conn.Write(netdAnswer(strings.Fields(strings.TrimSuffix(command, "\x00")), modern))
				}
			}()
		}
	}()
	return socket
}

func netdAnswer(words []string, modern bool) []byte {
	v4, v6 := netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("2001:db8::7")
	number := func(b []byte, n int) []byte { return binary.BigEndian.AppendUint32(b, uint32(n)) }
	switch {
	case words[0] == "resnsend" && modern:
		message, err := base64.StdEncoding.DecodeString(words[3])
		if err != nil {
			return number(nil, -84)
		}
		name, kind, end, err := question(message)
		if err != nil {
			return number(nil, -22)
		}
		var list []netip.Addr
		rcode := 3
		if name == "device.test" {
			list, rcode = []netip.Addr{v4, v6}, 0
		}
		m := reply(message[:end], kind, list)
		m[3] |= byte(rcode)
		return append(number(number(nil, rcode), len(m)), m...)
	case words[0] == "getaddrinfo" && len(words) == 8:
		if words[1] != "device.test" {
			return number([]byte("401\x00"), 0)
		}
		b := []byte("222\x00")
		for _, a := range []netip.Addr{v4, v6} {
			family, sockaddr := 2, append(make([]byte, 4), a.AsSlice()...)
			if a.Is6() {
				family, sockaddr = 10, append(append(make([]byte, 8), a.AsSlice()...), 0, 0, 0, 0)
			}
			if fmt.Sprint(family) != words[4] {
				continue
			}
			for _, n := range []int{1, 0, family, 1, 6, len(sockaddr)} {
				b = number(b, n)
			}
			b = append(number(append(b, sockaddr...), 5), "name\x00"...)
		}
		return number(b, 0)
	}
	return []byte("500 Command not recognized\x00")
}

func TestAndroid(t *testing.T) {
	for _, modern := range []bool{true, false} {
		t.Run(fmt.Sprintf("modern=%v", modern), func(t *testing.T) {
			r := askAndroid(netd(t, modern))
			got, err := r.LookupNetIP(t.Context(), "ip", "device.test")
			if err != nil {
				t.Fatal(err)
			}
			if s := fmt.Sprint(got); s != "[192.0.2.7 2001:db8::7]" && s != "[2001:db8::7 192.0.2.7]" {
				t.Errorf("addresses %s", s)
			}
			_, err = r.LookupNetIP(t.Context(), "ip", "nobody.test")
			var dns *net.DNSError
			if !errors.As(err, &dns) || !dns.IsNotFound {
				t.Errorf("an unknown name: %v", err)
			}
		})
	}
}

func TestQuestion(t *testing.T) {
	good := "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01\x01a\x04test\x00\x00\x1c\x00\x01rest"
	if name, kind, end, err := question([]byte(good)); name != "a.test" || kind != typeAAAA || end != len(good)-4 || err != nil {
		t.Errorf("question = %q, %d, %d, %v", name, kind, end, err)
	}
	for n := range len(good) - 4 {
		if _, _, _, err := question([]byte(good[:n])); err == nil {
			t.Errorf("the first %d bytes are a question too", n)
		}
	}
	if _, _, _, err := question([]byte(good[:12] + "\xc0\x0c\x00\x00\x01\x00\x01")); err == nil {
		t.Error("a compressed name in a question is accepted")
	}
}

// write makes files in a temporary directory and returns the path of the directory.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestNameServerOrder(t *testing.T) {
	socket := netd(t, true)
	dir := write(t, map[string]string{
		"full":   "# a comment\nsearch x\nnameserver 192.0.2.1\nnameserver fe80::1%eth0\nnameserver nonsense\n",
		"empty":  "# nobody\nnameserver\nnameserver 0.0.0.0\n",
		"late":   "nameserver 192.0.2.2",
		"marker": "",
	})
	at := func(name string) string { return filepath.Join(dir, name) }
	tests := []struct {
		name    string
		servers []string
		paths   Paths
		want    string
	}{
		{"given", []string{"192.0.2.3:53"}, Paths{ResolvConf: []string{at("full")}}, "the given name servers"},
		{"first", nil, Paths{ResolvConf: []string{at("full"), at("late")}}, at("full")},
		{"second", nil, Paths{ResolvConf: []string{at("empty"), at("absent"), at("late")}}, at("late")},
		{"Android", nil, Paths{ResolvConf: []string{at("empty")}, DNSProxy: socket, Properties: at("marker"), LateResolvConf: []string{at("late")}}, socket},
		{"a socket, but not Android", nil, Paths{DNSProxy: socket, Properties: at("absent"), LateResolvConf: []string{at("late")}}, at("late")},
		{"Android without a socket", nil, Paths{DNSProxy: at("absent"), Properties: at("marker"), LateResolvConf: []string{at("late")}}, at("late")},
		{"late", nil, Paths{ResolvConf: []string{at("absent")}, LateResolvConf: []string{at("empty"), at("late")}}, at("late")},
		{"nothing", nil, Paths{ResolvConf: []string{at("absent")}, LateResolvConf: []string{at("empty")}}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := newResolver(test.servers, &test.paths).source; got != test.want {
				t.Errorf("asks %q, want %q", got, test.want)
			}
		})
	}
	if got, want := fmt.Sprint(nameServersIn(at("full"))), "[192.0.2.1:53 [fe80::1%eth0]:53]"; got != want {
		t.Errorf("name servers %s, want %s", got, want)
	}
}

func TestNoNameServers(t *testing.T) {
	again := func(e Event) { t.Errorf("asked again: %+v", e) }
	c := newClient(t, Options{Report: ReportOptions{Notify: again}, Paths: &Paths{ResolvConf: []string{"/nowhere/resolv.conf"}, LateResolvConf: []string{"/nowhere/pnp"}}})
	_, err := c.Get(t.Context(), "http://images.test/x", 10)
	if kindOf(err) != KindDNS || !strings.HasSuffix(err.Error(), "no address for the host name: no name server found (looked for one in /nowhere/resolv.conf, /nowhere/pnp)") {
		t.Errorf("error %v, want one of DNS that names the places", err)
	}
}

func TestNameServerAddress(t *testing.T) {
	for given, want := range map[string]string{
		"192.0.2.1": "192.0.2.1:53", "192.0.2.1:5353": "192.0.2.1:5353", "2001:db8::1": "[2001:db8::1]:53",
		"[2001:db8::1]:5": "[2001:db8::1]:5", "dns.test": "", "": "", "192.0.2.1:x": "",
	} {
		if got, err := nameServer(given); got != want || (err != nil) != (want == "") {
			t.Errorf("nameServer(%q) = %q, %v, want %q", given, got, err, want)
		}
	}
}

// TestDNS resolves names with a name server on loopback and with
// AddressOptions.Resolve.
func TestDNS(t *testing.T) {
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		b := make([]byte, 1500)
		for {
			n, from, err := l.ReadFrom(b)
			if err != nil {
				return
			}
			if _, kind, end, err := question(b[:n]); err == nil {
				l.WriteTo(reply(b[:end], kind, []netip.Addr{netip.MustParseAddr("127.0.0.1")}), from)
			}
		}
	}()
	s := newServer(t, []byte("hello"))
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	for name, opt := range map[string]AddressOptions{
		"DNS":           {DNS: []string{l.LocalAddr().String()}},
		"Resolve":       {Resolve: map[string][]string{"images.test": {"127.0.0.1"}}},
		"second":        {Resolve: map[string][]string{"images.test": {"256.0.0.1", "127.0.0.1"}}},
		"IPv4Only":      {IPv4Only: true, Resolve: map[string][]string{"images.test": {"::1", "127.0.0.1"}}},
		"DNS, IPv4Only": {IPv4Only: true, DNS: []string{l.LocalAddr().String()}},
	} {
		got, err := newClient(t, Options{Address: opt}).Get(t.Context(), "http://Images.test:"+port+"/", 10)
		if err != nil || string(got) != "hello" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	c := newClient(t, Options{Address: AddressOptions{IPv6Only: true, Resolve: map[string][]string{"images.test": {"127.0.0.1"}}}})
	if _, err := c.Get(t.Context(), "http://images.test:"+port+"/", 10); err == nil {
		t.Error("IPv6Only connects to an IPv4 address")
	}
	if _, err := NewClient(Options{Address: AddressOptions{DNS: []string{"dns.test"}}}); err == nil {
		t.Error("a host name is accepted as the address of a name server")
	}
	if _, err := NewClient(Options{Address: AddressOptions{IPv4Only: true, IPv6Only: true}}); err == nil {
		t.Error("IPv4Only and IPv6Only at once are accepted")
	}
}
