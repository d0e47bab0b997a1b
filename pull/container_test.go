package pull

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lxc-pull/lxc"
	"lxc-pull/pull/source"
	"lxc-pull/untar"
)

// testRun returns a run that has unpacked one file with a token into the directory dir.
func testRun(t *testing.T) (r *run, dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "f"), []byte("LXC_NAME"), 0o644); err != nil {
		t.Fatal(err)
	}
	root, err := untar.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	return &run{
		target:   Target{Container: lxc.Container{Name: "web"}},
		opt:      Options{Tell: into(new(strings.Builder))},
		staging:  &staging{root: root},
		contents: &contents{},
	}, dir
}

func TestPersonalizeEnds(t *testing.T) {
	r, dir := testRun(t)
	defer r.staging.root.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	meta := lxc.Meta{"templates": []byte("/f\n")}
	if err := r.personalize(ctx, &source.Found{Meta: meta}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "f")); string(text) != "LXC_NAME" || err != nil {
		t.Errorf("%q, %v: edited after the signal", text, err)
	}
	if err := r.personalize(context.Background(), &source.Found{Meta: meta}); err != nil {
		t.Error(err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "f")); string(text) != "web" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
}

// An error of looking at dev does not count as a dev that is missing.
func TestCheckDev(t *testing.T) {
	r, dir := testRun(t)
	r.contents.creates = true
	if err := r.checkDev(); err != nil {
		t.Errorf("no dev: %v", err)
	}
	if err := os.Symlink("/etc", filepath.Join(dir, "dev")); err != nil {
		t.Fatal(err)
	}
	if err := r.checkDev(); err == nil || !strings.Contains(err.Error(), "no directory") {
		t.Errorf("a link: %v", err)
	}
	r.contents.creates = false
	if err := r.checkDev(); err != nil {
		t.Errorf("a link, and no mounts: %v", err)
	}
	r.contents.creates = true
	r.staging.root.Close()
	if err := r.checkDev(); err == nil {
		t.Error("an error passes")
	}
}

// The number of templates is limited for a root file system alone, too.
func TestManyTemplates(t *testing.T) {
	for _, alone := range []bool{true, false} {
		r, _ := testRun(t)
		defer r.staging.root.Close()
		r.target.RootfsOnly, r.target.Container.Path = alone, "/lxc/web"
		for n, ok := range map[int]bool{maxTemplates: true, maxTemplates + 1: false} {
			lines := strings.TrimSuffix(strings.Repeat("/x\n", n), "\n")
			if _, err := r.inspect(&source.Found{Meta: lxc.Meta{"config": nil, "templates": []byte(lines)}}); (err == nil) != ok {
				t.Errorf("alone %v, %d: %v", alone, n, err)
			}
		}
	}
}
