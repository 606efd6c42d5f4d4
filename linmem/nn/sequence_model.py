"""A sequence model: a recurrent layer, then a linear or joint readout of the layer's output at every step.

    y_t = W_o dropout(r_t) + b_o (+ W_s x_t)

r_t is the output of the recurrent layer at step t. The outputs are logits: the loss applies the output nonlinearity.
With a NADE as readout, y_t are its biases, and the outputs are joint distributions over the frames; one with pitch
windows also reads the last inputs, which are then part of the state.
W_s, the skip connection, starts at zero.

Symbols: B sequences, T steps, a inputs, o outputs.
"""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any, ClassVar

from torch import Tensor, nn

from linmem.nn.nade import NADE, FrameDistribution
from linmem.nn.pretrained import Pretrained
from linmem.nn.recent_frames import recent_frames
from linmem.storage.documents import Schema


class SequenceModel(Pretrained, nn.Module):
    """Recurrent layer with a linear or joint readout.

    Parameters
    ----------
    recurrent : Module
        Batch-first layer called as `r, state = recurrent(x, state)`: `LMN`, `torch.nn.LSTM`, ….
    readout : Linear or NADE
        Maps the layer's output to o logits, or to a joint distribution over o notes.
    input_dropout, readout_dropout : float
        Probability of zeroing an input feature, and a feature of the readout's input.
    skip_connection : bool
        Whether the input x_t is also connected to the output by a linear map W_s (o, a), which starts at zero. The
        layer then needs an attribute `input_size`.

    Raises
    ------
    ValueError
        `skip_connection` is set, but the layer has no `input_size`.

    Notes
    -----
    The skip connection predicts what the current frame alone determines, such as notes that are held, so that the
    memory is free for the past. On Piano-midi.de it changes the test accuracy of an LMN-B (100, 100) from 33.65 % to
    34.22 % (one seed).

    Examples
    --------
    >>> import torch
    >>> model = SequenceModel(nn.LSTM(3, 8, batch_first=True), nn.Linear(8, 2), skip_connection=True)
    >>> logits, state = model(torch.zeros(4, 10, 3))
    >>> logits.shape
    torch.Size([4, 10, 2])
    """

    def __init__(
        self,
        recurrent: nn.Module,
        readout: nn.Linear | NADE,
        input_dropout: float = 0.0,
        readout_dropout: float = 0.0,
        skip_connection: bool = False,
    ) -> None:
        super().__init__()
        self.recurrent = recurrent
        self.readout: Any = readout
        self.input_size = getattr(recurrent, "input_size", None)
        self.input_dropout, self.readout_dropout = nn.Dropout(input_dropout), nn.Dropout(readout_dropout)
        self.skip: nn.Linear | None = None
        if skip_connection:
            if self.input_size is None:
                raise ValueError(
                    f"recurrent must have an attribute input_size for a skip connection, got a"
                    f" {type(recurrent).__name__} without one. Set it on the layer."
                )
            linear = self._linear()
            weight = linear.weight
            self.skip = nn.Linear(
                self.input_size, linear.out_features, bias=False, device=weight.device, dtype=weight.dtype
            )
            nn.init.zeros_(self.skip.weight)

    configuration_schema: ClassVar[Schema] = {"model": str, "input_size": int, "output_size": int}
    recipe: dict[str, Any] | None = None  # what `linmem.nn.registry.build_model` was called with

    def configuration(self) -> dict[str, Any]:
        """Arguments of `linmem.nn.registry.build_model`, as JSON content."""
        if self.recipe is None:
            raise ValueError(
                "model must be built by linmem.load or linmem.nn.registry.build_model to have a configuration, got "
                f"another {type(self).__name__}. Save its state_dict instead."
            )
        return self.recipe

    @classmethod
    def from_configuration(cls, configuration: dict[str, Any]) -> Any:
        """Build the model, its weights still at their initial values."""
        registry = import_module("linmem.nn.registry")  # which builds on this file
        sizes = (configuration.pop("input_size"), configuration.pop("output_size"))
        return registry.build_model(registry.ModelOptions(**configuration), *sizes)

    @property
    def is_joint(self) -> bool:
        """Whether the outputs are joint distributions over frames instead of logits."""
        return isinstance(self.readout, NADE)

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor | FrameDistribution, Any]:
        """Compute the logits, or the distributions, of all steps.

        Parameters
        ----------
        x : Tensor
            Inputs, (B, T, a) or (T, a).
        state : optional
            State returned by an earlier call; by default the sequences begin.

        Returns
        -------
        outputs : Tensor or FrameDistribution
            Logits (B, T, o) or (T, o), or as many distributions over frames.
        state
            State after the last step.
        """
        if self.is_joint and self.readout.windows:
            return self._with_windows(x, state)
        biases, state = self._outputs(x, state)
        return (self.readout.distribution(biases) if self.is_joint else biases), state

    def _with_windows(self, x: Tensor, state: Any) -> tuple[FrameDistribution, Any]:
        """Compute the distributions of a NADE with windows; the state is a pair of the layer's state and frames."""
        inner, before = (None, None) if state is None else state
        batched = x.dim() == 3
        if not batched:
            before = None if before is None else before[None]
        recent = recent_frames(x if batched else x[None], self.readout.recent, before)
        biases, inner = self._outputs(x, inner)
        frames, after = recent if batched else (part[0] for part in recent)
        return self.readout.distribution(biases, frames), (inner, after)

    def _outputs(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Logits, or biases of a NADE, and the state of the layer."""
        x = self.input_dropout(x)
        hidden, state = self.recurrent(x, state)
        outputs = self._linear()(self.readout_dropout(hidden))
        return (outputs if self.skip is None else outputs + self.skip(x)), state

    def _linear(self) -> nn.Linear:
        """The linear part of the readout."""
        linear: nn.Linear = self.readout.biases if self.is_joint else self.readout
        return linear


def parameter_count(model: nn.Module) -> int:
    """Count the trainable weights of a model.

    Examples
    --------
    >>> parameter_count(nn.Linear(3, 2))
    8
    """
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


MEMORY_MATRIX = re.compile(r"(weight|log_decay|phase)_mm(_.*)?")  # names of the parameters of W_mm in our layers


def own_name(path: str) -> str:
    """The name of a parameter in its module, without the modules around it or a parametrization of it.

    Examples
    --------
    >>> own_name("recurrent.parametrizations.weight_mm_l0.original"), own_name("proj_mm.weight")
    ('weight_mm_l0', 'weight')
    """
    parts = path.split(".")
    return parts[parts.index("parametrizations") + 1] if "parametrizations" in parts else parts[-1]


def parameter_groups(model: nn.Module, lr: float, memory_lr_scale: float = 0.1) -> list[dict[str, Any]]:
    """Parameter groups for a torch optimizer, with a learning rate of their own for linear memories.

    Parameters
    ----------
    model : Module
        A model that contains `LMN` layers, at any depth.
    lr : float
        Learning rate of all parameters but W_mm.
    memory_lr_scale : float
        Learning rate of W_mm relative to `lr`; 0 leaves W_mm as it is.

    Returns
    -------
    list of dict
        The groups, each with `params` and `lr`; a group without parameters is left out.

    Raises
    ------
    ValueError
        `lr` or `memory_lr_scale` is negative.

    Notes
    -----
    Adam moves every entry of a matrix by about `lr` per step, so the spectral norm of a p × p matrix can grow by p · lr
    in one step. A linear memory applies its matrix T times, which makes it the most sensitive weight of the model.

    Examples
    --------
    >>> import torch, linmem
    >>> lmn = linmem.LMN(3, 8, 16)
    >>> optimizer = torch.optim.Adam(parameter_groups(lmn, lr=1e-3))
    >>> [group["lr"] for group in optimizer.param_groups]
    [0.001, 0.0001]
    """
    for name, value in (("lr", lr), ("memory_lr_scale", memory_lr_scale)):
        if not value >= 0:
            raise ValueError(f"{name} must be at least 0, got {value}.")
    memory: list[nn.Parameter] = []
    other: list[nn.Parameter] = []
    for path, parameter in model.named_parameters():
        (memory if MEMORY_MATRIX.fullmatch(own_name(path)) else other).append(parameter)
    groups = [{"params": other, "lr": lr}, {"params": memory, "lr": lr * memory_lr_scale}]
    return [group for group in groups if group["params"]]
