"""Statistics of sampled against real pieces: the means, and which are within one standard deviation of the real ones.

    python benchmarks/music_statistics.py RUN                     # a run folder, test pieces of its data set
    python benchmarks/music_statistics.py RUN --split valid       # to choose the options of sampling
    python benchmarks/music_statistics.py --weights FILE --data jsb_chorales   # weights of benchmarks/joint_records.py

For each of the first --pieces pieces of the split, the model reads its first --prompt steps and continues it to the
same length. Real and sampled pieces are compared without the prompt. `longest copied passage` is searched in the
training pieces: for a real piece this is what the piece itself shares with them. Voices are assigned by smallest
movement; pieces with more notes in a frame than --voices have no voice movement and no parallels.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from linmem import data
from linmem.data import Splits
from linmem.music.comparison import comparison
from linmem.music.continuation import continue_piece
from linmem.music.sampling import SamplingOptions
from linmem.music.statistics import PieceStatistics, measure
from linmem.nn.registry import build_model
from linmem.runs.directory import load_run


def real_and_sampled(
    model: nn.Module,
    splits: Splits,
    split: str,
    pieces: int,
    prompt: int,
    sampling: SamplingOptions,
    voices: int,
) -> tuple[list[PieceStatistics], list[PieceStatistics]]:
    """Statistics of the real continuations of pieces, and of the model's."""
    real, sampled = [], []
    for roll in [roll for roll in getattr(splits, split) if len(roll) > prompt + 1][:pieces]:
        continuation = continue_piece(model, roll[:prompt], len(roll) - prompt, sampling)
        real.append(_measure(roll[prompt:], splits.train, voices))
        sampled.append(_measure(continuation, splits.train, voices))
    return real, sampled


def _measure(roll: Tensor, training: Sequence[Tensor], voices: int) -> PieceStatistics:
    return measure(roll, training, voices)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?", help="run folder")
    parser.add_argument("--weights", type=Path, help="weights.pt of benchmarks/joint_records.py, instead of a run")
    parser.add_argument("--data", default="jsb_chorales", help="data set of the weights")
    parser.add_argument("--pieces", type=int, default=20)
    parser.add_argument("--prompt", type=int, default=8)
    parser.add_argument("--voices", type=int, default=4, help="for the assignment of notes to voices")
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--top_p", type=float, default=1.0)
    parser.add_argument("--max_voices", type=int, help="largest number of notes in a sampled frame")
    parser.add_argument("--split", default="test", choices=["valid", "test"])
    parser.add_argument("--fixed_voices", type=int, help="sample exactly this number of notes in every frame")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if (arguments.run is None) == (arguments.weights is None):
        parser.error("give a run folder or --weights")
    torch.set_num_threads(1)
    if arguments.run:
        options, model = load_run(arguments.run)
        splits, name = options.load_data(), str(arguments.run)
    else:
        from joint_records import options_of

        splits, name = data.load(arguments.data), str(arguments.weights.parent.name)
        model_options, _ = options_of(arguments.data, "solved", 0, None)
        model = build_model(model_options, splits.features, splits.features)
        model.load_state_dict(torch.load(arguments.weights, weights_only=True))
    sampling = SamplingOptions(
        arguments.temperature, arguments.top_p, arguments.fixed_voices, arguments.max_voices, arguments.seed
    )
    real, sampled = real_and_sampled(
        model, splits, arguments.split, arguments.pieces, arguments.prompt, sampling, arguments.voices
    )
    print(f"{name}: {len(real)} continuations of {arguments.split} pieces after {arguments.prompt} steps, {sampling}\n")
    print(comparison(real, sampled))


if __name__ == "__main__":
    main()
