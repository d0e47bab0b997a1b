# Made by: lxc-pull completion fish
function __lxc_pull
	set -l words (commandline -opc)
	set -e words[1]
	set -l current (commandline -ct)
	set -l before (string match -r '^--[^=]*=|^(?:oci|oci-archive|docker-archive):' -- "$current")
	set -l value (string replace -r '^--[^=]*=|^(?:oci|oci-archive|docker-archive):' '' -- "$current")
	for line in (lxc-pull completion --words -- $words "$current" 2>/dev/null </dev/null)
		switch $line
			case :files
				string replace -r '^' -- "$before" (__fish_complete_path "$value")
			case :dirs
				string replace -r '^' -- "$before" (__fish_complete_directories "$value")
			case '*'
				echo $line
		end
	end
end
complete -c lxc-pull -f -a '(__lxc_pull)'
