"""`linmem train`: train a model in a run directory.

Its options are the fields of the dataclasses in `linmem.runs.options.GROUPS`: `ModelOptions`, `TrainingOptions`,
`PretrainingOptions`, `FolderOptions` and `EstimatorOptions`.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

from linmem.cli.data_argument import DataArgument
from linmem.cli.default_folder import default_folder
from linmem.cli.signature import Options
from linmem.nn.registry import MODELS
from linmem.runs.directory import CONFIG, read_options
from linmem.runs.options import ESTIMATOR, GROUPS, RunOptions, with_options
from linmem.validation import shown


def train(
    data: DataArgument,
    options: Annotated[Mapping[str, Any], Options(*GROUPS.values())],
    *,
    out: str | None = None,
    resume: bool = False,
    device: str = "cpu",
    force: bool = False,
) -> None:
    """Train a model on a data set, with or without pretraining; the data set defines the task.

    Labelled series in your own files train an estimator, solved in closed form, unless a model or an option of a
    network is given; --model solved --readout ridge names it. Networks read real-valued files standardized
    (--standardize false: as they are).

    Parameters
    ----------
    out : str
        Run directory; by default runs/DATA-MODEL-…
    resume : bool
        Continue the run in the directory. Options that are not given are those of the run.
    device : str
        cpu, cuda, cuda:1, …
    force : bool
        Replace the run in the directory.

    Examples
    --------
    ::

        linmem train chorales --model lmn-b --hidden_size 100 --memory_size 250
    """
    from linmem.runs import defaults, runner
    from linmem.training import data_parallel

    if (model := options.get("model", ESTIMATOR)) not in LINES:
        if near := get_close_matches(str(model), LINES, 1):
            raise ValueError(f"model must be one that the help lists, got {shown(model)}. Did you mean {near[0]}?")
        raise ValueError(f"model must be one of {', '.join(LINES)}, got {shown(model)}.")
    run_options, splits = with_options(RunOptions(data), options), None
    folder = Path(out) if out else None
    if folder is None or not (resume and (folder / CONFIG).exists()):
        chosen = defaults.choose(data, options)
        run_options, splits = with_options(RunOptions(data), chosen.options), chosen.splits
        if chosen.reason and data_parallel.rank() == 0:
            print(chosen.reason, flush=True)
    folder = folder or _default_folder(run_options)
    if resume and (folder / CONFIG).exists():
        run_options, splits = with_options(RunOptions(data, *_groups(read_options(folder))), options), None
    summary = runner.run(run_options, folder, resume=resume, force=force, device=device, progress=True, splits=splits)
    if data_parallel.rank() > 0:
        return
    name = run_options.model.model
    print(runner.scores_table({summary.baseline_name: summary.baseline, f"{name} (valid)": summary.scores}))
    epochs = "" if name == ESTIMATOR else f"best epoch {summary.best_epoch} of {summary.epochs}; "
    print(f"\n{folder}: {epochs}next: linmem evaluate {folder}")


LINES = {name: line for name, (_, line) in MODELS.items()} | {
    ESTIMATOR: "MemoryClassifier, MemoryRegressor or MemoryForecaster, by the data: solved in closed form"
}
train.__doc__ = (train.__doc__ or "").replace(
    "the data set defines the task.",
    "the data set defines the task.\n\n    models:\n"
    + "\n".join(f"      {name:<{max(map(len, MODELS))}}  {line}" for name, line in LINES.items()),
)


def _groups(options: RunOptions) -> list[Any]:
    return [getattr(options, group) for group in GROUPS]


def _default_folder(options: RunOptions) -> Path:
    scheme = options.pretraining.pretrain
    seed = f"seed{options.training.seed}"
    return default_folder(options.data, options.model.model, "" if scheme == "none" else scheme, seed)
