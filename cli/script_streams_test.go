package cli

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// publishStreams is the command
//
//	streams TREE META ROOTFS OS/RELEASE/ARCH/VARIANT VERSION [aliases=A,B] [nosig]
//
// It adds an image to the tree of a simplestreams server out of two directories, with the key in
// TREE.pub. The lists have detached signatures.
func publishStreams(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 5 {
		ts.Fatalf("usage: streams TREE META ROOTFS OS/RELEASE/ARCH/VARIANT VERSION [OPTION]...")
	}
	tree, version, options := ts.MkAbs(args[0]), args[4], args[5:]
	name := strings.Split(args[3], "/")
	dir := "images/" + args[3] + "/" + version
	ts.Check(os.MkdirAll(filepath.Join(tree, dir), 0o755))
	ts.Check(os.MkdirAll(tree+"/streams/v1", 0o755))
	ts.Check(os.WriteFile(tree+".pub", signify("public key", signer().Public().(ed25519.PublicKey)), 0o644))
	items := map[string]any{}
	add := func(item, file string, data []byte, more map[string]any) {
		ts.Check(os.WriteFile(filepath.Join(tree, dir, file), data, 0o644))
		more["ftype"], more["path"], more["size"], more["sha256"] = item, dir+"/"+file, len(data), fmt.Sprintf("%x", sha256.Sum256(data))
		items[item] = more
	}
	meta, root := packXZ(ts, ts.MkAbs(args[1])), packXZ(ts, ts.MkAbs(args[2]))
	combined := fmt.Sprintf("%x", sha256.Sum256(slices.Concat(meta, root)))
	add("incus.tar.xz", "incus.tar.xz", meta, map[string]any{"combined_rootxz_sha256": combined})
	add("root.tar.xz", "rootfs.tar.xz", root, map[string]any{})
	list := struct {
		Format   string                    `json:"format"`
		Datatype string                    `json:"datatype"`
		Products map[string]map[string]any `json:"products"`
	}{"products:1.0", "image-downloads", map[string]map[string]any{}}
	if before, err := os.ReadFile(tree + "/streams/v1/images.json"); err == nil {
		ts.Check(json.Unmarshal(before, &list))
	}
	key := strings.Join(name, ":")
	product := list.Products[key]
	if product == nil {
		product = map[string]any{"os": name[0], "release": name[1], "arch": name[2], "variant": name[3], "versions": map[string]any{}}
		product["aliases"] = name[0] + "/" + name[1] + "/" + name[3] + "," + name[0] + "/" + name[1]
		list.Products[key] = product
	}
	product["versions"].(map[string]any)[version] = map[string]any{"items": items}
	signs := true
	for _, option := range options {
		if aliases, ok := strings.CutPrefix(option, "aliases="); ok {
			product["aliases"] = product["aliases"].(string) + "," + aliases
		}
		signs = signs && option != "nosig"
	}
	write := func(file string, value any) {
		text, err := json.Marshal(value)
		ts.Check(err)
		ts.Check(os.WriteFile(tree+"/streams/v1/"+file, text, 0o644))
		if signs {
			ts.Check(os.WriteFile(tree+"/streams/v1/"+file+".gpg", signed(text), 0o644))
		}
	}
	write("images.json", list)
	write("index.json", map[string]any{"format": "index:1.0", "index": map[string]any{"images": map[string]any{
		"datatype": "image-downloads", "format": "products:1.0", "path": "streams/v1/images.json",
	}}})
}
