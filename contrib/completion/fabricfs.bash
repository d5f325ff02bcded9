# SPDX-License-Identifier: Apache-2.0
# bash completion for fabricfs(8)
_fabricfs()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
	local words

	case $prev in
	-c|--config) mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
	-s|--state-dir|--mount) mapfile -t COMPREPLY < <(compgen -d -- "$cur"); return ;;
	--sim) return ;;
	--for) mapfile -t COMPREPLY < <(compgen -W "$(cd /fpga 2>/dev/null && echo dev[0-9]*)" -- "$cur"); return ;;
	-o) mapfile -t COMPREPLY < <(compgen -W "config= state-dir= sim= threads= ro" -- "$cur"); return ;;
	esac
	case ${COMP_WORDS[1]-} in
	inspect) words="--json --for --mount --help" ;;
	check-config) words="--help" ;;
	*) words="--config --state-dir --sim --foreground --debug --help --version" ;;
	esac
	if [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
	elif [ "$COMP_CWORD" -eq 1 ]; then
		mapfile -t COMPREPLY < <(compgen -W "inspect check-config" -- "$cur"; compgen -f -- "$cur")
	else
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
	fi
}
complete -o filenames -F _fabricfs fabricfs
