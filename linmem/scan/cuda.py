"""An engine that hands whole loops to Triton kernels; asked for by name alone (``LINMEM_ENGINE=triton``).

See :mod:`linmem.scan.triton_loops` for what is and what is not known of them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from linmem.scan.activations import activation
from linmem.scan.engine import Engine
from linmem.scan.loops import Deep
from linmem.scan.native import KINDS


@dataclass(frozen=True)
class TritonLinear:
    """W (o, i) and b (o,) of ``z ↦ z Wᵀ + b``."""

    weight: Tensor
    bias: Tensor | None

    def __call__(self, z: Any, space: Any) -> Any:
        """One step, by torch, where sequences end within a chunk."""
        out = torch.mm(z, self.weight.t(), out=space)
        return out if self.bias is None else out.add_(self.bias)


class TritonEngine(Engine):
    """Whole loops of float32 on a GPU, one functional layer; uneven chunks step by step."""

    name = "triton"

    def knows(self, dtype: torch.dtype, device: torch.device, deep: bool = False) -> bool:
        """float32 on a GPU, or anywhere under Triton's interpreter, if Triton is installed."""
        interpreted = os.environ.get("TRITON_INTERPRET") == "1"
        place = device.type == "cuda" or (device.type == "cpu" and interpreted)
        return place and dtype == torch.float32 and not deep and find_spec("triton") is not None

    def linear(self, weight: Tensor, bias: Tensor | None, rows: int) -> TritonLinear:
        """See :meth:`Engine.linear`."""
        return TritonLinear(weight.detach().contiguous(), None if bias is None else bias.detach())

    def forward(  # type: ignore[override]
        self, nonlinearity: str, sizes: Sequence[int], projected: Tensor, blocks: Tensor, joined: TritonLinear, p: int
    ) -> None:
        """See :meth:`Engine.forward`."""
        if sizes[0] != sizes[-1]:
            return super().forward(nonlinearity, sizes, projected, blocks, joined, p)
        from linmem.scan import triton_loops

        h, projected = blocks[: sizes[0], p:], projected.contiguous()
        h.copy_(activation(nonlinearity).apply(h + projected[: sizes[0]]))
        return triton_loops.forward(KINDS[nonlinearity], len(sizes), projected, blocks, joined.weight, joined.bias, p)

    def backward(  # type: ignore[override]
        self,
        sizes: Sequence[int],
        blocks: Tensor,
        grad_hidden: Tensor | None,
        joined: TritonLinear,
        space: Tensor,
        deep: list[Deep],
        p: int,
    ) -> None:
        """See :meth:`Engine.backward`."""
        if sizes[0] != sizes[-1]:
            return super().backward(sizes, blocks, grad_hidden, joined, space, deep, p)
        from linmem.scan import triton_loops

        outside = None if grad_hidden is None else grad_hidden.contiguous()
        return triton_loops.backward(len(sizes), blocks, outside, joined.weight, p)
