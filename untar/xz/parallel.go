package xz

import "sync"

// jobs are blocks being decoded side by side. The Reader's caller reads them
// one after the other; a goroutine each decodes them, from the first bytes on;
// the content of the first of them is handed out while it comes to be.
//
// There are as many windows as workers. One block more may be read ahead, so
// that a worker that gets free finds its input: it waits for a window.
type jobs struct {
	workers int
	memory  int64 // bytes that may be mapped
	used    int64 // bytes that are

	filling *job   // the last of the queue while it is being read
	queue   []*job // in the file's order
	idle    []*job // done, their memory kept for others
}

// A job is a block that a goroutine decodes whole: its content is the
// dictionary, so that there is no other.
type job struct {
	header blockHeader
	check  checkType
	data   []byte // mapped: compressed data, padding, check and slack
	need   int    // bytes of data without the slack
	base   int64  // where data begins in the stream
	block  block
	window window
	waits  bool // for a window; the caller's alone
	taken  int  // bytes of content handed out; the caller's alone

	mu       sync.Mutex
	changed  sync.Cond
	have     int   // bytes of data read so far
	cut      error // no more will come
	ready    int   // bytes of content that may be handed out
	finished bool
	err      error // once finished
	stopped  bool
}

func newJobs(workers int, memory int64) jobs {
	return jobs{workers: workers, memory: memory}
}

// pieceSize is how much is handed out at a time at most, so that reading and
// handing out take turns.
const pieceSize = step

// dataSize is how many bytes follow the header of a block whose sizes are
// known.
func (h *blockHeader) dataSize(check checkType) int64 {
	size, _ := check.size()
	return (h.packed+3)&^3 + int64(size)
}

// dataCost and windowCost are the memory that decoding the block whole takes, in
// bytes.
func (h *blockHeader) dataCost(check checkType) int64 { return h.dataSize(check) + inputSlack }
func (h *blockHeader) windowCost() int64              { return max((h.content+15)&^15, 16) + windowSlack }

// suits reports whether the block can be decoded beside others at all: its
// sizes are known, and there is memory for two such.
func (j *jobs) suits(h *blockHeader, check checkType) bool {
	return j.workers > 1 && h.packed >= 0 && h.content >= 0 &&
		h.packed <= j.memory/2 && h.content <= j.memory/2 && h.dataCost(check)+h.windowCost() <= j.memory/2
}

// mapped is the job's memory in bytes.
func (k *job) mapped() int64 { return int64(len(k.data) + len(k.window.mem)) }

// busy is how much memory the jobs of the queue have.
func (j *jobs) busy() int64 {
	sum := int64(0)
	for _, k := range j.queue {
		sum += k.mapped()
	}
	return sum
}

// room reports whether there may be one block more. The memory of idle jobs
// counts as free.
func (j *jobs) room(h *blockHeader, check checkType) bool {
	cost := h.dataCost(check)
	if n := len(j.queue); n > j.workers || n > 0 && j.queue[n-1].waits {
		return false
	} else if n < j.workers {
		cost += h.windowCost()
	}
	return j.busy()+cost <= j.memory
}

// grow has a mapping made at least size bytes long. Idle memory gives way.
func (j *jobs) grow(mem *[]byte, size int64, reserve func() error) error {
	before := int64(len(*mem))
	if size > before && j.used-before+size > j.memory {
		j.dropIdle()
	}
	err := reserve()
	j.used += int64(len(*mem)) - before
	return err
}

// start begins a job whose data comes next in the file. There is room for it.
func (j *jobs) start(h *blockHeader, check checkType, offset int64) error {
	k := j.pick(h.dataCost(check), h.windowCost())
	k.header, k.check, k.base, k.need = *h, check, offset, int(h.dataSize(check))
	k.have, k.cut, k.ready, k.taken, k.finished, k.err, k.stopped = 0, nil, 0, 0, false, nil, false
	k.waits = true
	err := j.grow(&k.data, h.dataCost(check), func() error { return mapAtLeast(&k.data, k.need+inputSlack) })
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

// pick returns a job that is not in use, with what memory it has if there is room
// for that.
func (j *jobs) pick(data, window int64) *job {
	last := len(j.idle) - 1
	if last < 0 {
		k := new(job)
		k.changed.L = &k.mu
		return k
	}
	k := j.idle[last]
	j.idle = j.idle[:last]
	if j.busy()+max(data, int64(len(k.data)))+max(window, int64(len(k.window.mem))) > j.memory {
		j.drop(k)
	}
	return k
}

// run gives a job a window and a goroutine.
func (j *jobs) run(k *job) error {
	err := j.grow(&k.window.mem, k.header.windowCost(), func() error { return k.window.reserve(int(k.header.content)) })
	if err != nil {
		return err
	}
	k.window.dict = uint32(min(k.header.window(), int64(k.window.size)))
	k.waits = false
	go k.decode()
	return nil
}

// fill reads once; true when the block is complete. After an error nothing more
// of it comes.
func (j *jobs) fill(src *source) (bool, error) {
	k := j.filling
	n := 0
	var err error
	if k.have < k.need { // only this goroutine changes have
		n, err = src.readInto(k.data[k.have:k.need])
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.have += n
	k.cut = err
	k.changed.Broadcast()
	if err != nil || k.have == k.need {
		j.filling = nil
		return err == nil, err
	}
	return false, nil
}

// input waits until more than end bytes of data are there and returns how many.
// What is said to be there can be read with the slack behind it, which the
// caller is not writing to.
func (k *job) input(end int) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for {
		have := k.have
		if have < k.need {
			have -= inputSlack
		}
		switch {
		case k.stopped:
			return end, errClosed
		case have > end:
			return have, nil
		case k.cut != nil && k.have > end:
			return k.have, nil // the slack behind it is not written to any more
		case k.cut != nil:
			return end, k.cut
		case end == k.need:
			return end, errBlockEnd
		}
		k.changed.Wait()
	}
}

// decode is the job's goroutine.
func (k *job) decode() {
	src := &source{buf: k.data, base: k.base, wait: k.input}
	k.block.begin(&k.header, k.check, src, &k.window)
	err := k.block.whole(k.publish)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.finished, k.err = true, err
	k.changed.Broadcast()
}

// publish says how many bytes of content may be handed out; false: the job is
// to end.
func (k *job) publish(ready int) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ready = ready
	k.changed.Broadcast()
	return !k.stopped
}

func (j *jobs) waiting() bool { return len(j.queue) > 0 }

// take returns a piece of the first job's content, which is valid until the next
// call; wait says to wait for one. false: there is none yet. The piece is nil
// where the job ended.
func (j *jobs) take(wait bool) ([]byte, bool, error) {
	k := j.queue[0]
	k.mu.Lock()
	for k.ready == k.taken && !k.finished && wait {
		k.changed.Wait()
	}
	ready, finished, err := k.ready, k.finished, k.err
	k.mu.Unlock()
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

// retire takes the first job, which has ended, out of the queue. Its window
// goes to the one that waits for one.
func (j *jobs) retire() error {
	k := j.queue[0]
	j.queue = append(j.queue[:0], j.queue[1:]...)
	j.idle = append(j.idle, k)
	if len(j.queue) == 0 {
		return nil
	}
	last := j.queue[len(j.queue)-1]
	if !last.waits {
		return nil
	}
	last.window, k.window = k.window, last.window
	more := max(last.header.windowCost()-int64(len(last.window.mem)), 0)
	if alone := len(j.queue) == 1; alone || j.busy()+more <= j.memory {
		// Alone it has to run, and suits said that it fits. Else it may wait on.
		if err := j.run(last); err != nil && alone {
			return err
		}
	}
	return nil
}

func (j *jobs) dropIdle() {
	for _, k := range j.idle {
		j.drop(k)
	}
}

func (j *jobs) drop(k *job) {
	j.used -= k.mapped()
	unmap(&k.data)
	k.window.free()
}

// stop ends all jobs and frees their memory.
func (j *jobs) stop() {
	for _, k := range j.queue {
		k.mu.Lock()
		k.stopped = true
		k.changed.Broadcast()
		k.mu.Unlock()
	}
	for _, k := range j.queue {
		k.mu.Lock()
		for !k.waits && !k.finished {
			k.changed.Wait()
		}
		k.mu.Unlock()
		j.drop(k)
	}
	j.dropIdle()
	j.queue, j.idle, j.filling = nil, nil, nil
}
