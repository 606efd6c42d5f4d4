"""The mark of tests that run Triton's kernels, on a GPU or in Triton's interpreter."""

from importlib.metadata import PackageNotFoundError, version

import pytest
import torch

from linmem.nn.scan import cuda


def _missing():
    try:
        major, minor = map(int, version("triton").split(".")[:2])
    except PackageNotFoundError:
        return "Triton is not installed"
    if (major, minor) < (3, 7):  # torch 2.6 requires 3.2
        return f"Triton {major}.{minor} is older than 3.7: the interpreter of 3.2 has no products in float64"
    return cuda.unsupported_reason(torch.device("cpu"), torch.float64)


REASON = _missing()
needs_triton = pytest.mark.skipif(REASON is not None, reason=str(REASON))
