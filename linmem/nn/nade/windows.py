"""Pitch windows: terms of a NADE's logits that read the neighbourhood of each note with weights shared over pitch.

    f_i = Σ_k g_ki relu(z_ki)
    z_ki = u_k + p_ki + Σ_{l<L} Σ_{|d|≤r} C_kld x_{t-l, i+d} + Σ_{d=1..R} P_kd v_{s(i)-d}

x_{t-l} are the L most recent frames of the past, v_{s(i)-d} is the note visited d places before note i in the chain,
and u comes from the features. f_i depends on notes before i only, so the likelihood stays exact.

Symbols: M frames, D notes, K channels, L recent frames, r radius, R reach.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CHANNELS, RECENT, RADIUS, REACH, DROPOUT = 32, 4, 12, 36, 0.2
WEIGHT_STD = 0.05  # standard deviation of P at the start


@dataclass(frozen=True)
class WindowWeights:
    """Weights of the windows of one chain."""

    recent: Tensor  # C (K, L, 2r + 1)
    passed: Tensor  # P (K, R); column d - 1 belongs to the distance d
    pitch: Tensor  # p (K, D)
    gain: Tensor  # g (K, D)
    dropout: float  # probability of zeroing a channel of a frame; 0 outside training

    def convert(self, function: Callable[[Tensor], Tensor]) -> WindowWeights:
        """Apply a conversion of dtype or device to all tensors."""
        recent, passed, pitch, gain = (function(x) for x in (self.recent, self.passed, self.pitch, self.gain))
        return WindowWeights(recent, passed, pitch, gain, self.dropout)

    def permute(self, order: Tensor) -> WindowWeights:
        """Weights per note in another order."""
        return replace(self, pitch=self.pitch[:, order], gain=self.gain[:, order])

    def before_frame(self, recent: Tensor, channel_bias: Tensor) -> Tensor:
        """Part of z that is known before the frame, (M, K, D), in the order of the notes.

        Parameters
        ----------
        recent : Tensor
            (M, L, D), the most recent frame first.
        channel_bias : Tensor
            u (M, K).
        """
        past = F.conv1d(recent.to(self.recent.dtype), self.recent, padding=self.recent.shape[2] // 2)
        return past + self.pitch + channel_bias.unsqueeze(2)

    def read_frame(self, frames: Tensor) -> Tensor:
        """Part of z that depends on notes visited before, (M, K, D), of frames (M, D) in the order of the chain."""
        reach = self.passed.shape[1]
        padded = F.pad(frames.to(self.passed.dtype), (reach, -1)).unsqueeze(1)
        return F.conv1d(padded, self.passed.flip(1).unsqueeze(1))

    def effect_of_note(self, notes: int) -> Tensor:
        """What a sounding note adds to z, (D, K, D): entry (j, k, i) is P_k,i-j in the order of the chain, or 0."""
        reach = min(self.passed.shape[1], notes - 1)
        by_distance = F.pad(self.passed[:, :reach], (notes + 1, notes - 1 - reach))  # (K, 2 D), distances -D … D - 1
        return by_distance.unfold(1, notes, 1)[:, 1:].flip(1).transpose(0, 1).contiguous()

    def activate(self, z: Tensor) -> Tensor:
        """Σ_k g_ki relu(z_ki), (M, D), of z (M, K, D) in the order of `gain`."""
        active = torch.relu(z)
        if self.dropout:  # whole channels: one random number per frame and channel, not per note
            active = F.dropout1d(active, self.dropout)
        return (active * self.gain).sum(1)


def window_logits(weights: WindowWeights, before: Tensor, frames: Tensor, order: Tensor | None = None) -> Tensor:
    """Terms f (M, D) of all notes, in the order of the notes.

    Parameters
    ----------
    weights : WindowWeights
    before : Tensor
        (M, K, D), from `WindowWeights.before_frame`.
    frames : Tensor
        Binary, (M, D).
    order : LongTensor, optional
        order[0] is the first note of the chain, (D,); default ascending.

    Examples
    --------
    >>> windows = PitchWindows(5, channels=3, recent=2, radius=1, reach=2)
    >>> before = windows.weights().before_frame(torch.zeros(4, 2, 5), torch.zeros(4, 3))
    >>> window_logits(windows.weights(), before, torch.ones(4, 5)).shape
    torch.Size([4, 5])
    """
    if order is None:
        return weights.activate(before + weights.read_frame(frames))
    passed = weights.read_frame(frames[:, order])[:, :, torch.argsort(order)]
    return weights.activate(before + passed)


class PitchWindows(nn.Module):
    """Parameters of the windows of one chain; the terms start at zero.

    Parameters
    ----------
    notes : int
        D.
    channels, recent, radius, reach : int
        K, L, r and R.
    dropout : float
        Probability of zeroing a channel of a frame in training.
    """

    def __init__(
        self,
        notes: int,
        channels: int = CHANNELS,
        recent: int = RECENT,
        radius: int = RADIUS,
        reach: int = REACH,
        dropout: float = DROPOUT,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.channels, self.recent, self.dropout = channels, recent, dropout
        bound = (recent * (2 * radius + 1)) ** -0.5
        like = torch.zeros(channels, notes, device=device, dtype=dtype)
        self.recent_weight = nn.Parameter(like.new_empty(channels, recent, 2 * radius + 1).uniform_(-bound, bound))
        self.passed_weight = nn.Parameter(like.new_empty(channels, reach).normal_(std=WEIGHT_STD))
        self.pitch_bias, self.pitch_gain = nn.Parameter(like), nn.Parameter(like.clone())
        self.gain = nn.Parameter(like[:, :1].clone())

    def weights(self) -> WindowWeights:
        """The weights, with dropout in training."""
        return WindowWeights(
            self.recent_weight,
            self.passed_weight,
            self.pitch_bias,
            self.gain + self.pitch_gain,
            self.dropout if self.training else 0.0,
        )
