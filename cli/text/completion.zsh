#compdef lxc-pull
# Made by: lxc-pull completion zsh
_lxc_pull() {
	local line
	local -a found
	for line in ${(f)"$(${(Q)words[1]} completion --words -- "${(@)words[2,CURRENT]}" 2>/dev/null </dev/null)"}; do
		case $line in
		:files) compset -P '--*='; compset -P '(oci|oci-archive|docker-archive):'; _files ;;
		:dirs) compset -P '--*='; compset -P '(oci|oci-archive|docker-archive):'; _files -/ ;;
		*) found+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}") ;;
		esac
	done
	_describe lxc-pull found
}
if [ "$funcstack[1]" = _lxc-pull ]; then _lxc_pull "$@"; else compdef _lxc_pull lxc-pull; fi
