package image

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

const layerType = "application/vnd.oci.image.layer.v1.tar+gzip"

// descriptor returns the text of a descriptor, with more members.
func descriptor(mediaType, more string) string {
	return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":7%s}`, mediaType, digestA, more)
}

func manifest(layers ...string) string {
	return `{"schemaVersion":2,"mediaType":"` + OCIManifest + `","config":` + descriptor(OCIConfigType, "") + `,"layers":[` + strings.Join(layers, ",") + `]}`
}

func index(manifests ...string) string {
	return `{"schemaVersion":2,"mediaType":"` + OCIIndex + `","manifests":[` + strings.Join(manifests, ",") + `]}`
}

func platform(os, arch, variant string) string {
	return descriptor(OCIManifest, fmt.Sprintf(`,"platform":{"os":%q,"architecture":%q,"variant":%q}`, os, arch, variant))
}

// check compares an error with the text that it must have, "" for none.
func check(t *testing.T, text string, err error, want string) {
	t.Helper()
	if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
		t.Errorf("%.200q: %v, want %q", text, err, want)
	}
	if err != nil && (len(err.Error()) > 4000 || strings.ContainsFunc(err.Error(), func(c rune) bool { return c < ' ' || c == 0x7f || c == 0x9b })) {
		t.Errorf("%.200q: an error with control characters, or a long one: %.200q", text, err)
	}
}

func TestParseManifest(t *testing.T) {
	layer := descriptor(layerType, "")
	many := func(n int, item string) string { return strings.TrimSuffix(strings.Repeat(item+",", n), ",") }
	for _, test := range []struct{ text, mediaType, want string }{
		{manifest(layer), "", ""},
		{manifest(layer), OCIManifest, ""},
		{manifest(layer), OCIManifest + "; charset=utf-8", ""},
		{manifest(layer), "application/json", ""},
		{manifest(layer), DockerManifest, "it came as"},
		{manifest(layer), OCIIndex, "it came as"},
		{strings.Replace(manifest(layer), OCIManifest, DockerManifest, 1), DockerManifest, ""},
		{strings.Replace(manifest(layer), `"mediaType":"`+OCIManifest+`",`, "", 1), "", ""},
		{strings.Replace(manifest(layer), `"mediaType":"`+OCIManifest+`",`, "", 1), DockerManifest, ""},
		{strings.Replace(manifest(layer), `"mediaType":"`+OCIManifest+`",`, "", 1), DockerIndex, "its content is not that of"},
		{strings.Replace(manifest(layer), OCIManifest, OCIIndex, 1), "", "its content is not that of"},
		{strings.Replace(manifest(layer), OCIManifest, "application/vnd.oci.artifact.manifest.v1+json", 1), "", "are not supported"},
		{index(platform("linux", "arm64", "v8")), OCIIndex, ""},
		{index(), "", ""},
		{`{"schemaVersion":2,"mediaType":"` + OCIIndex + `","manifests":null}`, "", ""},
		{strings.Replace(index(), OCIIndex, OCIManifest, 1), "", "its content is not that of"},
		{strings.Replace(index(), `"schemaVersion":2`, `"config":{},"schemaVersion":2`, 1), "", "its content is not that of"},
		{strings.Replace(manifest(layer), `"layers"`, `"manifests":[],"layers"`, 1), "", "its content is not that of"},
		{`{"schemaVersion":1,"name":"x","fsLayers":[]}`, "", "schema 1"},
		{`{"schemaVersion":2,"fsLayers":[]}`, "", "schema 1"},
		{manifest(layer), "application/vnd.docker.distribution.manifest.v1+prettyjws", "it came as"},
		{`{"schemaVersion":1}`, "application/vnd.docker.distribution.manifest.v1+prettyjws", "schema 1"},
		{strings.Replace(manifest(layer), `:2,`, `:3,`, 1), "", "schemaVersion"},
		{strings.Replace(manifest(layer), `:2,`, `:"2",`, 1), "", "schemaVersion"},
		{`{}`, "", "its content is not that of"},
		{`[]`, "", "no JSON object"},
		{"<html>\x1b[2J", "text/html", `no valid JSON at byte 0, of type "text/html"`},
		{"", "", "no valid JSON"},
		{strings.Repeat("[", 1<<20), "", "nested"},
		{`{"a":"` + strings.Repeat("x", 10<<20) + `"}`, "", "larger than 4194304 bytes"},
		{manifest(many(MaxLayers, layer)), "", ""},
		{manifest(many(MaxLayers+1, layer)), "", `"layers" is no array of at most 512`},
		{manifest(many(10000, layer)), "", `"layers" is no array of at most 512`},
		{index(many(maxManifests+1, layer)), "", `"manifests" is no array of at most`},
		{manifest(strings.Replace(layer, `7`, `-1`, 1)), "", `"size" is no number`},
		{manifest(strings.Replace(layer, `:7`, `:17592186044417`, 1)), "", `"size" is no number`},
		{manifest(strings.Replace(layer, `:7`, `:1e3`, 1)), "", `"size" is no number`},
		{manifest(strings.Replace(layer, `,"size":7`, ``, 1)), "", `"size" is no number`},
		{manifest(strings.Replace(layer, digestA, "sha512:"+hexA+hexA, 1)), "", "no digest that is supported"},
		{manifest(strings.Replace(layer, digestA, "../../etc/passwd", 1)), "", "no digest that is supported"},
		{manifest(strings.Replace(layer, `"digest"`, `"digest":"x","digest"`, 1)), "", "two members"},
		{manifest(strings.Replace(layer, `"`+digestA+`"`, `5`, 1)), "", `"digest" is not a text`},
		{manifest(`5`), "", "no digest"},
		{strings.Replace(manifest(), `"layers":[]`, `"layers":{}`, 1), "", `"layers" is no array`},
		{strings.Replace(manifest(), `"layers":[]`, `"layers":[],"config2":1`, 1), "", ""},
		{strings.Replace(manifest(), `"config"`, `"other"`, 1), "", "no digest"},
		{manifest(descriptor(layerType, `,"annotations":{"dev.cosignproject.cosign/signature":"`+strings.Repeat("x", maxText+1)+`"}`)), "", "is not a text of at most"},
		{manifest(descriptor(layerType, `,"platform":5`)), "", `"platform" is no object`},
		{manifest(strings.Replace(layer, "application", `\u0000`, 1)), "", "NUL"},
		{strings.Replace(manifest(), `"layers"`, `"subject":{"digest":"x"},"layers"`, 1), "", "no digest"},
	} {
		m, err := ParseManifest([]byte(test.text), test.mediaType)
		check(t, test.text, err, test.want)
		if err == nil && m.Index != (len(m.Layers) == 0 && m.Config.Digest == "") {
			t.Errorf("%+v", m)
		}
	}
}

func TestManifestMembers(t *testing.T) {
	text := strings.Replace(manifest(descriptor("x", `,"annotations":{"dev.cosignproject.cosign/signature":"c2ln"}`)), `"layers"`, `"artifactType":"a/b","subject":`+descriptor(OCIManifest, "")+`,"layers"`, 1)
	m, err := ParseManifest([]byte(text), "")
	if err != nil || m.ArtifactType != "a/b" || string(m.Subject) != digestA || m.Layers[0].Signature != "c2ln" || m.Config.MediaType != OCIConfigType || m.Config.Size != 7 {
		t.Errorf("%+v, %v", m, err)
	}
	m, err = ParseManifest([]byte(index(
		descriptor(OCIManifest, `,"annotations":{"org.opencontainers.image.ref.name":"1","io.containerd.image.name":"docker.io/library/x:1"},"artifactType":"t"`),
		platform("unknown", "unknown", ""),
		descriptor(OCIIndex, `,"annotations":{"io.containerd.image.name":"docker.io/library/x:2"},"platform":{"os":"linux","architecture":"arm","variant":"v7"}`))), "")
	if err != nil || len(m.Manifests) != 2 {
		t.Fatalf("%+v, %v", m, err)
	}
	one, two := &m.Manifests[0], &m.Manifests[1]
	if one.Name != "1" || one.ArtifactType != "t" || two.Name != "docker.io/library/x:2" || two.ArtifactType != "" || two.Platform.Name() != "linux/arm/v7" {
		t.Errorf("%+v, %+v", one, two)
	}
}

func TestCheckImage(t *testing.T) {
	for mediaType, want := range map[string]string{
		"application/vnd.oci.image.layer.v1.tar":                       "",
		"application/vnd.oci.image.layer.v1.tar+gzip":                  "",
		"application/vnd.oci.image.layer.v1.tar+zstd":                  "",
		"application/vnd.docker.image.rootfs.diff.tar.gzip":            "",
		"application/vnd.docker.image.rootfs.diff.tar":                 "",
		"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip": "registry does not have",
		"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip":    "registry does not have",
		"application/vnd.oci.image.layer.v1.tar+gzip+encrypted":        "encrypted",
		"application/vnd.docker.image.rootfs.diff.tar.gzip+enc":        "encrypted",
		"application/vnd.stacker.image.layer.squashfs+zstd+verity":     "only tar archives",
		"application/vnd.erofs.layer.v1":                               "only tar archives",
		"application/vnd.in-toto+json":                                 "attestation",
		"application/vnd.cncf.helm.chart.content.v1.tar+gzip":          "only tar archives",
		SimpleSigning: "only tar archives",
		"":            "only tar archives",
		"application/vnd.oci.image.layer.nondistributable.v1.tar+\\u001b[2J":  "registry does not have",
		"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip+encrypted": "encrypted",
	} {
		text := strings.ReplaceAll(manifest(descriptor(layerType, ""), descriptor("TYPE", "")), "TYPE", mediaType)
		m, err := ParseManifest([]byte(text), "")
		if err != nil {
			t.Fatal(err)
		}
		err = m.CheckImage()
		check(t, mediaType, err, want)
		if err != nil && !strings.Contains(err.Error(), "layer 2 is of type ") {
			t.Error(err)
		}
	}
	for _, text := range []string{
		strings.Replace(manifest(), OCIConfigType, "application/vnd.oci.empty.v1+json", 1),
		strings.Replace(manifest(), ":7", fmt.Sprintf(":%d", MaxConfig+1), 1), index(),
	} {
		if m, err := ParseManifest([]byte(text), ""); err != nil || m.CheckImage() == nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestPlatformText refuses platforms that could write to a terminal.
func TestPlatformText(t *testing.T) {
	for _, bad := range []string{`\u001b[2J`, `a b`, `a\nb`, `\u202e`, `a/b`, `é`} {
		for _, p := range []string{platform(bad, "arm", ""), platform("linux", bad, ""), platform("linux", "arm", bad)} {
			if _, err := ParseManifest([]byte(index(p)), ""); err == nil {
				t.Errorf("%s is taken", p)
			}
		}
		if _, err := ParseConfig([]byte(`{"os":"linux","architecture":"` + bad + `","rootfs":{}}`)); err == nil {
			t.Errorf("%s is taken in a config", bad)
		}
	}
}

func TestChoose(t *testing.T) {
	arm := []Platform{{"linux", "arm", "v7"}, {"linux", "arm", ""}, {"linux", "arm", "v6"}, {"linux", "arm", "v5"}}
	for _, test := range []struct {
		entries []string
		wanted  []Platform
		want    string // the platform, or an error
	}{
		{[]string{platform("linux", "arm", "v5"), platform("linux", "arm", "v6"), platform("linux", "arm", "v7")}, arm, "linux/arm/v7"},
		{[]string{platform("linux", "arm", "v5"), platform("linux", "arm", "v6"), platform("linux", "arm", "v8")}, arm, "linux/arm/v6"},
		{[]string{platform("linux", "arm", "v6"), platform("linux", "arm", "")}, arm, "linux/arm"},
		{[]string{platform("linux", "amd64", ""), platform("linux", "arm", "v8")}, arm, `no image for "linux/arm/v7", but for "linux/amd64", "linux/arm/v8"`},
		{[]string{platform("windows", "arm", "v7")}, []Platform{{"windows", "arm", "v7"}}, `no image for "windows/arm/v7"`},
		{[]string{platform("unknown", "unknown", "")}, []Platform{{"unknown", "unknown", ""}}, "the index has no images"},
		{nil, arm, "the index has no images"},
		{[]string{descriptor(OCIManifest, "")}, arm, "/"},
		{[]string{descriptor(OCIManifest, ""), platform("unknown", "unknown", "")}, arm, "/"},
		{[]string{descriptor(OCIIndex, ""), descriptor(OCIManifest, `,"artifactType":"`+SigstoreBundle+`"`)}, arm, "/"},
		{[]string{descriptor(OCIManifest, ""), descriptor(OCIManifest, "")}, arm, `no image for "linux/arm/v7"`},
		{[]string{descriptor("text/plain", `,"platform":{"os":"linux","architecture":"arm","variant":"v7"}`)}, arm, "the index has no images"},
		{[]string{strings.Replace(platform("linux", "arm", "v7"), ":7,", ":4194305,", 1)}, arm, "larger than"},
		{[]string{strings.TrimSuffix(strings.Repeat(platform("plan9", strings.Repeat("x", 1000), "")+",", 1000), ",")}, arm, "and 980 more"},
	} {
		m, err := ParseManifest([]byte(strings.ReplaceAll(index(test.entries...), `\x1b`, `\u001b`)), "")
		if err != nil {
			t.Fatal(err)
		}
		d, err := m.Choose(test.wanted)
		if err != nil {
			check(t, m.MediaType, err, test.want)
		} else if d.Platform.Name() != test.want {
			t.Errorf("chose %q, want %q", d.Platform.Name(), test.want)
		}
	}
}

func TestParseConfig(t *testing.T) {
	c, err := ParseConfig([]byte(`{"architecture":"arm","os":"linux","variant":"v7","created":"2026-08-29T06:00:00.5Z","config":{"User":"1:2","Env":["PATH=/bin","X","=y","A=","PATH=/b\nc"],
		"Entrypoint":["/e","a b"],"Cmd":["x\ty"],"WorkingDir":"/w","StopSignal":"SIGQUIT","Volumes":{"/b":{},"/a":null},"Labels":{"a":"b"},"ExposedPorts":{"80/tcp":{}}},
		"rootfs":{"type":"layers","diff_ids":["` + digestA + `","` + digestB + `"]},"history":[{"empty_layer":true}]}`))
	want := &OCIConfig{Platform: Platform{"linux", "arm", "v7"}, Created: "2026-08-29T06:00:00.5Z", DiffIDs: []Digest{Digest(digestA), Digest(digestB)},
		Entrypoint: []string{"/e", "a b"}, Cmd: []string{"x\ty"}, Env: []string{"PATH=/bin", "A=", "PATH=/b\nc"}, User: "1:2", Dir: "/w", StopSignal: "SIGQUIT", Volumes: []string{"/b", "/a"}}
	if err != nil || !reflect.DeepEqual(c, want) {
		t.Errorf("%+v, %v", c, err)
	}
	words := func(n int) string { return `["` + strings.Repeat(`x","`, n-1) + `x"]` }
	for text, want := range map[string]string{
		`{}`: "", `{"config":null,"rootfs":null,"created":null}`: "", `{"config":{"Cmd":null,"Env":null,"Volumes":null,"Entrypoint":[]}}`: "",
		`{"created":"yesterday"}`: "", `{"created":"0001-01-01T00:00:00Z"}`: "",
		`{"config":{"Entrypoint":"/bin/sh"}}`:                                    `"Entrypoint" is no array`,
		`{"config":{"Cmd":[1]}}`:                                                 `"Cmd" is not a text`,
		`{"config":{"Cmd":[null]}}`:                                              `"Cmd" is not a text`,
		`{"config":{"Cmd":["a\u0000"]}}`:                                         "NUL",
		`{"config":{"Env":{"A":"b"}}}`:                                           `"Env" is no array`,
		`{"config":{"User":5}}`:                                                  `"User" is not a text`,
		`{"config":{"Volumes":["/a"]}}`:                                          `"Volumes" is no object`,
		`{"config":{"Volumes":{"a\u0000":{}}}}`:                                  "NUL",
		`{"config":[]}`:                                                          `"config" is no object`,
		`{"rootfs":{"type":"other"}}`:                                            `"type" is "other"`,
		`{"rootfs":{"diff_ids":["x"]}}`:                                          "no digest",
		`{"rootfs":{"diff_ids":[5]}}`:                                            "diff_ids",
		`{"config":{"Cmd":` + words(maxItems) + `}}`:                             "",
		`{"config":{"Cmd":` + words(maxItems+1) + `}}`:                           `"Cmd" is no array of at most 4096`,
		`{"config":{"Cmd":["` + strings.Repeat("x", maxText) + `"]}}`:            "",
		`{"config":{"Cmd":["` + strings.Repeat("x", maxText+1) + `"]}}`:          "at most 131072 bytes",
		`{"rootfs":{"diff_ids":["` + strings.Repeat(digestA+`","`, 512) + `"]}}`: "at most 512 items",
		`{"x":"` + strings.Repeat("x", MaxConfig) + `"}`:                         "larger than",
		`5`: "no JSON object", `null`: "no JSON object", ``: "no valid JSON",
	} {
		c, err := ParseConfig([]byte(text))
		check(t, text, err, want)
		if err == nil && c.Created != "" {
			t.Errorf("%s: created %q", text, c.Created)
		}
	}
	volumes := "{"
	for i := range maxItems + 1 {
		volumes += fmt.Sprintf(`"/%d":{},`, i)
	}
	_, err = ParseConfig([]byte(`{"config":{"Volumes":` + strings.TrimSuffix(volumes, ",") + `}}}`))
	check(t, "volumes", err, "too many")
}

func TestParseTags(t *testing.T) {
	for text, want := range map[string]string{
		`{"name":"x","tags":["latest","1.2"]}`: "", `{"tags":null}`: "", `{"tags":[]}`: "", `{}`: "",
		`{"tags":["a/b"]}`: "no tag", `{"tags":["\u001b"]}`: "no tag", `{"tags":[5]}`: "no tag", `{"tags":[""]}`: "no tag", `{"tags":"x"}`: "no array", `[]`: "no JSON object",
		`{"tags":["a` + strings.Repeat(`","a`, maxTags) + `"]}`: "at most 100000",
	} {
		tags, err := ParseTags([]byte(text))
		check(t, text, err, want)
		if strings.Contains(text, "1.2") && !reflect.DeepEqual(tags, []string{"latest", "1.2"}) {
			t.Errorf("%q", tags)
		}
	}
}

func TestParseSaved(t *testing.T) {
	images, err := ParseSaved([]byte(`[{"Config":"a.json","RepoTags":["x:1","y:2"],"Layers":["b/layer.tar","c/layer.tar"]},{"Config":"blobs/sha256/` + hexA + `","RepoTags":null,"Layers":null}]`))
	if err != nil || len(images) != 2 || images[0].Config != "a.json" || !reflect.DeepEqual(images[0].Layers, []string{"b/layer.tar", "c/layer.tar"}) || !reflect.DeepEqual(images[0].Tags, []string{"x:1", "y:2"}) || images[1].Tags != nil {
		t.Errorf("%+v, %v", images, err)
	}
	image := `{"Config":"c","Layers":["l"]}`
	for text, want := range map[string]string{
		`[]`: "", `{}`: "no array", `5`: "no array", ``: "no valid JSON", `[5]`: "no path", `[{}]`: "no path",
		`[{"Config":"/a"}]`: "no path", `[{"Config":"a/../b"}]`: "no path", `[{"Config":".."}]`: "no path", `[{"Config":"a","Layers":["../x"]}]`: "no path", `[{"Config":"a","Layers":[""]}]`: "no path", `[{"Config":"a","Layers":"x"}]`: "no array", `[{"Config":"a\u0000"}]`: "NUL", `[{"Config":5}]`: "not a text",
		`[{"Config":"a","Layers":["x` + strings.Repeat(`","x`, MaxLayers) + `"]}]`: "too many layers",
		"[" + strings.Repeat(image+",", maxItems) + image + "]":                    "at most 4096 images",
	} {
		_, err := ParseSaved([]byte(text))
		check(t, text, err, want)
	}
}

// Hostile texts of the largest size are refused or read at once.
func TestHostileDocuments(t *testing.T) {
	start := time.Now()
	for _, unit := range []string{`[],`, `{"a":`, `"\u0000",`, platform("linux", "arm", "") + ","} {
		body := strings.Repeat(unit, (MaxManifest-1000)/len(unit))
		for _, text := range []string{body, index(strings.TrimSuffix(body, ",")), manifest(strings.TrimSuffix(body, ",")), `{"config":{"Env":[` + strings.TrimSuffix(body, ",") + `]}}`} {
			ParseManifest([]byte(text), "")
			ParseConfig([]byte(text))
			ParseTags([]byte(text))
			ParseSaved([]byte(text))
			ParseToken([]byte(text))
			RegistryError([]byte(text))
			Login([]byte(text), "docker.io", "library/x")
		}
	}
	if took := time.Since(start); took > time.Minute {
		t.Errorf("it took %v", took)
	}
}

// Manifests that are accepted have only digests, sizes and numbers of layers in their limits.
func FuzzParseManifest(f *testing.F) {
	f.Add([]byte(manifest(descriptor(layerType, ""))), OCIManifest)
	f.Add([]byte(index(platform("linux", "arm", "v7"), platform("unknown", "unknown", ""), descriptor(OCIIndex, `,"artifactType":"x"`))), "")
	f.Add([]byte(`{"schemaVersion":2,"manifests":null}`), DockerIndex)
	f.Fuzz(func(t *testing.T, text []byte, mediaType string) {
		m, err := ParseManifest(text, mediaType)
		check(t, string(text), err, map[bool]string{true: "", false: "manifest: "}[err == nil])
		if err != nil {
			return
		}
		if !json.Valid(text) || len(text) > MaxManifest || len(m.Layers) > MaxLayers || len(m.Manifests) > maxManifests || m.Index != (manifestKind(m.MediaType) == anIndex) {
			t.Errorf("%q: %+v", text, m)
		}
		all := append(append([]Descriptor{}, m.Layers...), m.Manifests...)
		if !m.Index {
			all = append(all, m.Config)
		}
		for i := range all {
			if _, err := ParseDigest(string(all[i].Digest)); err != nil || all[i].Size < 0 || all[i].Size > maxBlob {
				t.Errorf("%q: %+v", text, all[i])
			}
		}
		if err := m.CheckImage(); err != nil {
			check(t, string(text), err, " ")
		}
		d, err := m.Choose([]Platform{{"linux", "arm", "v7"}, {"linux", "arm", ""}})
		if err == nil && (d.Platform.OS != "linux" && d.Platform.OS+d.Platform.Arch != "" || d.Size > MaxManifest) {
			t.Errorf("%q: chose %+v", text, d)
		} else if err != nil {
			check(t, string(text), err, " ")
		}
	})
}

// Configs that are accepted are as encoding/json decodes them.
func FuzzParseConfig(f *testing.F) {
	f.Add([]byte(`{"architecture":"arm","os":"linux","created":"2026-08-29T06:00:00.5Z","config":{"User":"1","Env":["A=b","C"],"Entrypoint":["/e"],"Cmd":null,"Volumes":{"/b":{}}},"rootfs":{"type":"layers","diff_ids":["` + digestA + `"]}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := ParseConfig(text)
		if err != nil {
			check(t, string(text), err, "config of the image: ")
			return
		}
		var all map[string]any
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		if err := d.Decode(&all); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		run, _ := all["config"].(map[string]any)
		same := func(list []string, name string) {
			var want []string
			items, _ := run[name].([]any)
			for _, item := range items {
				if text := item.(string); name != "Env" || strings.Index(text, "=") > 0 {
					want = append(want, text)
				}
			}
			if !reflect.DeepEqual(list, want) || len(list) > maxItems {
				t.Errorf("%q: %s is %q, want %q", text, name, list, want)
			}
		}
		same(c.Entrypoint, "Entrypoint")
		same(c.Cmd, "Cmd")
		same(c.Env, "Env")
		user, _ := run["User"].(string)
		volumes, _ := run["Volumes"].(map[string]any)
		if c.User != user || len(volumes) != len(c.Volumes) || len(c.DiffIDs) > MaxLayers {
			t.Errorf("%q: %+v", text, c)
		}
		for _, word := range append(append(append([]string{c.User, c.Dir, c.StopSignal}, c.Env...), c.Cmd...), c.Volumes...) {
			if strings.Contains(word, "\x00") || len(word) > maxText {
				t.Errorf("%q has NUL, or is too long", word)
			}
		}
		if _, err := time.Parse(time.RFC3339, c.Created); c.Created != "" && err != nil {
			t.Error(err)
		}
	})
}

// The other documents have no text that panics, and what is accepted is in its limits.
func FuzzDocuments(f *testing.F) {
	for _, text := range []string{`{"tags":["a"]}`, `[{"Config":"a","Layers":["b"],"RepoTags":["c:d"]}]`, `{"token":"x","expires_in":300}`, `{"errors":[{"code":"A","message":"b"}]}`,
		`{"auths":{"https://index.docker.io/v1/":{"auth":"dXNlcjpwYXNz"}},"credHelpers":{"ghcr.io":"x"}}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		tags, err := ParseTags(text)
		if err == nil {
			for _, tag := range tags {
				if _, err := ParseReference("x:" + tag); err != nil {
					t.Error(err)
				}
			}
		}
		if images, err := ParseSaved(text); err == nil {
			for _, image := range images {
				if !isLocal(image.Config) || len(image.Layers) > MaxLayers {
					t.Errorf("%q: %+v", text, image)
				}
			}
		}
		token, seconds, err := ParseToken(text)
		if err == nil && (token == "" || len(token) > maxToken || strings.ContainsAny(token, " \r\n\t\x00\x7f") || seconds < 1 || seconds > maxSeconds) {
			t.Errorf("%q: %q, %d", text, token, seconds)
		}
		if code, message := RegistryError(text); len(code) > maxMessage || len(message) > maxMessage {
			t.Errorf("%q: %q, %q", text, code, message)
		}
		if user, password, lacks, err := Login(text, "ghcr.io", "a/b"); lacks && user != "" || (err != nil || user == "") && user+password != "" {
			t.Errorf("%q: %q, %q, %v, %v", text, user, password, lacks, err)
		}
	})
}
