"""A user's files as a data set: written sequences are read back, and a file that does not fit is named."""

import functools
import inspect
import io
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from linmem import data
from linmem.data.midi import write_midi
from linmem.data.npy_file import read_npy
from linmem.data.splits import SPLITS


def arrays(seed=0, count=20, features=3):
    """Random sequences of 1 to 9 steps."""
    random = np.random.default_rng(seed)
    return [random.standard_normal((random.integers(1, 10), features)).astype(np.float32) for _ in range(count)]


def write_npy(path, values):
    np.save(path.with_suffix(".npy"), values)


def write_csv(path, values, header=False):
    head = ",".join(f"feature {j}" for j in range(values.shape[1])) if header else ""
    np.savetxt(path.with_suffix(".csv"), values, delimiter=",", header=head, comments="", fmt="%.9g")


WRITERS = {"npy": write_npy, "csv": write_csv, "csv with names": functools.partial(write_csv, header=True)}


@pytest.mark.parametrize("kind", WRITERS)
def test_folder_of_numbers(kind, tmp_path):
    values = {f"{i:02}": array for i, array in enumerate(arrays())}
    (tmp_path / "deep" / "er").mkdir(parents=True)
    for i, (title, array) in enumerate(values.items()):
        WRITERS[kind](tmp_path / ("deep/er" if i % 2 else "") / title, array)
    (tmp_path / "README.txt").write_text("ignored")
    (tmp_path / ".hidden.mid").write_text("ignored")
    splits = data.load(tmp_path)
    assert splits.name == tmp_path.name
    assert splits.kind == "series"
    assert [len(getattr(splits, split)) for split in SPLITS] == [14, 3, 3]
    seen = []
    for split in SPLITS:
        for title, sequence in zip(splits.titles[split], getattr(splits, split), strict=True):
            assert sequence.dtype == torch.float32
            np.testing.assert_array_equal(sequence.numpy(), values[Path(title).stem])
            seen.append(Path(title).stem)
    assert sorted(seen) == sorted(values)
    assert data.load(str(tmp_path)).titles == splits.titles


def test_folder_of_midi(tmp_path):
    pytest.importorskip("mido")
    bach = data.load("chorales")
    for title, roll in zip(bach.titles["test"][:6], bach.test[:6], strict=True):
        write_midi(roll, tmp_path / f"{title}{'.MID' if title < 'bwv3' else '.midi'}")
    splits = data.load(tmp_path)
    assert splits.kind == "piano_roll"
    assert [len(getattr(splits, split)) for split in SPLITS] == [4, 1, 1]
    stored = dict(zip(bach.titles["test"], bach.test, strict=True))
    for split in SPLITS:
        for title, roll in zip(splits.titles[split], getattr(splits, split), strict=True):
            assert torch.equal(roll, stored[title.rsplit(".", 1)[0]])


def test_folder_with_its_own_splits(tmp_path):
    for split, values in zip(SPLITS, arrays(count=3), strict=True):
        (tmp_path / split / "part").mkdir(parents=True)
        np.save(tmp_path / split / "part" / "a.npy", values)
    splits = data.load(tmp_path)
    assert splits.titles == {split: [f"{split}/part/a.npy"] for split in SPLITS}
    for split, values in zip(SPLITS, arrays(count=3), strict=True):
        np.testing.assert_array_equal(getattr(splits, split)[0].numpy(), values)


def test_arrays_of_0_and_1_on_88_keys_are_piano_rolls(tmp_path):
    for i in range(3):
        np.save(tmp_path / f"{i}.npy", np.eye(88, dtype=bool)[: i + 1])
    assert data.load(tmp_path).kind == "piano_roll"


def test_a_known_name_wins_over_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "chorales").mkdir()
    for i, values in enumerate(arrays(count=3)):
        np.save(tmp_path / "chorales" / f"{i}.npy", values)
    assert data.load("chorales").features == 88
    assert data.load("./chorales").features == 3


def fill(folder, **contents):
    """Three good NPY files and others, name=bytes or array; in a name `__` is the dot and `_in_` the slash."""
    for i, values in enumerate(arrays(count=3)):
        np.save(folder / f"{i}.npy", values)
    for name, content in contents.items():
        path = folder / name.replace("_in_", "/").replace("__", ".")
        path.parent.mkdir(exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            np.save(path, content, allow_pickle=True)


BAD_FILES = {
    "other columns": ({"bad__npy": np.zeros((4, 2))}, r"bad\.npy must have 3 columns like .*\.npy, got 2"),
    "one dimension": ({"bad__npy": np.zeros(4)}, r"bad\.npy must hold an array .* got shape \(4,\)"),
    "no step": ({"bad__npy": np.zeros((0, 3))}, r"bad\.npy must hold .* got shape \(0, 3\)"),
    "NaN": ({"bad__npy": np.array([[0, 0, 0], [0, 0, np.nan]])}, r"bad\.npy, step 1, feature 2 must .* got nan"),
    "beyond float32": ({"bad__npy": np.array([[0, 1e300, 0]])}, r"bad\.npy, step 0, feature 1 must .* got 1e\+300"),
    "objects": ({"bad__npy": np.array([[{}]])}, r"bad\.npy must hold real numbers, got object"),
    "text": ({"bad__npy": np.array([["a"]])}, r"bad\.npy must hold real numbers, got <U1"),
    "complex": ({"bad__npy": np.array([[1j]])}, r"bad\.npy must hold real numbers, got complex128"),
    "no NPY file": ({"bad__npy": b"hello"}, r"bad\.npy must be a readable NPY file"),
    "empty file": ({"bad__npy": b""}, r"bad\.npy must be a readable NPY file"),
    "two formats": ({"bad__csv": b"1,2,3"}, r"files of one format, got several \(.*bad\.csv"),
    "a file outside the splits": ({"train_in_a__npy": np.zeros((1, 3))}, r"\.npy must be in train, valid or test"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_file_is_named(case, tmp_path):
    contents, message = BAD_FILES[case]
    fill(tmp_path, **contents)
    with pytest.raises(ValueError, match=message):
        data.load(tmp_path)


@pytest.mark.parametrize(
    "case", [name for name in BAD_FILES if name not in ("two formats", "a file outside the splits")]
)
def test_a_bad_file_is_skipped_on_request(case, tmp_path):
    contents, message = BAD_FILES[case]
    fill(tmp_path, **contents)
    for i, values in enumerate(arrays(count=3, seed=1)):
        np.save(tmp_path / f"more{i}.npy", values)
    with pytest.warns(UserWarning, match="Skipped 1 of 7 files"):
        splits = data.load(tmp_path, skip_bad_files=True)
    assert sum(len(getattr(splits, split)) for split in SPLITS) == 6
    (reason,) = splits.skipped
    with pytest.raises(ValueError, match=message):
        raise ValueError(reason)


def test_a_folder_of_bad_files_alone_is_refused(tmp_path):
    for i in range(3):
        (tmp_path / f"{i}.npy").write_bytes(b"no")
    with pytest.raises(ValueError, match=r"at least one readable file, got none. First: .*0\.npy"):
        data.load(tmp_path, skip_bad_files=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", r"bad\.csv must hold an array .* got shape \(0,\)"),
        (b"a,b\n", r"bad\.csv must hold an array .* got shape \(0,\)"),
        (b"1,2\n3\n", r"bad\.csv, line 2 must have 2 columns like the first, got 1"),
        (b"a,b\n1,2\n\n3,x\n", r"bad\.csv, line 4, column 2 must be a number, got 'x'"),
        (b"1,2\n1_0,2\n", r"bad\.csv, line 2, column 1 must be a number, got '1_0'"),
        (b"1;2\n3;4\n", r"bad\.csv, line 2, column 1 must be a number, got '3;4'"),
        (b"1,nan\n", r"bad\.csv, step 0, feature 1 must be a finite float32, got nan"),
        (b"\xff\xfe\x00", r"bad\.csv must be a CSV file in UTF-8"),
    ],
)
def test_a_bad_table_is_named(text, message, tmp_path):
    for name in ("0.csv", "1.csv"):
        (tmp_path / name).write_text("1,2\n")
    (tmp_path / "bad.csv").write_bytes(text)
    with pytest.raises(ValueError, match=message):
        data.load(tmp_path)


def test_a_bad_midi_file_is_named(tmp_path):
    pytest.importorskip("mido")
    for name in ("0.mid", "1.mid", "silent.mid"):
        write_midi(torch.eye(88) * (name != "silent.mid"), tmp_path / name)
    with pytest.raises(ValueError, match=r"silent\.mid must hold a note"):
        data.load(tmp_path)
    (tmp_path / "silent.mid").write_bytes(b"MThd nothing of the kind")
    with pytest.raises(ValueError, match=r"silent\.mid must be a readable MIDI file"):
        data.load(tmp_path)


@pytest.mark.parametrize(
    ("count", "message"), [(0, "got none. Add one per sequence"), (2, "at least 3 sequences .* got 2")]
)
def test_too_few_files(count, message, tmp_path):
    for i in range(count):
        np.save(tmp_path / f"{i}.npy", np.zeros((4, 2)))
    with pytest.raises(ValueError, match=message):
        data.load(tmp_path)


# -- options ----------------------------------------------------------------------------------------------------------


def test_load_has_the_defaults_of_the_folder_options():
    parameters = inspect.signature(data.load).parameters
    for name, value in vars(data.FolderOptions()).items():
        assert parameters[name].default == value


def test_channels_first_is_the_transpose(tmp_path):
    for layout in ("tc", "ct"):
        (tmp_path / layout).mkdir()
        for i, values in enumerate(arrays(count=5)):
            np.save(tmp_path / layout / f"{i}.npy", values if layout == "tc" else values.T)
    first, second = (data.load(tmp_path / layout, layout=layout) for layout in ("tc", "ct"))
    for split in SPLITS:
        for x, y in zip(getattr(first, split), getattr(second, split), strict=True):
            assert torch.equal(x, y)
    with pytest.raises(ValueError, match="layout must be 'tc'"):
        data.load(tmp_path / "tc", layout="tcb")


def test_shapes_that_look_transposed_are_pointed_out(tmp_path):
    for i in range(3):
        np.save(tmp_path / f"{i}.npy", np.ones((2, 50)))
    with pytest.warns(UserWarning, match=r"more features than steps, such as \(2, 50\) in .* use layout='ct'"):
        data.load(tmp_path)
    assert data.load(tmp_path, layout="ct").features == 2
    np.save(tmp_path / "0.npy", np.ones((2, 60)))
    with pytest.raises(ValueError, match="must have 50 columns like .* got 60.* use layout='ct'"):
        data.load(tmp_path)


def test_a_header_names_channels_and_must_be_the_same_in_all_files(tmp_path):
    for i, values in enumerate(arrays(count=4)):
        write_csv(tmp_path / str(i), values, header=True)
    assert data.load(tmp_path).channels == ("feature 0", "feature 1", "feature 2")
    (tmp_path / "3.csv").write_text("feature 1,feature 0,feature 2\n1,2,3\n")
    with pytest.raises(ValueError, match=r"3\.csv must have the header 'feature 0,.*got 'feature 1,"):
        data.load(tmp_path)


@pytest.mark.parametrize(
    "dates",
    [
        [f"2020-01-{day:02}" for day in range(1, 13)],
        [f"2020-{month:02}" for month in range(1, 13)],
        [f"2020-03-01T{hour:02}:30" for hour in range(12)],
        [f"2020-03-01 {hour:02}:30:00+02:00" for hour in range(11)] + ["2020-03-01T09:00:00Z"],
    ],
)
@pytest.mark.parametrize("header", ["", "time,x,y\n"])
def test_a_first_column_of_dates_is_left_out_with_one_warning(tmp_path, dates, header):
    rows = "".join(f"{date},{i},{i * i}\n" for i, date in enumerate(dates))
    (tmp_path / "a.csv").write_text(header + rows)
    with pytest.warns(UserWarning, match=r"first column of a\.csv holds dates") as caught:
        found = data.load(tmp_path / "a.csv")
    assert len(caught) == 1
    values = torch.cat([*found.train, *found.valid, *found.test])
    assert values.tolist() == [[i, i * i] for i in range(12)]
    assert found.channels == (("x", "y") if header else ())


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("2020-01-02,1\n2020-01-01,2\n", r"line 2 must have a later date .*2020-01-02.*got '2020-01-01'"),
        ("2020-01-02,1\n2020-01-02,2\n", "line 2 must have a later date"),
        ("2020-01-02,1\n3,2\n", "line 2 must have a later date .*got '3'"),
        ("2020-01-02,1\n2020-01-03,x\n", "line 2, column 2 must be a number, got 'x'"),
        ("1,2020-01-02\n2,2020-01-03\n", "line 1, column 2 must be a number, got '2020-01-02'"),
        ("02.01.2020,1\n03.01.2020,2\n", "line 1, column 1 must be a number"),
        ("9999-12-31T23:59:00-10:00,1\n", "line 1, column 1 must be a number"),
    ],
)
def test_dates_out_of_order_or_in_other_columns_are_refused(tmp_path, rows, message):
    (tmp_path / "a.csv").write_text(rows)
    with pytest.raises(ValueError, match=message):
        data.load(tmp_path / "a.csv")


def test_numbers_that_could_be_dates_stay_numbers(tmp_path):
    (tmp_path / "a.csv").write_text("".join(f"202001{day:02},1\n" for day in range(10, 22)))
    assert data.load(tmp_path / "a.csv").features == 2


def test_dates_are_refused_where_rows_are_channels(tmp_path):
    (tmp_path / "a.csv").write_text("2020-01-01,1,2\n2020-01-02,3,4\n")
    with pytest.raises(ValueError, match="line 1, column 1 must be a number"):
        data.load(tmp_path / "a.csv", layout="ct")


def test_standardization_is_fitted_on_train_and_kept(tmp_path):
    for i, values in enumerate(arrays()):
        np.save(tmp_path / f"{i:02}.npy", values * [1, 10, 0] + [5, -100, 7])
    raw, scaled = data.load(tmp_path), data.load(tmp_path, standardize=True)
    assert raw.standardization is None
    steps = torch.cat(scaled.train)
    torch.testing.assert_close(steps.mean(0), torch.zeros(3), rtol=0, atol=1e-5)
    torch.testing.assert_close(steps.std(0, correction=0), torch.tensor([1.0, 1.0, 0.0]), rtol=0, atol=1e-5)
    for x, y in zip(raw.test, scaled.test, strict=True):
        torch.testing.assert_close(scaled.standardization.apply(x), y)
        torch.testing.assert_close(scaled.standardization.invert(y), x)


@pytest.mark.parametrize("single", [False, True], ids=["folder", "file"])
def test_one_long_table_is_split_in_time(single, tmp_path):
    values = np.arange(200).reshape(100, 2)
    np.savetxt(tmp_path / "long.csv", values, delimiter=",", header="a,b", comments="")
    splits = data.load(tmp_path / "long.csv" if single else tmp_path)
    assert [len(getattr(splits, split)[0]) for split in SPLITS] == [70, 15, 15]
    assert torch.equal(torch.cat(splits.train + splits.valid + splits.test), torch.from_numpy(values).float())
    assert splits.channels == ("a", "b")
    assert splits.titles["valid"] == ["long.csv, steps 70 to 84"]
    np.savetxt(tmp_path / "long.csv", values[:8], delimiter=",")
    with pytest.raises(ValueError, match="at least 10 steps to be split in time, got 8"):
        data.load(tmp_path)


def test_steps_per_quarter_and_onsets_of_a_midi_folder(tmp_path):
    pytest.importorskip("mido")
    roll = torch.zeros(8, 88)
    roll[:, 40] = 1
    for i in range(3):
        write_midi(torch.cat([roll, roll], 1), tmp_path / f"{i}.mid", steps_per_quarter=4)
    assert data.load(tmp_path).train[0].shape == (2, 88)
    fine = data.load(tmp_path, steps_per_quarter=4, onsets=True)
    assert (fine.kind, fine.steps_per_quarter) == ("piano_roll", 4)
    assert torch.equal(fine.train[0], torch.cat([roll, roll], 1))


@pytest.mark.parametrize(
    "options", [{"steps_per_quarter": 2}, {"layout": "ct"}, {"skip_bad_files": True}, {"labels": "none"}]
)
def test_options_of_folders_do_not_apply_to_named_sets(options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} must be .* for the set chorales"):
        data.load("chorales", **options)
    assert data.load("chorales", steps_per_quarter=1).steps_per_quarter == 1


def test_another_seed_is_another_split_of_the_same_files(tmp_path):
    for i, values in enumerate(arrays()):
        np.save(tmp_path / f"{i:02}.npy", values)
    first, second = data.load(tmp_path), data.load(tmp_path, split_seed=1)
    assert first.titles["test"] != second.titles["test"]
    assert sorted(chain(*first.titles.values())) == sorted(chain(*second.titles.values()))


# -- NPY headers -------------------------------------------------------------------------------------------------------


def npy(header, body=b""):
    """Bytes of an NPY file of version 1.0 with any header."""
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + body


HEADER = "{{'descr': '<f8', 'fortran_order': False, 'shape': {}, }}"
BAD_HEADERS = {
    "10**12 elements": npy(HEADER.format("(1000000000000, 1)")),
    "400 digits": npy(HEADER.format(f"({'9' * 400}, 2)")),
    "negative": npy(HEADER.format("(-3, -4)")),
    "more than there is": npy(HEADER.format("(3, 4)"), bytes(95)),
    "zip": b"PK\x03\x04" + bytes(30),
    "unclosed": npy("{'descr': '<f8', 'shape': (3, 4"),
    "nested": npy(HEADER.format("(" * 3000 + "1" + ")" * 3000)),
    "no shape": npy("{'descr': '<f8'}"),
    "no dictionary": npy("[1, 2]"),
    "unknown type": npy("{'descr': '<q99', 'fortran_order': False, 'shape': (1, 1), }"),
    "subarray": npy("{'descr': ('<f8', (9,)), 'fortran_order': False, 'shape': (1, 1), }", bytes(72)),
    "version 9": b"\x93NUMPY\x09\x00" + bytes(40),
    "long header": b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + bytes(40),
}


@pytest.mark.parametrize("name", BAD_HEADERS)
def test_a_damaged_header_is_one_line_that_names_the_file(name, tmp_path):
    path = tmp_path / "bad.npy"
    path.write_bytes(BAD_HEADERS[name])
    with pytest.raises(ValueError, match=r"bad\.npy must ") as caught:
        read_npy(path)
    message = str(caught.value).replace(str(tmp_path), "")
    assert "\n" not in message
    assert len(message) <= 300


@settings(max_examples=300)
@given(st.integers(0, 200), st.binary(max_size=8))
def test_an_altered_npy_file_is_read_or_refused(tmp_path_factory, place, change):
    content = io.BytesIO()
    np.save(content, np.arange(6.0).reshape(2, 3))
    altered = bytearray(content.getvalue())
    altered[place : place + len(change)] = change
    path = tmp_path_factory.getbasetemp() / "altered.npy"
    path.write_bytes(altered)
    try:
        result = read_npy(path)
    except ValueError as error:
        result = str(error)
    assert isinstance(result, np.ndarray) or "altered.npy" in result


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [">f4", "<i2", "?", "<f2", "<u8"])
def test_npy_files_are_read_as_numpy_reads_them(order, dtype, tmp_path):
    values = np.asarray(np.arange(12).reshape(3, 4) % 2, dtype=dtype, order=order)
    np.save(tmp_path / "a.npy", values)
    np.testing.assert_array_equal(read_npy(tmp_path / "a.npy"), values)
