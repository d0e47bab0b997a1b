package cli

import "testing"

func TestMappedID(t *testing.T) {
	for _, c := range []struct {
		text string
		want int64
	}{{"65536", 65536}, {"0", 0}, {"-1", -1}, {"", -1}, {"4294967295", -1}, {"4294967294", 4294967294}, {"x\x81", -1}, {"99999999999", -1}} {
		got, ok := mappedID(c.text)
		if ok != (c.want != -1) || ok && uint32(got) != uint32(c.want&0xffffffff) {
			t.Errorf("mappedID(%q) = %d, %v", c.text, got, ok)
		}
	}
}

func TestParseSizeAndTime(t *testing.T) {
	for _, c := range []struct {
		text string
		want int64
	}{{"1", 1}, {"24M", 24 << 20}, {"3k", 3 << 10}, {"1G", 1 << 30}, {"", 0}, {"0", 0}, {"-1", 0}, {"M", 0}, {"1T", 0}, {"9999999999G", 0}} {
		if got, err := parseSize(c.text); got != c.want || (err == nil) != (c.want > 0) {
			t.Errorf("parseSize(%q) = %d, %v", c.text, got, err)
		}
	}
	for _, text := range []string{"1787980800", "2026-08-29", "2026-08-29T00:00:00Z"} {
		if got, err := parseTime(text); err != nil || got.Unix() != 1787961600 && got.Unix() != 1787980800 {
			t.Errorf("parseTime(%q) = %v (%d), %v", text, got, got.Unix(), err)
		}
	}
	if _, err := parseTime("yesterday"); err == nil {
		t.Error("yesterday is a time")
	}
}
