"""What `linmem train` chooses by the data: the estimator for labelled series, standardized inputs for networks."""

import numpy as np
import pytest

import linmem
from linmem import data
from linmem.cli.flags import without_values
from linmem.runs import defaults
from linmem.runs.directory import read_config, read_options
from linmem.runs.sweep import space

from .test_cli import SMALL, pieces, run  # noqa: F401
from .test_forecast_command import labelled, series  # noqa: F401


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    return labelled(tmp_path_factory.mktemp("defaults") / "data", classes=2, count=6)


@pytest.fixture(scope="module")
def numbers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("numbers")
    names = [f"{index}.npy" for index in range(8)]
    for index, name in enumerate(names):
        np.save(folder / name, np.sin(0.1 * index * np.arange(30.0))[:, None])
    rows = ["file,target", *(f"{name},{index}" for index, name in enumerate(names))]
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return folder


def chosen(source, **given):
    found = defaults.choose(str(source), given)
    return {name: found.options.get(name) for name in ("model", "standardize", "readout")}


ESTIMATOR = {"model": "estimator", "standardize": None, "readout": None}


def test_labelled_series_train_the_estimator_and_the_command_says_so(classes, tmp_path, capsys):
    status, printed, _ = run(capsys, "train", classes, "--n_projections=300", "--out", tmp_path / "run")
    assert status == 0
    assert "model: estimator, the default for labelled series" in printed
    assert "MemoryClassifier, solved in closed form" in printed
    assert isinstance(linmem.load(tmp_path / "run"), linmem.MemoryClassifier)


def test_series_with_numbers_train_the_regressor(numbers):
    assert chosen(numbers) == ESTIMATOR


@pytest.mark.parametrize("given", [{}, {"model": "solved"}, {"model": "solved", "readout": "ridge"}])
def test_solved_memories_with_a_ridge_are_the_estimator(classes, given):
    assert chosen(classes, memory_size=5, **given) == ESTIMATOR


def test_readout_auto_is_the_same_as_no_readout(classes, series):  # noqa: F811
    for source, given in ((classes, {}), (classes, {"model": "solved"}), (series, {}), (series, {"model": "solved"})):
        assert chosen(source, readout="auto", **given) == chosen(source, **given)


def test_options_of_the_other_kind_of_estimator_are_refused(classes, numbers, series):  # noqa: F811
    for source, given, message in (
        (classes, {"season": 7}, "season must not be given for labelled series, got 7"),
        (numbers, {"horizon": 3, "season": None}, "horizon must not be given for labelled series, got 3"),
        (series, {"model": "estimator", "streaming": True}, "streaming must not be given for series without labels"),
        (series, {"model": "estimator", "n_projections": 50}, "n_projections must not be given for series without"),
    ):
        with pytest.raises(ValueError, match=message):
            defaults.choose(str(source), given)


def test_options_of_networks_choose_a_network(classes):
    network = {"model": "lmn-b", "standardize": True, "readout": None}
    assert chosen(classes, max_epochs=3) == network
    assert "because max_epochs is given" in defaults.choose(str(classes), {"max_epochs": 3}).reason
    assert chosen(classes, model="lmn-b") == network
    assert chosen(classes, model="solved", hidden_size=8) == network | {"model": "solved"}
    assert chosen(classes, model="solved", readout="mlp") == network | {"model": "solved", "readout": "mlp"}


def test_a_series_without_labels_trains_a_network_unless_the_estimator_is_named(series):  # noqa: F811
    assert chosen(series) == {"model": None, "standardize": True, "readout": None}
    assert "model: lmn-b, the default without labels" in defaults.choose(str(series), {}).reason
    assert chosen(series, model="solved", readout="ridge") == ESTIMATOR


def test_a_network_refuses_the_options_of_estimators(series, classes, tmp_path, capsys):  # noqa: F811
    for given in ((series,), (classes, "--max_epochs=1"), (classes, "--model=lstm")):
        status, _, error = run(capsys, "train", *given, "--n_projections=50", "--out", tmp_path / "run")
        assert status == 2
        assert "n_projections must not be given for the model" in error
    assert not (tmp_path / "run").exists()


def test_an_estimator_has_its_own_default_size_and_every_size_that_is_given(classes, series, tmp_path, capsys):  # noqa: F811
    for source, default in ((classes, 20), (series, 50)):
        for given, expected in (({}, default), ({"memory_size": 250}, 250), ({"memory_size": 8}, 8)):
            found = defaults.choose(str(source), {"model": "estimator", **given}).options
            assert found["memory_size"] == expected
    assert run(capsys, "train", classes, "--memory_size=250", "--out", tmp_path / "run")[0] == 0
    assert linmem.load(tmp_path / "run").memory_size == read_options(tmp_path / "run").model.memory_size == 250


def test_piano_rolls_have_no_estimator(pieces):  # noqa: F811
    with pytest.raises(ValueError, match="must be labelled or numeric series for an estimator, got piano rolls"):
        defaults.choose(str(pieces), {"model": "estimator"})


def test_named_sets_keep_their_defaults():
    assert chosen("digits:50:10") == {"model": None, "standardize": None, "readout": None}
    assert chosen("digits:50:10", model="solved", readout="ridge")["model"] == "solved"


def test_piano_rolls_are_never_standardized(pieces):  # noqa: F811
    found = defaults.choose(str(pieces), {})
    assert "standardize" not in found.options
    assert data.load(str(pieces), standardize=True).standardization is None


def test_networks_keep_the_statistics_of_train(series, tmp_path, capsys):  # noqa: F811
    status, printed, _ = run(capsys, "train", series, *SMALL, "--out", tmp_path / "run")
    assert status == 0
    assert "values: standardized" in printed
    statistics = data.Standardization.of(read_config(tmp_path / "run")["description"])
    train = data.load(str(series)).train[0]
    np.testing.assert_allclose(statistics.mean, train.mean(0), rtol=1e-6)
    assert read_options(tmp_path / "run").files.standardize


@pytest.mark.parametrize("flag", [["--standardize", "false"], ["--standardize=false"], ["--no_standardize"]])
def test_standardization_can_be_turned_off(series, tmp_path, capsys, flag):  # noqa: F811
    assert run(capsys, "train", series, *SMALL, *flag, "--out", tmp_path / "run")[0] == 0
    assert read_config(tmp_path / "run")["description"]["standardization"] is None


def test_sweeps_of_own_files_are_standardized(series):  # noqa: F811
    (own,) = space.plan(str(series), {"hidden_size": [5]})
    (named,) = space.plan("digits", {"hidden_size": [5]})
    assert (own.files.standardize, named.files.standardize) == (True, False)


def test_flags_take_true_and_false():
    flags = {"--onsets": "--no_onsets", "--resume": ""}
    given = ["data", "--onsets", "true", "--resume", "false", "--onsets=no", "--resume", "true", "--size", "true"]
    assert without_values(given, flags) == ["data", "--onsets", "--no_onsets", "--resume", "--size", "true"]
    assert without_values(["--resume", "data"], flags) == ["--resume", "data"]
    assert without_values(["--onsets=3"], flags) == ["--onsets=3"]
