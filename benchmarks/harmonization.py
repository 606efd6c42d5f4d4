"""Harmonization: how often a model finds the true chord under a given soprano, compared with a bigram baseline.

    python benchmarks/harmonization.py RUN                   # validation split
    python benchmarks/harmonization.py RUN --split test --pieces 20

RUN is a run with a NADE in descending order, or in two orders; --beam adds a beam search: over the notes of one frame
after the true past (the most probable frame, where the beam finds it), over whole pieces after its own past;
--beam_only leaves out the rows without beam. A chord is
found if all notes of the frame are correct. With the true past, every frame is harmonized given the true previous
frames; with its own past, given the frames chosen before; ± is the standard error over pieces, and "above bigrams" the
mean over pieces of the difference. The figures with the true past exclude the first frame of a piece and rests.

The baseline takes the most frequent chord of the training set among those with the same soprano and the same chord
before; otherwise, the same soprano and the same soprano before; else the same soprano; else the soprano alone.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from linmem import data
from linmem.music.beam import probable_frames
from linmem.music.harmonize import harmonize_melody
from linmem.music.sampling import SamplingOptions
from linmem.nn.nade import Voices
from linmem.nn.registry import build_model
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
    voices = Voices(temperature=temperature)
    if len(outputs.chains) == 1:
        return outputs[0].sample(given, voices, generator)
    rows = range(len(soprano))
    return torch.stack([outputs[0, row].sample_below(given[row], voices, generator) for row in rows])


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


def rows(
    model: SequenceModel, training: Sequence[Tensor], pieces: Sequence[Tensor], beam: int = 0, beam_only: bool = False
) -> list[dict[str, object]]:
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
    result: list[dict[str, object]] = []

    def add(method: str, after_truth: Sequence[Tensor], found: Sequence[Tensor]) -> None:
        result.append(
            {
                "method": method,
                "true past %": share(after_truth, truth),
                "own past %": own_share(found, pieces),
                "above bigrams": difference(found, own_past, pieces),
            }
        )

    add("bigrams", true_past, own_past)
    for name, temperature in () if beam_only else (("NADE, sampled", 1.0), ("NADE, most probable next note", 0.0)):
        generator, options = torch.Generator().manual_seed(0), SamplingOptions(temperature or 1e-6)
        after_truth = [with_true_past(model, piece, temperature, generator) for piece in pieces]
        add(name, after_truth, [harmonize_melody(model, melody_of(piece), options) for piece in pieces])
    if beam:
        found = [harmonize_melody(model, melody_of(piece), SamplingOptions(), beam) for piece in pieces]
        add(f"NADE, beam of {beam}", [most_probable(model, piece, beam) for piece in pieces], found)
    return result


@torch.no_grad()
def most_probable(model: SequenceModel, piece: Tensor, width: int) -> Tensor:
    """Most probable frames 2..T that a beam over the notes finds after the true frames before them."""
    outputs, _ = model(piece[None, :-1])
    frames = torch.zeros_like(piece[1:])
    for step, chord in enumerate(chords(piece)[1:]):
        if chord:
            frames[step] = probable_frames(outputs[0, step], chord[-1], Voices(), width).frames[0]
    return frames


def difference(found: Sequence[Tensor], other: Sequence[Tensor], pieces: Sequence[Tensor]) -> str:
    """Mean difference of the shares of single pieces, in points, and its standard error."""
    each = [share([a], [c]) - share([b], [c]) for a, b, c in zip(found, other, pieces, strict=True)]
    error = f" ± {statistics.stdev(each) / len(each) ** 0.5:.1f}" if len(each) > 1 else ""
    return f"{statistics.mean(each):+.1f}{error}"


def own_share(found: Sequence[Tensor], pieces: Sequence[Tensor]) -> str:
    """Per cent of all sounding frames, and the standard error of the mean over pieces."""
    error = ""
    if len(pieces) > 1:
        each = [share([a], [b]) for a, b in zip(found, pieces, strict=True)]
        error = f" ± {statistics.stdev(each) / len(each) ** 0.5:.1f}"
    return f"{share(found, pieces):.1f}{error}"


def load(path: Path) -> tuple[str, SequenceModel]:
    """Name of the data set and model of a run folder, or of a folder SET-solved-seedN with weights.pt."""
    if path.is_dir():
        options, model = load_run(path)
        name = options.data
    else:
        from joint_records import options_of

        name = path.parent.name.split("-")[0]
        model = build_model(options_of(name, "solved", 0, None)[0], 88, 88)
        model.load_state_dict(torch.load(path, weights_only=True))
    assert isinstance(model, SequenceModel)
    return name, model


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run folder, or weights.pt of benchmarks/joint_records.py")
    parser.add_argument("--split", default="valid", choices=["valid", "test"])
    parser.add_argument("--pieces", type=int, default=None, help="only the first pieces of the split")
    parser.add_argument("--beam", type=int, default=0, help="width of a beam search; 0 for none")
    parser.add_argument("--beam_only", action="store_true", help="leave out the rows without beam, which take longer")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    name, model = load(arguments.run)
    splits = data.load(name)
    pieces = list(getattr(splits, arguments.split))[: arguments.pieces]
    table = rows(model.eval(), list(splits.train), pieces, arguments.beam, arguments.beam_only)
    print(tables.markdown(table, {"true past %": 1}))


if __name__ == "__main__":
    main()
