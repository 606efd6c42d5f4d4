"""Harmonization: how often a model finds the true chord under a given soprano, compared with a bigram baseline.

    python benchmarks/harmonization.py RUN                   # validation split
    python benchmarks/harmonization.py RUN --split test --pieces 20

RUN is a run with a descending NADE. A chord is found if all notes of the frame are correct. With the true past,
every frame is harmonized given the true previous frames; with its own past, given the frames chosen before. The
figures with the true past exclude the first frame of a piece and rests.

The baseline takes the most frequent chord of the training set among those with the same soprano and the same chord
before; otherwise, the same soprano and the same soprano before; else the same soprano; else the soprano
alone.
"""

from __future__ import annotations

import argparse
import itertools
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from linmem import data
from linmem.music.harmonize import harmonize_melody
from linmem.music.sampling import SamplingOptions
from linmem.nn.nade import Voices
from linmem.nn.sequence_model import SequenceModel
from linmem.reporting import tables
from linmem.runs.directory import load_run

Chord = tuple[int, ...]


class Bigrams:
    """Most frequent chords of a training set, given soprano and chord before."""

    def __init__(self, pieces: Sequence[Tensor]) -> None:
        self.counts: defaultdict[object, Counter[Chord]] = defaultdict(Counter)
        for piece in pieces:
            frames = chords(piece)
            for before, chord in zip([(), *frames], frames, strict=False):
                if chord:
                    for key in keys(before, chord[-1]):
                        self.counts[key][chord] += 1

    def choose(self, before: Chord, soprano: int) -> Chord:
        """Return the most frequent chord by the first of the keys that occurred."""
        for key in keys(before, soprano):
            if key in self.counts:
                return self.counts[key].most_common(1)[0][0]
        return (soprano,)


def keys(before: Chord, soprano: int) -> list[object]:
    """Contexts of a chord, the most specific first."""
    return [(soprano, "chord", before), (soprano, "soprano", before[-1:]), (soprano,)]


def chords(piece: Tensor) -> list[Chord]:
    """Active notes of every frame, lowest first."""
    return [tuple(frame.nonzero()[:, 0].tolist()) for frame in piece]


def melody_of(piece: Tensor) -> Tensor:
    """Highest note of every frame, as a piano roll."""
    melody = torch.zeros_like(piece)
    for step, chord in enumerate(chords(piece)):
        if chord:
            melody[step, chord[-1]] = 1
    return melody


@torch.no_grad()
def with_true_past(model: SequenceModel, piece: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
    """Harmonize frames 2..T after the true frames before them."""
    outputs, _ = model(piece[None, :-1])
    index, soprano = torch.arange(piece.shape[1]), melody_of(piece)[1:].argmax(1, keepdim=True)
    given = torch.where(index < soprano, torch.nan, (index == soprano).float())
    return outputs[0].sample(given, Voices(temperature=temperature), generator)


def share(found: Sequence[Tensor], truth: Sequence[Tensor]) -> float:
    """Per cent of the sounding frames whose notes are all right."""
    a, b = torch.cat(list(found)), torch.cat(list(truth))
    sounding = b.any(1)
    return 100 * float((a == b).all(1)[sounding].float().mean())


def rolls(frames: Sequence[Chord], like: Tensor) -> Tensor:
    """Chords as a piano roll."""
    roll = torch.zeros(len(frames), like.shape[1])
    for step, chord in enumerate(frames):
        roll[step, list(chord)] = 1
    return roll


def rows(model: SequenceModel, training: Sequence[Tensor], pieces: Sequence[Tensor]) -> list[dict[str, object]]:
    """One row per method."""
    bigrams, truth = Bigrams(training), [piece[1:] for piece in pieces]
    true_past, own_past = [], []
    for piece in pieces:
        frames = chords(piece)
        chosen = [bigrams.choose(a, b[-1]) if b else () for a, b in itertools.pairwise(frames)]
        true_past.append(rolls(chosen, piece))
        own: list[Chord] = []
        for frame in frames:
            own.append(bigrams.choose(own[-1] if own else (), frame[-1]) if frame else ())
        own_past.append(rolls(own, piece))
    result: list[dict[str, object]] = [
        {"method": "bigrams", "true past %": share(true_past, truth), "own past %": share(own_past, pieces)}
    ]
    for name, temperature in (("NADE, sampled", 1.0), ("NADE, most probable next note", 0.0)):
        generator = torch.Generator().manual_seed(0)
        result.append(
            {
                "method": name,
                "true past %": share([with_true_past(model, piece, temperature, generator) for piece in pieces], truth),
                "own past %": share(
                    [
                        harmonize_melody(model, melody_of(piece), SamplingOptions(temperature or 1e-6))
                        for piece in pieces
                    ],
                    pieces,
                ),
            }
        )
    return result


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--split", default="valid", choices=["valid", "test"])
    parser.add_argument("--pieces", type=int, default=None, help="only the first pieces of the split")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    options, model = load_run(arguments.run)
    assert isinstance(model, SequenceModel)
    splits = data.load(options.data)
    pieces = list(getattr(splits, arguments.split))[: arguments.pieces]
    print(tables.markdown(rows(model.eval(), list(splits.train), pieces), {"true past %": 1, "own past %": 1}))


if __name__ == "__main__":
    main()
