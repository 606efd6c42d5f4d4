"""Labelled files of a user: class folders, labels.csv and TS files become classes or targets, or one clear error."""

from collections import Counter

import numpy as np
import pytest
import torch

from linmem import data
from linmem.data.folder import load_unlabelled
from linmem.data.label_encoding import encode_classes
from linmem.data.partition import partition
from linmem.data.splits import SPLITS
from linmem.data.ts_file import read_ts
from linmem.training.tasks import Classes, GivenValues, NextFrame, NextValue, task_of


def write_class(folder, count, value):
    """NPY files (4, 2) whose entries all are `value`."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        np.save(folder / f"{i}.npy", np.full((4, 2), float(value)))


# -- class folders -----------------------------------------------------------------------------------------------------


def test_class_folders_are_classes_split_by_class(tmp_path):
    sizes = {"cat": 20, "dog": 7, "emu": 3}
    for value, (name, size) in enumerate(sizes.items()):
        write_class(tmp_path / name, size, value)
    splits = data.load(tmp_path)
    assert isinstance(task_of(splits), Classes)
    assert splits.class_names == ("cat", "dog", "emu")
    for split in SPLITS:
        for x, label in splits.pairs(split):
            assert (x == float(label)).all()  # the value is the class
    held_out = {name: max(1, round(0.15 * size)) for name, size in sizes.items()}
    for split in ("valid", "test"):
        assert Counter(splits.class_names[i] for i in splits.labels[split].tolist()) == held_out
    assert repr(splits).startswith(f"LabelledSplits({tmp_path.name!r}, series, 2 features, 3 classes; ")


def test_class_folders_inside_splits(tmp_path):
    for split, size in zip(SPLITS, (4, 2, 3), strict=True):
        for value, name in enumerate(("a", "b")):
            write_class(tmp_path / split / name, size, value)
    splits = data.load(tmp_path)
    assert [len(getattr(splits, split)) for split in SPLITS] == [8, 4, 6]
    assert splits.labels["test"].tolist() == [0, 0, 0, 1, 1, 1]


def test_without_valid_some_of_train_is_valid(tmp_path):
    for split, size in (("train", 10), ("test", 3)):
        for value, name in enumerate(("a", "b")):
            write_class(tmp_path / split / name, size, value)
    splits = data.load(tmp_path)
    assert [len(getattr(splits, split)) for split in SPLITS] == [16, 4, 6]
    assert splits.labels["valid"].tolist() == [0, 0, 1, 1]


def test_folders_are_no_classes_on_request_and_for_midi(tmp_path):
    from linmem.data.midi import write_midi

    for value, name in enumerate(("a", "b")):
        write_class(tmp_path / "numbers" / name, 3, value)
        (tmp_path / "music" / name).mkdir(parents=True)
        for i in range(3):
            write_midi(torch.eye(88)[: i + 2], tmp_path / "music" / name / f"{i}.mid")
    assert isinstance(task_of(data.load(tmp_path / "numbers", labels="none")), NextValue)
    assert isinstance(task_of(data.load(tmp_path / "music")), NextFrame)
    labelled = data.load(tmp_path / "music", labels="folders")
    assert isinstance(task_of(labelled), Classes)
    assert labelled.kind == "piano_roll"


def test_class_folders_without_a_usable_structure_say_how_to_lay_them_out(tmp_path):
    for name in ("a", "b"):
        write_class(tmp_path / name, 3, 0)
    np.save(tmp_path / "stray.npy", np.zeros((4, 2)))
    with pytest.raises(
        ValueError, match=r"stray\.npy must lie in a class folder.*one subfolder per class.*labels\.csv"
    ):
        data.load(tmp_path)
    (tmp_path / "stray.npy").unlink()
    (tmp_path / "a" / "2.npy").unlink()
    with pytest.raises(ValueError, match="class 'a' must hold at least 3 sequences .* got 2"):
        data.load(tmp_path)
    one = tmp_path / "one"
    write_class(one / "only", 3, 0)
    with pytest.raises(ValueError, match="at least 2 class folders, got 1"):
        data.load(one, labels="folders")


def test_a_class_without_training_sequences_is_refused(tmp_path):
    for split in SPLITS:
        for name in ("a", "b"):
            write_class(tmp_path / split / name, 1, 0)
    write_class(tmp_path / "test" / "c", 1, 0)
    with pytest.raises(ValueError, match="train must hold every class, got none of class 'c'"):
        data.load(tmp_path)


# -- labels.csv --------------------------------------------------------------------------------------------------------


def write_numbered(folder, count=20):
    for i in range(count):
        np.save(folder / f"{i}.npy", np.full((3, 2), float(i)))


@pytest.mark.parametrize("header", ["file,label\n", ""])
def test_a_file_of_class_names(header, tmp_path):
    write_numbered(tmp_path)
    (tmp_path / "labels.csv").write_text(header + "".join(f"{i}.npy,{'odd' if i % 2 else 'even'}\n" for i in range(20)))
    splits = data.load(tmp_path)
    assert splits.class_names == ("even", "odd")
    for split in SPLITS:
        assert all(int(x[0, 0]) % 2 == int(label) for x, label in splits.pairs(split))


@pytest.mark.parametrize("columns", [1, 2])
def test_numbers_are_regression_targets(columns, tmp_path):
    write_numbered(tmp_path)
    rows = (",".join([f"{i}.npy", str(-0.5 * i), str(i * i)][: columns + 1]) for i in range(20))
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    splits = data.load(tmp_path)
    assert isinstance(task_of(splits), GivenValues)
    for split in SPLITS:
        for x, target in splits.pairs(split):
            i = float(x[0, 0])
            assert target.tolist() == [-0.5 * i, i * i][:columns]


def test_classes_of_equal_numbers_have_one_order():
    """Without a tie-break the order of a set of texts decides: another one in each process."""
    names = ["2", "1", "01", "1.0", "001", "+1"]
    assert encode_classes(names, range(6)).names == ("+1", "001", "01", "1", "1.0", "2")
    assert encode_classes(["10", "nan", "9", "2"], range(4)).names == ("10", "2", "9", "nan")


def test_a_column_named_class_makes_numbers_classes(tmp_path):
    write_numbered(tmp_path)
    (tmp_path / "labels.csv").write_text("file,class\n" + "".join(f"{i}.npy,{10 if i % 2 else 9}\n" for i in range(20)))
    assert data.load(tmp_path).class_names == ("9", "10")


def test_labels_inside_splits(tmp_path):
    for split in SPLITS:
        (tmp_path / split).mkdir()
        write_numbered(tmp_path / split, 4)
        (tmp_path / split / "labels.csv").write_text("".join(f"{i}.npy,{'ab'[i % 2]}\n" for i in range(4)))
    assert data.load(tmp_path).labels["valid"].tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must hold rows file,label, got none"),
        ("0.npy,a\n1.npy\n", "line 2 must be a file and its label"),
        ("0.npy,a\n0.npy,b\n", "line 2 must name a new file, got '0.npy' again"),
        ("0.npy,a\nnowhere.npy,b\n", "must name data files of .* got 'nowhere.npy'"),
        ("0.npy,a\n1.npy,b\n", "must hold a label for every file, got none for '2.npy'"),
        ("0.npy,a,1\n1.npy,b,2\n", "must hold one class column or columns of numbers"),
        ("0.npy,1\n1.npy,nan\n2.npy,3\n", "1.npy must have a finite target"),
        ("0.npy,a\n1.npy,a\n2.npy,a\n", "at least 2 classes, got only 'a'"),
    ],
)
def test_bad_labels_are_named(text, message, tmp_path):
    write_numbered(tmp_path, 3)
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        data.load(tmp_path)


def test_a_skipped_file_needs_no_label_removed(tmp_path):
    write_numbered(tmp_path)
    (tmp_path / "7.npy").write_bytes(b"no")
    (tmp_path / "labels.csv").write_text("".join(f"{i}.npy,{'ab'[i % 2]}\n" for i in range(20)))
    with pytest.warns(UserWarning, match="Skipped 1 of 20"):
        splits = data.load(tmp_path, skip_bad_files=True)
    assert sum(len(splits.labels[split]) for split in SPLITS) == 19


# -- TS files ----------------------------------------------------------------------------------------------------------

HEADER = "# comment\n@problemName Made\n@timestamps false\n@equalLength false\n@classLabel true x y\n@data\n"


def ts_text(count, header=HEADER):
    """Cases of 2 channels and 3 to 5 steps; classes alternate."""
    lines = []
    for i in range(count):
        steps = range(3 + i % 3)
        first, second = (",".join(str(s * i + sign) for s in steps) for sign in (0, -1.5))
        lines.append(f"{first}:{second}:{'xy'[i % 2]}")
    return header + "\n".join(lines) + "\n"


def test_a_ts_file_gives_series_channels_and_labels(tmp_path):
    (tmp_path / "Made.ts").write_text(ts_text(20))
    found = read_ts(tmp_path / "Made.ts")
    assert [case.shape for case in found.cases[:3]] == [(3, 2), (4, 2), (5, 2)]
    np.testing.assert_array_equal(found.cases[4], [[0, -1.5], [4, 2.5], [8, 6.5], [12, 10.5]])
    assert found.labels == ["x", "y"] * 10
    splits = data.load(tmp_path / "Made.ts")
    assert splits.class_names == ("x", "y")
    assert [len(getattr(splits, split)) for split in SPLITS] == [12, 4, 4]
    assert splits.labels["test"].bincount().tolist() == [2, 2]
    assert splits.titles["train"][0].startswith("Made.ts case ")


def test_official_train_and_test_files_are_kept(tmp_path):
    (tmp_path / "Made_TRAIN.ts").write_text(ts_text(20))
    (tmp_path / "Made_TEST.ts").write_text(ts_text(6))
    splits = data.load(tmp_path)
    assert [len(getattr(splits, split)) for split in SPLITS] == [16, 4, 6]
    assert all(title.startswith("Made_TEST.ts") for title in splits.titles["test"])
    assert splits.labels["test"].tolist() == [0, 1, 0, 1, 0, 1]


def test_one_ts_file_by_itself_is_split_whatever_its_name(tmp_path):
    (tmp_path / "Made_TRAIN.ts").write_text(ts_text(20))
    (tmp_path / "Made_TEST.ts").write_text(ts_text(6))
    splits = data.load(tmp_path / "Made_TRAIN.ts")
    assert [len(getattr(splits, split)) for split in SPLITS] == [12, 4, 4]
    assert len(load_unlabelled(tmp_path / "Made_TEST.ts").test) == 6
    assert load_unlabelled(tmp_path) is None


def test_targets_of_a_ts_file_are_regression(tmp_path):
    (tmp_path / "a.ts").write_text("@targetLabel true\n@data\n" + "".join(f"1,2,{i}:{i / 4}\n" for i in range(9)))
    splits = data.load(tmp_path / "a.ts")
    assert isinstance(task_of(splits), GivenValues)
    assert all(x[2, 0] / 4 == target for split in SPLITS for x, target in splits.pairs(split))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must hold a line @data"),
        ("1,2\n", r"line 1 must be a header line before @data, got '1,2'"),
        ("@data\n", "at least one case after @data"),
        ("@timeStamps true\n@data\n(0,1)\n", "must have no timestamps"),
        ("@data\n1,?,3\n", r"line 2, channel 0, step 1 must be a finite number, got '\?'"),
        ("@data\n1,2\n3,NaN\n", "line 3, channel 0, step 1 must be a finite number, got 'NaN'"),
        ("@data\n1,2:3,x\n", "line 2, channel 1, step 1 must be a finite number, got 'x'"),
        ("@data\n1,2:3\n", "channel 1 must have 2 steps like channel 0, got 1"),
        ("@data\n1:2\n3\n", r"line 3 must have 2 channel\(s\)"),
        ("@classLabel true a b\n@data\n1,2:c\n", "line 3: the class must be one of a, b, got 'c'"),
        ("@classLabel true a b\n@data\na\n", r"must have at least 1 channel\(s\)"),
        ("@targetLabel true\n@data\n1,2:a\n", "line 3: the target must be a number, got 'a'"),
    ],
)
def test_a_bad_ts_file_is_named(text, message, tmp_path):
    (tmp_path / "bad.ts").write_text(text)
    with pytest.raises(ValueError, match=rf"bad\.ts.*{message}") as caught:
        data.load(tmp_path / "bad.ts")
    assert "\n" not in str(caught.value)


def test_a_ts_file_that_is_not_text_is_named(tmp_path):
    (tmp_path / "bad.ts").write_bytes(b"\xff\xfe@data")
    with pytest.raises(ValueError, match=r"bad\.ts must be a TS file in UTF-8"):
        data.load(tmp_path / "bad.ts")


@pytest.mark.parametrize("module", ["aeon", "sktime"])
def test_real_files_are_read_as_the_other_library_reads_them(module):
    """Oracle: BasicMotions as aeon and sktime load it, where one of them is installed."""
    datasets = pytest.importorskip(f"{module}.datasets")
    from pathlib import Path

    folder = Path(datasets.__file__).parent / "data" / "BasicMotions"
    found = read_ts(folder / "BasicMotions_TRAIN.ts")
    x, y = datasets.load_basic_motions(split="train", **({"return_type": "numpy3d"} if module == "sktime" else {}))
    np.testing.assert_allclose(np.stack(found.cases).transpose(0, 2, 1), x)
    assert [label.lower() for label in found.labels] == [label.lower() for label in y]  # aeon lowers the case
    splits = data.load(folder)
    assert [len(getattr(splits, split)) for split in SPLITS] == [32, 8, 40]


# -- partition ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [(3, 3), (40, 7), (100,)])
def test_a_partition_holds_every_sequence_once_and_every_class_in_every_split(sizes):
    strata = [label for label, size in enumerate(sizes) for _ in range(size)]
    titles = [str(i) for i in range(len(strata))]
    chosen = partition(titles, [None] * len(titles), strata)
    assert sorted(i for split in SPLITS for i in chosen[split]) == list(range(len(titles)))
    for split in SPLITS:
        assert {strata[i] for i in chosen[split]} == set(range(len(sizes)))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["train", None, "test"], "1 must be in train, valid or test"),
        (["valid", "valid", "test"], "train must hold data files"),
        (["train", "train", "valid"], "test must hold data files"),
        (["train", "test", "test"], "train must hold at least 2 sequences"),
    ],
)
def test_incomplete_splits_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        partition(["0", "1", "2"], given, [None] * 3)
