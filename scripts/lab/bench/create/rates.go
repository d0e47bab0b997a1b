package main

import (
	"fmt"

	"lxc-pull/scripts/lab/bench/measure"
)

// The goals of creations in memory.
const (
	maxOverlap     = 1.05 // wall time, as a ratio to the slower of transfer and decoding
	maxRatio       = 0.50 // wall time, as a ratio to the stock template's, without a limit
	maxRatioSmall  = 0.75 // the same with --memory 24M
	maxMemory      = 96   // MB, with two blocks decoded in parallel
	maxMemorySmall = 25.2 // MB, with --memory 24M, which are MiB
)

// atRates measures creations on links of different speeds.
func (b *bench) atRates() error {
	stop, err := b.connect(0)
	if err != nil {
		return err
	}
	defer stop()
	for _, rate := range b.rates {
		if err := b.cable.Limit(rate); err != nil {
			return err
		}
		runs, title := b.runs, "unshaped"
		if rate > 0 {
			title = fmt.Sprintf("%g MB/s", rate)
		}
		if rate > 0 && rate < 10 {
			runs = 1 // a run that long isn't dominated by noise
		}
		ours, stock, transfer := b.own("lxc-pull --no-cache", "--no-cache"), b.stock(), b.transfer("")
		decoding := &measure.Way{Name: "decoding alone", Argv: func(string) []string { return []string{b.ours, "zcat", "-t", b.rootfs} }}
		small := b.own("lxc-pull --memory 24M", "--no-cache", "--memory=24M")
		ways := []*measure.Way{ours, stock, transfer, decoding}
		if rate == 0 {
			ways = append(ways, b.own("lxc-pull"), small)
		}
		for range runs {
			for _, w := range ways {
				if err := b.run(w, b.dir+"/run", "", nothing); err != nil {
					return err
				}
			}
		}
		table(title, stock, ways)
		slower := max(measure.Median(transfer.Wall), measure.Median(decoding.Wall))
		b.goals.Ratio("creation, "+title+", to the slower of transfer, decoding", "s", measure.Median(ours.Wall), slower, maxOverlap)
		b.goals.Limit("creation, "+title+", memory", "MB", megabytes(ours.Memory), maxMemory)
		// A creation edits the config, so it must exist before.
		b.goals.Limit("creation, "+title+", besides the root file system", "MB", megabytes(ours.Disk), 0.01)
		if rate > 0 {
			continue
		}
		b.goals.Ratio("creation, unshaped, to stock", "s", measure.Median(ours.Wall), measure.Median(stock.Wall), maxRatio)
		b.goals.Ratio("creation, unshaped, --memory 24M, to stock", "s", measure.Median(small.Wall), measure.Median(stock.Wall), maxRatioSmall)
		b.goals.Limit("creation, unshaped, --memory 24M, memory", "MB", megabytes(small.Memory), maxMemorySmall)
	}
	return nil
}
