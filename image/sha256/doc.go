// Package sha256 computes the SHA-256 of images and other large files. On 32-bit ARM, for which
// crypto/sha256 has no assembly, it takes 30 instructions for a byte instead of 68. On other
// processors it is crypto/sha256.
package sha256

import "crypto/sha256"

// Size is the length of a sum in bytes.
const Size = sha256.Size
