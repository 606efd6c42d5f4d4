"""The parameters of LMN layers: names, shapes, initial values, and the checks of what meets them.

Letters: a inputs, f functional units, p memory units.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from linmem.nn.scan.signature import Weights

_NAMES = ("weight_xh", "weight_mh", "weight_hm", "weight_mm", "bias_h", "bias_m")


def check_positive(**sizes: int) -> None:
    """Raise what torch's own layers raise unless all sizes are positive ints."""
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, int):
            raise TypeError(f"{name} should be of type int, got {type(size).__name__}")
        if size <= 0:
            raise ValueError(f"{name} must be greater than zero, got {size}")


def functional_sizes(hidden_size: int | Sequence[int]) -> tuple[int, ...]:
    """Units of each functional layer."""
    sizes = tuple(hidden_size) if isinstance(hidden_size, Sequence) else (hidden_size,)
    if not sizes:
        raise ValueError("hidden_size is empty, but it must be an int or hold one size for each functional layer")
    for size in sizes:
        check_positive(hidden_size=size)
    return sizes


def check_number_type(dtype: torch.dtype | None) -> None:
    """Raise unless it is a floating-point type, or none."""
    if dtype is not None and not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise ValueError(f"dtype is {dtype!r}, but it must be a floating-point type such as torch.float32")


def device_type(x: Tensor | PackedSequence) -> str:
    """``"cpu"``, ``"cuda"`` …."""
    return (x.data if isinstance(x, PackedSequence) else x).device.type


def autocast_type(x: Tensor | PackedSequence) -> torch.dtype | None:
    """The type that autocast wants for products where `x` is, or None where it is off."""
    if not isinstance(x, (Tensor, PackedSequence)):
        raise TypeError(f"input is {type(x).__name__}, expected a torch.Tensor or a PackedSequence")
    device = device_type(x)
    return torch.get_autocast_dtype(device) if device != "meta" and torch.is_autocast_enabled(device) else None


def without_autocast(x: Tensor) -> AbstractContextManager[object]:
    """Within it products where `x` is are in the type of their operands."""
    return nullcontext() if autocast_type(x) is None else torch.autocast(x.device.type, enabled=False)


class RecurrentParameters(nn.Module):
    """Parameters of one or more LMN recurrences: their names, their initial values, and how to gather them."""

    input_size: int
    hidden_sizes: tuple[int, ...]
    memory_size: int
    nonlinearity: str
    bias: bool

    def _add_parameters(
        self, suffix: str, input_size: int, device: torch.device | None, dtype: torch.dtype | None
    ) -> None:
        check_number_type(dtype)
        f, p = self.hidden_sizes, self.memory_size
        shapes: dict[str, tuple[int, ...]] = {"weight_xh": (f[0], input_size), "weight_mh": (f[0], p)}
        for i in range(1, len(f)):
            shapes[f"weight_h{i}"] = (f[i], f[i - 1])
        shapes |= {"weight_hm": (p, f[-1]), "weight_mm": (p, p), "bias_h": (f[0],)}
        for i in range(1, len(f)):
            shapes[f"bias_h{i}"] = (f[i],)
        shapes["bias_m"] = (p,)
        for name, shape in shapes.items():
            wanted = self.bias or not name.startswith("bias")
            parameter = nn.Parameter(torch.empty(shape, device=device, dtype=dtype)) if wanted else None
            self.register_parameter(name + suffix, parameter)

    def reset_parameters(self) -> None:
        """Fill all parameters anew.

        Every matrix is uniform in ±1/√(its number of columns), as in ``torch.nn.Linear``, and functional biases are
        uniform in ±1/√f; but the memory starts as leaky integrators of all speeds, W_mm = diag(d) with d from 0 to
        0.99 in even steps, so that the last step and a long past can both be read from it. Row i of W_hm is scaled by
        √(1 − d_i²), which gives every memory unit the variance of its input, W_mh by 0.1, which keeps the loop
        h → m → h from feeding on itself, and b_m = 0. On the chorales that came to 8.79 nats on the validation split,
        against 9.01 from a random W_mm, 9.07 from 0.9 · I and 9.42 from 0.95 times an orthogonal one (one seed;
        ``benchmarks/lmn_initialization.py``).
        """
        with torch.no_grad():
            for name, parameter in self._parameters.items():
                if parameter is None:
                    continue
                decay = torch.linspace(0, 0.99, self.memory_size, dtype=parameter.dtype, device=parameter.device)
                bound = 1.0 / math.sqrt(parameter.shape[-1])
                if name.startswith("weight_mm"):
                    parameter.copy_(torch.diag(decay))
                elif name.startswith("bias_m"):
                    nn.init.zeros_(parameter)
                else:
                    nn.init.uniform_(parameter, -bound, bound)
                if name.startswith("weight_hm"):
                    parameter.mul_((1 - decay.square()).sqrt()[:, None])
                elif name.startswith("weight_mh"):
                    parameter.mul_(0.1)

    def _weights(self, suffix: str) -> Weights:
        """The weights of one layer and direction; a parametrized one is computed."""
        own = self._parameters  # a third of the time of `step` went into looking them up as attributes

        def weight(name: str) -> Any:
            name += suffix
            return own[name] if name in own else getattr(self, name)

        xh, mh, hm, mm, bias_h, bias_m = map(weight, _NAMES)
        deep = tuple((weight(f"weight_h{i}"), weight(f"bias_h{i}")) for i in range(1, len(self.hidden_sizes)))
        return Weights(xh, mh, hm, mm, bias_h, bias_m, deep)

    def _check_input(self, x: Tensor, weights: Weights) -> None:
        if x.shape[-1] != self.input_size:
            raise ValueError(f"input has {x.shape[-1]} features in its last dimension, expected {self.input_size}")
        check_kind("input", x, weights.xh)

    def _describe(self, defaults: dict[str, object]) -> str:
        hidden = self.hidden_sizes[0] if len(self.hidden_sizes) == 1 else self.hidden_sizes
        changed = {name: getattr(self, name) for name, default in defaults.items() if getattr(self, name) != default}
        sizes = f"{self.input_size}, {hidden}, {self.memory_size}"
        return ", ".join([sizes, *(f"{name}={value!r}" for name, value in changed.items())])


def check_kind(what: str, tensor: Tensor, like: Tensor) -> None:
    """Raise unless `tensor` has the type and device of the parameter `like`."""
    if tensor.dtype != like.dtype:
        raise ValueError(
            f"{what} is of type {tensor.dtype}, but the parameters are {like.dtype}: "
            f"convert one of them, e.g. {what.split()[0]}.to({like.dtype})"
        )
    if tensor.device != like.device:
        raise ValueError(f"{what} is on {tensor.device}, but the parameters are on {like.device}: move one of them")
