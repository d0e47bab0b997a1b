package pull

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"lxc-pull/image"
	"lxc-pull/untar"
)

// Limits of Incus' templates. package source reads at most 256, each of at most 1 MiB.
const (
	maxIncusTexts = 16 << 20 // bytes of all that are written
	usualMode     = 0o644    // of a file that a template makes, unless the metadata has another
)

// fillTemplates writes the files that Incus' metadata has Incus write when it creates a container
// of that name. Those that Incus writes at other times are left out, and those that need more than
// the container's name; the user is told which.
func (r *run) fillTemplates(ctx context.Context, in *image.IncusMetadata, name string) error {
	var later, unknown, barred []string
	written := 0
	for i := range in.Templates {
		t := &in.Templates[i]
		if err := ctx.Err(); err != nil {
			return err
		}
		if !slices.Contains(t.When, "create") {
			later = append(later, strconv.Quote(t.Path))
			continue
		}
		text, ok := t.Render(name)
		if t.Text == nil || written+len(text) > maxIncusTexts {
			ok = false
		}
		if !ok {
			unknown = append(unknown, strconv.Quote(t.Path))
			continue
		}
		written += len(text)
		err := r.fillTemplate(t, text)
		var outside *untar.OutsideError
		if err != nil && !errors.As(err, &outside) && !errors.Is(err, untar.ErrNotMade) {
			barred = append(barred, strconv.Quote(t.Path))
		}
		if err = r.inside(t.Path, err); err != nil {
			return err
		}
	}
	if later != nil {
		r.opt.Tell.Tell("Incus would write these files when it copies or starts the container; left as they are: " + someOf(later))
	}
	if barred != nil {
		r.warn("image-file", "the image has templates for these names, where no regular file can be; left as they are: %s", someOf(barred))
	}
	if unknown != nil {
		r.warn("image-file", "the image's templates for these files need what only Incus knows; the files are left as they are: %s", someOf(unknown))
	}
	return nil
}

// someOf joins quoted names for a message: not more than maxWarnings of them.
func someOf(names []string) string {
	more := ""
	if len(names) > maxWarnings {
		names, more = names[:maxWarnings], ", ..."
	}
	return strings.Join(names, ", ") + more
}

// fillTemplate writes a file, unless it exists and the template is only for a new one. As Incus
// does, it leaves an existing file its owner and mode.
func (r *run) fillTemplate(t *image.IncusTemplate, text []byte) error {
	root := r.staging.root
	name := filepath.Clean("/" + t.Path)[1:]
	if name == "" || strings.Count(name, "/") > maxDepth {
		return fs.ErrNotExist
	}
	file, _, err := root.OpenFile(name)
	file.Close() // does nothing for nil
	if err == nil && t.CreateOnly {
		return nil
	}
	if err == nil {
		err = root.Rewrite(name, maxTemplate, func([]byte) []byte { return text })
	} else if errors.Is(err, fs.ErrNotExist) {
		mode := t.Mode & 0o777
		if mode == 0 {
			mode = usualMode
		}
		if err = r.makeDir(filepath.Dir("/" + name)); err == nil {
			err = root.WriteOwned(name, mode, [2]uint32{t.UID, t.GID}, r.target.IDMap, text)
		}
	}
	if err == nil {
		r.edit(name)
	}
	return err
}
