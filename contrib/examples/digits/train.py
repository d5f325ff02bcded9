#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Trains the ternary weights of the digits classifier and writes them beside itself.

    train.py [FOLDER]          hidden.hex and output.hex from samples.txt
    train.py --samples FILE    samples.txt from the digits set of Debian's python3-sklearn

The first 1,347 samples train, the other 450 are held back: nothing here looks at
them. Weights are -1, 0 or 1; what is trained is a real number behind each, which
gets the gradient of its ternary value (straight-through). The seed is fixed, so
one machine's library always gives the same files.
"""
import pathlib
import sys

import numpy as np

from reference import GROUPS, HIDDEN, PER_GROUP, PIXELS, SHIFT, TOP, TRAINED, samples_read

HERE = pathlib.Path(__file__).resolve().parent
SEED, EPOCHS, BATCH, RATE = 5, 240, 32, 0.002


def ternary(w):
    """Zero where a weight is small beside the others of its neuron."""
    limit = 0.7 * np.abs(w).mean(axis=0)
    return np.sign(w) * (np.abs(w) > limit)


def shifted(x, rng):
    """Each picture moved by at most one pixel, now and then: more hands than there were."""
    out = np.zeros_like(x)
    for i, image in enumerate(x.reshape(-1, 8, 8)):
        dy, dx = rng.integers(-1, 2, 2) if rng.random() < 0.5 else (0, 0)
        moved = np.zeros((8, 8))
        moved[max(dy, 0):8 + min(dy, 0), max(dx, 0):8 + min(dx, 0)] = \
            image[max(-dy, 0):8 + min(-dy, 0), max(-dx, 0):8 + min(-dx, 0)]
        out[i] = moved.reshape(-1)
    return out


def train(x, y):
    rng = np.random.default_rng(SEED)
    w = [rng.normal(0, 1, (PIXELS, HIDDEN)) * 0.1, rng.normal(0, 1, (HIDDEN, 10)) * 0.1]
    mean, square = [np.zeros_like(p) for p in w], [np.zeros_like(p) for p in w]
    want, step, scale = np.eye(10)[y], 0, 1 / 16.0
    for epoch in range(EPOCHS):
        rate = RATE * 0.5 * (1 + np.cos(np.pi * epoch / EPOCHS)) + 1e-5
        order = rng.permutation(len(x))
        for at in range(0, len(x), BATCH):
            pick = order[at:at + BATCH]
            xb = shifted(x[pick], rng)
            hidden, output = ternary(w[0]), ternary(w[1])
            raw = xb @ hidden / 2 ** SHIFT
            act = np.clip(np.floor(raw), 0, TOP)
            score = act @ output * scale
            p = np.exp(score - score.max(axis=1, keepdims=True))
            p /= p.sum(axis=1, keepdims=True)
            d_score = (p - want[pick]) * scale / len(pick)
            d_act = d_score @ output.T * ((raw > 0) & (raw < TOP + 1))
            step += 1
            for k, g in enumerate((xb.T @ d_act / 2 ** SHIFT, act.T @ d_score)):
                mean[k] = 0.9 * mean[k] + 0.1 * g
                square[k] = 0.999 * square[k] + 0.001 * g * g
                w[k] -= rate * (mean[k] / (1 - 0.9 ** step)) / (
                    np.sqrt(square[k] / (1 - 0.999 ** step)) + 1e-8)
                np.clip(w[k], -1, 1, out=w[k])
    return [ternary(p).astype(int) for p in w]


def word(weights):
    """Two bits a weight, the first in the lowest: 0 is 00, 1 is 01, -1 is 11."""
    return sum((int(w) & 3) << 2 * i for i, w in enumerate(weights))


def main():
    if sys.argv[1:2] == ["--samples"]:
        from sklearn.datasets import load_digits
        data = load_digits()
        with open(sys.argv[2], "w", encoding="ascii") as out:
            for picture, label in zip(data.data.astype(int), data.target):
                out.write("".join("0123456789abcdefg"[p] for p in picture) + f" {label}\n")
        return
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
    pictures, labels = samples_read(HERE / "samples.txt")
    x, y = np.array([list(p) for p in pictures[:TRAINED]], float), np.array(labels[:TRAINED])
    hidden, output = train(x, y)
    with open(folder / "hidden.hex", "w", encoding="ascii") as out:
        for group in range(GROUPS):
            for pixel in range(PIXELS):
                row = hidden[pixel, group * PER_GROUP:(group + 1) * PER_GROUP]
                out.write(f"{word(row):08x}\n")
    with open(folder / "output.hex", "w", encoding="ascii") as out:
        for row in output:
            out.write(f"{word(row):05x}\n")


if __name__ == "__main__":
    main()
