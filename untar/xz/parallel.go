package xz

import "sync"

// jobs are the blocks that workers decode at the same time. The Reader's caller reads the
// compressed bytes of one block after the other; one goroutine per block decodes, and it
// starts with the first bytes that are read. The content of the first block is returned
// while it is being decoded.
//
// There are as many windows as workers. One block more may be read ahead, so that a
// worker that becomes free finds its input; that block has no window yet.
//
// Compressed bytes are held in pieces. A piece whose bytes are decoded holds later bytes of
// the file next, so that all blocks together need about the compressed bytes of one.
type jobs struct {
	workers int
	memory  int64 // how many bytes may be mapped
	thrifty int64 // from how many mapped bytes on pages of content are given back
	used    int64 // how many bytes are mapped

	filling *job     // the last job of queue while its bytes are being read; else nil
	queue   []*job   // in the order of the file
	idle    []*job   // finished jobs; their windows are kept for new ones
	free    [][]byte // mapped pieces that hold nothing
}

// A job is one block that a goroutine decodes. The window holds all of the block's
// content, so no other dictionary is needed.
type job struct {
	header blockHeader
	check  checkType
	need   int     // how many bytes follow the block header: compressed data, padding, check
	cost   int64   // the memory that they may take, in bytes
	src    *source // reads them from the job
	block  block
	window window

	// Only the Reader's caller uses these.
	needsWindow bool // the goroutine is not started before the job has a window
	taken       int  // bytes of content that take has returned
	given       int  // bytes of content whose pages were given back

	state struct { // shared by the caller and the goroutine
		sync.Mutex
		changed  sync.Cond
		pieces   [][]byte // the bytes from used on, and room for more; all but the last piece are full
		spent    [][]byte // pieces whose bytes are used up
		have     int      // bytes read so far
		used     int      // bytes that the decoder has got
		cut      error    // why no more bytes will come
		ready    int      // bytes of content that take may return
		finished bool
		err      error // the result, once finished is set
		stopped  bool  // the caller wants no more; the goroutine is to end
	}
}

const (
	// takeSize is the most that take returns at a time, in bytes: the Reader reads the
	// file and returns content in turns.
	takeSize = step

	// maxPiece and minPiece limit the size of a piece, in bytes.
	maxPiece = 256 << 10
	minPiece = 4 << 10

	// maxAhead is how many compressed bytes of a block may wait for a decoder that works
	// beside another one. A decoder needs 50 ms or more for them.
	maxAhead = 2 << 20

	// thriftyWorker is jobs.thrifty for each worker: a block of xz -6 has 24 MiB of
	// content and about 6 MiB of compressed bytes. To give back a window whole, again and
	// again, took 5 % more CPU time, since the kernel clears every page before its next use.
	thriftyWorker = 27 << 20
)

// pieceSize returns the size of a piece in bytes. Little memory is not for a few large pieces.
func (j *jobs) pieceSize() int {
	return int(min(max(j.memory/64&^(minPiece-1), minPiece), maxPiece))
}

// dataSize returns how many bytes follow the header of a block whose sizes are known:
// compressed data, padding and check.
func (h *blockHeader) dataSize(check checkType) int64 {
	size, _ := check.size()
	return (h.packed+3)&^3 + int64(size)
}

// dataCost and windowCost return the memory that a worker needs at most for the block's
// input and for its content, in bytes.
func (j *jobs) dataCost(h *blockHeader, check checkType) int64 {
	size := int64(j.pieceSize())
	return (h.dataSize(check) + size - 1) / size * size
}
func (h *blockHeader) windowCost() int64 { return max((h.content+15)&^15, 16) + windowSlack }

// suits reports whether a worker may decode the block at all: its sizes are known, and the
// memory limit allows two such blocks.
func (j *jobs) suits(h *blockHeader, check checkType) bool {
	return j.workers > 1 && h.packed >= 0 && h.content >= 0 &&
		h.packed <= j.memory/2 && h.content <= j.memory/2 && j.dataCost(h, check)+h.windowCost() <= j.memory/2
}

// busy returns the memory that the jobs in the queue need at most, in bytes.
func (j *jobs) busy() int64 {
	sum := int64(0)
	for _, k := range j.queue {
		sum += k.cost + int64(len(k.window.mem))
	}
	return sum
}

// room reports whether one more block may start now. The memory of idle jobs counts as
// free.
func (j *jobs) room(h *blockHeader, check checkType) bool {
	cost := j.dataCost(h, check)
	if n := len(j.queue); n > j.workers || n > 0 && j.queue[n-1].needsWindow {
		return false
	} else if n < j.workers {
		cost += h.windowCost()
	}
	return j.busy()+cost <= j.memory
}

// grow calls reserve, which makes the mapping mem at least size bytes long, and counts the
// memory. It frees the memory of idle jobs first if the limit demands it.
func (j *jobs) grow(mem *[]byte, size int64, reserve func() error) error {
	before := int64(len(*mem))
	if size > before && j.used-before+size > j.memory {
		j.dropIdle()
	}
	err := reserve()
	j.used += int64(len(*mem)) - before
	return err
}

// start begins a job for the block whose data comes next in the file, at offset. The
// caller has asked room.
func (j *jobs) start(h *blockHeader, check checkType, offset int64) error {
	k := j.pick(j.dataCost(h, check), h.windowCost())
	k.prepare(h, check, offset)
	k.cost = j.dataCost(h, check)
	if len(j.queue) < j.workers {
		if err := j.run(k); err != nil {
			j.drop(k)
			return err
		}
	}
	j.queue, j.filling = append(j.queue, k), k
	return nil
}

// prepare sets a job up for a new block. The job keeps its memory.
func (k *job) prepare(h *blockHeader, check checkType, offset int64) {
	k.header, k.check, k.need = *h, check, int(h.dataSize(check))
	k.src.base, k.src.pos, k.src.end = offset, 0, 0
	k.needsWindow, k.taken, k.given = true, 0, 0
	s := &k.state
	s.have, s.used, s.cut, s.ready, s.finished, s.err, s.stopped = 0, 0, nil, 0, false, nil, false
}

// pick returns an idle job or a new one, for data and window bytes of memory. An idle job
// keeps its window if the limit allows.
func (j *jobs) pick(data, window int64) *job {
	last := len(j.idle) - 1
	if last < 0 {
		k := new(job)
		k.state.changed.L = &k.state.Mutex
		k.src = newSource(k)
		return k
	}
	k := j.idle[last]
	j.idle = j.idle[:last]
	if j.busy()+data+max(window, int64(len(k.window.mem))) > j.memory {
		j.drop(k)
	}
	return k
}

// run reserves a job's window and starts its goroutine.
func (j *jobs) run(k *job) error {
	err := j.grow(&k.window.mem, k.header.windowCost(), func() error { return k.window.reserve(int(k.header.content)) })
	if err != nil {
		return err
	}
	k.window.dict = uint32(min(k.header.window(), int64(k.window.size)))
	k.needsWindow = false
	go k.decode()
	return nil
}

// fed reports whether enough bytes wait for the decoder of the job being filled, so that
// reading may wait until the first job has new content. A first block with filters has none
// before its end; the blocks after it need their bytes meanwhile.
func (j *jobs) fed() bool {
	k := j.filling
	if k == j.queue[0] || len(j.queue[0].header.before) > 0 {
		return false
	}
	k.state.Lock()
	defer k.state.Unlock()
	return k.state.have-k.state.used >= maxAhead
}

// fill reads once from src for the job being filled. It returns true when all of the
// block's bytes are there. After an error no more of them will come.
func (j *jobs) fill(src *source) (bool, error) {
	k, s := j.filling, &j.filling.state
	n := 0
	var err error
	if s.have < k.need { // without the lock: only this goroutine changes have
		var room []byte
		if room, err = j.roomFor(k); err == nil {
			n, err = src.readInto(room)
		}
	}
	s.Lock()
	s.have += n
	s.cut = err
	done := s.have == k.need
	s.Unlock()
	s.changed.Broadcast() // without the lock, which the goroutine needs next
	if err != nil || done {
		j.filling = nil
		return err == nil, err
	}
	return false, nil
}

// roomFor returns the memory for the next bytes of a job's input.
func (j *jobs) roomFor(k *job) ([]byte, error) {
	size, s := j.pieceSize(), &k.state
	at := s.have % size
	if at == 0 {
		p, err := j.piece()
		if err != nil {
			return nil, err
		}
		s.Lock()
		s.pieces = append(s.pieces, p)
		s.Unlock()
	}
	s.Lock()
	p := s.pieces[len(s.pieces)-1]
	s.Unlock()
	return p[at:min(at+k.need-s.have, size)], nil
}

// piece returns a piece that holds nothing.
func (j *jobs) piece() (p []byte, err error) {
	if len(j.free) == 0 {
		for _, k := range j.queue {
			j.collect(k)
		}
	}
	if last := len(j.free) - 1; last >= 0 {
		p, j.free = j.free[last], j.free[:last]
		return p, nil
	}
	size := j.pieceSize()
	err = j.grow(&p, int64(size), func() error { return mapAtLeast(&p, size) })
	return p, err
}

// collect frees a job's spent pieces.
func (j *jobs) collect(k *job) {
	s := &k.state
	s.Lock()
	defer s.Unlock()
	j.free = append(j.free, s.spent...)
	s.spent = s.spent[:0]
}

// Read reads the job's input in its goroutine. It waits for more bytes.
func (k *job) Read(p []byte) (int, error) {
	s := &k.state
	s.Lock()
	defer s.Unlock()
	for {
		switch {
		case s.stopped:
			return 0, errClosed
		case s.have > s.used:
			b := s.pieces[0]
			at := s.used % len(b)
			end := min(at+s.have-s.used, len(b))
			s.Unlock()
			n := copy(p, b[at:end])
			s.Lock()
			if s.used += n; at+n == len(b) || s.used == k.need {
				s.spent = append(s.spent, b)
				s.pieces = append(s.pieces[:0], s.pieces[1:]...)
			}
			return n, nil
		case s.cut != nil:
			return 0, s.cut
		case s.used == k.need:
			return 0, errBlockEnd
		}
		s.changed.Wait()
	}
}

// decode runs as the job's goroutine.
func (k *job) decode() {
	k.block.begin(&k.header, k.check, k.src, &k.window)
	err := k.block.decodeWhole(k.publish)
	s := &k.state
	s.Lock()
	s.finished, s.err = true, err
	s.Unlock()
	s.changed.Broadcast()
}

// publish records how many bytes of content take may return. It returns false if the job
// is to end.
func (k *job) publish(ready int) bool {
	s := &k.state
	s.Lock()
	s.ready = ready
	stopped := s.stopped
	s.Unlock()
	s.changed.Broadcast() // without the lock, which take needs next
	return !stopped
}

// waiting reports whether there are blocks whose content was not yet returned in full.
func (j *jobs) waiting() bool { return len(j.queue) > 0 }

// take returns a piece of the first job's content, which is valid until the next call, and
// true. If the job has ended the piece is nil. If there is nothing yet, take waits if wait
// is set, and else returns false.
func (j *jobs) take(wait bool) ([]byte, bool, error) {
	k := j.queue[0]
	s := &k.state
	s.Lock()
	for s.ready == k.taken && !s.finished && wait {
		s.changed.Wait()
	}
	ready, finished, err := s.ready, s.finished, s.err
	s.Unlock()
	j.giveBack(k, ready, finished)
	if ready > k.taken {
		begin := k.taken
		k.taken = min(ready, begin+takeSize)
		return k.window.mem[begin:k.taken], true, nil
	}
	if !finished {
		return nil, false, nil
	}
	if err == nil {
		err = j.retire()
	}
	return nil, true, err
}

// giveBack gives back pages of content that take has returned before and that no match can
// refer to, as many as there is memory beyond thrifty: ready bytes are decoded, and all if
// finished is set.
func (j *jobs) giveBack(k *job, ready int, finished bool) {
	excess := j.used - j.thrifty
	end := k.taken
	if !finished {
		end = min(end, ready-int(k.window.dict)-windowSlack)
	}
	if excess < int64(end) {
		end = int(excess)
	}
	giveBack(k.window.mem, &k.given, end)
}

// retire moves the first job, which has finished, from the queue to idle, and gives its
// window to the job that needs one.
func (j *jobs) retire() error {
	k := j.queue[0]
	j.queue = append(j.queue[:0], j.queue[1:]...)
	j.collect(k)
	j.idle = append(j.idle, k)
	if len(j.queue) == 0 {
		return nil
	}
	last := j.queue[len(j.queue)-1]
	if !last.needsWindow {
		return nil
	}
	last.window, k.window = k.window, last.window
	more := max(last.header.windowCost()-int64(len(last.window.mem)), 0)
	if alone := len(j.queue) == 1; alone || j.busy()+more <= j.memory {
		// A job that is alone must run, and suits has seen to it that it fits. Any
		// other job may go on waiting.
		if err := j.run(last); err != nil && alone {
			return err
		}
	}
	return nil
}

// dropIdle frees the memory that no job in the queue uses.
func (j *jobs) dropIdle() {
	for _, k := range j.idle {
		j.drop(k)
	}
	for i := range j.free {
		j.used -= int64(len(j.free[i]))
		unmap(&j.free[i])
	}
	j.free = j.free[:0]
}

// drop frees the memory of a job that does not run.
func (j *jobs) drop(k *job) {
	j.used -= int64(len(k.window.mem))
	k.window.free()
	j.free = append(append(j.free, k.state.pieces...), k.state.spent...)
	k.state.pieces, k.state.spent = nil, nil
}

// stop ends all jobs, waits for their goroutines and frees the memory.
func (j *jobs) stop() {
	for _, k := range j.queue {
		k.state.Lock()
		k.state.stopped = true
		k.state.changed.Broadcast()
		k.state.Unlock()
	}
	for _, k := range j.queue {
		k.state.Lock()
		for !k.needsWindow && !k.state.finished {
			k.state.changed.Wait()
		}
		k.state.Unlock()
		j.drop(k)
	}
	j.dropIdle()
	j.queue, j.idle, j.filling, j.free = nil, nil, nil, nil
}
