"""One fit by several processes, each with its own part of the sequences, on one machine or many.

ΞᵀΞ is a sum over sequences, so a product with it is the sum of the workers' products: one all-reduce of an (L·a) × q
block a pass. Everything else, the solver's small decompositions and the decoder, is done by every worker on the same
numbers, so that all end with the same autoencoder and nothing has to be sent at the end.

    torchrun --nproc-per-node 2 fit.py      # in fit.py: torch.distributed.init_process_group("gloo"), then
    ae = LinearAutoencoder(100).fit(Shard(my_sequences))

Letters: a features, L the longest length of all workers, q columns of a block.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from linmem.autoencoder.history.in_memory import Gram
from linmem.autoencoder.history.survey import Survey


@dataclass(frozen=True)
class Shard:
    """One worker's part of a set of sequences; other workers hold the rest.

    Parameters
    ----------
    sequences : list of (T_i, a) arrays or tensors, or a source that can be iterated over more than once
        May be empty: such a worker only takes part in the sums.
    group : torch.distributed.ProcessGroup, optional
        By default all workers.
    """

    sequences: Iterable[Any]
    group: Any = None


class Reduced:
    """The Gram matrix summed over the workers of a group; `local` is None for a worker without sequences."""

    block = 32

    def __init__(self, local: Gram | None, survey: Survey, energy: float, features: int, group: Any) -> None:
        self.local, self.group = local, group
        self.lags, self.rows, self.features, self.energy = survey.lags, survey.rows, features, energy
        self.device = survey.total.device

    def gram(self, block: Tensor) -> Tensor:
        """Return Ξᵀ(Ξ Z) of all workers' rows; raise RuntimeError if they did not ask for the same product."""
        out = torch.zeros(block.numel() + 2, dtype=torch.float64, device=block.device)
        if self.local is not None:
            lags = self.local.lags
            out[:-2].view_as(block)[:lags] = self.local.gram(block[:lags])
        mark = block.sum()
        out[-2], out[-1] = mark, mark.square()
        all_reduce(out, self.group)
        workers = dist.get_world_size(self.group)
        spread = float(workers * out[-1] - out[-2].square())
        if spread > 1e-12 * float(workers * out[-1]) + 1e-300:
            raise RuntimeError("the workers of the distributed fit have drifted apart: use equal machines and versions")
        return out[:-2].view_as(block).clone()


def all_reduce(tensor: Tensor, group: Any, maximum: bool = False) -> None:
    """Sum over the workers, or the maximum, in place; a lost worker is answered in words."""
    try:
        dist.all_reduce(tensor, dist.ReduceOp.MAX if maximum else dist.ReduceOp.SUM, group=group)
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise RuntimeError(
            f"a worker of the distributed fit is gone or does not answer ({reason}): start the fit again, "
            "or let torchrun do so with --max-restarts"
        ) from error


def agree(number: int, group: Any, what: str) -> int:
    """Return the workers' common value of a number, those that say 0 left out; ValueError if it differs."""
    device = _device(group)
    both = torch.tensor([number, -number if number else -(2**31)], dtype=torch.int64, device=device)
    all_reduce(both, group, maximum=True)
    largest, least = int(both[0]), -int(both[1])
    if largest and largest != least:
        raise ValueError(f"the workers' sequences differ in their {what} ({least} and {largest}): give all the same")
    return largest


def agree_on_input(opening: Callable[[], Any], group: Any) -> Any:
    """Return what `opening` does; if it fails on one worker, every worker raises instead of waiting for ever."""
    problem: ValueError | None = None
    found = None
    try:
        found = opening()
    except ValueError as error:
        problem = error
    bad = torch.tensor([1 + dist.get_rank(group) if problem else 0], dtype=torch.int64, device=_device(group))
    all_reduce(bad, group, maximum=True)
    if problem is not None:
        raise problem
    if int(bad):
        raise ValueError(f"worker {int(bad) - 1} of the distributed fit was given bad sequences: see its own message")
    return found


def _device(group: Any) -> torch.device:
    return torch.device("cuda" if dist.get_backend(group) == "nccl" else "cpu")


def reduce_survey(survey: Survey, group: Any) -> Survey:
    """Survey of all workers' sequences."""
    device = survey.total.device
    counts = torch.tensor([survey.rows, survey.sequences, survey.weight], dtype=torch.float64, device=device)
    sums = torch.cat([counts, survey.total, survey.weighted, survey.squares])
    all_reduce(sums, group)
    most = torch.cat([survey.sounding, torch.tensor([survey.lags], dtype=torch.float64, device=device)])
    all_reduce(most, group, maximum=True)
    total, weighted, squares = sums[3:].chunk(3)
    return replace(
        survey,
        lags=int(most[-1]),
        rows=int(sums[0]),
        sequences=int(sums[1]),
        weight=float(sums[2]),
        total=total,
        weighted=weighted,
        squares=squares,
        sounding=most[:-1],
    )
