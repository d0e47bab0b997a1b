package untar

import "testing"

func TestACLText(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"user::rw-,user:lisa:r--:502,group::r--,mask::rw-,other::---", "\x02\x00\x00\x00" +
			"\x01\x00\x06\x00\xff\xff\xff\xff" + "\x02\x00\x04\x00\xf6\x01\x00\x00" + "\x04\x00\x04\x00\xff\xff\xff\xff" + "\x10\x00\x06\x00\xff\xff\xff\xff" + "\x20\x00\x00\x00\xff\xff\xff\xff"},
		{"o::r\ng::r\nu::rwx\n", "\x02\x00\x00\x00" + "\x01\x00\x07\x00\xff\xff\xff\xff" + "\x04\x00\x04\x00\xff\xff\xff\xff" + "\x20\x00\x04\x00\xff\xff\xff\xff"},
		{"user:7:r--", "\x02\x00\x00\x00" + "\x02\x00\x04\x00\x07\x00\x00\x00"},
		{"user:lisa:r--", ""},
		{"user:7:rwz", ""},
		{"user:4294967295:r--", ""},
		{"nobody:7:r--", ""},
		{"", ""},
	} {
		got, ok := aclValue([]byte(c.text))
		if ok != (c.want != "") || ok && string(got) != c.want {
			t.Errorf("%q: %x, want %x", c.text, got, c.want)
		}
	}
}
