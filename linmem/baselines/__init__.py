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
from linmem.baselines.lmu import LMU
from linmem.baselines.lru import LRU
from linmem.baselines.persistence import Persistence

__all__ = [
    "LMU",
    "LRU",
    "ClockworkRNN",
    "Persistence",
    "delay_line_",
    "echo_state_",
    "elman_",
    "keep_orthogonal_",
    "linear_",
    "orthogonal_",
    "orthogonality_penalty",
]
