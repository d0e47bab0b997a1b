package xz

import "sync/atomic"

// jobs are blocks being decoded side by side. They are read one after the other
// by the Reader's caller; a goroutine each decodes them; they are handed out in
// the file's order.
type jobs struct {
	workers int
	memory  int64         // bytes that may be mapped
	used    int64         // bytes that are
	running chan struct{} // holds one element for each goroutine at work

	filling *job   // being read
	queue   []*job // read, in the file's order
	out     *job   // handed out, and perhaps still being read from
	idle    []*job // done, with their memory
	spare   []*job // done, without
}

// A job is a block that a goroutine decodes whole: its content is the
// dictionary, so that there is no other.
type job struct {
	header blockHeader
	check  checkType
	data   []byte // mapped: compressed data, padding, check and slack
	need   int    // bytes of data without the slack
	have   int    // of them read so far
	base   int64  // where data begins in the stream
	cost   int64  // bytes mapped

	block   block
	window  window
	content []byte
	err     error
	done    chan struct{} // closed when content and err are set
	stopped atomic.Bool
}

func newJobs(workers int, memory int64) jobs {
	return jobs{workers: workers, memory: memory, running: make(chan struct{}, workers)}
}

// dataSize is how many bytes follow the header of a block whose sizes are
// known.
func (h *blockHeader) dataSize(check checkType) int64 {
	size, _ := check.size()
	return (h.packed+3)&^3 + int64(size)
}

// cost is how much memory decoding the block whole takes, in bytes.
func (h *blockHeader) cost(check checkType) int64 {
	return h.dataSize(check) + inputSlack + max((h.content+15)&^15, 16) + windowSlack
}

// suits reports whether the block can be decoded beside others at all: its
// sizes are known, and there is memory for two such.
func (j *jobs) suits(h *blockHeader, check checkType) bool {
	return j.workers > 1 && h.packed >= 0 && h.content >= 0 &&
		h.packed <= j.memory/2 && h.content <= j.memory/2 && h.cost(check) <= j.memory/2
}

// room makes room for the block if there may be one more: one for each worker,
// and one that waits, so that none is idle while the caller consumes.
func (j *jobs) room(h *blockHeader, check checkType) bool {
	if len(j.queue) > j.workers {
		return false
	}
	cost := h.cost(check)
	for i, k := range j.idle {
		if k.cost >= cost {
			j.idle[i], j.idle[0] = j.idle[0], k
			return true
		}
	}
	if j.used+cost > j.memory {
		j.dropIdle()
	}
	return j.used+cost <= j.memory
}

// start begins a job whose data comes next in the file. There is room for it.
func (j *jobs) start(h *blockHeader, check checkType, offset int64) error {
	var k *job
	if len(j.idle) > 0 && j.idle[0].cost >= h.cost(check) {
		k, j.idle = j.idle[0], j.idle[1:]
	} else {
		k = j.unmapped()
		k.cost = h.cost(check)
		j.used += k.cost
	}
	j.filling = k
	k.header, k.check, k.base = *h, check, offset
	k.need, k.have = int(h.dataSize(check)), 0
	if err := mapAtLeast(&k.data, k.need+inputSlack); err != nil {
		return err
	}
	if err := k.window.reserve(int(h.content)); err != nil {
		return err
	}
	k.window.dict = uint32(min(h.window(), int64(k.window.size)))
	return nil
}

// fill reads once; true when the block is complete and its goroutine runs.
func (j *jobs) fill(src *source) (bool, error) {
	k := j.filling
	if k.have < k.need {
		n, err := src.readInto(k.data[k.have:k.need])
		if err != nil {
			return false, err
		}
		if k.have += n; k.have < k.need {
			return false, nil
		}
	}
	k.content, k.err, k.done = nil, nil, make(chan struct{})
	j.filling, j.queue = nil, append(j.queue, k)
	go func() {
		j.running <- struct{}{}
		k.run()
		<-j.running
		close(k.done)
	}()
	return true, nil
}

// run decodes the block.
func (k *job) run() {
	src := &source{buf: k.data, end: k.need, base: k.base}
	k.block.begin(&k.header, k.check, src, &k.window)
	k.content, k.err = k.block.whole(k.stopped.Load)
}

func (j *jobs) waiting() bool { return len(j.queue) > 0 }

// finished reports whether take would not wait.
func (j *jobs) finished() bool {
	select {
	case <-j.queue[0].done:
		return true
	default:
		return false
	}
}

// take waits for the first job and returns its content, which is valid until
// the next call of release.
func (j *jobs) take() ([]byte, error) {
	k := j.queue[0]
	<-k.done
	j.queue = append(j.queue[:0], j.queue[1:]...)
	j.out = k
	return k.content, k.err
}

// release takes back what was handed out.
func (j *jobs) release() {
	if j.out != nil {
		j.idle = append(j.idle, j.out)
		j.out = nil
	}
}

func (j *jobs) dropIdle() {
	for _, k := range j.idle {
		j.drop(k)
	}
	j.idle = nil
}

func (j *jobs) drop(k *job) {
	unmap(&k.data)
	k.window.free()
	j.used -= k.cost
	j.spare = append(j.spare, k)
}

// unmapped returns a job without memory.
func (j *jobs) unmapped() *job {
	last := len(j.spare) - 1
	if last < 0 {
		return new(job)
	}
	k := j.spare[last]
	j.spare = j.spare[:last]
	return k
}

// stop ends all jobs and frees their memory.
func (j *jobs) stop() {
	for _, k := range j.queue {
		k.stopped.Store(true)
	}
	for _, k := range j.queue {
		<-k.done
	}
	j.release()
	all := append(j.queue, j.idle...)
	if j.filling != nil {
		all = append(all, j.filling)
	}
	for _, k := range all {
		j.drop(k)
	}
	j.queue, j.idle, j.spare, j.filling = nil, nil, nil, nil
}
