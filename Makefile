# One-line targets; the work is in cross/build and scripts/.

GOFLAGS_BUILD = -trimpath -buildvcs=auto -tags=nethttpomithttp2 -ldflags='-s -w -buildid= $(if $(SOURCE_DATE_EPOCH),-X main.sourceDate=$(SOURCE_DATE_EPOCH))'

build:
	CGO_ENABLED=0 go build $(GOFLAGS_BUILD) -o bin/lxc-pull .

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

fuzz:
	scripts/fuzz $(FUZZTIME)

bench: build
	scripts/bench/run

check:
	scripts/check

clean:
	rm -rf bin dist demo

.PHONY: build cross packages test demo e2e fuzz bench check clean
