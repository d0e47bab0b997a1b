package untar

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/iotest"
	"time"
)

func TestReadAhead(t *testing.T) {
	want := bytes.Repeat([]byte("0123456789abcdef"), 100_000)
	a := NewReadAhead(iotest.HalfReader(bytes.NewReader(want)))
	got, err := io.ReadAll(iotest.OneByteReader(a))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if n, err := a.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("after the end: %d, %v", n, err)
	}
	a.Close()

	broken := errors.New("broken")
	a = NewReadAhead(io.MultiReader(bytes.NewReader(want), iotest.ErrReader(broken)))
	got, err = io.ReadAll(a)
	if err != broken || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	a.Close()

	// After an early Close it no longer reads the other reader.
	reader := &endlessReader{}
	a = NewReadAhead(reader)
	io.ReadFull(a, make([]byte, 10))
	a.Close()
	a.Close()
	after := reader.calls
	time.Sleep(time.Millisecond)
	if reader.calls != after || after > aheadBuffers+2 {
		t.Errorf("%d calls, then %d", after, reader.calls)
	}
}

type endlessReader struct{ calls int }

func (c *endlessReader) Read(p []byte) (int, error) {
	c.calls++
	return len(p), nil
}

// Until ends a reader without end when its context is done.
func TestUntil(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r := Until(ctx, &endlessReader{})
	if n, err := r.Read(make([]byte, 9)); n != 9 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	cancel()
	if n, err := r.Read(make([]byte, 9)); n != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %d, %v", n, err)
	}
}
