"""Continuation and sampling: exact distributions, seeds, voices, and the files of `generate`."""

import itertools
import wave

import numpy as np
import pytest
import torch
from torch import nn

from linmem.data import chorales, midi
from linmem.data.midi_file import Note, Score, read_score
from linmem.music.audio import synthesize, write_wav
from linmem.music.continuation import continue_piece
from linmem.music.generate import write_music
from linmem.music.sampling import SamplingOptions, check_options, sample_frame
from linmem.music.voices import assign_voices, voice_score
from linmem.nn.registry import ModelOptions, build_model
from linmem.nn.sequence_model import SequenceModel
from linmem.nn.unfolded import UnfoldedNetwork


class Echo(nn.Module):
    """A layer whose output is its input, and whose state counts the steps."""

    def forward(self, x, state=None):
        return x, (0 if state is None else state) + x.shape[1]


def turning(notes=4):
    """Return a model that predicts the note above the last one with certainty."""
    readout = nn.Linear(notes, notes)
    with torch.no_grad():
        readout.weight.copy_(200 * torch.eye(notes).roll(1, 0))
        readout.bias.fill_(-100)
    return SequenceModel(Echo(), readout)


def test_a_certain_model_is_followed():
    drawn = continue_piece(turning(), torch.eye(4)[[2]], 6)
    assert drawn.argmax(1).tolist() == [3, 0, 1, 2, 3, 0]
    assert torch.equal(drawn.sum(1), torch.ones(6))


@pytest.mark.parametrize("name", ["lmn-a", "lmn-b", "lstm", "gru", "rnn"])
def test_the_state_continues_from_the_prompt(name):
    model = build_model(ModelOptions(name, 5, 6), 4, 4)
    prompt = (torch.rand(7, 4, generator=torch.Generator().manual_seed(0)) < 0.5).float()
    drawn = continue_piece(model, prompt, 5, SamplingOptions(temperature=1e-6))
    past = prompt
    for frame in drawn:  # near temperature 0: the most probable frame given the past
        with torch.no_grad():
            assert torch.equal(frame, (model(past[None])[0][0, -1] > 0).float())
        past = torch.cat([past, frame[None]])


def test_seed_voices_and_temperature():
    model = build_model(ModelOptions("lmn-b", 5, 6), 12, 12)
    prompt = torch.zeros(2, 12)
    first, again, other = (continue_piece(model, prompt, 30, SamplingOptions(seed=seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.sum(1).max() > 3
    assert continue_piece(model, prompt, 30, SamplingOptions(seed=1, max_voices=3)).sum(1).max() == 3
    assert continue_piece(model, prompt, 30, SamplingOptions(seed=1, voices=3)).sum(1).eq(3).all()


def test_mode_and_global_generator_stay_unchanged():
    model = build_model(ModelOptions("lmn-b", 5, 6, input_dropout=0.5), 4, 4).train()
    before = torch.get_rng_state()
    continue_piece(model, torch.zeros(2, 4), 3)
    assert model.training
    assert torch.equal(before, torch.get_rng_state())
    with pytest.raises(ValueError, match="features in its last dimension, got 5"):
        continue_piece(model, torch.zeros(2, 5), 3)
    assert model.training


def test_bad_input():
    model = build_model(ModelOptions("lmn-b", 5, 6), 4, 4)
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        continue_piece(model, torch.zeros(2, 4), 0)
    with pytest.raises(ValueError, match="temperature must be above 0, got -1"):
        continue_piece(model, torch.zeros(2, 4), 3, SamplingOptions(temperature=-1))
    with pytest.raises(ValueError, match="prompt length must be at least 1, got 0"):
        continue_piece(model, torch.zeros(0, 4), 3)
    with pytest.raises(ValueError, match="model must carry a state between frames, got a UnfoldedNetwork"):
        continue_piece(UnfoldedNetwork(4, 3, 4), torch.zeros(2, 4), 3)


# -- sampling of a frame -----------------------------------------------------------------------------------------------


def enumerated(logits, allowed):
    """Probabilities of all frames of the allowed numbers of notes, by enumeration."""
    weights = {}
    for frame in itertools.product((0, 1), repeat=len(logits)):
        if sum(frame) in allowed:
            weights[frame] = float(np.exp(sum(z * x for z, x in zip(logits.tolist(), frame, strict=True))))
    total = sum(weights.values())
    return {frame: weight / total for frame, weight in weights.items()}


@pytest.mark.parametrize(
    ("options", "allowed"),
    [
        (SamplingOptions(), range(6)),
        (SamplingOptions(voices=2), [2]),
        (SamplingOptions(voices=5), [5]),
        (SamplingOptions(max_voices=2), range(3)),
    ],
)
def test_frames_have_the_enumerated_distribution(options, allowed):
    logits = torch.tensor([1.5, -0.5, 0.0, -2.0, 0.7])
    expected = enumerated(logits, allowed)
    generator, count = torch.Generator().manual_seed(0), 4000
    found = dict.fromkeys(expected, 0)
    for _ in range(count):
        found[tuple(sample_frame(logits, options, generator).int().tolist())] += 1
    for frame, probability in expected.items():  # five standard deviations of a binomial share
        assert abs(found[frame] / count - probability) <= 5 * (probability * (1 - probability) / count) ** 0.5 + 1e-9


def test_temperature_scales_the_logits():
    logits, draws = torch.tensor([1.5, -0.5, 0.3]), []
    for options, scale in ((SamplingOptions(temperature=2.0), 1.0), (SamplingOptions(), 0.5)):
        generator = torch.Generator().manual_seed(3)
        draws.append([sample_frame(scale * logits, options, generator) for _ in range(50)])
    assert all(torch.equal(x, y) for x, y in zip(*draws, strict=True))


def test_top_p_removes_improbable_outcomes():
    logits = torch.logit(torch.tensor([0.97, 0.04, 0.5, 0.2]))
    generator = torch.Generator().manual_seed(0)
    frames = torch.stack([sample_frame(logits, SamplingOptions(top_p=0.95), generator) for _ in range(300)])
    assert frames[:, 0].all()  # 0.03 lies outside the nucleus of 0.95
    assert not frames[:, 1].any()
    assert 0 < frames[:, 2].sum() < 300
    assert 0 < frames[:, 3].sum() < 300
    exact = [sample_frame(logits, SamplingOptions(top_p=0.95, voices=3), generator) for _ in range(50)]
    assert all(frame.tolist() == [True, False, True, True] for frame in exact)


@pytest.mark.parametrize("top_p", [0.4, 0.2, 1e-300])
def test_the_most_probable_outcome_is_always_in_the_nucleus(top_p):
    logits = torch.logit(torch.tensor([0.6, 0.95, 0.4, 0.01]))
    generator = torch.Generator().manual_seed(0)
    frames = [sample_frame(logits, SamplingOptions(top_p=top_p), generator).tolist() for _ in range(20)]
    assert frames == [[True, True, False, False]] * 20


def test_extreme_logits_are_sampled():
    logits = torch.tensor([500.0, -500.0, -500.0, -501.0])
    for options in (SamplingOptions(voices=2, temperature=0.01), SamplingOptions(voices=2, top_p=0.9)):
        assert sample_frame(logits, options, torch.Generator()).sum() == 2
    assert sample_frame(logits, SamplingOptions(max_voices=4), torch.Generator()).tolist() == [
        True,
        False,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (SamplingOptions(temperature=0), "temperature must be above 0"),
        (SamplingOptions(temperature=float("nan")), "temperature must be above 0"),
        (SamplingOptions(top_p=0), "top_p must be above 0"),
        (SamplingOptions(top_p=1.1), "top_p must be above 0 and at most 1"),
        (SamplingOptions(voices=0), r"voices must be from 1 to the number of notes \(8\), got 0"),
        (SamplingOptions(max_voices=9), r"max_voices must be from 1 .* got 9"),
        (SamplingOptions(voices=2, max_voices=3), "voices must not be given together with max_voices"),
    ],
)
def test_sampling_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        check_options(options, 8)


def test_onsets_belong_to_active_notes_and_begin_every_run():
    model = build_model(ModelOptions("lmn-b", 5, 6), 176, 176)
    roll = continue_piece(model, torch.zeros(1, 176), 20, SamplingOptions(max_voices=6))
    active, onset = roll[:, :88].bool(), roll[:, 88:].bool()
    before = torch.cat([torch.zeros(1, 88, dtype=torch.bool), active[:-1]])
    assert active.any()
    assert not (onset & ~active).any()
    assert (onset | ~active | before).all()


@pytest.mark.parametrize("notes", [88, 176])
def test_a_joint_model_is_sampled_from_its_distribution(notes):
    model = build_model(ModelOptions("lmn-b", 5, 6, readout="nade"), notes, notes)
    prompt = torch.zeros(3, notes)
    first, again = (continue_piece(model, prompt, 6, SamplingOptions(seed=2)) for _ in range(2))
    assert torch.equal(first, again)
    if notes == 176:
        assert not (first[:, 88:] > first[:, :88]).any()
        assert continue_piece(model, prompt, 6, SamplingOptions(voices=4))[:, :88].sum(1).tolist() == [4] * 6
        return
    assert continue_piece(model, prompt, 6, SamplingOptions(voices=4)).sum(1).tolist() == [4] * 6
    assert continue_piece(model, prompt, 6, SamplingOptions(max_voices=2)).sum(1).max() <= 2
    with torch.no_grad():  # the first frame is one draw from the model's distribution with the same generator
        outputs, _ = model.eval()(prompt[None])
    expected = outputs[0, -1].sample(generator=torch.Generator().manual_seed(2))
    assert torch.equal(first[0], expected)


# -- voices and audio --------------------------------------------------------------------------------------------------


def frames(*rows):
    roll = torch.zeros(len(rows), 88)
    for step, pitches in enumerate(rows):
        roll[step, [pitch - 21 for pitch in pitches]] = 1
    return roll


def test_voices_move_as_little_as_possible():
    """Oracle: the least movement over all assignments of the notes of a frame."""
    random = np.random.default_rng(0)
    pitches = [sorted(random.choice(np.arange(48, 72), 3, replace=False).tolist(), reverse=True) for _ in range(20)]
    lines = assign_voices(frames(*pitches), 3)
    assert lines[0].tolist() == pitches[0]
    for before, after, notes in zip(lines, lines[1:], pitches[1:], strict=False):
        least = min(np.abs(np.array(order) - before).sum() for order in itertools.permutations(notes))
        assert sorted(after.tolist(), reverse=True) == notes
        assert np.abs(after - before).sum() == least
        assert after.tolist() == notes  # no movement is shorter when voices cross


def test_voices_of_the_chorales_are_found():
    """The file of `chorales` holds the four voices of every quarter; unisons and crossings are the rest."""
    with np.load(chorales.FILE) as stored:
        voices, lengths = stored["voices"].astype(int), stored["lengths"]
    true = np.split(voices, np.cumsum(lengths)[:-1])[::40]
    found = [assign_voices(chorales.roll_of(torch.from_numpy(piece))) for piece in true]
    assert np.mean([(a == b).mean() for a, b in zip(found, true, strict=True)]) > 0.9


def test_a_voice_without_a_note_rests_and_returns():
    lines = assign_voices(frames((72, 60, 48), (72, 47), (), (71, 61, 48)), 3)
    assert lines.tolist() == [[72, 60, 48], [72, 0, 47], [0, 0, 0], [71, 61, 48]]
    with pytest.raises(ValueError, match="at most 2 notes per frame, got 3 at step 0. Raise voices"):
        assign_voices(frames((72, 60, 48)), 2)


def test_four_voices_are_four_tracks(tmp_path):
    roll = frames((72, 67, 64, 48), (72, 69, 65, 41), (71, 67, 62, 43))
    write_music(roll, tmp_path / "a.mid", tmp_path / "a.wav", voices=4)
    score = read_score(tmp_path / "a.mid")
    quarter = score.resolution
    tracks = [
        [(note.pitch, note.onset // quarter, note.end // quarter) for note in score.notes if note.track == i + 1]
        for i in range(4)
    ]
    assert tracks == [
        [(72, 0, 2), (71, 2, 3)],
        [(67, 0, 1), (69, 1, 2), (67, 2, 3)],
        [(64, 0, 1), (65, 1, 2), (62, 2, 3)],
        [(48, 0, 1), (41, 1, 2), (43, 2, 3)],
    ]
    assert torch.equal(midi.piano_roll(tmp_path / "a.mid"), roll)
    write_music(frames((72, 67, 64, 48, 40)), tmp_path / "b.mid", tmp_path / "b.wav", voices=4)
    assert {note.track for note in read_score(tmp_path / "b.mid").notes} == {1}


def test_voices_keep_repeated_notes_apart():
    active = frames((60, 48), (60, 48), (60, 48))
    onsets = frames((60, 48), (60,), ())
    notes = voice_score(torch.cat([active, onsets], 1), 2).notes
    assert [(note.pitch, note.track) for note in notes] == [(60, 0), (48, 1), (60, 0)]


def test_audio_has_the_pitch_and_length_of_the_notes(tmp_path):
    samples = synthesize(Score([Note(0, 2, 69)], 1), tempo=60, rate=8000)
    assert len(samples) == 2.5 * 8000
    spectrum = np.abs(np.fft.rfft(samples[:16000]))
    assert abs(int(spectrum.argmax()) / 2 - 440) <= 0.5  # half a hertz per bin
    assert np.abs(samples).max() == pytest.approx(0.8)
    assert np.abs(samples[-2000:]).max() == 0  # silence after the release
    write_wav(samples, tmp_path / "a.wav", 8000)
    with wave.open(str(tmp_path / "a.wav")) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate(), file.getnframes()) == (1, 2, 8000, 20000)
        stored = np.frombuffer(file.readframes(20000), "<i2") / 32767
    np.testing.assert_allclose(stored, samples, atol=1 / 32767)


def test_audio_of_silence_and_beyond_the_limit(monkeypatch):
    assert not synthesize(Score([], 1, 2), rate=8000).any()
    monkeypatch.setenv("LINMEM_MAX_BYTES", "1000")
    with pytest.raises(ValueError, match="audio of the score must need at most 1,000 bytes"):
        synthesize(Score([Note(0, 10, 60)], 1))
