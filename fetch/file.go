package fetch

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"
)

// openFile makes b.transfer read a local file.
func (b *Body) openFile(s *source) error {
	f, info, err := openRegular(s.url.Path)
	if err != nil {
		return err
	}
	switch {
	case b.request.Max > 0 && info.Size() > b.request.Max:
		err = tooLarge(b.request.Max)
	case b.Size >= 0 && info.Size() != b.Size, info.Size() < b.offset:
		err = &Error{Kind: KindChanged, Err: fmt.Errorf("it has %d bytes", info.Size())}
	default:
		_, err = f.Seek(b.offset, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return err
	}
	b.Size = info.Size()
	b.transfer = transfer{body: f, url: s.url, cancel: func(error) {}, start: b.offset, end: -1}
	return nil
}

// tailFile implements Client.Tail for a local file.
func tailFile(u *url.URL, n int64) (data []byte, size int64, err error) {
	f, info, err := openRegular(u.Path)
	if err != nil {
		return nil, 0, failure(u, u, err, time.Time{})
	}
	defer f.Close()
	data = make([]byte, min(n, info.Size()))
	if _, err = f.ReadAt(data, info.Size()-int64(len(data))); err != nil {
		return nil, 0, failure(u, u, localError(err), time.Time{})
	}
	return data, info.Size(), nil
}

// openRegular opens a regular file. A file system without colons (FAT, NTFS) can't
// store the name of a build (20260829_05:24), which is the directory of the file,
// so openRegular also tries the replacements %3A and _ there.
func openRegular(name string) (f *os.File, info fs.FileInfo, err error) {
	file := strings.LastIndexByte(name, '/')
	build := strings.LastIndexByte(name[:max(file, 0)], '/') + 1
	for _, colon := range []string{":", "%3A", "_"} {
		path := name
		if colon != ":" {
			path = name[:build] + strings.ReplaceAll(name[build:file], ":", colon) + name[file:]
		}
		// Without O_NONBLOCK the open of a FIFO would block.
		f, err = os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.EINVAL) || file < build || !strings.Contains(name[build:file], ":") {
			break
		}
	}
	if err != nil {
		return nil, nil, localError(err)
	}
	info, err = f.Stat()
	switch {
	case err != nil:
		err = localError(err)
	case !info.Mode().IsRegular():
		err = &Error{Kind: KindFile, Err: errors.New("not a regular file")}
	default:
		return f, info, nil
	}
	f.Close()
	return nil, nil, err
}

// localError returns the *Error of a local file. The URL of the *Error already
// shows the path.
func localError(err error) *Error {
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	return &Error{Kind: KindFile, Err: err}
}
