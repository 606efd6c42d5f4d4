"""Piano rolls and MIDI files: the round trip is the identity, and known files give the rolls read from the score."""

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
    "repeated after a rest": roll_of((60,), (), (60,)),
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


def test_another_library_reads_what_was_written(tmp_path):
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
            expected = {t for t in range(6) if onset <= t + SLACK < end}
            on_step = math.ceil(onset - SLACK)
            expected |= {on_step} if abs(onset - on_step) <= SLACK else set()
            assert set(range(*frames_of(onset, end))) == expected


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
    with pytest.raises(ValueError, match=r"broken\.mid must be a readable MIDI file"):
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
        (ROLLS["held"], {"tempo": 0}, "tempo must be .* got 0"),
        (ROLLS["held"], {"tempo": math.nan}, "tempo must be .* got nan"),
        (ROLLS["held"], {"steps_per_quarter": 0}, "steps_per_quarter must be .* got 0"),
        (ROLLS["held"], {"steps_per_quarter": 1.5}, r"steps_per_quarter must be .* got 1\.5"),
    ],
)
def test_what_midi_cannot_write(roll, arguments, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        write_midi(roll, tmp_path / "a.mid", **arguments)
    assert not (tmp_path / "a.mid").exists()


def test_missing_mido_says_what_to_install(tmp_path, monkeypatch):
    path = write_notes(tmp_path / "a.mid", [(60, 0, 1)])
    monkeypatch.setitem(sys.modules, "mido", None)
    for call in (lambda: piano_roll(path), lambda: write_midi(ROLLS["held"], path)):
        with pytest.raises(ImportError, match=r"pip install 'linear-memory-networks\[music\]'"):
            call()


# -- onsets -----------------------------------------------------------------------------------------------------------


def with_onsets(roll, repeated=()):
    """Append the columns of onsets: the first row of every run, and the rows of `repeated`, (row, pitch)."""
    before = torch.cat([torch.zeros(1, NOTES), roll])[: len(roll)]
    onsets = roll * (1 - before)
    for row, pitch in repeated:
        onsets[row, pitch - LOWEST_NOTE] = 1
    return torch.cat([roll, onsets], 1)


@pytest.mark.parametrize("steps_per_quarter", [1, 3, 4])
def test_eight_repeated_quarters_are_eight_notes(steps_per_quarter, tmp_path):
    path = write_notes(tmp_path / "a.mid", [(60, i, i + 1) for i in range(8)])
    roll = piano_roll(path, steps_per_quarter, onsets=True)
    assert roll[:, :NOTES].sum() == 8 * steps_per_quarter
    assert roll[:, NOTES:].nonzero()[:, 0].tolist() == list(range(0, 8 * steps_per_quarter, steps_per_quarter))
    write_midi(roll, tmp_path / "b.mid", steps_per_quarter, tempo=120)
    notes = pretty_midi.PrettyMIDI(str(tmp_path / "b.mid")).instruments[0].notes
    assert [(round(note.start, 6), round(note.end, 6)) for note in notes] == [(i / 2, i / 2 + 0.5) for i in range(8)]


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 60), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_round_trip_with_onsets(tmp_path_factory, steps, steps_per_quarter, seed):
    random = np.random.default_rng(seed)
    roll = torch.from_numpy(random.random((steps, NOTES)) < 0.5).float()
    repeated = [(row, column + LOWEST_NOTE) for row, column in roll.nonzero().tolist() if random.random() < 0.3]
    path = tmp_path_factory.getbasetemp() / "onsets.mid"
    write_midi(with_onsets(roll, repeated), path, steps_per_quarter)
    assert torch.equal(piano_roll(path, steps_per_quarter, onsets=True), with_onsets(roll, repeated))
    assert torch.equal(piano_roll(path, steps_per_quarter), roll)


def test_an_onset_of_an_inactive_note_has_no_effect(tmp_path):
    roll = torch.cat([ROLLS["held"], torch.ones(3, NOTES)], 1)
    write_midi(roll, tmp_path / "a.mid")
    assert torch.equal(piano_roll(tmp_path / "a.mid"), ROLLS["held"])


# -- tick resolutions and limits ---------------------------------------------------------------------------------------


def write_ticks(path, notes, resolution):
    """A MIDI file of (pitch, onset, end) in ticks, written with mido alone."""
    import mido

    events = sorted([(end, 0, pitch) for pitch, _, end in notes] + [(onset, 80, pitch) for pitch, onset, _ in notes])
    track, now = mido.MidiTrack(), 0
    for tick, velocity, pitch in events:
        track.append(mido.Message("note_on", note=pitch, velocity=velocity, time=tick - now))
        now = tick
    mido.MidiFile(tracks=[track], ticks_per_beat=resolution).save(path)
    return path


@pytest.mark.parametrize("resolution", [1, 7, 96, 10_080, 32_767])
def test_the_resolution_does_not_matter(resolution, tmp_path):
    notes = [(60, 0, resolution), (62, resolution, 3 * resolution)]
    roll = piano_roll(write_ticks(tmp_path / "a.mid", notes, resolution))
    assert torch.equal(roll, roll_of((60,), (62,), (62,)))


def test_a_long_file_of_fine_resolution_is_read(tmp_path):
    """10,080 ticks per quarter and 1,367 quarters: 13.8 million ticks."""
    path = write_ticks(tmp_path / "long.mid", [(60, i * 10_080, (i + 1) * 10_080) for i in range(1367)], 10_080)
    roll = piano_roll(path)
    assert roll.shape == (1367, NOTES)
    assert roll[:, 60 - LOWEST_NOTE].all()


def test_a_roll_beyond_the_limit_is_refused_before_it_is_allocated(tmp_path, monkeypatch):
    path = write_ticks(tmp_path / "far.mid", [(60, 9_900_000, 9_900_001)], 1)
    with pytest.raises(ValueError, match=r"far\.mid as a piano roll of 9,900,001 steps must need at most .*LINMEM_MAX"):
        piano_roll(path)
    monkeypatch.setenv("LINMEM_MAX_BYTES", "30000")
    with pytest.raises(ValueError, match=r"at most 30,000 bytes"):
        piano_roll(write_ticks(tmp_path / "a.mid", [(60, 0, 100)], 1))
    for text in ("-1", "0", "many", "1e9", "9" * 30):
        monkeypatch.setenv("LINMEM_MAX_BYTES", text)
        with pytest.raises(ValueError, match="LINMEM_MAX_BYTES must be a positive whole number"):
            piano_roll(path)
