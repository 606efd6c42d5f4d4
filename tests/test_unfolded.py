"""The unfolded network of [L18], section 4.1, and its explicit-memory form."""

import pytest
import torch

from linmem.nn.scan.libraries import ENGINES
from linmem.nn.unfolded import ExplicitMemoryNetwork, UnfoldedNetwork, unfolded_reference

# B, T, a, f, o, k
SIZES = [(1, 1, 1, 1, 1, 1), (2, 1, 3, 4, 2, 3), (3, 9, 2, 4, 5, 2), (2, 4, 3, 5, 1, 10), (1, 12, 1, 2, 3, 4)]


def network_of(size, kind=UnfoldedNetwork, nonlinearity="selu", dtype=torch.float64):
    _, _, a, f, o, k = size
    torch.manual_seed(0)
    network = kind(a, f, o, lags=k, nonlinearity=nonlinearity, dtype=dtype)
    with torch.no_grad():
        network.bias_h.normal_()
        network.bias_o.normal_()
    return network


def input_of(size, dtype=torch.float64):
    batch, steps, a, *_ = size
    return torch.randn(batch, steps, a, dtype=dtype, generator=torch.Generator().manual_seed(1))


def results_and_gradients(network, x):
    x = x.clone().requires_grad_()
    outputs, hidden = network(x)
    loss = (
        outputs.square().sum() + (hidden * torch.linspace(-1, 1, hidden.numel(), dtype=x.dtype).view_as(hidden)).sum()
    )
    return [outputs, hidden, *torch.autograd.grad(loss, [x, *network.parameters()])]


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu", "selu", "identity"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_explicit_memory_is_the_same_function(size, nonlinearity):
    unfolded = network_of(size, nonlinearity=nonlinearity)
    explicit = network_of(size, ExplicitMemoryNetwork, nonlinearity)
    explicit.load_state_dict(unfolded.state_dict())
    x = input_of(size)
    for found, expected in zip(results_and_gradients(explicit, x), results_and_gradients(unfolded, x), strict=True):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_outputs_match_the_sums_written_out(size):
    network, x = network_of(size), input_of(size)
    outputs, hidden = network(x)
    w, lags = dict(network.named_parameters()), network.lags
    for b in range(x.shape[0]):
        past = []
        for t in range(x.shape[1]):
            v = w["weight_xh"] @ x[b, t] + w["bias_h"]
            for i in range(1, min(lags, t) + 1):
                v = v + w["weight_hh"][i - 1] @ past[t - i]
            past.append(torch.selu(v))
            y = w["bias_o"] + sum(w["weight_ho"][i] @ past[t - i] for i in range(min(lags, t) + 1))
            torch.testing.assert_close(hidden[b, t], past[t])
            torch.testing.assert_close(outputs[b, t], y)


def test_identity_with_one_lag_is_the_running_sum():
    network = UnfoldedNetwork(3, 3, 3, lags=1, nonlinearity="identity", dtype=torch.float64)
    eye = torch.eye(3, dtype=torch.float64)
    with torch.no_grad():
        network.weight_xh.copy_(eye)
        network.weight_hh.copy_(eye[None])
        network.weight_ho.copy_(torch.stack([eye, -eye]))
    x = input_of((2, 7, 3))
    outputs, hidden = network(x)
    torch.testing.assert_close(hidden, x.cumsum(1))
    torch.testing.assert_close(outputs, x)


@pytest.mark.parametrize("nonlinearity", ["tanh", "selu", "identity"])
@pytest.mark.parametrize(("steps", "lags"), [(5, 2), (2, 4), (1, 1)])
def test_gradcheck(steps, lags, nonlinearity):
    network = network_of((2, steps, 2, 3, 2, lags), nonlinearity=nonlinearity)
    names = [name for name, _ in network.named_parameters()]
    x = input_of((2, steps, 2)).requires_grad_()

    def function(x, *parameters):
        return torch.func.functional_call(network, dict(zip(names, parameters, strict=True)), (x,))

    assert torch.autograd.gradcheck(function, (x, *network.parameters()))
    assert torch.autograd.gradgradcheck(function, (x, *network.parameters()))


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_hidden_states_equal_the_plain_loop_in_float32(size):
    network, x = network_of(size, dtype=torch.float32), input_of(size, torch.float32)
    plain = unfolded_reference(x @ network.weight_xh.t() + network.bias_h, network.weight_hh, "selu")
    torch.testing.assert_close(network.hidden_states(x), plain)


@pytest.mark.parametrize("engine", ["numpy", "torch", "onednn"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_every_engine_computes_the_same(monkeypatch, engine, size):
    if not ENGINES[engine].supports(torch.float32, torch.device("cpu")):
        pytest.skip(f"{engine} is not part of this build of torch")
    network, x = network_of(size, dtype=torch.float32), input_of(size, torch.float32)
    double = network_of(size)
    double.load_state_dict(network.state_dict())
    monkeypatch.setenv("LINMEM_ENGINE", engine)
    found = results_and_gradients(network, x)
    monkeypatch.setenv("LINMEM_ENGINE", "numpy")
    for one, other in zip(found, results_and_gradients(double, x.double()), strict=True):
        assert (one - other).norm() <= 1e-5 * other.norm()


def test_padding_at_the_end_changes_nothing_before_it():
    size = (3, 8, 2, 4, 5, 3)
    network, x = network_of(size), input_of(size)
    found = []
    for padding in (0, 5):
        padded = torch.cat([x, torch.full((3, padding, 2), 7.0, dtype=x.dtype)], 1).requires_grad_()
        outputs, hidden = network(padded)
        loss = outputs[:, :8].square().sum() + hidden[:, :8].sin().sum()
        x_grad, *gradients = torch.autograd.grad(loss, [padded, *network.parameters()])
        assert not x_grad[:, 8:].any()
        found.append([outputs[:, :8], hidden[:, :8], x_grad[:, :8], *gradients])
    for plain, padded in zip(*found, strict=True):
        torch.testing.assert_close(padded, plain)


def test_unbatched_input():
    network = network_of((1, 6, 2, 3, 4, 2))
    x = input_of((1, 6, 2))
    for found, expected in zip(network(x[0]), network(x), strict=True):
        torch.testing.assert_close(found, expected[0])


def test_explicit_memory_continues_step_by_step():
    size = (2, 7, 3, 4, 2, 3)
    network, x = network_of(size, ExplicitMemoryNetwork), input_of(size)
    memory, steps = None, []
    for t in range(7):
        y, h, memory = network.step(x[:, t], memory)
        steps.append(y)
        assert torch.equal(memory[:, :4], h)
    torch.testing.assert_close(torch.stack(steps, 1), network(x)[0])


def test_explicit_memory_steps_without_a_batch():
    size = (1, 4, 3, 4, 2, 3)
    network, x = network_of(size, ExplicitMemoryNetwork), input_of(size)
    memory, steps = None, []
    for x_t in x[0]:
        y, h, memory = network.step(x_t, memory)
        assert (y.shape, h.shape, memory.shape) == ((2,), (4,), (12,))
        steps.append(y)
    torch.testing.assert_close(torch.stack(steps), network(x)[0][0])


def test_wrong_input_of_the_explicit_memory_raises():
    network = network_of((1, 1, 3, 4, 2, 2), ExplicitMemoryNetwork)
    x = torch.zeros(2, 3, dtype=torch.float64)
    with pytest.raises(TypeError, match=r"input must be a torch.Tensor, got list"):
        network([[1.0, 2.0, 3.0]])
    with pytest.raises(TypeError, match=r"input must be a torch.Tensor, got list"):
        network.step([1.0, 2.0, 3.0])
    for wrong in (x[:, :2], x[None], x[0, :2]):
        with pytest.raises(ValueError, match=r"input must have shape \(B, 3\) or \(3,\)"):
            network.step(wrong)
    for memory in (x.new_zeros(8), x.new_zeros(1, 8), x.new_zeros(2, 7)):
        with pytest.raises(ValueError, match=r"memory must have shape \(2, 8\) for this input"):
            network.step(x, memory)
    with pytest.raises(ValueError, match="dtype of the parameters"):
        network.step(x.float())


def test_wrong_input_raises():
    network = network_of((1, 1, 3, 4, 2, 2))
    with pytest.raises(ValueError, match=r"shape \(B, T, 3\) .*got \(2, 5, 4\)"):
        network(torch.zeros(2, 5, 4, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"got \(2, 0, 3\)"):
        network(torch.zeros(2, 0, 3, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"dtype of the parameters \(torch.float64\), got torch.float32"):
        network(torch.zeros(2, 5, 3))
    with pytest.raises(ValueError, match="lags must be at least 1, got 0"):
        UnfoldedNetwork(3, 4, 2, lags=0)
    with pytest.raises(ValueError, match="lags must be an integer, got 1.5"):
        UnfoldedNetwork(3, 4, 2, lags=1.5)
    with pytest.raises(ValueError, match="nonlinearity must be one of .*got 'swish'"):
        UnfoldedNetwork(3, 4, 2, nonlinearity="swish")


@pytest.mark.parametrize("inside", [False, True])
def test_autocast_keeps_the_states_in_the_precision_of_the_parameters(inside):
    torch.manual_seed(0)
    network, x = UnfoldedNetwork(3, 4, 2, lags=3), torch.randn(2, 6, 3)
    outputs, expected = network(x)
    expected_grad = torch.autograd.grad(outputs.sum(), network.weight_hh)[0]
    with torch.autocast("cpu", torch.bfloat16):
        outputs, hidden = network(x)
        total = outputs.float().sum()
        found = torch.autograd.grad(total, network.weight_hh)[0] if inside else None
    found = torch.autograd.grad(total, network.weight_hh)[0] if found is None else found
    assert hidden.dtype == found.dtype == torch.float32
    torch.testing.assert_close(hidden, expected, rtol=0.02, atol=0.02)
    torch.testing.assert_close(found, expected_grad, rtol=0.05, atol=0.05)
