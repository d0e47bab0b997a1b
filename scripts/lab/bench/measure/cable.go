package measure

import (
	"fmt"
	"os/exec"
	"strings"
)

// A Cable is a virtual cable between two network namespaces. A server in Far listens at
// Address; the kernel can limit what it sends (tc's token bucket filter).
type Cable struct {
	Near, Far string // the namespaces
	Address   string
	end       string // the far end's name
}

// NewCable makes two network namespaces and the cable. id makes their names unique, and number,
// up to 255, their addresses.
func NewCable(id string, number int) (*Cable, error) {
	net := fmt.Sprintf("10.213.%d.", number)
	c := &Cable{Near: "benchnear" + id, Far: "benchfar" + id, Address: net + "1", end: "bf" + id}
	for _, line := range []string{
		"ip netns add " + c.Near,
		"ip netns add " + c.Far,
		"ip link add bn" + id + " netns " + c.Near + " type veth peer name " + c.end + " netns " + c.Far,
		"ip -n " + c.Near + " addr add " + net + "2/24 dev bn" + id,
		"ip -n " + c.Far + " addr add " + c.Address + "/24 dev " + c.end,
		"ip -n " + c.Near + " link set bn" + id + " up",
		"ip -n " + c.Far + " link set " + c.end + " up",
	} {
		if err := command(line); err != nil {
			c.Remove()
			return nil, err
		}
	}
	return c, nil
}

// Remove removes the namespaces, and with them the cable.
func (c *Cable) Remove() {
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
	return command(fmt.Sprintf("%s add dev %s root tbf rate %.0fkbit burst 128kb latency 50ms", tc, c.end, rate*8000))
}
