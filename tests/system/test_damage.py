# SPDX-License-Identifier: Apache-2.0
"""Images cut and flipped everywhere: none is ever programmed."""
import errno

from images import BLINK, UPPER, crc_reset_at, end, flip, sha256

GOOD = UPPER.read_bytes()


def unchanged(card):
    return card.sha == sha256(BLINK) and card.state == "configured"


def test_cut_anywhere_in_steps_is_refused(card):
    card.load(BLINK)
    data = GOOD[:end(GOOD)]
    for n in range(1, len(data), 331):
        assert card.write(data[:n]) == errno.EBADMSG, n
    assert unchanged(card)
    assert card.write(data) == 0  # the pad byte behind the wake-up is not needed


def test_a_flipped_bit_is_refused_every_one_of_a_thousand(card):
    card.load(BLINK)
    first, last = crc_reset_at(GOOD), end(GOOD)
    spread = (last - first) * 8
    refused = 0
    for i in range(1000):
        byte, bit = divmod(i * spread // 1000 + i % 7, 8)
        problem = card.write(flip(GOOD, min(first + byte, last - 1), bit))
        assert problem == errno.EBADMSG, (byte, bit, problem, card.error)
        refused += 1
    assert refused == 1000
    assert unchanged(card)


