package measure

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A Cable is a virtual cable between two network namespaces. A server in Far listens at
// Address; the kernel can limit what it sends (tc's token bucket filter).
type Cable struct {
	Near, Far string // the namespaces
	Address   string
	end       string     // the far end's name
	wires     []*os.File // both ends of a cable that delays
}

// NewCable makes two network namespaces and the cable. id makes their names unique, and number,
// up to 255, their addresses.
func NewCable(id string, number int) (*Cable, error) {
	c := newCable(id, number)
	return c, c.connect(id, func(near string) error {
		return command("ip link add " + near + " netns " + c.Near + " type veth peer name " + c.end + " netns " + c.Far)
	})
}

// NewDelayedCable makes a cable on which each packet takes delay. This program carries the packets
// between two TUN devices, because the kernel's way (netem) is missing from many kernels. It
// delays the packets of handshakes, too, and a transfer starts as slowly as on a real line.
func NewDelayedCable(id string, number int, delay time.Duration) (*Cable, error) {
	c := newCable(id, number)
	return c, c.connect(id, func(near string) error {
		for name, space := range map[string]string{near: c.Near, c.end: c.Far} {
			f, err := tun(name)
			if err != nil {
				return fmt.Errorf("tun: %w", err)
			}
			c.wires = append(c.wires, f)
			if err := command("ip link set " + name + " netns " + space + " txqueuelen 20000"); err != nil {
				return err
			}
		}
		go carry(c.wires[0], c.wires[1], delay)
		go carry(c.wires[1], c.wires[0], delay)
		return nil
	})
}

func newCable(id string, number int) *Cable {
	return &Cable{Near: "benchnear" + id, Far: "benchfar" + id, Address: fmt.Sprintf("10.213.%d.1", number), end: "bf" + id}
}

// connect makes the namespaces, calls join for the two ends of the cable in them, and switches
// the ends on.
func (c *Cable) connect(id string, join func(near string) error) error {
	near := "bn" + id
	err := command("ip netns add " + c.Near)
	if err == nil {
		err = command("ip netns add " + c.Far)
	}
	if err == nil {
		err = join(near)
	}
	for _, line := range []string{
		"ip -n " + c.Near + " addr add " + strings.TrimSuffix(c.Address, "1") + "2/24 dev " + near,
		"ip -n " + c.Far + " addr add " + c.Address + "/24 dev " + c.end,
		"ip -n " + c.Near + " link set " + near + " up",
		"ip -n " + c.Far + " link set " + c.end + " up",
	} {
		if err == nil {
			err = command(line)
		}
	}
	if err != nil {
		c.Remove()
	}
	return err
}

// tun makes a TUN device, which is there as long as the file is open.
func tun(name string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	request, err := unix.NewIfreq(name)
	if err == nil {
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil // after TUNSETIFF, or the poller doesn't know it
}

// carry writes the packets that come from one end to the other end, each after delay, until an
// end is closed.
func carry(from, to *os.File, delay time.Duration) {
	type packet struct {
		due  time.Time
		data []byte
	}
	line := make(chan packet, 1<<16)
	go func() {
		defer close(line)
		buffer := make([]byte, 1<<16)
		for {
			n, err := from.Read(buffer)
			if err != nil {
				return
			}
			line <- packet{time.Now().Add(delay), append([]byte(nil), buffer[:n]...)}
		}
	}()
	for p := range line {
		time.Sleep(time.Until(p.due))
		to.Write(p.data) // a packet that can't be written is lost, as on other lines
	}
}

// Remove removes the namespaces, and with them the cable.
func (c *Cable) Remove() {
	for _, f := range c.wires {
		f.Close()
	}
	exec.Command("ip", "netns", "del", c.Near).Run()
	exec.Command("ip", "netns", "del", c.Far).Run()
}

func command(line string) error {
	f := strings.Fields(line)
	if out, err := exec.Command(f[0], f[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %v: %s", line, err, out)
	}
	return nil
}

// Limit limits what the server sends to rate MB per second; 0 removes the limit.
func (c *Cable) Limit(rate float64) error {
	tc := "tc -n " + c.Far + " qdisc "
	exec.Command("tc", "-n", c.Far, "qdisc", "del", "dev", c.end, "root").Run() // it fails if there is none
	if rate == 0 {
		return nil
	}
	latency := 50 // ms of packets that wait; more are lost
	if c.wires != nil {
		latency = 300 // less than a round trip would slow TCP down
	}
	return command(fmt.Sprintf("%s add dev %s root tbf rate %.0fkbit burst 128kb latency %dms", tc, c.end, rate*8000, latency))
}
