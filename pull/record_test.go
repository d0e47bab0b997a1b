package pull

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"lxc-pull/image"
	"lxc-pull/lxc"
	"lxc-pull/pull/source"
	"lxc-pull/untar"
)

func testRecord() *Record {
	return &Record{
		Image:  image.Image{Name: image.Name{Dist: "debian", Release: "trixie", Arch: "amd64", Variant: "default"}, Build: "20260829_05:24", Path: "images/debian/x"},
		Origin: source.Origin{Server: "https://images.example.org", Signers: []string{"ABCD", "EF"}, Signed: "2026-08-29T06:00:00Z", Created: "2026-11-29T00:00:00Z"},
		Rootfs: strings.Repeat("a", 64), Program: "lxc-pull \"1\"", Mode: lxc.User, Privilege: "root",
		Edited: []string{"etc/hostname", "odd \\ \x01\u0085\u00e4"},
	}
}

// What is written is read again.
func TestRecord(t *testing.T) {
	want := testRecord()
	got, err := ParseRecord(want.AppendJSON(nil))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	empty := &Record{Image: want.Image, Mode: lxc.System}
	if got, err := ParseRecord(empty.AppendJSON(nil)); err != nil || !reflect.DeepEqual(got, empty) {
		t.Errorf("%+v, %v", got, err)
	}
}

// A container image has two more members, and may have no variant.
func TestContainerRecord(t *testing.T) {
	want := testRecord()
	if text := string(want.AppendJSON(nil)); strings.Contains(text, "reference") || strings.Contains(text, "digest") {
		t.Error(text)
	}
	want.Image.Name = image.Name{Dist: "nginx", Release: "1.29", Arch: "arm64"}
	want.Image.Build, want.Image.Path, want.Image.Reference = "sha256:0123456789ab", "", "docker:docker.io/library/nginx:1.29"
	want.Digest = "sha256:" + strings.Repeat("0a", 32)
	text := string(want.AppendJSON(nil))
	if got, err := ParseRecord([]byte(text)); err != nil || !reflect.DeepEqual(got, want) || !json.Valid([]byte(text)) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, test := range []struct{ old, with, want string }{
		{"docker.io/library/nginx:1.29", "x\\ny", "its reference"}, {"docker.io/library/nginx:1.29", `\u001b[31m`, "its reference"}, {"docker.io/library/nginx:1.29", "\u0085", "its reference"}, {"docker.io/library/nginx:1.29", strings.Repeat("x", 5000), "its reference"}, {"docker.io/library/nginx:1.29", "https://host com.ubuntu.cloud:server:24.04:amd64", ""}, {`"1.29"`, `""`, ""},
		{want.Digest, "", ""}, {want.Digest, want.Digest + "0", "its reference"}, {want.Digest, strings.ToUpper(want.Digest), "its reference"}, {want.Digest, "sha512:" + want.Digest[7:], "its reference"}, {`"docker:docker.io/library/nginx:1.29"`, `""`, "it is empty"},
	} {
		if !strings.Contains(text, test.old) {
			t.Fatal(test.old)
		}
		_, err := ParseRecord([]byte(strings.Replace(text, test.old, test.with, 1)))
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%q: %v", test.with, err)
		}
	}
}

func TestParseRecord(t *testing.T) {
	text := string(testRecord().AppendJSON(nil))
	for _, test := range []struct{ old, with, want string }{
		{"", "", ""},
		{`"mode": "user"`, `"mode":"user" , "later": true, "more": -1.5e3, "list": ["a"], "none": []`, ""},
		{`"debian"`, `"\u0064ebian"`, ""},
		{`"debian"`, `".."`, "only dots"},
		{`"debian"`, `"a/b"`, "\"/\" is not allowed"},
		{`"debian"`, `7`, "not a JSON object"},
		{`"debian"`, `null`, "not a JSON object"},
		{`"debian"`, `"\/"`, "\"/\" is not allowed"},
		{`"mode": "user"`, `"mode": "user", "later": {"a": [1, {"b": null}, "c"], "d": {}}, "more": [[], [{}]], "none": null`, ""},
		{`"mode": "user"`, `"mode": "user", "later": ` + strings.Repeat("[", 100000) + strings.Repeat("]", 100000), ""},
		{`"mode": "user"`, `"mode": "user", "later": [` + strings.Repeat("1,", 500000) + "1]", ""},
		{`"mode": "user"`, `"mode": "user", "later": ` + strings.Repeat("[", 100000), "not a JSON object"},
		{`"mode": "user"`, `"mode": "user", "later": {"a": "\x9b"}`, "not a JSON object"},
		{`"mode": "user"`, `"mode": "user", "later": }`, "not a JSON object"},
		{`"mode": "user"`, `"mode": "user", "later": ,`, "not a JSON object"},
		{`"debian"`, `"\x64ebian"`, "not a JSON object"},
		{`"debian"`, `"\U00000064ebian"`, "not a JSON object"},
		{`"debian"`, `"\144ebian"`, "not a JSON object"},
		{`"debian"`, `"\a"`, "not a JSON object"},
		{`"debian"`, "\"debian\n\"", "not a JSON object"},
		{`"debian"`, "`debian`", "not a JSON object"},
		{`"debian"`, "'d'", "not a JSON object"},
		{`"debian"`, "\x00\"debian\"", "not a JSON object"},
		{`"images/debian/x"`, `"../x"`, "only dots"},
		{`"images/debian/x"`, `""`, ""},
		{`"images/debian/x"`, `"/x"`, "empty"},
		{`"mode": "user"`, `"mode": "other"`, "neither system nor user"},
		{`"version": 1`, `"version": 2`, "another version"},
		{`"version": 1`, `"version": "1"`, "another version"},
		{`"version": 1,`, ``, "another version"},
		{`"version": 1`, `"version": {"a": 1}`, "another version"},
		{"{\n", "", "not a JSON object"},
		{"{\n", "[\n", "not a JSON object"},
		{"]\n}\n", "]\n", "not a JSON object"},
		{"]\n}\n", "]\n}\n}", "not a JSON object"},
		{"]\n}\n", "]}\"", "not a JSON object"},
		{"]\n}\n", "]\n,}\n", "not a JSON object"},
		{`"debian"`, `"\x"`, "not a JSON object"},
		{`"debian"`, `"\u00`, "not a JSON object"},
		{`["ABCD", "EF"]`, `["ABCD" "EF"]`, "not a JSON object"},
		{`["ABCD", "EF"]`, `["ABCD",]`, "not a JSON object"},
		{`["ABCD", "EF"]`, `["ABCD", "EF"`, "not a JSON object"},
		{`["ABCD", "EF"]`, `[["ABCD"]]`, "not a JSON object"},
		{`["ABCD", "EF"]`, "[" + strings.Repeat(`"a",`, maxStrings) + `"a"]`, "not a JSON object"},
	} {
		if !strings.Contains(text, test.old) {
			t.Fatalf("%q is not in %s", test.old, text)
		}
		changed := strings.Replace(text, test.old, test.with, 1)
		_, err := ParseRecord([]byte(changed))
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q for %q: %v, want %q", test.with[:min(len(test.with), 40)], test.old, err, test.want)
		}
	}
}

// Records that other programs have written again are read as those programs mean them.
func TestRecordOfOtherPrograms(t *testing.T) {
	for _, text := range []string{
		`\ud83d\ude00`, `\/\"\\\b\f\n\r\t`, `\u00e4\u00E4`, `\ud83d`, `\ude00\ud83d`, `\ud83d\u0041`, `\ud83dx`, "\xff\xe2\x82", `\u0000`, "\u007f\U0001f600",
	} {
		var want string
		if err := json.Unmarshal([]byte(`"`+text+`"`), &want); err != nil {
			t.Fatal(err)
		}
		old := string(testRecord().AppendJSON(nil))
		r, err := ParseRecord([]byte(strings.Replace(old, `"edited": [`, `"edited": ["`+text+`", `, 1)))
		if err != nil || r.Edited[0] != want {
			t.Errorf("%q: got %+v, %v, want %q", text, r, err, want)
		}
	}
}

// A record of another user is no way out of the container's directory.
func TestReadContainer(t *testing.T) {
	dir := t.TempDir()
	kind := func() Kind {
		_, err := ReadContainer(dir, os.Geteuid())
		return KindOf(err)
	}
	if kind() != NoRecord {
		t.Error("an empty directory is a container")
	}
	if _, err := ReadContainer(dir+"/none", 0); KindOf(err) != NoContainer || err.Error() != fmt.Sprintf("there is no container %q in %q", "none", dir) {
		t.Error(err)
	}
	if _, err := ReadContainer(dir, 0); err == nil || err.Error() != fmt.Sprintf("container %q has no image.json", filepath.Base(dir)) {
		t.Error(err)
	}
	writeFile(t, filepath.Join(dir, "config"), nil)
	if kind() != NoRecord {
		t.Error("a record is there that is not")
	}
	record := filepath.Join(dir, RecordFile)
	writeFile(t, dir+"/elsewhere", testRecord().AppendJSON(nil))
	for name, make := range map[string]func() error{
		"symbolic link": func() error { return os.Symlink("elsewhere", record) },
		"hard link":     func() error { return os.Link(dir+"/elsewhere", record) },
		"pipe":          func() error { return unix.Mkfifo(record, 0o644) },
		"directory":     func() error { return os.Mkdir(record, 0o755) },
		"huge file":     func() error { return os.WriteFile(record, make([]byte, maxConfig+1), 0o644) },
		"huge hole":     func() error { return os.WriteFile(record, nil, 0o644) },
	} {
		if err := make(); err != nil {
			t.Fatal(err)
		}
		if name == "huge hole" {
			os.Truncate(record, 1<<40)
		}
		if m, err := ReadContainer(dir, 0); err == nil {
			t.Errorf("%s: read as %+v", name, m)
		}
		os.Remove(record)
	}
	writeFile(t, record, testRecord().AppendJSON(nil))
	if m, err := ReadContainer(dir, os.Geteuid()); err != nil || !m.Own || !m.ownConfig || m.Record.Image.Dist != "debian" {
		t.Errorf("%+v, %v", m, err)
	}
	if os.Geteuid() == 0 { // an ordinary user can't give files away
		os.Chown(record, 7, 7)
		if m, err := ReadContainer(dir, 0); err != nil || m.Own || !m.ownConfig {
			t.Errorf("%+v, %v", m, err)
		}
		os.Chown(dir+"/config", 7, 7)
		if m, err := ReadContainer(dir, 7); err != nil || !m.Own || !m.ownConfig {
			t.Errorf("%+v, %v", m, err)
		}
		if m, err := ReadContainer(dir, 0); err != nil || m.ownConfig {
			t.Errorf("%+v, %v", m, err)
		}
	}
}

func TestOpenRootfs(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(dir+"/rootfs", 0o755); err != nil {
		t.Fatal(err)
	}
	other := t.TempDir()
	os.Symlink(other, dir+"/link")
	open := func(config string, own bool) (*untar.Root, error) {
		directory, err := openDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		return (&Made{Config: []byte(config), directory: directory, ownConfig: own}).OpenRootfs()
	}
	for config, want := range map[string]string{
		"":                                       "",
		"lxc.rootfs.path = " + dir + "/rootfs\n": "",
		"lxc.rootfs.path = dir:" + dir + "/rootfs\n": "",
		"lxc.rootfs.path = btrfs:" + other + "\n":    "",
		"lxc.rootfs.path = overlay:/a:/b\n":          "is no directory",
		"lxc.rootfs.path = lvm:/dev/a\n":             "is no directory",
		"lxc.rootfs.path = web\n":                    "is no directory",
		"lxc.rootfs.path = dir:/does/not/exist\n":    "no such file",
	} {
		root, err := open(config, true)
		if err == nil {
			root.Close()
		}
		root, foreign := open(config, false)
		if foreign == nil {
			root.Close()
		}
		if below := config == "" || strings.Contains(config, dir+"/rootfs"); (foreign == nil) != below || want == "" && !below && KindOf(foreign) != NotDirectory {
			t.Errorf("%q of another user: %v", config, foreign)
		}
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", config, err, want)
		}
	}
	os.Remove(dir + "/rootfs")
	os.Symlink("/", dir+"/rootfs")
	if _, err := open("", true); err == nil {
		t.Error("a link in place of the root file system was followed")
	}
}

// The root file system is in the directory whose record was read, even if another takes its
// place meanwhile.
func TestOpenRootfsHeld(t *testing.T) {
	dir := t.TempDir() + "/web"
	for _, d := range []string{dir + "/rootfs/first", dir + "2/rootfs/second"} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	writeFile(t, dir+"/"+RecordFile, testRecord().AppendJSON(nil))
	m, err := ReadContainer(dir, os.Geteuid())
	if err == nil {
		err = errors.Join(os.Rename(dir, dir+"1"), os.Rename(dir+"2", dir))
	}
	if err != nil {
		t.Fatal(err)
	}
	root, err := m.OpenRootfs()
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if _, err := root.Open("first"); err != nil {
		t.Error(err)
	}
}

// decodes decodes a record with encoding/json. It returns the text that is written again, nil if
// the values are not those of a record.
func decodes(text []byte) (ok bool, again []byte) {
	var object map[string]any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if d.Decode(&object) != nil || d.More() || object["version"] != json.Number("1") {
		return false, nil
	}
	r := new(Record)
	for _, m := range r.Members() {
		value, there := object[m.Name]
		list, isList := value.([]any)
		one, isText := value.(string)
		if !there {
			continue
		}
		if m.One != nil && !isText || m.Many != nil && (!isList || len(list) > maxStrings) {
			return false, nil
		}
		if m.One != nil {
			*m.One = one
		}
		for _, each := range list {
			text, isText := each.(string)
			if !isText {
				return false, nil
			}
			*m.Many = append(*m.Many, text)
		}
	}
	if r.check() != nil {
		return false, nil
	}
	return true, r.AppendJSON(nil)
}

// Text that is accepted is written and read as the same record.
func FuzzParseRecord(f *testing.F) {
	f.Add(testRecord().AppendJSON(nil))
	f.Add([]byte(`{"version": 1, "dist": "\ud83d\u0000", "edited": []}`))
	f.Add([]byte(`{"version": 1, "dist": "\ud83d\ude00", "release":"r", "arch":"a","variant":"v\/","build":"\b","mode":"user","x":{"a":[null,1e3,{"\u0061":""}]}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := ParseRecord(text)
		same, want := decodes(text)
		if same && json.Valid(text) && (err != nil || !bytes.Equal(r.AppendJSON(nil), want)) {
			t.Errorf("%q: got %+v, %v, want %q", text, r, err, want)
		}
		if err != nil {
			return
		}
		if !same && json.Valid(text) {
			t.Errorf("%q is no record, and was read", text)
		}
		written := r.AppendJSON(nil)
		again, err := ParseRecord(written)
		if err != nil || !bytes.Equal(again.AppendJSON(nil), written) {
			t.Errorf("%q was written as %q: %v", text, written, err)
		}
	})
}
