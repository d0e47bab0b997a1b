package source

import (
	"io"
	"strings"
	"testing"

	"lxc-pull/image"
)

// TestWeb gets a file from a server and from a mirror with other bytes.
func TestWeb(t *testing.T) {
	server, mirror := newTestServer(t), newTestServer(t)
	server.write("file", []byte("content"))
	mirror.write("file", []byte("another"))
	d, other := sumOf([]byte("content")), sumOf([]byte("none"))
	f := Open(serverOptions(t, t.TempDir(), server.URL), deaf())
	w := f.newWeb()
	w.add(other, nil, strings.Replace(server.URL, "http:", "https:", 1)+"/other")
	if !w.safe() {
		t.Error("bytes over https are not safe")
	}
	w.add(d, []string{mirror.URL + "/file"}, server.URL+"/file")
	if w.safe() || w.url("blobs", d) != mirror.URL+"/file" || w.url("blobs", "sha256:0") != "" || w.course("sha256:0") != nil {
		t.Errorf("safe %v, %q", w.safe(), w.url("blobs", d))
	}
	if data, _, err := w.get(t.Context(), "blobs/"+string(d), 100); err != nil || string(data) != "content" {
		t.Errorf("%q, %v", data, err)
	}
	if _, _, err := w.get(t.Context(), "blobs/sha256:0", 100); err == nil {
		t.Error("a file without a URL was found")
	}
	open := func(size, offset int64) (string, error) {
		body, err := w.open(t.Context(), &image.Descriptor{Digest: d, Size: size}, offset)
		if err != nil {
			return "", err
		}
		defer body.Close()
		data, err := io.ReadAll(body)
		return string(data), err
	}
	for size, kind := range map[int64]Kind{7: 0, -1: 0, 6: Unverified, 8: Unverified} {
		if _, err := open(size, 0); KindOf(err) != kind {
			t.Errorf("size %d: %v", size, err)
		}
	}
	if text, err := open(7, 3); err != nil || text != "tent" {
		t.Errorf("from 3 on: %q, %v", text, err)
	}
	// All URLs have wrong bytes.
	server.write("file", []byte("another"))
	if _, _, err := w.get(t.Context(), "blobs/"+string(d), 100); KindOf(err) != Unverified {
		t.Errorf("wrong bytes: %v", err)
	}
}
