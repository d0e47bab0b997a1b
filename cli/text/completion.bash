# Made by: lxc-pull completion bash
_lxc_pull() {
	local line current=${COMP_WORDS[COMP_CWORD]}
	case $current in [=:]) current= ;; esac
	COMPREPLY=()
	while IFS=$'\t' read -r line _; do
		case $line in
		:files) compopt -o filenames 2>/dev/null
			mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
		:dirs) compopt -o filenames 2>/dev/null
			mapfile -t COMPREPLY < <(compgen -d -- "$current") ;;
		*) COMPREPLY+=("$line") ;;
		esac
	done < <("$1" completion --words -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null </dev/null)
}
complete -F _lxc_pull lxc-pull
