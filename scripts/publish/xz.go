package main

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"hash/crc64"
	"io"
	"runtime"

	"github.com/ulikunitz/xz/lzma"
)

const (
	// xzDictionary is the dictionary size that a client must allocate to unpack. It is
	// that of xz -6, which fits a router with 64 MB.
	xzDictionary = 8 << 20

	// xzBlock is the uncompressed length of a block, three dictionaries, as
	// xz -T uses. Blocks are independent of each other and their headers have both
	// sizes, so blocks can be packed and unpacked in parallel. Starting with an empty
	// dictionary every 24 MiB costs about 1 % in size.
	xzBlock = 3 * xzDictionary

	xzCheckCRC64 = 4
	xzCheckSize  = 8
)

// An xzWriter compresses the bytes written to it to one .xz stream of blocks of equal size
// (The .xz File Format 1.2.1). github.com/ulikunitz/xz compresses each block. Its own
// stream writer leaves the sizes out of the block headers and uses one processor, so
// headers, index and footer are written here.
type xzWriter struct {
	out     io.Writer
	block   []byte          // bytes that no packer has yet
	queue   chan chan block // packed blocks, in order
	done    chan error      // the result of the goroutine that writes
	failed  chan struct{}   // closed when writing has failed
	limiter chan struct{}   // one token for each block being packed
}

// A block is one packed block: its LZMA2 data and the values for header and index.
type block struct {
	data         []byte
	uncompressed int
	dictionary   byte
	check        uint64
	err          error
}

// newXZWriter returns a writer that packs to out with all CPUs. Close ends the
// stream; out stays open.
func newXZWriter(out io.Writer) *xzWriter {
	workers := runtime.GOMAXPROCS(0)
	w := &xzWriter{
		out:     out,
		queue:   make(chan chan block, workers),
		done:    make(chan error, 1),
		failed:  make(chan struct{}),
		limiter: make(chan struct{}, workers),
	}
	go func() {
		err := w.writeStream()
		if err != nil {
			close(w.failed)
			for range w.queue {
			}
		}
		w.done <- err
	}()
	return w
}

func (w *xzWriter) Write(p []byte) (int, error) {
	written := len(p)
	for len(p) > 0 {
		n := min(xzBlock-len(w.block), len(p))
		w.block = append(w.block, p[:n]...)
		p = p[n:]
		if len(w.block) == xzBlock {
			w.pack()
		}
		select {
		case <-w.failed:
			return 0, io.ErrClosedPipe // Close returns the cause
		default:
		}
	}
	return written, nil
}

// pack starts a goroutine that packs the collected block.
func (w *xzWriter) pack() {
	content, result := w.block, make(chan block, 1)
	w.block = nil
	w.limiter <- struct{}{}
	w.queue <- result
	go func() {
		result <- packBlock(content)
		<-w.limiter
	}()
}

func (w *xzWriter) Close() error {
	if len(w.block) > 0 {
		w.pack()
	}
	close(w.queue)
	return <-w.done
}

func packBlock(content []byte) block {
	var packed bytes.Buffer
	b := block{uncompressed: len(content), check: crc64.Checksum(content, crc64.MakeTable(crc64.ECMA))}
	// A small file needs only a small dictionary in its reader.
	capacity := 0
	b.dictionary, capacity = dictionarySize(min(len(content), xzDictionary))
	// Use the hash table, because the binary tree takes minutes for a file with a long
	// run of one byte.
	lw, err := lzma.Writer2Config{DictCap: capacity, Matcher: lzma.HashTable4}.NewWriter2(&packed)
	if err == nil {
		_, err = lw.Write(content)
	}
	if err == nil {
		err = lw.Close()
	}
	b.data, b.err = packed.Bytes(), err
	return b
}

// dictionarySize returns the smallest dictionary size of at least n bytes that the
// properties byte of the LZMA2 filter can express (section 5.3.1).
func dictionarySize(n int) (bits byte, size int) {
	for bits = 0; ; bits++ {
		size = (2 | int(bits&1)) << (bits/2 + 11)
		if size >= n {
			return bits, size
		}
	}
}

// writeStream writes header, blocks, index and footer.
func (w *xzWriter) writeStream() error {
	flags := []byte{0, xzCheckCRC64}
	header := append([]byte("\xfd7zXZ\x00"), flags...)
	header = binary.LittleEndian.AppendUint32(header, crc32.ChecksumIEEE(flags))
	if _, err := w.out.Write(header); err != nil {
		return err
	}

	var records []byte
	count := uint64(0)
	for result := range w.queue {
		b := <-result
		if b.err != nil {
			return b.err
		}
		header := blockHeader(b)
		tail := binary.LittleEndian.AppendUint64(padding(len(b.data)), b.check)
		for _, part := range [][]byte{header, b.data, tail} {
			if _, err := w.out.Write(part); err != nil {
				return err
			}
		}
		count++
		records = binary.AppendUvarint(records, uint64(len(header)+len(b.data)+xzCheckSize))
		records = binary.AppendUvarint(records, uint64(b.uncompressed))
	}

	index := binary.AppendUvarint([]byte{0}, count)
	index = append(index, records...)
	index = append(index, padding(len(index))...)
	index = binary.LittleEndian.AppendUint32(index, crc32.ChecksumIEEE(index))
	footer := binary.LittleEndian.AppendUint32(nil, uint32(len(index)/4-1))
	footer = append(footer, flags...)
	index = binary.LittleEndian.AppendUint32(index, crc32.ChecksumIEEE(footer))
	_, err := w.out.Write(append(append(index, footer...), "YZ"...))
	return err
}

// blockHeader returns a block's header with both sizes in it (section 3.1).
func blockHeader(b block) []byte {
	const bothSizesOneFilter, lzma2, propertiesLength = 0xc0, 0x21, 1
	h := []byte{0, bothSizesOneFilter}
	h = binary.AppendUvarint(h, uint64(len(b.data)))
	h = binary.AppendUvarint(h, uint64(b.uncompressed))
	h = append(h, lzma2, propertiesLength, b.dictionary)
	h = append(h, padding(len(h))...)
	h[0] = byte(len(h) / 4) // the length with the checksum, in words, less one
	return binary.LittleEndian.AppendUint32(h, crc32.ChecksumIEEE(h))
}

// padding returns the null bytes that follow n bytes up to a multiple of four.
func padding(n int) []byte {
	return make([]byte, -n&3)
}
