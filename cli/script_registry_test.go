package cli

import (
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// A registryKey is the key of a script's registry among its values.
type registryKey struct{}

// registryCommand returns the script command "registry", which starts a registry on loopback the
// first time, and sets REGISTRY to its HOST:PORT:
//
//	registry image REPO TAG [KEY=VALUE]... [-- ENTRY...]...   an image; each -- begins a layer, whose
//	      entries are as for tarLayer. KEY is platform, type (the layers' media type) or one of the
//	      image's config, with a JSON value. DIGEST is set to the digest of its manifest
//	registry index REPO TAG PLATFORM=DIGEST...                sets DIGEST, too
//	registry basic|token USER PASSWORD                        requires a login
//	registry html|free                                        every answer is a web page; none is
//	registry limit N                                          the next N requests are answered 429
//	registry spoil                                            every layer and config has other bytes
//	registry requests FILE                                    writes a line for each request since the last
func registryCommand(t *testing.T) func(ts *testscript.TestScript, neg bool, args []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		holder := ts.Value(registryKey{}).(**fakeRegistry)
		if *holder == nil {
			*holder = newRegistry(t)
			ts.Setenv("REGISTRY", (*holder).host())
		}
		f := *holder
		if neg || len(args) == 0 {
			ts.Fatalf("usage: registry VERB ...")
		}
		verb, args := args[0], args[1:]
		switch verb {
		case "start":
		case "image":
			ts.Setenv("DIGEST", f.addImage(args[0], args[1], scriptImage(ts, t, args[2:])))
		case "index":
			var entries []string
			for _, arg := range args[2:] {
				entries = append(entries, strings.Replace(arg, "=", " ", 1))
			}
			ts.Setenv("DIGEST", f.addIndex(args[0], args[1], entries...))
		case "requests":
			ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.Join(f.asked(""), "\n")+"\n"), 0o644))
			f.forget()
		default:
			f.mu.Lock()
			defer f.mu.Unlock()
			f.basic, f.tokens, f.html, f.user, f.password = false, false, false, "", ""
			switch verb {
			case "basic":
				f.requireBasic(args[0], args[1])
			case "token":
				f.requireToken(args[0], args[1])
			case "html":
				f.html = true
			case "limit":
				n, err := strconv.Atoi(args[0])
				ts.Check(err)
				f.tooMany = n
			case "spoil":
				for digest, data := range f.blobs {
					f.blobs[digest] = append(append([]byte(nil), data[:len(data)-1]...), data[len(data)-1]^1)
				}
			case "free":
			default:
				ts.Fatalf("registry %s is not known", verb)
			}
		}
	}
}

// scriptImage returns the image that a script describes.
func scriptImage(ts *testscript.TestScript, t *testing.T, args []string) fakeImage {
	i := fakeImage{config: map[string]any{}}
	var layers [][]string
	for _, arg := range args {
		switch key, value, _ := strings.Cut(arg, "="); {
		case arg == "--":
			layers = append(layers, nil)
		case len(layers) > 0:
			layers[len(layers)-1] = append(layers[len(layers)-1], arg)
		case key == "platform":
			i.platform = value
		case key == "type":
			i.mediaType = value
		default:
			var member any
			if err := json.Unmarshal([]byte(value), &member); err != nil {
				ts.Fatalf("%s: %v", arg, err)
			}
			i.config[key] = member
		}
	}
	for _, entries := range layers {
		i.layers = append(i.layers, tarLayer(t, entries...))
	}
	return i
}
