"""The options of a model: with the weights, they are enough to rebuild it.

Symbols: f functional units, p memory units, γ lag decay.
"""

from __future__ import annotations

from dataclasses import dataclass

from linmem.nn.nade.module import KINDS as NADE_KINDS
from linmem.nn.nade.module import ORDERS as NOTE_ORDERS
from linmem.nn.solved_memory import check_lag_decays
from linmem.storage.limits import require_memory
from linmem.validation import check_fields

READOUTS = ("auto", "linear", "nade")
WEIGHT_INITS = ("default", "uniform")
SOLVED_LAG_DECAYS, SOLVED_READOUTS = (0.5, 0.9), ("auto", "mlp", "ridge", "nade")
_FIXED_NONLINEARITY = {
    "lstm": "tanh",
    "gru": "tanh",
    "unfolded": "selu",
    "explicit": "selu",
    "solved": "relu",
    "rnn-linear": "identity",
    "rnn-linear-orthogonal": "identity",
}
_WITHOUT_SEQUENCE_MODEL = ("rnn-rbm", "unfolded", "explicit")
_WITHOUT_DROPOUT = ("unfolded", "explicit")


@dataclass(frozen=True)
class ModelOptions:
    """Options of a model. Together with the weights they are enough to rebuild it.

    Parameters
    ----------
    model : str
        Name of a model in `linmem.nn.registry.MODELS`.
    hidden_size : int
        Functional units f of an LMN; units of any other network.
    memory_size : int
        Memory units p of an LMN, and of an LMU in all, a multiple of `channels`; state size of an LRU, hidden units of
        an RBM.
    nonlinearity : str
        Nonlinearity of an LMN's functional part (tanh, relu, selu, identity) or of an RNN (tanh, relu). LSTM, GRU,
        unfolded and linear networks have a fixed one.
    lags : int
        Past hidden states that the unfolded network reads.
    scales : int
        Modules of a multi-scale LMN, groups of a Clockwork RNN.
    window : float
        Number of steps that an LMU's memory spans.
    channels : int
        Signals that an LMU stores, each with `memory_size` / `channels` coefficients.
    forget_bias : float
        Initial bias of an LSTM's forget gates; 0 keeps torch's initialization.
    detach : float
        Probability of stopping the gradient from memory to functional units, for lmn-detach.
    input_dropout : float
        Probability of zeroing an input; not available for unfolded and explicit.
    readout_dropout : float
        Probability of zeroing an entry of the readout's input; not available for these two.
    lag_decay : tuple of float
        Lag decay γ of solved memories. For the model solved, one memory of `memory_size` units per value (default 0.5
        and 0.9); for pretrain=unfolded, one value (default 1, L18's).
    skip_connection : bool
        Add a linear map from the input to the output, zero at the start; not available for rnn-rbm, unfolded, explicit.
    readout : str
        linear, or nade: a joint distribution over the notes of a frame; not available for these three. For the model
        solved: mlp, `hidden_size` ReLU units with a linear bypass, ridge, linear and solved in closed form, or nade.
        auto is linear, and mlp for the model solved.
    nade_size : int
        Hidden units of a NADE.
    note_order : str
        Order in which a NADE visits the notes: ascending, or descending, which `linmem harmonize` needs. auto is
        descending, and ascending for frames with onsets, whose columns follow the notes.
    nade_orders : int
        1, or 2: a second NADE visits the notes in the opposite order, and the probabilities of both are averaged.
    nade_kind : str
        plain, or windows: a NADE also reads the neighbourhood of each note in the last frames, with weights shared
        over pitch.
    cd_steps : int
        k of CD-k, the Gibbs steps of contrastive divergence in training, for rnn-rbm.
    limit_norms : bool
        Limit the norms of the recurrent weights during training (`linmem.nn.norm_limits`), for lmn-a and lmn-b. Off by
        default, unlike in `LMN`: under the fair protocol of table 2 limits help LMN-A and pretrained LMN-B on
        JSB Chorales and harm all on Piano-midi.de.
    weight_init : str
        Initialization of lmn-a and lmn-b: default, that of `LMN`, or uniform, every weight and bias of the layer in
        ±1/√(number of inputs) like those of `torch.nn.Linear`.
    functional_layers : int
        Layers of `hidden_size` units of the functional part of lmn-a and lmn-b.

    Raises
    ------
    ValueError
        A number is out of range, or the model does not have the option.

    Examples
    --------
    >>> model = ModelOptions("lstm", hidden_size=60)
    """

    model: str = "lmn-b"
    hidden_size: int = 100
    memory_size: int = 250
    nonlinearity: str = "tanh"
    lags: int = 10
    scales: int = 4
    window: float = 64.0
    channels: int = 1
    forget_bias: float = 0.0
    detach: float = 0.25
    input_dropout: float = 0.0
    readout_dropout: float = 0.0
    lag_decay: tuple[float, ...] = ()
    skip_connection: bool = False
    readout: str = "auto"
    nade_size: int = 150
    note_order: str = "auto"
    nade_orders: int = 1
    nade_kind: str = "plain"
    cd_steps: int = 15
    limit_norms: bool = False
    weight_init: str = "default"
    functional_layers: int = 1

    def __post_init__(self) -> None:
        if isinstance(self.lag_decay, list | tuple):
            object.__setattr__(self, "lag_decay", tuple(self.lag_decay))  # JSON and YAML give a list
        check_fields(self)
        sizes = ("hidden_size", "memory_size", "lags", "scales", "window", "channels", "nade_size", "cd_steps")
        for name in (*sizes, "functional_layers"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be greater than 0, got {getattr(self, name)}.")
        for name in ("detach", "input_dropout", "readout_dropout"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be a probability from 0 to 1, got {getattr(self, name)}.")
        if self.lag_decay:
            check_lag_decays(self.lag_decay)
        elif self.model == "solved":
            object.__setattr__(self, "lag_decay", SOLVED_LAG_DECAYS)
        if self.model == "solved" and self.skip_connection:
            raise ValueError("skip_connection must be False for solved, which has its own, got True. Omit the option.")
        fixed = _FIXED_NONLINEARITY.get(self.model)
        if fixed and self.nonlinearity not in (fixed, "tanh"):  # tanh is the default value of the option
            raise ValueError(
                f"nonlinearity must be {fixed!r} for {self.model}, got {self.nonlinearity!r}. Omit the option."
            )
        for name, known in (
            ("readout", SOLVED_READOUTS if self.model == "solved" else READOUTS),
            ("note_order", ("auto", *NOTE_ORDERS)),
            ("nade_kind", NADE_KINDS),
        ):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}.")
        if self.nade_orders not in (1, 2):
            raise ValueError(f"nade_orders must be 1 or 2, got {self.nade_orders}.")
        for name in ("input_dropout", "readout_dropout", "skip_connection", "readout"):
            models = _WITHOUT_DROPOUT if name.endswith("dropout") else _WITHOUT_SEQUENCE_MODEL
            if self.model in models and getattr(self, name) != getattr(ModelOptions, name):
                raise ValueError(
                    f"{name} must be {getattr(ModelOptions, name)!r} for {self.model}, got {getattr(self, name)!r}."
                    " Omit the option."
                )

        if self.weight_init not in WEIGHT_INITS:
            raise ValueError(f"weight_init must be one of {', '.join(WEIGHT_INITS)}, got {self.weight_init!r}.")
        for name in ("limit_norms", "weight_init", "functional_layers"):
            if self.model not in ("lmn-a", "lmn-b") and getattr(self, name) != getattr(ModelOptions, name):
                raise ValueError(
                    f"{name} must be {getattr(ModelOptions, name)!r} for {self.model}, got {getattr(self, name)!r}."
                    " Omit the option."
                )

    def check_memory(self, inputs: int, outputs: int) -> None:
        """Raise ValueError if the largest weights alone need more memory than there is, before any is created."""
        f, p, kind = self.hidden_size, self.memory_size, self.model
        lags = self.lags if kind in ("unfolded", "explicit") else 0
        scales = self.scales if kind == "lmn-multiscale" else 1
        blocks = scales * (scales + 1) // 2
        weights = f * (inputs + outputs) + lags * f * (f + outputs) + (self.functional_layers - 1) * f * f
        if kind in ("lstm", "gru", "rnn"):
            weights += f * f
        elif kind not in ("unfolded", "explicit", "rnn-rbm", "clockwork", "echo-state", "rnn-orthogonal"):
            weights += scales * f * p + blocks * p * p * (kind not in ("lmu", "lru", "solved", "lmn-diagonal"))
        weights += self.nade_size * outputs if self.readout == "nade" else 0
        require_memory(4 * weights, f"the weights of model {kind}")
