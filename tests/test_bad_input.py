"""Bad input that was once accepted, or ended in a traceback: one clear line each."""

import json
import struct
import sys
import zlib
from contextlib import suppress
from importlib import import_module

import numpy as np
import pytest
import scipy.io
import torch
from torch import nn

import linmem
from linmem import cli
from linmem.data.mat_file import read_cells
from linmem.data.npy_file import read_npy
from linmem.data.poly_music import read_pieces
from linmem.experiments.harness import records, reproduce
from linmem.experiments.harness.epoch_limit import epoch_limit_text
from linmem.experiments.report import page
from linmem.nn import initialize
from linmem.nn.baselines import forget_bias_
from linmem.nn.registry import ModelOptions, build_model
from linmem.reporting.output import check_free, unfinished
from linmem.runs.options import PretrainingOptions
from linmem.runs.sweep import space
from linmem.storage.documents import count_values, read_yaml
from linmem.storage.parsing import parsing
from linmem.training.metrics import count_classes, count_frames
from linmem.training.metrics import count_values as count_numbers
from linmem.training.options import TrainingOptions
from linmem.training.tasks import NextValue
from linmem.validation import check_fields

SERIES = np.random.default_rng(0).normal(size=(30, 2)).astype("f4")
ROLL = {"traindata": 3, "validdata": 2, "testdata": 1}


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """Run a command that must exit with status 2 and one line; returns the line."""
    monkeypatch.chdir(tmp_path)
    np.save("a.npy", SERIES)

    def run(*arguments):
        try:
            status = cli.main(list(arguments))
        except SystemExit as error:
            status = error.code
        printed = capsys.readouterr()
        assert status == 2, printed
        assert printed.err.count("\n") == 1
        assert len(printed.err) <= 301
        return printed.err

    return run


# (j) records of experiments


def copied(tmp_path, change):
    """The records of table 1 with one changed line."""
    lines = (page.Path(__file__).parents[1] / "results" / "table1.jsonl").read_text().splitlines()
    lines[1] = change(json.loads(lines[1]))
    (tmp_path / "table1.jsonl").write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    "change",
    [
        lambda record: "[" * 100_000,
        lambda record: json.dumps(record | {"result": {}}),
        lambda record: json.dumps(record | {"seed": 0}).replace('"seed": 0', '"seed": ' + "9" * 5000),
        lambda record: json.dumps(record | {"threads": "x"}),
        lambda record: json.dumps(record | {"seconds": float("nan")}),
    ],
)
def test_invalid_records_are_named_by_their_line_and_the_others_are_read(tmp_path, change):
    copied(tmp_path, change)
    assert "invalid lines 2 of" in records.read_records("table1", tmp_path).problem
    assert "invalid lines 2 of" in page.part("table1", tmp_path).problem
    assert "invalid lines 2 of" in reproduce.list_experiments(tmp_path)
    with pytest.raises(ValueError, match="invalid lines 2 of"):
        reproduce.show("table1", tmp_path)


def test_many_invalid_records_are_named_in_one_short_line(tmp_path):
    copied(tmp_path, lambda record: "x\n" * 500)
    with pytest.raises(ValueError, match="invalid lines 2, 3, .*… of ") as raised:
        reproduce.show("table1", tmp_path)
    assert len(str(raised.value)) <= 250 + len(str(tmp_path))


def test_records_that_cannot_be_shown_are_named(tmp_path):
    copied(tmp_path, lambda record: json.dumps(record | {"result": {"x": 1}}))
    with pytest.raises(ValueError, match=r"table1.jsonl, line 2 must be a record of this version"):
        reproduce.show("table1", tmp_path)
    assert "record 2 of" in page.part("table1", tmp_path).problem


def test_records_without_a_configuration_are_those_of_another_one(tmp_path):
    def change(record):
        return json.dumps({name: value for name, value in record.items() if name != "config"})

    copied(tmp_path, change)
    lines = (tmp_path / "table1.jsonl").read_text().splitlines()[:2]
    (tmp_path / "table1.jsonl").write_text("\n".join(lines) + "\n")
    with pytest.raises(ValueError, match="configuration of the current grid"):
        reproduce.reproduce("table1", tmp_path)


# (k) configurations, search spaces and sizes


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"seed: \xff\xfe", "can't decode byte"),
        (b"[" * 5000, "nested values"),
        (b"seed: " + b"9" * 5001, "5001 digits" if sys.version_info < (3, 11) else "4300 digits"),
        (b"a: [1, 2", "in line 1"),
        (b"- 1", "must be a JSON object, got list"),
        (b"a: &a [x, x]\nb: &b [" + b"*a, " * 300 + b"]\nc: [" + b"*b, " * 300 + b"]", "at most 20,000 values"),
    ],
)
def test_configurations_are_checked(refused, content, reason):
    with open("c.yaml", "wb") as file:
        file.write(content)
    line = refused("fit", "a.npy", "--config", "c.yaml")
    assert reason in line
    assert "c.yaml" in line


def test_configurations_must_be_files(refused):
    assert "must be an existing file" in refused("fit", "a.npy", "--config", "{seed: 1}")


def test_values_of_a_document_are_counted_with_their_repetitions():
    ten = [0] * 9
    assert count_values({"a": [ten, ten], "b": ten}) == 1 + 2 + (1 + 2 * 10) + 10
    itself = []
    itself.append(itself)
    assert count_values(itself) > 20_000


def test_spaces_are_refused_before_any_run_is_built(monkeypatch):
    monkeypatch.setattr(space, "with_options", lambda *_: pytest.fail("a run was built"))
    wide = {name: list(range(1, 60)) for name in ("hidden_size", "memory_size", "lags", "scales", "channels", "seed")}
    with pytest.raises(ValueError, match="at most 100000 runs, got 42180533641"):
        space.plan("chorales", wide)
    with pytest.raises(ValueError, match="at most 100000 runs, got 118000"):
        space.plan("chorales", [{"hidden_size": list(range(1, 60)), "seed": list(range(1000))}] * 2)


def test_deeply_nested_documents_are_refused_quickly(tmp_path):
    for text in ("[" * 100_000, "a:\n" + "\n".join(" " * n + "a:" for n in range(1, 1000))):
        (tmp_path / "a.yaml").write_text(text)
        with pytest.raises(ValueError, match="nested values"):
            read_yaml(tmp_path / "a.yaml", "Correct it.")


def test_brackets_in_comments_and_strings_do_not_count_as_nesting(tmp_path):
    text = f"a: '{'[' * 201}'\nb: |\n  {' ' * 201}x\n# {'[' * 201}\nc: {'[' * 150}{']' * 150}\n"
    (tmp_path / "a.yaml").write_text(text)
    assert read_yaml(tmp_path / "a.yaml", "Correct it.")["a"] == "[" * 201
    for text in (f"# {']' * 239}\n{'[' * 239}{']' * 239}", "[" * 150 + f"']]]', # {']' * 99}\n" + "[" * 89 + "]" * 239):
        (tmp_path / "a.yaml").write_text(text)
        with pytest.raises(ValueError, match="a.yaml must be YAML or JSON in UTF-8, got: more than 200 nested values"):
            read_yaml(tmp_path / "a.yaml", "Correct it.")


def test_merged_keys_are_counted_before_they_are_copied(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("a: &a {x: 1}\nb: &b {<<: *a, y: 2}\nc: {<<: [*a, *b], x: 3}\n")
    assert read_yaml(path, "Correct it.") == {"a": {"x": 1}, "b": {"x": 1, "y": 2}, "c": {"x": 3, "y": 2}}
    twice = (f"a{n + 1}: &a{n + 1} {{<<: [*a{n}, *a{n}]}}\n" for n in range(40))  # 2**40 keys
    wide = (f"b: &b {{{', '.join(f'k{n}: 1' for n in range(500))}}}\n", f"c: {{<<: [{'*b, ' * 50}]}}\n")
    for text in ("a0: &a0 {x: 1}\n" + "".join(twice), "".join(wide)):
        path.write_text(text)
        with pytest.raises(ValueError, match="a.yaml must be YAML .* more than 20,000 keys"):
            read_yaml(path, "Correct it.")
    deep = (f"a{n + 1}: &a{n + 1} {{<<: *a{n}}}\n" for n in range(2000))
    path.write_text("a0: &a0 {x: 1}\n" + "".join(deep) + "<<: *a2000\n")  # merged before the mappings it names
    with pytest.raises(ValueError, match="a.yaml must be YAML .* RecursionError"):
        read_yaml(path, "Correct it.")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "a.npy", "--truncate", "1" + "0" * 30], "truncate must be at most"),
        (["train", "a.npy", "--hidden_size", "2000000000"], "the weights of model lmn-b must need at most"),
        (["train", "a.npy", "--model", "lmn-multiscale", "--scales", "100000"], "the weights of model lmn-multiscale"),
        (["generate", "run", "--voices", "1" + "0" * 30], "voices must be at most 2147483647"),
        (["harmonize", "run", "a.mid", "--voices", "1" + "0" * 30], "voices must be at most 2147483647"),
        (["fit", "~no-such-user/x"], "data must be an existing folder or file"),
        (["fit", "a.npy", "--split_s", "3"], "options must be those of the command, got --split_s. Did you mean"),
        (["fit", "a.npy", "--device", "meta"], "device must be one that this machine has"),
        (["fit", "a.npy", "--threads", "100000"], "threads must be at most 1024"),
        (["fit", "a.npy", "--seed", "1" + "0" * 30], "seed must be at most"),
        (["train", "a.npy", "--unfolded_nonlinearity", "nonsense"], "unfolded_nonlinearity must be one of"),
        (["train", "a.npy", "--model", "lstm", "--forget_bias", ".nan"], "forget_bias must be a finite number"),
    ],
)
def test_absurd_options_are_refused(refused, arguments, message):
    assert message in refused(*arguments)


def test_a_database_must_have_a_name(refused):
    with open("s.yaml", "w") as file:
        file.write("{model: [lstm]}")
    assert "storage must name the file" in refused("sweep", "a.npy", "--space", "s.yaml", "--storage", "sqlite:///")


def test_networks_name_an_input_that_is_not_a_tensor():
    for network in (linmem.UnfoldedNetwork(2, 3, 2, lags=2), linmem.LMN(2, 3, 3)):
        with pytest.raises(TypeError, match="input must be a torch.Tensor.*, got list"):
            network([[0.0, 0.0]])


def test_layers_are_refused_before_their_weights_are_created():
    with pytest.raises(ValueError, match="num_layers must be at most 2147483647"):
        linmem.LMN(2, 3, 3, num_layers=10**30)
    with pytest.raises(ValueError, match="weights must need at most"):
        linmem.LMN(2, 3, 3, num_layers=2**31 - 1)
    with pytest.raises(ValueError, match="weights must need at most"):
        linmem.UnfoldedNetwork(2, 10**6, 2, lags=10**6)
    with pytest.raises(ValueError, match="input_size must be at most"):
        build_model(ModelOptions("lstm"), 10**30, 2)


# (l) accepted nonsense


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (ModelOptions, {"lags": float("inf")}),
        (ModelOptions, {"forget_bias": "x"}),
        (ModelOptions, {"forget_bias": float("nan")}),
        (ModelOptions, {"hidden_size": True}),
        (ModelOptions, {"skip_connection": "yes"}),
        (ModelOptions, {"lag_decay": 3}),
        (TrainingOptions, {"learning_rate": float("inf")}),
        (TrainingOptions, {"clip": float("nan")}),
        (TrainingOptions, {"batch_size": 2.5}),
        (PretrainingOptions, {"unfolded_nonlinearity": "nonsense"}),
        (PretrainingOptions, {"memory_decay": float("nan")}),
        (PretrainingOptions, {"pretrain_epochs": 0}),
    ],
)
def test_options_of_a_wrong_type_or_value_are_refused(kind, values):
    (name,) = values
    with pytest.raises(ValueError, match=name):
        kind(**values)


def test_valid_options_pass_the_check_of_their_types():
    check_fields(TrainingOptions(learning_rate=1, clip=float("inf"), batch_size=np.int64(3)), infinite=("clip",))
    assert ModelOptions(lag_decay=[0.5]).lag_decay == (0.5,)


@pytest.mark.parametrize("value", ["x", float("nan"), None])
def test_forget_biases_are_numbers(value):
    with pytest.raises(ValueError, match="value must be a finite number"):
        forget_bias_(nn.LSTM(2, 3), value)
    with pytest.raises(TypeError, match="lstm must be"):
        forget_bias_(nn.GRU(2, 3), 1.0)


def test_files_are_saved_to_paths_only(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fitted = linmem.LinearAutoencoder(2).fit([SERIES])
    for path in (None, 3, b"x"):
        with pytest.raises(TypeError, match="path must be a str or a path"):
            fitted.save(path)
    assert not list(tmp_path.iterdir())


def test_dates_are_no_numbers():
    dates = np.array([["2020-01-01"], ["NaT"], ["2020-01-03"]], "M8[s]")
    for values in (dates, dates - dates[0]):
        with pytest.raises(ValueError, match="sequence 0 must be a matrix of numbers.*dates and durations"):
            linmem.LinearAutoencoder(1).fit([values])


def test_series_come_in_arrays_of_objects_and_in_tensors_with_gradients():
    waves = [np.sin(0.3 * np.arange(length)) for length in (40, 50)]
    several = np.empty(2, object)
    several[:] = waves
    expected = linmem.MemoryForecaster(horizon=3).fit(waves)
    found = linmem.MemoryForecaster(horizon=3).fit(several)
    np.testing.assert_array_equal(found.predict(3)[0], expected.predict(3)[0])
    with pytest.raises(TypeError, match="series must be an array or a list of arrays, got a generator. Pass a list."):
        linmem.MemoryForecaster().fit(x for x in waves)
    stream = linmem.MemoryForecaster(horizon=3).fit(waves[0])
    for one in (torch.tensor([1.0], requires_grad=True), torch.ones(1, dtype=torch.bfloat16), 1.0):
        stream.update(one)


def test_masked_values_are_refused_and_masks_without_any_are_not():
    masked = np.ma.masked_array(SERIES, mask=np.arange(SERIES.size).reshape(SERIES.shape) == 7)
    with pytest.raises(ValueError, match="sequence 0 must have no masked values, got 1"):
        linmem.LinearAutoencoder(2).fit([masked])
    linmem.LinearAutoencoder(2).fit([np.ma.masked_array(SERIES, mask=False)])


def test_readouts_are_fitted_to_finite_values_only():
    readout, states, targets = nn.Linear(3, 2), torch.eye(3), torch.ones(3, 2)
    for wrong in (states * float("nan"), states + float("inf")):
        with pytest.raises(ValueError, match="features must be finite"):
            initialize.fit_readout_(readout, wrong, targets)
    with pytest.raises(ValueError, match="same number of rows"):
        initialize.fit_readout_(readout, states, targets[:2])
    with pytest.raises(TypeError, match="readout must be a torch.nn.Linear"):
        initialize.fit_readout_(nn.ReLU(), states, targets)
    initialize.fit_readout_(readout, states, targets)


# (m) wrong types and shapes


def test_metrics_name_wrong_types_and_shapes_and_never_count_nan_as_correct():
    logits, roll = torch.zeros(4, 3), torch.ones(4, 3)
    for count in (count_frames, count_classes, count_numbers):
        with pytest.raises(TypeError, match="must be a torch.Tensor"):
            count(None, roll)
        with pytest.raises(ValueError, match="dimension"):
            count(torch.zeros(3), roll)
    with pytest.raises(ValueError, match="targets must have the shape"):
        count_numbers(logits, roll[:, :2])
    with pytest.raises(ValueError, match="targets must be finite"):
        count_frames(logits, roll * float("nan"))
    with pytest.raises(ValueError, match="from 0 to 1"):
        count_frames(logits, 2 * roll)
    with pytest.raises(ValueError, match="int64"):
        count_classes(logits, torch.ones(4))
    with pytest.raises(ValueError, match="classes from 0 to 2"):
        count_classes(logits, torch.tensor([0, 1, 2, 3]))
    nothing = logits * float("nan")
    assert count_classes(nothing, torch.zeros(4).long()).correct == 0
    assert count_frames(nothing, roll).accuracy().max() == 0
    assert np.isnan(count_frames(nothing, roll).nll)


def test_transfers_name_wrong_types():
    unfolded, fitted = linmem.UnfoldedNetwork(2, 2, 2, lags=2), linmem.LinearAutoencoder(3).fit([SERIES])
    lmn, readout = linmem.LMN(2, 2, 3), nn.Linear(3, 2)
    initialize.from_unfolded_(lmn, readout, unfolded, fitted)
    for name, arguments in {
        "layer": (None, readout, unfolded, fitted),
        "readout": (lmn, nn.ReLU(), unfolded, fitted),
        "unfolded": (lmn, readout, None, fitted),
        "autoencoder": (lmn, readout, unfolded, None),
    }.items():
        with pytest.raises(TypeError, match=f"{name} must be"):
            initialize.from_unfolded_(*arguments)
    with pytest.raises(ValueError, match="memory_decay must be a finite number"):
        initialize.from_unfolded_(lmn, readout, unfolded, fitted, float("nan"))


def test_training_names_wrong_types():
    class Splits:
        train = valid = (torch.from_numpy(SERIES),)

    model = build_model(ModelOptions("lstm", hidden_size=2), 2, 2)
    for name, arguments in {
        "model": (None, Splits, NextValue()),
        "splits": (model, None, NextValue()),
        "task": (model, Splits, None),
        "options": (model, Splits, NextValue(), "x"),
    }.items():
        with pytest.raises(TypeError, match=f"{name} must"):
            linmem.train(*arguments)


# Readers


def test_parsers_errors_become_one_line_with_the_file_and_those_of_the_system_are_kept():
    for error, reason in (
        (KeyError("size"), "KeyError: 'size'"),
        (ValueError("two\nlines"), "two lines"),
        (OSError("x"), "x"),
    ):
        with (
            pytest.raises(ValueError, match=f"a.bin must be whole, got: {reason}. Restore it.") as caught,
            parsing("a.bin", "whole", "Restore it."),
        ):
            raise error
        assert type(caught.value) is ValueError
    with pytest.raises(PermissionError), parsing("a.bin", "whole", "Restore it."):
        raise PermissionError(13, "denied", "a.bin")
    with pytest.raises(ValueError, match=r"^a.bin is too large$"), parsing("a.bin", "whole", "Restore it."):
        raise ValueError("a.bin is too large")


def test_exhausted_memory_is_not_reported_as_a_damaged_file(refused, monkeypatch):
    with (
        pytest.raises(MemoryError, match=r"^a.bin must fit into memory, got: MemoryError. Split it, or free memory.$"),
        parsing("a.bin", "whole", "Restore it."),
        parsing("a.bin", "a part", "Restore it."),
    ):
        raise MemoryError

    def exhausted(*_):
        raise MemoryError("Unable to allocate 8 GiB for an array")

    monkeypatch.setattr(import_module("linmem.cli.main"), "call", exhausted)
    line = refused("fit", "a.npy")
    assert line.startswith("linmem fit: data and model must fit into memory, got: Unable to allocate 8 GiB")
    assert "Lower the sizes of the model" in line


def write_mat(path, compressed=False, kind="u1", order="rolls"):
    cells = {name: np.empty((1, count), dtype=object) for name, count in ROLL.items()}
    random = np.random.default_rng(0)
    for array in cells.values():
        for index in range(array.size):
            array[0, index] = (random.random((4 + index, 88)) < 0.1).astype(kind)
    scipy.io.savemat(path, cells | {"other": np.eye(2)}, do_compression=compressed)
    return cells


def test_sizes_in_npy_headers_may_be_true_as_numpy_reads_them(tmp_path):
    np.save(tmp_path / "a.npy", SERIES[:1])
    content = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(content.replace(b"(1, 2)   ", b"(True, 2)", 1))
    assert np.array_equal(read_npy(tmp_path / "a.npy"), SERIES[:1])


def test_sizes_of_npy_headers_are_checked_before_allocation(tmp_path):
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\x02\x00" + b"\xff" * 4 + b"{}")
    with pytest.raises(ValueError, match="a.npy must be .*, got: a header of 4294967295 bytes where 6 are left"):
        read_npy(tmp_path / "a.npy")


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("kind", ["u1", "i1", "u2", "i4", "f4", "f8"])
def test_mat_files_are_read_like_scipy_reads_them(tmp_path, compressed, kind):
    written = write_mat(tmp_path / "a.mat", compressed, kind)
    found = read_cells(tmp_path / "a.mat")
    assert found.keys() == ROLL.keys()
    for name, cells in found.items():
        assert all(np.array_equal(one, other) for one, other in zip(cells, written[name].ravel(), strict=True))
    pieces = read_pieces(tmp_path / "a.mat")
    assert {split: len(rolls) for split, rolls in pieces.items()} == {"train": 3, "valid": 2, "test": 1}


def test_mat_files_of_absurd_sizes_are_refused_before_allocation(tmp_path, monkeypatch):
    write_mat(tmp_path / "a.mat")
    content = (tmp_path / "a.mat").read_bytes()
    (tmp_path / "a.mat").write_bytes(content.replace((88).to_bytes(4, "little"), (2**31 - 1).to_bytes(4, "little"), 1))
    with pytest.raises(ValueError, match="a.mat must be a MAT file of version 5, got: .* values in a matrix"):
        read_cells(tmp_path / "a.mat")
    scipy.io.savemat(tmp_path / "b.mat", {"x": np.zeros(10**6)}, do_compression=True)
    monkeypatch.setenv("LINMEM_MAX_BYTES", "1000000")
    with pytest.raises(ValueError, match="LINMEM_MAX_BYTES"):
        read_cells(tmp_path / "b.mat")


def matrix(flags, *parts):
    """A matrix element of MAT files; parts are elements as (type, content)."""
    elements = [(6, struct.pack("<II", flags, 0)), *parts]
    padded = b"".join(struct.pack("<II", kind, len(part)) + part + bytes(-len(part) % 8) for kind, part in elements)
    return struct.pack("<II", 14, len(padded)) + padded


def cell_array(name, *cells):
    content = matrix(1, (5, struct.pack("<ii", 1, len(cells))), (1, name))[8:] + b"".join(cells)
    return struct.pack("<II", 14, len(content)) + content


def mat_file(path, *elements):
    path.write_bytes(b"text".ljust(124) + struct.pack("<H", 0x0100) + b"IM" + b"".join(elements))


def test_the_limit_on_mat_files_holds_for_the_sum_of_their_variables_and_elements(tmp_path, monkeypatch):
    monkeypatch.setenv("LINMEM_MAX_BYTES", str(2**24))
    packed = zlib.compress(matrix(9, (5, struct.pack("<ii", 1, 10**5)), (1, b"x"), (2, bytes(10**5))))
    element = struct.pack("<II", 15, len(packed)) + packed
    mat_file(tmp_path / "one.mat", *[element] * 2)
    assert read_cells(tmp_path / "one.mat") == {}
    mat_file(tmp_path / "many.mat", *[element] * 100)
    empty = cell_array(b"x", *[struct.pack("<II", 14, 0)] * 40_000)
    mat_file(tmp_path / "empty.mat", empty)
    packed = zlib.compress(empty)
    mat_file(tmp_path / "packed.mat", struct.pack("<II", 15, len(packed)) + packed)
    for name in ("many", "empty", "packed"):
        with pytest.raises(ValueError, match=rf"{name}.mat must need at most 16,777,216 bytes .* LINMEM_MAX_BYTES"):
            read_cells(tmp_path / f"{name}.mat")


def test_mat_variables_of_other_classes_are_left_out_and_empty_matrices_are_cells(tmp_path):
    opaque = matrix(17, (1, b"s"), (1, b"MCOS"), (1, b"string"), (14, b""))
    nothing, two = struct.pack("<II", 14, 0), matrix(9, (5, struct.pack("<ii", 1, 2)), (1, b""), (2, b"\1\2"))
    mat_file(tmp_path / "a.mat", matrix(17), opaque, nothing, cell_array(b"x", nothing, two))
    (name,), ((first, second),) = zip(*read_cells(tmp_path / "a.mat").items(), strict=True)
    assert (name, first.shape, second.tolist()) == ("x", (0, 0), [[1, 2]])


# (o, p) output folders


def test_links_to_missing_files_are_not_written_through(refused, tmp_path):
    target = tmp_path / "target"
    for index, name in enumerate(("autoencoder.safetensors", "run.lock", "config.json", "scree.png")):
        out = tmp_path / f"out{index}"
        out.mkdir()
        (out / name).symlink_to(target)
        line = refused("fit", "a.npy", "--memory_size", "2", "--force", "--out", str(out))
        assert "must not be a symbolic link to a missing file" in line
        line = refused("train", "a.npy", "--force", "--out", str(out)) if name in ("run.lock", "config.json") else line
        assert "must not be a symbolic link" in line
    (tmp_path / "folder").symlink_to(target)
    assert "must not be a symbolic link" in refused("fit", "a.npy", "--memory_size", "2", "--out", "folder")
    with open("s.yaml", "w") as file:
        file.write("{model: [lstm], hidden_size: [2], max_epochs: [1]}")
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "study.journal").symlink_to(target)
    assert "must not be a symbolic link" in refused("sweep", "a.npy", "--space", "s.yaml", "--out", "sweep")
    assert not target.exists()


def test_a_killed_fit_runs_again_without_force(refused, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    with suppress(KeyboardInterrupt), unfinished(out, ["autoencoder.safetensors", "scree.png"], force=False):
        (out / "autoencoder.safetensors").write_text("half of a fit")
        raise KeyboardInterrupt
    check_free(out, ["autoencoder.safetensors", "scree.png"], force=False)
    (out / "memory_curve.md").write_text("mine")
    with pytest.raises(FileExistsError, match=r"memory_curve.md"):
        check_free(out, ["autoencoder.safetensors", "memory_curve.md"], force=False)
    with unfinished(out, ["scree.png"], force=False):
        (out / "scree.png").write_text("whole")
    with pytest.raises(FileExistsError, match=r"scree.png"):
        check_free(out, ["scree.png"], force=False)
    with suppress(ValueError), unfinished(out, ["scree.png", "new.png"], force=True):
        raise ValueError
    check_free(out, ["new.png"], force=False)
    with pytest.raises(FileExistsError, match=r"scree.png"):  # complete before, and so still protected
        check_free(out, ["scree.png"], force=False)


LONG = "x" * 5000


@pytest.mark.parametrize(
    ("use", "name"),
    [
        (lambda: linmem.LMN(3, 4, 5, device="x"), "device"),
        (lambda: linmem.LMNCell(3, 4, 5, device=3), "device"),
        (lambda: linmem.LMN(2**31 - 1, 2**20, 5), "weights"),
        (lambda: linmem.load(LONG), "run"),
        (lambda: linmem.LinearAutoencoder(decoder=LONG).fit([torch.ones(5, 2)]), "decoder"),
        (lambda: linmem.LinearAutoencoder(refine=LONG).fit([torch.ones(5, 2)]), "refine"),
        (lambda: linmem.data.load("chorales", layout=LONG), "layout"),
        (lambda: linmem.MemoryClassifier(layout=LONG).fit([torch.ones(5, 2)] * 2, [0, 1]), "layout"),
        (lambda: linmem.UnfoldedNetwork(3, 2, 2)(torch.zeros(5, 3, device="meta")), "input"),
        (lambda: linmem.MemoryForecaster().fit(torch.arange(40.0)).predict(2**30), "forecast"),
        (lambda: linmem.MemoryForecaster().fit(torch.arange(40.0)).predict(2**40), "steps"),
    ],
)
def test_refusals_are_short_and_name_the_argument(use, name):
    with pytest.raises(ValueError, match=name) as caught:
        use()
    assert len(str(caught.value)) <= 300
    assert "\n" not in str(caught.value)


def test_a_record_with_a_text_as_its_options_does_not_stop_the_report():
    assert epoch_limit_text([{"result": {"row": "LMN-B", "training": "x", "epochs": 3}}]) == ""
