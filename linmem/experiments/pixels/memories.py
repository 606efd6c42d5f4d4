"""Solved memories of images: fitted once, kept in a folder, their last states cached. Symbol: p memory units."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import cast

import torch
from sklearn.decomposition import PCA
from torch import Tensor, nn

from linmem import data
from linmem.autoencoder.estimator import LinearAutoencoder
from linmem.data import LabelledSplits
from linmem.data.sealed import readable_splits
from linmem.experiments.harness.jobs import run_job
from linmem.experiments.harness.reads_of_test import read_test
from linmem.experiments.harness.summarize import Result
from linmem.experiments.pixels.through_time import LinearNetwork
from linmem.experiments.static_memories import last_state
from linmem.experiments.static_memories.last_state import DeepReadout, DeepVariant, States
from linmem.experiments.static_memories.memories import orthogonal


def load_images(name: str) -> LabelledSplits:
    """Load a labelled data set, without its test split where that is sealed; the last two stay in memory."""
    return _load_images(name, readable_splits())


@lru_cache(2)
def _load_images(name: str, readable: tuple[str, ...]) -> LabelledSplits:
    splits = data.load(name)
    assert isinstance(splits, LabelledSplits)
    return splits


class Memories:
    """The solved memories of a data set.

    Parameters
    ----------
    name : str
        The data set.
    fitted : int
        Number of training sequences that each memory is fitted to, drawn by its seed.
    folder : Path
        Holds the fitted autoencoders.
    cached : int
        Number of memories whose states stay in memory.
    """

    title = "deep readout"

    def __init__(self, name: str, fitted: int, folder: Path, cached: int) -> None:
        self.name, self.fitted, self.folder = name, fitted, folder
        self.states: Callable[[int, int], States] = lru_cache(cached)(self._encode)

    @property
    def splits(self) -> LabelledSplits:
        """The data set."""
        return load_images(self.name)

    def solved_parameters(self, p: int) -> int:
        """Return the numbers in A and B."""
        return p * (p + self.splits.features)

    def build(self, p: int, seed: int, variant: DeepVariant) -> nn.Module:
        """Build the readout that is trained on the states."""
        return DeepReadout(self.states(p, seed).states["train"], variant, self.splits.classes)

    def encoder(self, p: int, seed: int) -> tuple[Tensor, Tensor]:
        """Return A (p, a) and B (p, p) of the fitted memory, float32."""
        self.fit(p, seed)
        solved = LinearAutoencoder.load(self._path(p, seed))
        return torch.as_tensor(solved.A_).float(), torch.as_tensor(solved.B_).float()

    def fit(self, p: int, seed: int) -> Result:
        """Fit the memory of p units, unless it is kept already; return its reconstruction errors."""
        return cast(Result, run_job(self.folder, f"memory-{p}-{seed}", partial(self._fit, p, seed)))

    def _fit(self, p: int, seed: int) -> Result:
        began, splits = time.process_time(), self.splits
        order = torch.randperm(len(splits.train), generator=torch.Generator().manual_seed(seed))
        sequences = [splits.train[i] for i in order[: self.fitted].tolist()]
        solved = LinearAutoencoder(p, decoder="tied", random_state=seed).fit(sequences)
        solved.save(self._path(p, seed))
        errors = {"bound": float(solved.optimal_error_), "error": float(solved.training_error_)}
        return {"fitted": len(sequences)} | errors | {"cpu_seconds": round(time.process_time() - began, 2)}

    def states_with_test(self, p: int, seed: int, model: str) -> States:
        """Read the test split for a model, and return the states of all splits."""
        return read_test(partial(self._encode, p, seed), model=model, data=self.name)

    def _encode(self, p: int, seed: int) -> States:
        self.fit(p, seed)
        return last_state.encode(LinearAutoencoder.load(self._path(p, seed)), self.splits)

    def _path(self, p: int, seed: int) -> Path:
        return self.folder / f"memory-{p}-{seed}.safetensors"


class Pixels:
    """The pixels themselves in place of a memory's states, for the MLPs that control them.

    Parameters
    ----------
    name : str
        The data set.
    """

    title = "MLP on the pixels"

    def __init__(self, name: str) -> None:
        self.name = name

    def solved_parameters(self, p: int) -> int:
        """Return 0."""
        return 0

    def build(self, p: int, seed: int, variant: DeepVariant) -> nn.Module:
        """Build the MLP that is trained on the pixels."""
        return DeepReadout(self.states(p, seed).states["train"], variant, load_images(self.name).classes)

    def states(self, p: int, seed: int) -> States:
        """Return the pixels of all splits that can be read."""
        return last_state.pixels(load_images(self.name))

    def states_with_test(self, p: int, seed: int, model: str) -> States:
        """Read the test split for a model, and return the pixels of all splits."""
        return read_test(partial(self.states, p, seed), model=model, data=self.name)


class TrainedMemories(Pixels):
    """The pixels, for linear memories that are trained through time together with their deep readout.

    Parameters
    ----------
    memories : Memories
        The memories that training starts from.
    start : str
        "LAES", or "orthogonal" for a random memory.
    """

    title = "network trained through time"

    def __init__(self, memories: Memories, start: str) -> None:
        super().__init__(memories.name)
        self.memories, self.start = memories, start

    def build(self, p: int, seed: int, variant: DeepVariant) -> nn.Module:
        """Build the memory and its readout."""
        splits = self.memories.splits
        if self.start == "LAES":
            A, B = self.memories.encoder(p, seed)
        else:
            _, A, B = orthogonal(splits.features, p, seed, radii=(1.0,))[0]
        train = self.states(p, seed).states["train"]
        return LinearNetwork(A.float(), B.float(), train, variant, splits.classes)


class PrincipalComponents:
    """The p principal components of the pixels in the place of a memory's states, as a control of its projection.

    PCA is fitted to the images that the memories are fitted to.
    """

    title = "MLP on principal components"

    def __init__(self, memories: Memories, cached: int) -> None:
        self.name, self.memories = memories.name, memories
        self.states: Callable[[int, int], States] = lru_cache(cached)(self._project)

    def solved_parameters(self, p: int) -> int:
        """Return the numbers in p components."""
        return p * self.memories.splits.train[0].numel()

    def build(self, p: int, seed: int, variant: DeepVariant) -> nn.Module:
        """Build the readout that is trained on the components."""
        return DeepReadout(self.states(p, seed).states["train"], variant, self.memories.splits.classes)

    def states_with_test(self, p: int, seed: int, model: str) -> States:
        """Read the test split for a model, and return the components of all splits."""
        return read_test(partial(self._project, p, seed), model=model, data=self.name)

    def _project(self, p: int, seed: int) -> States:
        splits = self.memories.splits
        order = torch.randperm(len(splits.train), generator=torch.Generator().manual_seed(seed))
        fitted = torch.stack([splits.train[i] for i in order[: self.memories.fitted].tolist()]).flatten(1).double()
        axes = torch.from_numpy(PCA(p, svd_solver="full").fit(fitted.numpy()).components_).float()
        pixels = last_state.pixels(splits)
        return pixels._replace(states=type(pixels.states)({k: x @ axes.T for k, x in pixels.states.items()}))
