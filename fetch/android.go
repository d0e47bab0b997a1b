package fetch

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"
)

// Android has no resolv.conf, and since Android 8 no property that tells an app the
// name servers. Programs ask the daemon netd over a socket, with one command per
// connection, as bionic's libc does (bionic/libc/dns/net/getaddrinfo.c,
// packages/modules/DnsResolver/DnsProxyListener.cpp):
//
//	resnsend NETID FLAGS BASE64\0     (a DNS message; Android 10 and later)
//	getaddrinfo NAME SERVICE FLAGS FAMILY SOCKTYPE PROTOCOL NETID\0     (all versions)
//
// NETID 0 is the default network of the process. Go's resolver gets a connection
// that looks like DNS over TCP, and androidConn translates it to these commands.

const (
	maxAndroidCommand = 1024    // size of netd's buffer, with the final NUL
	maxAndroidAnswer  = 8 << 10 // netd's MAXPACKET
	maxAndroidRecords = 64      // addresses of one name
)

// askAndroid returns a resolver that asks netd over the given socket.
func askAndroid(socket string) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return &androidConn{socket: socket}, nil
	}}
}

// An androidConn carries one question to netd and the answer, framed as DNS over
// TCP (RFC 7766, 8): a length of two bytes, then a message. It connects to netd when
// the question is complete, since each command needs its own connection.
type androidConn struct {
	net.Conn // nil before that; until then only the methods below are called
	socket   string
	deadline time.Time
	question []byte
	answer   []byte
}

// SetDeadline is called by Go's resolver before the question is written.
func (c *androidConn) SetDeadline(t time.Time) error {
	c.deadline = t
	return nil
}

func (c *androidConn) Write(p []byte) (int, error) {
	c.question = append(c.question, p...)
	if len(c.question) < 2 {
		return len(p), nil
	}
	n := int(binary.BigEndian.Uint16(c.question))
	if len(c.question)-2 < n {
		return len(p), nil
	}
	message := c.question[2 : 2+n]
	answer, err := c.resnsend(message)
	if errors.Is(err, errUnknownCommand) {
		answer, err = c.getaddrinfo(message)
	}
	if err != nil {
		return 0, err
	}
	if len(answer) >= 2 {
		copy(answer, message[:2]) // netd sends its own message ID
	}
	c.question = nil
	c.answer = append(binary.BigEndian.AppendUint16(c.answer, uint16(len(answer))), answer...)
	return len(p), nil
}

func (c *androidConn) Read(p []byte) (int, error) {
	if len(c.answer) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.answer)
	c.answer = c.answer[n:]
	return n, nil
}

func (c *androidConn) Close() error {
	if c.Conn == nil {
		return nil
	}
	return c.Conn.Close()
}

// errUnknownCommand means that netd sent a text ("500 Command not recognized")
// instead of a number.
var errUnknownCommand = errors.New("netd does not know the command")

// send sends a command over a new connection.
func (c *androidConn) send(command string) error {
	if len(command)+1 > maxAndroidCommand {
		return errors.New("the host name is too long for netd")
	}
	c.Close()
	conn, err := net.Dial("unix", c.socket)
	if err != nil {
		return err
	}
	c.Conn = conn
	conn.SetDeadline(c.deadline)
	_, err = conn.Write(append([]byte(command), 0))
	return err
}

// number reads a number of four bytes.
func (c *androidConn) number() (int32, error) {
	var b [4]byte
	_, err := io.ReadFull(c.Conn, b[:])
	return int32(binary.BigEndian.Uint32(b[:])), err
}

// data reads a length and then a value of this length.
func (c *androidConn) data() ([]byte, error) {
	n, err := c.number()
	if err != nil {
		return nil, err
	}
	if n < 0 || n > maxAndroidAnswer {
		return nil, fmt.Errorf("netd announces an answer of %d bytes", n)
	}
	b := make([]byte, n)
	_, err = io.ReadFull(c.Conn, b)
	return b, err
}

// resnsend sends the DNS message to netd. The answer is a number (a negative errno,
// or the DNS response code), followed by the DNS response.
func (c *androidConn) resnsend(message []byte) ([]byte, error) {
	if err := c.send("resnsend 0 0 " + base64.StdEncoding.EncodeToString(message)); err != nil {
		return nil, err
	}
	n, err := c.number()
	switch {
	case err != nil:
		// An old netd may also close the connection.
		return nil, errUnknownCommand
	case n < 0:
		return nil, fmt.Errorf("netd: %w", syscall.Errno(-n))
	case n > 0xffff:
		return nil, errUnknownCommand
	}
	return c.data()
}

// getaddrinfo asks netd for the addresses of the name in message, and returns them
// as a DNS response.
func (c *androidConn) getaddrinfo(message []byte) ([]byte, error) {
	name, kind, end, err := question(message)
	if err != nil {
		return nil, err
	}
	family := syscall.AF_INET
	if kind == typeAAAA {
		family = syscall.AF_INET6
	}
	// netd's FrameworkListener splits the command at spaces and interprets quotes.
	if strings.ContainsAny(name, " \n\r\t^'\"\\\x00") || name == "" {
		return nil, fmt.Errorf("netd can't look up the name %q", name)
	}
	const noFlags, stream, anyProtocol, network = 0, syscall.SOCK_STREAM, 0, 0
	if err := c.send(fmt.Sprintf("getaddrinfo %s ^ %d %d %d %d %d", name, noFlags, family, stream, anyProtocol, network)); err != nil {
		return nil, err
	}
	var code [4]byte
	if _, err := io.ReadFull(c.Conn, code[:]); err != nil {
		return nil, err
	}
	var addresses []netip.Addr
	if string(code[:3]) == "222" { // ResponseCode::DnsProxyQueryResult
		if addresses, err = c.addresses(); err != nil {
			return nil, err
		}
	}
	return reply(message[:end], kind, addresses), nil
}

// addresses reads the list of addrinfo that follows code 222. Each entry has a
// number that is 0 at the end of the list, flags, family, type and protocol, and then
// the sockaddr and the canonical name, each preceded by its length.
func (c *androidConn) addresses() ([]netip.Addr, error) {
	var list []netip.Addr
	for range maxAndroidRecords {
		more, err := c.number()
		if err != nil || more == 0 {
			return list, err
		}
		var fields [4]int32
		for i := range fields {
			if fields[i], err = c.number(); err != nil {
				return nil, err
			}
		}
		sockaddr, err := c.data()
		if err != nil {
			return nil, err
		}
		if _, err := c.data(); err != nil {
			return nil, err
		}
		// struct sockaddr_in has the family, the port and the address. sockaddr_in6
		// has four bytes of flow label before the address.
		switch {
		case fields[1] == syscall.AF_INET && len(sockaddr) >= 8:
			list = append(list, netip.AddrFrom4([4]byte(sockaddr[4:8])))
		case fields[1] == syscall.AF_INET6 && len(sockaddr) >= 24:
			list = append(list, netip.AddrFrom16([16]byte(sockaddr[8:24])))
		}
	}
	return list, nil
}

const (
	typeA    = 1
	typeAAAA = 28
	// answerTTL has no effect, since Go's resolver has no cache.
	answerTTL = 60
)

// question parses a DNS message with one question (RFC 1035, 4.1). It returns the
// name, the type, and the offset at which the question ends.
func question(m []byte) (name string, kind uint16, end int, err error) {
	malformed := errors.New("malformed DNS question")
	if len(m) < 12 || binary.BigEndian.Uint16(m[4:]) != 1 {
		return "", 0, 0, malformed
	}
	var labels []string
	at := 12
	for {
		if at >= len(m) {
			return "", 0, 0, malformed
		}
		n := int(m[at])
		at++
		if n == 0 {
			break
		}
		if n > 63 || at+n > len(m) {
			return "", 0, 0, malformed
		}
		labels = append(labels, string(m[at:at+n]))
		at += n
	}
	if at+4 > len(m) {
		return "", 0, 0, malformed
	}
	return strings.Join(labels, "."), binary.BigEndian.Uint16(m[at:]), at + 4, nil
}

// reply returns a DNS response with the addresses of one type. asked has the header
// and the question of the request.
func reply(asked []byte, kind uint16, addresses []netip.Addr) []byte {
	m := append([]byte(nil), asked...)
	m[2], m[3] = 0x81, 0x80 // flags: response, recursion desired, recursion available
	clear(m[6:12])
	records := uint16(0)
	for _, a := range addresses {
		if a.Is4() != (kind == typeA) {
			continue
		}
		m = append(m, 0xc0, 12) // a pointer to the name in the question
		m = binary.BigEndian.AppendUint16(m, kind)
		m = append(m, 0, 1) // class IN
		m = binary.BigEndian.AppendUint32(m, answerTTL)
		m = binary.BigEndian.AppendUint16(m, uint16(a.BitLen()/8))
		m = append(m, a.AsSlice()...)
		records++
	}
	binary.BigEndian.PutUint16(m[6:], records)
	return m
}
