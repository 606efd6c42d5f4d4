"""The unfolded network, a network without recurrent memory that reads its own last k hidden states.

    h_t = σ(W_xh x_t + Σ_{i=1..k} W_i^hh h_{t-i} + b_h)     y_t = Σ_{i=0..k} W_i^o h_{t-i} + b_o    [L18], sec. 4.1

States before the first step are zero. Outputs are logits: the loss applies the output nonlinearity. Pretraining trains
this network first and then fits a linear autoencoder to its hidden states.

The explicit-memory network is the same function with the last k hidden states in a shift register, which makes it
the bridge between this network and the Linear Memory Network ([L18], fig. 2b).

Symbols: B sequences, T steps, a inputs, f hidden units, o outputs, k lags (the current step not counted).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from linmem.nn.scan.activations import activation
from linmem.nn.scan.autocast import without_autocast
from linmem.nn.scan.checks import check_dtype_and_device, check_tensor
from linmem.nn.scan.engine import blas_threads
from linmem.nn.scan.libraries import choose_libraries
from linmem.storage.limits import require_memory
from linmem.validation import check_count


def unfolded_reference(projected: Tensor, weight_hh: Tensor, nonlinearity: str) -> Tensor:
    """Hidden states (B, T, f) of projected inputs (B, T, f), weights (k, f, f), as written; the specification."""
    sigma = activation(nonlinearity).apply
    lags = len(weight_hh)
    hidden = [torch.zeros_like(projected[:, 0])] * lags
    for v in projected.unbind(1):
        for i, weight in enumerate(weight_hh, start=1):
            v = v + F.linear(hidden[-i], weight)
        hidden.append(sigma(v))
    return torch.stack(hidden[lags:], 1)


class _Unfolded(torch.autograd.Function):
    """The same with one product a step: the last k states lie side by side in the buffer, (B, k·f).

    The buffer of states begins with k zero steps, the buffer of gradients ends with them. The weight gradients are k
    products after the loop, over all sequences and steps at once. Libraries: :mod:`linmem.nn.scan.libraries`.
    """

    @staticmethod
    def forward(ctx: Any, projected: Tensor, weight_hh: Tensor, nonlinearity: str) -> Tensor:
        (batch, steps, f), k = projected.shape, len(weight_hh)
        choice = choose_libraries(batch, k * f, f, projected.dtype, projected.device, step_by_step=True)
        engine, array = choice.loop, choice.loop.array
        oldest_first = weight_hh.flip(0).transpose(0, 1).reshape(f, k * f)
        states = projected.new_zeros(batch, k + steps, f)
        states[:, k:] = projected
        sigma_, space = engine.sigma_[nonlinearity], array(projected.new_empty(batch, f))
        with blas_threads():
            linear = engine.linear(oldest_first, None, batch)
            for past, h in zip(array(_windows(states, k)[:steps]), array(states[:, k:].transpose(0, 1)), strict=True):
                engine.add(h, linear(past, space), out=h)
                sigma_(h)
        ctx.nonlinearity, ctx.choice = nonlinearity, choice
        ctx.save_for_backward(projected, weight_hh, states)
        return states[:, k:]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        projected, weight_hh, states = ctx.saved_tensors
        (grad,) = grads
        if torch.is_grad_enabled():
            hidden = unfolded_reference(projected, weight_hh, ctx.nonlinearity)
            inputs = [a for a, needed in zip((projected, weight_hh), ctx.needs_input_grad, strict=False) if needed]
            found = iter(torch.autograd.grad(hidden, inputs, grad, create_graph=True))
            return tuple(next(found) if needed else None for needed in ctx.needs_input_grad)
        engine, array, product = ctx.choice.loop, ctx.choice.loop.array, ctx.choice.product.product
        (batch, steps, f), k = projected.shape, len(weight_hh)
        nearest_first = weight_hh.permute(2, 0, 1).reshape(f, k * f)
        slopes = activation(ctx.nonlinearity).slope(states[:, k:])
        deltas = states.new_zeros(batch, steps + k, f)
        deltas[:, :steps] = grad
        space = array(projected.new_empty(batch, f))
        time_first = (deltas[:, :steps].transpose(0, 1), _windows(deltas, k)[1:], slopes.transpose(0, 1))
        with blas_threads(), without_autocast(grad):
            linear = engine.linear(nearest_first, None, batch)
            deltas_, futures, slopes_ = (list(array(values)) for values in time_first)
            for delta, future, slope in zip(deltas_[::-1], futures[::-1], slopes_[::-1], strict=True):
                engine.add(delta, linear(future, space), out=delta)
                engine.multiply(delta, slope, out=delta)
            rows, flat, flat_states = batch * (steps + k), deltas.view(-1, f), states.view(-1, f)
            pairs = ((flat[: rows - (k - i)], flat_states[k - i :]) for i in range(1, k + 1))
            weight_grad = torch.stack([product(delta.t(), state) for delta, state in pairs])
        return deltas[:, :steps], weight_grad, None


def _windows(buffer: Tensor, lags: int) -> Tensor:
    """Every k steps in a row of (B, n, f), as overlapping views: (n - k + 1, B, k·f)."""
    batch, steps, f = buffer.shape
    return buffer.as_strided((steps - lags + 1, batch, lags * f), (f, steps * f, 1))


class UnfoldedNetwork(nn.Module):
    """Unfolded network of [L18], section 4.1 (ULM there).

    Parameters
    ----------
    input_size, hidden_size, output_size : int
        a, f and o.
    lags : int
        k, the number of earlier hidden states that each step reads, without the current one.
    nonlinearity : {"tanh", "relu", "selu", "identity"}
        σ of the hidden units.

    Attributes
    ----------
    weight_xh (f, a), weight_hh (k, f, f) for lags 1..k, bias_h (f), weight_ho (k + 1, o, f) for lags 0..k, bias_o (o)

    Examples
    --------
    >>> import torch, linmem
    >>> network = linmem.UnfoldedNetwork(88, 50, 88, lags=10)
    >>> outputs, _ = network(torch.zeros(4, 20, 88))
    >>> outputs.shape
    torch.Size([4, 20, 88])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int,
        lags: int = 10,
        nonlinearity: str = "selu",
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        sizes = {"input_size": input_size, "hidden_size": hidden_size, "output_size": output_size, "lags": lags}
        for name, size in sizes.items():
            check_count(name, size)
        f, o = hidden_size, output_size
        require_memory(4 * (f * input_size + lags * f * f + (lags + 1) * o * f), "the unfolded network's weights")
        activation(nonlinearity)
        self.input_size, self.hidden_size, self.output_size = input_size, hidden_size, output_size
        self.lags, self.nonlinearity = lags, nonlinearity
        kind: dict[str, Any] = {"device": device, "dtype": dtype}
        self.weight_xh = nn.Parameter(torch.empty(hidden_size, input_size, **kind))
        self.weight_hh = nn.Parameter(torch.empty(lags, hidden_size, hidden_size, **kind))
        self.bias_h = nn.Parameter(torch.empty(hidden_size, **kind))
        self.weight_ho = nn.Parameter(torch.empty(lags + 1, output_size, hidden_size, **kind))
        self.bias_o = nn.Parameter(torch.empty(output_size, **kind))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialize uniformly in ±1/√(fan-in), counting the blocks of all lags together; biases are zero."""
        for weight, fan_in in (
            (self.weight_xh, self.input_size),
            (self.weight_hh, self.lags * self.hidden_size),
            (self.weight_ho, (self.lags + 1) * self.hidden_size),
        ):
            nn.init.uniform_(weight, -1.0 / math.sqrt(fan_in), 1.0 / math.sqrt(fan_in))
        nn.init.zeros_(self.bias_h)
        nn.init.zeros_(self.bias_o)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs (B, T, o), before their nonlinearity, and hidden states (B, T, f), of x (B, T, a); or (T, ·) alike.

        Each step depends on earlier ones alone, so padding at the end of a sequence changes nothing before it.
        """
        check_tensor("input", x)
        if x.dim() == 2:
            outputs, hidden = self(x.unsqueeze(0))
            return outputs.squeeze(0), hidden.squeeze(0)
        self._check_input(x)
        hidden = self.hidden_states(x)
        return self.readout(hidden), hidden

    def _check_input(self, x: Tensor) -> None:
        if x.dim() != 3 or x.shape[-1] != self.input_size or x.shape[1] == 0:
            raise ValueError(
                f"input must have shape (B, T, {self.input_size}) or (T, {self.input_size}) with T >= 1, "
                f"got {tuple(x.shape)}. Reshape the input."
            )
        check_dtype_and_device("input", x, self.weight_xh)

    def hidden_states(self, x: Tensor) -> Tensor:
        """(B, T, f) of x (B, T, a)."""
        projected = F.linear(x, self.weight_xh, self.bias_h).to(self.weight_hh.dtype)
        with without_autocast(x):  # states keep the precision of the parameters, as an LMN's
            hidden: Tensor = _Unfolded.apply(projected, self.weight_hh, self.nonlinearity)
        return hidden

    def readout(self, hidden: Tensor) -> Tensor:
        """y_t = Σ_i W_i^o h_{t-i} + b_o: (B, T, o) of hidden states (B, T, f), by one product for all lags."""
        steps = hidden.shape[1]
        lagged = F.linear(hidden, self.weight_ho.flatten(0, 1)).unflatten(-1, self.weight_ho.shape[:2])
        outputs = lagged[:, :, 0] + self.bias_o
        for i in range(1, min(self.lags, steps - 1) + 1):
            outputs = outputs + F.pad(lagged[:, : steps - i, i], (0, 0, i, 0))
        return outputs

    def extra_repr(self) -> str:
        """Sizes, lags and σ."""
        sizes = f"{self.input_size}, {self.hidden_size}, {self.output_size}"
        return f"{sizes}, lags={self.lags}, nonlinearity={self.nonlinearity!r}"


class ExplicitMemoryNetwork(UnfoldedNetwork):
    """The unfolded network as a recurrent one: its memory is a shift register of the last k hidden states.

    With m_t = [h_t, …, h_{t-k+1}] (the newest first) and the lags' weights side by side, [L18], fig. 2b:

        h_t = σ(W_xh x_t + [W_1^hh … W_k^hh] m_{t-1} + b_h)     y_t = W_0^o h_t + [W_1^o … W_k^o] m_{t-1} + b_o

    Parameters and results are those of :class:`UnfoldedNetwork`, so a state_dict of one loads into the other; this
    form can also go on step by step.

    Examples
    --------
    >>> import torch, linmem
    >>> network = linmem.ExplicitMemoryNetwork(88, 50, 88, lags=10)
    >>> outputs, _ = network(torch.zeros(4, 20, 88))
    >>> outputs.shape
    torch.Size([4, 20, 88])
    """

    def step(self, x: Tensor, memory: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Output (B, o), hidden state (B, f) and the memory after the step (B, k·f), of x (B, a); or all without B."""
        check_tensor("input", x)
        if x.dim() not in (1, 2) or x.shape[-1] != self.input_size:
            raise ValueError(
                f"input must have shape (B, {self.input_size}) or ({self.input_size},), got {tuple(x.shape)}."
            )
        check_dtype_and_device("input", x, self.weight_xh)
        shape = (*x.shape[:-1], self.lags * self.hidden_size)
        if memory is not None:
            check_tensor("memory", memory)
            if memory.shape != shape:
                raise ValueError(f"memory must have shape {shape} for this input, got {tuple(memory.shape)}.")
        if x.dim() == 2:
            return self._step(x, memory)
        y, h, memory = self._step(x[None], None if memory is None else memory[None])
        return y[0], h[0], memory[0]

    def _step(self, x: Tensor, memory: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        if memory is None:
            memory = x.new_zeros(x.shape[0], self.lags * self.hidden_size)
        weight_mh, weight_mo = (w.transpose(0, 1).flatten(1) for w in (self.weight_hh, self.weight_ho[1:]))
        h = activation(self.nonlinearity).apply(F.linear(x, self.weight_xh, self.bias_h) + F.linear(memory, weight_mh))
        y = F.linear(h, self.weight_ho[0], self.bias_o) + F.linear(memory, weight_mo)
        return y, h, torch.cat([h, memory[:, : -self.hidden_size]], -1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """As :meth:`UnfoldedNetwork.forward`, by a loop over `step`."""
        check_tensor("input", x)
        if x.dim() == 2:
            outputs, hidden = self(x.unsqueeze(0))
            return outputs.squeeze(0), hidden.squeeze(0)
        self._check_input(x)
        steps, memory = [], None
        for x_t in x.unbind(1):
            *result, memory = self._step(x_t, memory)
            steps.append(result)
        outputs, hidden = (torch.stack(states, 1) for states in zip(*steps, strict=True))
        return outputs, hidden
