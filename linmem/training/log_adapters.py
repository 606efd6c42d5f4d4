"""Logging of training to TensorBoard, MLflow, W&B, or anything that is called as log(step, values).

`after_epoch=log_epochs(log)` of `linmem.train` passes losses and validation metrics of every epoch to `log`. The
packages are imported when an adapter is made.
"""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from typing import Any, TypeAlias

from linmem.training.checkpoint import TrainingState

Log: TypeAlias = Callable[[int, dict[str, float]], None]


def log_epochs(log: Log) -> Callable[[TrainingState], None]:
    """Return an `after_epoch` that calls log(epoch, values) with the numbers of the last epoch.

    Examples
    --------
    >>> logged = []
    >>> callback = log_epochs(lambda step, values: logged.append(step))
    """

    def after_epoch(state: TrainingState) -> None:
        row = state.history[-1]
        values: dict[str, float] = {"train loss": row.train_loss, "valid loss": row.valid_loss, "seconds": row.seconds}
        numbers = {name: value for name, value in row.valid.items() if isinstance(value, int | float)}
        log(row.epoch, values | {f"valid {name}": float(value) for name, value in numbers.items()})

    return after_epoch


def tensorboard(folder: str | PathLike[str]) -> Log:
    """Log scalars to a TensorBoard folder."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise ImportError("tensorboard must be installed, got no such package. Run: pip install tensorboard") from None
    writer = SummaryWriter(str(folder))

    def log(step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            writer.add_scalar(name.replace(" ", "/", 1), value, step)
        writer.flush()

    return log


def mlflow() -> Log:
    """Log metrics to MLflow's active run."""
    try:
        import mlflow as package
    except ImportError:
        raise ImportError("mlflow must be installed, got no such package. Run: pip install mlflow") from None
    return lambda step, values: package.log_metrics(values, step=step)


def wandb(run: Any) -> Log:
    """Log to a W&B run, as `wandb.init` returns it."""
    return lambda step, values: run.log(values, step=step)
