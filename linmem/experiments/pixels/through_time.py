"""A linear memory and an MLP on its last state, both trained through time: a linear LMN with a deep readout.

    m_t = A x_t + B m_{t-1}        logits = MLP(m_T)

The loss reads the last state only, which is one product with a kernel, m_T = Σ_t B^{T−t} A x_t. The gradient with
respect to A and B through this kernel is that of backpropagation through time, at the cost of one sequence per batch.
A and B start from a LAES or, as a control, from a random orthogonal matrix. [S20; the kernel as in Chilkuri &
Eliasmith, ICML 2021.]

Symbols: n sequences, T steps, a features, p memory units, o classes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from linmem.experiments.static_memories.last_state import DeepReadout, DeepVariant, kernel


class LinearNetwork(nn.Module):
    """A linear memory with a deep readout of its last state; called on flattened sequences, as sequences of one step.

    Parameters
    ----------
    A, B : Tensor
        (p, a) and (p, p), the memory before training.
    sequences : Tensor
        (n, T·a), of the training set: mean and deviation of their states standardise the readout's input.
    variant : DeepVariant
        Of the readout.
    outputs : int
        o.
    """

    def __init__(self, A: Tensor, B: Tensor, sequences: Tensor, variant: DeepVariant, outputs: int) -> None:
        super().__init__()
        self.steps = sequences.shape[1] // A.shape[1]
        with torch.no_grad():
            self.readout = DeepReadout(sequences @ kernel(A, B, self.steps), variant, outputs)
        self.weight_xm = nn.Parameter(A.clone())
        self.weight_mm = nn.Parameter(B.clone())  # the name gives it the learning rate of linear memories

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        """Map `x` (…, T·a) to logits (…, o)."""
        logits, _ = self.readout(x @ kernel(self.weight_xm, self.weight_mm, self.steps))
        return logits, None
