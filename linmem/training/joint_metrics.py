"""Metrics of joint distributions over the notes of a frame, whose marginals or likelihood may be estimated.

    joint NLL      = −Σ_t log p(x_t) / frames, exact or estimated by annealed importance sampling
    factorised NLL = that of the marginals as independent notes, comparable with models of independent notes

Symbols: N frames, Z the partition function of an RBM [B12].
"""

from __future__ import annotations

from dataclasses import dataclass

from linmem.training.metrics import FrameCounts, FrameScores


@dataclass(frozen=True)
class JointFrameCounts(FrameCounts):
    """Counts of a joint distribution: `nll` is the joint one, accuracies at a threshold are those of the marginals."""

    factorised_nll: float  # of the marginals as independent notes

    def scores(self, choice: int) -> JointFrameScores:
        """Compute the metrics, with the accuracy at `THRESHOLDS[choice]`."""
        scores = vars(FrameCounts.scores(self, choice))
        return JointFrameScores(**scores, factorised_nll=self.factorised_nll / max(self.frames, 1))


@dataclass(frozen=True)
class JointFrameScores(FrameScores):
    """The metrics of a joint distribution; `nll`, which training minimizes, is the joint one, in nats per frame."""

    factorised_nll: float  # of the marginals as independent notes: comparable with models of independent notes

    def row(self) -> dict[str, float]:
        """The metrics by the column headings of a table; factorised and joint NLL in different columns."""
        return super().row() | {"NLL": self.factorised_nll, "joint NLL": self.nll}


@dataclass(frozen=True)
class SampledFrameCounts(JointFrameCounts):
    """Counts of a joint distribution whose marginals are estimated from independent samples."""

    marginal_error: float  # sum over frames of the mean standard error of the frame's marginals

    def scores(self, choice: int) -> SampledFrameScores:
        """Compute the metrics, with the accuracy at `THRESHOLDS[choice]`."""
        scores = vars(JointFrameCounts.scores(self, choice))
        return SampledFrameScores(**scores, marginal_error=self.marginal_error / max(self.frames, 1))


@dataclass(frozen=True)
class SampledFrameScores(JointFrameScores):
    """The metrics of a joint distribution whose marginals are estimated from independent samples."""

    marginal_error: float  # mean standard error of a marginal probability

    def row(self) -> dict[str, float]:
        """The metrics by the column headings of a table."""
        return super().row() | {"marginal error": self.marginal_error}


@dataclass(frozen=True)
class AnnealedFrameCounts(JointFrameCounts):
    """Counts of a joint distribution whose likelihood is estimated by annealed importance sampling."""

    squared_ais_error: float  # sum over frames of the squared standard error of the frame's log-likelihood

    def scores(self, choice: int) -> AnnealedFrameScores:
        """Compute the metrics, with the accuracy at `THRESHOLDS[choice]`."""
        scores = vars(JointFrameCounts.scores(self, choice))
        return AnnealedFrameScores(**scores, ais_error=(self.squared_ais_error / max(self.frames, 1)) ** 0.5)


@dataclass(frozen=True)
class AnnealedFrameScores(JointFrameScores):
    """The metrics of a joint distribution whose likelihood is estimated by annealed importance sampling.

    `ais_error` e is the root mean square over frames of the standard error of one frame's log Z. The joint NLL of N
    frames has standard error e / √N from the sampling, and is low by about e² / 2: the logarithm of an unbiased
    estimate of Z is low.
    """

    ais_error: float

    def row(self) -> dict[str, float]:
        """The metrics by the column headings of a table."""
        return super().row() | {"AIS error": self.ais_error}
