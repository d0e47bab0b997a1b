package xz

//go:generate go run gen.go

// The probabilities of one LZMA decoder lie in one array, so that the inner
// loop needs one base register. A probability is that of a 0 bit, in 1/2048.
const (
	probBits = 11
	probMove = 5                                     // adaptation: 1/32 of the distance to 0 or 1
	probInit = 1 << 10                               // even odds
	probZero = 1<<32 - 1<<probBits + 1<<probMove - 1 // added to p before the shift when the bit is 0

	numStates    = 12
	maxPosStates = 1 << 4

	// A length decoder.
	lenChoice  = 0
	lenChoice2 = 1
	lenLow     = 2
	lenMid     = lenLow + maxPosStates<<3
	lenHigh    = lenMid + maxPosStates<<3
	lenProbs   = lenHigh + 256

	probMatch    = 0
	probRep0Long = probMatch + numStates*maxPosStates
	probRep      = probRep0Long + numStates*maxPosStates
	probRepG0    = probRep + numStates
	probRepG1    = probRepG0 + numStates
	probRepG2    = probRepG1 + numStates
	probSlot     = probRepG2 + numStates // four trees of six bits, by length
	probSpecial  = probSlot + 4<<6       // the low bits of distances below 128
	probAlign    = probSpecial + 115     // the lowest four bits of the others
	probMatchLen = probAlign + 16
	probRepLen   = probMatchLen + lenProbs
	probLiteral  = probRepLen + lenProbs

	// liblzma and LZMA2 both want lc + lp <= 4: sixteen literal coders.
	maxLcLp  = 4
	numProbs = probLiteral + 0x300<<maxLcLp
)

const (
	// rangeStart is how many bytes set the range coder up.
	rangeStart = 5

	// inputSlack is how far behind its end the input must be readable: a
	// symbol takes 20 bytes at most.
	inputSlack = 32
)

// status is how decode ended.
type status int

const (
	statusMore    status = iota // the window reached stop, or the input its end
	statusMarker                // the end marker was read
	statusTooFar                // a distance reaches behind the dictionary
	statusTooLong               // a match reaches behind the end
)

// lzma is the state of an LZMA decoder: range coder, probabilities, and the
// last four distances (each less one).
type lzma struct {
	rng, code uint32
	state     uint32
	rep       [4]uint32
	lc        uint32
	lpMask    uint32
	pbMask    uint32
	probs     [numProbs]uint16

	// decode keeps its bounds here, to leave registers to the rest.
	stop, end int
	last      limit
}

// setProps takes the properties byte, (pb*5 + lp)*9 + lc.
func (z *lzma) setProps(b byte) bool {
	if b >= 9*5*5 {
		return false
	}
	lc, lp, pb := uint32(b%9), uint32(b/9%5), uint32(b/45)
	if lc+lp > maxLcLp {
		return false
	}
	z.lc, z.lpMask, z.pbMask = lc, 1<<lp-1, 1<<pb-1
	return true
}

// reset forgets everything but the properties.
func (z *lzma) reset() {
	z.state = 0
	z.rep = [4]uint32{}
	used := z.probs[:probLiteral+0x300*(z.lpMask+1)<<z.lc]
	used[0] = probInit
	for n := 1; n < len(used); n *= 2 {
		copy(used[n:], used[:n])
	}
}

// start sets the range coder up with the bytes that begin its data; the
// first is always 0.
func (z *lzma) start(b []byte) bool {
	z.rng = 1<<32 - 1
	z.code = uint32(b[1])<<24 | uint32(b[2])<<16 | uint32(b[3])<<8 | uint32(b[4])
	return b[0] == 0
}

// normalize does what the range coder's encoder has done at the end of the
// data, and returns the new position in the input.
func (z *lzma) normalize(input []byte, at int) int {
	if z.rng < 1<<24 {
		z.rng <<= 8
		z.code = z.code<<8 | uint32(input[at])
		at++
	}
	return at
}
