# One-line targets; the work is in cross/build and scripts/.

build:
	go run ./cross/build -o bin host

cross:
	go run ./cross/build -o dist

packages: cross
	go run -C scripts ./packaging

test:
	go test ./...

demo: build
	go run -C scripts ./demo

e2e: build cross
	scripts/e2e/all

e2e-boot:
	scripts/e2e/boot

fuzz:
	scripts/fuzz $(FUZZTIME)

bench: build
	scripts/bench/run

check:
	scripts/check

clean:
	rm -rf bin dist demo

.PHONY: build cross packages test demo e2e e2e-boot fuzz bench check clean
