"""The backends by name, and the rule by which ``"auto"`` selects one.

The rule looks only at the input and at where the call happens; nothing is timed. See ``docs/guide/backends.md``.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import torch
from torch.autograd import forward_ad

from linmem.nn.scan import cuda, exportable, fused, lmn_equations, parallel
from linmem.nn.scan.batch import Batch, Result, Scan
from linmem.nn.scan.checks import check_choice

BACKENDS: dict[str, Scan] = {
    "reference": lmn_equations.scan,
    "fused": fused.scan,
    "recompute": partial(fused.scan, keep_states=False),
    "parallel": parallel.scan,
    "triton": cuda.scan,
    "export": exportable.scan,
}

_PLAIN = (torch.Tensor, torch.nn.Parameter)  # the fused loops write to memory, which a subclass may not have


class BackendChoice(NamedTuple):
    """The backend that ``"auto"`` selects, and the reason."""

    backend: str
    reason: str


def check_backend(name: str) -> str:
    """Return `name`; ``ValueError`` with the list of known backends if it is not one of them."""
    return check_choice("backend", name, ("auto", *BACKENDS))


def run(batch: Batch, backend: str = "auto") -> Result:
    """Run all steps with a backend.

    While a model is exported, the exportable scan replaces every other backend except ``"reference"``.
    """
    if check_backend(backend) == "auto":
        other = _special_case(batch)
        backend = other.backend if other is not None else "fused"
    elif backend != "reference" and _is_exporting():
        backend = "export"
    return BACKENDS[backend](batch)


def choose_backend(batch: Batch) -> BackendChoice:
    """The backend that ``"auto"`` selects for this input in the current context, and the reason."""
    other = _special_case(batch)
    if other is not None:
        return other
    rejection = cuda.rejection_reason(batch)
    reason = f"the default; {fused.choose_for(batch)}"
    return BackendChoice("fused", reason if rejection is None else f"{reason}; not triton, because {rejection}")


def _special_case(batch: Batch) -> BackendChoice | None:
    """The cases in which ``"auto"`` does not select ``"fused"``, in order."""
    x, weights = batch.x, batch.weights
    if _is_exporting():
        return BackendChoice("export", "the model is being exported")
    if torch.compiler.is_compiling():
        return None
    if torch.jit.is_tracing():  # type: ignore[attr-defined]
        return BackendChoice("reference", "torch.jit.trace records plain operations for a fixed number of steps")
    if type(x) not in _PLAIN or type(weights.mm) not in _PLAIN:
        names = f"{type(x).__name__} and {type(weights.mm).__name__}"
        return BackendChoice("reference", f"input and weights are {names}, not plain tensors")
    if torch._C._functorch.peek_interpreter_stack() is not None:
        return BackendChoice("reference", "inside a torch.func transform")
    if forward_ad._current_level >= 0:
        return BackendChoice("reference", "inside forward-mode differentiation")
    if parallel.is_preferred(batch):
        return BackendChoice("parallel", "W_mh is zero and gets no gradient, so all steps can run at once")
    if cuda.is_preferred(batch):
        return BackendChoice("triton", "bfloat16 on a GPU: rounded products, float32 states")
    return None


def _is_exporting() -> bool:
    is_exporting = getattr(torch.compiler, "is_exporting", None)  # torch >= 2.7
    return bool(is_exporting()) if is_exporting is not None else torch.compiler.is_compiling()
