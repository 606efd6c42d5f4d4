"""The Linear Memory Network layer: a nonlinear function with a linear memory, a drop-in replacement for nn.LSTM.

    h_t = σ(W_xh x_t + W_mh m_{t-1} + b_h)        functional units
    m_t = W_hm h_t + W_mm m_{t-1} + b_m           memory units                      [L18], eqs. 11-12

The output is m_t (LMN-B, ``output="memory"``) or h_t (LMN-A, ``output="functional"``). In code these two lines are
`step` in :mod:`linmem.nn.scan.lmn_equations`; `linmem.nn.scan` computes them for all steps of a batch, faster.

Symbols: T steps, B sequences, a inputs, f functional units, p memory units.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence

from linmem.nn import scan
from linmem.nn.limited_parameters import LimitedParameters
from linmem.nn.pretrained import Pretrained
from linmem.nn.scan.activations import activation
from linmem.nn.scan.autocast import autocast_dtype, device_type
from linmem.nn.scan.checks import check_choice, check_dtype_and_device, check_positive, check_tensor, functional_sizes
from linmem.nn.scan.lmn_equations import step as scan_step
from linmem.nn.scan.packing import Rows, to_rows
from linmem.nn.scan.recurrent_parameters import MEMORIES, check_weights
from linmem.storage.documents import Schema

OUTPUTS = ("memory", "functional")


class LMN(Pretrained, LimitedParameters):
    r"""Linear Memory Network layer, a drop-in replacement for ``torch.nn.LSTM``.

    ``h_t = σ(W_xh x_t + W_mh m_{t-1} + b_h)``, ``m_t = W_hm h_t + W_mm m_{t-1} + b_m`` ([L18], eqs. 11-12).

    Parameters
    ----------
    input_size, hidden_size, memory_size : int
        a, f and p. `hidden_size` may be a sequence of sizes: several functional layers, each followed by σ.
    num_layers : int
        Number of stacked LMNs; each reads the output of the one below.
    output : {"memory", "functional"}
        The output of the layer: m_t (LMN-B) or h_t (LMN-A).
    nonlinearity : {"tanh", "relu", "selu", "identity"}
        σ.
    bias : bool
        Whether the layer has b_h and b_m.
    batch_first : bool
        Whether batches are (B, T, a) instead of (T, B, a). States are (layers · directions, B, p) in both cases.
    dropout : float
        Dropout probability between stacked layers, in training.
    bidirectional : bool
        Whether a second LMN reads each sequence backward; the outputs of both are concatenated.
    backend : str
        The implementation of the recurrence, see :mod:`linmem.nn.scan`; ``"auto"`` selects one.
    memory : {"dense", "diagonal"}
        W_mm as a (p, p) matrix, or as p eigenvalues exp(−exp ν ± iθ) of modulus below 1 in conjugate pairs
        (:mod:`linmem.nn.scan.memory`): stable for all parameter values, with fewer parameters and faster.
    limit_norms : bool
        Whether W_mh, W_hm and W_mm are scaled down, in place, after each step of a ``torch.optim.Optimizer`` that has
        made them expansive. See :mod:`linmem.nn.norm_limits`. Compare with False on validation data where the layer is
        filled with a solved memory, whose norm is at the limit from the start.
    device, dtype
        As in torch's layers.

    Attributes
    ----------
    weight_xh_l0 (f, a), weight_mh_l0 (f, p), weight_hm_l0 (p, f), weight_mm_l0 (p, p), bias_h_l0 (f), bias_m_l0 (p)
        And so on for ``_l1`` …, each also with ``_reverse``. A diagonal memory has ``log_decay_mm_l0`` (p) and
        ``phase_mm_l0`` (p // 2 + 1) in place of ``weight_mm_l0``. Several functional layers add ``weight_h1_l0``
        (f_2, f_1) and ``bias_h1_l0`` (f_2), ``weight_h2_l0`` ….

    Raises
    ------
    ValueError, TypeError
        A size is not a positive int, or an option has an unknown value.

    Notes
    -----
    One step takes (a + p) f + (f + p) p multiplications per sequence, about a fifth of those of an LSTM with f + p
    units; (a + 2p) f + 2p with a diagonal memory.

    Examples
    --------
    >>> import torch, linmem
    >>> lmn = linmem.LMN(88, 100, 250, batch_first=True)
    >>> y, m_n = lmn(torch.zeros(16, 160, 88))
    >>> y.shape, m_n.shape
    (torch.Size([16, 160, 250]), torch.Size([1, 16, 250]))
    >>> y, m_n = lmn(torch.zeros(16, 40, 88), m_n)  # continue from the last state
    >>> linmem.LMN(88, 100, 250, memory="diagonal")
    LMN(88, 100, 250, memory='diagonal')
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int | Sequence[int],
        memory_size: int,
        num_layers: int = 1,
        *,
        output: str = "memory",
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        backend: str = "auto",
        memory: str = "dense",
        limit_norms: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_positive(input_size=input_size, memory_size=memory_size, num_layers=num_layers)
        check_choice("output", output, OUTPUTS)
        check_choice("memory", memory, MEMORIES)
        if isinstance(dropout, bool) or not isinstance(dropout, (int, float)) or not 0.0 <= dropout <= 1.0:
            raise ValueError(f"dropout must be a probability in [0, 1], got {dropout!r}.")
        if dropout > 0 and num_layers == 1:
            warnings.warn(
                f"dropout={dropout} has no effect with num_layers=1, because it acts between stacked layers.",
                stacklevel=2,
            )
        activation(nonlinearity)
        self.input_size, self.hidden_size, self.memory_size = input_size, hidden_size, memory_size
        self.hidden_sizes = functional_sizes(hidden_size)
        self.num_layers, self.output, self.nonlinearity = num_layers, output, nonlinearity
        self.bias, self.batch_first, self.dropout = bool(bias), bool(batch_first), float(dropout)
        self.bidirectional, self.backend, self.memory = bool(bidirectional), scan.check_backend(backend), memory
        self.limit_norms = bool(limit_norms)
        check_weights(input_size, self.hidden_sizes, memory_size, self.num_directions * num_layers, memory, dtype)
        for layer in range(num_layers):
            for suffix in self._suffixes(layer):
                self._add_parameters(suffix, input_size if layer == 0 else self.output_size, device, dtype)
        self.reset_parameters()

    configuration_schema: ClassVar[Schema] = {"input_size": int, "hidden_size": int | list, "memory_size": int}

    def configuration(self) -> dict[str, Any]:
        """Arguments of the constructor, as JSON content."""
        names = ("input_size", "memory_size", "num_layers", "output", "nonlinearity", "bias", "batch_first", "dropout")
        sizes = self.hidden_size if isinstance(self.hidden_size, int) else list(self.hidden_sizes)
        values = {name: getattr(self, name) for name in (*names, "bidirectional", "backend", "memory", "limit_norms")}
        return {"hidden_size": sizes} | values

    @property
    def num_directions(self) -> int:
        """1, or 2 if bidirectional."""
        return 2 if self.bidirectional else 1

    @property
    def output_size(self) -> int:
        """Features of each output step, both directions together."""
        return self.num_directions * (self.memory_size if self.output == "memory" else self.hidden_sizes[-1])

    def suffixes(self) -> list[str]:
        """Suffixes of the parameters of all layers and directions."""
        return [suffix for layer in range(self.num_layers) for suffix in self._suffixes(layer)]

    def _suffixes(self, layer: int) -> list[str]:
        return [f"_l{layer}{direction}" for direction in ("", "_reverse")[: self.num_directions]]

    def forward(self, x: Tensor | PackedSequence, m_0: Tensor | None = None) -> tuple[Tensor | PackedSequence, Tensor]:
        """Run over whole sequences.

        Parameters
        ----------
        x : Tensor or PackedSequence
            (T, B, a); (B, T, a) if `batch_first`; (T, a) unbatched; or packed.
        m_0 : Tensor, optional
            Initial memory (layers · directions, B, p), or (layers · directions, p) unbatched; zero by default.

        Returns
        -------
        y : Tensor or PackedSequence
            Outputs in the layout of `x`, with `output_size` features.
        m_n : Tensor
            Memory after the last step of each sequence, in the layout of `m_0`. Pass it as `m_0` to continue.

        Raises
        ------
        ValueError, TypeError
            Wrong shape, type, dtype or device of `x` or `m_0`, or sequences without a step.

        Examples
        --------
        >>> lmn = LMN(3, 4, 5, bidirectional=True)
        >>> packed = torch.nn.utils.rnn.pack_sequence([torch.zeros(7, 3), torch.zeros(2, 3)])
        >>> y, m_n = lmn(packed)
        >>> y.data.shape, m_n.shape
        (torch.Size([9, 10]), torch.Size([2, 2, 5]))
        """
        if self.limit_norms and self.training and torch.is_grad_enabled() and not torch.compiler.is_compiling():
            self.start_norm_limits()
        product_dtype = autocast_dtype(x)
        if product_dtype is None:
            return self._forward(x, m_0, None)
        dtype = self._weights("_l0").xh.dtype
        with torch.autocast(device_type(x), enabled=False):
            return self._forward(x.to(dtype), m_0.to(dtype) if isinstance(m_0, Tensor) else m_0, product_dtype)

    def _forward(
        self, x: Tensor | PackedSequence, m_0: Tensor | None, product_dtype: torch.dtype | None
    ) -> tuple[Tensor | PackedSequence, Tensor]:
        rows = to_rows(x, self.batch_first)
        if isinstance(x, PackedSequence):
            return self._forward_packed(x, rows, m_0, product_dtype)
        batched = x.dim() == 3
        y, m_n = self._run_layers(rows, self._initial(m_0, rows.values.shape[1], x, batched), product_dtype)
        if not batched:
            return y.squeeze(1), m_n.squeeze(1)
        return (y.transpose(0, 1) if self.batch_first else y), m_n

    def _forward_packed(
        self, x: PackedSequence, rows: Rows, m_0: Tensor | None, product_dtype: torch.dtype | None
    ) -> tuple[PackedSequence, Tensor]:
        assert rows.batch_sizes is not None
        m = self._initial(m_0, rows.batch_sizes[0], x.data, batched=True)
        if x.sorted_indices is not None:
            m = m.index_select(1, x.sorted_indices)
        y, m_n = self._run_layers(rows, m, product_dtype)
        if x.unsorted_indices is not None:
            m_n = m_n.index_select(1, x.unsorted_indices)
        return PackedSequence(y, x.batch_sizes, x.sorted_indices, x.unsorted_indices), m_n

    def _initial(self, m_0: Tensor | None, batch: int, x: Tensor, batched: bool) -> Tensor:
        """The initial memory of all layers and directions, with a batch dimension."""
        weights = self._weights("_l0")
        count = self.num_layers * self.num_directions
        self._check_input(x, weights)
        if m_0 is None:
            return x.new_zeros(count, batch, self.memory_size)
        if isinstance(m_0, tuple):
            raise TypeError(
                "m_0 must be a torch.Tensor, got a tuple. An LMN has one state m, where an LSTM has two, (h, c)."
            )
        check_tensor("m_0", m_0)
        expected = (count, batch, self.memory_size) if batched else (count, self.memory_size)
        if tuple(m_0.shape) != expected:
            raise ValueError(f"m_0 must have shape {expected}, got {tuple(m_0.shape)}.")
        check_dtype_and_device("m_0", m_0, weights.xh)
        return m_0 if batched else m_0.unsqueeze(1)

    def _run_layers(self, rows: Rows, m_0: Tensor, product_dtype: torch.dtype | None) -> tuple[Tensor, Tensor]:
        """All layers and directions: outputs of the last layer, and the last memories (layers · directions, B, p)."""
        last: list[Tensor] = []
        y = rows.values
        for layer in range(self.num_layers):
            if layer > 0:
                y = F.dropout(y, self.dropout, self.training)
            outputs = []
            for suffix in self._suffixes(layer):
                backward = suffix.endswith("_reverse")
                batch = scan.Batch(
                    rows.reversed(y) if backward else y,
                    m_0[len(last)],
                    self._weights(suffix),
                    self.nonlinearity,
                    self.output,
                    rows.batch_sizes,
                    product_dtype,
                )
                out, m_n = scan.run(batch, self.backend)
                last.append(m_n)
                outputs.append(rows.reversed(out) if backward else out)
            y = outputs[0] if len(outputs) == 1 else torch.cat(outputs, -1)
        return y, torch.stack(last)

    def step(self, x: Tensor, m: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """One step of streaming inference; returns the same numbers as `forward` on one step.

        Parameters
        ----------
        x : Tensor
            (B, a), or (a,) unbatched.
        m : Tensor, optional
            Memory (layers, B, p), or (layers, p) unbatched; zero by default.

        Returns
        -------
        y : Tensor
            (B, output_size) or (output_size,).
        m : Tensor
            Memory after the step, in the layout of the input `m`.

        Examples
        --------
        >>> lmn, m = LMN(3, 4, 5), None
        >>> for x_t in torch.zeros(7, 3):
        ...     y_t, m = lmn.step(x_t, m)
        >>> y_t.shape, m.shape
        (torch.Size([5]), torch.Size([1, 5]))
        """
        if self.bidirectional:
            raise ValueError("step must be called on a layer with bidirectional=False, got bidirectional=True.")
        check_tensor("input", x)
        if autocast_dtype(x) is not None:
            dtype = self._weights("_l0").xh.dtype
            with torch.autocast(device_type(x), enabled=False):
                return self.step(x.to(dtype), m.to(dtype) if isinstance(m, Tensor) else m)
        if x.dim() not in (1, 2):
            raise ValueError(
                f"input must have shape (B, {self.input_size}) or ({self.input_size},), got {tuple(x.shape)}."
            )
        batched = x.dim() == 2
        y = x if batched else x.unsqueeze(0)
        memory = self._initial(m, y.shape[0], y, batched)
        after = []
        for layer in range(self.num_layers):
            if layer > 0:
                y = F.dropout(y, self.dropout, self.training)
            h, m = scan_step(y, memory[layer], self._weights(f"_l{layer}"), self.nonlinearity)
            after.append(m)
            y = m if self.output == "memory" else h
        m_n = torch.stack(after) if len(after) > 1 else after[0].unsqueeze(0)
        return (y, m_n) if batched else (y.squeeze(0), m_n.squeeze(1))

    def backend_for(self, x: Tensor | PackedSequence) -> scan.BackendChoice:
        """The backend of the first layer for this input in the current context, and the reason.

        Examples
        --------
        >>> lmn = LMN(3, 4, 5, backend="reference")
        >>> lmn.backend_for(torch.zeros(7, 2, 3))
        BackendChoice(backend='reference', reason='set by the argument backend')
        """
        rows, weights = to_rows(x, self.batch_first), self._weights("_l0")
        if self.backend != "auto":
            return scan.BackendChoice(self.backend, "set by the argument backend")
        values = rows.values.to(weights.xh.dtype)
        m_0 = values.new_zeros(1, self.memory_size)  # only its dtype and device matter here
        return scan.choose_backend(
            scan.Batch(values, m_0, weights, self.nonlinearity, self.output, rows.batch_sizes, autocast_dtype(x))
        )

    def extra_repr(self) -> str:
        """Sizes, then all options that differ from the default."""
        defaults = {
            "num_layers": 1, "output": "memory", "nonlinearity": "tanh", "bias": True, "batch_first": False,
            "dropout": 0.0, "bidirectional": False, "backend": "auto", "memory": "dense", "limit_norms": True,
        }  # fmt: skip
        return self._describe(defaults)
