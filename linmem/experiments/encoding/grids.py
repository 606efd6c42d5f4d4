"""Grids of the experiment `encoding`: tasks, sizes, and what is trained on them."""

from __future__ import annotations

from dataclasses import dataclass

from linmem.experiments.encoding.tasks import Adding, Copy, FramesAgo, Generation, MackeyGlass, NextFrames, TaskConfig
from linmem.training.options import TrainingOptions


@dataclass(frozen=True)
class NetworkConfig:
    """Trained networks: memory units, window of the LMU in steps, and training options."""

    units: int
    window: int
    max_epochs: int
    patience: int
    batch_size: int = TrainingOptions.batch_size


@dataclass(frozen=True)
class TaskPlan:
    """A task, the memory sizes of the solved readouts, and the networks trained on it."""

    name: str
    task: TaskConfig
    units: tuple[int, ...]
    networks: NetworkConfig | None = None


@dataclass(frozen=True)
class Config:
    """Seeds, learning rates to try, and tasks."""

    seeds: int
    learning_rates: tuple[float, ...]
    tasks: tuple[TaskPlan, ...]


COUNTS = (400, 200, 200)  # sequences of train, valid and test
SERIES = (8, 4, 4)
GRIDS = {
    "smoke": Config(
        1,
        (1e-2,),
        (
            TaskPlan("copy", Copy((20, 5, 5), 2, 2, 3), (6,), NetworkConfig(10, 8, 1, 1)),
            TaskPlan("generation", Generation(60, 2, 20.0), (8,), NetworkConfig(10, 60, 1, 1)),
            TaskPlan("Mackey-Glass, τ = 17", MackeyGlass((2, 1, 1), 17, 150, 5), (5,)),
        ),
    ),
    "small": Config(
        3,
        (1e-3, 5e-3),
        (
            TaskPlan("copy", Copy(COUNTS, 4, 10, 30), (25, 50, 100), NetworkConfig(50, 51, 3000, 30, 20)),
            TaskPlan("generation", Generation(320, 20, 160.0), (10, 20, 40), NetworkConfig(40, 320, 20000, 200)),
            TaskPlan(
                "Mackey-Glass, τ = 17",
                MackeyGlass(SERIES, 17, 500, 15),
                (5, 10, 20),
                NetworkConfig(20, 80, 10000, 50, 2),
            ),
            TaskPlan("Mackey-Glass, τ = 30", MackeyGlass(SERIES, 30, 500, 15), (5, 10, 20)),
            TaskPlan("jsb_chorales, 16 back", FramesAgo("jsb_chorales", 16), (50, 100, 250)),
            TaskPlan("jsb_chorales", NextFrames("jsb_chorales"), (50, 100, 250), NetworkConfig(100, 16, 1000, 20, 16)),
            TaskPlan("warped copy", Copy(COUNTS, 4, 5, 20, warped=True), (25, 50, 100)),
            TaskPlan("adding", Adding((500, 200, 200), 50), (10, 25, 50), NetworkConfig(25, 50, 3000, 30, 25)),
        ),
    ),
}
