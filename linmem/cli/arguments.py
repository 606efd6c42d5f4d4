"""What can be typed after each command: one function a command, named as it is typed."""

from __future__ import annotations

from jsonargparse import ArgumentParser

from linmem import data
from linmem.nn.registry import MODELS, ModelOptions
from linmem.runs.directory import (
    PretrainingOptions,
)
from linmem.training.loop import TrainingOptions

_DATA = f"a data set by name ({', '.join(data.SETS)}), or a folder of MIDI, NPY or CSV files"
_FORCE = "replace what the folder already holds"


def fit(command: ArgumentParser) -> None:
    command.add_argument("data", type=str, help=_DATA)
    command.add_argument("--out", type=str, default=None, help="folder; by default runs/fit-DATA")
    command.add_argument(
        "--memory_size", type=int | float | str, default=100, help='memory units, an energy < 1, or "auto"'
    )
    command.add_argument("--solver", type=str, default="auto", help="auto, exact, slices or randomized")
    command.add_argument("--decoder", type=str, default="refit", help="tied (the papers'), refit or optimal")
    command.add_argument("--refine", type=str | None, default="decoder", help="null, decoder or joint")
    command.add_argument("--center", type=bool, default=False, help="subtract the mean first")
    command.add_argument("--seed", type=int, default=0, help="of the randomized solver")
    command.add_argument("--force", action="store_true", help=_FORCE)


def train(command: ArgumentParser) -> None:
    known = "\n".join(f"  {name:<{max(map(len, MODELS))}}  {line}" for name, (_, line) in MODELS.items())
    command.description = f"{command.description}\n\nmodels:\n{known}"
    command.add_argument("data", type=str, help=_DATA)
    command.add_argument("--out", type=str, default=None, help="the run's folder; by default runs/DATA-MODEL-…")
    command.add_argument("--resume", action="store_true", help="go on with the run that the folder holds")
    command.add_argument("--force", action="store_true", help=_FORCE)
    for group in (ModelOptions, TrainingOptions, PretrainingOptions):
        command.add_class_arguments(group)


def evaluate(command: ArgumentParser) -> None:
    command.add_argument("run", type=str, help="folder that `linmem train` wrote")
    command.add_argument("--out", type=str, default=None, help="folder for the table and its numbers, as JSON")
    command.add_argument("--split", type=str, default="test", help="train, valid or test")
    command.add_argument("--best_by", type=str, default="loss", help="weights of the best epoch by loss or accuracy")
    command.add_argument("--seed", type=int, default=0, help="no effect: evaluation draws nothing")
    command.add_argument("--force", action="store_true", help=_FORCE)


def generate(command: ArgumentParser) -> None:
    command.add_argument("run", type=str, help="folder that `linmem train` wrote")
    command.add_argument("--out", type=str, default=None, help="folder; by default RUN/generated")
    command.add_argument("--piece", type=str, default="0", help="index of a test piece, or the path of a MIDI file")
    command.add_argument("--prompt_length", type=int, default=16, help="steps of the piece given to the model")
    command.add_argument("--steps", type=int, default=48, help="steps to draw")
    command.add_argument("--temperature", type=float, default=1.0, help="below 1 bolder, above 1 more random")
    command.add_argument("--voices", type=int | None, default=None, help="at most so many notes at once")
    command.add_argument("--tempo", type=float, default=90.0, help="quarter notes a minute")
    command.add_argument("--seed", type=int, default=0, help="the same seed draws the same music")
    command.add_argument("--force", action="store_true", help=_FORCE)


def demo(command: ArgumentParser) -> None:
    command.add_argument("--out", type=str, default="demo", help="folder for table, pictures and music")
    command.add_argument("--seed", type=int, default=0, help="of weights, batches and music")
    command.add_argument("--quick", action="store_true", help="two epochs a model, to see that it works")
    command.add_argument("--force", action="store_true", help="train again what was trained before")


def sweep(command: ArgumentParser) -> None:
    command.add_argument("data", type=str, help=_DATA)
    command.add_argument("--out", type=str, default=None, help="folder of the study; by default runs/sweep-DATA")
    command.add_argument("--space", type=str | None, default=None, help="YAML or JSON file: option names to values")
    command.add_argument("--grid", type=str | None, default=None, help="smoke, small or paper (L18's protocol)")
    command.add_argument("--trials", type=int | None, default=None, help="draw so many runs instead of doing all")
    command.add_argument("--storage", type=str | None, default=None, help="journal file, or URL of a database")
    command.add_argument("--study", type=str, default="sweep", help="name of the study in the storage")
    command.add_argument("--take_over", action="store_true", help="do anew what lost machines left running")
    command.add_argument("--seed", type=int, default=0, help="of the draw; a run's own seed belongs to the space")


def reproduce(command: ArgumentParser) -> None:
    command.add_argument("name", type=str | None, nargs="?", default=None, help="of the experiment")
    command.add_argument("--out", type=str, default="results", help="folder of the results; what it holds is shown")
    command.add_argument("--grid", type=str | None, default=None, help="smoke, small or paper; default: the kept one's")
    command.add_argument("--seed", type=int | None, default=None, help="of whatever is drawn; default: the kept one's")
    command.add_argument("--force", action="store_true", help="run again what the folder already holds")


def report(command: ArgumentParser) -> None:
    command.add_argument("--results", type=str, default="results", help="folder that `linmem reproduce` wrote")
    command.add_argument("--out", type=str, default="report", help="folder; gets index.html")
    command.add_argument("--seed", type=int, default=0, help="no effect: a report draws nothing")
    command.add_argument("--force", action="store_true", help="replace an index.html that is no report")


def bench(command: ArgumentParser) -> None:
    command.add_argument("--out", type=str, default=None, help="folder for the tables and their numbers, as JSON")
    command.add_argument("--rounds", type=int, default=5, help="of each a median is taken; one more is not counted")
    command.add_argument("--clock", type=str, default="wall", help="wall, or cpu: on a machine that others use too")
    command.add_argument("--sizes", type=int, default=3, help="only the first so many sizes, small ones first")
    command.add_argument("--seed", type=int, default=0, help="of weights and inputs")
    command.add_argument("--force", action="store_true", help=_FORCE)
