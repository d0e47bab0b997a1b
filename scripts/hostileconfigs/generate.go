package main

import "math/rand/v2"

func generate(r *rand.Rand) testCase { return testCase{Name: "x", Config: stock} }
