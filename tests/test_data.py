"""Data sets: counts and contents match the sources, and damaged files are refused."""

import functools
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from linmem import data
from linmem.data import chorales, downloads, poly_music
from linmem.data.midi import LOWEST_NOTE
from linmem.data.splits import SPLITS

TOOL = Path(__file__).parents[1] / "tools" / "build_chorales.py"


def counts(rolls):
    """Pieces, min, mean, max and sum of frames, notes per frame, silent frames: the columns of the published table."""
    lengths = [len(roll) for roll in rolls]
    notes = sum(roll.sum().item() for roll in rolls)
    silent = sum((roll.sum(1) == 0).sum().item() for roll in rolls)
    frames = sum(lengths)
    return (
        len(rolls),
        min(lengths),
        round(frames / len(rolls), 2),
        max(lengths),
        frames,
        round(notes / frames, 3),
        silent,
    )


def persistence(rolls):
    """Frame accuracy in per cent, pooled, of predicting each frame by the one before."""
    before, after = (torch.cat([roll[where].bool() for roll in rolls]) for where in (slice(-1), slice(1, None)))
    return round(100 * ((before & after).sum() / (before | after).sum()).item(), 2)


# -- chorales ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bach():
    return data.load("chorales")


CHORALES = {
    "train": (233, 32, 54.0, 193, 12582, 3.88, 88),
    "valid": (78, 32, 54.54, 128, 4254, 3.875, 36),
    "test": (78, 24, 59.95, 160, 4676, 3.851, 56),
}


@pytest.mark.parametrize("split", SPLITS)
def test_chorales_counts(bach, split):
    assert counts(getattr(bach, split)) == CHORALES[split]


@pytest.mark.parametrize("split", SPLITS)
def test_chorales_are_four_voices_on_88_keys(bach, split):
    assert bach.kind == "piano_roll"
    assert bach.features == 88
    assert len(bach.titles[split]) == len(getattr(bach, split))
    for roll in getattr(bach, split):
        assert roll.dtype == torch.float32
        assert roll.shape[1] == 88
        assert set(roll.unique().tolist()) == {0.0, 1.0}
        assert roll.sum(1).max() <= 4
        assert roll[0].any()
        assert roll[-1].any()
        silent = "".join("0" if row.any() else "1" for row in roll)
        assert "1" * 4 not in silent  # short rests only


def test_no_chorale_is_in_two_splits(bach):
    numbers = {split: {int(re.findall(r"\d+", title)[0]) for title in bach.titles[split]} for split in SPLITS}
    assert not numbers["train"] & numbers["valid"]
    assert not numbers["train"] & numbers["test"]
    assert not numbers["valid"] & numbers["test"]
    every = [title for split in SPLITS for title in bach.titles[split]]
    assert len(set(every)) == len(every) == 389


def test_no_music_is_in_two_splits(bach):
    """Half of the shorter piece never recurs in another split (longest common subsequence, textbook recurrence)."""
    pieces = [
        (split, [row.tobytes() for row in np.packbits(roll.numpy().astype(bool), axis=1)])
        for split in SPLITS
        for roll in getattr(bach, split)
    ]
    longest = max(len(rows) for _, rows in pieces)
    code = {row: i for i, row in enumerate(sorted({row for _, rows in pieces for row in rows}))}
    table = np.full((len(pieces), longest), -1)
    for i, (_, rows) in enumerate(pieces):
        table[i, : len(rows)] = [code[row] for row in rows]
    lengths = np.array([len(rows) for _, rows in pieces])
    for i, (split, rows) in enumerate(pieces):
        others = np.array([j for j in range(i) if pieces[j][0] != split], dtype=int)
        if len(others) == 0:
            continue
        best = np.zeros((len(others), longest + 1), dtype=int)
        for row in rows:  # against all others at once
            match = np.concatenate([np.zeros((len(others), 1), int), best[:, :-1] + (table[others] == code[row])], 1)
            best = np.maximum.accumulate(np.maximum(best, match), axis=1)
        assert (best[:, -1] / np.minimum(lengths[others], len(rows))).max() < 0.5


def test_known_chorale(bach):
    """Two beginnings read from the score: BWV 269 in G major, here a fourth up; BWV 66.6 in F# minor, a minor third up.

    BWV 269: G-D-B-G, then held soprano G over D-B-G, then G-E-C-E: the soprano's half note sounds in two frames.
    BWV 66.6 begins with two eighths in three voices: the second of them is not seen.
    """
    where = {title: (split, i) for split in SPLITS for i, title in enumerate(bach.titles[split])}

    def first_frames(title, steps):
        split, i = where[title]
        return [(row.nonzero().ravel() + LOWEST_NOTE).tolist() for row in getattr(bach, split)[i][:steps]]

    assert first_frames("bwv269", 3) == [[48, 64, 67, 72], [60, 64, 67, 72], [57, 65, 69, 72]]
    assert first_frames("bwv66.6", 3) == [[60, 67, 76], [57, 64, 69, 72], [59, 62, 67, 74]]


def test_chorales_persistence(bach):
    assert [persistence(getattr(bach, split)) for split in SPLITS] == [22.13, 21.63, 20.81]


@pytest.fixture(scope="module")
def bach_with_onsets():
    return data.load("chorales", onsets=True)


@pytest.mark.parametrize("split", SPLITS)
def test_onsets_of_chorales_belong_to_active_notes_and_begin_every_run(bach, bach_with_onsets, split):
    for roll, plain in zip(getattr(bach_with_onsets, split), getattr(bach, split), strict=True):
        active, onset = roll[:, :88], roll[:, 88:]
        assert torch.equal(active, plain)
        assert (onset <= active).all()
        assert (onset[0] == active[0]).all()
        assert (onset[1:] >= active[1:] * (1 - active[:-1])).all()


def test_known_onsets(bach_with_onsets):
    """BWV 269 begins with a soprano that repeats its quarter as a half note, over a bass that leaps up an octave."""
    where = {title: (split, i) for split in SPLITS for i, title in enumerate(bach_with_onsets.titles[split])}
    split, i = where["bwv269"]
    begins = [(row[88:].nonzero().ravel() + LOWEST_NOTE).tolist() for row in getattr(bach_with_onsets, split)[i][:3]]
    assert begins == [[48, 64, 67, 72], [60, 64, 67, 72], [57, 65, 69]]


def test_onsets_of_a_part_of_the_chorales(bach_with_onsets):
    part = data.load("chorales:2:1", onsets=True)
    assert (part.features, len(part.train), len(part.valid), len(part.test)) == (176, 2, 1, 78)
    assert torch.equal(part.valid[0], bach_with_onsets.valid[0])
    with pytest.raises(ValueError, match="onsets must be False for the set digits, got True. Leave it out."):
        data.load("digits:20:10:10", onsets=True)


def test_the_tool_counts_tied_notes_as_one():
    """Quarters: C for 1/2, C tied from 1/2 to 2, C from 2 to 3; a rest; D tied from 4 to 6."""
    music21 = pytest.importorskip("music21")
    specification = importlib.util.spec_from_file_location("build_chorales", TOOL)
    tool = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(tool)
    part = music21.stream.Part()
    for onset, name, length, tie in [
        (0, "C4", 0.5, None),
        (0.5, "C4", 0.5, "start"),
        (1, "C4", 1, "stop"),
        (2, "C4", 1, None),
        (4, "D4", 1, "start"),
        (5, "D4", 1, "stop"),
    ]:
        note = music21.note.Note(name, quarterLength=length)
        note.tie = tie and music21.tie.Tie(tie)
        part.insert(onset, note)
    voices, onsets = tool.sample([part])
    assert voices.ravel().tolist() == [60, 60, 60, 0, 62, 62]
    assert onsets.ravel().tolist() == [True, True, True, False, True, False]


def test_each_load_returns_new_tensors(bach):
    """Writing into a sequence changes neither its neighbours nor the next load."""
    changed = data.load("chorales")
    changed.train[0].fill_(7)
    assert torch.equal(changed.train[1], bach.train[1])
    assert torch.equal(data.load("chorales").train[0], bach.train[0])


@pytest.mark.slow
def test_the_tool_builds_the_shipped_file(bach, tmp_path):
    music21 = pytest.importorskip("music21")
    if f"music21 {music21.__version__} " not in bach.provenance:
        pytest.skip(f"the file was built from another corpus than music21's {music21.__version__}")
    subprocess.run([sys.executable, TOOL, "--target", tmp_path / "again.npz"], check=True, capture_output=True)
    assert (tmp_path / "again.npz").read_bytes() == chorales.FILE.read_bytes()


@pytest.mark.parametrize("damage", ["altered", "truncated", "missing"])
def test_damaged_chorales_are_refused(damage, tmp_path, monkeypatch):
    path = tmp_path / "chorales.npz"
    content = bytearray(chorales.FILE.read_bytes())
    content[1000] ^= 1
    if damage != "missing":
        path.write_bytes(content if damage == "altered" else content[:-1])
    monkeypatch.setattr(chorales, "FILE", path)
    with pytest.raises(
        ValueError, match=r"chorales\.npz .*(damaged|got no such file).*Install linear-memory-networks again"
    ):
        data.load("chorales")


# -- the four polyphonic sets ------------------------------------------------------------------------------------------

PUBLISHED = {  # pieces, min, mean, max frames, frames, notes per frame, silent frames
    "jsb_chorales": (
        (229, 25, 60.29, 129, 13807, 3.898, 18),
        (76, 32, 60.55, 144, 4602, 3.870, 29),
        (77, 32, 61.36, 160, 4725, 3.887, 17),
    ),
    "muse_data": (
        (524, 9, 467.94, 3457, 245202, 3.493, 12962),
        (135, 63, 613.00, 3723, 82755, 3.479, 4412),
        (124, 45, 518.86, 4273, 64339, 3.293, 5042),
    ),
    "nottingham": (
        (694, 40, 254.41, 1788, 176561, 3.961, 487),
        (173, 96, 263.08, 1473, 45513, 3.959, 51),
        (170, 63, 261.55, 1793, 44463, 3.990, 19),
    ),
    "piano_midi": (
        (87, 111, 872.54, 3857, 75911, 3.044, 4917),
        (12, 209, 711.67, 1637, 8540, 3.235, 251),
        (25, 65, 761.44, 2645, 19036, 2.945, 652),
    ),
}
PERSISTENCE = {"jsb_chorales": 22.20, "muse_data": 38.21, "nottingham": 64.89, "piano_midi": 35.21}  # on test


@functools.lru_cache(maxsize=1)
def published(name):
    """Return the set if its file is on this machine: tests never use the network."""
    path = downloads.data_root() / poly_music.REMOTE[name].place
    if not path.exists():
        pytest.skip(f"{path} is missing: set LINMEM_DATA to a folder that has it")
    return data.load(name)


@pytest.mark.data
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_counts(name):
    splits = published(name)
    assert tuple(counts(getattr(splits, split)) for split in SPLITS) == PUBLISHED[name]
    assert persistence(splits.test) == PERSISTENCE[name]
    assert splits.kind == "piano_roll"
    assert all(
        roll.dtype == torch.float32 and roll.shape[1] == 88 for roll in splits.train + splits.valid + splits.test
    )


@pytest.mark.data
def test_known_duplicates_of_nottingham():
    splits = published("nottingham")
    assert torch.equal(splits.train[267], splits.test[99])
    assert torch.equal(splits.train[201], splits.valid[3])


@pytest.mark.data
@pytest.mark.parametrize("damage", ["altered", "truncated"])
def test_a_damaged_set_is_refused(damage, tmp_path):
    published("jsb_chorales")
    file = poly_music.REMOTE["jsb_chorales"]
    content = bytearray((downloads.data_root() / file.place).read_bytes())
    if damage == "altered":
        content[5000] ^= 1
    else:
        del content[-100:]
    path = tmp_path / file.place
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"JSB_Chorales\.mat must have SHA-256 .* damaged or altered") as caught:
        data.load("jsb_chorales", root=tmp_path)
    for part in (str(path), downloads.sha256_of(path), file.sha256, "Delete it"):
        assert part in str(caught.value)


def test_unknown_name_lists_the_known_ones(tmp_path):
    with pytest.raises(
        ValueError,
        match=r"folder or a file, got 'choral'. Known: chorales, jsb_chorales, muse_data, nottingham, piano_midi",
    ):
        data.load("choral")
    (tmp_path / "a.mid").write_bytes(b"")
    with pytest.raises(ValueError, match=r"folder.*a\.mid"):
        data.load(tmp_path / "a.mid")
