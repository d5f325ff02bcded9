#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The demonstration of `make demo`: mounts fabricfs with a simulated iCE40 card,
# programs it, talks to it, shows what is refused, and leaves it mounted. Every
# result is checked; the first that is not as promised ends it with status 1.
set -euo pipefail
export LC_ALL=C

top=$(dirname "$(dirname "$(readlink -f "$0")")")
cd "$top"
bin=build/fabricfs
work=build/demo
state=$work/state
examples=contrib/examples
source=fabricfs-demo # the name under which an earlier demonstration is found

die() { printf '\ndemo: FAILED: %s\n' "$*" >&2; exit 1; }
note() { printf '\n# %s\n' "$*"; }
mount_source() { findmnt -n -o SOURCE --mountpoint "$1" 2>/dev/null | tail -n 1 || true; }

# show COMMAND: print it, run it, print and keep its output and status.
output= status=0
show() {
	printf '$ %s\n' "$1"
	status=0
	output=$(timeout "${limit:-30}" bash -c "$1" 2>&1) || status=$?
	[ -z "$output" ] || printf '%s\n' "$output"
}
must() { show "$1"; [ "$status" -eq 0 ] || die "exit status $status, wanted 0"; }
# refused COMMAND WORDS: it has to fail, and its output to contain the words.
refused() {
	show "$1"
	printf '(exit status %d)\n' "$status"
	[ "$status" -ne 0 ] || die "it was taken, and had to be refused"
	case $output in *"$2"*) ;; *) die "the output does not say: $2" ;; esac
}
same() { [ "$1" = "$2" ] || die "$3: found '$1', wanted '$2'"; }
sum() { sha256sum <"$1" | cut -d' ' -f1; }

# --- what an earlier demonstration left ---------------------------------------
mkdir -p "$work"
for old in /fpga "$top/$work/fpga"; do
	while [ "$(mount_source "$old")" = "$source" ]; do
		note "an earlier demonstration is mounted on $old"
		echo "\$ umount $old"
		if [ "$(id -u)" -eq 0 ]; then umount "$old"; else fusermount3 -u "$old"; fi ||
			die "$old cannot be unmounted: is something using it?"
	done
done
if [ -e "$state/lock" ]; then
	# Its daemon ends after the unmount; it holds this lock until then.
	flock -w 40 "$state/lock" true || die "the earlier daemon still holds $state/lock"
	rm -rf "$state"
fi

# --- where ------------------------------------------------------------------------
[ -x "$bin" ] || die "$bin is not there: run make"
if [ ! -e /dev/fuse ]; then
	modprobe fuse 2>/dev/null || true
	[ -e /dev/fuse ] || die "/dev/fuse is not there: this machine (or container) cannot mount FUSE"
fi
free_dir() {
	[ -d "$1" ] && ! mountpoint -q "$1" && [ -w "$1" ] && [ -z "$(ls -A "$1")" ]
}
fpga=/fpga
if [ ! -e $fpga ] && mkdir $fpga 2>/dev/null; then
	made="; rmdir $fpga"
elif free_dir $fpga; then
	made=
else
	fpga=$top/$work/fpga
	mkdir -p "$fpga"
	made=
	note "/fpga is not free, so the tree goes to $fpga"
fi

note "mount: one simulated iCE40-HX1K card, state in $state"
must "$bin --sim 1 --state-dir $state $source $fpga"
cd "$fpga"
must "ls"
must "cat dev0/part dev0/state"

# --- a bitstream runs -----------------------------------------------------------
upper=$top/$examples/upper/upper.bin
note "program it by copying: upper.bin was made by yosys, nextpnr and icepack"
must "cp $upper dev0/image"
must "cat dev0/state dev0/loaded/sha256"
same "$(cat dev0/loaded/sha256)" "$(sum "$upper")" "dev0/loaded/sha256"
same "$(cat dev0/state)" configured "dev0/state"

note "the design runs: it answers in upper case"
must "printf hello > dev0/io/tx"
must "head -c5 dev0/io/.rx"
same "$output" HELLO "the answer"

# --- what is refused ---------------------------------------------------------------
note "an image for another part is refused, and says why"
refused "cp $top/$examples/upper-hx8k/upper-hx8k.bin dev0/image" "Wrong medium type"
must "cat dev0/error"
[ -n "$output" ] || die "dev0/error is empty"
case $output in *HX8K*HX1K*|*HX1K*HX8K*) ;; *) die "dev0/error does not name both parts" ;; esac

note "so is one with a single flipped bit"
damaged=$top/$work/damaged.bin
cp "$upper" "$damaged"
at=10000
byte=$(od -An -tu1 -j "$at" -N 1 "$damaged" | tr -d ' ')
printf "\\x$(printf %02x $((byte ^ 1)))" | dd of="$damaged" bs=1 seek="$at" conv=notrunc status=none
refused "cp $damaged dev0/image" "Bad message"
must "cat dev0/error"
[ -n "$output" ] || die "dev0/error is empty"

note "neither touched the card: what was loaded still runs"
same "$(cat dev0/loaded/sha256)" "$(sum "$upper")" "dev0/loaded/sha256"
must "printf again > dev0/io/tx; head -c5 dev0/io/.rx"
same "$output" AGAIN "the answer"

# --- another one, and back ------------------------------------------------------------
regs=$top/$examples/regs/regs.bin
note "another design: its registers are a file (number 0 is its identity, 0xfab1)"
must "cp $regs dev0/image"
must "od -An -tx2 -N2 dev0/io/regs"
same "${output// /}" fab1 "register 0"

note "back to the one before"
must "echo rollback > dev0/ctl"
same "$(cat dev0/loaded/sha256)" "$(sum "$upper")" "dev0/loaded/sha256"
must "cat status"
must "tail -n 5 dev0/history"
case $output in *rolled-back*) ;; *) die "history does not tell of the rollback" ;; esac

# --- a neural network in a bitstream ---------------------------------------------------
digits=$top/$examples/digits
ask=$top/$work/ask
note "a classifier of handwritten digits, and the program that asks it through io/tx and io/.rx"
must "${CC:-cc} -O2 -o $ask $digits/ask.c"
must "cp $digits/digits.bin dev0/image"
same "$(cat dev0/loaded/sha256)" "$(sum "$digits/digits.bin")" "dev0/loaded/sha256"
note "one of the samples that it was not trained with, drawn"
must "$ask -d $digits -s 1400 dev0"
case $output in *"the card says 2, and it is a 2") ;; *) die "the card had to say 2" ;; esac
note "all samples, each answer compared with the one computed in whole numbers"
limit=90 must "$ask -d $digits dev0"
case $output in "1742 of 1797 right, 0 differ "*) ;; *) die "wanted 1742 right answers of 1797" ;; esac

unmount="umount $fpga"
[ "$(id -u)" -eq 0 ] || unmount="fusermount3 -u $fpga"
cat <<END

demo: all as promised. The tree stays mounted on $fpga: look around, README in it says more.
      To end it:  $unmount$made
END
