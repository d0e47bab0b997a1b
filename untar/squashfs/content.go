package squashfs

import (
	"encoding/binary"
	"io"

	"lxc-pull/untar/xz"
)

// Content is decoded ahead. The Reader walks up to aheadFiles files further than its caller, and
// queues a piece for each of their blocks and fragments; workers decode them. A caller that does
// not read the content of a file switches this off until it reads content again.

const (
	blockStored  = 1 << 24 // in the size of a block of content: it is not compressed
	hole         = 0       // in place of that size, without blockStored
	fragmentSize = 16      // struct squashfs_fragment_entry
	aheadFiles   = 64
	aheadBytes   = 2 << 20 // of decoded blocks, and of fragments

	// maxAgain limits how much content of fragments is decoded again, because files that share
	// a fragment are far from each other. Images with files in an odd order (mksquashfs -sort)
	// need a few GB. An attacker could make an image that takes days.
	maxAgain = 64 << 30
)

const (
	errBlock   = "bad block of content"
	errShort   = "a block has less content than it must"
	errChanged = "the image changed while it was read"
	errAgain   = "files share fragments in an order that would take too long"
)

// A job is a block of content, or a fragment.
type job struct {
	_        [0]func() // forbids ==, whose code nothing needs
	pos      int64
	word     uint32 // its size, and whether it is compressed
	want     int    // bytes of content; negative: at most that many
	out      []byte
	n        int   // bytes in out
	err      error // once done was received
	done     chan struct{}
	ready    bool  // done was received
	refs     int   // pieces that need it
	fragment int64 // number of the fragment; -1: it is a block
	used     int64 // when a fragment was used last
}

// A piece is a part of a file's content.
type piece struct {
	_      [0]func() // forbids ==, whose code nothing needs
	file   *File
	job    *job
	lo, hi int // in the job's content
}

// ahead is what is decoded before its turn.
type ahead struct {
	_       [0]func() // forbids ==, whose code nothing needs
	workers int
	work    chan *job // nil: no worker was started
	files   []*File   // that were walked but not yet returned, the oldest first
	err     error     // of walking further
	spare   []*File   // for more files
	on      bool
	queue   []piece
	blocks  []*job // free for blocks
	pool    int    // how many jobs for blocks may still be made
	shared  fragments
	plan    plan
	current reading
}

// fragments are the fragments that are kept.
type fragments struct {
	_     [0]func() // forbids ==, whose code nothing needs
	jobs  []*job
	most  int // as many
	clock int64
	seen  []uint64 // a bit for each fragment that was decoded
	again int64    // bytes that were decoded again
}

// A plan says up to where pieces were queued.
type plan struct {
	_    [0]func() // forbids ==, whose code nothing needs
	file *File     // nil: nothing is planned
	next int       // the index in ahead.files of the file after it
	list cursor
	i    int64  // number of the next block
	pos  uint64 // of the next block's content
	err  error  // why there are no more pieces
}

// reading is how far the current file was read.
type reading struct {
	_    [0]func() // forbids ==, whose code nothing needs
	left int64     // bytes that are stored and not yet returned
	part []byte    // of the job, not yet returned
	job  *job
}

// Next returns the next file, or io.EOF after the last. It is valid until the next call. Names
// of a directory come in the order of their bytes, and what is in a directory follows it at once.
func (r *Reader) Next() (*File, error) {
	a := &r.ahead
	r.release()
	if a.current.left > 0 {
		a.on = false
	}
	if !a.on {
		a.drop()
	}
	if r.err != nil {
		return nil, r.err
	}
	if r.file != nil {
		a.spare = append(a.spare, r.file)
		if a.plan.file == r.file { // all of it was planned and read
			a.plan.file = nil
		}
	}
	if len(a.files) == 0 && !r.walkAhead() {
		r.err, r.file = a.err, nil
		return nil, r.err
	}
	r.file = a.files[0]
	a.files = append(a.files[:0], a.files[1:]...)
	a.current.left = r.file.Stored
	if a.plan.next > 0 {
		a.plan.next--
	} else if a.on {
		a.planFile(r.file)
	}
	if a.on {
		r.schedule()
	}
	return r.file, nil
}

// walkAhead walks one file further. It returns false if that is not possible.
func (r *Reader) walkAhead() bool {
	a := &r.ahead
	if a.err != nil || len(a.files) >= aheadFiles {
		return false
	}
	var f *File
	if n := len(a.spare); n > 0 {
		f, a.spare = a.spare[n-1], a.spare[:n-1]
	} else {
		f = new(File)
	}
	if a.err = r.walk(f); a.err != nil {
		return false
	}
	a.files = append(a.files, f)
	return true
}

// Chunk returns the next part of the current file's content that is stored, at least one and at
// most max bytes, or io.EOF at its end. It is valid until the next call of a method.
func (r *Reader) Chunk(max int64) ([]byte, error) {
	a := &r.ahead
	c := &a.current
	if c.left == 0 {
		return nil, io.EOF
	}
	if r.err != nil {
		return nil, r.err
	}
	if len(c.part) == 0 {
		if r.err = r.nextPart(); r.err != nil {
			return nil, r.err
		}
	}
	n := min(max, c.left, int64(len(c.part)))
	b := c.part[:n]
	c.part, c.left = c.part[n:], c.left-n
	return b, nil
}

// nextPart waits for the next part of the current file.
func (r *Reader) nextPart() error {
	a := &r.ahead
	r.release()
	if !a.on {
		a.on, a.plan = true, plan{}
		a.planFile(r.file)
	}
	r.schedule()
	if len(a.queue) == 0 || a.queue[0].file != r.file {
		if a.plan.err != nil {
			return a.plan.err
		}
		return bad(int64(r.file.in.start), errChanged)
	}
	p := a.queue[0]
	a.queue = append(a.queue[:0], a.queue[1:]...)
	p.job.wait()
	a.current.job = p.job
	if p.job.err != nil {
		return p.job.err
	}
	if p.hi > p.job.n {
		return bad(p.job.pos, errFragment)
	}
	a.current.part = p.job.out[p.lo:p.hi]
	return nil
}

// release gives the job of the last part back.
func (r *Reader) release() {
	a := &r.ahead
	if j := a.current.job; j != nil {
		a.current.job, a.current.part = nil, nil
		a.free(j)
	}
}

// free drops a piece of a job.
func (a *ahead) free(j *job) {
	if j.refs--; j.refs == 0 && j.fragment < 0 {
		a.blocks = append(a.blocks, j)
	}
}

// drop drops all pieces that are queued.
func (a *ahead) drop() {
	for _, p := range a.queue {
		p.job.wait()
		a.free(p.job)
	}
	a.queue, a.plan = a.queue[:0], plan{}
}

// wait waits until the job is done.
func (j *job) wait() {
	if !j.ready {
		<-j.done
		j.ready = true
	}
}

// planFile makes f the file whose pieces are queued next.
func (a *ahead) planFile(f *File) {
	if p := &a.plan; f.Stored > 0 {
		p.file, p.list, p.i, p.pos = f, f.in.rest, 0, f.in.start
	}
}

// schedule queues pieces: of the planned file, and of those after it, as far as there is room. It
// does not queue more after an error, which counts when all pieces before it were read.
func (r *Reader) schedule() {
	a := &r.ahead
	p := &a.plan
	if a.work == nil {
		r.start()
	}
	for p.err == nil {
		if p.file != nil {
			var full bool
			if full, p.err = r.scheduleFile(p.file); p.err != nil || full {
				return
			}
			p.file = nil
		}
		if p.next == len(a.files) && !r.walkAhead() {
			return
		}
		a.planFile(a.files[p.next])
		p.next++
	}
}

// scheduleFile queues the pieces of a file. It returns true if there is no room for the next.
func (r *Reader) scheduleFile(f *File) (full bool, err error) {
	a := &r.ahead
	p := &a.plan
	n, tail := r.blocks(f)
	for ; p.i < n; p.i++ {
		if len(a.blocks) == 0 && a.pool == 0 {
			return true, nil
		}
		word, err := r.word(&p.list)
		if err != nil {
			return false, err
		}
		if word == hole {
			continue
		}
		if !r.fits(word, r.blockSize(f, p.i)) { // measure has read another word here
			return false, bad(int64(f.in.start), errChanged)
		}
		var j *job
		if k := len(a.blocks); k > 0 {
			j, a.blocks = a.blocks[k-1], a.blocks[:k-1]
		} else {
			a.pool--
			j = r.newJob()
		}
		j.refs = 1
		a.do(j, int64(p.pos), word, int(r.blockSize(f, p.i)))
		a.queue = append(a.queue, piece{file: f, job: j, hi: j.want})
		p.pos += uint64(word &^ blockStored)
	}
	if p.i == n && tail > 0 {
		j, err := r.fragment(int64(f.in.fragment))
		if j == nil || err != nil {
			return true, err
		}
		lo := int64(f.in.offset)
		if lo+tail > int64(r.super.block) {
			return false, bad(j.pos, errFragment)
		}
		j.refs++
		a.queue = append(a.queue, piece{file: f, job: j, lo: int(lo), hi: int(lo + tail)})
		p.i++
	}
	return false, nil
}

// fragment returns the job of a fragment, or nil if there is no room for it.
func (r *Reader) fragment(number int64) (*job, error) {
	s := &r.ahead.shared
	s.clock++
	var oldest *job
	for _, j := range s.jobs {
		if j.fragment == number {
			j.used = s.clock
			return j, nil
		}
		if j.refs == 0 && (oldest == nil || j.used < oldest.used) {
			oldest = j
		}
	}
	if len(s.jobs) < s.most {
		oldest = r.newJob()
		s.jobs = append(s.jobs, oldest)
	}
	j := oldest
	if j == nil {
		return nil, nil
	}
	j.wait()
	j.fragment = -1 // none, if there is an error
	table := r.super.tables.fragments
	size := int64(r.super.fragments) * fragmentSize
	at := number * fragmentSize
	pos, err := r.meta.indexed(table, size, int(at/metaSize), r.super.tables.dirs)
	if err != nil {
		return nil, err
	}
	var b [fragmentSize]byte
	c := cursor{pos: int64(pos), end: int64(table), off: int(at % metaSize)}
	if err := r.meta.read(&c, b[:]); err != nil {
		return nil, err
	}
	start, word := binary.LittleEndian.Uint64(b[:]), binary.LittleEndian.Uint32(b[8:])
	packed := uint64(word &^ blockStored)
	if packed == 0 || packed > uint64(r.super.block) || start > r.super.used || packed > r.super.used-start {
		return nil, bad(int64(pos), errFragment)
	}
	if bit := uint64(1) << (number & 63); s.seen[number/64]&bit == 0 {
		s.seen[number/64] |= bit
	} else if s.again += int64(r.super.block); s.again > maxAgain {
		return nil, bad(int64(pos), errAgain)
	}
	j.fragment, j.used = number, s.clock
	r.ahead.do(j, int64(start), word, -r.super.block)
	return j, nil
}

// newJob returns a job that is not in use.
func (r *Reader) newJob() *job {
	return &job{out: make([]byte, r.super.block), done: make(chan struct{}, 1), ready: true, fragment: -1}
}

// do has a worker do the job.
func (a *ahead) do(j *job, pos int64, word uint32, want int) {
	j.pos, j.word, j.want = pos, word, want
	j.ready, j.err, j.n = false, nil, 0
	a.work <- j // there is room for all jobs
}

// start starts the workers.
func (r *Reader) start() {
	a := &r.ahead
	a.pool = max(a.workers+1, aheadBytes/r.super.block)
	a.pool = min(a.pool, 64)
	a.shared.most = min(max(2, aheadBytes/r.super.block), 64)
	a.shared.seen = make([]uint64, r.super.fragments/64+1)
	a.work = make(chan *job, a.pool+a.shared.most)
	for range a.workers {
		go r.worker(a.work)
	}
}

// close ends the workers and waits for them.
func (a *ahead) close() {
	if a.work == nil {
		return
	}
	for _, p := range a.queue {
		p.job.wait()
	}
	for _, j := range a.shared.jobs {
		j.wait()
	}
	close(a.work)
	a.work = nil
}

// worker does jobs.
func (r *Reader) worker(work <-chan *job) {
	d := decoder{compressor: r.super.compressor, most: r.super.block}
	packed := make([]byte, r.super.block+xz.DecoderSlack)
	for j := range work {
		j.n, j.err = r.decodeBlock(&d, j, packed)
		j.done <- struct{}{}
	}
	d.close()
}

// decodeBlock reads a block and decodes it. It returns how much content it has.
func (r *Reader) decodeBlock(d *decoder, j *job, packed []byte) (int, error) {
	size, most := int(j.word&^blockStored), j.want
	if most < 0 {
		most = -most
	}
	n := size
	var err error
	if j.word&blockStored != 0 {
		err = r.meta.readAt(j.out[:size], j.pos)
	} else if err = r.meta.readAt(packed[:size], j.pos); err == nil {
		n, err = d.decode(j.out[:most], packed[:size])
		if err != nil {
			err = &FormatError{Offset: j.pos, Cause: err}
		}
	}
	if err == nil && n < j.want {
		err = bad(j.pos, errShort)
	}
	return n, err
}

// Fail returns a FormatError at the current file's inode.
func (r *Reader) Fail(cause error) error {
	at := int64(r.super.tables.inodes)
	if r.file != nil {
		at = r.file.in.rest.pos
	}
	return &FormatError{Offset: at, Cause: cause}
}
