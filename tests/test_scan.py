"""Scans: every backend computes the recurrence of [L18], eqs. 11-12, and its gradients."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import pack_sequence

from linmem.nn import scan
from linmem.nn.scan import Weights, chunks
from linmem.nn.scan.choice import ENGINES, choose, settled
from linmem.nn.scan.engine import _blas_of_numpy, blas_threads

NONLINEARITIES = ("tanh", "relu", "selu", "identity")
# T, B, a, functional sizes, p
SIZES = [
    (1, 1, 1, (1,), 1),
    (1, 3, 2, (4,), 3),
    (7, 1, 3, (2,), 5),
    (6, 4, 2, (5,), 1),
    (9, 2, 1, (1,), 4),
    (5, 3, 4, (6, 1, 3), 7),
]
# the rows of the table; "parallel" and "export" compute less than everything and have tests of their own
BACKENDS = ["reference", "fused", "recompute", "auto"]
OUTPUTS = ("memory", "functional")


def weights_of(a, sizes, p, *, bias=True, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return (torch.randn(shape, generator=generator, dtype=dtype) / math.sqrt(shape[-1])).requires_grad_()

    f = sizes[0]
    deep = tuple((draw(out, into), draw(out) if bias else None) for into, out in pairwise(sizes))
    biases = (draw(f), draw(p)) if bias else (None, None)
    return Weights(draw(f, a), draw(f, p), draw(p, sizes[-1]), draw(p, p), *biases, deep)


def inputs_of(steps, batch, a, p, dtype=torch.float64, seed=1):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(steps, batch, a, generator=generator, dtype=dtype).requires_grad_()
    return x, torch.randn(batch, p, generator=generator, dtype=dtype).requires_grad_()


def number(nonlinearity, v):
    """σ of one number, from its definition."""
    if nonlinearity == "tanh":
        return math.tanh(v)
    if nonlinearity == "relu":
        return max(v, 0.0)
    if nonlinearity == "selu":
        return 1.0507009873554805 * (v if v > 0 else 1.6732632423543772 * math.expm1(v))
    return v


def oracle(x, m, weights, nonlinearity):
    """One sequence, every sum written out: x (T, a), m (p,) to h (T, f), m (T, p)."""
    w = [None if t is None else t.detach().tolist() for t in weights[:6]]
    xh, mh, hm, mm, bias_h, bias_m = w
    x, m = x.detach().tolist(), m.detach().tolist()
    hidden, memory = [], []

    def dot(row, vector):
        return sum(a * b for a, b in zip(row, vector, strict=True))

    for x_t in x:
        h = [
            number(nonlinearity, dot(xh[i], x_t) + dot(mh[i], m) + (bias_h[i] if bias_h else 0)) for i in range(len(xh))
        ]
        for weight, bias in weights.deep:
            weight, bias = weight.tolist(), None if bias is None else bias.tolist()
            h = [number(nonlinearity, dot(row, h) + (bias[i] if bias else 0)) for i, row in enumerate(weight)]
        m = [dot(hm[i], h) + dot(mm[i], m) + (bias_m[i] if bias_m else 0) for i in range(len(mm))]
        hidden.append(h)
        memory.append(m)
    return np.array(hidden), np.array(memory)


def gradients(states, inputs, seed=2):
    """Gradients of a fixed random function of both outputs."""
    generator = torch.Generator().manual_seed(seed)
    loss = sum((s * torch.randn(s.shape, generator=generator, dtype=s.dtype)).sum() for s in states)
    return torch.autograd.grad(loss, inputs)


def states_of(backend, x, m_0, weights, nonlinearity="tanh", batch_sizes=None):
    """Both states of all steps, and m after the last, from a run for each output."""
    run = scan.get(backend)
    hidden, m_n = run(x, m_0, weights, nonlinearity, "functional", batch_sizes)
    memory, again = run(x, m_0, weights, nonlinearity, "memory", batch_sizes)
    torch.testing.assert_close(m_n, again)
    return hidden, memory, m_n


def leaves(x, m_0, weights):
    return [t for t in (x, m_0, *weights.flat()) if t is not None]


@pytest.mark.parametrize("backend", BACKENDS)
def test_memory_that_only_sums_is_the_running_sum_of_its_inputs(backend):
    eye = torch.eye(3, dtype=torch.float64)
    weights = Weights(eye, torch.zeros(3, 3, dtype=torch.float64), eye, eye, None, None)
    x, m_0 = inputs_of(8, 2, 3, 3)
    hidden, memory, m_n = states_of(backend, x, m_0, weights, "identity")
    torch.testing.assert_close(hidden, x)
    torch.testing.assert_close(memory, m_0 + x.cumsum(0))
    torch.testing.assert_close(m_n, memory[-1])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("nonlinearity", NONLINEARITIES)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_states_match_the_sums_written_out(backend, size, nonlinearity, bias):
    steps, batch, a, sizes, p = size
    weights = weights_of(a, sizes, p, bias=bias)
    x, m_0 = inputs_of(steps, batch, a, p)
    hidden, memory, m_n = states_of(backend, x, m_0, weights, nonlinearity)
    assert hidden.shape == (steps, batch, sizes[-1])
    assert memory.shape == (steps, batch, p)
    for i in range(batch):
        expected_h, expected_m = oracle(x[:, i], m_0[i], weights, nonlinearity)
        np.testing.assert_allclose(hidden[:, i].detach(), expected_h, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(memory[:, i].detach(), expected_m, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(m_n[i].detach(), expected_m[-1], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("backend", [b for b in BACKENDS if b != "reference"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("nonlinearity", NONLINEARITIES)
@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_gradients_match_the_reference(backend, size, output, nonlinearity, bias):
    steps, batch, a, sizes, p = size
    weights = weights_of(a, sizes, p, bias=bias)
    x, m_0 = inputs_of(steps, batch, a, p)
    wanted = gradients(scan.get("reference")(x, m_0, weights, nonlinearity, output), leaves(x, m_0, weights))
    found = gradients(scan.get(backend)(x, m_0, weights, nonlinearity, output), leaves(x, m_0, weights))
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("backend", [b for b in BACKENDS if b != "reference"])
@pytest.mark.parametrize("size", [(160, 16, 88, (50,), 100), (33, 5, 3, (31, 17), 65)], ids=str)
def test_float32_stays_near_float64(backend, size):
    steps, batch, a, sizes, p = size
    weights = weights_of(a, sizes, p)
    with torch.no_grad():  # a contraction: what rounds off does not grow
        weights.mm.mul_(0.5)
        weights.mh.mul_(0.5)
    x, m_0 = inputs_of(steps, batch, a, p)
    exact = scan.get("reference")(x, m_0, weights, "tanh")
    exact_gradients = gradients(exact, leaves(x, m_0, weights))
    single = [None if t is None else t.detach().float().requires_grad_() for t in (x, m_0, *weights.flat())]
    states = scan.get(backend)(single[0], single[1], Weights.from_flat(single[2:]), "tanh")
    assert states.output.dtype == torch.float32
    found = torch.autograd.grad(
        sum((s * e).sum() for s, e in zip(states, _directions(exact), strict=True)),
        [t for t in single if t is not None],
    )
    for one, other in zip([*states, *found], [*exact, *exact_gradients], strict=True):
        assert (one - other).norm() <= 1e-5 * other.norm()


def _directions(states, seed=2):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(s.shape, generator=generator, dtype=s.dtype).float() for s in states]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("nonlinearity", ["tanh", "selu"])
@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("sizes", [(3,), (3, 2)])
def test_gradcheck(backend, nonlinearity, output, sizes):
    weights = weights_of(2, sizes, 4)
    x, m_0 = inputs_of(4, 2, 2, 4)

    def states(x, m_0, *flat):
        return tuple(scan.get(backend)(x, m_0, Weights.from_flat(flat), nonlinearity, output))

    assert torch.autograd.gradcheck(states, (x, m_0, *weights.flat()))
    assert torch.autograd.gradgradcheck(states, (x, m_0, *weights.flat()))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("which", [0, 1])
def test_gradient_of_one_output_alone(backend, which):
    weights = weights_of(2, (3,), 4)
    x, m_0 = inputs_of(5, 2, 2, 4)
    (wanted,) = torch.autograd.grad(scan.get("reference")(x, m_0, weights, "tanh")[which].square().sum(), [x])
    (found,) = torch.autograd.grad(scan.get(backend)(x, m_0, weights, "tanh")[which].square().sum(), [x])
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("sizes", [(4,), (4, 2)])
@pytest.mark.parametrize("lengths", [(5, 3, 3, 1), (4, 4), (1, 1, 1), (6,)])
def test_packed_rows_equal_each_sequence_alone(backend, lengths, sizes, output):
    weights = weights_of(3, sizes, 5)
    sequences = [torch.randn(n, 3, dtype=torch.float64, requires_grad=True) for n in lengths]
    m_0 = torch.randn(len(lengths), 5, dtype=torch.float64, requires_grad=True)
    packed = pack_sequence(sequences)
    found = scan.get(backend)(packed.data, m_0, weights, "tanh", output, packed.batch_sizes.tolist())
    alone = [
        scan.get("reference")(s[:, None], m_0[i : i + 1], weights, "tanh", output) for i, s in enumerate(sequences)
    ]
    wanted = [pack_sequence([one.output[:, 0] for one in alone]).data, torch.cat([one.memory for one in alone])]
    inputs = [*sequences, *leaves(sequences[0], m_0, weights)[1:]]
    for one, other in zip([*found, *gradients(found, inputs)], [*wanted, *gradients(wanted, inputs)], strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_same_run_twice_gives_the_same_bits(backend):
    weights = weights_of(8, (33,), 47, dtype=torch.float32)
    x, m_0 = inputs_of(20, 5, 8, 47, dtype=torch.float32)
    runs = []
    for _ in range(2):
        states = scan.get(backend)(x, m_0, weights, "tanh")
        runs.append([*states, *gradients(states, leaves(x, m_0, weights))])
    for one, other in zip(*runs, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("backend", BACKENDS)
def test_inputs_that_need_no_gradient_get_none_and_are_not_changed(backend):
    weights = Weights.from_flat([t.detach() for t in weights_of(2, (3,), 4).flat()])
    x, m_0 = (t.detach() for t in inputs_of(5, 2, 2, 4))
    mm = weights.mm.clone().requires_grad_()
    before = [t.clone() for t in leaves(x, m_0, weights)]
    states = scan.get(backend)(x, m_0, weights._replace(mm=mm), "tanh")
    states.output.sum().backward()
    assert mm.grad is not None
    assert x.grad is None
    for now, then in zip(leaves(x, m_0, weights), before, strict=True):
        assert torch.equal(now, then)


@pytest.mark.parametrize("backend", BACKENDS)
def test_strided_inputs_give_the_same_states(backend):
    weights = weights_of(3, (4,), 5)
    x, m_0 = inputs_of(6, 4, 3, 5)
    strided = x.transpose(0, 1).contiguous().transpose(0, 1)
    transposed = weights._replace(mm=weights.mm.t().contiguous().t(), xh=weights.xh.t().contiguous().t())
    for found, wanted in zip(
        scan.get(backend)(strided, m_0, transposed, "tanh"), scan.get(backend)(x, m_0, weights, "tanh"), strict=True
    ):
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("rows", [1, 3, 7])
@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("sizes", [(4,), (4, 2)])
@pytest.mark.parametrize("lengths", [(8, 5, 5, 1), (6, 6), (9,)])
def test_where_the_fused_scan_cuts_time_does_not_matter(monkeypatch, lengths, sizes, output, rows):
    monkeypatch.setattr(chunks, "ROWS_OF_A_CHUNK", rows)
    weights = weights_of(3, sizes, 5)
    packed = pack_sequence([torch.randn(n, 3, dtype=torch.float64) for n in lengths])
    x = packed.data.requires_grad_()
    m_0 = torch.randn(len(lengths), 5, dtype=torch.float64, requires_grad=True)
    results = [
        scan.get(backend)(x, m_0, weights, "tanh", output, packed.batch_sizes.tolist())
        for backend in ("fused", "recompute", "reference")
    ]
    fused, recomputed, wanted = ([*result, *gradients(result, leaves(x, m_0, weights))] for result in results)
    for one, two, other in zip(fused, recomputed, wanted, strict=True):
        torch.testing.assert_close(one, other)
        torch.testing.assert_close(two, other)


@pytest.mark.parametrize("name", ["numpy", "torch", "onednn", "native"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_every_engine_computes_the_same(monkeypatch, name, size):
    dtype = torch.float32
    steps, batch, a, sizes, p = size
    if not ENGINES[name].knows(dtype, torch.device("cpu"), len(sizes) > 1):
        pytest.skip(f"{name} is not available here, or not for this size")
    weights = weights_of(a, sizes, p, dtype=dtype)
    x, m_0 = inputs_of(steps, batch, a, p, dtype=dtype)
    wanted = scan.get("reference")(x, m_0, weights, "selu")
    monkeypatch.setenv("LINMEM_ENGINE", name)
    found = scan.get("fused")(x, m_0, weights, "selu")
    inputs = leaves(x, m_0, weights)
    for one, other in zip([*found, *gradients(found, inputs)], [*wanted, *gradients(wanted, inputs)], strict=True):
        torch.testing.assert_close(one, other, rtol=2e-5, atol=2e-5)


def test_engines_are_chosen_once_and_can_be_settled(monkeypatch):
    cpu, arguments = torch.device("cpu"), (16, 30, 160, False)
    monkeypatch.delenv("LINMEM_ENGINE", raising=False)
    chosen = choose(*arguments, torch.float32, cpu)
    assert chosen == choose(*arguments, torch.float32, cpu)
    assert choose(*arguments, torch.bfloat16, cpu).loop.name == "torch"
    monkeypatch.setenv("LINMEM_ENGINE", "torch")
    assert choose(*arguments, torch.float32, cpu).loop.name == "torch"
    monkeypatch.setenv("LINMEM_ENGINE", "blas")
    with pytest.raises(ValueError, match="LINMEM_ENGINE is 'blas'.*'numpy', 'torch', 'onednn', 'native'"):
        choose(*arguments, torch.float32, cpu)
    monkeypatch.delenv("LINMEM_ENGINE")
    with settled():
        here = choose(*arguments, torch.float32, cpu)
        assert here.loop.name == ("native" if ENGINES["native"].knows(torch.float32, cpu) else "numpy")
        assert choose(*arguments, torch.float64, cpu).loop.name == "numpy"
        assert choose(16, 30, 160, True, torch.float32, cpu).loop.name == "numpy"
    torch.use_deterministic_algorithms(True)
    try:
        assert choose(*arguments, torch.float32, cpu).loop.name == "numpy"
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch was built without oneDNN")
def test_long_products_are_summed_in_pieces():
    left, right = torch.randn(3, 1300), torch.randn(1300, 5)
    torch.testing.assert_close(ENGINES["onednn"].product(left, right), left @ right, rtol=1e-4, atol=1e-4)


def test_threads_of_numpys_blas_come_back():
    before = [c.get_num_threads() for c in _blas_of_numpy()]
    with blas_threads():
        assert all(c.get_num_threads() <= torch.get_num_threads() for c in _blas_of_numpy())
    assert [c.get_num_threads() for c in _blas_of_numpy()] == before


def test_unknown_names_list_the_known_ones():
    with pytest.raises(ValueError, match=r"backend is 'cudnn'.*'auto', 'reference', 'fused', 'recompute'"):
        scan.get("cudnn")
    weights, (x, m_0) = weights_of(2, (3,), 4), inputs_of(2, 2, 2, 4)
    with pytest.raises(ValueError, match=r"nonlinearity is 'gelu'.*'tanh', 'relu', 'selu', 'identity'"):
        scan.get("fused")(x, m_0, weights, "gelu")
