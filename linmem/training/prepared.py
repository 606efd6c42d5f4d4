"""A data set prepared for its task: inputs and targets of every split, built once per run."""

from __future__ import annotations

from typing import Any

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
