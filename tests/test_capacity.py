"""Memory capacity: a delay line attains the bound, no linear memory exceeds it, structured input allows more."""

import pytest
import torch

from linmem.analysis.memory_capacity import memory_capacity
from linmem.autoencoder.estimator import LinearAutoencoder
from linmem.data.synthetic import noise, waveform
from linmem.nn.baselines import delay_line_, linear_, orthogonal_
from linmem.nn.lmn import LMN


def linear_memory(p, fill, seed=0):
    """m_t = w u_t + W_mm m_{t-1} with one input."""
    torch.manual_seed(seed)
    layer = linear_(LMN(1, 1, p, nonlinearity="identity", bias=False, dtype=torch.float64))
    with torch.no_grad():
        layer.weight_xh_l0.fill_(1)
    return fill(layer)


def test_a_delay_line_attains_its_number_of_units_and_recalls_exactly():
    u = noise(1000).double()
    capacity = memory_capacity(linear_memory(12, delay_line_)(u)[0], u, lags=30)
    torch.testing.assert_close(capacity.curve[:12], torch.ones(12, dtype=torch.float64))
    assert capacity.curve[12:].max() < 0.05
    assert capacity.total == pytest.approx(12, abs=0.3)


@pytest.mark.parametrize("fill", [orthogonal_, lambda layer: layer], ids=["orthogonal", "leaky integrators"])
def test_no_linear_memory_exceeds_its_number_of_units(fill):
    u = noise(4000).double()
    layer = linear_memory(8, fill)
    with torch.no_grad():
        layer.weight_mm_l0.mul_(0.98)
    assert memory_capacity(layer(u)[0], u, lags=100).total <= 8 + 0.5


def test_an_orthogonal_memory_of_independent_input_spreads_its_capacity():
    u = noise(20000).double()
    layer = linear_memory(8, orthogonal_)
    with torch.no_grad():
        layer.weight_mm_l0.mul_(0.9)
    capacity = memory_capacity(layer(u)[0], u, lags=100)
    assert capacity.total == pytest.approx(8, abs=0.4)
    assert 0.1 < capacity.curve[7] < 0.99


def test_an_autoencoder_recalls_structured_input_beyond_its_units_and_a_delay_line_independent_input():
    p, lags = 6, 60
    structured, independent = waveform(800, components=3, seed=1).double(), noise(800).double()
    totals = {}
    for name, u in (("structured", structured), ("independent", independent)):
        autoencoder = LinearAutoencoder(p, decoder="tied", solver="exact").fit(
            [u[start : start + 80] for start in (0, 80, 160)]
        )
        encoded = torch.cat([autoencoder.encode([u])[0]])
        totals[name] = memory_capacity(encoded, u, lags).total
    delay = memory_capacity(linear_memory(p, delay_line_)(independent)[0], independent, lags).total
    assert totals["structured"] > 5 * p
    assert totals["independent"] < delay + 0.5
    assert delay == pytest.approx(p, abs=0.6)


def test_the_curve_is_the_squared_correlation_of_fitted_readouts():
    generator = torch.Generator().manual_seed(0)
    m, u = (torch.randn(400, n, generator=generator, dtype=torch.float64) for n in (3, 1))
    m[:, 0] += torch.cat([u.new_zeros(2), u[:-2, 0]])
    curve = memory_capacity(m, u, lags=5).curve
    rows = torch.cat([m, torch.ones(400, 1)], 1)[5:]
    half = len(rows) // 2
    for k in range(5):
        truth = u[5 - k : 400 - k, 0]
        w = torch.linalg.lstsq(rows[:half], truth[:half]).solution
        pair = torch.stack([rows[half:] @ w, truth[half:]])
        assert float(curve[k]) == pytest.approx(float(torch.corrcoef(pair)[0, 1]) ** 2)


def test_states_of_integers_have_a_capacity():
    u = torch.randint(0, 5, (200,), generator=torch.Generator().manual_seed(0))
    states = torch.stack([u, u.roll(1)], 1)
    torch.testing.assert_close(memory_capacity(states, u, 3), memory_capacity(states.double(), u.double(), 3))


@pytest.mark.parametrize(
    ("states", "inputs", "lags", "message"),
    [
        (torch.zeros(50, 2), torch.zeros(49), 3, r"shapes \(T, p\) and \(T,\), got \(50, 2\) and \(49,\)"),
        (torch.zeros(50), torch.zeros(50), 3, r"got \(50,\) and \(50,\)"),
        (torch.zeros(50, 2), torch.zeros(50, 2), 3, r"got \(50, 2\) and \(50, 2\)"),
        (torch.full((50, 2), torch.nan), torch.zeros(50), 3, "must be finite, got NaN or infinity"),
        (torch.zeros(50, 2), torch.full((50,), torch.inf), 3, "must be finite, got NaN or infinity"),
        (torch.zeros(19, 2), torch.zeros(19), 3, "at least 20 steps for 2 units and 3 lags, got 19 steps"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(states, inputs, lags, message):
    with pytest.raises(ValueError, match=message):
        memory_capacity(states, inputs, lags)
