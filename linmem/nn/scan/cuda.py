"""The fused scan with its time loops as Triton kernels, one launch per direction and layer; for GPUs.

Products are in bfloat16 under autocast (and for parameters in bfloat16), with states, sums and gradients in float32: a
linear memory accumulates rounding errors, so weights and inputs are rounded, states are not. Otherwise all numbers are
float32. Packed batches use the same kernels; several functional layers run step by step in torch.

These kernels have never run on a GPU. The first call on a device therefore checks them on a small problem; where they
cannot be compiled, do not fit or differ from torch's products, a warning says so and torch runs the steps. On a CPU
they run only under Triton's interpreter (``TRITON_INTERPRET=1`` before Triton is imported), for tests.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from linmem.nn.scan import fused
from linmem.nn.scan.batch import Batch, Result, Weights
from linmem.nn.scan.engine import Engine
from linmem.nn.scan.libraries import Libraries
from linmem.nn.scan.loops import Deep
from linmem.nn.scan.native import KINDS

PITCH = 16  # rows of a matrix start at multiples of this, so that Triton loads whole vectors
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 3e-2}  # of the check, relative to the largest number


class TorchEngine(Engine):
    """torch's products, whose operands are rounded to `products` if that is a lower precision than the states'."""

    chunk = 2**17  # rows: whole sequences, in a few hundred MB of working memory

    def __init__(self, products: torch.dtype) -> None:
        self.products = products
        self.name = f"torch in {str(products).removeprefix('torch.')}"

    def product(self, left: Tensor, right: Tensor) -> Tensor:
        """See :meth:`Engine.product`; sums are in the operands' own precision."""
        if left.dtype == self.products:
            return torch.mm(left, right)
        left, right, dtype = left.to(self.products), right.to(self.products), left.dtype
        if not left.is_cuda:
            return torch.mm(left.to(dtype), right.to(dtype))
        if "dtype" in torch.ops.aten.mm.overloads():  # torch >= 2.8
            return torch.mm(left, right, out_dtype=dtype)
        return torch.mm(left, right).to(dtype)

    def linear(self, weight: Tensor, bias: Tensor | None, rows: int) -> RoundedLinear:
        """See :meth:`Engine.linear`."""
        return RoundedLinear(self, weight.detach(), None if bias is None else bias.detach())


@dataclass(frozen=True)
class RoundedLinear:
    """W (o, i) and b (o,) of ``z ↦ z Wᵀ + b``."""

    engine: TorchEngine
    weight: Tensor
    bias: Tensor | None

    def __call__(self, z: Any, space: Any) -> Any:
        """One step."""
        engine, matrix = self.engine, self.weight.t()
        space.copy_(engine.product(z, matrix))
        if z.dtype != engine.products:  # the rounding error of z, because a state is rounded at every step
            space += engine.product(z - z.to(engine.products), matrix)
        return space if self.bias is None else space.add_(self.bias)

    def columns(self) -> Tensor:
        """Wᵀ (i, pitch), rounded, its rows padded with zeros."""
        matrix = self.weight.t().to(self.engine.products)
        return F.pad(matrix, (0, -matrix.shape[1] % PITCH)).contiguous()


class TritonEngine(TorchEngine):
    """Whole loops by :mod:`linmem.nn.scan.triton_loops`; torch runs the steps where the kernels cannot."""

    def __init__(self, products: torch.dtype) -> None:
        super().__init__(products)
        self.name = self.name.replace("torch", "triton")

    def forward(
        self, nonlinearity: str, sizes: Sequence[int], projected: Tensor, blocks: Tensor, joined: Any, p: int
    ) -> None:
        """See :meth:`Engine.forward`."""

        def kernel() -> None:
            from linmem.nn.scan import triton_loops

            steps, matrix = _on_device(sizes, blocks), joined.columns()
            triton_loops.forward(
                KINDS[nonlinearity], steps, sizes[0], projected.contiguous(), blocks, matrix, joined.bias, p
            )

        if not _launched(kernel, blocks):
            super().forward(nonlinearity, sizes, projected, blocks, joined, p)

    def backward(
        self,
        sizes: Sequence[int],
        blocks: Tensor,
        grad_hidden: Tensor | None,
        joined: Any,
        space: Tensor,
        deep: list[Deep],
        p: int,
    ) -> None:
        """See :meth:`Engine.backward`."""

        def kernel() -> None:
            from linmem.nn.scan import triton_loops

            outside = None if grad_hidden is None else grad_hidden.contiguous()
            triton_loops.backward(_on_device(sizes, blocks), sizes[0], blocks, outside, joined.columns(), p)

        if deep or not _launched(kernel, blocks):
            super().backward(sizes, blocks, grad_hidden, joined, space, deep, p)


def _on_device(sizes: Sequence[int], like: Tensor) -> Tensor:
    return torch.tensor(sizes, dtype=torch.int32, device=like.device)


def _launched(kernel: Callable[[], None], blocks: Tensor) -> bool:
    """Launch a kernel; if it cannot be compiled or does not fit, warn, with the blocks unchanged."""
    try:
        with torch.cuda.device(blocks.device) if blocks.is_cuda else nullcontext():
            kernel()
    except Exception as error:  # raised by Triton, a C compiler or ptxas; their types change between versions
        warnings.warn(
            f"a Triton kernel of linmem cannot run on {blocks.device} ({type(error).__name__}: {error}). "
            "torch runs the steps instead, which is correct but slower.",
            stacklevel=2,
        )
        return False
    return True


def interpreted() -> bool:
    """Whether Triton's interpreter is enabled."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def unsupported_reason(device: torch.device, products: torch.dtype) -> str | None:
    """Why the kernels do not support a device with products of that type, or None."""
    if find_spec("triton") is None:
        return "Triton is not installed"
    if device.type != "cuda":
        return None if device.type == "cpu" and interpreted() else f"the input is on {device}, not on a GPU"
    if products == torch.float64:
        return "there are no kernels in float64"
    least = (8, 0) if products == torch.bfloat16 else (7, 0)
    if torch.version.hip is None and torch.cuda.get_device_capability(device) < least:
        return f"{torch.cuda.get_device_name(device)} is older than compute capability {least[0]}.{least[1]}"
    return None


@cache
def check_kernels(device: torch.device, products: torch.dtype) -> str | None:
    """Compare the kernels with torch on a small ragged batch; returns what is wrong, or None."""
    if interpreted():
        return None
    sizes, a, f, p = (19, 19, 5, 5, 1), 3, 20, 21
    generator = torch.Generator().manual_seed(0)
    shapes = ((sum(sizes), a), (sizes[0], p), (f, a), (f, p), (p, f), (p, p), (f,), (p,))
    leaves = [torch.randn(shape, generator=generator).to(device) / shape[-1] ** 0.5 for shape in shapes]
    found: list[list[Tensor]] = []
    with torch.inference_mode(False), torch.enable_grad(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for engine in (TorchEngine(products), TritonEngine(products)):
            x, m_0, *flat = (leaf.clone().requires_grad_() for leaf in leaves)
            batch = Batch(x, m_0, Weights.from_flat(flat), "tanh", "functional", sizes)
            result = fused.scan(batch, libraries=Libraries(engine, TorchEngine(products)))
            total = result.output.square().sum() + result.memory.sum()
            found.append([*result, *torch.autograd.grad(total, [x, m_0, *flat])])
    if caught:
        return str(caught[0].message)
    for ours, theirs in zip(*found, strict=True):
        if not (ours - theirs).abs().max() <= TOLERANCE[products] * theirs.abs().max():
            return "the kernels differ from torch's products"
    return None


def on_gpu(x: Tensor) -> bool:
    """Whether `x` is on a GPU."""
    return x.is_cuda


def uses_bfloat16(batch: Batch) -> bool:
    """Whether a batch is on a GPU in bfloat16, by autocast or by the dtype of the parameters."""
    return on_gpu(batch.x) and torch.bfloat16 in (batch.product_dtype, batch.x.dtype)


def is_preferred(batch: Batch) -> bool:
    """Whether ``auto`` selects the kernels; in float32 it never does, because they were not timed on a GPU."""
    return uses_bfloat16(batch) and rejection_reason(batch) is None


def rejection_reason(batch: Batch) -> str | None:
    """Why ``auto`` does not select the kernels for a batch in bfloat16 on a GPU; None for other batches."""
    if not uses_bfloat16(batch):
        return None
    device = batch.x.device
    return unsupported_reason(device, torch.bfloat16) or check_kernels(device, torch.bfloat16)


def scan(batch: Batch) -> Result:
    """All steps, with products in bfloat16 if the batch or autocast is; see :mod:`linmem.nn.scan.batch`."""
    x, dtype = batch.x, batch.x.dtype
    products = torch.bfloat16 if torch.bfloat16 in (batch.product_dtype, dtype) else dtype
    if products == torch.float16:
        raise ValueError("parameters must be float32 or bfloat16 with backend='triton', got float16.")
    reason = unsupported_reason(x.device, products)
    if reason is not None:
        raise ValueError(f"backend must be one that runs here, got 'triton': {reason}. Use backend='auto'.")
    reason = check_kernels(x.device, products)
    if reason is not None:
        warnings.warn(f"backend='triton' runs its steps in torch, because {reason}.", stacklevel=2)
    engine = TorchEngine(products) if reason else TritonEngine(products)
    if dtype == torch.bfloat16:  # its states would lose what a linear memory accumulates
        weights = Weights.from_flat([None if w is None else w.float() for w in batch.weights.flat()])
        batch = batch._replace(x=x.float(), m_0=batch.m_0.float(), weights=weights)
    y, memory = fused.scan(batch, libraries=Libraries(engine, TorchEngine(products)))
    return Result(y.to(dtype), memory.to(dtype))


scan._torchdynamo_disable = True  # type: ignore[attr-defined]
