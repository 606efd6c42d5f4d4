"""The Triton loops, by Triton's interpreter in a process of its own (it must be on before the kernels are defined)."""

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

SCRIPT = """
import torch
from linmem.layers import LMN
from linmem.scan.choice import choose

chosen = choose(4, 9, 24, False, torch.float32, torch.device("cpu"))
assert chosen.loop.name == "triton", chosen
torch.manual_seed(0)
packed = torch.nn.utils.rnn.pack_padded_sequence(torch.randn(5, 3, 3), torch.tensor([5, 5, 2]))
for steps, batch, f, p, options in (
    (4, 2, 5, 7, {}),
    (3, 18, 33, 40, {"nonlinearity": "selu"}),
    (3, 1, 1, 1, {"bias": False, "nonlinearity": "relu"}),
    (3, 2, 4, 31, {"output": "functional", "nonlinearity": "identity"}),
    (1, 2, 4, 3, {"output": "functional"}),
):
    x = torch.randn(steps, batch, 3)
    ours, plain = (LMN(3, f, p, backend=backend, **options) for backend in ("fused", "reference"))
    plain.load_state_dict(ours.state_dict())
    for given in (x, packed):
        results = []
        for layer in (ours, plain):
            layer.zero_grad()
            y, m_n = layer(given)
            y = y if given is x else y.data
            (y.sin().sum() + m_n.square().sum()).backward()
            results.append([y, m_n, *(parameter.grad for parameter in layer.parameters())])
        for found, wanted in zip(*results, strict=True):
            torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
print("equal")
"""


@pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")
def test_kernels_equal_the_reference_under_the_interpreter():
    environment = os.environ | {"TRITON_INTERPRET": "1", "LINMEM_ENGINE": "triton"}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "equal", done.stderr
