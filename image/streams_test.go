package image

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"time"

	"strings"
	"testing"
)

const streamsDigest = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

// streamsText is a list in the form of images.linuxcontainers.org's and of Ubuntu's.
var streamsText = strings.ReplaceAll(`{"content_id":"images","datatype":"image-downloads","format":"products:1.0","products":{
 "debian:trixie:amd64:default":{"aliases":"debian/trixie/default,debian/trixie,debian/13","arch":"amd64","os":"Debian","release":"trixie","release_title":"trixie","requirements":{"secureboot":"false"},"variant":"default","versions":{
  "20260828_05:24":{"items":{"incus.tar.xz":{"ftype":"incus.tar.xz","sha256":"DIGEST","size":892,"path":"images/debian/trixie/amd64/default/20260828_05:24/incus.tar.xz","combined_rootxz_sha256":"DIGEST"},
   "root.tar.xz":{"ftype":"root.tar.xz","sha256":"DIGEST","size":34,"path":"images/debian/trixie/amd64/default/20260828_05:24/rootfs.tar.xz"}}},
  "20260829_05:24":{"items":{"incus.tar.xz":{"ftype":"incus.tar.xz","sha256":"DIGEST","size":892,"path":"images/debian/trixie/amd64/default/20260829_05:24/incus.tar.xz","combined_rootxz_sha256":"DIGEST"},
   "root.squashfs":{"ftype":"squashfs","sha256":"DIGEST","size":35,"path":"images/debian/trixie/amd64/default/20260829_05:24/rootfs.squashfs"},
   "disk.qcow2":{"ftype":"disk-kvm.img","sha256":"DIGEST","size":1,"path":"images/debian/trixie/amd64/default/20260829_05:24/disk.qcow2"}}},
  "20260830_05:24":{"items":{"disk.qcow2":{"ftype":"disk-kvm.img","sha256":"DIGEST","size":1,"path":"x/disk.qcow2"}}}}},
 "debian:trixie:arm64:default":{"aliases":"debian/trixie/default,debian/trixie,debian/13","arch":"arm64","os":"Debian","release":"trixie","variant":"default","versions":{
  "20260829_05:24":{"items":{"incus.tar.xz":{"ftype":"incus.tar.xz","sha256":"DIGEST","size":892,"path":"a/incus.tar.xz"},"root.tar.xz":{"ftype":"root.tar.xz","sha256":"DIGEST","size":34,"path":"a/rootfs.tar.xz"}}}}},
 "debian:trixie:amd64:cloud":{"aliases":"debian/trixie/cloud","arch":"amd64","os":"Debian","release":"trixie","variant":"cloud","versions":{
  "20260829_05:24":{"items":{"incus.tar.xz":{"ftype":"incus.tar.xz","sha256":"DIGEST","size":892,"path":"c/incus.tar.xz"},"root.tar.xz":{"ftype":"root.tar.xz","sha256":"DIGEST","size":34,"path":"c/rootfs.tar.xz"}}}}},
 "com.ubuntu.cloud:server:24.04:amd64":{"aliases":"24.04,noble,n,lts","arch":"amd64","os":"ubuntu","release":"noble","release_codename":"Noble Numbat","release_title":"24.04 LTS","support_eol":"2029-05-31","supported":true,"version":"24.04","versions":{
  "20240423":{"label":"release","pubname":"ubuntu-noble-24.04-amd64-server-20240423","items":{"lxd.tar.xz":{"ftype":"lxd.tar.xz","sha256":"DIGEST","size":400,"combined_rootxz_sha256":"DIGEST","combined_squashfs_sha256":"DIGEST","path":"server/releases/noble/release-20240423/lxd.tar.xz"},
   "squashfs":{"ftype":"squashfs","sha256":"DIGEST","size":35,"path":"server/releases/noble/release-20240423/n.squashfs"}}},
  "20240423.10":{"label":"release","items":{"lxd.tar.xz":{"ftype":"lxd.tar.xz","sha256":"DIGEST","size":400,"path":"u/lxd.tar.xz"},"squashfs":{"ftype":"squashfs","sha256":"DIGEST","size":35,"path":"u/n.squashfs"}}},
  "20240423.9":{"label":"release","items":{"lxd.tar.xz":{"ftype":"lxd.tar.xz","sha256":"DIGEST","size":400,"path":"v/lxd.tar.xz"},"squashfs":{"ftype":"squashfs","sha256":"DIGEST","size":35,"path":"v/n.squashfs"}}}}},
 "gentoo:current:amd64:openrc":{"aliases":"gentoo/openrc","arch":"x86_64","os":"Gentoo","release":"current","variant":"openrc","versions":{
  "20260829_16:07":{"items":{"incus_combined.tar.gz":{"ftype":"incus_combined.tar.gz","sha256":"DIGEST","size":34,"path":"gentoo.tar.gz"}}}}},
 "freebsd:14:amd64:default":{"aliases":"freebsd/14","arch":"amd64","os":"FreeBSD","release":"14","variant":"default","versions":{
  "20260829_16:07":{"items":{"disk.qcow2":{"ftype":"disk-kvm.img","sha256":"DIGEST","size":1,"path":"x/disk.qcow2"}}}}}
}}
`, "DIGEST", streamsDigest)

func TestFindInStreams(t *testing.T) {
	p, err := ParseProducts([]byte(streamsText))
	if err != nil {
		t.Fatal(err)
	}
	amd64, arm64 := []string{"amd64", "x86_64"}, []string{"arm64", "aarch64"}
	for _, test := range []struct {
		q    StreamsQuery
		want string // KEY BUILD, or the error
	}{
		{StreamsQuery{Alias: "debian/13", Arch: amd64}, "debian:trixie:amd64:default 20260829_05:24"},
		{StreamsQuery{Alias: "debian/trixie", Arch: arm64}, "debian:trixie:arm64:default 20260829_05:24"},
		{StreamsQuery{Alias: "debian/trixie/arm64", Arch: amd64}, "debian:trixie:arm64:default 20260829_05:24"},
		{StreamsQuery{Alias: "debian/13/aarch64", Arch: amd64}, "debian:trixie:arm64:default 20260829_05:24"},
		{StreamsQuery{Alias: "debian/trixie/amd64/cloud", Arch: arm64}, "debian:trixie:amd64:cloud 20260829_05:24"},
		{StreamsQuery{Alias: "debian/trixie/cloud/amd64", Arch: arm64}, "debian:trixie:amd64:cloud 20260829_05:24"},
		{StreamsQuery{Alias: "debian/13/cloud", Arch: amd64}, "debian:trixie:amd64:cloud 20260829_05:24"},
		{StreamsQuery{Alias: "debian/trixie", Arch: amd64, Variant: "cloud"}, "debian:trixie:amd64:cloud 20260829_05:24"},
		{StreamsQuery{Alias: "debian/trixie/cloud", Arch: amd64, Variant: "default"}, `no image "debian/trixie/cloud/default" for "amd64"`},
		{StreamsQuery{Alias: "Debian/Trixie", Arch: amd64}, "debian:trixie:amd64:default 20260829_05:24"},
		{StreamsQuery{Alias: "debian:trixie:arm64:default", Arch: amd64}, "debian:trixie:arm64:default 20260829_05:24"},
		{StreamsQuery{Alias: "debian/13", Arch: amd64, Build: "20260828_05:24"}, "debian:trixie:amd64:default 20260828_05:24"},
		{StreamsQuery{Alias: "debian/13", Arch: amd64, Build: "20260827_05:24"}, `the server has no build "20260827_05:24" of "debian/trixie/amd64/default"; the newest in the list is "20260829_05:24"`},
		{StreamsQuery{Alias: "24.04", Arch: amd64}, "com.ubuntu.cloud:server:24.04:amd64 20240423.10"},
		{StreamsQuery{Alias: "lts", Arch: amd64}, "com.ubuntu.cloud:server:24.04:amd64 20240423.10"},
		{StreamsQuery{Alias: "noble/amd64", Arch: arm64}, "com.ubuntu.cloud:server:24.04:amd64 20240423.10"},
		{StreamsQuery{Alias: "ubuntu/24.04", Arch: amd64}, "com.ubuntu.cloud:server:24.04:amd64 20240423.10"},
		{StreamsQuery{Alias: "24.04", Arch: arm64}, `no image "24.04" for "arm64"`},
		{StreamsQuery{Alias: "gentoo/current/openrc", Arch: amd64}, "gentoo:current:amd64:openrc 20260829_16:07"},
		{StreamsQuery{Alias: "gentoo/current", Arch: amd64}, `no image "gentoo/current" for "amd64"`},
		{StreamsQuery{Alias: "freebsd/14", Arch: amd64}, `no image "freebsd/14" for "amd64"`},
		{StreamsQuery{Alias: "debain/trixie", Arch: amd64}, `no image "debain/trixie" for "amd64"`},
		{StreamsQuery{Alias: "nobel", Arch: amd64}, `no image "nobel" for "amd64"`},
		{StreamsQuery{Alias: "", Arch: amd64}, `no image "" for "amd64"`},
	} {
		img, err := p.Find(test.q)
		got := ""
		if err != nil {
			got = err.Error()
		} else {
			got = img.Key + " " + img.Build
		}
		if got != test.want {
			t.Errorf("%+v: %q, want %q", test.q, got, test.want)
		}
	}
	var names []string
	for _, img := range p.List().Images {
		names = append(names, img.Name.String()+" "+img.Build+" "+img.Path)
	}
	want := []string{
		"debian/trixie/amd64/default 20260829_05:24 images/debian/trixie/amd64/default/20260829_05:24", "debian/trixie/arm64/default 20260829_05:24 a",
		"debian/trixie/amd64/cloud 20260829_05:24 c", "ubuntu/noble/amd64/default 20240423.10 u", "gentoo/current/amd64/openrc 20260829_16:07 ",
	}
	if !slices.Equal(names, want) {
		t.Errorf("list: %q", names)
	}
}

// Errors name what the list has: other architectures, other variants, similar aliases.
func TestNearInStreams(t *testing.T) {
	p, err := ParseProducts([]byte(streamsText))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		q     StreamsQuery
		near  string // the first of them
		other bool
	}{
		{StreamsQuery{Alias: "debain/trixie", Arch: []string{"amd64"}}, "debian/trixie/amd64/default", false},
		{StreamsQuery{Alias: "debian/trixi/cloud", Arch: []string{"amd64"}}, "debian/trixie/amd64/cloud", false},
		{StreamsQuery{Alias: "debian/bookworm", Arch: []string{"arm64"}}, "debian/trixie/arm64/default", false},
		{StreamsQuery{Alias: "nobel", Arch: []string{"amd64"}}, "ubuntu/noble/amd64/default", false},
		{StreamsQuery{Alias: "24.05", Arch: []string{"amd64"}}, "ubuntu/noble/amd64/default", false},
		{StreamsQuery{Alias: "gentoo/openrc", Arch: []string{"arm64"}}, "gentoo/current/amd64/openrc", true},
		{StreamsQuery{Alias: "debian/trixie", Variant: "cluod", Arch: []string{"amd64"}}, "debian/trixie/amd64/default", false},
		{StreamsQuery{Alias: "plan9/4", Arch: []string{"amd64"}}, "", false},
	} {
		_, err := p.Find(test.q)
		missing, ok := err.(*NotFoundError)
		if !ok {
			t.Errorf("%q: %v", test.q.Alias, err)
			continue
		}
		near := ""
		if len(missing.Near) > 0 {
			near = missing.Near[0].Name.String()
		}
		if near != test.near || missing.OtherArch != test.other {
			t.Errorf("%q: near %q, %v, want %q", test.q.Alias, near, missing.OtherArch, test.near)
		}
	}
}

// The files of an image have all that the list says.
func TestStreamsFiles(t *testing.T) {
	p, err := ParseProducts([]byte(streamsText))
	if err != nil {
		t.Fatal(err)
	}
	img, err := p.Find(StreamsQuery{Alias: "24.04", Arch: []string{"amd64"}, Build: "20240423"})
	if err != nil {
		t.Fatal(err)
	}
	digest := Digest("sha256:" + streamsDigest)
	want := &StreamsImage{
		Image: Image{Name: Name{"ubuntu", "noble", "amd64", "default"}, Build: "20240423", Path: "server/releases/noble/release-20240423"},
		Key:   "com.ubuntu.cloud:server:24.04:amd64", Aliases: []string{"24.04", "noble", "n", "lts"},
		Files: []StreamsFile{
			{Type: "lxd.tar.xz", Path: "server/releases/noble/release-20240423/lxd.tar.xz", SHA256: digest, Size: 400, CombinedRootXZ: digest, CombinedSquashfs: digest},
			{Type: "squashfs", Path: "server/releases/noble/release-20240423/n.squashfs", SHA256: digest, Size: 35},
		},
	}
	if !reflect.DeepEqual(img, want) {
		t.Errorf("%+v, want %+v", img, want)
	}
}

// One bad product or version hides no other. Nothing from a list leads away from the server.
func TestBadProducts(t *testing.T) {
	const bad = "the path, size or a digest of incus_combined.tar.gz is missing or bad"
	for _, test := range []struct{ old, new, want string }{
		{`"os":"Gentoo"`, `"os":"a/b"`, `product "gentoo:current:amd64:openrc": os, release, arch or variant "a/b": "/" is not allowed`},
		{`"os":"Gentoo",`, ``, `os, release, arch or variant "": it is empty`},
		{`"release":"current"`, `"release":".."`, `variant "..": only dots`},
		{`"arch":"x86_64"`, `"arch":7`, `variant "": it is empty`},
		{`"variant":"openrc"`, `"variant":"a\u0000b"`, `variant "a\x00b": a control character`},
		{`"20260829_16:07":{"items":{"incus_combined`, `"current":{"items":{"incus_combined`, `version "current": parsing time`},
		{`"20260829_16:07":{"items":{"incus_combined`, `"20260829/..":{"items":{"incus_combined`, `version "20260829/..": "/" is not allowed`},
		{`"path":"gentoo.tar.gz"`, `"path":"/gentoo.tar.gz"`, bad},
		{`"path":"gentoo.tar.gz"`, `"path":"a/../gentoo.tar.gz"`, bad},
		{`"path":"gentoo.tar.gz"`, `"path":"https://a/b"`, bad},
		{`"path":"gentoo.tar.gz"`, `"path":"a?b"`, bad},
		{`"path":"gentoo.tar.gz"`, `"path":"%2e%2e/b"`, bad},
		{`"path":"gentoo.tar.gz"`, `"path":"` + strings.Repeat("a/", 3000) + `b"`, bad},
		{`"path":"gentoo.tar.gz"`, `"path":""`, bad},
		{`"size":34,"path":"gentoo.tar.gz"`, `"path":"gentoo.tar.gz"`, bad},
		{`"size":34,"path":"gentoo.tar.gz"`, `"size":-1,"path":"gentoo.tar.gz"`, bad},
		{`"size":34,"path":"gentoo.tar.gz"`, `"size":17592186044417,"path":"gentoo.tar.gz"`, bad},
		{`"sha256":"` + streamsDigest + `","size":34,"path":"gentoo.tar.gz"`, `"size":34,"path":"gentoo.tar.gz"`, bad},
		{streamsDigest + `","size":34,"path":"gentoo.tar.gz"`, streamsDigest[1:] + `","size":34,"path":"gentoo.tar.gz"`, bad},
		{streamsDigest + `","size":34,"path":"gentoo.tar.gz"`, streamsDigest[1:] + `A","size":34,"path":"gentoo.tar.gz"`, bad},
	} {
		text := strings.Replace(streamsText, test.old, test.new, 1)
		if text == streamsText {
			t.Errorf("%q is not in the list", test.old)
		}
		p, err := ParseProducts([]byte(text))
		if err != nil {
			t.Error(err)
			continue
		}
		index := p.List()
		if len(index.Images) != 4 || len(index.Problems) != 1 || index.Problems[0].Line != 5 || !strings.Contains(index.Problems[0].Err.Error(), test.want) {
			t.Errorf("%q: %v, %v, want %q", test.new[:min(len(test.new), 60)], len(index.Images), index.Problems, test.want)
		}
		if img, err := p.Find(StreamsQuery{Alias: "gentoo/openrc", Arch: []string{"amd64"}}); err == nil {
			t.Errorf("%q: %+v", test.new, img)
		}
	}
	// Of a product with a bad version the one before is used.
	text := strings.Replace(streamsText, "u/n.squashfs", "u/../n.squashfs", 1)
	p, _ := ParseProducts([]byte(text))
	if img, err := p.Find(StreamsQuery{Alias: "lts", Arch: []string{"amd64"}}); err != nil || img.Build != "20240423.9" {
		t.Errorf("%+v, %v", img, err)
	}
}

func TestParseStreams(t *testing.T) {
	const list = `"datatype":"image-downloads","format":"products:1.0"`
	for _, test := range []struct{ text, want string }{
		{`{"format":"index:1.0","index":{"images":{` + list + `,"path":"streams/v1/images.json","products":["a"]}}}`, "streams/v1/images.json"},
		{`{"format":"index:1.0","index":{"a":{` + list + `,"path":"streams/v1/com.ubuntu.cloud:released:download.json"},"b":{"datatype":"image-ids","format":"products:1.0","path":"../x"},"d":{` + list + `,"path":"b.json"}}}`,
			"streams/v1/com.ubuntu.cloud:released:download.json b.json"},
		{`{"format":"index:1.0","index":{"a":{"datatype":"image-downloads","path":"a"}}}`, "a"},
		{`{"format":"index:1.0","index":{"a":{"datatype":"image-downloads","format":"products:2.0","path":"a"}}}`, "it names no list"},
		{`{"format":"index:1.0","index":{}}`, "it names no list"},
		{`{"format":"index:1.0"}`, "it has no index"},
		{`{"format":"products:1.0","index":{}}`, `its format is "products:1.0", not index:1.0`},
		{`{}`, `its format is "", not index:1.0`},
		{`[]`, `its format is ""`},
		{`<html>`, "no valid JSON at byte 0"},
		{``, "no valid JSON at byte 0"},
		{`{"format":"index:1.0","index":{"a":{` + list + `,"path":"../x"}}}`, `bad path "../x"`},
		{`{"format":"index:1.0","index":{"a":{` + list + `}}}`, `bad path ""`},
		{`{"format":"index:1.0","index":{"a":{` + list + `,"path":"https://x/y"}}}`, `bad path "https://x/y"`},
		{strings.Repeat(" ", MaxStreams+1), "it is larger than 33554432 bytes"},
	} {
		paths, err := ParseStreams([]byte(test.text))
		got := ""
		for i, list := range paths {
			got += strings.Repeat(" ", min(i, 1)) + list.Path
		}
		if err != nil {
			got = err.Error()
		}
		if got != test.want && (err == nil || !strings.Contains(got, test.want) || paths != nil) {
			t.Errorf("%q: %q, want %q", test.text[:min(len(test.text), 60)], got, test.want)
		}
	}
	for _, text := range []string{`{"format":"products:1.0"}`, `{"format":"products:1.0","products":[]}`, `{"format":"index:1.0","products":{}}`, `{"format":"products:1.0","products":{}`} {
		if _, err := ParseProducts([]byte(text)); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}

// TestHostileStreams has keys and aliases that are no names, and too many of them.
func TestHostileStreams(t *testing.T) {
	const list = `{"format":"products:1.0","content_id":"c","products":{"%s":{"os":"Debian","release":"trixie","arch":"amd64","aliases":"%s","versions":{"20260801":{"items":{` +
		`"a":{"ftype":"lxd.tar.xz","path":"a","size":1,"sha256":"%064d"},"b":{"ftype":"root.tar.xz","path":"b","size":1,"sha256":"%064[3]d"}}}}}}}`
	for _, test := range []struct{ key, aliases, got, why string }{ // key and aliases in JSON
		{"com.ubuntu.cloud:server:24.04:amd64", " a ,b/c,,", "a b/c", ""},
		{"k", `a\nb,c\u001b[2J,d`, "d", ""},
		{"k", ",,," + strings.Repeat("x", 5000) + ",a", "a", ""},
		{`a\nb`, "a", "", `product "a\nb": key`},
		{`\u001b[2J`, "a", "", `product "\x1b[2J": key`},
		{"", "a", "", `product "": key`},
		{strings.Repeat("k", 5000), "a", "", "key"},
		{"k", strings.Repeat("a,", 8<<10), "", "aliases"},
	} {
		p, err := ParseProducts(fmt.Appendf(nil, list, test.key, test.aliases, 1))
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		img, err := p.Find(StreamsQuery{Alias: "debian/trixie", Arch: []string{"amd64"}})
		if err == nil {
			got = strings.Join(img.Aliases, " ")
		}
		if got != test.got || (err == nil) != (test.why == "") {
			t.Errorf("%.20q: %q, %v", test.key, got, err)
		}
		problems := p.List().Problems
		if (len(problems) == 0) != (test.why == "") || test.why != "" && !strings.Contains(problems[0].Err.Error(), test.why) {
			t.Errorf("%.20q: %+v", test.key, problems)
		}
	}
	for _, text := range []string{
		`{"format":"products:1.0","products":{},"products":{}}`, `{"format":"products:1.0","products":[],"products":{}}`,
		`{"format":"products:1.0","products":{},"datatype":"image-ids"}`,
	} {
		if _, err := ParseProducts([]byte(text)); err == nil {
			t.Errorf("%s is accepted", text)
		}
	}
	// Millions of aliases cost no memory.
	text := fmt.Appendf(nil, list, "k", strings.Repeat("a,", MaxStreams/2-1000), 1)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	p, err := ParseProducts(text)
	if err != nil {
		t.Fatal(err)
	}
	p.Find(StreamsQuery{Alias: "b", Arch: []string{"amd64"}})
	p.List()
	if runtime.ReadMemStats(&after); after.TotalAlloc-before.TotalAlloc > 1<<20 {
		t.Errorf("%d bytes of memory", after.TotalAlloc-before.TotalAlloc)
	}
}

// bigStreams returns a list of 5 MB with 1,500 products, in the form of images.linuxcontainers.org's.
func bigStreams() []byte {
	var b bytes.Buffer
	b.WriteString(`{"content_id":"images","datatype":"image-downloads","format":"products:1.0","products":{`)
	for i := range 1500 {
		dist, release := fmt.Sprintf("Dist%d", i/30), fmt.Sprint(i%30)
		name := strings.ToLower(dist) + "/" + release
		fmt.Fprintf(&b, `%s"%s:amd64:default":{"aliases":"%s/default,%s","arch":"amd64","os":"%s","release":"%s","release_title":"%[6]s","requirements":{"secureboot":"false"},"variant":"default","versions":{`,
			strings.Repeat(",", min(i, 1)), strings.ReplaceAll(name, "/", ":"), name, name, dist, release)
		for day := 1; day <= 3; day++ {
			dir := fmt.Sprintf("images/%s/amd64/default/2026080%d_05:24/", name, day)
			fmt.Fprintf(&b, `%s"2026080%d_05:24":{"items":{`, strings.Repeat(",", min(day-1, 1)), day)
			for n, file := range []string{"incus.tar.xz incus.tar.xz", "lxd.tar.xz incus.tar.xz", "root.tar.xz rootfs.tar.xz", "squashfs rootfs.squashfs"} {
				ftype, path, _ := strings.Cut(file, " ")
				fmt.Fprintf(&b, `%s"%s":{"ftype":"%[2]s","sha256":"%064x","size":%d,"path":"%s"`, strings.Repeat(",", min(n, 1)), ftype, i*10+n, i*1000+n, dir+path)
				if n == 0 {
					fmt.Fprintf(&b, `,"combined_sha256":"%064x","combined_rootxz_sha256":"%064x","combined_squashfs_sha256":"%064x"`, i, i, i+1)
				}
				b.WriteString("}")
			}
			b.WriteString("}}")
		}
		b.WriteString("}}")
	}
	b.WriteString("}}\n")
	return b.Bytes()
}

// A large list needs hardly any memory beside its text, and the time of a few passes over it.
func TestLargeStreams(t *testing.T) {
	text := bigStreams()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	p, err := ParseProducts(text)
	if err != nil {
		t.Fatal(err)
	}
	index := p.List()
	img, err := p.Find(StreamsQuery{Alias: "dist49/29", Arch: []string{"amd64"}})
	runtime.ReadMemStats(&after)
	if err != nil || img.Build != "20260803_05:24" || len(img.Files) != 4 || len(index.Images) != 1500 {
		t.Errorf("%+v, %v; %d images", img, err, len(index.Images))
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 3<<20 {
		t.Errorf("a list of %d bytes costs %d bytes of memory", len(text), used)
	}
}

func BenchmarkStreams(b *testing.B) {
	text := bigStreams()
	for name, run := range map[string]func(*Products){
		"parse": func(p *Products) {},
		"list":  func(p *Products) { p.List() },
		"find":  func(p *Products) { p.Find(StreamsQuery{Alias: "dist49/29", Arch: []string{"amd64"}}) },
		"near":  func(p *Products) { p.Find(StreamsQuery{Alias: "dist49/39", Arch: []string{"amd64"}}) },
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				p, err := ParseProducts(text)
				if err != nil {
					b.Fatal(err)
				}
				run(p)
			}
		})
	}
}

// streamsModel is what List returns, by way of encoding/json.
func streamsModel(text []byte) (list []string, ok bool) {
	var document map[string]any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if d.Decode(&document) != nil || document["format"] != "products:1.0" {
		return nil, false
	}
	products, ok := document["products"].(map[string]any)
	if kind, _ := document["datatype"].(string); !ok || kind != "" && kind != "image-downloads" {
		return nil, false
	}
	for _, id := range slices.Sorted(maps.Keys(products)) {
		product, _ := products[id].(map[string]any)
		text := func(name string) string {
			s, _ := product[name].(string)
			return s
		}
		name := Name{strings.ToLower(text("os")), text("release"), debianArch(text("arch")), text("variant")}
		if name.Variant == "" {
			name.Variant = "default"
		}
		if CheckName(name.Dist) != nil || CheckName(name.Release) != nil || CheckName(name.Arch) != nil || CheckName(name.Variant) != nil ||
			!goodStreamsPath(id) || len(id) > 512 || len(text("aliases")) > 8<<10 {
			continue
		}
		versions, _ := product["versions"].(map[string]any)
		best := ""
		for _, build := range slices.Sorted(maps.Keys(versions)) {
			if v := versions[build]; modelUsable(v) && CheckName(build) == nil && len(build) >= 8 && (best == "" || modelNewer(build, best)) {
				if _, err := time.Parse("20060102", build[:8]); err == nil {
					best = build
				}
			}
		}
		if best != "" {
			list = append(list, name.String()+" "+best)
		}
	}
	return list, true
}

// modelNewer reports whether a version is newer than another one: of a later day, or with a longer
// name, which ends in a higher number, or with a later time in it.
func modelNewer(a, b string) bool {
	switch {
	case a[:8] != b[:8]:
		return a > b
	case len(a) != len(b):
		return len(a) > len(b)
	}
	return a > b
}

// modelUsable reports whether a version has a container's files, and all of them are good.
func modelUsable(version any) bool {
	v, _ := version.(map[string]any)
	items, _ := v["items"].(map[string]any)
	parts := ""
	for _, value := range items {
		item, _ := value.(map[string]any)
		text := func(name string) string {
			s, _ := item[name].(string)
			return s
		}
		switch text("ftype") {
		case "incus.tar.xz", "lxd.tar.xz":
			parts += "m"
		case "root.tar.xz", "squashfs":
			parts += "r"
		case "incus_combined.tar.gz", "lxd_combined.tar.gz":
			parts += "mr"
		default:
			continue
		}
		for _, name := range []string{"sha256", "combined_sha256", "combined_rootxz_sha256", "combined_squashfs_sha256"} {
			if !regexp.MustCompile("^[0-9a-f]{64}$").MatchString(text(name)) && (name == "sha256" || text(name) != "") {
				return false
			}
		}
		for _, part := range strings.Split(text("path"), "/") {
			if CheckName(part) != nil {
				return false
			}
		}
		number, _ := item["size"].(json.Number)
		if n, err := number.Int64(); err != nil || n < 0 || n > maxBlob || len(text("path")) > 4096 {
			return false
		}
	}
	return strings.Contains(parts, "m") && strings.Contains(parts, "r")
}

// A list without repeated names is read as encoding/json reads it. Whatever List returns, Find
// finds, and its files can be downloaded safely.
func FuzzStreams(f *testing.F) {
	f.Add(streamsText)
	for _, change := range [][2]string{{"20240423.10", "20240423_10"}, {`"trixie"`, `"amd64"`}, {"u/lxd", "../lxd"}, {`"size":35`, `"size":3.5e1`}, {"debian/trixie,", "Debian/Trixie ,,"}, {`"cloud"`, `"default"`}, {"lts", "noble/amd64"}} {
		f.Add(strings.ReplaceAll(streamsText, change[0], change[1]))
	}
	f.Add(`{"format":"index:1.0","index":{"images":{"datatype":"image-downloads","format":"products:1.0","path":"streams/v1/images.json","products":["a"]}}}`)
	f.Fuzz(func(t *testing.T, text string) {
		paths, err := ParseStreams([]byte(text))
		for _, list := range paths {
			if path := list.Path; !fs.ValidPath(path) || path == "." {
				t.Errorf("path %q", path)
			}
		}
		if (len(paths) == 0) != (err != nil) {
			t.Errorf("%+v, %v", paths, err)
		}
		if p, err := ParseProducts([]byte(text)); err == nil {
			p.List() // names may be repeated
		}
		var value any
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		if d.Decode(&value) != nil {
			return
		}
		again, err := json.Marshal(value)
		if err != nil {
			return
		}
		want, ok := streamsModel(again)
		p, err := ParseProducts(again)
		if (err == nil) != ok {
			t.Fatalf("%v, want %v: %s", err, ok, again)
		}
		if err != nil {
			return
		}
		var got []string
		for _, img := range p.List().Images {
			got = append(got, img.Name.String()+" "+img.Build)
			found, err := p.Find(StreamsQuery{Alias: img.Dist + "/" + img.Release, Arch: []string{img.Arch}, Variant: img.Variant})
			if err != nil || !strings.EqualFold(found.Variant, img.Variant) {
				t.Errorf("%v is not found: %v", img.Name, err)
				continue
			}
			for _, file := range found.Files {
				if _, why := parseDigest(string(file.SHA256)); !fs.ValidPath(file.Path) || file.Path == "." || why != "" || file.Size < 0 {
					t.Errorf("%+v", file)
				}
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q, want %q: %s", got, want, again)
		}
		p.Find(StreamsQuery{Alias: text[:min(len(text), 30)], Arch: []string{"amd64"}})
	})
}
