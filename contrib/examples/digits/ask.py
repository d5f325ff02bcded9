#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Asks a card that runs digits.bin, through nothing but the files of its folder.

    ask.py [--load IMAGE] [--answers | --show NUMBER] CARD     (CARD: /fpga/dev0)

All samples: how many answers are right, and how long it took. --show draws one
sample and prints the answer for it; --answers prints one answer a line.
"""
import argparse
import os
import pathlib
import sys
import time

from reference import PIXELS, TRAINED, samples_read

HERE = pathlib.Path(__file__).resolve().parent
BATCH = 32  # pictures written before their answers are read


class Card:
    def __init__(self, folder):
        # The open end of the answers first: none can be missed.
        self.rx = os.open(folder / "io" / ".rx", os.O_RDONLY | os.O_CLOEXEC)
        self.tx = os.open(folder / "io" / "tx", os.O_WRONLY | os.O_CLOEXEC)

    def ask(self, pictures):
        """One digit for each picture."""
        data, answers = b"".join(pictures), b""
        while data:
            data = data[os.write(self.tx, data):]
        while len(answers) < len(pictures):
            more = os.read(self.rx, len(pictures) - len(answers))
            if not more:
                raise OSError("the card has no more answers: is another image loaded?")
            answers += more
        return list(answers)


def draw(picture):
    shades = " .:-=+*#%@"
    return "\n".join("".join(shades[p * 9 // 16] * 2 for p in picture[at:at + 8])
                     for at in range(0, PIXELS, 8))


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("--load", metavar="IMAGE", help="program the card with this first")
    args.add_argument("--answers", action="store_true", help="print the answers only")
    args.add_argument("--show", metavar="NUMBER", type=int, help="draw this sample and ask for it alone")
    args.add_argument("card", type=pathlib.Path)
    args = args.parse_args()
    if args.load:
        (args.card / "image").write_bytes(pathlib.Path(args.load).read_bytes())
    pictures, labels = samples_read(HERE / "samples.txt")
    card = Card(args.card)
    if args.show is not None:
        if not 0 <= args.show < len(pictures):
            sys.exit(f"ask.py: there are samples 0 to {len(pictures) - 1}, no {args.show}")
        print(draw(pictures[args.show]))
        print(f"the card says {card.ask([pictures[args.show]])[0]}, and it is a {labels[args.show]}")
        return
    answers = []
    start = time.monotonic()
    for at in range(0, len(pictures), BATCH):
        answers += card.ask(pictures[at:at + BATCH])
    seconds = time.monotonic() - start
    if args.answers:
        print("\n".join(map(str, answers)))
        return
    right = [a == b for a, b in zip(answers, labels)]
    print(f"{sum(right)} of {len(right)} right ({100 * sum(right) / len(right):.1f} %); "
          f"of those held back {sum(right[TRAINED:])} of {len(right) - TRAINED}")
    print(f"{seconds:.2f} s, {len(right) / seconds:.0f} answers per second")


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError) as e:
        sys.exit(f"ask.py: {e}")
