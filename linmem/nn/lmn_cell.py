"""One step of a Linear Memory Network as a module, for loops of one's own.

Letters: B sequences, a inputs, f functional units, p memory units. [L18], eqs. 11-12.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from linmem.nn.scan.activations import activation
from linmem.nn.scan.parameters import (
    RecurrentParameters,
    autocast_type,
    check_kind,
    check_positive,
    device_type,
    functional_sizes,
)
from linmem.nn.scan.reference import States
from linmem.nn.scan.reference import step as scan_step


class LMNCell(RecurrentParameters):
    """One step of a Linear Memory Network: ``h, m = cell(x, m)``, as ``torch.nn.LSTMCell`` is of an LSTM.

    Parameters as in :class:`linmem.LMN`, without suffix: ``weight_xh``, ``weight_mh``, ``weight_hm``, ``weight_mm``,
    ``bias_h``, ``bias_m``.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int | Sequence[int],
        memory_size: int,
        *,
        nonlinearity: str = "tanh",
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_positive(input_size=input_size, memory_size=memory_size)
        activation(nonlinearity)
        self.input_size, self.hidden_size, self.memory_size = input_size, hidden_size, memory_size
        self.hidden_sizes, self.nonlinearity, self.bias = functional_sizes(hidden_size), nonlinearity, bool(bias)
        self._add_parameters("", input_size, torch.device(device) if isinstance(device, str) else device, dtype)
        self.reset_parameters()

    def forward(self, x: Tensor, m: Tensor | None = None) -> States:
        """One step: x (B, a) or (a,), m (B, p) or (p,) or none for zero; gives ``(hidden, memory)`` alike."""
        for name, tensor in (("input", x), ("memory", m)):
            if not isinstance(tensor, Tensor) and (tensor is not None or name == "input"):
                raise TypeError(f"{name} is {type(tensor).__name__}, expected a torch.Tensor")
        weights = self._weights("")
        if autocast_type(x) is not None:
            with torch.autocast(device_type(x), enabled=False):
                return self.forward(x.to(weights.xh.dtype), None if m is None else m.to(weights.xh.dtype))
        if x.dim() not in (1, 2):
            raise ValueError(
                f"input must have shape (B, {self.input_size}) or ({self.input_size},), got {tuple(x.shape)}"
            )
        self._check_input(x, weights)
        wanted = (*x.shape[:-1], self.memory_size)
        if m is None:
            m = x.new_zeros(wanted)
        elif tuple(m.shape) != wanted:
            raise ValueError(f"memory has shape {tuple(m.shape)}, expected {wanted}")
        check_kind("memory", m, weights.xh)
        if x.dim() == 2:
            return scan_step(x, m, weights, self.nonlinearity)
        h, m = scan_step(x[None], m[None], weights, self.nonlinearity)
        return States(h[0], m[0])

    def extra_repr(self) -> str:
        """Sizes, then whatever differs from the default."""
        return self._describe({"nonlinearity": "tanh", "bias": True})
