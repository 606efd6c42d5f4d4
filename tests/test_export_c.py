"""C programs: compiled without warnings, their outputs are those of the model in Python, in float32."""

import doctest
import re
import subprocess

import numpy as np
import pytest
import torch
from torch import nn

from linmem import LMN, MemoryAnomalyDetector, MemoryClassifier, MemoryForecaster, MemoryRegressor
from linmem.data.standardization import Standardization
from linmem.export import c_program
from linmem.export.c_check import find_compiler, run_program
from linmem.export.c_estimators import estimator_program
from linmem.export.c_networks import network_program
from linmem.nn.registry import ModelOptions, build_model
from linmem.nn.sequence_model import SequenceModel

needs_compiler = pytest.mark.skipif(find_compiler() is None, reason="there is no C compiler")
SIZES = {"hidden_size": 6, "memory_size": 8}
NETWORKS = {
    "lmn-a": {},
    "lmn-b, skip": {"skip_connection": True},
    "lmn-b, relu": {"nonlinearity": "relu"},
    "lmn-b, selu": {"nonlinearity": "selu"},
    "lmn-b, identity": {"nonlinearity": "identity"},
    "lmn-orthogonal": {},
    "lmn-detach": {},
    "lstm": {},
    "gru": {},
    "rnn": {},
    "rnn, relu": {"nonlinearity": "relu"},
    "rnn-linear": {},
    "echo-state": {},
    "solved, mlp": {"readout": "mlp"},
    "solved, ridge": {"readout": "ridge"},
}
STATISTICS = Standardization(torch.tensor([5.0, -1.0, 0.5]), torch.tensor([2.0, 0.1, 30.0]))


def network(name, options):
    model = build_model(ModelOptions(name.partition(",")[0], **SIZES, **options), 3, 3).eval()
    with torch.no_grad():
        for tensor in (*model.buffers(), *(p for n, p in model.named_parameters() if "bias" in n or "skip" in n)):
            if not tensor.any() or (tensor == 1).all():
                tensor.copy_(0.3 * torch.randn(tensor.shape) + (tensor == 1))
    return model


def compare(program, series, expected, forecast=0):
    """Equal up to 1e-5 of the largest output, a few hundred times the rounding of float32."""
    source = program.write("model")
    found = run_program(source.code, "model", series, program.outputs, forecast=forecast)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * max(1.0, np.abs(expected).max()))
    return source


@needs_compiler
@pytest.mark.parametrize(("name", "options"), NETWORKS.items(), ids=NETWORKS)
def test_networks_are_those_of_python(name, options):
    torch.manual_seed(0)
    model, x = network(name, options), torch.randn(25, 3)
    with torch.no_grad():
        expected = model(x[None])[0][0].numpy()
    compare(network_program(model), x.numpy(), expected)


@needs_compiler
@pytest.mark.parametrize("layer", ["layers", "diagonal", "deep", "stacked LSTM, no bias"])
def test_other_layers_are_those_of_python(layer):
    torch.manual_seed(0)
    recurrent = {
        "layers": lambda: LMN(3, 4, 5, 2, batch_first=True),
        "diagonal": lambda: LMN(3, 4, 5, memory="diagonal", batch_first=True, output="functional"),
        "deep": lambda: LMN(3, (4, 6, 2), 5, batch_first=True, bias=False),
        "stacked LSTM, no bias": lambda: nn.LSTM(3, 4, 2, bias=False, batch_first=True),
    }[layer]()
    width = getattr(recurrent, "output_size", 4)
    model, x = SequenceModel(recurrent, nn.Linear(width, 2)).eval(), torch.randn(30, 3)
    with torch.no_grad():
        expected = model(x[None])[0][0].numpy()
    compare(network_program(model), x.numpy(), expected)


@needs_compiler
def test_standardized_networks_read_and_write_the_units_of_the_data():
    torch.manual_seed(0)
    model, x = network("lmn-b", {}), STATISTICS.invert(torch.randn(20, 3))
    with torch.no_grad():
        outputs = model(STATISTICS.apply(x)[None])[0][0]
    compare(network_program(model, STATISTICS), x.numpy(), outputs.numpy())
    values = x
    with torch.no_grad():
        for _ in range(6):
            following = model(STATISTICS.apply(values)[None])[0][0, -1:]
            values = torch.cat([values, STATISTICS.invert(following)])
    program = network_program(model, STATISTICS, feeds_back=True)
    compare(program, x.numpy(), values[20:].numpy(), forecast=6)


@needs_compiler
def test_detector_scores_are_those_of_python():
    rng = np.random.default_rng(0)
    x = np.stack([np.sin(0.2 * np.arange(300)), np.cos(0.3 * np.arange(300))], 1) + 0.1 * rng.standard_normal((300, 2))
    detector = MemoryAnomalyDetector(memory_size=12).fit(x[:200])
    expected = detector.score_samples(x)[:, None]
    source = estimator_program(detector).write("model")
    found = run_program(source.code, "model", x, 1)
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=1e-3)  # squares of differences of rounded numbers


@needs_compiler
@pytest.mark.parametrize("season", [None, 8])
@pytest.mark.parametrize("log", [False, True])
def test_forecasts_are_those_of_python(season, log):
    t = np.arange(180)
    x = np.stack([20 + np.sin(2 * np.pi * t / 8), 30 + 0.1 * t + np.cos(2 * np.pi * t / 8)], 1)
    x = x + 0.1 * np.random.default_rng(0).standard_normal(x.shape)
    forecaster = MemoryForecaster(season=season, log=log, lag_decays=(0.9,)).fit(x[:160])
    program = estimator_program(forecaster)
    compare(program, x[:0], forecaster.predict(5), forecast=5)
    compare(estimator_program(forecaster), x[160:], np.stack([forecaster.update(one) for one in x[160:]]))
    compare(estimator_program(forecaster), x[160:], forecaster.predict(9), forecast=9)


@needs_compiler
@pytest.mark.parametrize("kind", [MemoryClassifier, MemoryRegressor])
def test_outputs_of_pooled_features_are_those_of_python(kind):
    labels, rng = np.arange(24) % 3, np.random.default_rng(0)
    waves = [np.sin((0.2 + 0.2 * label) * np.arange(30 + i)) for i, label in enumerate(labels)]
    series = [x[:, None] * [1.0, 2.0] + 0.1 * rng.standard_normal((len(x), 2)) for x in waves]
    views = ["scaled", "scaled differences"]
    estimator = kind(n_projections=300, memory_size=6, views=views, decays=(0.5, 0.9)).fit(series[:18], labels[:18])
    for x in series[18:]:
        estimator.reset()
        expected = np.array([np.atleast_1d(estimator.update(one)) for one in x])
        source = estimator_program(estimator).write("model")
        found = run_program(source.code, "model", x, expected.shape[1])
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@needs_compiler
def test_a_stream_counts_beyond_the_integers_of_float32():
    """47 hours at 100 Hz: 2²⁴ + 1 is no float32."""
    many, rng = 2**24, np.random.default_rng(0)
    series, labels = [rng.standard_normal((30, 2)) for _ in range(18)], np.arange(18) % 3
    views = ["scaled", "scaled differences"]
    regressor = MemoryRegressor(n_projections=60, memory_size=6, views=views, decays=(0.5,)).fit(series, labels)
    features = regressor.features_
    regressor.update(series[0][0])
    stream = features._stream
    stream._steps, stream._last = many, np.zeros_like(stream._last)
    for pool, window in zip(stream._pools, stream._windows, strict=True):
        window.fill(0)
        pool._signs = [np.zeros_like(signs) for signs in pool._signs]
        for sums in (*pool.counts, *pool.parts, pool.sum):
            sums.fill(many)
    expected = np.array([np.atleast_1d(regressor.update(one)) for one in series[1]])
    assert stream._steps == many + 30
    for pool in stream._pools:
        assert all((counts > many).any() and counts.max() <= many + 30 for counts in pool.counts)
        assert all(((parts > many) & (parts % 1 != 0)).any() for parts in (*pool.parts, pool.sum))
        positive = pool.counts[0][0, 0]
        assert (positive % 2 == 1).any()  # float32 has no odd number here
    source = estimator_program(regressor).write("model")
    code, count = re.subn(r"((?:steps|counts_\d|parts_\d|sums_\d)\[i\]) = 0;", rf"\1 = {many};", source.code)
    assert count == 1 + 3 * 2
    found = run_program(code, "model", series[1], 1)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    sizes = {"float": 4, "unsigned char": 1, "uint32_t": 4, "double": 8}
    arrays = re.findall(r"^static ([a-z0-9_ ]+) \w+\[(\d+)\];", source.code, re.MULTILINE)
    assert source.ram_bytes == sum(sizes[kind] * int(size) for kind, size in arrays)


@needs_compiler
def test_reset_begins_again_and_another_file_can_call_the_program(tmp_path):
    torch.manual_seed(0)
    model, x = network("lmn-b", {}), torch.randn(3)
    source = network_program(model).write("little")
    (tmp_path / "little.c").write_text(source.code)
    (tmp_path / "little.h").write_text(source.header)
    (tmp_path / "main.c").write_text(
        '#include <stdio.h>\n#include "little.h"\nint main(void)\n{\n'
        f"    const float x[3] = {{{', '.join(c_program.literal(v) for v in x.tolist())}}};\n    float y[3];\n"
        "    little_reset();\n    little_step(x, y);\n    little_step(x, y);\n    little_reset();\n"
        '    little_step(x, y);\n    printf("%.9g %.9g %.9g", y[0], y[1], y[2]);\n    return 0;\n}\n'
    )
    command = [find_compiler(), "-std=c99", "-Wall", "-Wextra", "-Werror", "main.c", "little.c", "-o", "main", "-lm"]
    subprocess.run(command, cwd=tmp_path, check=True)
    printed = subprocess.run([tmp_path / "main"], capture_output=True, text=True, check=True).stdout
    with torch.no_grad():
        expected = model(x[None, None])[0][0, 0].numpy()
    np.testing.assert_allclose([float(one) for one in printed.split()], expected, rtol=1e-5, atol=1e-6)


def test_sizes_are_those_of_the_arrays():
    model = network("lmn-b", {})
    source = network_program(model).write("model")
    assert source.flash_bytes == 4 * sum(p.numel() for p in model.parameters())
    assert source.ram_bytes == 4 * (8 + 6 + 8)  # memory, functional units, following memory
    assert f"Flash: {source.flash_bytes} bytes" in source.code
    assert "malloc" not in source.code
    assert source.code.count("#include") == 1


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("lmn-b", {"readout": "nade"}, "got a joint readout"),
        ("rnn-rbm", {}, "got RNNRBM"),
        ("unfolded", {}, "got UnfoldedNetwork"),
        ("lru", {}, "must be an LMN, LSTM, GRU, RNN or solved memory for C, got LRU"),
    ],
)
def test_other_networks_are_refused(name, options, message):
    model = build_model(ModelOptions(name, **SIZES, **options), 5, 5)
    with pytest.raises(ValueError, match=message):
        network_program(model)


def test_what_no_stream_can_compute_is_refused():
    labels = np.arange(8) % 2
    series = [np.sin((0.2 + 0.4 * label) * np.arange(30 + i)) for i, label in enumerate(labels)]
    classifier = MemoryClassifier(n_projections=100).fit(series, labels)
    with pytest.raises(ValueError, match="views must be of .* for C, got 'standardized'"):
        estimator_program(classifier)
    forecaster = MemoryForecaster(season=None, lag_decays=(0.9,), penalties=(1e-3,)).fit(series[:2])
    with pytest.raises(ValueError, match="must be fitted to one series for C, got a list of 2"):
        estimator_program(forecaster)
    with pytest.raises(ValueError, match="got MemoryFeatures"):
        estimator_program(classifier.features_)
    bidirectional = SequenceModel(LMN(3, 4, 5, bidirectional=True, batch_first=True), nn.Linear(10, 2))
    with pytest.raises(ValueError, match="must read forward only for C"):
        network_program(bidirectional)
    series = 5 + np.sin(0.3 * np.arange(80))
    with pytest.raises(ValueError, match="must be fitted to one series for C, got a list of 1"):
        estimator_program(MemoryForecaster(season=None, memory_size=5, lag_decays=(0.9,)).fit([series]))
    with pytest.raises(ValueError, match="name must be a C identifier, got '2x'"):
        network_program(network("lstm", {})).write("2x")


def test_examples_run():
    assert doctest.testmod(c_program).failed == 0
