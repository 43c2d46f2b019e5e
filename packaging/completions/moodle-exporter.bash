# Completion for bash: the program itself says which commands and flags there are.
_moodle_exporter() {
	local words=("${COMP_WORDS[@]:1:COMP_CWORD-1}") current=${COMP_WORDS[COMP_CWORD]}
	COMPREPLY=()
	# The value of a flag is most often a file; nothing from here lets bash offer those.
	[[ $current == = || ${COMP_WORDS[COMP_CWORD-1]} == = ]] && return
	# Half of a word would be taken for an argument: the whole list is asked for, and cut down here.
	[[ $current == -* ]] && words+=(--)
	mapfile -t COMPREPLY < <(compgen -W "$("${COMP_WORDS[0]}" --completion-bash "${words[@]}" 2>/dev/null)" -- "$current")
}
complete -o bashdefault -o default -F _moodle_exporter moodle-exporter
