package xz

//go:generate go run gen.go

// All probabilities of an LZMA decoder are in one array, so that the inner loop needs only
// one base register. Each is the probability that a bit is 0, in units of 1/2048. The
// constants prob... are indices into the array.
const (
	probBits = 11
	probMove = 5                                     // adaptation: 1/32 of the distance to 0 or 1
	probInit = 1 << 10                               // even odds
	probZero = 1<<32 - 1<<probBits + 1<<probMove - 1 // added to p before the shift when the bit is 0

	numStates    = 12
	maxPosStates = 1 << 4

	// Indices into the probabilities of a length decoder.
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

	// liblzma and LZMA2 both require lc + lp <= 4: at most sixteen literal coders.
	maxLcLp  = 4
	numProbs = probLiteral + 0x300<<maxLcLp
)

const (
	// rangeStart is how many bytes initialise the range coder.
	rangeStart = 5

	// inputSlack is how many bytes after the end of the input must be readable. A symbol
	// takes at most 20 bytes.
	inputSlack = 32
)

// status says why decode returned.
type status int

const (
	statusMore    status = iota // the window reached stop, or the input its end
	statusMarker                // the end marker was read
	statusTooFar                // a match refers to bytes before the dictionary
	statusTooLong               // a match is longer than the content may become
)

// bounds are what decode may read and write: offsets in the input and in the window.
type bounds struct {
	inPos, inEnd int // decode begins at inPos, and no symbol begins after inEnd
	stop         int // no symbol begins at stop or after
	end          int // no match may reach beyond end
}

// lzma is the state of an LZMA decoder: range coder, probabilities, and the last four
// distances, each less 1. The field state is LZMA's: the kinds of the last symbols.
type lzma struct {
	rng, code uint32
	state     uint32
	rep       [4]uint32
	lc        uint32
	lpMask    uint32
	pbMask    uint32
	probs     [numProbs]uint16

	// decode keeps its bounds in memory, since the registers are needed for the rest.
	stop, end int
	last      limit
}

// setProps sets the properties from their byte, (pb*5 + lp)*9 + lc. It returns false for a
// byte that is not valid.
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

// reset resets the state and the probabilities in use. The properties stay.
func (z *lzma) reset() {
	z.state = 0
	z.rep = [4]uint32{}
	used := z.probs[:probLiteral+0x300*(z.lpMask+1)<<z.lc]
	used[0] = probInit
	for n := 1; n < len(used); n *= 2 {
		copy(used[n:], used[:n])
	}
}

// start initialises the range coder with the first rangeStart bytes of its data. It returns
// false if the first byte is not 0.
func (z *lzma) start(b []byte) bool {
	z.rng = 1<<32 - 1
	z.code = uint32(b[1])<<24 | uint32(b[2])<<16 | uint32(b[3])<<8 | uint32(b[4])
	return b[0] == 0
}

// normalize refills the range coder at the end of the data, as the encoder did, and returns
// the new position in the input.
func (z *lzma) normalize(input []byte, at int) int {
	if z.rng < 1<<24 {
		z.rng <<= 8
		z.code = z.code<<8 | uint32(input[at])
		at++
	}
	return at
}
