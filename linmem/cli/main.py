"""The command line: parses, calls, prints. What is computed lives elsewhere.

Bad input ends with one line on standard error and exit status 2.
"""

from __future__ import annotations

import os
import sys
from argparse import RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, NoReturn

import torch
from jsonargparse import ArgumentParser, DefaultHelpFormatter, Namespace

from linmem.cli import arguments as known
from linmem.nn.registry import ModelOptions
from linmem.runs.directory import (
    CONFIG,
    PretrainingOptions,
    RunOptions,
    read_options,
)
from linmem.training import distributed
from linmem.training.loop import TrainingOptions

_BAD_INPUT = (ValueError, TypeError, OSError, ImportError)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit status."""
    parser, commands = _parser()
    options = parser.parse_args(arguments)
    name = options.command
    try:
        options[name].given = set(vars(parser.parse_args(arguments, defaults=False)[name]))
        _check_machine(options[name].device, options[name].threads)
        torch.set_num_threads(options[name].threads)
        with distributed.join_workers(options[name].device) as options[name].device:
            commands[name](options[name])
    except BrokenPipeError:  # whoever read the table has seen enough
        return 0
    except (*_BAD_INPUT, RuntimeError) as error:
        out_of_memory = "allocate" in str(error) or isinstance(error, torch.OutOfMemoryError)
        if os.environ.get("LINMEM_TRACEBACK") or (isinstance(error, RuntimeError) and not out_of_memory):
            raise
        print(f"linmem {name}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"linmem {name}: interrupted; a run that keeps a folder goes on with --resume", file=sys.stderr)
        return 130
    return 0


def train(options: Namespace) -> None:
    """Train a model on the task that a data set sets, with or without pretraining."""
    from linmem.runs import runner

    asked = RunOptions(
        options.data,
        _group(ModelOptions, options),
        _group(TrainingOptions, options),
        _group(PretrainingOptions, options),
    )
    folder = Path(options.out or _default_folder(asked))
    run_options = _as_before(asked, folder, options) if options.resume else asked
    summary = runner.run(
        run_options, folder, resume=options.resume, force=options.force, device=options.device, progress=True
    )
    if distributed.rank() > 0:
        return
    name = run_options.model.model
    print(runner.scores_table({summary.baseline_name: summary.baseline, f"{name} (valid)": summary.scores}))
    print(f"\n{folder}: epoch {summary.best_epoch} of {summary.epochs} is kept; next: linmem evaluate {folder}")


def evaluate(options: Namespace) -> None:
    """Metrics of a finished run on one split, persistence first."""
    from linmem.reporting import output
    from linmem.runs import runner

    scores = runner.evaluate_run(Path(options.run), options.split, options.best_by, options.device)
    text = runner.scores_table(scores)
    if options.out is not None:
        asked = {name: options[name] for name in ("run", "split", "best_by")}
        numbers = asked | {"scores": {name: asdict(one) for name, one in scores.items()}}
        output.write_table(Path(options.out), f"scores-{options.split}", text, numbers, options.force)
    print(text)


def generate(options: Namespace) -> None:
    """Continue a piece of a run's data set, or a MIDI file; writes MIDI and a piano-roll picture."""
    from linmem.music import continuation

    for path in continuation.generate(
        Path(options.run),
        Path(options.out or Path(options.run) / "generated"),
        piece=options.piece,
        prompt_length=options.prompt_length,
        steps=options.steps,
        temperature=options.temperature,
        voices=options.voices,
        tempo=options.tempo,
        seed=options.seed,
        device=options.device,
        force=options.force,
    ):
        print(path)


def fit(options: Namespace) -> None:
    """Solve the linear autoencoder of a data set; error against memory units as table and picture."""
    from linmem.analysis import memory_curve
    from linmem.autoencoder.estimator import LinearAutoencoder

    autoencoder = LinearAutoencoder(
        options.memory_size,
        options.solver,
        options.center,
        options.decoder,
        options.refine,
        random_state=options.seed,
    )
    folder = Path(options.out or Path("runs") / f"fit-{_slug(options.data)}")
    print(memory_curve.fit(options.data, folder, autoencoder, device=options.device, force=options.force))


def demo(options: Namespace) -> None:
    """Train an LSTM, an LMN and a pretrained LMN on the chorales; a table, pictures and music in one folder."""
    from linmem.experiments import demo

    print(f"\n{demo.run(Path(options.out), seed=options.seed, quick=options.quick, force=options.force)}\n")
    print(f"table, pictures and music: {options.out}")


def sweep(options: Namespace) -> None:
    """Grid or random search; run it in several processes or on several machines, and they share the work."""
    from linmem.runs.sweep import space
    from linmem.runs.sweep.sweep import sweep, table

    if (options.space is None) == (options.grid is None):
        raise ValueError("give --space FILE or --grid NAME, one of them")
    if options.grid is not None and options.grid not in space.GRIDS:
        raise ValueError(f"grid is {options.grid!r}: the known ones are {', '.join(space.GRIDS)}")
    spaces = space.GRIDS[options.grid] if options.grid else space.read(Path(options.space))
    plan = space.plan(options.data, spaces, trials=options.trials, seed=options.seed)
    folder = Path(options.out or Path("runs") / f"sweep-{_slug(options.data)}")
    outcomes = sweep(
        plan,
        folder,
        storage=options.storage,
        study=options.study,
        device=options.device,
        take_over=options.take_over,
        progress=True,
    )
    print(f"{table(outcomes)}\n\n{folder}: a folder a run, results.jsonl, table.md")


def reproduce(options: Namespace) -> None:
    """One published table or figure, ours beside theirs; without a name, what there is and how it stands."""
    from linmem.experiments.harness import reproduction

    folder = Path(options.out)
    if options.name is None:
        print(reproduction.listing(folder))
    else:
        print(
            reproduction.reproduce(
                options.name, folder, grid=options.grid, seed=options.seed, force=options.force, progress=True
            )
        )


def bench(options: Namespace) -> None:
    """Speed of an LMN against torch.nn's recurrent layers on this machine: a training step, and a step of inference."""
    from linmem.analysis import layer_speed
    from linmem.reporting import output

    sizes = layer_speed.SIZES[: options.sizes] if options.sizes > 0 else ()
    how = {"rounds": options.rounds, "clock": options.clock}
    machine = layer_speed.machine(**how, device=options.device)
    rows = layer_speed.measured(sizes, **how, device=options.device, seed=options.seed, progress=True)
    text = f"{machine}\n\n{layer_speed.table(rows)}"
    if options.out is not None:
        output.write_table(Path(options.out), "bench", text, {"machine": machine, "rows": rows} | how, options.force)
    print(text)


def report(options: Namespace) -> None:
    """Write all results, and what was not run, as one HTML page that needs no network."""
    from linmem.experiments.report import page

    print(page.write(Path(options.results), Path(options.out), force=options.force, progress=True))


class _Parser(ArgumentParser):
    """A parser whose complaints take one line."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        line = " ".join((message or str(ex)).split())
        print(f"{self.prog.replace(' [options]', '')}: {line} (see --help)", file=sys.stderr)
        raise SystemExit(2)


class _AsWritten(RawDescriptionHelpFormatter, DefaultHelpFormatter):
    """Help whose description keeps its lines."""


def _parser() -> tuple[ArgumentParser, dict[str, Callable[[Namespace], None]]]:
    parser = _Parser(
        prog="linmem",
        description="Linear Memory Networks: memory that is solved, not trained.",
        formatter_class=_AsWritten,
    )
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subcommands(required=True, dest="command")
    functions: dict[str, Callable[[Namespace], None]] = {}
    for function, build in (
        (fit, known.fit),
        (train, known.train),
        (evaluate, known.evaluate),
        (generate, known.generate),
        (demo, known.demo),
        (sweep, known.sweep),
        (reproduce, known.reproduce),
        (report, known.report),
        (bench, known.bench),
    ):
        name = function.__name__
        command = _Parser(description=function.__doc__, formatter_class=_AsWritten)
        build(command)
        command.add_argument("--config", action="config", help="options from a YAML file")
        command.add_argument("--threads", type=int, default=1, help="CPU threads; small steps gain nothing from more")
        command.add_argument("--device", type=str, default="cpu", help="cpu, cuda, cuda:1, …")
        commands.add_subcommand(name, command, help=function.__doc__)
        functions[name] = function
    return parser, functions


def _as_before(asked: RunOptions, folder: Path, options: Namespace) -> RunOptions:
    """Options of the run in `folder`, changed only where something was really typed now."""
    if not (folder / CONFIG).exists():
        return asked
    before = read_options(folder)
    groups = {}
    for group in ("model", "training", "pretraining"):
        typed = {f.name: options[f.name] for f in fields(getattr(before, group)) if f.name in options.given}
        groups[group] = replace(getattr(before, group), **typed)
    return RunOptions(asked.data, **groups)


def _group(kind: type, options: Namespace) -> Any:
    return kind(**{f.name: options[f.name] for f in fields(kind)})


def _default_folder(options: RunOptions) -> Path:
    parts = [_slug(options.data), options.model.model]
    if options.pretraining.pretrain != "none":
        parts.append(options.pretraining.pretrain)
    return Path("runs") / "-".join([*parts, f"seed{options.training.seed}"])


def _slug(data: str) -> str:
    return Path(data).name or "data"


def _check_machine(device: str, threads: int) -> None:
    if threads < 1:
        raise ValueError(f"threads is {threads}: at least 1 was wanted")
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device is {device!r}, which this machine or installation lacks: {error}") from None


def _version() -> str:
    from importlib.metadata import version

    return version("linear-memory-networks")


if __name__ == "__main__":
    sys.exit(main())
