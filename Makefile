# One-line targets; the work is in cross/build and scripts/.

build:
	go run ./cross/build -o bin host

cross:
	go run ./cross/build -o dist

# The packages do the same. PREFIX=/usr replaces a package's program.
PREFIX ?= /usr/local
PROGRAM ?= bin/lxc-pull

install:
	install -D -m 755 $(PROGRAM) $(DESTDIR)$(PREFIX)/bin/lxc-pull
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/man/man1 scripts/packaging/*.1
	install -d $(DESTDIR)/usr/share/lxc/templates
	ln -sf $(PREFIX)/bin/lxc-pull $(DESTDIR)/usr/share/lxc/templates/lxc-pull

packages: cross
	go run -C scripts ./packaging

test:
	go test ./...

docs: picture

picture:
	go run -C scripts ./docs picture ../docs/terminal.svg

demo: build
	go run -C scripts ./demo

e2e: build cross
	scripts/lab/e2e/all

e2e-boot:
	scripts/lab/e2e/boot

fuzz:
	scripts/lab/fuzz $(FUZZTIME)

bench: build
	scripts/lab/bench/run

check:
	scripts/lab/check

clean:
	rm -rf bin dist demo

.PHONY: build cross install packages test docs picture demo e2e e2e-boot fuzz bench check clean
