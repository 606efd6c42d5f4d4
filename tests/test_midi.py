"""Piano roll ⇄ MIDI: the round trip is the identity, and files of known notes give the roll read off by hand."""

import math
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from linmem.data.midi import LOWEST_NOTE, NOTES, SLACK, frames_of, piano_roll, write_midi

pretty_midi = pytest.importorskip("pretty_midi")


def roll_of(*rows: tuple[int, ...]) -> torch.Tensor:
    """A roll from the MIDI pitches of each row."""
    roll = torch.zeros(len(rows), NOTES)
    for step, pitches in enumerate(rows):
        roll[step, [pitch - LOWEST_NOTE for pitch in pitches]] = 1
    return roll


def write_notes(path, notes, *, tempo=120.0, drum=False):
    """A MIDI file of (pitch, onset, end) in quarter notes."""
    score = pretty_midi.PrettyMIDI(resolution=480, initial_tempo=tempo)
    instrument = pretty_midi.Instrument(program=0, is_drum=drum)
    quarter = 60 / tempo
    instrument.notes = [pretty_midi.Note(80, pitch, onset * quarter, end * quarter) for pitch, onset, end in notes]
    score.instruments.append(instrument)
    score.write(str(path))
    return path


ROLLS = {
    "one frame": roll_of((60, 64, 67)),
    "held": roll_of((60,), (60,), (60, 62)),
    "struck, left and struck again": roll_of((60,), (), (60,)),
    "silence at the start": roll_of((), (), (60,)),
    "silence at the end": roll_of((60,), (), ()),
    "silence only": roll_of((), (), ()),
    "both ends of the keyboard": roll_of((21, 108), (108,)),
    "no frame": torch.zeros(0, NOTES),
    "all keys": torch.ones(3, NOTES),
}


@pytest.mark.parametrize("steps_per_quarter", [1, 2, 3, 7, 24])
@pytest.mark.parametrize("name", ROLLS)
def test_round_trip(name, steps_per_quarter, tmp_path):
    write_midi(ROLLS[name], tmp_path / "a.mid", steps_per_quarter, tempo=97.3)
    assert torch.equal(piano_roll(tmp_path / "a.mid", steps_per_quarter), ROLLS[name])


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 200), st.integers(1, 12), st.floats(5, 600), st.integers(0, 2**32 - 1))
def test_round_trip_of_any_roll(tmp_path_factory, steps, steps_per_quarter, tempo, seed):
    roll = torch.from_numpy(np.random.default_rng(seed).random((steps, NOTES)) < 0.1).float()
    path = tmp_path_factory.getbasetemp() / "any.mid"
    write_midi(roll, path, steps_per_quarter, tempo)
    assert torch.equal(piano_roll(path, steps_per_quarter), roll)


@pytest.mark.parametrize("kind", [torch.bool, torch.uint8, torch.float64, "numpy"])
def test_any_dtype_writes_the_same_file(kind, tmp_path):
    roll = ROLLS["held"]
    write_midi(roll, tmp_path / "a.mid")
    write_midi(roll.numpy() if kind == "numpy" else roll.to(kind), tmp_path / "b.mid")
    assert (tmp_path / "a.mid").read_bytes() == (tmp_path / "b.mid").read_bytes()


def test_the_written_file_is_standard_midi(tmp_path):
    write_midi(roll_of((60,), (60,), (62,), ()), tmp_path / "a.mid", tempo=120)
    content = (tmp_path / "a.mid").read_bytes()
    assert content[:8] == b"MThd\x00\x00\x00\x06"
    assert content.count(b"MTrk") == int.from_bytes(content[10:12], "big")
    score = pretty_midi.PrettyMIDI(str(tmp_path / "a.mid"))
    notes = [(note.pitch, round(note.start, 6), round(note.end, 6)) for note in score.instruments[0].notes]
    assert sorted(notes) == [(60, 0.0, 1.0), (62, 1.0, 1.5)]  # equal neighbours are one held note; a quarter is 0.5 s
    assert score.get_tempo_changes()[1].tolist() == pytest.approx([120.0])


def test_frames_follow_the_beat_not_the_clock(tmp_path):
    import mido

    track = mido.MidiTrack()
    for pitch, tempo in ((60, 120), (62, 30), (64, 200)):  # a quarter each, every one at another tempo
        track.append(mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(tempo)))
        track.append(mido.Message("note_on", note=pitch, velocity=80))
        track.append(mido.Message("note_off", note=pitch, time=96))
    mido.MidiFile(tracks=[track], ticks_per_beat=96).save(tmp_path / "a.mid")
    assert torch.equal(piano_roll(tmp_path / "a.mid"), roll_of((60,), (62,), (64,)))
    assert torch.equal(piano_roll(tmp_path / "a.mid", 2), roll_of((60,), (60,), (62,), (62,), (64,), (64,)))


def test_known_file(tmp_path):
    notes = [
        (60, 0, 1), (60, 1, 2),  # repeated: looks held
        (64, 0.5, 1),  # between two beats: not seen
        (67, 0.5, 1.5),  # syncopated: sounds when quarter 1 begins
        (72, 2.05, 2.9),  # a player a little late
        (74, 2.95, 4),  # and a little early
        (76, 4, 4.05),  # too short to last, but on the beat
        (20, 0, 5), (109, 0, 5),  # outside A0..C8
    ]  # fmt: skip
    roll = piano_roll(write_notes(tmp_path / "a.mid", notes))
    assert torch.equal(roll, roll_of((60,), (60, 67), (72,), (74,), (76,)))


def test_frames_of_is_the_definition():
    grid = np.arange(0, 4, 1 / 16)
    for onset in grid:
        for end in grid[grid > onset]:
            wanted = {t for t in range(6) if onset <= t + SLACK < end}
            on_step = math.ceil(onset - SLACK)
            wanted |= {on_step} if abs(onset - on_step) <= SLACK else set()
            assert set(range(*frames_of(onset, end))) == wanted


def test_drums_are_left_out(tmp_path):
    assert piano_roll(write_notes(tmp_path / "a.mid", [(40, 0, 1)], drum=True)).shape == (0, NOTES)


@pytest.mark.parametrize("damage", [b"", b"not MIDI at all", "truncated", "no track"])
def test_a_damaged_file_is_named(damage, tmp_path):
    path = write_notes(tmp_path / "broken.mid", [(60, 0, 1)])
    if damage == "truncated":
        damage = path.read_bytes()[:-9]
    elif damage == "no track":
        damage = path.read_bytes()[:14]
    path.write_bytes(damage)
    with pytest.raises(ValueError, match=r"broken\.mid is not a readable MIDI file"):
        piano_roll(path)


def test_film_time_is_refused(tmp_path):
    path = write_notes(tmp_path / "film.mid", [(60, 0, 1)])
    content = bytearray(path.read_bytes())
    content[12:14] = b"\xe7\x28"  # 25 frames a second, 40 ticks a frame
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"film\.mid"):
        piano_roll(path)


@pytest.mark.parametrize(
    ("roll", "arguments", "message"),
    [
        (torch.zeros(3, 87), {}, r"\(T, 88\).*\(3, 87\)"),
        (torch.zeros(NOTES), {}, r"\(T, 88\)"),
        (torch.full((3, NOTES), 0.4), {}, "0 and 1 only"),
        (torch.full((3, NOTES), torch.nan), {}, "0 and 1 only"),
        (ROLLS["held"], {"tempo": 0}, "tempo is 0"),
        (ROLLS["held"], {"tempo": math.nan}, "tempo is nan"),
        (ROLLS["held"], {"steps_per_quarter": 0}, "steps_per_quarter is 0"),
        (ROLLS["held"], {"steps_per_quarter": 1.5}, r"steps_per_quarter is 1\.5"),
    ],
)
def test_what_midi_cannot_write(roll, arguments, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        write_midi(roll, tmp_path / "a.mid", **arguments)
    assert not (tmp_path / "a.mid").exists()


def test_missing_pretty_midi_says_what_to_install(tmp_path, monkeypatch):
    path = write_notes(tmp_path / "a.mid", [(60, 0, 1)])
    monkeypatch.setitem(sys.modules, "pretty_midi", None)
    for call in (lambda: piano_roll(path), lambda: write_midi(ROLLS["held"], path)):
        with pytest.raises(ImportError, match=r"pip install 'linear-memory-networks\[music\]'"):
            call()
