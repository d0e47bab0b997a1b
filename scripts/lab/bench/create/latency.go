package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"lxc-pull/scripts/lab/bench/measure"
)

// maxTrips is how many round trips a creation may need beyond those of the transfer alone. The
// goal is 4 and the handshakes of TCP and TLS; the transfer has both handshakes and one request,
// so 3 are left.
const maxTrips = 3

// withLatency measures creations on a line with a long round trip, and on one without. What the
// first takes longer is counted in round trips. An image of a few bytes shows the number of
// requests that wait for each other; a real one on a fast line also how soon its transfer begins,
// because TCP starts slowly.
func (b *bench) withLatency() error {
	for _, rate := range b.rates {
		var near, far []*measure.Way
		for _, delay := range []time.Duration{0, b.delay} {
			ways, err := b.atDistance(delay, rate)
			if err != nil {
				return err
			}
			near, far = far, ways
		}
		title := "unshaped"
		if rate > 0 {
			title = fmt.Sprintf("%g MB/s", rate)
		}
		fmt.Printf("\nround trips of %v, %s, %d runs\n", b.delay, title, b.runs)
		t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintln(t, "\twall s\twithout delay s\tround trips\tbeyond the transfer\t")
		trips := func(i int) float64 {
			return (measure.Median(far[i].Wall) - measure.Median(near[i].Wall)) / b.delay.Seconds()
		}
		last := len(far) - 1 // the transfer alone
		for i, w := range far {
			fmt.Fprintf(t, "%s\t%.2f\t%.2f\t%.1f\t%.1f\t\n", w.Name, measure.Median(w.Wall), measure.Median(near[i].Wall), trips(i), trips(i)-trips(last))
		}
		t.Flush()
		// A tenth of a round trip isn't one more.
		b.goals.Limit("round trips of a creation beyond the transfer, "+title, "", trips(0)-trips(last), maxTrips+0.1)
	}
	return nil
}

// atDistance races creations and the transfer on a line with a delay, and prints the time to the
// first file.
func (b *bench) atDistance(delay time.Duration, rate float64) ([]*measure.Way, error) {
	stop, err := b.connect(delay)
	if err != nil {
		return nil, err
	}
	defer stop()
	if err := b.cable.Limit(rate); err != nil {
		return nil, err
	}
	ways := []*measure.Way{b.own("lxc-pull --no-cache", "--no-cache"), b.own("lxc-pull"), b.stock(), b.transfer("")}
	for range b.runs {
		for _, w := range ways {
			if err := b.run(w, b.dir+"/run", "", nothing); err != nil {
				return nil, err
			}
		}
	}
	for _, w := range []*measure.Way{b.own("lxc-pull --no-cache", "--no-cache"), b.stock()} {
		if err := b.firstFile(w, delay); err != nil {
			return nil, err
		}
	}
	return ways, nil
}

// firstFile prints when the first file of one creation is there, since its start and since the
// first bytes of the image came. The latter is when the server has sent more than the small files
// have.
func (b *bench) firstFile(w *measure.Way, delay time.Duration) error {
	const small = 64 << 10 // index, metadata, signatures and certificates
	var begin, bytes, file time.Time
	end, ended := make(chan bool), make(chan bool)
	dir := b.dir + "/run"
	err := b.run(w, dir, "", func() error {
		before := b.sent()
		begin = time.Now()
		go func() {
			defer close(ended)
			for file.IsZero() {
				select {
				case <-end:
					return
				case <-time.After(time.Millisecond):
				}
				if bytes.IsZero() && b.sent()-before > small {
					bytes = time.Now().Add(delay / 2) // the first of them are under way
				}
				if holdsFile(dir + "/c") {
					file = time.Now()
				}
			}
		}()
		return nil
	})
	close(end)
	<-ended
	if err != nil || file.IsZero() {
		return err
	}
	since := "-" // the image is smaller than that
	if !bytes.IsZero() {
		since = fmt.Sprintf("%.2f s", file.Sub(bytes).Seconds())
	}
	fmt.Printf("%s, round trip %v: first file after %.2f s, after the image's first bytes %s\n", w.Name, delay, file.Sub(begin).Seconds(), since)
	return nil
}

// sent returns how many bytes the server's end of the cable has sent.
func (b *bench) sent() int64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/net/dev", b.serves))
	for line := range strings.Lines(string(text)) {
		name, counts, _ := strings.Cut(line, ":")
		var n [9]int64 // of bytes received and seven more; then of bytes sent
		if strings.HasPrefix(strings.TrimSpace(name), "bf") {
			fmt.Sscan(counts, &n[0], &n[1], &n[2], &n[3], &n[4], &n[5], &n[6], &n[7], &n[8])
			return n[8]
		}
	}
	return 0
}

// holdsFile reports whether a container's directory has a file besides the config and the
// files by which lxc-pull marks its directories and tries what a file system can store.
func holdsFile(dir string) (found bool) {
	filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
		case strings.HasPrefix(entry.Name(), ".lxc-pull-") && entry.IsDir():
			return fs.SkipDir
		case entry.Type().IsRegular() && filepath.Dir(path) != dir && !strings.HasPrefix(entry.Name(), ".lxc-pull-"):
			found = true
			return fs.SkipAll
		}
		return nil
	})
	return found
}
