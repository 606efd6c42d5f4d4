"""The recurrence as one ``scan`` operator, for ``torch.export`` and the ONNX exporter: batch and steps stay dynamic.

A Python loop would be unrolled for a fixed number of steps; torch's ``scan`` operator keeps the step as a subgraph,
which becomes ONNX's ``Scan``. For inference. Needs a torch whose exporter supports the operator; 2.13 does.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from linmem.nn.scan.activations import activation
from linmem.nn.scan.batch import Batch, Result
from linmem.nn.scan.memory import as_matrix


def scan(batch: Batch) -> Result:
    """All steps of a regular batch; see :mod:`linmem.nn.scan.batch`."""
    from torch._higher_order_ops.scan import scan as scan_operator

    if batch.batch_sizes is not None:
        raise ValueError(
            "input must be a padded batch with backend='export', got a PackedSequence. "
            "Pad it with torch.nn.utils.rnn.pad_packed_sequence; padding at the end changes no earlier output."
        )
    weights, sigma = batch.weights, activation(batch.nonlinearity).apply
    W_mm = as_matrix(weights.mm)  # torch 2.13 cannot keep the batch dynamic with slices inside the operator

    def step(m: Tensor, projected: Tensor) -> tuple[Tensor, Tensor]:
        h = sigma(projected + F.linear(m, weights.mh))
        for weight, bias in weights.deep:
            h = sigma(F.linear(h, weight, bias))
        m = F.linear(h, weights.hm, weights.bias_m) + F.linear(m, W_mm)
        return m, (h if batch.output == "functional" else m).clone()

    m_n, y = scan_operator(step, batch.m_0, F.linear(batch.x, weights.xh, weights.bias_h), dim=0)
    return Result(y, m_n)
