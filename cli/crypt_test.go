package cli

import (
	"strings"
	"testing"
)

// The first two are the vectors with 5000 rounds of Ulrich Drepper's specification. The others
// are OpenSSL's, of lengths around that of a digest.
func TestSHA512Crypt(t *testing.T) {
	for _, c := range []struct{ password, salt, want string }{
		{"Hello world!", "saltstring", "svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1"},
		{"This is just a test", "toolongsaltstrin", "lQ8jolhgVRVhY4b5pZKaysCLi0QBxGoNeKQzQ3glMhwllF7oGDZxUhx1yxdYcz/e1JSbq3y6JMxxl8audkUEm0"},
		{"x", "saltSALTsalt1234", "LbKoOqgTN1dstb8GNNSi6/oGRhDblrhkh7BA4epUs5CxalqurCOx.4TaV9uEbh8Vsj9FfNL4gI8L.7s0xiiP2."},
		{strings.Repeat("x", 63), "s", "YyHpJoq.2YqpjAhq1JZOyv8hFy.PWPrdu2QURNfsHGvhNIAp.7a2ojjdhnIYabXD/3HbEYKenVmD8u5Nnb0NO0"},
		{strings.Repeat("x", 64), "saltSALTsalt1234", "itd95lHEtIvLGY52RUe.Ng55g2mkQA0FrfH6VOFZmmcNWHfqUgjltRea6VddZ7m2qbGnRkfsvrEgBYjEuSfey."},
		{strings.Repeat("x", 65), "saltSALTsalt1234", "6who4fopPQsnIjCkXliUwk8CxW6iMjusxmRmPEZiaEBulV2TwYhXFK2.No1MZCIwJRXw.qyHuEGj2Ln7Hy5nM."},
		{"pässwörd", "..//", "WfADZkFjtCUG/CLoAaCM0J26ZFrOQ88zWhJpPDzOYIppxNEizirYqHdT7rtp1WUsCUjJLRUyy6QpCwC.ARl7D1"},
		{strings.Repeat("y", 200), "saltSALTsalt1234", "5vYfaOE/eTOzO39RynQXVmwigxbbniapSdgWprK23p1o3/WrzlrcpCPMuUdzsMOeprTHPXnhfyIR7bj/gVnhB1"},
	} {
		if got, want := sha512Crypt(c.password, c.salt), "$6$"+c.salt+"$"+c.want; got != want {
			t.Errorf("%q: %s, want %s", c.password, got, want)
		}
	}
}
