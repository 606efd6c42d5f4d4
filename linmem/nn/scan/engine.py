"""Libraries that multiply the matrices of a time loop: torch, NumPy on views of the same memory, oneDNN.

A step of a recurrent network is a small product, smaller than those a BLAS is tuned for, and libraries differ by a
factor of two there. On one core of an AMD EPYC (Zen 5, float32), products of 16 rows with a 350 x 350 or 750 x 750
matrix run at 85 GFLOP/s in torch (MKL), 95 in NumPy (OpenBLAS) and 140-190 in oneDNN with a prepacked weight, but a
call costs 1 µs in NumPy and 10 µs in oneDNN. The order of preference is in :mod:`linmem.nn.scan.libraries`.

Symbols: n rows, i inputs and o outputs of a product.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, reduce
from typing import Any

import numpy as np
import threadpoolctl  # type: ignore[import-untyped]
import torch
from torch import Tensor

from linmem.nn.scan import loops
from linmem.nn.scan.activations import ACTIVATIONS, SELU_FLOOR, SELU_SCALE
from linmem.nn.scan.packing import kept_rows

Linear = loops.Linear


class Engine:
    """The operations of a time loop, on arrays that share memory with tensors; this class uses torch (MKL, cuBLAS)."""

    name = "torch"
    chunk: int | None = None  # rows of a chunk of steps; None for the default
    add: Callable[..., Any] = staticmethod(torch.add)
    multiply: Callable[..., Any] = staticmethod(torch.mul)
    sigma_: Mapping[str, Callable[[Any], Any]] = {name: activation.apply_ for name, activation in ACTIVATIONS.items()}

    def supports(self, dtype: torch.dtype, device: torch.device, step_by_step: bool = False) -> bool:
        """Whether this engine runs with `dtype` on `device`, one step at a time if `step_by_step`."""
        return True

    def array(self, tensor: Tensor) -> Any:
        """`tensor` as this engine's array, sharing its memory."""
        return tensor.detach()

    def linear(self, weight: Tensor, bias: Tensor | None, rows: int) -> Linear:
        """``z ↦ z Wᵀ + b`` for many calls with about `rows` rows; weight (o, i), bias (o,)."""
        transposed = weight.t().contiguous()
        if bias is None:
            return lambda z, space: torch.mm(z, transposed, out=space)
        return lambda z, space: torch.addmm(bias, z, transposed, out=space)

    def product(self, left: Tensor, right: Tensor) -> Tensor:
        """``left right`` once, (n, k) x (k, m), as a new tensor."""
        return torch.mm(left, right)

    def forward(
        self, nonlinearity: str, sizes: Sequence[int], projected: Tensor, blocks: Tensor, joined: Linear, p: int
    ) -> None:
        """The time loop of one functional layer over one chunk of steps.

        The first of the `blocks` (:mod:`linmem.nn.scan.chunks`) holds [m_{t-1}, v_t - x̂_t]; the others are filled.
        `projected` are the x̂_t, and `joined` multiplies with A. See :func:`linmem.nn.scan.loops.forward`.
        """
        n, (times, bias) = sizes[0], self.split_bias(joined)
        blocks[n:] = 0.0 if bias is None else bias
        if n == sizes[-1]:
            blocks[: blocks.shape[0] - n, p:] += projected
        else:
            blocks[kept_rows(sizes).to(blocks.device), p:] += projected
        pieces, space = self.split(blocks, (n, *sizes)), self.array(torch.empty_like(blocks[:n]))
        loops.forward(self, nonlinearity, sizes, pieces, times, space, p)

    def backward(
        self,
        sizes: Sequence[int],
        blocks: Tensor,
        grad_hidden: Tensor | None,
        joined: Linear,
        space: Tensor,
        deep: list[loops.Deep],
        p: int,
    ) -> None:
        """The backward time loop over one chunk, with further functional layers `deep` if there are any.

        On entry the last of the `blocks` holds [δm_t, δv_{t+1}], and the others hold the gradient of m_{t-1} from the
        outputs and σ'(v_t); they are filled. `grad_hidden` is the gradient of h_t of the last functional layer from
        the outputs. See :func:`linmem.nn.scan.loops.backward` and `backward_deep`.
        """
        n, last, array = sizes[0], blocks.shape[0] - sizes[-1], self.array(space)
        pieces = self.split(blocks, (n, *sizes))
        if deep:
            outside = None if grad_hidden is None else self.split(grad_hidden, sizes)
            return loops.backward_deep(self, pieces, sizes, outside, joined, array, deep, p)
        slopes = self.split(blocks[:last, p:].clone(), (n, *sizes[:-1]))
        blocks[:last, p:] = 0.0
        if grad_hidden is not None and n == sizes[-1]:
            blocks[:last, p:] = grad_hidden
        elif grad_hidden is not None:
            blocks[kept_rows(sizes).to(blocks.device), p:] = grad_hidden
        return loops.backward(self, sizes, pieces, slopes, joined, array, p)

    def forward_diagonal(
        self,
        nonlinearity: str,
        sizes: Sequence[int],
        before: Tensor,
        memory: Tensor,
        layers: list[Tensor],
        step: loops.DiagonalStep,
    ) -> None:
        """The time loop with a diagonal memory over one chunk; see :func:`linmem.nn.scan.loops.forward_diagonal`."""
        step = step._replace(own=self.array(step.own), other=self.array(step.other))
        spaces = [self.array(torch.empty_like(t[: sizes[0]])) for t in (layers[0], memory)]
        steps = [self.split(layer, sizes) for layer in layers]
        loops.forward_diagonal(self, nonlinearity, self.array(before), self.split(memory, sizes), steps, step, *spaces)

    def backward_diagonal(
        self,
        sizes: Sequence[int],
        delta_before: Tensor,
        delta_memory: Tensor,
        deltas: list[Tensor],
        grad_hidden: Tensor | None,
        step: loops.DiagonalStep,
    ) -> None:
        """The backward time loop over one chunk; see :func:`linmem.nn.scan.loops.backward_diagonal`."""
        step = step._replace(own=self.array(step.own), other=self.array(step.other))
        spaces = [self.array(torch.empty_like(t[: sizes[0]])) for t in (*deltas, delta_memory, delta_memory)]
        steps = [self.split(delta, sizes) for delta in deltas]
        outside = None if grad_hidden is None else self.split(grad_hidden, sizes)
        before, memory = self.array(delta_before), self.split(delta_memory, sizes)
        loops.backward_diagonal(self, before, memory, steps, outside, step, spaces)

    def split_bias(self, joined: Linear) -> tuple[Linear, Tensor | None]:
        """A product without bias and the bias to add, or a product that adds its bias and None."""
        return joined, None

    def split(self, tensor: Tensor, sizes: Sequence[int]) -> list[Any]:
        """Consecutive rows, as views."""
        return list(self.array(tensor).split(list(sizes)))


def _selu_(v: Any) -> Any:
    negative = np.expm1(np.minimum(v, 0.0))
    np.maximum(v, 0.0, out=v)
    v *= v.dtype.type(SELU_SCALE)
    negative *= v.dtype.type(SELU_FLOOR)
    v += negative
    return v


@dataclass(frozen=True)
class NumpyLinear:
    """``z ↦ z Wᵀ + b`` on NumPy arrays."""

    times: Linear
    bias: Tensor | None

    def __call__(self, z: np.ndarray, space: np.ndarray) -> np.ndarray:
        """See :data:`linmem.nn.scan.loops.Linear`."""
        out: np.ndarray = self.times(z, space)
        return out if self.bias is None else np.add(out, self.bias.detach().numpy(), out=out)


class NumpyEngine(Engine):
    """NumPy's BLAS on the CPU: the lowest overhead per call."""

    name = "numpy"
    add = staticmethod(np.add)
    multiply = staticmethod(np.multiply)
    sigma_ = {  # noqa: RUF012
        "tanh": lambda v: np.tanh(v, out=v),
        "relu": lambda v: np.maximum(v, 0.0, out=v),
        "selu": _selu_,
        "identity": lambda v: v,
    }

    def supports(self, dtype: torch.dtype, device: torch.device, step_by_step: bool = False) -> bool:
        """float32 and float64 on the CPU."""
        return device.type == "cpu" and dtype in (torch.float32, torch.float64)

    def array(self, tensor: Tensor) -> Any:
        """A NumPy view."""
        return tensor.detach().numpy()

    def split(self, tensor: Tensor, sizes: Sequence[int]) -> list[Any]:
        """See :meth:`Engine.split`."""
        array, pieces, row = self.array(tensor), [], 0
        for size in sizes:
            pieces.append(array[row : row + size])
            row += size
        return pieces

    def linear(self, weight: Tensor, bias: Tensor | None, rows: int) -> Linear:
        """See :meth:`Engine.linear`."""
        transposed = np.ascontiguousarray(self.array(weight).T) if rows > 1 else self.array(weight).T
        return NumpyLinear(lambda z, space: np.dot(z, transposed, space), bias)

    def split_bias(self, joined: Linear) -> tuple[Linear, Tensor | None]:
        """See :meth:`Engine.split_bias`."""
        assert isinstance(joined, NumpyLinear)
        return joined.times, joined.bias

    def product(self, left: Tensor, right: Tensor) -> Tensor:
        """See :meth:`Engine.product`."""
        out = left.new_empty(left.shape[0], right.shape[1])
        np.matmul(self.array(left), self.array(right), out=out.numpy())
        return out


class OneDnnEngine(NumpyEngine):
    """oneDNN, which is part of torch, with weights packed once per loop.

    Other operations use NumPy: tanh of some columns of 64 rows takes 3 µs in NumPy and 13 µs in torch.
    """

    name = "onednn"
    rows_at_once = 1024  # pieces of a long inner dimension; 180 GFLOP/s instead of 100 at 50,176 rows

    def supports(self, dtype: torch.dtype, device: torch.device, step_by_step: bool = False) -> bool:
        """float32 on the CPU, if torch was built with oneDNN's linear operators."""
        if device.type != "cpu" or dtype != torch.float32 or not torch.backends.mkldnn.is_available():
            return False
        return hasattr(torch.ops.mkldnn, "_linear_pointwise") and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")

    def linear(self, weight: Tensor, bias: Tensor | None, rows: int) -> Linear:
        """See :meth:`Engine.linear`."""
        run, view = torch.ops.mkldnn._linear_pointwise.default, torch.from_numpy
        packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous(), rows)
        return NumpyLinear(lambda z, space: run(view(z), packed, None, "none", [], "").numpy(), bias)

    def product(self, left: Tensor, right: Tensor) -> Tensor:
        """See :meth:`Engine.product`; a long inner dimension is split into pieces, which are added in order."""
        if left.shape[1] <= self.rows_at_once:
            return self._product(left, right)
        pieces = zip(left.split(self.rows_at_once, 1), right.split(self.rows_at_once, 0), strict=True)
        return reduce(Tensor.add_, (self._product(a, b) for a, b in pieces))

    def _product(self, left: Tensor, right: Tensor) -> Tensor:
        if not (right.is_contiguous() or right.t().is_contiguous()):
            right = right.contiguous()  # otherwise torch uses a fallback that is a thousand times slower
        result: Tensor = torch.ops.mkldnn._linear_pointwise.default(left, right.t(), None, "none", [], "")
        return result


@cache
def _blas_of_numpy() -> list[Any]:
    """Controllers of the thread pools of the BLAS libraries of NumPy and SciPy."""
    return list(threadpoolctl.ThreadpoolController().select(user_api="blas").lib_controllers)


@contextmanager
def blas_threads() -> Iterator[None]:
    """A context in which NumPy's BLAS uses one thread; torch and the compiled loops use ``torch.get_num_threads()``.

    Several thread pools would wait for each other longer than they compute.
    """
    changed = [(c, before) for c in _blas_of_numpy() if (before := c.get_num_threads()) > 1]
    for controller, _ in changed:
        controller.set_num_threads(1)
    try:
        yield
    finally:
        for controller, before in changed:
            controller.set_num_threads(before)
