"""The diagonal memory: a stable block-diagonal W_mm, equal to a dense layer with the same matrix."""

import math

import pytest
import torch
from torch.nn.utils.rnn import pack_sequence

from linmem.nn.lmn import LMN
from linmem.nn.scan.libraries import ENGINES
from linmem.nn.scan.memory import as_matrix, diagonal_blocks, multiply, square
from tests.rounding import assert_equal_but_for_rounding

SIZES = [1, 2, 5, 6]


def draw(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def parameters_of(p, seed=0):
    """ν and the phases of a memory, at random."""
    return draw(p, seed=seed), math.pi * draw(p // 2 + 1, seed=seed + 1)


def layer_of(p, **options):
    torch.manual_seed(0)
    layer = LMN(3, 4, p, memory="diagonal", dtype=torch.float64, **options)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return layer


def dense_twin(layer):
    """A dense layer with the same function."""
    options = {"output": layer.output, "bidirectional": layer.bidirectional, "num_layers": layer.num_layers}
    twin = LMN(3, layer.hidden_size, layer.memory_size, dtype=torch.float64, **options)
    state = {name: value for name, value in layer.state_dict().items() if "_mm_" not in name}
    for suffix in (name.removeprefix("weight_mm") for name in twin.state_dict() if name.startswith("weight_mm")):
        state["weight_mm" + suffix] = layer.memory_matrix(suffix).detach()
    twin.load_state_dict(state)
    return twin


def outcome(layer, x, shared):
    """Outputs, last memory, and the gradients of x and of the parameters that both kinds of layer have."""
    y, m_n = layer(x)
    rows = y if isinstance(y, torch.Tensor) else y.data
    parameters = [dict(layer.named_parameters())[name] for name in shared]
    inputs = [x if isinstance(x, torch.Tensor) else x.data, *parameters]
    return [rows, m_n, *torch.autograd.grad(rows.sin().sum() + m_n.square().sum(), inputs)]


@pytest.mark.parametrize("p", SIZES)
def test_operators_equal_the_dense_matrix(p):
    matrix, m = diagonal_blocks(*parameters_of(p)), draw(7, 3, p)
    dense = as_matrix(matrix)
    torch.testing.assert_close(multiply(m, matrix), m @ dense.t())
    torch.testing.assert_close(as_matrix(square(matrix)), dense @ dense)


def test_blocks_are_those_of_the_definition():
    log_decay, phase = parameters_of(5)
    decay, (first, second, last) = torch.exp(-torch.exp(log_decay)).tolist(), phase.tolist()
    expected = torch.zeros(5, 5, dtype=torch.float64)
    for j, theta in enumerate((first, second)):
        rotation = [[math.cos(theta), -math.sin(theta)], [math.sin(theta), math.cos(theta)]]
        for row in range(2):
            for column in range(2):
                expected[2 * j + row, 2 * j + column] = decay[2 * j + row] * rotation[row][column]
    expected[4, 4] = decay[4] * math.cos(last)
    torch.testing.assert_close(as_matrix(diagonal_blocks(log_decay, phase)), expected)


@pytest.mark.parametrize("p", [2, 6])
def test_equal_decays_give_the_eigenvalues_of_the_definition(p):
    log_decay, phase = parameters_of(p)
    log_decay = log_decay[::2].repeat_interleave(2)
    phase[-1] = 0.0
    found = torch.linalg.eigvals(as_matrix(diagonal_blocks(log_decay, phase)))
    decay, angle = torch.exp(-torch.exp(log_decay[::2])), phase[:-1]
    for sign in (1, -1):
        for eigenvalue in torch.polar(decay, sign * angle):
            assert (found - eigenvalue).abs().min() < 1e-12


@pytest.mark.parametrize("p", SIZES)
def test_the_memory_is_a_contraction_for_all_parameters(p):
    for seed in range(20):
        log_decay, phase = parameters_of(p, seed)
        matrix = as_matrix(diagonal_blocks(10 * log_decay, 10 * phase))
        assert torch.linalg.matrix_norm(matrix, 2) <= 1 + 1e-14
        matrix = as_matrix(diagonal_blocks(log_decay, phase))
        assert torch.linalg.matrix_norm(matrix, 2) < 1


@pytest.mark.parametrize("backend", ["reference", "fused", "recompute"])
@pytest.mark.parametrize("options", [{}, {"output": "functional"}, {"bidirectional": True, "num_layers": 2}], ids=str)
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("p", SIZES)
def test_layer_equals_a_dense_layer_with_the_same_matrix(p, options, backend, packed):
    layer = layer_of(p, **options, backend=backend)
    twin = dense_twin(layer)
    twin.backend = "reference"
    x = pack_sequence([draw(n, 3, seed=n) for n in (9, 9, 4, 1)]) if packed else draw(9, 4, 3)
    (x.data if packed else x).requires_grad_()
    shared = [name for name, _ in layer.named_parameters() if "_mm_" not in name]
    torch.testing.assert_close(outcome(layer, x, shared), outcome(twin, x, shared))


@pytest.mark.parametrize("backend", ["fused", "recompute"])
@pytest.mark.parametrize("steps", [5, 2100])  # 2100 steps of two sequences are several chunks
def test_gradients_of_decays_and_phases_equal_the_reference(backend, steps):
    layer, x, found = layer_of(6), draw(steps, 2, 3), []
    with torch.no_grad():
        layer.weight_mh_l0.mul_(0.1)  # a contraction: the loop m → h → m does not amplify rounding
    for name in ("reference", backend):
        layer.backend = name
        y, m_n = layer(x)
        found.append(torch.autograd.grad(y.square().sum() + m_n.sum(), list(layer.parameters())))
    torch.testing.assert_close(*found)


@pytest.mark.parametrize("name", ["numpy", "torch", "onednn", "native"])
@pytest.mark.parametrize("p", [5, 6, 33])
def test_every_engine_computes_the_same_in_float32(monkeypatch, name, p):
    if not ENGINES[name].supports(torch.float32, torch.device("cpu")):
        pytest.skip(f"{name} is not available here")
    exact = layer_of(p, backend="reference")
    layer = LMN(3, 4, p, memory="diagonal", backend="fused")
    layer.load_state_dict(exact.state_dict())
    exact.load_state_dict(layer.state_dict())  # the same rounded numbers
    x, names = draw(6, 3, 3).float(), [name for name, _ in exact.named_parameters()]
    monkeypatch.setenv("LINMEM_ENGINE", name)
    results = [outcome(one, y.requires_grad_(), names) for one, y in ((layer, x.clone()), (exact, x.double()))]
    assert_equal_but_for_rounding(*results, terms=3 + 4 + p, steps=6)


def test_a_new_layer_starts_like_a_dense_one():
    layers = []
    for memory in ("dense", "diagonal"):
        torch.manual_seed(0)
        layers.append(LMN(3, 4, 7, memory=memory))
    dense, diagonal = layers
    torch.testing.assert_close(diagonal.memory_matrix()[1:], dense.weight_mm_l0[1:])
    assert diagonal.memory_matrix()[0, 0].item() == pytest.approx(1e-3)
    for name in ("weight_xh_l0", "weight_mh_l0", "weight_hm_l0", "bias_h_l0", "bias_m_l0"):
        assert torch.equal(getattr(diagonal, name), getattr(dense, name))
    assert diagonal.spectral_radii() == pytest.approx(dense.spectral_radii())
