"""Next-frame prediction by a NADE: the task `NextFrame` with a joint distribution over the notes of a frame.

The loss is the exact negative log-likelihood. Accuracy at a threshold comes from the marginals of the notes, estimated
from samples, and expected accuracy from one sampled frame per target [B12].

Symbols: M frames, v notes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from linmem.training.joint_metrics import SampledFrameCounts
from linmem.training.metrics import count_frames
from linmem.training.tasks import NextFrame


class JointNextFrame(NextFrame):
    """Predict each frame of a piano roll from all before it, with a joint distribution over its notes.

    The outputs of the model are a `FrameDistribution`, as those of a `SequenceModel` with a NADE are.

    Parameters
    ----------
    n_samples : int
        Samples per frame from which the marginals are estimated, at least 2.
    seed : int
        Seed of the samples of `count`, the same in every epoch.

    Examples
    --------
    >>> import linmem
    >>> from linmem.nn.nade import NADE
    >>> from linmem.nn.sequence_model import SequenceModel
    >>> model = SequenceModel(linmem.LMN(88, 10, 20, batch_first=True), NADE(20, 88, 30))
    >>> outputs, _ = model(torch.zeros(2, 5, 88))
    >>> JointNextFrame().loss(outputs, torch.zeros(2, 5, 88)).shape
    torch.Size([])
    """

    def __init__(self, n_samples: int = 30, seed: int = 0) -> None:
        self.n_samples, self.seed = n_samples, seed

    @classmethod
    def fast(cls) -> JointNextFrame:
        """Return the task with few samples, for comparing epochs. The likelihood is exact in either case."""
        return cls(n_samples=2)

    def loss(self, outputs: Any, targets: Tensor) -> Tensor:
        """Exact negative log-likelihood of `targets` (M, v) in nats, summed over frames.

        With two orders it is the mean of both, so that each is trained by itself; `count` has that of their mixture.
        """
        loss: Tensor = outputs.training_loss(targets).sum()
        return loss

    @torch.no_grad()
    def count(self, outputs: Any, targets: Tensor) -> SampledFrameCounts:
        """Count hits and misses of the marginals and of samples, and the exact likelihood."""
        outputs = outputs.float()
        generator = torch.Generator(outputs.device).manual_seed(self.seed)
        marginals = outputs.marginals(self.n_samples, generator)
        samples = outputs.sample(generator=generator)
        hits = float((samples * targets).sum())
        factorised = count_frames(torch.logit(marginals.probability.double(), eps=1e-9), targets)
        joint = {
            "expected_true_positive": hits,
            "expected_union": float(samples.sum() + targets.sum()) - hits,
            "nll": float(outputs.nll(targets).double().sum()),
        }
        return SampledFrameCounts(
            **(vars(factorised) | joint),
            factorised_nll=factorised.nll,
            marginal_error=float(marginals.standard_error.double().mean(-1).sum()),
        )
