"""`linmem encode`: the states in the CSV file are those of the fitted autoencoder; bad input gives one line."""

import json

import numpy as np
import pytest
import torch

from linmem import LinearAutoencoder, data

from .test_cli import pieces, run  # noqa: F401


@pytest.fixture
def fitted(pieces, tmp_path):  # noqa: F811
    splits = data.load(str(pieces))
    autoencoder = LinearAutoencoder(4).fit(splits.train)
    autoencoder.save(tmp_path / "autoencoder.safetensors")
    return tmp_path, autoencoder, splits


def read(path):
    return np.loadtxt(path, delimiter=",", skiprows=1, ndmin=2)


def test_last_states_are_those_of_transform(fitted, pieces, capsys):  # noqa: F811
    folder, autoencoder, splits = fitted
    assert run(capsys, "encode", folder, pieces, "--split=train")[0] == 0
    rows = read(folder / "encoded-train.csv")
    assert rows[:, 0].tolist() == list(range(len(splits.train)))
    assert rows[:, 1].tolist() == [len(x) - 1 for x in splits.train]
    expected = autoencoder.transform(splits.train).numpy()
    np.testing.assert_allclose(rows[:, 2:], expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


def test_every_step_has_a_row(fitted, pieces, tmp_path, capsys):  # noqa: F811
    folder, autoencoder, splits = fitted
    assert run(capsys, "encode", folder, pieces, "--every_step", "--out", tmp_path / "new" / "all.csv")[0] == 0
    expected = np.concatenate([states.numpy() for states in autoencoder.encode(splits.test)])
    rows = read(tmp_path / "new" / "all.csv")
    np.testing.assert_allclose(rows[:, 2:], expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
    assert (tmp_path / "new" / "all.csv").read_text().startswith("sequence,step,memory_0,memory_1,memory_2,memory_3\n")


@pytest.mark.parametrize("every_step", [False, True])
def test_an_npy_file_holds_the_rows_of_the_csv_file(fitted, pieces, tmp_path, capsys, every_step):  # noqa: F811
    paths = tmp_path / "states.csv", tmp_path / "states.npy"
    for path in paths:
        assert run(capsys, "encode", fitted[0], pieces, *["--every_step"] * every_step, "--out", path)[0] == 0
    states = np.load(paths[1])
    assert states.dtype == np.float32
    np.testing.assert_allclose(states, read(paths[0])[:, 2:], rtol=1e-8)


def test_bad_input_gives_one_line(fitted, pieces, tmp_path, capsys):  # noqa: F811
    folder = fitted[0]
    for arguments, message in (
        ((folder, pieces, "--split=all"), "split must be one of train, valid, test, got 'all'"),
        ((pieces, pieces), "fit must be a folder that `linmem fit` wrote"),
        ((folder, "mackey_glass_17"), "features"),
    ):
        status, _, error = run(capsys, "encode", *arguments)
        assert status == 2
        assert message in error
        assert error.count("\n") == 1
    assert run(capsys, "encode", folder, pieces)[0] == 0
    status, _, error = run(capsys, "encode", folder, pieces)
    assert status == 2
    assert "out must not hold earlier output" in error
    assert run(capsys, "encode", folder, pieces, "--force")[0] == 0


def test_a_fit_standardizes_later_data_with_its_own_statistics(tmp_path, capsys):
    folder, other, random = tmp_path / "series", tmp_path / "other", np.random.default_rng(0)
    for place, offset in ((folder, 50), (other, 80)):
        place.mkdir()
        for index in range(6):
            np.save(place / f"{index}.npy", (offset + 7 * random.standard_normal((2, 15))).astype(np.float32))
    command = ["fit", folder, "--standardize", "--layout=ct", "--memory_size=3", "--out", tmp_path / "fit"]
    assert run(capsys, *command)[0] == 0
    assert run(capsys, "encode", tmp_path / "fit", other, "--out", tmp_path / "states.csv")[0] == 0
    statistics = data.load(str(folder), layout="ct", standardize=True).standardization
    new = [statistics.apply(torch.from_numpy(np.load(other / f"{index}.npy").T)) for index in range(6)]
    expected = LinearAutoencoder.load(tmp_path / "fit" / "autoencoder.safetensors").transform(new).numpy()
    header, *lines = (tmp_path / "states.csv").read_text().splitlines()
    assert header == "sequence,step,file,memory_0,memory_1,memory_2"
    assert [line.split(",")[2] for line in lines] == [f"{index}.npy" for index in range(6)]
    states = [[float(cell) for cell in line.split(",")[3:]] for line in lines]
    np.testing.assert_allclose(states, expected, rtol=1e-4, atol=1e-5)


def test_another_file_is_encoded_from_its_first_step_to_its_last(tmp_path, capsys):
    random = np.random.default_rng(0)
    for name, steps in (("known", 60), ("new", 20)):
        np.save(tmp_path / f"{name}.npy", random.standard_normal((steps, 2)).astype(np.float32))
    known, new, folder = tmp_path / "known.npy", tmp_path / "new.npy", tmp_path / "fit"
    assert run(capsys, "fit", known, "--memory_size=3", "--out", folder)[0] == 0
    status, printed, _ = run(capsys, "encode", folder, new, "--every_step", "--out", tmp_path / "new_states.npy")
    assert status == 0
    assert printed.startswith("20 states of 3 units for 1 sequence: ")
    expected = LinearAutoencoder.load(folder / "autoencoder.safetensors").encode([np.load(new)])[0]
    np.testing.assert_allclose(np.load(tmp_path / "new_states.npy"), expected, rtol=1e-5, atol=1e-6)
    for data_set, options, rows, name in (
        (known, (), 9, "test"),
        (new, ("--split=test",), 3, "test"),
        (new, (), 20, "new"),
    ):
        assert run(capsys, "encode", folder, data_set, "--every_step", "--force", *options)[0] == 0
        assert len((folder / f"encoded-{name}.csv").read_text().splitlines()) == 1 + rows


FILES = {"layout": "tc"}
STATISTICS = {"mean": [0.0] * 3, "scale": [1.0] * 3}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"data": "pieces"}', "must be a JSON object with 'files', got one without it"),
        (
            json.dumps({"data": "pieces", "files": FILES}),
            "must be a JSON object with 'description', got one without it",
        ),
        (json.dumps({"data": "pieces", "files": None, "description": {}}), "files in {path} must be a dict, got None"),
        (
            json.dumps({"data": "pieces", "files": {"colour": 1}, "description": {}}),
            "the configuration of a fit, got: TypeError",
        ),
        (
            json.dumps({"data": "pieces", "files": FILES, "description": {"standardization": {"mean": [0]}}}),
            "of a fit, got: TypeError",
        ),
        (
            json.dumps({"data": "pieces", "files": FILES, "description": {"standardization": STATISTICS}}),
            "statistics of 3 features",
        ),
        ("[]", "must be a JSON object, got list"),
        ("{", "must be JSON, got: "),
    ],
)
def test_damaged_options_of_a_fit_give_one_line(fitted, pieces, capsys, content, message):  # noqa: F811
    path = fitted[0] / "config.json"
    path.write_text(content)
    status, _, error = run(capsys, "encode", fitted[0], pieces)
    assert status == 2
    assert message.format(path=path) in error
    assert "Fit again with --force." in error
    assert error.count("\n") == 1
    assert not (fitted[0] / "encoded-test.csv").exists()


def test_one_state_is_no_plural(tmp_path, capsys):
    path = tmp_path / "one.csv"
    path.write_text("".join(f"{step % 3},{step % 5}\n" for step in range(40)))
    LinearAutoencoder(1).fit(data.load(str(path)).train).save(tmp_path / "autoencoder.safetensors")
    for options, expected in (
        ((), "1 state of 1 unit for 1 sequence: "),
        (("--every_step", "--force"), "6 states of 1 unit for "),
    ):
        status, printed, _ = run(capsys, "encode", tmp_path, path, *options)
        assert status == 0
        assert printed.startswith(expected)
