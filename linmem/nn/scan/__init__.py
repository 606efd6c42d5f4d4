"""The Linear Memory Network recurrence: several backends, one signature (:mod:`linmem.nn.scan.batch`).

========= ============================================================================================================
reference plain autograd, the specification: double backward, forward mode, ``torch.func``
fused     custom backward, one matrix product per step; the default
recompute fused, but stores one memory per thousand rows and recomputes the other states in the backward pass
parallel  for W_mh = 0: large products over all steps instead of a loop
triton    fused, with its time loops as one GPU kernel per direction; bfloat16 under autocast
export    one ``scan`` operator, for ``torch.export`` and ONNX; inference only
========= ============================================================================================================

``run(batch, "auto")`` uses the backend that :func:`choose_backend` names.
"""

from linmem.nn.scan.backends import BACKENDS, BackendChoice, check_backend, choose_backend, run
from linmem.nn.scan.batch import Batch, Result, Scan, Weights

__all__ = ["BACKENDS", "BackendChoice", "Batch", "Result", "Scan", "Weights", "check_backend", "choose_backend", "run"]
