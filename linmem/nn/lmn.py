"""The Linear Memory Network as a layer with the manners of ``torch.nn.LSTM``: a nonlinear function, a linear memory.

    h_t = σ(W_xh x_t + W_mh m_{t-1} + b_h)        what to compute
    m_t = W_hm h_t + W_mm m_{t-1} + b_m           what to remember                  [L18], eqs. 11-12

The output is m_t (LMN-B, ``output="memory"``) or h_t (LMN-A, ``output="functional"``).

Letters: T steps, B sequences, a inputs, f functional units, p memory units.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence

from linmem.nn import scan
from linmem.nn.scan.activations import activation
from linmem.nn.scan.packing import Rows, packed_rows
from linmem.nn.scan.parameters import (
    RecurrentParameters,
    autocast_type,
    check_kind,
    check_positive,
    device_type,
    functional_sizes,
)
from linmem.nn.scan.reference import step as scan_step

OUTPUTS = ("memory", "functional")


class LMN(RecurrentParameters):
    r"""Linear Memory Network layer, called like ``torch.nn.LSTM``.

    ``h_t = σ(W_xh x_t + W_mh m_{t-1} + b_h)``, ``m_t = W_hm h_t + W_mm m_{t-1} + b_m`` ([L18], eqs. 11-12).

    Parameters
    ----------
    input_size, hidden_size, memory_size : int
        a, f and p. `hidden_size` may be a sequence of sizes: a deep functional part, each layer followed by σ.
    num_layers : int
        LMNs stacked upon each other; each reads the output of the one below.
    output : {"memory", "functional"}
        What the layer gives: m_t (LMN-B) or h_t (LMN-A).
    nonlinearity : {"tanh", "relu", "selu", "identity"}
        σ.
    bias : bool
        Whether b_h and b_m exist.
    batch_first : bool
        Whether batches are (B, T, a) instead of (T, B, a). States are (layers · directions, B, p) either way.
    dropout : float
        Probability of dropping a feature between stacked layers, in training.
    bidirectional : bool
        Whether a second LMN reads each sequence backwards; the outputs of both are concatenated.
    backend : str
        The scan to use; ``"auto"`` chooses. See :mod:`linmem.nn.scan`.

    Attributes
    ----------
    weight_xh_l0 (f, a), weight_mh_l0 (f, p), weight_hm_l0 (p, f), weight_mm_l0 (p, p), bias_h_l0 (f), bias_m_l0 (p)
        and so on for ``_l1`` …, each also with ``_reverse``. Of a deep functional part also ``weight_h1_l0`` (f_2, f_1)
        and ``bias_h1_l0`` (f_2), ``weight_h2_l0`` ….

    Notes
    -----
    One step costs (a + p) f + (f + p) p multiplications a sequence, about a fifth of an LSTM's with f + p units.
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
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_positive(input_size=input_size, memory_size=memory_size, num_layers=num_layers)
        if output not in OUTPUTS:
            raise ValueError(f"output is {output!r}, but it must be one of {', '.join(map(repr, OUTPUTS))}")
        if isinstance(dropout, bool) or not isinstance(dropout, (int, float)) or not 0.0 <= dropout <= 1.0:
            raise ValueError(f"dropout is {dropout!r}, but it must be a probability in [0, 1]")
        if dropout > 0 and num_layers == 1:
            warnings.warn(
                f"dropout={dropout} acts between stacked layers, but num_layers is 1: it has no effect", stacklevel=2
            )
        activation(nonlinearity)
        self.input_size, self.hidden_size, self.memory_size = input_size, hidden_size, memory_size
        self.hidden_sizes = functional_sizes(hidden_size)
        self.num_layers, self.output, self.nonlinearity = num_layers, output, nonlinearity
        self.bias, self.batch_first, self.dropout = bool(bias), bool(batch_first), float(dropout)
        self.bidirectional, self.backend = bool(bidirectional), scan.check_backend(backend)
        device = torch.device(device) if isinstance(device, str) else device
        for layer in range(num_layers):
            for suffix in self._suffixes(layer):
                self._add_parameters(suffix, input_size if layer == 0 else self.output_size, device, dtype)
        self.reset_parameters()

    @property
    def num_directions(self) -> int:
        """1, or 2 if bidirectional."""
        return 2 if self.bidirectional else 1

    @property
    def output_size(self) -> int:
        """Features of each output step, both directions together."""
        return self.num_directions * (self.memory_size if self.output == "memory" else self.hidden_sizes[-1])

    def _suffixes(self, layer: int) -> list[str]:
        return [f"_l{layer}{direction}" for direction in ("", "_reverse")[: self.num_directions]]

    def forward(self, x: Tensor | PackedSequence, m_0: Tensor | None = None) -> tuple[Tensor | PackedSequence, Tensor]:
        """Run over whole sequences.

        Parameters
        ----------
        x : Tensor or PackedSequence
            (T, B, a); (B, T, a) if `batch_first`; (T, a) unbatched; or packed.
        m_0 : Tensor, optional
            Initial memory (layers · directions, B, p), or (layers · directions, p) unbatched; zero if not given.

        Returns
        -------
        y : Tensor or PackedSequence
            Outputs in the layout of `x`, with `output_size` features.
        m_n : Tensor
            Memory after the last step of each sequence, in the layout of `m_0`. Give it back as `m_0` to go on.

        Raises
        ------
        ValueError
            Wrong shape, type or device of `x` or `m_0`, or sequences without a step.
        """
        products = autocast_type(x)
        run = scan.get(self.backend, products)
        if products is None:
            return self._forward(x, m_0, run)
        dtype = self._weights("_l0").xh.dtype
        with torch.autocast(device_type(x), enabled=False):
            return self._forward(x.to(dtype), m_0.to(dtype) if isinstance(m_0, Tensor) else m_0, run)

    def _forward(
        self, x: Tensor | PackedSequence, m_0: Tensor | None, run: scan.Scan
    ) -> tuple[Tensor | PackedSequence, Tensor]:
        rows = self._rows(x)
        if isinstance(x, PackedSequence):
            return self._forward_packed(x, rows, m_0, run)
        batched = x.dim() == 3
        y, m_n = self._stack(rows, self._initial(m_0, rows.values.shape[1], x, batched), run)
        if not batched:
            return y.squeeze(1), m_n.squeeze(1)
        return (y.transpose(0, 1) if self.batch_first else y), m_n

    def _rows(self, x: Tensor | PackedSequence) -> Rows:
        """The batch as scans take it."""
        if isinstance(x, PackedSequence):
            return packed_rows(x)
        if not isinstance(x, Tensor):
            raise TypeError(f"input is {type(x).__name__}, expected a torch.Tensor or a PackedSequence")
        if x.dim() not in (2, 3):
            raise ValueError(f"input must have 2 dimensions (unbatched) or 3, got shape {tuple(x.shape)}")
        if 0 in x.shape[:-1]:
            raise ValueError(f"input has no time step or no sequence, got shape {tuple(x.shape)}")
        if x.dim() == 2:
            return Rows(x.unsqueeze(1), None)
        return Rows(x.transpose(0, 1) if self.batch_first else x, None)

    def _forward_packed(
        self, x: PackedSequence, rows: Rows, m_0: Tensor | None, run: scan.Scan
    ) -> tuple[PackedSequence, Tensor]:
        assert rows.batch_sizes is not None
        m = self._initial(m_0, rows.batch_sizes[0], x.data, batched=True)
        if x.sorted_indices is not None:
            m = m.index_select(1, x.sorted_indices)
        y, m_n = self._stack(rows, m, run)
        if x.unsorted_indices is not None:
            m_n = m_n.index_select(1, x.unsorted_indices)
        return PackedSequence(y, x.batch_sizes, x.sorted_indices, x.unsorted_indices), m_n

    def _initial(self, m_0: Tensor | None, batch: int, x: Tensor, batched: bool) -> Tensor:
        weights = self._weights("_l0")
        count = self.num_layers * self.num_directions
        self._check_input(x, weights)
        if m_0 is None:
            return x.new_zeros(count, batch, self.memory_size)
        wanted = (count, batch, self.memory_size) if batched else (count, self.memory_size)
        if not isinstance(m_0, Tensor):
            raise TypeError(
                f"m_0 is a {type(m_0).__name__}, expected a Tensor: an LMN has one state, where an LSTM has two"
            )
        if tuple(m_0.shape) != wanted:
            raise ValueError(f"m_0 has shape {tuple(m_0.shape)}, expected {wanted}")
        check_kind("m_0", m_0, weights.xh)
        return m_0 if batched else m_0.unsqueeze(1)

    def _stack(self, rows: Rows, m_0: Tensor, run: scan.Scan) -> tuple[Tensor, Tensor]:
        last: list[Tensor] = []
        y = rows.values
        for layer in range(self.num_layers):
            if layer > 0:
                y = F.dropout(y, self.dropout, self.training)
            outputs = []
            for suffix in self._suffixes(layer):
                backwards = suffix.endswith("_reverse")
                out, m_n = run(
                    rows.reversed(y) if backwards else y,
                    m_0[len(last)],
                    self._weights(suffix),
                    self.nonlinearity,
                    self.output,
                    rows.batch_sizes,
                )
                last.append(m_n)
                outputs.append(rows.reversed(out) if backwards else out)
            y = outputs[0] if len(outputs) == 1 else torch.cat(outputs, -1)
        return y, torch.stack(last)

    def step(self, x: Tensor, m: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """One step of streaming inference: the same numbers as `forward` on one step.

        Parameters
        ----------
        x : Tensor
            (B, a), or (a,) unbatched.
        m : Tensor, optional
            Memory (layers, B, p), or (layers, p) unbatched; zero if not given.

        Returns
        -------
        y : Tensor
            (B, output_size) or (output_size,).
        m : Tensor
            Memory after the step, in the layout of the one given.
        """
        if self.bidirectional:
            raise ValueError("step needs a network that reads forwards only, but this one is bidirectional")
        if not isinstance(x, Tensor):
            raise TypeError(f"input is {type(x).__name__}, expected a torch.Tensor")
        if autocast_type(x) is not None:
            dtype = self._weights("_l0").xh.dtype
            with torch.autocast(device_type(x), enabled=False):
                return self.step(x.to(dtype), m.to(dtype) if isinstance(m, Tensor) else m)
        if x.dim() not in (1, 2):
            raise ValueError(
                f"input of step must have shape (B, {self.input_size}) or ({self.input_size},), got {tuple(x.shape)}"
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

    def backend_for(self, x: Tensor | PackedSequence) -> scan.Choice:
        """The scan that the first layer would use on this input, now, and why: ``(backend, reason)``.

        Examples
        --------
        >>> lmn = LMN(3, 4, 5, backend="reference")
        >>> lmn.backend_for(torch.zeros(7, 2, 3))
        Choice(backend='reference', reason='asked for by name')
        """
        rows, weights = self._rows(x), self._weights("_l0")
        if self.backend != "auto":
            return scan.Choice(self.backend, "asked for by name")
        return scan.choose(rows.values.to(weights.xh.dtype), weights, rows.batch_sizes, autocast_type(x))

    def spectral_radii(self) -> dict[str, float]:
        """Largest modulus of an eigenvalue of each W_mm, by name: below 1 a memory fades, above 1 it may grow.

        Through the loop m → h → m it can grow even so; this is the memory alone.
        """
        names = [f"weight_mm{suffix}" for layer in range(self.num_layers) for suffix in self._suffixes(layer)]
        with torch.no_grad():
            return {name: float(torch.linalg.eigvals(getattr(self, name).double()).abs().max()) for name in names}

    def extra_repr(self) -> str:
        """Sizes, then whatever differs from the default."""
        defaults = {
            "num_layers": 1, "output": "memory", "nonlinearity": "tanh", "bias": True, "batch_first": False,
            "dropout": 0.0, "bidirectional": False, "backend": "auto",
        }  # fmt: skip
        return self._describe(defaults)
