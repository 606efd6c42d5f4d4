"""The parameters of LMN layers: names, shapes and initial values.

Symbols: a inputs, f functional units, p memory units.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from linmem.nn.scan.batch import Weights
from linmem.nn.scan.checks import check_device, check_dtype_and_device, check_float_dtype
from linmem.nn.scan.memory import diagonal_blocks
from linmem.storage.limits import require_memory

MEMORIES = ("dense", "diagonal")
LEAST_DECAY = 1e-3  # of a new diagonal memory, whose decays cannot be zero
_NAMES = ("weight_xh", "weight_mh", "weight_hm", "bias_h", "bias_m")


class RecurrentParameters(nn.Module):
    """Parameters of one or more LMN recurrences."""

    input_size: int
    hidden_sizes: tuple[int, ...]
    memory_size: int
    nonlinearity: str
    bias: bool
    memory: str

    def _add_parameters(
        self, suffix: str, input_size: int, device: torch.device | str | None, dtype: torch.dtype | None
    ) -> None:
        check_float_dtype(dtype)
        device = check_device(device)
        f, p = self.hidden_sizes, self.memory_size
        shapes: dict[str, tuple[int, ...]] = {"weight_xh": (f[0], input_size), "weight_mh": (f[0], p)}
        for i in range(1, len(f)):
            shapes[f"weight_h{i}"] = (f[i], f[i - 1])
        shapes["weight_hm"] = (p, f[-1])
        if self.memory == "diagonal":
            shapes |= {"log_decay_mm": (p,), "phase_mm": (p // 2 + 1,)}
        else:
            shapes["weight_mm"] = (p, p)
        shapes["bias_h"] = (f[0],)
        for i in range(1, len(f)):
            shapes[f"bias_h{i}"] = (f[i],)
        shapes["bias_m"] = (p,)
        for name, shape in shapes.items():
            exists = self.bias or not name.startswith("bias")
            parameter = nn.Parameter(torch.empty(shape, device=device, dtype=dtype)) if exists else None
            self.register_parameter(name + suffix, parameter)

    def reset_parameters(self) -> None:
        """Initialize all parameters.

        Matrices are uniform in ±1/√(number of columns), as in ``torch.nn.Linear``, and functional biases are uniform
        in ±1/√f. The memory starts as leaky integrators with different time constants: W_mm = diag(d), with d from 0
        to 0.99 in even steps, so that both the last step and a long past can be read from it. Row i of W_hm is scaled
        by √(1 − d_i²), which gives every memory unit the variance of its input. W_mh is scaled by 0.1, which keeps
        the gain of the loop h → m → h small, and b_m = 0. On the chorales the validation loss is 8.79 nats with this
        W_mm, 9.01 with a random one, 9.07 with 0.9 · I and 9.42 with 0.95 times an orthogonal matrix (one seed;
        ``benchmarks/lmn_initialization.py``). A diagonal memory starts as the same matrix: phases 0, and decays d of
        at least 0.001. With relu or selu row i of its W_hm is scaled by 1 − d_i, which makes every memory unit a
        weighted mean of its inputs: outputs of a ReLU are not negative, and their sum grows by 1 / (1 − d_i).
        """
        with torch.no_grad():
            for name, parameter in self._parameters.items():
                if parameter is None:
                    continue
                decay = torch.linspace(0, 0.99, self.memory_size, dtype=parameter.dtype, device=parameter.device)
                bound = 1.0 / math.sqrt(parameter.shape[-1])
                if name.startswith("weight_mm"):
                    parameter.copy_(torch.diag(decay))
                elif name.startswith("log_decay_mm"):
                    parameter.copy_((-decay.clamp_min(LEAST_DECAY).log()).log())
                elif name.startswith(("phase_mm", "bias_m")):
                    nn.init.zeros_(parameter)
                else:
                    nn.init.uniform_(parameter, -bound, bound)
                if name.startswith("weight_hm"):
                    positive = self.memory == "diagonal" and self.nonlinearity in ("relu", "selu")
                    parameter.mul_((1 - decay if positive else (1 - decay.square()).sqrt())[:, None])
                elif name.startswith("weight_mh"):
                    parameter.mul_(0.1)

    def _weights(self, suffix: str) -> Weights:
        """The weights of one layer and direction; parametrized weights are computed."""
        own = self._parameters  # looking them up as attributes takes a third of the time of `step`

        def weight(name: str) -> Any:
            name += suffix
            return own[name] if name in own else getattr(self, name)

        xh, mh, hm, bias_h, bias_m = map(weight, _NAMES)
        if self.memory == "diagonal":
            mm = diagonal_blocks(weight("log_decay_mm"), weight("phase_mm"))
        else:
            mm = weight("weight_mm")
        deep = tuple((weight(f"weight_h{i}"), weight(f"bias_h{i}")) for i in range(1, len(self.hidden_sizes)))
        return Weights(xh, mh, hm, mm, bias_h, bias_m, deep)

    def _check_input(self, x: Tensor, weights: Weights) -> None:
        if x.shape[-1] != self.input_size:
            raise ValueError(
                f"input must have input_size={self.input_size} features in its last dimension, got {x.shape[-1]}."
            )
        check_dtype_and_device("input", x, weights.xh)

    def _describe(self, defaults: dict[str, object]) -> str:
        hidden = self.hidden_sizes[0] if len(self.hidden_sizes) == 1 else self.hidden_sizes
        changed = {name: getattr(self, name) for name, default in defaults.items() if getattr(self, name) != default}
        sizes = f"{self.input_size}, {hidden}, {self.memory_size}"
        return ", ".join([sizes, *(f"{name}={value!r}" for name, value in changed.items())])


def check_weights(
    input_size: int, hidden_sizes: Sequence[int], memory_size: int, layers: int, memory: str, dtype: torch.dtype | None
) -> None:
    """Raise unless `dtype` is floating and the weights of all layers fit into memory, before any is created."""
    check_float_dtype(dtype)
    f, p = hidden_sizes[-1], memory_size
    own = f * p + hidden_sizes[0] * p + p * p * (memory == "dense")
    require_memory(4 * (layers * own + input_size * hidden_sizes[0]), "the LMN's weights")
