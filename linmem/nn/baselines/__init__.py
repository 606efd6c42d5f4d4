"""Models of the papers' comparisons that `torch.nn` does not contain, with the signature of `torch.nn.LSTM`."""

from linmem.nn.baselines.clockwork import ClockworkRNN
from linmem.nn.baselines.fixed_memory import (
    delay_line_,
    echo_state_,
    elman_,
    keep_orthogonal_,
    linear_,
    orthogonal_,
    orthogonality_penalty,
)
from linmem.nn.baselines.forget_bias import forget_bias_
from linmem.nn.baselines.lmu import LMU
from linmem.nn.baselines.lru import LRU
from linmem.nn.baselines.note_ngrams import NoteGram
from linmem.nn.baselines.persistence import Persistence
from linmem.nn.baselines.rnn_rbm import RNNRBM
from linmem.nn.baselines.stochastic_detach import StochasticDetach
from linmem.nn.baselines.uniform import uniform_

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
    "uniform_",
]
