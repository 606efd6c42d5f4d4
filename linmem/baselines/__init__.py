"""What the papers compare with and `torch.nn` does not have, called like every other model."""

from linmem.baselines.clockwork import ClockworkRNN
from linmem.baselines.fixed_memory import (
    delay_line_,
    echo_state_,
    elman_,
    keep_orthogonal_,
    linear_,
    orthogonal_,
    orthogonality_penalty,
)
from linmem.baselines.forget_bias import forget_bias_
from linmem.baselines.lmu import LMU
from linmem.baselines.lru import LRU
from linmem.baselines.note_gram import NoteGram
from linmem.baselines.persistence import Persistence
from linmem.baselines.rnn_rbm import RNNRBM
from linmem.baselines.stochastic_detach import StochasticDetach

__all__ = [
    "LMU",
    "LRU",
    "RNNRBM",
    "ClockworkRNN",
    "NoteGram",
    "Persistence",
    "StochasticDetach",
    "delay_line_",
    "echo_state_",
    "elman_",
    "forget_bias_",
    "keep_orthogonal_",
    "linear_",
    "orthogonal_",
    "orthogonality_penalty",
]
