"""The recurrence as one ``scan`` operator, for ``torch.export`` and the ONNX exporter: batch and steps stay dynamic.

A Python loop would be unrolled for one number of steps; torch's ``scan`` operator keeps the step as a subgraph, which
becomes ONNX's ``Scan``. For inference. Needs a torch whose exporter knows the operator; 2.13 does.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

from linmem.nn.scan.activations import activation
from linmem.nn.scan.signature import Result, Weights


def scan(
    x: Tensor,
    m_0: Tensor,
    weights: Weights,
    nonlinearity: str = "tanh",
    output: str = "memory",
    batch_sizes: Sequence[int] | None = None,
) -> Result:
    """All steps of a regular batch; see :mod:`linmem.nn.scan.signature`."""
    from torch._higher_order_ops.scan import scan as scan_operator

    if batch_sizes is not None:
        raise ValueError(
            "backend 'export' takes padded batches, not a PackedSequence: pad them; padding at the end is harmless"
        )
    sigma = activation(nonlinearity).apply

    def step(m: Tensor, projected: Tensor) -> tuple[Tensor, Tensor]:
        h = sigma(projected + F.linear(m, weights.mh))
        for weight, bias in weights.deep:
            h = sigma(F.linear(h, weight, bias))
        m = F.linear(h, weights.hm, weights.bias_m) + F.linear(m, weights.mm)
        return m, (h if output == "functional" else m).clone()

    m_n, y = scan_operator(step, m_0, F.linear(x, weights.xh, weights.bias_h), dim=0)
    return Result(y, m_n)
