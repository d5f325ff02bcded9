#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Reads a card's telemetry every INTERVAL seconds (1) and prints a line each time:
# seconds since the start, cycles, toggles, watts, degrees Celsius; "-" for what the
# card does not have. COUNT lines, or until interrupted.
#
#	record.sh /fpga/dev0 [INTERVAL [COUNT]] > card.dat
#	gnuplot -e "data='card.dat'; picture='card.svg'" card.gp
set -euo pipefail

[ $# -ge 1 ] || { echo "usage: record.sh CARD [INTERVAL [COUNT]]" >&2; exit 2; }
card=$1 interval=${2:-1} count=${3:-0}
[ -d "$card/telemetry" ] || { echo "record.sh: $card has no telemetry/" >&2; exit 1; }

start=$(date +%s.%N)
echo "# seconds cycles toggles watts celsius"
for ((n = 1; ; n++)); do
	line=$(date +%s.%N | awk -v start="$start" '{ printf "%.2f", $1 - start }')
	for name in cycles toggles model_power_watts model_temp_celsius; do
		line+=" $(cat "$card/telemetry/$name" 2>/dev/null || echo -)"
	done
	echo "$line"
	[ "$n" -ne "$count" ] || break
	sleep "$interval"
done
