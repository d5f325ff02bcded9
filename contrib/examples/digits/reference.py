#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The classifier in whole numbers: what the card has to answer, sample by sample.

    reference.py [--weights FOLDER] [--answers]

It says how many of the samples it gets right, or with --answers prints one
answer a line. No library is needed.
"""
import pathlib
import sys

PIXELS, GROUPS, PER_GROUP = 64, 4, 16
HIDDEN = GROUPS * PER_GROUP
SHIFT, TOP = 3, 15     # a hidden neuron passes on its sum / 8, between 0 and 15
TRAINED = 1347         # samples that trained the weights; those behind them were held back
HERE = pathlib.Path(__file__).resolve().parent


def samples_read(path):
    """(pictures of 64 bytes 0..16, labels)"""
    pictures, labels = [], []
    with open(path, encoding="ascii") as f:
        for line in f:
            pixels, label = line.split()
            picture = bytes("0123456789abcdefg".index(p) for p in pixels)
            if len(picture) != PIXELS:
                raise ValueError(f"{path}: sample {len(labels)} has {len(picture)} pixels, not {PIXELS}")
            pictures.append(picture)
            labels.append(int(label))
    return pictures, labels


def weights_read(folder):
    """Rows of -1, 0, 1: hidden[pixel][neuron], output[neuron][digit]."""
    value = (0, 1, 0, -1)

    def rows(name, count):
        with open(pathlib.Path(folder) / name, encoding="ascii") as f:
            return [[value[int(line, 16) >> 2 * i & 3] for i in range(count)] for line in f]

    words = rows("hidden.hex", PER_GROUP)
    hidden = [sum((words[g * PIXELS + p] for g in range(GROUPS)), []) for p in range(PIXELS)]
    return hidden, rows("output.hex", 10)


def classify(picture, weights):
    """The digit; of equal scores the lowest digit wins. A pixel's low five bits count."""
    hidden, output = weights
    sums = [0] * HIDDEN
    for pixel, row in zip(picture, hidden):
        pixel &= 31
        if pixel:
            for n, w in enumerate(row):
                if w:
                    sums[n] += w * pixel
    scores = [0] * 10
    for total, row in zip(sums, output):
        act = min(max(total >> SHIFT, 0), TOP)
        for digit, w in enumerate(row):
            scores[digit] += w * act
    return scores.index(max(scores))


def main():
    args = sys.argv[1:]
    folder = args[args.index("--weights") + 1] if "--weights" in args else HERE
    pictures, labels = samples_read(HERE / "samples.txt")
    weights = weights_read(folder)
    answers = [classify(p, weights) for p in pictures]
    if "--answers" in args:
        print("\n".join(map(str, answers)))
        return
    right = [a == b for a, b in zip(answers, labels)]
    for name, part in (("trained with", right[:TRAINED]), ("held back", right[TRAINED:]), ("all", right)):
        print(f"{name}: {sum(part)} of {len(part)} right ({100 * sum(part) / len(part):.1f} %)")


if __name__ == "__main__":
    main()
