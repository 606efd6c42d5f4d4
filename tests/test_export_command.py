"""`linmem export`: the files give the predictions of the run; ONNX graphs run at other sizes; refusals in one line."""

import doctest

import numpy as np
import pytest
import torch
from torch import nn

import linmem
from linmem import LMN, MemoryAnomalyDetector, MemoryFeatures, MemoryForecaster
from linmem.data.standardization import Standardization
from linmem.export import agreement
from linmem.export.c_check import find_compiler, run_program
from linmem.export.onnx_graph import Graph, export_graph, solved_layer
from linmem.nn.registry import ModelOptions, build_model
from linmem.nn.sequence_model import SequenceModel
from linmem.runs import export_run

from .test_cli import SMALL, pieces, run, trained  # noqa: F401

needs_onnx = pytest.mark.skipif(
    not hasattr(torch.compiler, "is_exporting"), reason="this torch cannot export a scan with a dynamic number of steps"
)
needs_compiler = pytest.mark.skipif(find_compiler() is None, reason="there is no C compiler")
STATISTICS = Standardization(torch.tensor([5.0, -1.0, 0.5]), torch.tensor([2.0, 0.1, 30.0]))


def test_solved_memories_are_a_linear_lmn():
    torch.manual_seed(0)
    memory = build_model(ModelOptions("solved", memory_size=4, lag_decay=(0.5, 0.8, 0.9)), 3, 2).recurrent
    for buffer in memory.buffers():
        buffer.copy_(0.4 * torch.randn(buffer.shape))
    x = torch.randn(2, 15, 3)
    with torch.no_grad():
        states, last = solved_layer(memory)(x)
        features, state = memory(x)
    expected = features[..., 3:] * memory.scale.flatten()
    torch.testing.assert_close(states, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(last[0], state, rtol=1e-4, atol=1e-5)


@needs_onnx
@pytest.mark.parametrize("name", ["lmn-orthogonal", "lstm", "solved"])
def test_graphs_agree_with_the_model_at_all_sizes(name, tmp_path):
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    model = build_model(ModelOptions(name, hidden_size=4, memory_size=5), 3, 3).eval()
    one_step = name == "lstm"  # the time of the others is that of the exporter
    graph = Graph(model, STATISTICS, invert=True)
    export_graph(graph, tmp_path / "model.onnx", [STATISTICS.invert(torch.randn(9, 3))])
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    assert session.get_inputs()[0].name == "x"
    x = STATISTICS.invert(torch.randn(4, 21, 3))
    with torch.no_grad():
        expected = STATISTICS.invert(model(STATISTICS.apply(x))[0])
    state = {f"state_{i}": part.numpy() for i, part in enumerate(graph.start(4))}
    first = session.run(None, {"x": x[:, :13].numpy()} | state)
    after = {f"state_{i}": part for i, part in enumerate(first[1:])}
    second = session.run(None, {"x": x[:, 13:].numpy()} | after)
    found = np.concatenate([first[0], second[0]], 1)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-3)
    if one_step:
        graph = Graph(model, STATISTICS, invert=True, one_step=True)
        export_graph(graph, tmp_path / "step.onnx", [STATISTICS.invert(torch.randn(9, 3))])
        session, outputs = onnxruntime.InferenceSession(tmp_path / "step.onnx"), []
        for t in range(21):
            y, *parts = session.run(None, {"x": x[:, t].numpy()} | state)
            state = {f"state_{i}": part for i, part in enumerate(parts)}
            outputs.append(y)
        np.testing.assert_allclose(np.stack(outputs, 1), expected.numpy(), rtol=1e-4, atol=1e-3)


def series_folder(folder):
    folder.mkdir()
    for index in range(8):
        x = 5 + np.random.default_rng(index).standard_normal((20, 3)).cumsum(0)
        np.save(folder / f"{index}.npy", x.astype(np.float32))
    return folder


@needs_onnx
@needs_compiler
def test_a_run_is_exported_to_both_formats(tmp_path, capsys):
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    folder, out = series_folder(tmp_path / "data"), tmp_path / "run"
    assert run(capsys, "train", folder, "--standardize", "--out", out, *SMALL, "--model=gru")[0] == 0
    status, printed, _ = run(capsys, "export", out)
    assert status == 0
    assert printed.count("ONNX Runtime and PyTorch differ by at most") == 2
    assert {path.name for path in (out / "export").iterdir()} >= {"model.onnx", "model_step.onnx"}
    status, printed, _ = run(capsys, "export", out, "--format=c", "--name=waves")
    assert status == 0
    assert "differs from Python by at most" in printed
    assert run(capsys, "predict", out, folder, "--every_step")[0] == 0
    rows = np.loadtxt(out / "predictions-test.csv", delimiter=",", skiprows=1)
    test = linmem.data.load(str(folder)).test[0]
    found = run_program((out / "export" / "waves.c").read_text(), "waves", test.numpy(), 3)
    np.testing.assert_allclose(found, rows[rows[:, 0] == 0, 2:], rtol=1e-4, atol=1e-4)
    status, _, error = run(capsys, "export", out, "--format=c", "--name=waves")
    assert status == 2
    assert "must not hold earlier output" in error


@needs_compiler
def test_a_saved_detector_is_exported(tmp_path, capsys):
    x = np.sin(0.3 * np.arange(300))
    MemoryAnomalyDetector(memory_size=6).fit(x).save(tmp_path / "detector.safetensors")
    status, printed, _ = run(capsys, "export", tmp_path / "detector.safetensors", "--format=c", "--name=detector")
    assert status == 0
    assert "detector.c" in printed
    assert "above" in (tmp_path / "export" / "detector.c").read_text()


@needs_compiler
def test_an_estimator_is_compared_in_the_units_of_its_data(tmp_path):
    pressure = 101325.04 + 0.5 * np.random.default_rng(0).standard_normal(400).cumsum() / 10
    MemoryAnomalyDetector(memory_size=6).fit(pressure).save(tmp_path / "detector.safetensors")
    found = export_run.read_model(tmp_path / "detector.safetensors", "loss")
    assert abs(found.series[0].mean() - pressure.mean()) < 1
    line = export_run.export(tmp_path / "detector.safetensors", "c", tmp_path / "c")[0]
    assert float(line.partition("at most ")[2].partition(" ")[0]) < 1e-3


@needs_compiler
@pytest.mark.parametrize("log", [True, False])
def test_a_forecaster_far_from_zero_keeps_its_digits_or_is_refused(log, tmp_path):
    wave = np.sin(0.5 * np.arange(300)) + 0.3 * np.random.default_rng(0).standard_normal(300)
    for level in (1e4, 1e7):
        path = tmp_path / f"at-{level:g}"
        forecaster = MemoryForecaster(log=log, lag_decays=(0.9,), penalties=(1e-4,)).fit(level + wave)
        forecaster.save(path)
        if level == 1e7:
            with pytest.raises(ValueError, match="must change by more than float's rounding from step to step"):
                export_run.export(path, "c", tmp_path, name="far")
            assert not (tmp_path / "far.c").exists()
            continue
        export_run.export(path, "c", tmp_path, name="near")
        later = level + wave[:100]
        found = run_program((tmp_path / "near.c").read_text(), "near", later[:, None].astype(np.float32), 1)[:, 0]
        expected = np.array([forecaster.update(x) for x in later.astype(np.float32)])
        assert np.abs(found - expected).max() < 0.02  # of steps of size 0.5; float has 0.001 at 1e4


def test_without_a_compiler_a_forecaster_far_from_zero_is_refused_too(tmp_path, monkeypatch):
    monkeypatch.setattr(export_run, "find_compiler", lambda: None)
    wave = np.sin(0.5 * np.arange(300)) + 0.3 * np.random.default_rng(0).standard_normal(300)
    for level, refused in ((1e4, False), (1e7, True)):
        series = np.stack([wave, level + wave], 1)
        MemoryForecaster(lag_decays=(0.9,), penalties=(1e-4,)).fit(series).save(tmp_path / "saved")
        if refused:
            with pytest.raises(ValueError, match="channel 1 must change by more than float's rounding"):
                export_run.export(tmp_path / "saved", "c", tmp_path / "far")
        else:
            assert "there is no C compiler" in export_run.export(tmp_path / "saved", "c", tmp_path / "near")[0]
    assert not (tmp_path / "far").exists()


@needs_compiler
@pytest.mark.parametrize(("level", "scales"), [((101325, 0.5), (300, 0.02)), ((0, 0), (1e5, 0.01))])
def test_channels_of_a_forecaster_are_compared_each_in_its_own_unit(level, scales, tmp_path, monkeypatch):
    wave = np.sin(0.5 * np.arange(300)) + 0.3 * np.random.default_rng(0).standard_normal(300)
    series = np.stack([wave, np.roll(wave, 3)], 1) * scales + level
    MemoryForecaster(lag_decays=(0.9,), penalties=(1e-4,)).fit(series).save(tmp_path / "saved")
    assert "compiled; differs from Python" in export_run.export(tmp_path / "saved", "c", tmp_path / "c")[0]
    other = np.array([1, 1.5])  # of the small channel, which the other hides
    monkeypatch.setattr(export_run, "run_program", lambda *given: other * run_program(*given))
    with pytest.raises(RuntimeError, match="the C program must agree with Python"):
        export_run.export(tmp_path / "saved", "c", tmp_path / "other")


@needs_compiler
def test_outputs_that_float_does_not_hold_are_refused(tmp_path):
    series = [np.sin((0.3 + 0.03 * i) * np.arange(40)) for i in range(12)]
    small, large = "outputs must be between .* in size for float", "weights must be at most 3.4e.38 in size for C"
    for scale, message in ((1e-30, None), (1e-50, small), (1e45, large)):
        regressor = linmem.MemoryRegressor(n_projections=50, views=["scaled"]).fit(series, scale * (np.arange(12) - 5))
        regressor.save(tmp_path / "saved")
        if message is None:
            assert "compiled" in export_run.export(tmp_path / "saved", "c", tmp_path / "near")[0]
        else:
            with pytest.raises(ValueError, match=message):
                export_run.export(tmp_path / "saved", "c", tmp_path / "far")
    MemoryForecaster(lag_decays=(0.9,), penalties=(1e-4,)).fit(1e-50 * series[0]).save(tmp_path / "forecaster")
    with pytest.raises(ValueError, match=small):
        export_run.export(tmp_path / "forecaster", "c", tmp_path / "far")


@needs_compiler
def test_names_of_classes_may_hold_signs_of_comments(tmp_path):
    series = [np.sin((0.3 + 0.3 * (i % 2)) * np.arange(40)) for i in range(8)]
    classifier = linmem.MemoryClassifier(n_projections=50, views=["scaled"])
    classifier.fit(series, ["km/*", "*/h"] * 4).save(tmp_path / "classifier.safetensors")
    assert "compiled" in export_run.export(tmp_path / "classifier.safetensors", "c", tmp_path / "c")[0]


@needs_compiler
def test_a_run_without_its_data_is_compared_on_random_series(tmp_path, capsys):
    folder, out = series_folder(tmp_path / "data"), tmp_path / "run"
    assert run(capsys, "train", folder, "--out", out, *SMALL)[0] == 0
    folder.rename(tmp_path / "elsewhere")
    status, printed, _ = run(capsys, "export", out, "--format=c")
    assert status == 0
    assert "differs from Python" in printed


@needs_compiler
def test_a_program_that_writes_nan_is_refused(tmp_path, monkeypatch):
    MemoryAnomalyDetector(memory_size=6).fit(np.sin(0.3 * np.arange(300))).save(tmp_path / "detector.safetensors")
    monkeypatch.setattr(
        export_run, "run_program", lambda code, name, series, outputs: np.full((len(series), 1), np.nan)
    )
    with pytest.raises(RuntimeError, match="must agree with Python, got a difference of nan"):
        export_run.export(tmp_path / "detector.safetensors", "c", tmp_path / "out")
    assert not list((tmp_path / "out").glob("*.c"))


def test_examples_run():
    assert doctest.testmod(agreement).failed == 0


def test_bad_input_gives_one_line(trained, pieces, tmp_path, capsys):  # noqa: F811
    x = np.sin(0.3 * np.arange(100))
    MemoryFeatures(n_projections=50, views=["scaled"]).fit([x, x]).save(tmp_path / "features.safetensors")
    MemoryAnomalyDetector(memory_size=6).fit(x).save(tmp_path / "detector.safetensors")
    for arguments, message in (
        ((trained, "--format=zip"), "format must be one of onnx, c, got 'zip'"),
        ((trained, "--format=c", "--name=2x"), "name must be a C identifier, got '2x'"),
        ((pieces,), "run must be a folder that `linmem train` wrote"),
        ((tmp_path / "features.safetensors", "--format=c"), "must be a classifier, regressor, forecaster or anomaly"),
        ((tmp_path / "detector.safetensors",), "model must be a network for ONNX, got MemoryAnomalyDetector"),
    ):
        status, _, error = run(capsys, "export", *arguments)
        assert status == 2
        assert message in error
        assert error.count("\n") == 1


def test_other_layers_are_refused():
    for model, message in (
        (build_model(ModelOptions("lru", hidden_size=4, memory_size=4), 3, 2), "for ONNX, got LRU"),
        (build_model(ModelOptions("rnn-rbm", hidden_size=4, memory_size=4), 3, 3), "for ONNX, got RNNRBM"),
        (SequenceModel(nn.LSTM(3, 4, bidirectional=True, batch_first=True), nn.Linear(8, 2)), "for ONNX, got LSTM"),
    ):
        with pytest.raises(ValueError, match=message):
            Graph(model)
    assert isinstance(Graph(SequenceModel(LMN(3, 4, 5, batch_first=True), nn.Linear(5, 2))).layer, LMN)
