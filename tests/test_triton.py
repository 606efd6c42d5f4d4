"""The Triton loops in Triton's interpreter on the CPU, and compiled for GPUs, for which no GPU is needed."""

import copy
import os
import subprocess
import sys
import warnings

import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence

from linmem.nn.lmn import LMN
from linmem.nn.scan import cuda, fused
from linmem.nn.scan.backends import BACKENDS
from linmem.nn.scan.libraries import Libraries
from tests.needs_triton import needs_triton
from tests.rounding import assert_equal_but_for_rounding

pytestmark = needs_triton
# T, B, f, p and what else: sizes below, at and above those of a tile
SIZES = {
    "one of all": (1, 1, 1, 1, {"bias": False, "nonlinearity": "relu"}),
    "small": (4, 2, 5, 7, {}),
    "two blocks of sequences": (3, 18, 33, 40, {"nonlinearity": "selu"}),
    "a tile": (2, 16, 32, 96, {"nonlinearity": "relu"}),
    "two tiles of columns, functional": (3, 17, 60, 100, {"output": "functional", "nonlinearity": "identity"}),
    "one step, functional": (1, 2, 4, 3, {"output": "functional"}),
    "deep": (3, 4, (4, 2), 5, {"nonlinearity": "selu"}),
}
every_size = pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
bfloat16 = torch.bfloat16


@pytest.fixture(autouse=True)
def no_fallback():
    """A kernel that falls back to torch fails the test."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def problem(size, dtype):
    """A layer with a strong loop h → m → h, a batch, and a ragged one."""
    steps, batch, f, p, options = size
    torch.manual_seed(0)
    layer = LMN(3, f, p, backend="reference", dtype=torch.float64, **options)
    with torch.no_grad():
        layer.weight_mh_l0.mul_(5)
        layer.weight_mm_l0.add_(0.1 * torch.randn(p, p, dtype=torch.float64) / p**0.5)
    x = torch.randn(steps, batch, 3, dtype=torch.float64)
    lengths = sorted((max(1, steps - i % 3) for i in range(batch)), reverse=True)
    return layer.to(dtype), x.to(dtype), pack_padded_sequence(x.to(dtype), torch.tensor(lengths))


def outcome(layer, backend, given, m_0=None):
    """Outputs and all gradients."""
    layer.backend = backend
    layer.zero_grad()
    y, m_n = layer(given, m_0)
    y = y if isinstance(given, torch.Tensor) else y.data
    (y.sin().sum() + m_n.square().sum()).backward()
    return [y, m_n, *(parameter.grad for parameter in layer.parameters())]


@every_size
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_kernels_equal_the_reference(size, dtype):
    layer, *inputs = problem(size, dtype)
    steps, _, f, p, _ = size
    terms = 3 + p + (f if isinstance(f, int) else sum(f))
    exact = copy.deepcopy(layer).double()
    for given in inputs:
        found = outcome(layer, "triton", given)
        assert_equal_but_for_rounding(found, outcome(exact, "reference", given.to(torch.float64)), terms, steps)


@every_size
def test_products_in_bfloat16_are_those_of_rounded_numbers(size):
    layer, *inputs = problem(size, torch.float32)
    rounding = cuda.TorchEngine(bfloat16)

    def by_torch(batch):
        return fused.scan(batch, libraries=Libraries(rounding, rounding))

    for given in inputs:
        exact = outcome(layer, "reference", given)
        with torch.autocast("cpu", bfloat16):
            found = outcome(layer, "triton", given)
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(BACKENDS, "triton", by_torch)
            with torch.autocast("cpu", bfloat16):
                expected = outcome(layer, "triton", given)
        for one, other, near in zip(found, expected, exact, strict=True):
            assert one.dtype == torch.float32
            assert (one - other).norm() <= 3e-4 * other.norm()  # the order of the sums turns some roundings
            assert (one - near).norm() <= 0.04 * near.norm()
        assert size[1] == 1 or not torch.equal(found[0], exact[0])


@pytest.mark.parametrize("backend", ["triton", "by torch"])
@pytest.mark.parametrize("dtype", [torch.float32, bfloat16], ids=str)
def test_a_memory_counts_beyond_the_precision_of_bfloat16(monkeypatch, dtype, backend):
    if backend == "by torch":
        monkeypatch.setattr(cuda, "TritonEngine", cuda.TorchEngine)
    layer = LMN(1, 1, 1, nonlinearity="identity", bias=False, backend="triton", dtype=dtype)
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            parameter.fill_(0.0 if name == "weight_mh_l0" else 1.0)  # m_t = m_{t-1} + x_t
    with torch.autocast("cpu", bfloat16):
        y, m_n = layer(torch.ones(8, 1, 1, dtype=dtype), torch.full((1, 1, 1), 300.0, dtype=dtype))
    assert torch.equal(m_n, torch.full((1, 1, 1), 308.0, dtype=dtype))
    assert y.dtype == dtype
    y.sum().backward()
    assert layer.weight_mm_l0.grad.dtype == dtype
    assert torch.tensor(300.0, dtype=bfloat16) + 1 == 300  # which is why


def test_autocast_on_a_gpu_selects_the_kernels(monkeypatch):
    layer, x, packed = problem(SIZES["small"], torch.float32)
    layer.backend = "auto"
    assert layer.backend_for(x).backend == "fused"
    monkeypatch.setattr(cuda, "on_gpu", lambda x: True)
    with torch.autocast("cpu", bfloat16):
        assert layer.backend_for(x).backend == layer.backend_for(packed).backend == "triton"
        assert "bfloat16" in layer.backend_for(x).reason
        found = layer(x)[0]
    layer.backend = "triton"
    with torch.autocast("cpu", bfloat16):
        assert torch.equal(layer(x)[0], found)
    layer.backend = "auto"
    assert layer.backend_for(x).backend == "fused"  # float32: never timed against torch's own loop
    with torch.autocast("cpu", torch.float16):
        assert layer.backend_for(x).backend == "fused"
    monkeypatch.setattr(cuda, "unsupported_reason", lambda *_: "this GPU is older than …")
    with torch.autocast("cpu", bfloat16):
        choice = layer.backend_for(x)
        assert not torch.equal(layer(x)[0], found)
    assert choice.backend == "fused"
    assert "not triton, because this GPU is older" in choice.reason


@pytest.mark.parametrize("size", ["small", "one step, functional"])
def test_a_kernel_that_cannot_run_falls_back_to_torch_with_a_warning(monkeypatch, size):
    from linmem.nn.scan import triton_loops

    def too_large(*_, **__):
        raise RuntimeError("out of resource: shared memory")

    monkeypatch.setattr(triton_loops, "forward", too_large)
    monkeypatch.setattr(triton_loops, "backward", too_large)
    layer, *inputs = problem(SIZES[size], torch.float32)
    for given in inputs:
        expected = outcome(layer, "reference", given)
        with pytest.warns(UserWarning, match="cannot run on cpu.*shared memory.*torch runs the steps"):
            found = outcome(layer, "triton", given)
        assert_equal_but_for_rounding(found, expected, terms=20, steps=4)


def test_the_check_finds_wrong_kernels(monkeypatch):
    from linmem.nn.scan import triton_loops

    place, right = torch.device("cpu"), triton_loops.backward
    monkeypatch.setattr(cuda, "interpreted", lambda: False)  # as on a GPU, where nothing is known beforehand
    trial = cuda.check_kernels.__wrapped__
    assert trial(place, torch.float32) is None
    assert trial(place, bfloat16) is None

    def forgets_the_last_row(sizes, batch, blocks, *others):
        last = blocks[-1].clone()
        right(sizes, batch, blocks, *others)
        blocks[0] = last

    monkeypatch.setattr(triton_loops, "backward", forgets_the_last_row)
    assert trial(place, torch.float32) == "the kernels differ from torch's products"


def test_unsupported_devices_raise_an_error_with_the_reason(monkeypatch):
    x = torch.zeros(3, 2, 3)
    with pytest.raises(ValueError, match="parameters must be float32 or bfloat16 with backend='triton', got float16"):
        LMN(3, 4, 5, backend="triton", dtype=torch.float16)(x.half())
    monkeypatch.delenv("TRITON_INTERPRET")
    with pytest.raises(
        ValueError,
        match="backend must be one that runs here, got 'triton': the input is on cpu, not on a GPU. Use backend='auto'",
    ):
        LMN(3, 4, 5, backend="triton")(x)
    monkeypatch.setattr(cuda, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="Triton is not installed"):
        LMN(3, 4, 5, backend="triton")(x)


COMPILE = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from linmem.nn.scan import triton_loops

FORWARD = "projected blocks matrix bias sizes steps f p pitch BIAS KIND ROUND SEQUENCES COLUMNS TILE".split()
BACKWARD = "blocks outside matrix sizes steps count f p pitch OUTSIDE ROUND SEQUENCES COLUMNS TILE".split()
TYPES = {"sizes": "*i32"} | dict.fromkeys(["projected", "blocks", "bias", "outside"], "*fp32")
VALUES = {"BIAS": True, "KIND": 0, "SEQUENCES": 16, "TILE": 32, "OUTSIDE": True}
for capability, numbers, columns in ((90, "bf16", 256), (80, "bf16", 128), (75, "fp32", 128)):
    for kernel, names in ((triton_loops._forward, FORWARD), (triton_loops._backward, BACKWARD)):
        types = TYPES | {"matrix": "*" + numbers}
        signature = {n: "constexpr" if n.isupper() else types.get(n, "i32") for n in names}
        values = VALUES | {"ROUND": int(numbers == "bf16"), "COLUMNS": columns}
        constants = {n: values[n] for n in names if n.isupper()}
        source = ASTSource(fn=kernel, signature=signature, constexprs=constants)
        made = triton.compile(source, target=GPUTarget("cuda", capability, 32), options={"num_warps": 4})
        print(capability, numbers, made.metadata.shared, "mma.sync" in made.asm["ptx"])
"""


def test_kernels_compile_for_gpus_within_the_shared_memory_that_all_have():
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run([sys.executable, "-c", COMPILE], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert len(lines) == 6
    for _, numbers, shared, tensor_cores in lines:
        assert int(shared) <= 48 * 1024
        assert (tensor_cores == "True") == (numbers == "bf16")
