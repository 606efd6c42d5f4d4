"""A data set prepared for its task: inputs and targets of every split, built once per run."""

from __future__ import annotations

import sys
from typing import Any

from linmem.data.splits import SPLITS
from linmem.training.metrics import Scores
from linmem.training.tasks import Examples, Task


class PreparedTask:
    """A task together with the data set that it belongs to.

    Parameters
    ----------
    splits : Splits
        The data set.
    task : Task
        Builds the examples; each split is built when it is first used, and kept.
    """

    def __init__(self, splits: Any, task: Task) -> None:
        self.splits, self.task = splits, task
        self.output_size = task.output_size(splits)
        self._examples: dict[str, Examples] = {}

    def examples(self, split: str) -> Examples:
        """Inputs and targets of one split.

        Raises
        ------
        ValueError
            The data do not fit the task.
        """
        if split not in self._examples:
            self._examples[split] = self.task.examples(self.splits, split)
        return self._examples[split]

    def describe(
        self, baseline_name: str, baseline: Scores, memory_size: int | None = None, estimator_name: str = ""
    ) -> str:
        """Return what is predicted, from which splits, and the baseline's scores: one line, on a terminal several.

        A `memory_size` that was lowered to the rank of the training inputs, and an estimator, are named, too.
        """
        parts = [f"predicts: {self.task.title} (inputs {self.splits.features}, outputs {self.output_size})"]
        for split in SPLITS:
            sequences = getattr(self.splits, split)
            parts.append(f"{split}: {len(sequences):,} sequences, {sum(map(len, sequences)):,} steps")
        metrics = list(baseline.row().items())
        shown = ", ".join(f"{name} {value:.4g}" for name, value in (metrics[0], metrics[-1]))  # accuracy and loss
        parts.append(f"baseline on valid: {baseline_name}, {shown}")
        if self.splits.standardization is not None:
            parts.append("values: standardized, mean 0 and deviation 1 per feature on train")
        if estimator_name:
            parts.append(f"model: {estimator_name}, solved in closed form")
        if memory_size is not None:
            parts.append(f"memory_size: {memory_size}, the rank of the training inputs, which is below the default")
        return ("\n" if sys.stdout.isatty() else "; ").join(parts)
