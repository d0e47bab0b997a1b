# One-line targets; the work is in cross/build and scripts/.

build:
	go run ./cross/build -o bin host

cross:
	go run ./cross/build -o dist

packages: cross
	go run -C scripts ./packaging

install:
	scripts/packaging/install

docs: picture
	go test ./cli -run Manual -update -count=1
	scripts/docs/man dist/docs/man

test:
	go test ./...
	go test -tags noasm ./untar/xz

demo: build
	go run -C scripts ./demo

e2e: build cross
	FULL=1 scripts/lab/e2e/all

e2e-boot:
	scripts/lab/e2e/boot

fuzz:
	scripts/lab/fuzz $(FUZZTIME)

bench: build
	scripts/lab/bench/run $(BENCH)

scale: build
	scripts/lab/bench/run $(BENCH) scale

picture:
	go run -C scripts ./docs picture ../docs/terminal.svg

check:
	scripts/lab/check

clean:
	rm -rf bin dist demo

.PHONY: build cross packages install docs picture test demo e2e e2e-boot fuzz bench scale check clean
