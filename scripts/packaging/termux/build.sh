# For termux-packages: put this directory into packages/lxc-pull there, then
# ./build-package.sh -a aarch64 lxc-pull
# makes the package. It installs the programs in this directory unchanged, and downloads or
# compiles nothing.
TERMUX_PKG_HOMEPAGE=https://linuxcontainers.org/lxc/
TERMUX_PKG_DESCRIPTION="LXC template that fetches signed root file systems"
TERMUX_PKG_LICENSE="custom"
TERMUX_PKG_LICENSE_FILE="LICENSE, copyright"
TERMUX_PKG_MAINTAINER="@MAINTAINER@"
TERMUX_PKG_VERSION="@VERSION@"
TERMUX_PKG_SUGGESTS="lxc"
TERMUX_PKG_SKIP_SRC_EXTRACT=true
TERMUX_PKG_BUILD_IN_SRC=true

termux_step_make_install() {
	# The program is in the directory of templates, from which it finds LXC's other
	# directories; the command in bin is a link to it.
	install -Dm700 "$TERMUX_PKG_BUILDER_DIR/lxc-pull-$TERMUX_ARCH" "$TERMUX_PREFIX/share/lxc/templates/lxc-pull"
	mkdir -p "$TERMUX_PREFIX/bin" "$TERMUX_PREFIX/share/lxc-pull/templates"
	ln -sf ../share/lxc/templates/lxc-pull "$TERMUX_PREFIX/bin/lxc-pull"
	ln -sf ../../lxc/templates/lxc-pull "$TERMUX_PREFIX/share/lxc-pull/templates/lxc-download"
	mkdir -p "$TERMUX_PREFIX/share/man"
	cp -R "$TERMUX_PKG_BUILDER_DIR"/man/. "$TERMUX_PREFIX/share/man/"
	install -Dm600 "$TERMUX_PKG_BUILDER_DIR/lxc-pull.bash" "$TERMUX_PREFIX/share/bash-completion/completions/lxc-pull"
	install -Dm600 "$TERMUX_PKG_BUILDER_DIR/lxc-pull.zsh" "$TERMUX_PREFIX/share/zsh/site-functions/_lxc-pull"
	install -Dm600 "$TERMUX_PKG_BUILDER_DIR/lxc-pull.fish" "$TERMUX_PREFIX/share/fish/vendor_completions.d/lxc-pull.fish"
}

termux_step_install_license() {
	mkdir -p "$TERMUX_PREFIX/share/doc/lxc-pull"
	install -m600 "$TERMUX_PKG_BUILDER_DIR/LICENSE" "$TERMUX_PKG_BUILDER_DIR/copyright" "$TERMUX_PREFIX/share/doc/lxc-pull/"
}
