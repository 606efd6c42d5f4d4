"""Scans: every backend computes the recurrence of [L18], eqs. 11-12, and its gradients."""

import math
from itertools import pairwise, product

import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import pack_sequence

from linmem.nn import scan
from linmem.nn.scan import Batch, Weights, chunks
from linmem.nn.scan.engine import _blas_of_numpy, blas_threads
from linmem.nn.scan.libraries import ENGINES, choose_libraries
from tests.rounding import assert_equal_but_for_rounding

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


def run(backend, x, m_0, weights, nonlinearity="tanh", output="memory", batch_sizes=None):
    """One scan of a batch given by its parts."""
    sizes = None if batch_sizes is None else tuple(batch_sizes)
    return scan.run(Batch(x, m_0, weights, nonlinearity, output, sizes), backend)


def states_of(backend, x, m_0, weights, nonlinearity="tanh", batch_sizes=None):
    """Both states of all steps, and m after the last, from a run for each output."""
    hidden, m_n = run(backend, x, m_0, weights, nonlinearity, "functional", batch_sizes)
    memory, again = run(backend, x, m_0, weights, nonlinearity, "memory", batch_sizes)
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
    expected = gradients(run("reference", x, m_0, weights, nonlinearity, output), leaves(x, m_0, weights))
    found = gradients(run(backend, x, m_0, weights, nonlinearity, output), leaves(x, m_0, weights))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def in_float32(x, m_0, weights):
    """The same numbers rounded to float32, as new leaves."""
    single = [None if t is None else t.detach().float().requires_grad_() for t in (x, m_0, *weights.flat())]
    return single[0], single[1], Weights.from_flat(single[2:])


def exact_and_float32(backend, x, m_0, weights, nonlinearity):
    """States and gradients of the reference in float64 and of `backend` in float32, from the same numbers."""
    single = in_float32(x, m_0, weights)
    double = [t.detach().double().requires_grad_() if t is not None else None for t in (*single[:2], *single[2].flat())]
    double = double[0], double[1], Weights.from_flat(double[2:])
    exact, found = run("reference", *double, nonlinearity), run(backend, *single, nonlinearity)
    directions = [torch.randn(s.shape, dtype=s.dtype, generator=torch.Generator().manual_seed(2)) for s in exact]
    results = []
    for states, given in ((found, single), (exact, double)):
        total = sum((s * d.to(s.dtype)).sum() for s, d in zip(states, directions, strict=True))
        results.append([*states, *torch.autograd.grad(total, leaves(*given))])
    return results


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("size", [(160, 16, 88, (50,), 100), (33, 5, 3, (31, 17), 65)], ids=str)
def test_float32_stays_near_float64(backend, size):
    steps, batch, a, sizes, p = size
    weights = weights_of(a, sizes, p)
    with torch.no_grad():  # a contraction: rounding errors do not grow
        weights.mm.mul_(0.5)
        weights.mh.mul_(0.5)
    found, exact = exact_and_float32(backend, *inputs_of(steps, batch, a, p), weights, "tanh")
    assert all(one.dtype == torch.float32 for one in found)
    assert_equal_but_for_rounding(found, exact, terms=a + p + sum(sizes))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("nonlinearity", ["tanh", "selu"])
@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("sizes", [(3,), (3, 2)])
def test_gradcheck(backend, nonlinearity, output, sizes):
    weights = weights_of(2, sizes, 4)
    x, m_0 = inputs_of(4, 2, 2, 4)

    def states(x, m_0, *flat):
        return tuple(run(backend, x, m_0, Weights.from_flat(flat), nonlinearity, output))

    assert torch.autograd.gradcheck(states, (x, m_0, *weights.flat()))
    assert torch.autograd.gradgradcheck(states, (x, m_0, *weights.flat()))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("which", [0, 1])
def test_gradient_of_one_output_alone(backend, which):
    weights = weights_of(2, (3,), 4)
    x, m_0 = inputs_of(5, 2, 2, 4)
    (expected,) = torch.autograd.grad(run("reference", x, m_0, weights, "tanh")[which].square().sum(), [x])
    (found,) = torch.autograd.grad(run(backend, x, m_0, weights, "tanh")[which].square().sum(), [x])
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("sizes", [(4,), (4, 2)])
@pytest.mark.parametrize("lengths", [(5, 3, 3, 1), (4, 4), (1, 1, 1), (6,)])
def test_packed_rows_equal_each_sequence_alone(backend, lengths, sizes, output):
    weights = weights_of(3, sizes, 5)
    sequences = [torch.randn(n, 3, dtype=torch.float64, requires_grad=True) for n in lengths]
    m_0 = torch.randn(len(lengths), 5, dtype=torch.float64, requires_grad=True)
    packed = pack_sequence(sequences)
    found = run(backend, packed.data, m_0, weights, "tanh", output, packed.batch_sizes.tolist())
    alone = [run("reference", s[:, None], m_0[i : i + 1], weights, "tanh", output) for i, s in enumerate(sequences)]
    expected = [pack_sequence([one.output[:, 0] for one in alone]).data, torch.cat([one.memory for one in alone])]
    inputs = [*sequences, *leaves(sequences[0], m_0, weights)[1:]]
    for one, other in zip([*found, *gradients(found, inputs)], [*expected, *gradients(expected, inputs)], strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_same_run_twice_gives_the_same_bits(backend):
    weights = weights_of(8, (33,), 47, dtype=torch.float32)
    x, m_0 = inputs_of(20, 5, 8, 47, dtype=torch.float32)
    runs = []
    for _ in range(2):
        states = run(backend, x, m_0, weights, "tanh")
        runs.append([*states, *gradients(states, leaves(x, m_0, weights))])
    for one, other in zip(*runs, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("backend", BACKENDS)
def test_inputs_that_need_no_gradient_get_none_and_are_not_changed(backend):
    weights = Weights.from_flat([t.detach() for t in weights_of(2, (3,), 4).flat()])
    x, m_0 = (t.detach() for t in inputs_of(5, 2, 2, 4))
    mm = weights.mm.clone().requires_grad_()
    before = [t.clone() for t in leaves(x, m_0, weights)]
    states = run(backend, x, m_0, weights._replace(mm=mm), "tanh")
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
    for found, expected in zip(
        run(backend, strided, m_0, transposed, "tanh"), run(backend, x, m_0, weights, "tanh"), strict=True
    ):
        torch.testing.assert_close(found, expected)


# tensors whose numbers do not lie in memory row after row
LAYOUTS = {
    "transposed": lambda values: values.t().contiguous().t(),
    "strided": lambda values: values.repeat_interleave(2, 0).t().contiguous().t()[::2],
    "negated": lambda values: torch._neg_view(-values),  # as gradients through complex numbers arrive
    "expanded in rows": lambda values: values[:1].expand_as(values),
    "expanded in columns": lambda values: values[:, :1].expand_as(values),
}


@pytest.mark.parametrize("name", ["numpy", "torch", "onednn", "native"])
@pytest.mark.parametrize("memory", ["dense", "diagonal"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("backend", ["fused", "recompute"])
@pytest.mark.parametrize("output", OUTPUTS)
def test_gradients_do_not_depend_on_how_incoming_gradients_are_stored(
    monkeypatch, name, memory, layout, backend, output
):
    monkeypatch.setenv("LINMEM_ENGINE", name)
    monkeypatch.setattr(chunks, "ROWS_OF_A_CHUNK", 7)
    torch.manual_seed(0)
    checked = 0
    for dtype, sizes, lengths in product((torch.float32, torch.float64), [(4,), (4, 3)], [(9,), (5, 5), (6, 4, 1)]):
        if not ENGINES[name].supports(dtype, torch.device("cpu"), len(sizes) > 1):
            continue
        weights = weights_of(3, sizes, 6, dtype=dtype)
        if memory == "diagonal":
            weights = weights._replace(mm=(0.5 * torch.linspace(-1, 1, 12, dtype=dtype)).requires_grad_())
        packed = pack_sequence([torch.randn(n, 3, dtype=dtype) for n in lengths])
        x, m_0 = packed.data.requires_grad_(), torch.randn(len(lengths), 6, dtype=dtype, requires_grad=True)
        results = [
            run(one, x, m_0, weights, "tanh", output, packed.batch_sizes.tolist()) for one in (backend, "reference")
        ]
        grads = [LAYOUTS[layout](torch.randn_like(states)) for states in results[0]]
        for count in (1, 2):  # with the gradient of m_n, the two are added in memory of our own
            found, exact = (
                torch.autograd.grad(states[:count], leaves(x, m_0, weights), grads[:count], retain_graph=True)
                for states in results
            )
            assert_equal_but_for_rounding(found, exact, terms=3 + 6 + sum(sizes), steps=max(lengths))
        checked += 1
    if not checked:
        pytest.skip(f"{name} is not available here")


@pytest.mark.parametrize("memory", ["dense", "diagonal"])
@pytest.mark.parametrize("layout", ["transposed", "strided", "negated"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_results_do_not_depend_on_how_inputs_and_weights_are_stored(memory, layout, dtype):
    x, m_0 = (t.detach() for t in inputs_of(6, 1, 3, 8, dtype))
    weights = [None if t is None else t.detach() for t in weights_of(3, (16,), 8, dtype=dtype).flat()]
    if memory == "diagonal":
        weights[3] = 0.5 * torch.linspace(-1, 1, 16, dtype=dtype)
    stored = [
        LAYOUTS[layout](t) if t.dim() == 2 or layout == "negated" else t.repeat_interleave(2)[::2] for t in weights
    ]
    results = []
    for each, start, step in ((weights, m_0, x), (stored, LAYOUTS[layout](m_0), LAYOUTS[layout](x[:, 0])[:, None])):
        given = [step, start, *each]
        for tensor in given:
            tensor.requires_grad_()
        result = run("fused", step, start, Weights.from_flat(each), "tanh")
        results.append([*result, *gradients(result, given)])
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("rows", [1, 3, 7])
@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("sizes", [(4,), (4, 2)])
@pytest.mark.parametrize("lengths", [(8, 5, 5, 1), (6, 6), (9,)])
def test_results_do_not_depend_on_the_chunks_of_the_fused_scan(monkeypatch, lengths, sizes, output, rows):
    monkeypatch.setattr(chunks, "ROWS_OF_A_CHUNK", rows)
    weights = weights_of(3, sizes, 5)
    packed = pack_sequence([torch.randn(n, 3, dtype=torch.float64) for n in lengths])
    x = packed.data.requires_grad_()
    m_0 = torch.randn(len(lengths), 5, dtype=torch.float64, requires_grad=True)
    results = [
        run(backend, x, m_0, weights, "tanh", output, packed.batch_sizes.tolist())
        for backend in ("fused", "recompute", "reference")
    ]
    fused, recomputed, expected = ([*result, *gradients(result, leaves(x, m_0, weights))] for result in results)
    for one, two, other in zip(fused, recomputed, expected, strict=True):
        torch.testing.assert_close(one, other)
        torch.testing.assert_close(two, other)


@pytest.mark.parametrize("name", ["numpy", "torch", "onednn", "native"])
@pytest.mark.parametrize("nonlinearity", NONLINEARITIES)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_every_engine_computes_the_same(monkeypatch, name, nonlinearity, size):
    steps, batch, a, sizes, p = size
    if not ENGINES[name].supports(torch.float32, torch.device("cpu"), len(sizes) > 1):
        pytest.skip(f"{name} is not available here, or not for this size")
    monkeypatch.setenv("LINMEM_ENGINE", name)
    weights = weights_of(a, sizes, p)
    found, exact = exact_and_float32("fused", *inputs_of(steps, batch, a, p), weights, nonlinearity)
    assert_equal_but_for_rounding(found, exact, terms=a + p + sum(sizes), steps=steps)


def test_engines_follow_the_documented_order(monkeypatch):
    cpu, single, double = torch.device("cpu"), torch.float32, torch.float64
    monkeypatch.delenv("LINMEM_ENGINE", raising=False)

    def loop(rows, width, dtype, **options):
        return choose_libraries(rows, width, width, dtype, cpu, **options).loop.name

    if ENGINES["native"].supports(single, cpu):
        assert loop(1, 150, single) == loop(64, 750, single) == "native"
    if ENGINES["onednn"].supports(single, cpu):
        assert loop(4, 750, single, step_by_step=True) == "onednn"
        assert choose_libraries(1, 150, 150, single, cpu).product.name == "onednn"
    assert loop(3, 1000, single, step_by_step=True) == "numpy"
    assert loop(16, 350, single, step_by_step=True) == "numpy"
    assert loop(64, 750, double) == "numpy"
    assert loop(64, 750, torch.bfloat16) == "torch"
    assert choose_libraries(64, 750, 750, single, torch.device("meta")).loop.name == "torch"
    monkeypatch.setenv("LINMEM_ENGINE", "torch")
    assert loop(16, 150, single) == "torch"
    monkeypatch.setenv("LINMEM_ENGINE", "blas")
    with pytest.raises(
        ValueError, match="LINMEM_ENGINE must be one of 'native', 'onednn', 'numpy', 'torch', got 'blas'"
    ):
        loop(16, 150, single)


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch was built without oneDNN")
def test_long_products_are_summed_in_pieces():
    left, right = torch.randn(3, 1300), torch.randn(1300, 5)
    assert_equal_but_for_rounding(ENGINES["onednn"].product(left, right), left.double() @ right.double(), terms=1300)


def test_blas_threads_restores_the_number_of_threads():
    before = [c.get_num_threads() for c in _blas_of_numpy()]
    with blas_threads():
        assert all(c.get_num_threads() <= torch.get_num_threads() for c in _blas_of_numpy())
    assert [c.get_num_threads() for c in _blas_of_numpy()] == before


def test_unknown_names_list_the_known_ones():
    weights, (x, m_0) = weights_of(2, (3,), 4), inputs_of(2, 2, 2, 4)
    with pytest.raises(
        ValueError, match=r"backend must be one of 'auto', 'reference', 'fused', .*'export', got 'cudnn'"
    ):
        run("cudnn", x, m_0, weights)
    with pytest.raises(ValueError, match=r"nonlinearity must be one of 'tanh', 'relu', 'selu', 'identity', got 'gelu'"):
        run("fused", x, m_0, weights, "gelu")
