// Verify measures verifiers of detached signatures: lxc-pull verify, and gpgv and sqv if
// they are installed.
//
//	go run -C scripts ./lab/bench/verify [-size 500] ../bin/lxc-pull
//
// It signs a file of -size MiB with a throw-away key, and the verifiers take turns. The
// table has the medians of user CPU time, MB of data per second of it, the peak of
// resident memory, and user CPU time as a ratio to gpgv's. The goals are below the table; the exit
// status is 3 if one is missed.
package main

import (
	"crypto"
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"lxc-pull/scripts/lab/bench/measure"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("bench/verify: ")
	size := flag.Int("size", 500, "MiB of data")
	runs := flag.Int("n", 5, "runs of each verifier")
	flag.Parse()
	if flag.NArg() != 1 {
		flag.Usage()
		os.Exit(2)
	}
	program, err := filepath.Abs(flag.Arg(0))
	var goals measure.Goals
	if err == nil {
		err = bench(&goals, program, int64(*size)<<20, *runs)
	}
	if err != nil {
		log.Fatal(err)
	}
	if goals.Missed() {
		os.Exit(measure.Missed)
	}
}

// maxRatio is the goal for user CPU time, as a ratio to gpgv's.
const maxRatio = 0.5

// A verifier is a command line and its measurements.
type verifier struct {
	name   string
	argv   []string
	user   []time.Duration
	maxRSS int64 // KiB
}

func bench(goals *measure.Goals, program string, size int64, runs int) error {
	dir, err := os.MkdirTemp("", "bench-verify")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for _, digest := range []crypto.Hash{crypto.SHA256, crypto.SHA512} {
		data, sig, key, err := sign(dir, size, digest)
		if err != nil {
			return err
		}
		verifiers := []*verifier{
			{name: "gpgv", argv: []string{"gpgv", "-q", "--keyring", key, sig, data}},
			{name: "lxc-pull verify", argv: []string{program, "verify", "--keyring", key, sig, data}},
			{name: "sqv", argv: []string{"sqv", "--keyring", key, sig, data}},
		}
		verifiers = slices.DeleteFunc(verifiers, func(v *verifier) bool {
			_, err := exec.LookPath(v.argv[0])
			return err != nil
		})
		for run := range runs + 1 { // the first run fills the page cache
			for _, v := range verifiers {
				cmd := exec.Command(v.argv[0], v.argv[1:]...)
				if out, err := cmd.CombinedOutput(); err != nil {
					return fmt.Errorf("%s: %v: %s", v.name, err, out)
				}
				usage := cmd.ProcessState.SysUsage().(*syscall.Rusage)
				if run > 0 {
					v.user = append(v.user, cmd.ProcessState.UserTime())
				}
				v.maxRSS = max(v.maxRSS, usage.Maxrss)
			}
		}
		base, ours := measure.Median(verifiers[0].user), time.Duration(0)
		for _, v := range verifiers {
			m := measure.Median(v.user)
			if v.argv[0] == program {
				ours = m
			}
			fmt.Printf("%-8v %-16s %6.2f s  %5.0f MB/s  %6.1f MiB  ratio %.2f\n", digest, v.name, m.Seconds(),
				float64(size)/1e6/m.Seconds(), float64(v.maxRSS)/1024, m.Seconds()/base.Seconds())
		}
		if verifiers[0].name == "gpgv" {
			goals.Ratio(fmt.Sprintf("verification of %d MiB, %v, user CPU, to gpgv", size>>20, digest), "s", ours.Seconds(), base.Seconds(), maxRatio)
		}
	}
	return nil
}

// sign makes a file of random bytes, a key, and a signature with this digest algorithm.
func sign(dir string, size int64, digest crypto.Hash) (data, sig, key string, err error) {
	data, sig, key = filepath.Join(dir, "data"), filepath.Join(dir, "data.sig"), filepath.Join(dir, "key.pgp")
	f, err := os.Create(data)
	if err != nil {
		return "", "", "", err
	}
	defer f.Close()
	source := rand.NewChaCha8([32]byte{1})
	block := make([]byte, 1<<20)
	for range size >> 20 {
		source.Read(block)
		if _, err := f.Write(block); err != nil {
			return "", "", "", err
		}
	}
	config := &packet.Config{DefaultHash: digest, Algorithm: packet.PubKeyAlgoEdDSA}
	entity, err := openpgp.NewEntity("bench", "", "bench@localhost", config)
	if err != nil {
		return "", "", "", err
	}
	k, err := os.Create(key)
	if err != nil {
		return "", "", "", err
	}
	defer k.Close()
	if err := entity.Serialize(k); err != nil {
		return "", "", "", err
	}
	if _, err := f.Seek(0, 0); err != nil {
		return "", "", "", err
	}
	s, err := os.Create(sig)
	if err != nil {
		return "", "", "", err
	}
	defer s.Close()
	return data, sig, key, openpgp.DetachSign(s, entity, f, config)
}
