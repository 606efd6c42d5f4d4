"""The fused scan with its time loops as Triton kernels, one launch a direction and layer; for GPUs.

Products in bfloat16 under autocast (and for parameters in bfloat16), with states, sums and gradients in float32: a
linear memory adds up what is rounded off, so weights and inputs are rounded, states are not. Otherwise all in float32.
Packed batches go through the same kernels; several functional layers go step by step, by torch.

No kernel here was ever run on a GPU. So the first call on a device tries them on a small problem; where they cannot be
compiled, do not fit or give other numbers than torch's own products, a warning says so and torch takes the steps. On a
CPU they run under Triton's interpreter alone (``TRITON_INTERPRET=1`` before Triton is imported), which is for tests.
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
from linmem.nn.scan.choice import Choice
from linmem.nn.scan.engine import Engine
from linmem.nn.scan.loops import Deep
from linmem.nn.scan.native import KINDS
from linmem.nn.scan.signature import Result, Weights

PITCH = 16  # rows of a matrix start at multiples of this: Triton then loads them in whole vectors
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 3e-2}  # of the trial, relative to the largest number


class TorchEngine(Engine):
    """torch's products, whose operands are rounded to `products` if that is a lower precision than the states'."""

    chunk = 2**17  # rows: a sequence in one piece, and no more than some hundred MB beside what is kept

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
        if z.dtype != engine.products:  # what rounding z has left out; a state passes through here at every step
            space += engine.product(z - z.to(engine.products), matrix)
        return space if self.bias is None else space.add_(self.bias)

    def columns(self) -> Tensor:
        """Wᵀ (i, pitch), rounded, its rows padded with zeros."""
        matrix = self.weight.t().to(self.engine.products)
        return F.pad(matrix, (0, -matrix.shape[1] % PITCH)).contiguous()


class TritonEngine(TorchEngine):
    """Whole loops by :mod:`linmem.nn.scan.triton_loops`; torch takes the steps where the kernels cannot."""

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
    """Launch; a kernel that cannot be compiled or does not fit has not touched its blocks, and a warning says why."""
    try:
        with torch.cuda.device(blocks.device) if blocks.is_cuda else nullcontext():
            kernel()
    except Exception as error:  # Triton's own, of a C compiler or of ptxas: a list of them would soon be out of date
        warnings.warn(
            f"a Triton kernel of linmem cannot run on {blocks.device} ({type(error).__name__}: {error}):"
            " torch takes the steps instead, which is right but slower",
            stacklevel=2,
        )
        return False
    return True


def interpreted() -> bool:
    """Whether Triton's interpreter was asked for."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def obstacle(device: torch.device, products: torch.dtype) -> str | None:
    """Why the kernels cannot be tried on a device with products of that type, in words, or None."""
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
def flaw(device: torch.device, products: torch.dtype) -> str | None:
    """What is wrong with the kernels on this device, in words, or None: a small ragged batch, against torch's steps."""
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
            choice = Choice(engine, TorchEngine(products))
            result = fused.scan_by(choice, x, m_0, Weights.from_flat(flat), "tanh", "functional", sizes)
            total = result.output.square().sum() + result.memory.sum()
            found.append([*result, *torch.autograd.grad(total, [x, m_0, *flat])])
    if caught:
        return str(caught[0].message)
    for ours, theirs in zip(*found, strict=True):
        if not (ours - theirs).abs().max() <= TOLERANCE[products] * theirs.abs().max():
            return "the kernels give other numbers than torch's products"
    return None


def on_gpu(x: Tensor) -> bool:
    """Whether `x` is where the kernels belong."""
    return x.is_cuda


def wants_bfloat16(x: Tensor, products: torch.dtype | None) -> bool:
    """Whether this is a case for the kernels: bfloat16 on a GPU, by autocast or by the parameters' own type."""
    return on_gpu(x) and torch.bfloat16 in (products, x.dtype)


def pays(x: Tensor, products: torch.dtype | None) -> bool:
    """Whether ``auto`` takes the kernels; in float32 it never does, as they were never timed against torch's loop."""
    return wants_bfloat16(x, products) and unfit(x, products) is None


def unfit(x: Tensor, products: torch.dtype | None) -> str | None:
    """Why ``auto`` cannot take the kernels although this is a case for them, in words, or None."""
    if not wants_bfloat16(x, products):
        return None
    return obstacle(x.device, torch.bfloat16) or flaw(x.device, torch.bfloat16)


def scan(
    x: Tensor,
    m_0: Tensor,
    weights: Weights,
    nonlinearity: str = "tanh",
    output: str = "memory",
    batch_sizes: Sequence[int] | None = None,
    *,
    products: torch.dtype | None = None,
) -> Result:
    """All steps, products in bfloat16 if `products` says so; see :mod:`linmem.nn.scan.signature`."""
    products = torch.bfloat16 if torch.bfloat16 in (products, x.dtype) else x.dtype
    if products == torch.float16:
        raise ValueError("backend is 'triton', which computes in float32 or bfloat16, but the parameters are float16")
    found = obstacle(x.device, products)
    if found is not None:
        raise ValueError(f"backend is 'triton', but {found}: use 'auto' or 'fused'")
    found = flaw(x.device, products)
    if found is not None:
        warnings.warn(f"backend is 'triton', but {found}: torch takes the steps", stacklevel=2)
    engine = TorchEngine(products) if found else TritonEngine(products)
    dtype = x.dtype
    if dtype == torch.bfloat16:  # its states would lose what a linear memory adds up
        weights = Weights.from_flat([None if w is None else w.float() for w in weights.flat()])
        x, m_0 = x.float(), m_0.float()
    y, memory = fused.scan_by(Choice(engine, TorchEngine(products)), x, m_0, weights, nonlinearity, output, batch_sizes)
    return Result(y.to(dtype), memory.to(dtype))


scan._torchdynamo_disable = True  # type: ignore[attr-defined]
