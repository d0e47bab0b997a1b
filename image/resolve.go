package image

import (
	"slices"
	"strconv"
	"strings"
)

// Latest is the name that stands for the newest stable release of a distribution, in a query
// and for an index that has no release of that name.
const Latest = "latest"

// releaseNames has a line for each distribution that names its releases in two ways: the
// distribution, then NUMBER=NAME of each release. Lists of images have either. Sources:
// debian.org/releases, wiki.ubuntu.com/Releases, devuan.org/os/releases,
// linuxmint.com/download_all.php.
const releaseNames = `
debian 7=wheezy 8=jessie 9=stretch 10=buster 11=bullseye 12=bookworm 13=trixie 14=forky 15=duke
devuan 1=jessie 2=ascii 3=beowulf 4=chimaera 5=daedalus 6=excalibur 7=freia
mint 20=ulyana 20.1=ulyssa 20.2=uma 20.3=una 21=vanessa 21.1=vera 21.2=victoria 21.3=virginia 22=wilma 22.1=xia 22.2=zara 22.3=zena
ubuntu 14.04=trusty 16.04=xenial 18.04=bionic 20.04=focal 22.04=jammy 24.04=noble 24.10=oracular 25.04=plucky 25.10=questing 26.04=resolute
`

// unreleased are the code names in releaseNames of releases that are not stable yet.
const unreleased = " forky duke freia "

// alias returns the other name of a release: the code name for a number and the number for a
// code name, in lower case; "" if there is none.
func alias(dist, release string) string {
	_, line, _ := strings.Cut(releaseNames, "\n"+strings.ToLower(dist)+" ")
	line, _, _ = strings.Cut(line, "\n")
	for word := ""; line != ""; {
		word, line, _ = strings.Cut(line, " ")
		number, name, _ := strings.Cut(word, "=")
		if strings.EqualFold(release, name) {
			return number
		}
		if release == number {
			return name
		}
	}
	return ""
}

// ReleaseKey returns a text by which the releases of a distribution are sorted: the later, the
// newer. Numbers count as versions, and code names as their numbers. The text begins with "1"
// for a stable release and with "0" for another. A name without a number that is not in the
// table is a branch that moves on (sid, edge, current), or newer than this program: it may
// not be stable.
func ReleaseKey(dist, release string) string {
	number, name := strings.ToLower(release), alias(dist, release)
	if !strings.ContainsAny(number, "0123456789") {
		number, name = name, number
	}
	key := "1"
	if number == "" || strings.Contains(unreleased, " "+name+" ") {
		key = "0"
	}
	if number == "" {
		number = "~" + name // after all digits
	}
	for number != "" {
		rest := strings.TrimLeft(number, "0123456789")
		if n := len(number) - len(rest); n > 0 {
			const width = "00000000"
			key += width[min(n, len(width)):] + number[:n]
			number = rest
			continue
		}
		key += number[:1]
		number = number[1:]
	}
	return key
}

// Order returns the indexes of keys in the order of the texts; equal ones stay in their order. A
// key has no NUL. Whoever sorts a list makes a key for each element: sorting texts is in the
// program anyway, but each other type that slices.SortFunc sorts adds 5 KB or more to it.
func Order(keys []string) []int {
	const digits = 1e9 // makes all indexes equally long
	numbered := make([]string, len(keys))
	for i, key := range keys {
		numbered[i] = key + "\x00" + strconv.Itoa(digits+i)
	}
	slices.Sort(numbered)
	order := make([]int, len(keys))
	for n, key := range numbered {
		i, _ := strconv.Atoi(key[strings.LastIndexByte(key, 0)+1:])
		order[n] = i - digits
	}
	return order
}

// SameDist reports whether two names mean the same distribution: they differ only in letter
// case, hyphens and the word "linux", as arch and archlinux do.
func SameDist(a, b string) bool { return plainDist(a) == plainDist(b) }

// plainDist returns the name of a distribution without what SameDist ignores.
func plainDist(name string) string {
	return strings.ReplaceAll(strings.ReplaceAll(strings.ToLower(name), "-", ""), "linux", "")
}

// SameRelease reports whether a user who names the release wanted may mean the release name:
// they are two names of one release, or name has more after a number and a hyphen, as 9-Stream
// has, or wanted has a "v" before the number.
func SameRelease(dist, wanted, name string) bool {
	begin, _, _ := strings.Cut(name, "-")
	return strings.EqualFold(wanted, name) || wanted == begin || wanted == "v"+name || strings.EqualFold(alias(dist, wanted), name)
}

// Resolve replaces names in q by names that the index has for the same: another spelling of
// the distribution, Latest, the number in place of a code name or the code name in place of a
// number, and the only variant if q.AnyVariant is set. If several images are meant equally
// well, or none, q stays as it is, and note is ""; otherwise note tells the user in one line
// what was replaced.
func (x *Index) Resolve(q *Query) (note string) {
	var found *Image
	best, several := "", false
	newest := q.Release == Latest || q.Release == "stable"
	for i := range x.Images {
		img := &x.Images[i]
		dist, release, variant := "0", "", " 1" // a blank is before all characters of versions
		if matches(q.Dist, img.Dist) {
			dist = "1"
		}
		if !matches(q.Variant, img.Variant) {
			variant = ""
		}
		switch {
		case !SameDist(q.Dist, img.Dist) || !matchesArch(q.Arch, img.Arch) || variant == "" && !q.AnyVariant:
			continue
		case matches(q.Release, img.Release):
			release = "2"
		case newest:
			release = ReleaseKey(img.Dist, img.Release)
			if release[0] == '0' {
				release = "0" // unstable ones are equal: only if there is no other, it is meant
			}
		case SameRelease(img.Dist, q.Release, img.Release):
			release = "1"
		default:
			continue
		}
		key := dist + release + variant
		if key > best {
			best, found, several = key, img, false
		} else if key == best && img.Name != found.Name {
			several = true
		}
	}
	if several || found == nil {
		return ""
	}
	wanted, means, why := q.Dist, found.Dist+"/"+found.Release, ""
	if q.Release != Latest {
		wanted += "/" + q.Release
	}
	switch {
	case !newest || best[1] == '2': // the release has that name
	case best[1] == '0':
		why = ", its only release for " + found.Arch
	default:
		why = ", the newest stable release in the list"
	}
	if !matches(q.Variant, found.Variant) {
		means, why = means+"/"+found.Variant, ", its only variant"
	}
	q.Dist, q.Release, q.Variant = found.Dist, found.Release, found.Variant
	return wanted + " means " + means + why
}
