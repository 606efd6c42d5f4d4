"""Joint generation and harmonization: given notes are kept, seeds repeat, and bad melodies end in one line."""

import pytest
import torch

from linmem import data
from linmem.cli.main import main
from linmem.data import midi
from linmem.data.midi_file import Note, Score, read_score, write_score
from linmem.music.audio import TEMPI, synthesize
from linmem.music.continuation import continue_piece
from linmem.music.harmonize import harmonize_melody
from linmem.music.sampling import SamplingOptions
from linmem.nn.registry import ModelOptions, build_model


def model_of(order="descending", notes=88, name="lmn-b"):
    options = ModelOptions(name, 5, 6, readout="nade", nade_size=8, note_order=order)
    return build_model(options, notes, notes)


def melody_of(*pitches):
    roll = torch.zeros(len(pitches), 88)
    for step, pitch in enumerate(pitches):
        if pitch:
            roll[step, pitch - 21] = 1
    return roll


@pytest.mark.parametrize("name", ["lmn-a", "lstm", "gru", "rnn"])
@pytest.mark.parametrize("order", ["ascending", "descending"])
def test_continuation_keeps_the_number_of_voices_and_repeats(name, order):
    model, prompt = model_of(order, 12, name), torch.zeros(2, 12)
    first, again, other = (
        continue_piece(model, prompt, 30, SamplingOptions(voices=3, seed=seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert (first.sum(1) == 3).all()
    assert continue_piece(model, prompt, 30, SamplingOptions(max_voices=2)).sum(1).max() <= 2


def test_continuation_near_temperature_zero_is_the_most_probable_next_note_each_time():
    model, prompt = model_of(notes=12), (torch.arange(24).view(2, 12) % 5 == 0).float()
    sampled = continue_piece(model, prompt, 4, SamplingOptions(temperature=1e-6))
    read = prompt
    for frame in sampled:
        with torch.no_grad():
            best = model(read[None])[0][0, -1].sample(voices=_greedy())
        assert torch.equal(frame, best)
        read = torch.cat([read, frame[None]])


def _greedy():
    from linmem.nn.nade import Voices

    return Voices(temperature=0)


def test_continuation_with_onsets_has_them_only_at_active_notes():
    model = model_of("ascending", 176)
    sampled = continue_piece(model, torch.zeros(1, 176), 20, SamplingOptions(voices=4))
    active, onset = sampled[:, :88], sampled[:, 88:]
    assert (active.sum(1) == 4).all()
    assert (onset <= active).all()
    begins = active[1:] > active[:-1]
    assert (onset[1:][begins] == 1).all()


def test_the_melody_is_the_highest_of_the_voices():
    melody = melody_of(72, 72, 74, 0, 76, 77)
    roll = harmonize_melody(model_of(), melody, SamplingOptions(voices=4, seed=3))
    sounding = melody.any(1)
    assert torch.equal(roll[sounding].sum(1), torch.full((5,), 4.0))
    assert torch.equal(roll[~sounding], melody[~sounding])
    highest = 87 - roll[sounding].flip(1).argmax(1)
    assert torch.equal(highest, melody[sounding].argmax(1))
    assert torch.equal(roll, harmonize_melody(model_of(), melody, SamplingOptions(voices=4, seed=3)))
    assert not torch.equal(roll, harmonize_melody(model_of(), melody, SamplingOptions(voices=4, seed=4)))


def test_voices_are_sampled_from_the_conditional_distribution():
    """The second voice below a certain soprano: frequencies against the exact conditional probabilities."""
    model, melody = model_of(notes=5), torch.eye(5)[[4]]
    with torch.no_grad():
        outputs, _ = model(melody[None])
        frames = torch.cat([((torch.arange(16)[:, None] >> torch.arange(4)) & 1).float(), torch.ones(16, 1)], 1)
        probability = torch.exp(-outputs[0][[0] * 16].nll(frames))
    probability /= probability.sum()
    drawn = torch.cat([harmonize_melody(model, melody, SamplingOptions(seed=seed)) for seed in range(600)])
    counts = torch.bincount((drawn[:, :4] @ (2.0 ** torch.arange(4))).long(), minlength=16)
    error = (probability * (1 - probability) / 600).sqrt()
    assert ((counts / 600 - probability).abs() / error).max() < 4.5


@pytest.mark.parametrize(
    ("melody", "message"),
    [
        (torch.zeros(0, 88), "at least one note, got none"),
        (torch.zeros(3, 88), "at least one note, got none"),
        (melody_of(60, 62) + melody_of(0, 65), "one note at a time, got 2 at step 1"),
        (melody_of(22), "room for 3 voices below it, got MIDI note 22"),
    ],
)
def test_unsuitable_melodies_are_refused(melody, message):
    with pytest.raises(ValueError, match=message):
        harmonize_melody(model_of(), melody)


@pytest.mark.parametrize("model", [model_of("ascending"), build_model(ModelOptions("lstm", 4), 88, 88)])
def test_only_a_descending_nade_harmonizes(model):
    with pytest.raises(ValueError, match="NADE readout in descending order"):
        harmonize_melody(model, melody_of(60))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    options = "--hidden_size=6 --memory_size=8 --readout=nade --nade_size=6 --note_order=descending --max_epochs=1"
    assert main(["train", "chorales:8:2:2", "--out", str(folder), *options.split()]) == 0
    return folder


def test_the_commands_write_music(trained, tmp_path, capsys):
    midi.write_midi(melody_of(72, 72, 74, 76), tmp_path / "melody.mid")
    assert main(["harmonize", str(trained), str(tmp_path / "melody.mid"), "--out", str(tmp_path / "a")]) == 0
    files = capsys.readouterr().out.split()
    assert [file.rsplit("/", 1)[1] for file in files] == [f"harmonization.{end}" for end in ("mid", "wav", "png")]
    notes = read_score(files[0]).notes
    assert len({note.track for note in notes}) == 4
    assert max(note.pitch for note in notes) == 76
    generate = ["generate", str(trained), "--out", str(tmp_path / "b"), "--prompt_length=5", "--steps=8"]
    assert main([*generate, "--voices=4", "--temperature=0.8", "--top_p=0.9"]) == 0


def test_chorales_with_onsets_continue_with_repeated_notes(tmp_path, capsys):
    """The MIDI file has the onsets of the prompt, of which some repeat a note that the roll alone would hold."""
    run = str(tmp_path / "run")
    options = "--onsets --hidden_size=6 --memory_size=8 --readout=nade --nade_size=6 --max_epochs=1"
    assert main(["train", "chorales:8:2:2", "--out", run, *options.split()]) == 0
    capsys.readouterr()
    assert main(["generate", run, "--prompt_length=16", "--steps=4", "--max_voices=4"]) == 0
    prompt = data.load("chorales:8:2:2", onsets=True).test[0][:16]
    written = midi.piano_roll(capsys.readouterr().out.split()[0], onsets=True)
    assert torch.equal(written[:16], prompt)
    repeated = prompt[1:, :88] * prompt[:-1, :88] * prompt[1:, 88:]
    assert repeated.any()
    assert main(["harmonize", run, str(tmp_path / "no.mid")]) == 2
    midi.write_midi(melody_of(72, 72, 74, 76), tmp_path / "melody.mid")
    assert main(["harmonize", run, str(tmp_path / "melody.mid")]) == 2
    assert "without --onsets" in capsys.readouterr().err


def test_a_missing_melody_is_named(trained, tmp_path, capsys):
    assert main(["harmonize", str(trained), str(tmp_path / "no.mid"), "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.startswith(f"linmem harmonize: file must be a MIDI file, got '{tmp_path}/no.mid'")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["generate", "harmonize"])
@pytest.mark.parametrize("option", ["--voices=89", "--voices=-1", "--voices=2147483647", "--max_voices=89"])
def test_absurd_numbers_of_voices_are_refused(trained, tmp_path, capsys, command, option):
    midi.write_midi(melody_of(72, 72, 74, 76), tmp_path / "melody.mid")
    given = {"generate": [], "harmonize": [str(tmp_path / "melody.mid")]}[command]
    assert main([command, str(trained), *given, "--out", str(tmp_path / "out"), option]) == 2
    name, value = option.removeprefix("--").split("=")
    expected = f"linmem {command}: {name} must be from 1 to the number of notes (88), got {value}. Change {name}.\n"
    assert capsys.readouterr().err == expected
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("command", ["generate", "harmonize"])
@pytest.mark.parametrize("tempo", ["0", "-90", "3.9", "1001"])
def test_a_tempo_out_of_range_leaves_no_folder(trained, tmp_path, capsys, command, tempo):
    midi.write_midi(melody_of(72, 72, 74, 76), tmp_path / "melody.mid")
    given = {"generate": ["--prompt_length=5"], "harmonize": [str(tmp_path / "melody.mid")]}[command]
    assert main([command, str(trained), *given, "--out", str(tmp_path / "out"), f"--tempo={tempo}"]) == 2
    expected = f"tempo must be from 4 to 1000 quarter notes per minute, got {float(tempo)}. Change tempo."
    assert capsys.readouterr().err == f"linmem {command}: {expected}\n"
    assert not (tmp_path / "out").exists()


def test_audio_and_midi_take_the_same_tempi(tmp_path):
    score = Score([Note(0, 1, 60)], 1, 1)
    least, most = TEMPI
    for tempo in TEMPI:
        synthesize(score, tempo)
        write_score(score, tmp_path / "a.mid", tempo)
    for tempo in (least - 0.1, most + 1):
        for write in (synthesize, lambda *given: write_score(given[0], tmp_path / "b.mid", given[1])):
            with pytest.raises(ValueError, match=f"tempo must be from 4 to 1000 quarter notes per minute, got {tempo}"):
                write(score, tempo)


@pytest.mark.parametrize(
    ("pitches", "message"),
    [
        ([100], "melody must lie between MIDI notes"),
        ([60, 64], "melody must have one note at a time, got 2 at step 0"),
        ([], "melody must have at least one note, got none"),
    ],
)
def test_bad_files_end_with_one_line(trained, tmp_path, capsys, pitches, message):
    write_score(Score([Note(0, 480, pitch) for pitch in pitches], 480, 480), tmp_path / "bad.mid", 90.0, ["melody"])
    assert main(["harmonize", str(trained), str(tmp_path / "bad.mid")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_file_without_bytes_ends_with_one_line(trained, tmp_path, capsys):
    (tmp_path / "empty.mid").write_bytes(b"")
    assert main(["harmonize", str(trained), str(tmp_path / "empty.mid")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def foreign_file(path, ticks, seed):
    """Two tracks after a track of tempo changes, as other programs write them."""
    mido = pytest.importorskip("mido")
    conductor = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=500_000), mido.MetaMessage("time_signature")])
    conductor.append(mido.MetaMessage("set_tempo", tempo=300_000, time=8 * ticks))
    tracks = [conductor]
    for channel, base in enumerate((67, 52)):
        track = mido.MidiTrack([mido.Message("program_change", program=19, channel=channel)])
        for step in range(20):
            pitch = base + (seed * step * 5 + channel) % 12
            track.append(mido.Message("note_on", note=pitch, channel=channel, time=0))
            track.append(mido.Message("note_on", note=pitch, velocity=0, channel=channel, time=ticks))
        tracks.append(track)
    mido.MidiFile(tracks=tracks, ticks_per_beat=ticks).save(path)


def test_a_folder_of_foreign_files_is_learned_continued_and_harmonized(tmp_path, capsys):
    (tmp_path / "foreign").mkdir()
    for seed, ticks in enumerate((96, 120, 480, 10_080, 24, 960)):
        foreign_file(tmp_path / "foreign" / f"{seed}.mid", ticks, seed + 1)
    run = str(tmp_path / "run")
    options = "--model=solved --readout=nade --hidden_size=6 --memory_size=8 --nade_size=6 --max_epochs=1"
    assert main(["train", str(tmp_path / "foreign"), "--out", run, *options.split()]) == 0
    piece = str(tmp_path / "foreign" / "3.mid")
    assert main(["generate", run, "--piece", piece, "--prompt_length=4", "--steps=3"]) == 0
    midi.write_midi(melody_of(72, 72, 74, 76), tmp_path / "melody.mid")
    assert main(["harmonize", run, str(tmp_path / "melody.mid")]) == 0
    written = [line for line in capsys.readouterr().out.split() if line.endswith(".mid")]
    assert [len(midi.piano_roll(path)) for path in written] == [7, 4]


def test_a_melody_is_read_in_the_steps_of_the_run(tmp_path, capsys):
    (tmp_path / "foreign").mkdir()
    for seed in range(6):
        foreign_file(tmp_path / "foreign" / f"{seed}.mid", 96, seed + 1)
    run = str(tmp_path / "run")
    options = "--steps_per_quarter=2 --readout=nade --hidden_size=6 --memory_size=8 --nade_size=6 --max_epochs=1"
    assert main(["train", str(tmp_path / "foreign"), "--out", run, *options.split()]) == 0
    melody = melody_of(72, 74, 76, 74)
    midi.write_midi(melody, tmp_path / "melody.mid", steps_per_quarter=2)
    capsys.readouterr()
    assert main(["harmonize", run, str(tmp_path / "melody.mid")]) == 0
    written = midi.piano_roll(capsys.readouterr().out.split()[0], 2)
    assert [int(frame.nonzero().max()) for frame in written] == melody.argmax(1).tolist()
