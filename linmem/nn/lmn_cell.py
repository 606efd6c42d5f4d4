"""One step of a Linear Memory Network as a module, for custom loops.

    h_t = σ(W_xh x_t + W_mh m_{t-1} + b_h)
    m_t = W_hm h_t + W_mm m_{t-1} + b_m           [L18], eqs. 11-12, in code :mod:`linmem.nn.scan.lmn_equations`

Symbols: B sequences, a inputs, f functional units, p memory units.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from linmem.nn.scan.activations import activation
from linmem.nn.scan.autocast import autocast_dtype, device_type
from linmem.nn.scan.checks import check_choice, check_dtype_and_device, check_positive, check_tensor, functional_sizes
from linmem.nn.scan.lmn_equations import States
from linmem.nn.scan.lmn_equations import step as scan_step
from linmem.nn.scan.recurrent_parameters import MEMORIES, RecurrentParameters


class LMNCell(RecurrentParameters):
    """One step of a Linear Memory Network, ``h, m = cell(x, m)``: the counterpart of ``torch.nn.LSTMCell``.

    Parameters
    ----------
    input_size, hidden_size, memory_size, nonlinearity, bias, memory, device, dtype
        As in :class:`linmem.LMN`.

    Attributes
    ----------
    weight_xh (f, a), weight_mh (f, p), weight_hm (p, f), weight_mm (p, p), bias_h (f), bias_m (p)
        As in :class:`linmem.LMN`, without suffix.

    Raises
    ------
    ValueError, TypeError
        A size is not a positive int, or `nonlinearity` is unknown.

    Examples
    --------
    >>> import torch, linmem
    >>> cell, m = linmem.LMNCell(3, 4, 5), None
    >>> for x_t in torch.zeros(7, 2, 3):
    ...     h, m = cell(x_t, m)
    >>> h.shape, m.shape
    (torch.Size([2, 4]), torch.Size([2, 5]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int | Sequence[int],
        memory_size: int,
        *,
        nonlinearity: str = "tanh",
        bias: bool = True,
        memory: str = "dense",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_positive(input_size=input_size, memory_size=memory_size)
        activation(nonlinearity)
        self.memory = check_choice("memory", memory, MEMORIES)
        self.input_size, self.hidden_size, self.memory_size = input_size, hidden_size, memory_size
        self.hidden_sizes, self.nonlinearity, self.bias = functional_sizes(hidden_size), nonlinearity, bool(bias)
        self._add_parameters("", input_size, device, dtype)
        self.reset_parameters()

    def forward(self, x: Tensor, m: Tensor | None = None) -> States:
        """One step.

        Parameters
        ----------
        x : Tensor
            (B, a), or (a,) unbatched.
        m : Tensor, optional
            Memory (B, p), or (p,) unbatched; zero by default.

        Returns
        -------
        States
            ``(hidden, memory)``: (B, f) and (B, p), or (f,) and (p,).

        Raises
        ------
        ValueError, TypeError
            `x` or `m` has the wrong shape, type, dtype or device.
        """
        check_tensor("input", x)
        if m is not None:
            check_tensor("memory", m)
        weights = self._weights("")
        if autocast_dtype(x) is not None:
            with torch.autocast(device_type(x), enabled=False):
                return self.forward(x.to(weights.xh.dtype), None if m is None else m.to(weights.xh.dtype))
        if x.dim() not in (1, 2):
            raise ValueError(
                f"input must have shape (B, {self.input_size}) or ({self.input_size},), got {tuple(x.shape)}."
            )
        self._check_input(x, weights)
        expected = (*x.shape[:-1], self.memory_size)
        if m is None:
            m = x.new_zeros(expected)
        elif tuple(m.shape) != expected:
            raise ValueError(f"memory must have shape {expected}, got {tuple(m.shape)}.")
        check_dtype_and_device("memory", m, weights.xh)
        if x.dim() == 2:
            return scan_step(x, m, weights, self.nonlinearity)
        h, m = scan_step(x[None], m[None], weights, self.nonlinearity)
        return States(h[0], m[0])

    def extra_repr(self) -> str:
        """Sizes, then all options that differ from the default."""
        return self._describe({"nonlinearity": "tanh", "bias": True, "memory": "dense"})
