#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs the packages of the given lists that are missing; `--missing` only
# says which, and exits 1 when there are some.
#   deps.sh [--missing] build|check|bench...
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")

only_say=
if [ "${1:-}" = --missing ]; then
	only_say=1
	shift
fi
[ $# -gt 0 ] || { echo "usage: deps.sh [--missing] build|check|bench..." >&2; exit 2; }

lists=()
for list in "$@"; do
	lists+=("$here/packages.$list")
done

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
	# Elsewhere the Makefile says which libraries are missing.
	[ -n "$only_say" ] && exit 0
	echo "deps: only Debian and Ubuntu are known here; install what" \
	     "${lists[*]##*/} in contrib/packaging list with this system's own tool" >&2
	exit 1
fi

missing=() total=0
while read -r package why; do
	case $package in ''|'#'*) continue ;; esac
	total=$((total + 1))
	status=$(dpkg-query -W -f='${db:Status-Status} ' "$package" 2>/dev/null || true)
	case " $status" in *" installed "*) continue ;; esac
	missing+=("$package")
	printf 'deps: %-21s %s\n' "$package" "$why"
done < <(cat "${lists[@]}")

if [ ${#missing[@]} -eq 0 ]; then
	[ -n "$only_say" ] || echo "deps: all $total packages are there"
	exit 0
fi
[ -z "$only_say" ] || exit 1
if [ "$(id -u)" -ne 0 ]; then
	echo "deps: ${#missing[@]} packages are missing and only root can install them: sudo make deps" >&2
	exit 1
fi
echo "deps: installing ${#missing[@]} packages"
export DEBIAN_FRONTEND=noninteractive
# The tests start the servers that they want, in folders of their own: none is to be
# started by its installation (Debian's policy-rc.d), nor by the next boot of the machine.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	trap 'rm -f "$policy"' EXIT
	printf '#!/bin/sh\nexit 101\n' > "$policy"
	chmod 0755 "$policy"
fi
apt-get -q -y update
apt-get -q -y --no-install-recommends install "${missing[@]}"
for package in "${missing[@]}"; do
	case $package in nginx*)
		if [ -d /run/systemd/system ]; then
			systemctl --quiet disable nginx.service || true
		fi ;;
	esac
done
