"""`linmem predict`: the CSV file holds the model's outputs in the units of the data."""

import numpy as np
import torch

import linmem
from linmem import data
from linmem.data.standardization import Standardization
from linmem.runs import predict as predictions
from linmem.runs.confusion import confusion
from linmem.runs.options import RunOptions

from .test_cli import SMALL, pieces, run, trained  # noqa: F401


def read(path):
    return np.loadtxt(path, delimiter=",", skiprows=1, ndmin=2)


@torch.no_grad()
def test_notes_are_probabilities_of_the_loaded_model(trained, pieces, tmp_path, capsys):  # noqa: F811
    assert run(capsys, "predict", trained, pieces, "--every_step", "--out", tmp_path / "p.csv")[0] == 0
    model, test = linmem.load(trained), data.load(str(pieces)).test
    expected = torch.cat([model(x[None])[0][0].sigmoid() for x in test]).numpy()
    np.testing.assert_allclose(read(tmp_path / "p.csv")[:, 2:], expected, rtol=1e-5, atol=1e-7)


def test_standardized_series_are_predicted_in_their_own_units(tmp_path, capsys):
    folder, random = tmp_path / "series", np.random.default_rng(0)
    folder.mkdir()
    for index in range(8):
        np.save(folder / f"{index}.npy", (100 + 10 * random.standard_normal((20, 3))).astype(np.float32))
    command = ["train", folder, "--standardize", "--out", tmp_path / "run", *SMALL]
    assert run(capsys, *command)[0] == 0
    assert run(capsys, "predict", tmp_path / "run", folder)[0] == 0
    raw = data.load(str(folder))
    statistics = Standardization.fit(raw.train)
    model = linmem.load(tmp_path / "run")
    with torch.no_grad():
        expected = torch.stack(
            [statistics.invert(model(statistics.apply(x)[None])[0][0, -1]) for x in raw.test]
        ).numpy()
    rows = read(tmp_path / "run" / "predictions-test.csv")
    assert rows[:, 1].tolist() == [19] * len(raw.test)
    np.testing.assert_allclose(rows[:, 2:], expected, rtol=1e-5)


def test_all_new_files_are_predicted_and_named(tmp_path, capsys):
    t = np.arange(40)[:, None]
    for name, speed in (("slow", 0.2), ("fast", 0.7)):
        for index in range(6):
            folder = tmp_path / "waves" / name
            folder.mkdir(parents=True, exist_ok=True)
            np.savetxt(folder / f"{index}.csv", np.sin(speed * t + index), delimiter=",")
    (tmp_path / "new").mkdir()
    for name, speed in (("a", 0.7), ("b", 0.2)):
        np.savetxt(tmp_path / "new" / f"{name}.csv", np.sin(speed * t), header="x", comments="", delimiter=",")
    for model in (["--model=estimator"], SMALL):
        out = tmp_path / f"run{len(model)}"
        assert run(capsys, "train", tmp_path / "waves", *model, "--out", out)[0] == 0
        assert run(capsys, "predict", out, tmp_path / "new")[0] == 0
        rows = [row.split(",") for row in (out / "predictions-new.csv").read_text().splitlines()]
        assert rows[0][:3] == ["sequence", "step", "file"]
        assert [row[:3] for row in rows[1:]] == [["0", "39", "a.csv"], ["1", "39", "b.csv"]]
        if model != SMALL:
            assert [row[-1] for row in rows[1:]] == ["fast", "slow"]


def test_classes_that_training_lacks_keep_the_columns_of_the_data(tmp_path, capsys):
    out = tmp_path / "run"
    assert run(capsys, "train", "digits:6:20:30", "--model=estimator", "--n_projections=50", "--out", out)[0] == 0
    classifier, test = linmem.load(out), data.load("digits:6:20:30")
    assert len(classifier.classes_) < 10
    assert run(capsys, "predict", out, "digits:6:20:30")[0] == 0
    values = read(out / "predictions-test.csv")[:, 2:12]
    expected = classifier.decision_function([x.numpy() for x in test.test])
    np.testing.assert_allclose(values[:, classifier.classes_], expected, rtol=1e-5)
    assert np.isneginf(np.delete(values, classifier.classes_, 1)).all()
    true = test.labels["test"].numpy()
    correct = confusion(out).counts.trace()
    assert correct == (classifier.predict([x.numpy() for x in test.test]) == true).sum() > 0


def test_the_own_data_are_recognized_by_a_path_of_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "series").mkdir()
    for index in range(3):
        np.save(tmp_path / "series" / f"{index}.npy", np.ones((4, 2)))
    assert predictions._new_files("~/series", RunOptions("~/series")) is None
    assert predictions._new_files("~/series", RunOptions("~/other")) is not None


def test_bad_input_gives_one_line(trained, pieces, capsys):  # noqa: F811
    for arguments, message in (
        ((trained, pieces, "--split=all"), "split must be one of train, valid, test, got 'all'"),
        ((pieces, pieces), "run must be a folder that `linmem train` wrote"),
        ((trained, "mackey_glass_17"), "must have 88 features"),
    ):
        status, _, error = run(capsys, "predict", *arguments)
        assert status == 2
        assert message in error
        assert error.count("\n") == 1


def test_files_too_short_for_a_forecast_are_counted(tmp_path, capsys):
    (tmp_path / "new").mkdir()
    wave = 5 + np.sin(2 * np.pi * np.arange(120) / 12) + 0.05 * np.random.default_rng(0).standard_normal(120)
    np.savetxt(tmp_path / "wave.csv", wave, delimiter=",")
    assert (
        run(capsys, "train", tmp_path / "wave.csv", "--model=estimator", "--season=12", "--out", tmp_path / "run")[0]
        == 0
    )
    assert 12 in linmem.load(tmp_path / "run").choice_.lags
    for steps in (3, 5, 40):
        np.savetxt(tmp_path / "new" / f"{steps}.csv", wave[:steps], delimiter=",")
    status, out, error = run(capsys, "predict", tmp_path / "run", tmp_path / "new", "--out", tmp_path / "p.csv")
    assert status == 0
    assert error == "no predictions for 2 sequences with too few steps for the model's differences\n"
    assert out.startswith("1 prediction of 1 output for 1 sequence: ")
    assert len((tmp_path / "p.csv").read_text().splitlines()) == 2
