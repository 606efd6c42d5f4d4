"""LMN and LMNCell: the interface of nn.LSTM, for every backend."""

import copy
import io

import pytest
import torch
import torch.utils.checkpoint
from safetensors.torch import load_file, save_file
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.utils import parametrize
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pack_sequence, pad_packed_sequence, unpack_sequence

from linmem.nn.lmn import LMN
from linmem.nn.lmn_cell import LMNCell
from tests.needs_triton import needs_triton
from tests.rounding import assert_equal_but_for_rounding

# The columns of the table: every test below runs for every backend that supports it.
TRITON = pytest.param("triton", marks=needs_triton)
BACKENDS = ["reference", "fused", "recompute", "parallel", TRITON]  # "parallel" with W_mh = 0, as it requires
SHAPES = {  # constructor arguments that change what the layer computes
    "plain": {},
    "functional": {"output": "functional"},
    "stacked": {"num_layers": 3},
    "bidirectional": {"bidirectional": True},
    "stacked, bidirectional, functional": {"num_layers": 2, "bidirectional": True, "output": "functional"},
    "deep": {"hidden_size": (6, 3, 5)},
    "no bias": {"bias": False, "hidden_size": (4, 2)},
    "selu": {"nonlinearity": "selu"},
    "diagonal": {"memory": "diagonal"},
    "diagonal, even, functional": {"memory": "diagonal", "memory_size": 6, "output": "functional"},
    "diagonal, stacked, bidirectional": {"memory": "diagonal", "num_layers": 2, "bidirectional": True},
    "diagonal, deep, no bias": {"memory": "diagonal", "hidden_size": (6, 3, 5), "bias": False},
}


def layer_of(backend="auto", seed=0, **arguments):
    torch.manual_seed(seed)
    arguments = {"input_size": 3, "hidden_size": 4, "memory_size": 5, "dtype": torch.float64} | arguments
    layer = LMN(backend=backend, **arguments)
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
            if backend == "parallel" and name.startswith("weight_mh"):
                parameter.zero_()
    return layer


def input_of(*shape, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(1))


def memory_of(layer, batch, dtype=torch.float64):
    return input_of(layer.num_layers * layer.num_directions, batch, layer.memory_size, dtype=dtype)


every_backend = pytest.mark.parametrize("backend", BACKENDS)
INTERPRETED = ("plain", "functional", "bidirectional")  # with Triton's interpreter; other shapes run the same kernels


def shapes_and_backends(shapes):
    """All pairs, except those that run the same kernels again in Triton's slow interpreter."""
    pairs = [(b, s) for s in shapes for b in BACKENDS if b is not TRITON or s in INTERPRETED]
    return pytest.mark.parametrize(
        ("backend", "arguments"),
        [pytest.param("triton", SHAPES[s], marks=needs_triton) if b is TRITON else (b, SHAPES[s]) for b, s in pairs],
        ids=[f"{s}-{'triton' if b is TRITON else b}" for b, s in pairs],
    )


every_shape = shapes_and_backends(SHAPES)
forward_shapes = shapes_and_backends([shape for shape in SHAPES if "bidirectional" not in shape])


@forward_shapes
def test_steps_equal_the_sequence_equal_its_chunks(backend, arguments):
    layer = layer_of(backend, **arguments)
    x, m_0 = input_of(9, 2, 3), memory_of(layer, 2)
    y, m_n = layer(x, m_0)
    m, steps = m_0, []
    for x_t in x:
        y_t, m = layer.step(x_t, m)
        steps.append(y_t)
    torch.testing.assert_close(torch.stack(steps), y)
    torch.testing.assert_close(m, m_n)
    m, chunks = m_0, []
    for chunk in x.split([1, 5, 3]):
        part, m = layer(chunk, m)
        chunks.append(part)
    torch.testing.assert_close(torch.cat(chunks), y)
    torch.testing.assert_close(m, m_n)


@every_backend
@pytest.mark.parametrize("output", ["memory", "functional"])
@pytest.mark.parametrize("memory", ["dense", "diagonal"])
def test_layer_equals_its_cell_in_a_loop(backend, output, memory):
    layer = layer_of(backend, hidden_size=(4, 2), output=output, memory=memory)
    cell = LMNCell(3, (4, 2), 5, memory=memory, dtype=torch.float64)
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in layer.state_dict().items()})
    x = input_of(6, 2, 3)
    m, steps = None, []
    for x_t in x:
        h, m = cell(x_t, m)
        steps.append(m if output == "memory" else h)
    y, m_n = layer(x)
    torch.testing.assert_close(torch.stack(steps), y)
    torch.testing.assert_close(m, m_n[0])
    torch.testing.assert_close(cell(x[0, 0])[0], cell(x[0])[0][0])


@every_backend
@pytest.mark.parametrize("output", ["memory", "functional"])
def test_bidirectional_is_two_runs(backend, output):
    both = layer_of(backend, bidirectional=True, output=output)
    x, m_0 = input_of(7, 2, 3), memory_of(both, 2)
    y, m_n = both(x, m_0)
    for direction, suffix in enumerate(("", "_reverse")):
        one = layer_of(backend, output=output)
        one.load_state_dict(
            {
                n + "_l0": both.state_dict()[n + "_l0" + suffix]
                for n in ("weight_xh", "weight_mh", "weight_hm", "weight_mm", "bias_h", "bias_m")
            }
        )
        turn = (lambda t: t.flip(0)) if direction else (lambda t: t)
        y_one, m_one = one(turn(x), m_0[direction : direction + 1])
        torch.testing.assert_close(y.chunk(2, -1)[direction], turn(y_one))
        torch.testing.assert_close(m_n[direction], m_one[0])


@every_backend
@pytest.mark.parametrize("bidirectional", [False, True])
def test_stacked_is_the_composition(backend, bidirectional):
    stacked = layer_of(backend, num_layers=2, bidirectional=bidirectional)
    below = layer_of(backend, bidirectional=bidirectional)
    above = layer_of(backend, input_size=below.output_size, bidirectional=bidirectional)
    state = stacked.state_dict()
    below.load_state_dict({n: v for n, v in state.items() if "_l0" in n})
    above.load_state_dict({n.replace("_l1", "_l0"): v for n, v in state.items() if "_l1" in n})
    x, m_0 = input_of(7, 2, 3), memory_of(stacked, 2)
    y, m_n = stacked(x, m_0)
    first, m_first = below(x, m_0[: below.num_directions])
    second, m_second = above(first, m_0[below.num_directions :])
    torch.testing.assert_close(y, second)
    torch.testing.assert_close(m_n, torch.cat([m_first, m_second]))


@every_shape
@pytest.mark.parametrize("lengths", [(5, 2, 4), (3, 3), (1, 1, 4), (6,)])
def test_packed_equals_each_sequence_alone(backend, arguments, lengths):
    layer = layer_of(backend, **arguments)
    sequences = [input_of(6, 3)[:n].clone().requires_grad_() for n in lengths]
    m_0 = memory_of(layer, len(lengths)).requires_grad_()
    inputs = [*sequences, m_0, *layer.parameters()]
    y, m_n = layer(pack_sequence(sequences, enforce_sorted=False), m_0)
    alone = [layer(s, m_0[:, i]) for i, s in enumerate(sequences)]
    for one, (y_one, _) in zip(unpack_sequence(y), alone, strict=True):
        torch.testing.assert_close(one, y_one)
    torch.testing.assert_close(m_n, torch.stack([m for _, m in alone], 1))
    packed = torch.autograd.grad(sum(one.sin().sum() for one in unpack_sequence(y)) + m_n.square().sum(), inputs)
    loop = torch.autograd.grad(sum(y.sin().sum() + m.square().sum() for y, m in alone), inputs)
    for one, other in zip(packed, loop, strict=True):
        torch.testing.assert_close(one, other)


@every_shape
def test_values_in_the_padding_change_nothing(backend, arguments):
    layer = layer_of(backend, batch_first=True, **arguments)
    lengths, found = torch.tensor([4, 7, 2]), []
    for filling in (0.0, 1e6):
        x = input_of(3, 7, 3)
        x[torch.arange(7)[None, :] >= lengths[:, None]] = filling
        x.requires_grad_()
        y, m_n = layer(pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False))
        y, _ = pad_packed_sequence(y, batch_first=True)
        gradients = torch.autograd.grad(y.square().sum() + m_n.sum(), [x, *layer.parameters()])
        assert not gradients[0][torch.arange(7)[None, :] >= lengths[:, None]].any()
        found.append([y, m_n, *gradients])
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


@forward_shapes
def test_right_padding_changes_nothing_before_it(backend, arguments):
    layer = layer_of(backend, **arguments)
    x, found = input_of(5, 2, 3), []
    for padding in (0, 4):
        padded = torch.cat([x, torch.full((padding, 2, 3), 9.0, dtype=x.dtype)]).requires_grad_()
        y, _ = layer(padded)
        x_grad, *gradients = torch.autograd.grad(
            y[:5].square().sum(), [padded, *layer.parameters()], materialize_grads=True
        )
        assert not x_grad[5:].any()
        found.append([y[:5], x_grad[:5], *gradients])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


@every_shape
def test_layouts_agree(backend, arguments):
    layer = layer_of(backend, **arguments)
    x, m_0 = input_of(6, 2, 3), memory_of(layer, 2)
    y, m_n = layer(x, m_0)
    y_one, m_one = layer(x[:, 1], m_0[:, 1])
    torch.testing.assert_close(y_one, y[:, 1])
    torch.testing.assert_close(m_one, m_n[:, 1])
    batch_first = layer_of(backend, batch_first=True, **arguments)
    y_first, m_first = batch_first(x.transpose(0, 1), m_0)
    torch.testing.assert_close(y_first, y.transpose(0, 1))
    torch.testing.assert_close(m_first, m_n)
    torch.testing.assert_close(layer(x)[0], layer(x, torch.zeros_like(m_0))[0])


@pytest.mark.parametrize("backend", [b for b in BACKENDS if b is not TRITON])  # test_triton compares its gradients
@pytest.mark.parametrize("size", [(1, 1, 1, 1, 1), (1, 2, 3, 1, 4), (4, 1, 1, 3, 1)], ids=str)
@pytest.mark.parametrize("nonlinearity", ["tanh", "relu", "selu", "identity"])
@pytest.mark.parametrize("memory", ["dense", "diagonal"])
def test_gradcheck_of_the_whole_layer(backend, size, nonlinearity, memory):
    steps, batch, a, f, p = size
    sizes = {"input_size": a, "hidden_size": f, "memory_size": p, "num_layers": 2}
    layer = layer_of(backend, nonlinearity=nonlinearity, memory=memory, **sizes)
    parameters = {n: p for n, p in layer.named_parameters() if backend != "parallel" or not n.startswith("weight_mh")}

    def function(x, m_0, *values):
        return torch.func.functional_call(layer, dict(zip(parameters, values, strict=True)), (x, m_0))

    arguments = (
        input_of(steps, batch, a).requires_grad_(),
        memory_of(layer, batch).requires_grad_(),
        *parameters.values(),
    )
    assert torch.autograd.gradcheck(function, arguments)


@every_backend
def test_dropout_acts_between_layers_only_in_training(backend):
    layer = layer_of(backend, num_layers=2, dropout=1.0)
    x = input_of(4, 2, 3)
    silent = layer_of(backend, num_layers=2)
    layer.load_state_dict(silent.state_dict())
    layer.eval()
    torch.testing.assert_close(layer(x)[0], silent(x)[0])
    layer.train()
    above = layer(x)[0]
    torch.testing.assert_close(above, layer(2 * x)[0])  # the second layer sees zeros only
    assert not torch.allclose(above, silent(x)[0])


def test_all_backends_share_one_state_dict():
    x = input_of(5, 2, 3)
    outputs = []
    for backend in ("auto", "reference", "fused", "recompute"):
        layer = layer_of(backend, seed=3)
        layer.load_state_dict(layer_of(seed=4).state_dict())
        outputs.append(layer(x)[0])
    for other in outputs[1:]:
        torch.testing.assert_close(other, outputs[0])


def test_backend_for_names_the_backend_and_the_reason(monkeypatch):
    monkeypatch.setenv("LINMEM_ENGINE", "numpy")
    layer, x = layer_of(), input_of(100, 2, 3)
    assert layer.backend_for(x).backend == "fused"
    assert "loop in numpy" in layer.backend_for(x).reason
    assert layer.backend_for(pack_sequence([x[:, 0], x[:4, 1]])).backend == "fused"
    assert layer_of("reference").backend_for(x) == ("reference", "set by the argument backend")
    seen = []
    torch.func.vmap(lambda x: seen.append(layer.backend_for(x).backend) or x)(input_of(2, 7, 2, 3))
    assert seen == ["reference"]


def test_vmap_over_an_ensemble_of_models():
    layers = [layer_of(seed=seed, num_layers=2) for seed in range(3)]
    parameters, buffers = torch.func.stack_module_state(layers)
    x = input_of(6, 2, 3)

    def output(parameters, buffers):
        return torch.func.functional_call(layers[0], (parameters, buffers), (x,))[0]

    for one, layer in zip(torch.func.vmap(output)(parameters, buffers), layers, strict=True):
        torch.testing.assert_close(one, layer(x)[0])


def test_gradients_of_each_sequence_by_torch_func():
    layer, x = layer_of(), input_of(6, 4, 3)
    parameters = {name: p.detach() for name, p in layer.named_parameters()}

    def loss(parameters, x):
        return torch.func.functional_call(layer, parameters, (x,))[0].square().sum()

    each = torch.func.vmap(torch.func.grad(loss), (None, 1))(parameters, x)
    for i in range(4):
        layer.zero_grad()
        layer(x[:, i])[0].square().sum().backward()
        for name, parameter in layer.named_parameters():
            torch.testing.assert_close(each[name][i], parameter.grad)


def test_forward_mode_equals_a_difference():
    layer, x, direction = layer_of(), input_of(6, 2, 3), input_of(6, 2, 3).flip(0)
    _, tangent = torch.func.jvp(lambda x: layer(x)[0], (x,), (direction,))
    with torch.no_grad():
        difference = (layer(x + 1e-6 * direction)[0] - layer(x - 1e-6 * direction)[0]) / 2e-6
    torch.testing.assert_close(tangent, difference, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("backend", [b for b in BACKENDS if b is not TRITON])  # which rounds: see test_triton
def test_autocast_keeps_the_state_in_float32(backend):
    layer = layer_of(backend, num_layers=2, dtype=torch.float32)
    x = input_of(6, 2, 3, dtype=torch.float32)
    expected, m_expected = layer(x.bfloat16().float())
    with torch.autocast("cpu", torch.bfloat16):
        found, m_n = layer(x.bfloat16())
        packed, _ = layer(pack_sequence([x[:, 0].bfloat16(), x[:3, 1].bfloat16()]))
    assert found.dtype == m_n.dtype == packed.data.dtype == torch.float32
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(m_n, m_expected)
    found.sum().backward()
    assert layer.weight_mm_l0.grad.dtype == torch.float32


@pytest.mark.parametrize("kind", ["step", "cell"])
def test_steps_under_autocast_keep_the_state_in_float32(kind):
    layer = layer_of(num_layers=1, dtype=torch.float32)
    cell = LMNCell(3, 4, 5)
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in layer.state_dict().items()})
    run = layer.step if kind == "step" else cell
    x = input_of(2, 3, dtype=torch.float32).bfloat16()
    expected = run(x.float())
    with torch.autocast("cpu", torch.bfloat16):
        found = run(x)
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)


@every_backend
def test_backward_inside_autocast(backend):
    layer, x, gradients = layer_of(backend, dtype=torch.float32), input_of(6, 2, 3, dtype=torch.float32), []
    for inside in (False, True):
        with torch.autocast("cpu", torch.bfloat16):
            total = layer(x)[0].sin().sum()
            if inside:
                gradients.append(torch.autograd.grad(total, list(layer.parameters())))
        if not inside:
            gradients.append(torch.autograd.grad(total, list(layer.parameters())))
    for one, other in zip(*gradients, strict=True):
        assert one.dtype == torch.float32
        torch.testing.assert_close(one, other, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_layer_in_another_precision(dtype):
    layer, x = layer_of(dtype=dtype), input_of(6, 2, 3).to(dtype)
    y, m_n = layer(x)
    y.float().square().sum().backward()
    assert y.dtype == m_n.dtype == layer.weight_mh_l0.grad.dtype == dtype
    expected = layer_of("reference", dtype=torch.float64)
    expected.load_state_dict(layer.state_dict())
    tolerance = 0.1 if dtype == torch.bfloat16 else 1e-10
    torch.testing.assert_close(y.double(), expected(x.double())[0], rtol=tolerance, atol=tolerance)


@every_backend
def test_changing_the_output_in_place_is_harmless_or_an_error(backend):
    layer, x = layer_of(backend), input_of(6, 2, 3)
    y, _ = layer(x)
    (2 * y).sum().backward()
    expected = [p.grad.clone() for p in layer.parameters()]
    layer.zero_grad()
    y, _ = layer(x)
    try:
        y.mul_(2).sum().backward()
    except RuntimeError as error:
        assert "modified by an inplace operation" in str(error)  # noqa: PT017
    else:
        for parameter, gradient in zip(layer.parameters(), expected, strict=True):
            torch.testing.assert_close(parameter.grad, gradient)


@pytest.mark.parametrize("backend", [*BACKENDS, "auto"])
def test_many_gradients_at_once(backend):
    layer, x = layer_of(backend), input_of(6, 2, 3).requires_grad_()
    y, _ = layer(x)
    directions = torch.stack([torch.cos(y + i).detach() for i in range(3)])
    inputs = [x, *layer.parameters()]
    together = torch.autograd.grad(y, inputs, directions, is_grads_batched=True, retain_graph=True)
    for i, direction in enumerate(directions):
        for one, other in zip(together, torch.autograd.grad(y, inputs, direction, retain_graph=True), strict=True):
            torch.testing.assert_close(one[i], other)


def test_checkpointing_of_activations():
    layer, x = layer_of(), input_of(6, 2, 3).requires_grad_()
    y, _ = torch.utils.checkpoint.checkpoint(layer, x, use_reentrant=False)
    (found,) = torch.autograd.grad(y.square().sum(), x)
    torch.testing.assert_close(found, torch.autograd.grad(layer(x)[0].square().sum(), x)[0])


@pytest.mark.parametrize("backend", ["auto", "fused", "recompute"])
def test_tensors_without_memory_are_not_written_to(backend):
    with FakeTensorMode():
        layer = LMN(3, 4, 5, backend=backend)
        y, m_n = layer(torch.randn(6, 2, 3))
        y.sum().backward()
    assert (y.shape, m_n.shape) == ((6, 2, 5), (1, 2, 5))
    assert layer.weight_mm_l0.grad.shape == (5, 5)


def test_the_meta_device_computes_shapes():
    layer = LMN(3, 4, 5, device="meta")
    y, _ = layer(torch.zeros(6, 2, 3, device="meta"))
    y.sum().backward()
    assert y.shape == (6, 2, 5)
    assert layer.weight_mm_l0.grad.is_meta


@pytest.mark.filterwarnings("ignore")
def test_tracing_keeps_the_function_for_its_number_of_steps():
    layer, x = layer_of(), input_of(6, 2, 3)
    with torch.no_grad():
        traced = torch.jit.trace(layer, (x,))
    torch.testing.assert_close(traced(2 * x)[0], layer(2 * x)[0])


def test_backends_with_a_custom_backward_reject_transforms():
    layer, x = layer_of("fused"), input_of(6, 2, 3)
    with pytest.raises(ValueError, match="backend must be 'auto' or 'reference' inside a torch.func transform"):
        torch.func.vmap(lambda x: layer(x)[0])(x.expand(2, 6, 2, 3))


def test_a_hundred_thousand_steps():
    x, found = input_of(100_000, 1, 2, dtype=torch.float32), []
    for backend in ("fused", "recompute"):
        layer = layer_of(backend, input_size=2, hidden_size=3, memory_size=2, dtype=torch.float32)
        with torch.no_grad():
            layer.weight_mm_l0.mul_(0.9 / max(layer.spectral_radii().values()))
            layer.weight_mh_l0.mul_(0.1)
        y, m_n = layer(x)
        (m_n.sum() + y.square().mean()).backward()
        found.append([y, *(parameter.grad for parameter in layer.parameters())])
    for one, other in zip(*found, strict=True):
        assert one.isfinite().all()
        assert_equal_but_for_rounding(one, other, terms=100_000 * 7)


def test_recompute_stores_less():
    kept = []
    for backend in ("fused", "recompute"):
        layer = layer_of(backend, output="functional")
        stored = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: stored.append(t.numel()) or t, lambda t: t):  # noqa: B023
            layer(input_of(5000, 1, 3))
        kept.append(sum(stored))
    assert kept[0] > 5000 * (4 + 5)
    assert kept[1] < 5000 * 3 + 1000  # the input itself, the weights, a memory for every thousand steps


@pytest.mark.parametrize("arguments", [{}, {"output": "functional"}, {"hidden_size": (4, 3), "nonlinearity": "selu"}])
@pytest.mark.parametrize("steps", [1, 2, 7, 64])
def test_parallel_form_without_feedback(arguments, steps):
    layer, plain = layer_of("parallel", **arguments), layer_of("reference", **arguments)
    with torch.no_grad():
        layer.weight_mh_l0.zero_()
    plain.load_state_dict(layer.state_dict())
    x, m_0 = input_of(steps, 3, 3).requires_grad_(), memory_of(layer, 3).requires_grad_()
    results = []
    for one in (layer, plain):
        y, m_n = one(x, m_0)
        gradients = torch.autograd.grad(y.sin().sum() + m_n.square().sum(), [x, m_0, *one.parameters()])
        results.append([y, m_n, *gradients])
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected)
    packed = pack_sequence([x[:, 0], x[: (steps + 1) // 2, 1]], enforce_sorted=False)
    for found, expected in zip(layer(packed), plain(packed), strict=True):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("arguments", [{}, {"output": "functional"}, {"hidden_size": (4, 3)}])
def test_second_derivatives_of_the_parallel_form(frozen, arguments):
    found, x = [], input_of(4, 2, 3).requires_grad_()
    for backend in ("reference", "parallel"):
        layer = layer_of(backend, **arguments)
        with torch.no_grad():
            layer.weight_mh_l0.zero_()
        layer.weight_mh_l0.requires_grad_(not frozen)
        inputs = [x, *(p for p in layer.parameters() if p.requires_grad)]
        first = torch.autograd.grad(layer(x)[0].sin().sum(), inputs, create_graph=True, materialize_grads=True)
        found.append(torch.autograd.grad(sum(g.square().sum() for g in first), inputs, materialize_grads=True))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_parallel_form_rejects_feedback():
    with pytest.raises(ValueError, match="W_mh must be zero"):
        LMN(3, 4, 5, backend="parallel")(torch.zeros(4, 2, 3))


@pytest.mark.skipif(not hasattr(torch.compiler, "is_exporting"), reason="torch 2.6 takes compiling for exporting")
@pytest.mark.filterwarnings("ignore")
def test_torch_compile_excludes_the_loop():
    layer, x = layer_of(dtype=torch.float32), input_of(5, 2, 3, dtype=torch.float32)
    graphs = []

    def backend(graph, _):
        graphs.append(len(graph.graph.nodes))
        return graph.forward

    compiled = torch.compile(lambda x: 2 * layer(x)[0], backend=backend)
    for steps in (5, 3):
        y = compiled(x[:steps])
        torch.testing.assert_close(y, 2 * layer(x[:steps])[0])
    y.sum().backward()
    assert layer.weight_mm_l0.grad is not None
    assert max(graphs) < 40  # no step was unrolled


def test_spectral_radius_of_the_memory():
    layer = LMN(3, 4, 2, num_layers=2, bidirectional=True)
    with torch.no_grad():
        layer.weight_mm_l1_reverse.copy_(torch.tensor([[0.0, -1.5], [1.5, 0.0]]))
        layer.weight_mm_l0.copy_(torch.tensor([[0.5, 100.0], [0.0, -0.25]]))
    radii = layer.spectral_radii()
    assert list(radii) == ["weight_mm_l0", "weight_mm_l0_reverse", "weight_mm_l1", "weight_mm_l1_reverse"]
    assert radii["weight_mm_l1_reverse"] == pytest.approx(1.5)
    assert radii["weight_mm_l0"] == pytest.approx(0.5)


def test_names_and_shapes_of_the_parameters():
    layer = LMN(3, 4, 5, num_layers=2, bidirectional=True)
    shapes = {name: tuple(p.shape) for name, p in layer.named_parameters()}
    for suffix, into in (("_l0", 3), ("_l0_reverse", 3), ("_l1", 10), ("_l1_reverse", 10)):
        expected = {
            "weight_xh": (4, into), "weight_mh": (4, 5), "weight_hm": (5, 4), "weight_mm": (5, 5),
            "bias_h": (4,), "bias_m": (5,),
        }  # fmt: skip
        for name, shape in expected.items():
            assert shapes.pop(name + suffix) == shape
    assert not shapes
    assert {n for n, _ in LMN(3, 4, 5, bias=False).named_parameters()} == {
        "weight_xh_l0",
        "weight_mh_l0",
        "weight_hm_l0",
        "weight_mm_l0",
    }
    deep = {n: tuple(p.shape) for n, p in LMN(3, (4, 6, 2), 5).named_parameters()}
    assert deep["weight_h1_l0"] == (6, 4)
    assert deep["weight_h2_l0"] == (2, 6)
    assert deep["weight_hm_l0"] == (5, 2)
    assert deep["bias_h2_l0"] == (2,)


def test_initial_memory_holds_integrators_of_all_speeds_at_the_scale_of_their_input():
    layer = LMN(3, 400, 50)
    decay = torch.diagonal(layer.weight_mm_l0)
    assert torch.equal(layer.weight_mm_l0, torch.diag(decay))
    assert torch.equal(decay, torch.linspace(0, 0.99, 50))
    assert not layer.bias_m_l0.any()
    for weight, expected in ((layer.weight_xh_l0, 1.0), (layer.weight_mh_l0, 0.1)):
        assert 0.99 * expected < weight.abs().max() * weight.shape[1] ** 0.5 <= expected
    variance = layer.weight_hm_l0.square().sum(1) / (1 - decay.square())  # of m_t, where h_t is white noise
    torch.testing.assert_close(variance, torch.full((50,), 1 / 3), rtol=0.3, atol=0)
    torch.manual_seed(7)
    one = LMN(3, 4, 5)
    torch.manual_seed(7)
    other = LMN(3, 4, 5)
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name])


def test_state_dict_deepcopy_and_pickle_keep_the_function():
    layer = layer_of(num_layers=2, bidirectional=True)
    x = input_of(5, 2, 3)
    expected = layer(x)[0]
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    for twin in (copy.deepcopy(layer), torch.load(file, weights_only=False)):
        assert torch.equal(twin(x)[0], expected)


def test_safetensors_keep_the_function(tmp_path):
    layer, x = layer_of(num_layers=2, hidden_size=(4, 3)), input_of(5, 2, 3)
    save_file(layer.state_dict(), tmp_path / "layer.safetensors")
    twin = layer_of(num_layers=2, hidden_size=(4, 3), seed=5)
    twin.load_state_dict(load_file(tmp_path / "layer.safetensors"))
    assert torch.equal(twin(x)[0], layer(x)[0])


@every_backend
def test_orthogonal_memory_through_parametrize(backend):
    layer = layer_of(backend)
    nn.utils.parametrizations.orthogonal(layer, "weight_mm_l0")
    x = input_of(5, 2, 3)
    y, _ = layer(x)
    y.square().sum().backward()
    original = layer.parametrizations["weight_mm_l0"].original
    assert original.grad.abs().sum() > 0
    with torch.no_grad():
        original.sub_(0.1 * original.grad)
    w = layer.weight_mm_l0
    torch.testing.assert_close(w @ w.t(), torch.eye(5, dtype=w.dtype))
    assert parametrize.is_parametrized(layer, "weight_mm_l0")


def test_repr_shows_what_differs_from_the_default():
    assert repr(LMN(3, 4, 5)) == "LMN(3, 4, 5)"
    layer = LMN(3, (4, 2), 5, num_layers=2, output="functional", batch_first=True, dropout=0.1)
    assert repr(layer) == "LMN(3, (4, 2), 5, num_layers=2, output='functional', batch_first=True, dropout=0.1)"
    assert repr(LMNCell(3, 4, 5, bias=False)) == "LMNCell(3, 4, 5, bias=False)"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"hidden_size": 0}, ValueError, "hidden_size must be greater than 0, got 0"),
        ({"hidden_size": ()}, ValueError, "hidden_size must be an int or a non-empty sequence"),
        ({"memory_size": 2.5}, TypeError, "memory_size must be an int, got a float"),
        ({"num_layers": 0}, ValueError, "num_layers must be greater than 0"),
        ({"output": "hidden"}, ValueError, "output must be one of 'memory', 'functional', got 'hidden'"),
        ({"nonlinearity": "gelu"}, ValueError, "nonlinearity must be one of 'tanh', .*got 'gelu'"),
        ({"memory": "sparse"}, ValueError, "memory must be one of 'dense', 'diagonal', got 'sparse'"),
        ({"dropout": 1.5}, ValueError, r"dropout must be a probability in \[0, 1\], got 1.5"),
        ({"backend": "cudnn"}, ValueError, "backend must be one of 'auto', 'reference', .*got 'cudnn'"),
        ({"dropout": "half"}, ValueError, "dropout must be a probability.*got 'half'"),
        ({"dtype": torch.int64}, ValueError, "dtype must be a floating-point type.*got torch.int64"),
        ({"hidden_size": None}, TypeError, "hidden_size must be an int, got a NoneType"),
    ],
)
def test_wrong_arguments_raise_a_clear_error(arguments, error, message):
    with pytest.raises(error, match=message):
        LMN(**({"input_size": 3, "hidden_size": 4, "memory_size": 5} | arguments))


def test_dropout_without_a_second_layer_warns():
    with pytest.warns(UserWarning, match="no effect with num_layers=1"):
        LMN(3, 4, 5, dropout=0.5)


@pytest.mark.parametrize(
    ("x", "m_0", "message"),
    [
        (torch.zeros(5, 2, 4), None, "input_size=3 features in its last dimension, got 4"),
        (torch.zeros(5), None, r"2 dimensions \(unbatched\) or 3, got shape \(5,\)"),
        (torch.zeros(0, 2, 3), None, r"at least one step and one sequence, got shape \(0, 2, 3\)"),
        (torch.zeros(5, 2, 3).double(), None, r"input must have the dtype .*float32\), got torch.float64"),
        (torch.zeros(5, 2, 3, device="meta"), None, r"input must be on the device of the parameters \(cpu\), got meta"),
        (torch.zeros(5, 2, 3), torch.zeros(2, 5), r"m_0 must have shape \(1, 2, 5\), got \(2, 5\)"),
        (torch.zeros(5, 3), torch.zeros(1, 1, 5), r"m_0 must have shape \(1, 5\), got \(1, 1, 5\)"),
        (torch.zeros(5, 2, 3), torch.zeros(1, 2, 5).double(), r"m_0 must have .*float32\), got torch.float64"),
        (PackedSequence(torch.zeros(0, 3), torch.zeros(0, dtype=torch.long)), None, r"packed input must have data"),
        (PackedSequence(torch.zeros(5, 3), torch.tensor([4, 4])), None, r"add up to its number of rows \(5\), got 8"),
        (PackedSequence(torch.zeros(5, 3), torch.tensor([2, 3])), None, r"must not increase, got \[2, 3\]"),
        (PackedSequence(torch.zeros(4, 3), torch.tensor([4, 0])), None, "Pack sequences of length 1 or more"),
        (pack_sequence([torch.zeros(5, 4)]), None, "input_size=3 features in its last dimension, got 4"),
        (pack_sequence([torch.zeros(5, 3)]), torch.zeros(1, 2, 5), r"m_0 must have shape \(1, 1, 5\), got \(1, 2, 5\)"),
    ],
)  # fmt: skip
def test_wrong_input_raises_a_clear_error(x, m_0, message):
    with pytest.raises(ValueError, match=message):
        LMN(3, 4, 5)(x, m_0)


def test_wrong_input_of_a_step_raises_a_clear_error():
    with pytest.raises(ValueError, match=r"must have shape \(B, 3\) or \(3,\), got \(5, 2, 3\)"):
        LMN(3, 4, 5).step(torch.zeros(5, 2, 3))
    with pytest.raises(ValueError, match="got bidirectional=True"):
        LMN(3, 4, 5, bidirectional=True).step(torch.zeros(2, 3))
    with pytest.raises(ValueError, match=r"memory must have shape \(2, 5\), got \(5,\)"):
        LMNCell(3, 4, 5)(torch.zeros(2, 3), torch.zeros(5))
    for door in (LMN(3, 4, 5), LMN(3, 4, 5).step, LMN(3, 4, 5).backend_for, LMNCell(3, 4, 5)):
        with pytest.raises(TypeError, match="input must be a torch.Tensor.*got list"):
            door([[1.0]])
    with pytest.raises(TypeError, match="memory must be a torch.Tensor, got tuple"):
        LMNCell(3, 4, 5)(torch.zeros(2, 3), (torch.zeros(2, 5),) * 2)


def test_typical_mistakes_after_an_lstm_raise_a_clear_error():
    layer = LMN(2, 3, 4)
    x, state = torch.randn(5, 1, 2), torch.zeros(1, 1, 4)
    with pytest.raises(TypeError, match="m_0 must be a torch.Tensor, got a tuple. An LMN has one state"):
        layer(x, (state, state))
    with pytest.raises(ValueError, match="at least one step and one sequence"):
        layer(torch.randn(5, 0, 2))
