package image_test

import (
	"errors"
	"fmt"

	"lxc-pull/image"
)

// The text of an index, as a server has it in meta/1.0/index-system.
const index = `debian;bookworm;amd64;default;20260829_05:24;/images/debian/bookworm/amd64/default/20260829_05:24/
debian;trixie;amd64;default;20260829_05:24;/images/debian/trixie/amd64/default/20260829_05:24/
debian;trixie;arm64;default;20260829_05:24;/images/debian/trixie/arm64/default/20260829_05:24/
alpine;3.22;amd64;default;20260829_13:00;/images/alpine/3.22/amd64/default/20260829_13:00/
debian;../etc;amd64;default;20260829_05:24;/images/debian/
`

// ParseIndex leaves out lines with fields that could lead out of a directory.
func ExampleParseIndex() {
	parsed := image.ParseIndex([]byte(index))
	fmt.Println(len(parsed.Images), "images")
	for _, problem := range parsed.Problems {
		fmt.Printf("line %d: %v\n", problem.Line, problem.Err)
	}
	// Output:
	// 4 images
	// line 5: release "../etc": "/" is not allowed
}

func ExampleIndex_Find() {
	found, err := image.ParseIndex([]byte(index)).Find(image.Query{
		Dist: "Debian", Release: "trixie", Variant: "default",
		Arch: []string{"x86_64", "amd64"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(found.Name)
	fmt.Println(found.Path + "/" + image.RootfsFile)
	// Output:
	// debian/trixie/amd64/default
	// images/debian/trixie/amd64/default/20260829_05:24/rootfs.tar.xz
}

// A *NotFoundError lists images with similar names, the most similar first.
func ExampleNotFoundError() {
	_, err := image.ParseIndex([]byte(index)).Find(image.Query{
		Dist: "debian", Release: "trixi", Variant: "default", Arch: []string{"amd64"},
	})
	fmt.Println(err)
	var missing *image.NotFoundError
	if errors.As(err, &missing) {
		for _, near := range missing.Near {
			fmt.Println("  did you mean", near.Name)
		}
	}
	// Output:
	// no image "debian/trixi/amd64/default"
	//   did you mean debian/trixie/amd64/default
	//   did you mean debian/bookworm/amd64/default
}
