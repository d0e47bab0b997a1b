package cli

import (
	"fmt"
	"time"

	"lxc-pull/pgp"
)

// listKeys prints a line for each trusted key: its fingerprint, a tab, and whether the key
// can sign at time t or why it can't.
func listKeys(ui *ui, keys *pgp.Keyring, t time.Time) error {
	for _, k := range keys.Keys(t) {
		name, state := k.Fingerprint, "can sign"
		if k.KeyFingerprint != name {
			name += " subkey " + k.KeyFingerprint
		}
		switch {
		case k.Problem != "":
			state = k.Problem
		case k.Plain:
			state = "can sign container images"
		}
		if _, err := fmt.Fprintf(ui.out, "%s\t%s\n", name, state); err != nil {
			return err
		}
	}
	return nil
}

// readTrusted returns the keys in files, or the built-in key if files is empty. If
// fingerprints is not empty, only those keys are returned.
func readTrusted(files, fingerprints []string) (keys *pgp.Keyring, err error) {
	keys = pgp.LinuxContainers()
	for i, name := range files {
		data, err := readWhole(name, pgp.MaxKeyring)
		if err != nil {
			return nil, &fileError{option: "keyring", name: name, err: withoutPath(err)}
		}
		ring, err := pgp.ReadKeyring(data)
		if err != nil {
			return nil, &fileError{option: "keyring", name: name, err: err}
		}
		if i == 0 {
			keys = ring
		} else {
			keys = pgp.Merge(keys, ring)
		}
	}
	if len(fingerprints) == 0 {
		return keys, nil
	}
	if keys, err = keys.Select(fingerprints); err != nil {
		return nil, usageErrorf("--fingerprint: %v", err)
	}
	return keys, nil
}
