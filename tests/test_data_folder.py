"""A folder of one's own as a data set: what was written is read, and a file that does not fit is named."""

import functools
from pathlib import Path

import numpy as np
import pytest
import torch

from linmem import data
from linmem.data.midi import write_midi
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
    (tmp_path / "README.txt").write_text("passed over")
    (tmp_path / ".hidden.mid").write_text("passed over")
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
    "other columns": ({"bad__npy": np.zeros((4, 2))}, r"(bad|\d)\.npy has \d columns, but .*\.npy has \d"),
    "one dimension": ({"bad__npy": np.zeros(4)}, r"bad\.npy has shape \(4,\), but \(T, a\)"),
    "no step": ({"bad__npy": np.zeros((0, 3))}, r"bad\.npy has shape \(0, 3\)"),
    "NaN": ({"bad__npy": np.array([[0, 0, 0], [0, 0, np.nan]])}, r"bad\.npy, step 1, feature 2 is nan"),
    "beyond float32": ({"bad__npy": np.array([[0, 1e300, 0]])}, r"bad\.npy, step 0, feature 1 is 1e\+300"),
    "objects": ({"bad__npy": np.array([[{}]])}, r"bad\.npy is not a readable NPY file"),
    "text": ({"bad__npy": np.array([["a"]])}, r"bad\.npy holds <U1"),
    "complex": ({"bad__npy": np.array([[1j]])}, r"bad\.npy holds complex128"),
    "no NPY file": ({"bad__npy": b"hello"}, r"bad\.npy is not a readable NPY file"),
    "empty file": ({"bad__npy": b""}, r"bad\.npy is not a readable NPY file"),
    "two kinds": ({"bad__csv": b"1,2,3"}, r"several kinds \(.*bad\.csv"),
    "a split without files": ({"train_in_a__npy": np.zeros((1, 3))}, r"valid holds no data files"),
    "a file outside the splits": (
        {f"{split}_in_a__npy": np.zeros((1, 3)) for split in SPLITS},
        r"0\.npy is in none of train, valid and test",
    ),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_file_is_named(case, tmp_path):
    contents, message = BAD_FILES[case]
    fill(tmp_path, **contents)
    with pytest.raises(ValueError, match=message):
        data.load(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", r"bad\.csv has shape \(0,\)"),
        (b"a,b\n", r"bad\.csv has shape \(0,\)"),
        (b"1,2\n3\n", r"bad\.csv, line 2 has 1 columns, but the lines before have 2"),
        (b"a,b\n1,2\n\n3,x\n", r"bad\.csv, line 4, column 2 is 'x'"),
        (b"1;2\n3;4\n", r"bad\.csv, line 2, column 1 is '3;4'"),
        (b"1,nan\n", r"bad\.csv, step 0, feature 1 is nan"),
        (b"\xff\xfe\x00", r"bad\.csv is not a readable CSV file"),
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
    with pytest.raises(ValueError, match=r"silent\.mid has no note"):
        data.load(tmp_path)
    (tmp_path / "silent.mid").write_bytes(b"MThd nothing of the kind")
    with pytest.raises(ValueError, match=r"silent\.mid must be a readable MIDI file"):
        data.load(tmp_path)


@pytest.mark.parametrize(("count", "message"), [(0, "holds no data"), (2, r"holds 2 data file\(s\)")])
def test_too_few_files(count, message, tmp_path):
    for i in range(count):
        np.save(tmp_path / f"{i}.npy", np.zeros((4, 2)))
    with pytest.raises(ValueError, match=message):
        data.load(tmp_path)
