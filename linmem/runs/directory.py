"""A run directory: options, state, history and scores of one training run.

    config.json             options, sizes, versions, commit
    unfolded.safetensors    state of the unfolded network's training, with pretrain=unfolded
    pretraining.json        epochs and seconds of the pretraining
    state.safetensors       state after the last epoch, with the best weights by validation loss and by accuracy
    estimator.safetensors   the fitted estimator, with model=estimator, which has no state and no history
    history.jsonl           one line per epoch
    scores.json             metrics on the validation split, and those of the baseline
    run.lock                locked while a process trains in the directory

Files are replaced only with `resume` or `force`, and only these files.
"""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import nn

from linmem.data import FolderOptions, Splits
from linmem.nn.registry import ModelOptions, build_model
from linmem.runs.locks import sole_writer
from linmem.runs.options import ESTIMATOR, EstimatorOptions, PretrainingOptions, RunOptions, flatten
from linmem.storage.atomic import require_no_dangling_link, write_json
from linmem.storage.documents import check_object, read_json_object
from linmem.training.checkpoint import best_weights, may_change
from linmem.training.options import TrainingOptions
from linmem.validation import check_number, shown

CONFIG, STATE, HISTORY, SCORES = "config.json", "state.safetensors", "history.jsonl", "scores.json"
UNFOLDED, PRETRAINING = "unfolded.safetensors", "pretraining.json"
FITTED = "estimator.safetensors"
FILES = (CONFIG, UNFOLDED, PRETRAINING, STATE, FITTED, HISTORY, SCORES)
TRAINED = (STATE, UNFOLDED, FITTED)  # a directory with one of these holds a run
_RESUME = "Delete it and resume the run."
SUMMARY = {
    "scores": dict,
    "parameters": int,
    "epochs": int,
    "best_epoch": int,
    "seconds_per_epoch": int | float,
}  # what SCORES holds, at least


@contextmanager
def run_directory(folder: Path, *, resume: bool, force: bool) -> Iterator[None]:
    """Create a run directory, or open one with `resume` or `force`, and lock it during the block.

    Raises
    ------
    FileExistsError
        `folder` holds a run, and neither `resume` nor `force` was given; or another process writes there.
    """
    _check_free(folder, resume=resume, force=force)
    with sole_writer(folder, FILES):
        _check_free(folder, resume=resume, force=force)  # it may have changed before the lock was acquired
        if force and not resume:
            for name in FILES:
                (folder / name).unlink(missing_ok=True)
        yield


def check_resumable(folder: Path, options: RunOptions) -> None:
    """Check that `options` are those of the run in `folder`, except those that may change; nothing is written.

    Raises
    ------
    ValueError
        An option differs from that of the run.
    """
    if not (folder / CONFIG).exists():
        return
    before = flatten(read_options(folder))
    for name, value in flatten(options).items():
        if not may_change(name, options.training.schedule) and value != before[name]:
            raise ValueError(
                f"{name} must be {before[name]} as in {folder}, got {value}. Resume with the same options."
            )


def write_config(folder: Path, options: RunOptions, splits: Splits, output_size: int, task: str) -> None:
    """Write the options, sizes, task, what later data need (classes, channels, statistics), and the versions."""
    sizes = {"input_size": splits.features, "output_size": output_size, "task": task}
    write_json(folder / CONFIG, asdict(options) | sizes | {"description": splits.description()} | provenance())


def provenance() -> dict[str, Any]:
    """What a result was made with: versions, commit, machine, threads."""
    return {
        "versions": _versions(),
        "commit": _commit(),
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
    }


def read_options(folder: Path) -> RunOptions:
    """Read the options of the run in `folder`; an option that an older version did not have gets its default.

    Raises
    ------
    FileNotFoundError
        `folder` holds no run.
    ValueError
        The file is damaged, or of a version with other options.
    """
    return _options(folder, read_config(folder))


def load_run(folder: Path, best_by: str = "loss") -> tuple[RunOptions, nn.Module]:
    """Options and model of a run, the model with the weights of its best epoch by validation "loss" or "accuracy".

    Raises
    ------
    FileNotFoundError
        `folder` holds no run, or one without a finished epoch.
    ValueError
        A file is damaged, the weights do not fit the options, or the model is an estimator.
    """
    config = read_config(folder)
    options = _options(folder, config)
    if options.model.model == ESTIMATOR:
        raise ValueError(f"run must hold a network, got an estimator in {folder}. Train with another --model.")
    if not (folder / STATE).exists():
        raise FileNotFoundError(f"{folder} must hold a run with a finished epoch, got none. Continue it with --resume.")
    model = build_model(options.model, _size(folder, config, "input_size"), _size(folder, config, "output_size"))
    try:
        model.load_state_dict(best_weights(folder / STATE, best_by))
    except RuntimeError:
        raise ValueError(
            f"{folder / STATE} must hold weights of the model in {CONFIG}, got others. Train again."
        ) from None
    return options, model.eval()


def read_config(folder: Path) -> dict[str, Any]:
    """Read the configuration of the run in `folder`, as it was written.

    Raises
    ------
    FileNotFoundError
        `folder` holds no run.
    ValueError
        The file is not a JSON object.
    """
    path = folder / CONFIG
    try:
        found = path.is_file()
    except OSError as error:  # a name that is too long, a folder that must not be read
        reason = f"{shown(str(folder))}: {error.strerror}"
        raise ValueError(f"run must be a folder that `linmem train` wrote, got {reason}.") from None
    if not found:
        raise FileNotFoundError(f"run must be a folder that `linmem train` wrote, got {folder} without {CONFIG}.")
    return read_json_object(path, "Train again with --force.")


def read_scores(folder: Path) -> dict[str, Any]:
    """Read the scores of the finished run in `folder`.

    Raises
    ------
    ValueError
        The file is not a JSON object with scores.
    """
    return check_summary(read_json_object(folder / SCORES, _RESUME), str(folder / SCORES))


def read_pretraining(folder: Path) -> dict[str, Any]:
    """Read epochs and seconds of the pretraining; zeros if there was none.

    Raises
    ------
    ValueError
        The file is not a JSON object with seconds.
    """
    path = folder / PRETRAINING
    if not path.exists():
        return {"seconds": 0.0, "cpu_seconds": 0.0, "epochs": 0}
    content = read_json_object(path, _RESUME, {"seconds": int | float})
    check_number(f"seconds in {path}", content["seconds"], least=0)
    return content


def check_summary(content: Any, source: str) -> dict[str, Any]:
    """Return the content of a file of scores, of a run or of a study, if it has what tables of runs show."""
    summary = check_object(content, source, _RESUME, SUMMARY)
    loss = summary["scores"].get("nll", summary["scores"].get("mse"))
    if isinstance(loss, bool) or not isinstance(loss, int | float):
        raise ValueError(f"{source} must hold a number nll or mse among its scores, got {loss!r}. {_RESUME}")
    return summary


def _check_free(folder: Path, *, resume: bool, force: bool) -> None:
    for path in (folder, *(folder / name for name in FILES)):
        require_no_dangling_link(path)
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"out must be a folder, got {folder}, which is a file. Use another path (--out).")
    held = [name for name in TRAINED if (folder / name).exists()]
    if held and not resume and not force:
        raise FileExistsError(
            f"out must not hold a run, got {folder} with {held[0]}. Continue it (--resume) or replace it (--force)."
        )


def _options(folder: Path, config: dict[str, Any]) -> RunOptions:
    try:
        return RunOptions(
            config["data"],
            ModelOptions(**config["model"]),
            TrainingOptions(**config["training"]),
            PretrainingOptions(**config["pretraining"]),
            FolderOptions(**config.get("files", {})),
            EstimatorOptions(**config.get("estimator", {})),
        )
    except (KeyError, TypeError, ValueError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"{folder / CONFIG} must hold options of this version, got: {reason}. Train again.") from None


def _size(folder: Path, config: dict[str, Any], name: str) -> int:
    size = config.get(name)
    if not isinstance(size, int) or size < 1:
        raise ValueError(f"{name} in {folder / CONFIG} must be a positive integer, got {size!r}. Train again.")
    return size


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {
        "linmem": version("linear-memory-networks"),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "python": platform.python_version(),
    }


def _commit() -> str | None:
    """Commit of the checkout that this package runs from, if it is one."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=5).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
