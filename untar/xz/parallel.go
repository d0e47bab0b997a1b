package xz

import "sync"

// jobs are the blocks that workers decode at the same time. The Reader's caller reads the
// compressed bytes of one block after the other; one goroutine per block decodes, and it
// starts with the first bytes that are read. The content of the first block is returned
// while it is being decoded.
//
// There are as many windows as workers. One block more may be read ahead, so that a
// worker that becomes free finds its input; that block has no window yet.
type jobs struct {
	workers int
	memory  int64 // how many bytes may be mapped
	used    int64 // how many bytes are mapped

	filling *job   // the last job of queue while its bytes are being read; else nil
	queue   []*job // in the order of the file
	idle    []*job // finished jobs; their memory is kept for new ones
}

// A job is one block that a goroutine decodes. The window holds all of the block's
// content, so no other dictionary is needed.
type job struct {
	header blockHeader
	check  checkType
	input  struct { // what follows the block header
		data []byte // mapped: compressed data, padding, check, and inputSlack bytes
		need int    // bytes of data without the slack
		base int64  // offset of data[0] in the file
	}
	block  block
	window window

	// Only the Reader's caller uses these two.
	needsWindow bool // the goroutine is not started before the job has a window
	taken       int  // bytes of content that take has returned

	state struct { // shared by the caller and the goroutine
		sync.Mutex
		changed  sync.Cond
		have     int   // bytes of input.data read so far
		cut      error // why no more bytes of input will come
		ready    int   // bytes of content that take may return
		finished bool
		err      error // the result, once finished is set
		stopped  bool  // the caller wants no more; the goroutine is to end
	}
}

// pieceSize is the most that take returns at a time, in bytes: the Reader reads the file
// and returns content in turns.
const pieceSize = step

// dataSize returns how many bytes follow the header of a block whose sizes are known:
// compressed data, padding and check.
func (h *blockHeader) dataSize(check checkType) int64 {
	size, _ := check.size()
	return (h.packed+3)&^3 + int64(size)
}

// dataCost and windowCost return the memory that a worker needs for the block's input and
// for its content, in bytes.
func (h *blockHeader) dataCost(check checkType) int64 { return h.dataSize(check) + inputSlack }
func (h *blockHeader) windowCost() int64              { return max((h.content+15)&^15, 16) + windowSlack }

// suits reports whether a worker may decode the block at all: its sizes are known, and the
// memory limit allows two such blocks.
func (j *jobs) suits(h *blockHeader, check checkType) bool {
	return j.workers > 1 && h.packed >= 0 && h.content >= 0 &&
		h.packed <= j.memory/2 && h.content <= j.memory/2 && h.dataCost(check)+h.windowCost() <= j.memory/2
}

// mapped returns the job's memory in bytes.
func (k *job) mapped() int64 { return int64(len(k.input.data) + len(k.window.mem)) }

// busy returns the memory of the jobs in the queue, in bytes.
func (j *jobs) busy() int64 {
	sum := int64(0)
	for _, k := range j.queue {
		sum += k.mapped()
	}
	return sum
}

// room reports whether one more block may start now. The memory of idle jobs counts as
// free.
func (j *jobs) room(h *blockHeader, check checkType) bool {
	cost := h.dataCost(check)
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
	k := j.pick(h.dataCost(check), h.windowCost())
	k.prepare(h, check, offset)
	err := j.grow(&k.input.data, h.dataCost(check), func() error { return mapAtLeast(&k.input.data, k.input.need+inputSlack) })
	if err == nil && len(j.queue) < j.workers {
		err = j.run(k)
	}
	if err != nil {
		j.drop(k)
		return err
	}
	j.queue, j.filling = append(j.queue, k), k
	return nil
}

// prepare sets a job up for a new block. The job keeps its memory.
func (k *job) prepare(h *blockHeader, check checkType, offset int64) {
	k.header, k.check = *h, check
	k.input.base, k.input.need = offset, int(h.dataSize(check))
	k.needsWindow, k.taken = true, 0
	s := &k.state
	s.have, s.cut, s.ready, s.finished, s.err, s.stopped = 0, nil, 0, false, nil, false
}

// pick returns an idle job or a new one, for data and window bytes of memory. An idle job
// keeps its memory if the limit allows.
func (j *jobs) pick(data, window int64) *job {
	last := len(j.idle) - 1
	if last < 0 {
		k := new(job)
		k.state.changed.L = &k.state.Mutex
		return k
	}
	k := j.idle[last]
	j.idle = j.idle[:last]
	if j.busy()+max(data, int64(len(k.input.data)))+max(window, int64(len(k.window.mem))) > j.memory {
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

// fill reads once from src for the job being filled. It returns true when all of the
// block's bytes are there. After an error no more of them will come.
func (j *jobs) fill(src *source) (bool, error) {
	k, s := j.filling, &j.filling.state
	n := 0
	var err error
	if s.have < k.input.need { // without the lock: only this goroutine changes have
		n, err = src.readInto(k.input.data[s.have:k.input.need])
	}
	s.Lock()
	defer s.Unlock()
	s.have += n
	s.cut = err
	s.changed.Broadcast()
	if err != nil || s.have == k.input.need {
		j.filling = nil
		return err == nil, err
	}
	return false, nil
}

// wait blocks until more than end bytes of input are there and returns how many there are.
// The decoder may read inputSlack bytes beyond that number, so until all input is there
// wait keeps that many bytes back: fill is writing right behind them.
func (k *job) wait(end int) (int, error) {
	s := &k.state
	s.Lock()
	defer s.Unlock()
	for {
		have := s.have
		if have < k.input.need {
			have -= inputSlack
		}
		switch {
		case s.stopped:
			return end, errClosed
		case have > end:
			return have, nil
		case s.cut != nil && s.have > end:
			return s.have, nil // fill writes no more
		case s.cut != nil:
			return end, s.cut
		case end == k.input.need:
			return end, errBlockEnd
		}
		s.changed.Wait()
	}
}

// decode runs as the job's goroutine.
func (k *job) decode() {
	src := &source{buf: k.input.data, base: k.input.base, wait: k.wait}
	k.block.begin(&k.header, k.check, src, &k.window)
	err := k.block.decodeWhole(k.publish)
	s := &k.state
	s.Lock()
	defer s.Unlock()
	s.finished, s.err = true, err
	s.changed.Broadcast()
}

// publish records how many bytes of content take may return. It returns false if the job
// is to end.
func (k *job) publish(ready int) bool {
	s := &k.state
	s.Lock()
	defer s.Unlock()
	s.ready = ready
	s.changed.Broadcast()
	return !s.stopped
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
	if ready > k.taken {
		begin := k.taken
		k.taken = min(ready, begin+pieceSize)
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

// retire moves the first job, which has finished, from the queue to idle, and gives its
// window to the job that needs one.
func (j *jobs) retire() error {
	k := j.queue[0]
	j.queue = append(j.queue[:0], j.queue[1:]...)
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

// dropIdle frees the memory of idle jobs.
func (j *jobs) dropIdle() {
	for _, k := range j.idle {
		j.drop(k)
	}
}

// drop frees the memory of a job.
func (j *jobs) drop(k *job) {
	j.used -= k.mapped()
	unmap(&k.input.data)
	k.window.free()
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
	j.queue, j.idle, j.filling = nil, nil, nil
}
