"""Statistics of music: hand-made pieces with known answers, and slow oracles."""

import numpy as np
import pytest
import torch

from linmem import data
from linmem.music.comparison import comparison
from linmem.music.statistics import (
    held_share,
    interval_classes,
    longest_copy,
    measure,
    parallels,
    voice_movement,
)


def frames(*rows):
    roll = np.zeros((len(rows), 88), dtype=bool)
    for step, pitches in enumerate(rows):
        roll[step, [pitch - 21 for pitch in pitches]] = True
    return roll


def test_notes_range_and_intervals_of_a_known_piece():
    piece = frames((60, 64, 67), (60,), (), (60, 72))
    found = measure(piece)
    assert found.notes_per_frame == 6 / 4
    assert found.pitch_range == 12
    # C-E: 4, E-G: 3, C-G: 7 -> 5, C-C: 12 -> 0
    assert found.interval_classes == (0.25, 0, 0, 0.25, 0.25, 0.25, 0)
    assert found.copied_steps is None


def test_interval_classes_are_those_of_all_pairs():
    random = np.random.default_rng(0)
    roll = random.random((30, 88)) < 0.06
    counts = np.zeros(7)
    for frame in roll:
        notes = np.flatnonzero(frame)
        for i in notes:
            for j in notes[notes > i]:
                counts[min((j - i) % 12, -(j - i) % 12)] += 1
    np.testing.assert_allclose(interval_classes(roll), counts / counts.sum())


def test_held_notes_and_repeated_ones():
    active = frames((60, 64), (60, 64), (60, 65))
    assert held_share(active) == 3 / 4
    assert held_share(np.concatenate([active, frames((60, 64), (60,), (65,))], 1)) == 2 / 4
    assert held_share(frames((60,))) is None


def test_movement_counts_only_voices_that_move():
    lines = np.array([[72, 60], [74, 60], [74, 0], [71, 55]])
    assert voice_movement(lines) == (2 + 3) / 2
    assert voice_movement(np.array([[60], [60]])) is None


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([[67, 60], [69, 62]], 100),  # parallel fifths
        ([[79, 60], [81, 62]], 100),  # a fifth and an octave
        ([[72, 60], [74, 62]], 100),  # parallel octaves
        ([[60, 60], [62, 62]], 100),  # parallel unisons
        ([[67, 60], [55, 48]], 100),  # downwards
        ([[64, 60], [65, 62]], 0),  # thirds
        ([[67, 60], [72, 65]], 100),
        ([[67, 60], [74, 62]], 0),  # a fifth to an octave
        ([[67, 60], [53, 72]], 0),  # contrary motion
        ([[67, 60], [67, 62]], None),  # only one voice moves
        ([[67, 60], [0, 62]], None),  # a rest
        ([[67, 60], [69, 62], [71, 65]], 50),  # one of two moves
    ],
)
def test_parallel_fifths_and_octaves(lines, expected):
    assert parallels(np.array(lines)) == expected


def test_the_longest_copied_passage_is_that_of_all_pairs_of_places():
    random = np.random.default_rng(1)
    alphabet = [frames((60,)), frames((62,)), frames(()), frames((60, 64))]
    piece, other = (np.concatenate([alphabet[i] for i in random.integers(4, size=40)]) for _ in range(2))
    best = 0
    for i in range(40):
        for j in range(40):
            length = 0
            while i + length < 40 and j + length < 40 and (piece[i + length] == other[j + length]).all():
                length += 1
                if piece[i : i + length].any():
                    best = max(best, length)
    assert longest_copy(piece, [other]) == best
    assert longest_copy(piece, [frames((90,)), piece[5:25]]) >= 20
    assert longest_copy(frames((), (), ()), [frames((), (), ())]) == 0


def test_too_many_notes_have_no_voices_and_an_empty_piece_has_nothing():
    found = measure(frames((60, 62, 64), (60, 62, 64)), voices=2)
    assert (found.voice_movement, found.parallels) == (None, None)
    empty = measure(np.zeros((3, 88)), [np.zeros((2, 88))])
    assert (empty.notes_per_frame, empty.pitch_range, empty.interval_classes, empty.copied_steps) == (0, None, None, 0)


def test_the_comparison_names_what_lies_within_one_standard_deviation():
    real = [measure(frames((60,), (62,))), measure(frames((60, 67), (62, 69), (64,)))]
    table = comparison(real, [measure(frames((60, 64), (62,)))])
    rows = {line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[2:-1]] for line in table.splitlines()}
    assert rows["notes per frame"] == ["1.33 ± 0.47", "1.50", "yes"]
    assert rows["interval class 4, %"] == ["0.00", "100.00", "–"]
    assert rows["longest copied passage, steps"] == ["–", "–", "–"]


def test_real_chorales_have_plausible_statistics():
    """Bounds of the style: about four notes, few parallels, small steps."""
    bach = data.load("chorales")
    pieces = [measure(roll, bach.train[:20]) for roll in bach.test[:20]]
    assert 3.5 < np.mean([piece.notes_per_frame for piece in pieces]) <= 4
    assert 2 < np.mean([piece.voice_movement for piece in pieces]) < 5
    assert np.mean([piece.parallels for piece in pieces]) < 3
    assert measure(bach.train[0], bach.train[:1]).copied_steps == len(bach.train[0])
    assert torch.equal(bach.test[0], data.load("chorales").test[0])
