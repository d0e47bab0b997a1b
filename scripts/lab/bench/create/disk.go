package main

import (
	"fmt"
	"os"

	"lxc-pull/scripts/lab/bench/measure"
)

const (
	maxDiskRatio = 0.50      // wall time, as a ratio to the stock template's
	roomOfOne    = 1 << 30   // bytes of a file system for one creation
	roomOfMore   = 400 << 20 // the same for each of many
)

// onDisk measures creations on ext4. No run sees a file system on which a tree was removed: ext4
// needs seconds to make files soon after that.
func (b *bench) onDisk() error {
	stop, err := b.connect(0)
	if err != nil {
		return err
	}
	defer stop()
	for _, kind := range []struct {
		title string
		race  func([]*measure.Way) error
	}{
		{"cold: a new file system and empty caches for each run", b.cold},
		{"warm: a new directory on one file system", b.warm},
	} {
		ways := []*measure.Way{b.own("lxc-pull --no-cache", "--no-cache"), b.own("lxc-pull"), b.stock()}
		if err := kind.race(ways); err != nil {
			return err
		}
		table(kind.title, ways[2], ways)
		for _, w := range ways[:2] {
			b.goals.Ratio(fmt.Sprintf("disk, %.4s, %s, to stock", kind.title, w.Name), "s", measure.Median(w.Wall), measure.Median(ways[2].Wall), maxDiskRatio)
			b.goals.Limit(fmt.Sprintf("disk, %.4s, %s, memory", kind.title, w.Name), "MB", megabytes(w.Memory), maxMemory)
		}
	}
	return nil
}

// cold makes a file system for each run. The programs come from the disk, too; the image doesn't,
// because a server would be another machine.
func (b *bench) cold(ways []*measure.Way) error {
	one := func(w *measure.Way) error {
		fs, err := measure.NewFileSystem(b.dir, roomOfOne)
		if err != nil {
			return err
		}
		defer fs.Remove()
		return b.run(w, fs.Dir+"/run", "", func() error {
			if err := measure.DropCaches(); err != nil {
				return err
			}
			if err := measure.ReadTree(b.tree); err != nil {
				return err
			}
			measure.Settle()
			return nil
		})
	}
	for range b.runs {
		for _, w := range ways {
			if err := one(w); err != nil {
				return err
			}
		}
	}
	return nil
}

// warm makes one file system for all runs, and a directory for each. The first round isn't
// counted.
func (b *bench) warm(ways []*measure.Way) error {
	fs, err := measure.NewFileSystem(b.dir, int64(b.runs+1)*int64(len(ways))*roomOfMore)
	if err != nil {
		return err
	}
	defer fs.Remove()
	for round := range b.runs + 1 {
		for i, w := range ways {
			if round == 0 {
				first := *w // its measurements are thrown away
				w = &first
			}
			dir := fmt.Sprintf("%s/%d-%d", fs.Dir, round, i)
			if err := b.run(w, dir, "", func() error { measure.Settle(); return nil }); err != nil {
				return err
			}
			if err := os.RemoveAll(dir + "/tmp"); err != nil {
				return err
			}
		}
	}
	return nil
}
