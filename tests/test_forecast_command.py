"""`linmem forecast`: the table is what the model predicts when its predictions are fed back; intervals; refusals."""

import csv
import json

import numpy as np
import pytest
import torch

import linmem
from linmem import MemoryForecaster, data
from linmem.estimators.intervals import conformal_widths
from linmem.nn.registry import ModelOptions
from linmem.runs import runner
from linmem.runs.fitted_estimator import build, fit, load_estimator, scores
from linmem.runs.forecast import network_errors
from linmem.runs.options import RunOptions
from linmem.storage import tensor_file
from linmem.training.prepared import PreparedTask
from linmem.training.tasks import task_of

from .test_cli import SMALL, pieces, run, trained  # noqa: F401


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    t = np.arange(160)
    values = 20 + 0.05 * t + 3 * np.sin(2 * np.pi * t / 8) + 0.2 * np.random.default_rng(0).standard_normal(160)
    path = tmp_path_factory.mktemp("series") / "waves.csv"
    path.write_text("level,other\n" + "".join(f"{x:.6f},{x * 2:.6f}\n" for x in values))
    return path


def rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def column(table, name):
    return np.array([float(row[name]) for row in table])


def test_an_estimator_run_continues_the_whole_series(series, tmp_path, capsys):
    folder = tmp_path / "run"
    assert run(capsys, "train", series, "--model=estimator", "--season=8", "--horizon=10", "--out", folder)[0] == 0
    assert run(capsys, "forecast", folder, "--steps=10", "--coverage=0.8")[0] == 0
    table = rows(folder / "forecast" / "forecast.csv")
    whole = np.loadtxt(series, delimiter=",", skiprows=1)
    forecaster = linmem.load(folder)
    assert isinstance(forecaster, MemoryForecaster)
    assert len(forecaster.series_[0]) == 136  # train and valid, 85 % of the steps
    for step in whole[136:].astype(np.float32):
        forecaster.update(step)
    expected = forecaster.predict(10)
    lower, upper = forecaster.predict_interval(10, 0.8)
    assert [int(row["step"]) for row in table] == list(range(160, 170))
    for channel, name in enumerate(["level", "other"]):
        assert column(table, name) == pytest.approx(expected[:, channel], rel=1e-4)
        assert column(table, f"{name}_lower") == pytest.approx(lower[:, channel], rel=1e-4)
        assert column(table, f"{name}_upper") == pytest.approx(upper[:, channel], rel=1e-4)
    assert (folder / "forecast" / "forecast.png").read_bytes()[:4] == b"\x89PNG"
    truth = 20 + 0.05 * np.arange(160, 170) + 3 * np.sin(2 * np.pi * np.arange(160, 170) / 8)
    assert np.abs(column(table, "level") - truth).max() < 0.6
    assert run(capsys, "predict", folder, series, "--every_step")[0] == 0
    assert len(rows(folder / "predictions-test.csv")) == 24  # train and valid come before them


def test_validation_scores_are_those_of_the_fit_to_train_alone(tmp_path):
    walk, folder = tmp_path / "walk.csv", tmp_path / "run"
    np.savetxt(walk, np.cumsum(np.random.default_rng(0).standard_normal(300)), header="level", comments="")
    options = RunOptions(str(walk), ModelOptions("estimator"))
    summary = runner.run(options, folder)
    splits = options.load_data()
    prepared = PreparedTask(splits, task_of(splits))
    training_error = scores(load_estimator(folder), prepared, "valid")
    assert scores(fit(build(options, splits), splits), prepared, "valid") == summary.scores != training_error
    written = (folder / "scores.json").read_bytes()
    assert runner.run(options, folder, resume=True) == summary
    assert (folder / "scores.json").read_bytes() == written
    assert runner.evaluate_run(folder, "valid")["MemoryForecaster"] == summary.scores
    (folder / "scores.json").unlink()  # killed before it was written
    with pytest.raises(FileNotFoundError, match=r"must hold a finished run, got one without scores.json"):
        runner.evaluate_run(folder, "valid")
    assert runner.run(options, folder, resume=True).scores == summary.scores


@pytest.mark.parametrize("scale", [1e-7, 1.0, 1e6])
def test_r2_does_not_depend_on_the_unit(scale, tmp_path, capsys):
    steps = np.arange(90)
    np.savetxt(tmp_path / "waves.csv", scale * (np.sin(0.3 * steps) + 0.01 * np.cos(7 * steps**2)), delimiter=",")
    assert run(capsys, "train", tmp_path / "waves.csv", "--model=estimator", "--out", tmp_path / "run")[0] == 0
    scores = runner.evaluate_run(tmp_path / "run", "valid")
    assert scores["MemoryForecaster"].accuracy > 0.95 > scores["persistence"].accuracy > 0.5


def test_a_network_feeds_its_predictions_back_in_the_units_of_the_data(series, tmp_path, capsys):
    folder = tmp_path / "run"
    assert run(capsys, "train", series, "--standardize", "--out", folder, *SMALL)[0] == 0
    assert run(capsys, "forecast", folder, "--steps=30", "--data", series)[0] == 0
    splits, model = data.load(str(series), standardize=True), linmem.load(folder)
    known = torch.cat([*splits.train, *splits.valid, *splits.test])
    values = known
    with torch.no_grad():
        for _ in range(30):
            values = torch.cat([values, model(values[None])[0][0, -1:]])
    expected = splits.standardization.invert(values[len(known) :]).numpy()
    table = rows(folder / "forecast" / "forecast.csv")
    assert column(table, "level") == pytest.approx(expected[:, 0], rel=1e-4)
    width = conformal_widths(network_errors(model, splits, 30), 0.9) * splits.standardization.scale.numpy()
    assert column(table[:24], "level_upper") - column(table[:24], "level") == pytest.approx(width[:24, 0], rel=1e-3)
    assert table[24]["level_upper"] == ""  # the validation split has 24 steps


@pytest.mark.parametrize("model", ["gru", "unfolded", "explicit"])  # the last two have no state
def test_errors_of_a_network_are_targets_minus_forecasts(model, series, tmp_path, capsys):
    folder = tmp_path / "run"
    assert run(capsys, "train", series, "--out", folder, *SMALL, f"--model={model}")[0] == 0
    splits, model = data.load(str(series)), linmem.load(folder)
    errors = network_errors(model, splits, 3)
    known = torch.cat([*splits.train, *splits.valid])
    assert errors.shape == (24, 3, 2)
    for origin in (112, 130, 135):
        values = known[:origin]
        with torch.no_grad():
            for _ in range(3):
                values = torch.cat([values, model(values[None])[0][0, -1:]])
        expected = np.full((3, 2), np.nan)
        found = known[origin : origin + 3]
        expected[: len(found)] = (found - values[origin : origin + len(found)]).numpy()
        np.testing.assert_allclose(errors[origin - 112], expected, rtol=1e-3, atol=1e-4)


def test_a_saved_forecaster_is_continued(series, tmp_path, capsys):
    values = np.loadtxt(series, delimiter=",", skiprows=1)[:, 0]
    forecaster = MemoryForecaster(season=8, lag_decays=(0.9,)).fit(values)
    forecaster.save(tmp_path / "one.safetensors")
    assert run(capsys, "forecast", tmp_path / "one.safetensors", "--steps=4", "--out", tmp_path / "new")[0] == 0
    table = rows(tmp_path / "new" / "forecast.csv")
    assert column(table, "channel_0") == pytest.approx(forecaster.predict(4), rel=1e-6)
    forecaster.update(values[0])
    forecaster.save(tmp_path / "later.safetensors")
    status, _, error = run(capsys, "forecast", tmp_path / "later.safetensors", "--steps=4")
    assert status == 2
    assert "must hold a forecaster at the end of its fitted series, got one that has read further steps" in error


@pytest.mark.parametrize("missing", ["state", "series_", "choice_", "horizon_", "lags", "n_features_in_", "0"])
def test_an_incomplete_forecaster_is_refused_with_one_line(missing, series, tmp_path, capsys):
    path = tmp_path / "one.safetensors"
    MemoryForecaster(season=8, lag_decays=(0.9,)).fit(np.loadtxt(series, delimiter=",", skiprows=1)).save(path)
    tensors, description = tensor_file.read(path)
    tensors.pop(missing, None)
    tensor_file.write(path, tensors, without(description, missing))
    status, _, error = run(capsys, "forecast", path)
    assert status == 2
    assert f"{path} must be a complete estimator, got: " in error
    assert error.count("\n") == 1


def test_names_of_channels_may_hold_commas_and_quotes(tmp_path, capsys):
    values = np.sin(0.4 * np.arange(120)) + 0.1 * np.random.default_rng(0).standard_normal(120)
    path, names = tmp_path / "named.csv", ["level, in $^$ m", 'the "other"']
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        writer.writerows([f"{x:.6f}", f"{2 * x:.6f}"] for x in values)
    folder = tmp_path / "run"
    assert run(capsys, "train", path, "--model=estimator", "--out", folder)[0] == 0
    status, printed, _ = run(capsys, "forecast", folder, "--steps=1")
    assert status == 0
    assert printed.startswith("1 step of 2 channels after step 119: ")
    status, _, error = run(capsys, "forecast", folder, "--series=4", "--force")
    assert status == 2
    assert "series must be 0 for a single series split in time, got 4" in error
    table = rows(folder / "forecast" / "forecast.csv")
    assert list(table[0]) == ["step", *(f"{name}{part}" for name in names for part in ("", "_lower", "_upper"))]
    assert column(table, names[1]) == pytest.approx(2 * column(table, names[0]), rel=1e-3)


def without(content, name):
    """Saved content without the values of this name."""
    if isinstance(content, dict):
        return {key: without(value, name) for key, value in content.items() if key != name}
    if isinstance(content, list):
        return [without(one, name) for one in content if not (isinstance(one, list) and one and one[0] == name)]
    return content


def test_bad_input_gives_one_line(trained, series, tmp_path, capsys):  # noqa: F811
    for arguments, message in (
        ((trained,), "run must predict the next step of numeric series, got one for NextFrame. Use `linmem generate`."),
        ((trained, "--steps=0"), "steps must be at least 1, got 0"),
        ((trained, "--split=titles"), "split must be one of train, valid, test, got 'titles'"),
        ((series,), "must be"),
        ((tmp_path,), "run must be a folder that `linmem train` wrote"),
    ):
        status, _, error = run(capsys, "forecast", *arguments)
        assert status == 2
        assert message in error
        assert error.count("\n") == 1


def labelled(folder, classes=3, count=8):
    for label in range(classes):
        (folder / f"class{label}").mkdir(parents=True)
        for index in range(count):
            length = 30 + index
            wave = np.sin((0.3 + 0.3 * label) * np.arange(length) + index)
            np.save(folder / f"class{label}" / f"{index}.npy", wave[:, None].astype(np.float32))
    return folder


def test_labelled_folders_are_classified_by_the_estimator(tmp_path, capsys):
    folder, out = labelled(tmp_path / "data"), tmp_path / "run"
    options = ("--model=estimator", "--n_projections=300", "--memory_size=8", "--streaming")
    assert run(capsys, "train", folder, *options, "--out", out)[0] == 0
    assert run(capsys, "train", folder, *options, "--resume", "--out", out)[0] == 0
    classifier = linmem.load(out)
    assert (classifier.memory_size, classifier.n_projections) == (8, 300)
    assert classifier.features_.views_.names == ("scaled", "scaled differences")
    assert run(capsys, "predict", out, folder)[0] == 0
    test = data.load(str(folder)).test
    expected = classifier.decision_function([x.numpy() for x in test])
    table = rows(out / "predictions-test.csv")
    assert list(table[0]) == ["sequence", "step", *(f"decision_class{i}" for i in range(3)), "predicted"]
    assert column(table, "decision_class1") == pytest.approx(expected[:, 1], rel=1e-5)
    assert column(table, "step").tolist() == [len(x) - 1 for x in test]
    assert [row["predicted"] for row in table] == [f"class{i}" for i in expected.argmax(1)]
    assert run(capsys, "predict", out, folder, "--every_step", "--force")[0] == 0
    table = rows(out / "predictions-test.csv")
    assert column(table, "step").tolist() == [step for x in test for step in range(len(x))]
    steps = np.cumsum([len(x) for x in test]) - 1
    assert column(table, "decision_class1")[steps] == pytest.approx(expected[:, 1], rel=1e-4)
    status, printed, _ = run(capsys, "evaluate", out, "--out", tmp_path / "scores")
    assert status == 0
    assert "MemoryClassifier" in printed
    matrix = np.genfromtxt(tmp_path / "scores" / "confusion-test.csv", delimiter=",", skip_header=1)[:, 1:]
    scores = json.loads((tmp_path / "scores" / "scores-test.json").read_text())["scores"]["MemoryClassifier"]
    assert matrix.sum() == len(test)
    assert np.trace(matrix) / matrix.sum() == pytest.approx(scores["accuracy"])
    assert (tmp_path / "scores" / "confusion-test.png").read_bytes()[:4] == b"\x89PNG"


def test_numbers_are_predicted_by_the_estimator(tmp_path, capsys):
    folder, out = tmp_path / "data", tmp_path / "run"
    folder.mkdir()
    lines = ["file,target"]
    for index in range(20):
        np.save(folder / f"{index}.npy", np.sin((0.2 + 0.02 * index) * np.arange(40))[:, None].astype(np.float32))
        lines.append(f"{index}.npy,{index / 10}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    assert run(capsys, "train", folder, "--model=estimator", "--n_projections=500", "--out", out)[0] == 0
    assert run(capsys, "evaluate", out)[0] == 0
    assert run(capsys, "predict", out, folder)[0] == 0
    test = data.load(str(folder)).test
    expected = linmem.load(out).predict([x.numpy() for x in test])
    assert column(rows(out / "predictions-test.csv"), "output_0") == pytest.approx(expected, rel=1e-5)
    status, _, error = run(capsys, "predict", out, folder, "--every_step", "--force")
    assert status == 2
    assert "every_step must be False for an estimator that reads whole series" in error


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--n_projections=0",), "n_projections must be at least 1, got 0"),
        (("--lag_decay=1.0",), "decays must be numbers between 0 and 1"),
    ],
)
def test_options_that_cannot_be_fitted_leave_the_earlier_run(options, message, tmp_path, capsys):
    folder, out = labelled(tmp_path / "data"), tmp_path / "run"
    assert run(capsys, "train", folder, "--model=estimator", "--n_projections=50", "--out", out)[0] == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    status, _, error = run(capsys, "train", folder, "--model=estimator", *options, "--force", "--out", out)
    assert status == 2
    assert message in error
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--season=-3",), "season must be an integer of at least 1"),
        (("--season=0",), "season must be an integer of at least 1"),
        (("--horizon=0",), "horizon must be at least 1, got 0"),
        (("--lag_decay=1.5",), "lag_decay must be"),
    ],
)
def test_a_forecaster_that_cannot_be_fitted_leaves_no_run(options, message, series, tmp_path, capsys):
    status, _, error = run(capsys, "train", series, "--model=estimator", *options, "--out", tmp_path / "run")
    assert status == 2
    assert message in error
    assert not (tmp_path / "run").exists()


def test_a_series_too_short_for_a_forecaster_leaves_no_run(tmp_path, capsys):
    np.savetxt(tmp_path / "short.csv", np.arange(20.0), delimiter=",")
    status, _, error = run(capsys, "train", tmp_path / "short.csv", "--model=estimator", "--out", tmp_path / "run")
    assert status == 2
    assert "must have at least 20 steps" in error
    assert not (tmp_path / "run").exists()


def test_a_horizon_beyond_the_training_split_leaves_the_earlier_run(series, tmp_path, capsys):
    quick = (series, "--model=estimator", "--season=8", "--lag_decay=0.9", "--out", tmp_path / "run")
    assert run(capsys, "train", *quick)[0] == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    status, _, error = run(capsys, "train", *quick, "--horizon=2000000000", "--force")
    assert status == 2
    assert "horizon must be at most 44, the last 40 % of the series, got 2000000000" in error
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before


@pytest.mark.parametrize("place", [165, 190], ids=["valid", "test"])
def test_a_split_that_is_not_positive_has_no_model_of_logarithms(place, tmp_path, capsys):
    t, rng = np.arange(200), np.random.default_rng(0)
    values = np.exp(0.02 * t) * (1.2 + np.sin(2 * np.pi * t / 12)) * np.exp(0.05 * rng.standard_normal(200))
    np.savetxt(tmp_path / "positive.csv", values)
    values[place : place + 3] = 0
    np.savetxt(tmp_path / "zero.csv", values)
    for name, log in (("positive", True), ("zero", False)):
        quick = ("--model=estimator", "--season=12", "--lag_decay=0.9", "--out", tmp_path / "run", "--force")
        assert run(capsys, "train", tmp_path / f"{name}.csv", *quick)[0] == 0
        assert linmem.load(tmp_path / "run").choice_.log is log
        for command in ("evaluate", "predict", "forecast"):
            given = [tmp_path / f"{name}.csv"] if command == "predict" else []
            assert run(capsys, command, tmp_path / "run", *given, "--force")[0] == 0
    status, _, error = run(capsys, "predict", tmp_path / "run", tmp_path / "positive.csv", "--force")
    assert (status, error) == (0, "")


def test_options_without_meaning_for_an_estimator_are_refused(series, pieces, tmp_path, capsys):  # noqa: F811
    for arguments, message in (
        ((series, "--hidden_size=7"), "hidden_size must not be given for the model estimator, got 7"),
        ((series, "--max_epochs=3"), "max_epochs must not be given for the model estimator, got 3"),
        ((series, "--pretrain=inputs"), "model must be one of"),
        ((series, "--standardize"), "standardize must be False for the model estimator"),
        ((pieces,), "data must be labelled or numeric series for an estimator, got piano rolls"),
    ):
        status, _, error = run(capsys, "train", *arguments, "--model=estimator", "--out", tmp_path / "new")
        assert status == 2
        assert message in error
        assert error.count("\n") == 1


@pytest.mark.parametrize("options", [["--readout=nade", "--nade_size=5"], ["--model=rnn-rbm"]], ids=["nade", "rnn-rbm"])
def test_joint_models_predict_their_marginals(options, pieces, tmp_path, capsys):  # noqa: F811
    small = ["--hidden_size=6", "--memory_size=8", "--max_epochs=1", "--batch_size=4"]
    assert run(capsys, "train", pieces, *small, *options, "--out", tmp_path / "run")[0] == 0
    assert run(capsys, "predict", tmp_path / "run", pieces, "--out", tmp_path / "p.csv")[0] == 0
    table = np.loadtxt(tmp_path / "p.csv", delimiter=",", skiprows=1, ndmin=2)
    assert table.shape[1] == 90
    assert (table[:, 2:] > 0).all()
    assert (table[:, 2:] < 1).all()
    assert run(capsys, "predict", tmp_path / "run", pieces, "--out", tmp_path / "again.csv")[0] == 0
    assert (tmp_path / "again.csv").read_text() == (tmp_path / "p.csv").read_text()


def test_network_runs_on_classes_name_the_predicted_class(tmp_path, capsys):
    folder, out = labelled(tmp_path / "data", count=6), tmp_path / "run"
    assert run(capsys, "train", folder, *SMALL, "--out", out)[0] == 0
    assert run(capsys, "predict", out, folder)[0] == 0
    table = rows(out / "predictions-test.csv")
    for row in table:
        assert row["predicted"] == max(("class0", "class1", "class2"), key=lambda name: float(row[f"class_{name}"]))
