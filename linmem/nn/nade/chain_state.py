"""State of a chain while frames are built note by note: the sounding notes so far, and the logits of all later ones.

Symbols: M frames, D notes, H hidden units, K channels.
"""

from __future__ import annotations

from copy import copy

import torch
from torch import Tensor

from linmem.nn.nade.windows import WindowWeights

Windows = tuple[WindowWeights, Tensor]  # weights of the windows, and what `before_frame` returns, (M, K, D)


class ChainState:
    """Frames (M, D) under construction, in the order of the chain.

    Parameters
    ----------
    c, b, w, v : Tensor
        As in `nade_logits`: (M, H), (M, D), (D, H), (D, H), in the order of the notes.
    order : LongTensor, optional
        order[0] is the first note of the chain, (D,); default ascending.
    windows : tuple of WindowWeights and Tensor, optional
        Pitch windows and their part before the frame (M, K, D), in the order of the notes.
    """

    def __init__(
        self, c: Tensor, b: Tensor, w: Tensor, v: Tensor, order: Tensor | None = None, windows: Windows | None = None
    ) -> None:
        if order is not None:
            b, w, v = b[:, order], w[order], v[order]
            windows = None if windows is None else (windows[0].permute(order), windows[1][:, :, order])
        self.order, self.bias, self.weight_in, self.weight_out = order, b, w, v
        self.state, self.frames = c.clone(), torch.zeros_like(b)
        self.windows: WindowWeights | None = None if windows is None else windows[0]
        self.z: Tensor | None = None if windows is None else windows[1].clone()
        self.effect = None if windows is None else windows[0].effect_of_note(b.shape[1])

    def logits(self, rows: Tensor) -> Tensor:
        """Logits (m, D) of the notes of some rows, valid for notes after the last sounding one."""
        logits = self.bias[rows] + torch.relu(self.state[rows]) @ self.weight_out.T
        return logits if self.windows is None or self.z is None else logits + self.windows.activate(self.z[rows])

    def add(self, rows: Tensor, notes: Tensor) -> None:
        """Let note `notes[i]` of row `rows[i]` sound; it must come after the row's sounding notes."""
        self.frames[rows, notes] = 1
        self.state[rows] += self.weight_in[notes]
        if self.z is not None and self.effect is not None:
            self.z.index_add_(0, rows, self.effect[notes])

    def select(self, rows: Tensor) -> ChainState:
        """Copy some rows, each as often as it is named."""
        chosen = copy(self)  # weights are shared
        chosen.bias, chosen.state, chosen.frames = self.bias[rows], self.state[rows], self.frames[rows]
        chosen.z = None if self.z is None else self.z[rows]
        return chosen

    def in_note_order(self) -> Tensor:
        """The frames (M, D) in the order of the notes."""
        return self.frames if self.order is None else self.frames[:, torch.argsort(self.order)]
