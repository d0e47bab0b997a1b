package measure

import "fmt"

// Missed is the exit status of a benchmark that ran and missed a goal. Failures have other ones.
const Missed = 3

// Goals prints a program's goals, a line each, and remembers whether one is missed. All programs
// print the same columns, so that bench/run can collect the lines.
type Goals struct {
	begun, missed bool
}

const goalLine = "%-4s  %-56s %11s %11s %7s %7s  %s\n"

// Ratio prints a goal for the ratio of ours to peer's; both have the same unit.
func (g *Goals) Ratio(name, unit string, ours, peer, most float64) {
	g.print(name, Figure(ours)+" "+unit, Figure(peer)+" "+unit, ours/peer, most)
}

// Limit prints a goal for an amount that is compared with no other program's.
func (g *Goals) Limit(name, unit string, ours, most float64) {
	g.print(name, Figure(ours)+" "+unit, "", ours, most)
}

func (g *Goals) print(name, ours, peer string, have, most float64) {
	if !g.begun {
		fmt.Printf("\n"+goalLine, "", "", "ours", "peer", "ratio", "at most", "")
		g.begun = true
	}
	word, ratio := "met", "-"
	if !(have <= most) { // a NaN is missed, too
		word, g.missed = "MISSED", true
	}
	if peer == "" {
		peer = "-"
	} else {
		ratio = fmt.Sprintf("%.2f", have)
	}
	fmt.Printf(goalLine, "goal", name, ours, peer, ratio, fmt.Sprintf("%.4g", most), word)
}

// Missed reports whether a goal was missed.
func (g *Goals) Missed() bool { return g.missed }

// Figure writes v with about three digits, and no exponent.
func Figure(v float64) string {
	switch {
	case v < 0.1 && v > 0:
		return fmt.Sprintf("%.3f", v)
	case v < 10:
		return fmt.Sprintf("%.2f", v)
	case v < 100:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}
