// Package json reads JSON texts (RFC 8259) without reflection and without copying them.
//
// Parse checks the whole text once. A Value is then a part of that text, and its methods
// look for members and items in it.
package json

import "errors"

// MaxDepth is how deep arrays and objects may be nested. Registries' documents are six deep.
const MaxDepth = 32

// A Value is a JSON value, a part of a text that Parse has checked. The zero Value is an absent
// one: its methods return nothing.
type Value struct{ text string }

// Parse checks a text and returns its value. It refuses text after the value, bytes that are
// not UTF-8, nesting beyond MaxDepth, and an object with two members of one name.
func Parse(text string) (Value, error) { return Value{}, errors.New("todo") }

// Get returns the member of an object, the zero Value if v is no object or has no such member.
func (v Value) Get(name string) Value { return Value{} }

// Text returns the text of a string; ok is false if v is no string.
func (v Value) Text() (text string, ok bool) { return "", false }

// Int returns a number that is an integer of 64 bits; ok is false for any other value.
func (v Value) Int() (n int64, ok bool) { return 0, false }

// Items calls each with the items of an array, in their order, until it returns false. ok is
// false if v is no array.
func (v Value) Items(each func(Value) bool) (ok bool) { return false }

// Members calls each with the members of an object until it returns false. ok is false if v is
// no object.
func (v Value) Members(each func(name string, value Value) bool) (ok bool) { return false }

// IsNull reports whether v is absent or null.
func (v Value) IsNull() bool { return true }
