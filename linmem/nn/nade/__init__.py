"""NADE: a joint distribution over the notes of a frame, given features of the past.

`reference.py` is the specification, `fused.py` computes the same with its own forward and backward, `joint_sampling.py`
draws frames from a `chain_state.py`, `windows.py` adds terms whose weights are shared over pitch, `chain.py` is the
distribution in one order of the notes, `distribution.py` averages orders, and `module.py` is the torch module.
"""

from linmem.nn.nade.chain import Chain
from linmem.nn.nade.chain_state import ChainState
from linmem.nn.nade.distribution import FrameDistribution
from linmem.nn.nade.fused import nade_logits, nade_nll
from linmem.nn.nade.joint_sampling import Marginals, Voices, estimate_marginals, sample_frames
from linmem.nn.nade.module import NADE
from linmem.nn.nade.windows import PitchWindows, window_logits

__all__ = [
    "NADE",
    "Chain",
    "ChainState",
    "FrameDistribution",
    "Marginals",
    "PitchWindows",
    "Voices",
    "estimate_marginals",
    "nade_logits",
    "nade_nll",
    "sample_frames",
    "window_logits",
]
