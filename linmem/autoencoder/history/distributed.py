"""One fit by several processes, each with its own part of the sequences, on one machine or many.

ΞᵀΞ is a sum over sequences, so a product with it is the sum of the workers' products: one all-reduce of an (L·a) × q
block per pass, or one all-reduce of ΞᵀΞ itself. Everything else, the solver's small decompositions and the decoder, is
computed by every worker from the same numbers, so that all end with the same autoencoder and no result is sent.

    torchrun --nproc-per-node 2 fit.py      # in fit.py: linmem.workers.connect(), then
    ae = LinearAutoencoder(100).fit(Shard(my_sequences))

Symbols: a features, L the longest length of all workers, q columns of a block.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from linmem.autoencoder.history.fourier import product
from linmem.autoencoder.history.operator import HistoryOperator
from linmem.autoencoder.history.precomputed import GramHistory
from linmem.autoencoder.history.survey import Survey
from linmem.workers import lost_workers_reported

STRIP = 512  # rows of the upper triangle that are sent as one rectangle


@dataclass(frozen=True)
class Shard:
    """One worker's part of a set of sequences; other workers hold the rest.

    Parameters
    ----------
    sequences : list of (T_i, a) arrays or tensors, or a source that can be iterated over more than once
        May be empty: such a worker only takes part in the sums.
    group : torch.distributed.ProcessGroup, optional
        By default all workers.

    Examples
    --------
    One process on its own; under ``torchrun`` each worker passes its own sequences.

    >>> import torch, torch.distributed as dist
    >>> from linmem import LinearAutoencoder
    >>> store = dist.HashStore()
    >>> dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    >>> mine = [torch.sin(0.3 * torch.arange(40.0))[:, None]]
    >>> LinearAutoencoder(memory_size=2, lag_decay=0.9).fit(Shard(mine)).A_.shape
    torch.Size([2, 1])
    >>> dist.destroy_process_group()
    """

    sequences: Iterable[Any]
    group: Any = None


class DistributedHistory(HistoryOperator):
    """Ξ of the workers of a group together; `local` is None for a worker without sequences."""

    provides = frozenset({"gram"})
    block = 32

    def __init__(self, local: HistoryOperator | None, survey: Survey, features: int, group: Any) -> None:
        self.local, self.group = local, group
        self.lags, self.rows, self.features = survey.lags, survey.rows, features
        self.device, self.decay = survey.total.device, survey.weights.decay

    @cached_property
    def energy(self) -> float:  # type: ignore[override]  # computed on first use
        """‖Ξ‖² of all workers' rows."""
        total = torch.tensor(
            [0.0 if self.local is None else self.local.energy], dtype=torch.float64, device=self.device
        )
        all_reduce(total, self.group)
        return float(total)

    def gram(self) -> Tensor:
        """Return ΞᵀΞ of all workers' rows: one all-reduce of its upper triangle."""
        size = self.lags * self.features
        total = torch.zeros(size, size, dtype=torch.float64, device=self.device)
        if self.local is not None:
            part = self.local.gram()  # which the local history may keep: the sum must not overwrite it
            total[: len(part), : len(part)] = part
        strips = [total[start : start + STRIP, start:] for start in range(0, size, STRIP)]
        packed = torch.cat([strip.flatten() for strip in strips])
        all_reduce(packed, self.group)
        for strip, found in zip(strips, packed.split([strip.numel() for strip in strips]), strict=True):
            strip.copy_(found.view_as(strip))
            start = size - strip.shape[1]
            total[start:, start : start + len(strip)] = strip.T.clone()
        return total

    def precompute(self) -> GramHistory:
        """Return the history of ΞᵀΞ, of whose products each worker computes its share."""
        return SharedGramHistory(self.gram(), self.lags, self.rows, self.decay, self.group)

    def lag_energy(self) -> Tensor:
        """(L,) squared norm of each lag's columns."""
        out = torch.zeros(self.lags, dtype=torch.float64, device=self.device)
        if self.local is not None:
            out[: self.local.lags] = self.local.lag_energy()
        all_reduce(out, self.group)
        return out

    def gram_matvec(self, block: Tensor) -> Tensor:
        """Return Ξᵀ(Ξ Z) of all workers' rows; raise RuntimeError if the workers pass different blocks."""
        out = torch.zeros(block.numel() + 2, dtype=torch.float64, device=block.device)
        if self.local is not None:
            lags = self.local.lags
            out[:-2].view_as(block)[:lags] = self.local.gram_matvec(block[:lags])
        mark = block.sum()
        out[-2], out[-1] = mark, mark.square()
        all_reduce(out, self.group)
        workers = dist.get_world_size(self.group)
        spread = float(workers * out[-1] - out[-2].square())
        if spread > 1e-12 * float(workers * out[-1]) + 1e-300:
            raise RuntimeError(
                "all workers of a distributed fit must compute the same block, got different ones. "
                "Use equal machines and library versions."
            )
        return out[:-2].view_as(block).clone()


class SharedGramHistory(GramHistory):
    """ΞᵀΞ that every worker of a group holds; each multiplies its share of the rows."""

    def __init__(self, gram: Tensor, lags: int, rows: int, decay: float, group: Any) -> None:
        super().__init__(gram, lags, rows, decay)
        self.group = group
        rank, workers = dist.get_rank(group), dist.get_world_size(group)
        self.share = slice(len(gram) * rank // workers, len(gram) * (rank + 1) // workers)

    def gram_matvec(self, block: Tensor) -> Tensor:
        """Return ΞᵀΞ Z, one all-reduce of Z's size."""
        rows = block.flatten(0, 1).T.contiguous()
        out = torch.zeros_like(rows)
        out[:, self.share] = product(rows, self._gram[:, self.share])  # the matrix is symmetric
        all_reduce(out, self.group)
        return out.T.reshape(block.shape)


def all_reduce(tensor: Tensor, group: Any, maximum: bool = False) -> None:
    """Sum over the workers, or the maximum, in place; WorkerLostError if a worker is lost."""
    with lost_workers_reported("Start the fit again, or let torchrun do so with --max-restarts."):
        dist.all_reduce(tensor, dist.ReduceOp.MAX if maximum else dist.ReduceOp.SUM, group=group)


def agree(number: int, group: Any, what: str) -> int:
    """Return the workers' common value of a number, workers with 0 left out; ValueError if it differs."""
    device = _device(group)
    both = torch.tensor([number, -number if number else -(2**31)], dtype=torch.int64, device=device)
    all_reduce(both, group, maximum=True)
    largest, least = int(both[0]), -int(both[1])
    if largest and largest != least:
        raise ValueError(
            f"all workers must have the same {what}, got {least} and {largest}. Pass the same on every worker."
        )
    return largest


def agree_on_input(opening: Callable[[], Any], group: Any) -> Any:
    """Return `opening()`; if it fails on one worker, every worker raises instead of waiting without end."""
    problem: Exception | None = None
    found = None
    try:
        found = opening()
    except Exception as error:  # raised again below, when the other workers know
        problem = error
    bad = torch.tensor([1 + dist.get_rank(group) if problem else 0], dtype=torch.int64, device=_device(group))
    all_reduce(bad, group, maximum=True)
    if problem is not None:
        raise problem
    if int(bad):
        raise ValueError(
            f"all workers must have valid sequences, got invalid ones on worker {int(bad) - 1}. See its own message."
        )
    return found


def _device(group: Any) -> torch.device:
    return torch.device("cuda" if dist.get_backend(group) == "nccl" else "cpu")


def reduce_survey(survey: Survey, group: Any) -> Survey:
    """Survey of all workers' sequences."""
    device = survey.total.device
    counts = torch.tensor([survey.rows, survey.sequences, survey.weight], dtype=torch.float64, device=device)
    sums = torch.cat([counts, survey.total, survey.weighted, survey.squares])
    all_reduce(sums, group)
    most = torch.cat([survey.largest, torch.tensor([survey.longest], dtype=torch.float64, device=device)])
    all_reduce(most, group, maximum=True)
    total, weighted, squares = sums[3:].chunk(3)
    return replace(
        survey,
        longest=int(most[-1]),
        rows=int(sums[0]),
        sequences=int(sums[1]),
        weight=float(sums[2]),
        total=total,
        weighted=weighted,
        squares=squares,
        largest=most[:-1],
    )
