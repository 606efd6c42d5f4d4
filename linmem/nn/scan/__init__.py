"""The Linear Memory Network recurrence behind one signature (:mod:`linmem.nn.scan.signature`).

========= ============================================================================================================
reference plain autograd, the specification: double backward, forward mode, ``torch.func``
fused     its own backward, one product a step; the default
recompute fused, but keeps one memory for every thousand rows and computes the rest again in the backward pass
parallel  where W_mh = 0: large products over all steps instead of a loop
triton    fused, its time loops as one GPU kernel a direction; bfloat16 under autocast
export    one ``scan`` operator, for ``torch.export`` and ONNX; inference
========= ============================================================================================================

``auto`` takes the one that :func:`choose` names.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd import forward_ad

from linmem.nn.scan import cuda, exportable, fused, parallel, reference
from linmem.nn.scan.signature import Result, Scan, Weights

__all__ = ["BACKENDS", "Choice", "Result", "Scan", "Weights", "check_backend", "choose", "get"]

BACKENDS: dict[str, Scan] = {
    "reference": reference.scan,
    "fused": fused.scan,
    "recompute": fused.scan_recomputing,
    "parallel": parallel.scan,
    "triton": cuda.scan,
    "export": exportable.scan,
}


_PLAIN = (torch.Tensor, torch.nn.Parameter)  # a loop on their memory is no loop on that of a subclass


class Choice(NamedTuple):
    """Which scan ``auto`` takes, and why."""

    backend: str
    reason: str


def check_backend(name: str) -> str:
    """`name` itself, or ``ValueError`` with the list of known ones."""
    if name != "auto" and name not in BACKENDS:
        raise ValueError(f"backend is {name!r}, but it must be one of {', '.join(map(repr, ['auto', *BACKENDS]))}")
    return name


def get(name: str, products: torch.dtype | None = None) -> Scan:
    """The scan called `name`; its products may be rounded to the type `products`, if it knows how to."""
    if check_backend(name) == "auto":
        return partial(_auto, products=products)
    if name != "reference" and _exporting():
        return exportable.scan  # whatever computes fast here cannot leave Python
    return partial(cuda.scan, products=products) if name == "triton" else BACKENDS[name]


def choose(
    x: Tensor, weights: Weights, batch_sizes: Sequence[int] | None = None, products: torch.dtype | None = None
) -> Choice:
    """What ``auto`` takes for this input, now, and why.

    `x` and `batch_sizes` as in :class:`Scan`; `products` is the type that autocast wants for products.
    """
    other = _unless_fused(x, weights, products)
    if other is not None:
        return other
    why_not = cuda.unfit(x, products)
    reason = "the default; " + fused.describe(x, weights, batch_sizes)
    return Choice("fused", reason if why_not is None else f"{reason}; not triton in bfloat16, because {why_not}")


def _unless_fused(x: Tensor, weights: Weights, products: torch.dtype | None) -> Choice | None:
    if _exporting():
        return Choice("export", "the model is being exported")
    if torch.compiler.is_compiling():
        return None
    if torch.jit.is_tracing():
        return Choice("reference", "inside torch.jit.trace, which keeps the number of steps")
    if type(x) not in _PLAIN or type(weights.mm) not in _PLAIN:
        return Choice("reference", f"{type(x).__name__} and {type(weights.mm).__name__} are not both plain tensors")
    if torch._C._functorch.peek_interpreter_stack() is not None:
        return Choice("reference", "inside a torch.func transform")
    if forward_ad._current_level >= 0:
        return Choice("reference", "inside forward-mode differentiation")
    if parallel.pays(x, weights):
        return Choice("parallel", "W_mh is zero and will stay so, so no step needs to wait")
    if cuda.pays(x, products):
        return Choice("triton", "bfloat16 on a GPU: rounded products, float32 states")
    return None


def _exporting() -> bool:
    is_exporting = getattr(torch.compiler, "is_exporting", None)  # torch >= 2.7
    return bool(is_exporting()) if is_exporting is not None else torch.compiler.is_compiling()


def _auto(
    x: Tensor,
    m_0: Tensor,
    weights: Weights,
    nonlinearity: str = "tanh",
    output: str = "memory",
    batch_sizes: Sequence[int] | None = None,
    *,
    products: torch.dtype | None = None,
) -> Result:
    """The scan that :func:`choose` names."""
    other = _unless_fused(x, weights, products)
    run = get(other.backend if other else "fused", products)
    return run(x, m_0, weights, nonlinearity, output, batch_sizes)
