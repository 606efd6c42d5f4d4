"""NADE: a joint distribution over the notes of a frame, given features of the past.

`reference.py` is the specification, `fused.py` computes the same with its own forward and backward, `joint_sampling.py`
draws frames, and `module.py` is the torch module.
"""

from linmem.nn.nade.fused import nade_logits, nade_nll
from linmem.nn.nade.joint_sampling import Marginals, Voices, estimate_marginals, sample_frames
from linmem.nn.nade.module import NADE, FrameDistribution

__all__ = [
    "NADE",
    "FrameDistribution",
    "Marginals",
    "Voices",
    "estimate_marginals",
    "nade_logits",
    "nade_nll",
    "sample_frames",
]
