// Command dnsproxyd stands in for Android's netd: it serves the socket through which
// Android's programs resolve names.
//
//	dnsproxyd [--old] SOCKET NAME ADDRESS
//
// It knows one name with one IPv4 address. It answers the command resnsend of Android
// 10 and later; with --old it answers only getaddrinfo, the command of earlier
// versions. It prints a line for each command: the command and the requested name. The
// protocol is that of DnsProxyListener.cpp and bionic's getaddrinfo.c.
package main

import (
	"bufio"
	"encoding/base64"
	"encoding/binary"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"
)

func main() {
	old := flag.Bool("old", false, "answer only the command getaddrinfo")
	flag.Parse()
	address, err := netip.ParseAddr(flag.Arg(2))
	if flag.NArg() != 3 || err != nil || !address.Is4() {
		fmt.Fprintln(os.Stderr, "usage: dnsproxyd [--old] SOCKET NAME IPV4-ADDRESS")
		os.Exit(2)
	}
	d := daemon{*old, flag.Arg(1), address}
	err = d.serve(flag.Arg(0))
	fmt.Fprintf(os.Stderr, "dnsproxyd: %v\n", err)
	os.Exit(1)
}

// A daemon knows one name.
type daemon struct {
	old     bool
	name    string
	address netip.Addr
}

// serve answers one command per connection, as netd does. It returns only on an error.
func (d daemon) serve(socket string) error {
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(30 * time.Second))
			command, err := bufio.NewReader(conn).ReadString(0)
			if err != nil {
				return // a connection that only tests whether the socket is served
			}
			conn.Write(d.answer(strings.Fields(strings.TrimSuffix(command, "\x00"))))
		}()
	}
}

// notRecognized is netd's answer to an unknown command.
var notRecognized = []byte("500 0 Command not recognized\x00")

func (d daemon) answer(words []string) []byte {
	switch {
	case len(words) == 4 && words[0] == "resnsend" && !d.old:
		return d.resnsend(words[3])
	case len(words) == 8 && words[0] == "getaddrinfo":
		return d.getaddrinfo(words[1], words[4])
	}
	return notRecognized
}

// The types of records (RFC 1035, 3.2.2) and address families that are known.
const (
	typeA  = 1
	inet   = "2" // AF_INET
	stream = 1   // SOCK_STREAM
)

// resnsend answers a DNS message in base64: a response code, a length, a message.
func (d daemon) resnsend(text string) []byte {
	const nameError = 3
	message, err := base64.StdEncoding.DecodeString(text)
	name, kind, end := question(message)
	if err != nil || name == "" {
		return binary.BigEndian.AppendUint32(nil, ^uint32(22)+1) // -EINVAL
	}
	fmt.Println("resnsend", name)
	code := uint32(0)
	if name != d.name {
		code = nameError
	}
	reply := append([]byte(nil), message[:end]...)
	reply[2], reply[3] = 0x81, 0x80|byte(code)
	clear(reply[6:12])
	if code == 0 && kind == typeA {
		reply[7] = 1
		reply = append(reply, 0xc0, 12, 0, typeA, 0, 1, 0, 0, 0, 60, 0, 4)
		reply = append(reply, d.address.AsSlice()...)
	}
	out := binary.BigEndian.AppendUint32(nil, code)
	out = binary.BigEndian.AppendUint32(out, uint32(len(reply)))
	return append(out, reply...)
}

// question returns the first question of a DNS message, and where it ends.
func question(m []byte) (name string, kind uint16, end int) {
	var labels []string
	for at := 12; at < len(m); {
		n := int(m[at])
		at++
		if n == 0 && at+4 <= len(m) {
			return strings.Join(labels, "."), binary.BigEndian.Uint16(m[at:]), at + 4
		}
		if n == 0 || n > 63 || at+n > len(m) {
			break
		}
		labels = append(labels, string(m[at:at+n]))
		at += n
	}
	return "", 0, 0
}

// getaddrinfo answers with the code 222 and a list of struct addrinfo, with a 1 before
// each and a 0 after the last; or with the code of an error.
func (d daemon) getaddrinfo(name, family string) []byte {
	fmt.Println("getaddrinfo", name)
	if name != d.name || family != inet {
		return []byte("401 0\x00") // ResponseCode::OperationFailed
	}
	out := []byte("222\x00")
	number := func(n uint32) { out = binary.BigEndian.AppendUint32(out, n) }
	number(1)
	for _, field := range []uint32{0, 2, stream, 6} { // flags, family, type, protocol
		number(field)
	}
	const sockaddr = 16 // struct sockaddr_in
	number(sockaddr)
	out = append(out, 2, 0, 0, 0)
	out = append(out, d.address.AsSlice()...)
	out = append(out, make([]byte, sockaddr-8)...)
	number(0) // no canonical name
	number(0) // no more
	return out
}
