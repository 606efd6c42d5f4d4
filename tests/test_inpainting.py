"""Inpainting, beam search and reweighting to a mixture: enumeration of small frames, seeds, commands, failure."""

import itertools

import pytest
import torch

from linmem.cli.main import main
from linmem.data import midi
from linmem.music.beam import beam_search, probable_frames
from linmem.music.harmonize import harmonize_melody
from linmem.music.inpainting import inpaint
from linmem.music.sampling import SamplingOptions
from linmem.nn.nade import Voices
from linmem.nn.nade.reference import enumerate_frames
from linmem.nn.registry import ModelOptions, build_model
from linmem.nn.unfolded import UnfoldedNetwork

D = 5
FREE = SamplingOptions()


def model_of(notes=D, orders=2, readout="nade", name="lstm", kind="windows"):
    options = ModelOptions(
        name, 5, 6, readout=readout, nade_size=8, nade_orders=orders, nade_kind=kind, note_order="descending"
    )
    model = build_model(options, notes, notes).eval()
    with torch.no_grad():
        for parameter in model.readout.parameters():
            parameter.mul_(3)
    return model


def probabilities(outputs, x):
    with torch.no_grad():
        return torch.exp(-outputs[[0] * len(x)].nll(x)).double()


@pytest.mark.parametrize("orders", [1, 2])
def test_voices_below_a_note_follow_the_mixture_given_the_note(orders):
    model = model_of(orders=orders)
    with torch.no_grad():
        outputs = model(torch.ones(1, 1, D))[0][0]
    x = enumerate_frames(4, torch.float32)
    x = torch.cat([x, torch.ones(len(x), 1)], 1)
    p = probabilities(outputs, x)
    p /= p.sum()
    given = torch.tensor([torch.nan] * 4 + [1.0])
    generator = torch.Generator().manual_seed(0)
    drawn = torch.stack([outputs[0].sample_below(given, generator=generator) for _ in range(200)])
    counts = torch.bincount((drawn[:, :4] @ torch.tensor([8.0, 4, 2, 1])).long(), minlength=16)
    assert (drawn[:, 4] == 1).all()
    assert ((counts / 200 - p).abs() / (p * (1 - p) / 200).sqrt()).max() < 4.5


@pytest.mark.parametrize("orders", [1, 2])
@pytest.mark.parametrize("voices", [Voices(), Voices(minimum=3, maximum=3), Voices(maximum=2)])
def test_a_wide_beam_over_the_notes_is_the_enumeration(orders, voices):
    with torch.no_grad():
        outputs = model_of(7, orders)(torch.ones(1, 1, 7))[0][0]
        found = probable_frames(outputs[0], 5, voices, 64)
    x = enumerate_frames(7, torch.float32)
    count, limit = x.sum(1), 7 if voices.maximum is None else voices.maximum
    x = x[(x[:, 5] == 1) & (x[:, 6] == 0) & (count >= voices.minimum) & (count <= limit)]
    p = probabilities(outputs, x).sort(descending=True).values
    assert len(found.frames) == len(x)
    torch.testing.assert_close(found.log_p, p.log(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(probabilities(outputs, found.frames), p, rtol=1e-5, atol=1e-6)
    narrow = probable_frames(outputs[0], 5, voices, 3)
    assert len(narrow.frames) == min(3, len(x))
    assert narrow.log_p[0] <= found.log_p[0] + 1e-6


def test_a_wide_beam_over_the_steps_finds_the_most_probable_harmonization():
    model, melody = model_of(4), torch.eye(4)[[3, 2, 3]]
    best, best_score = None, -torch.inf
    choices = []
    for note in (3, 2, 3):
        x = enumerate_frames(4, torch.float32)
        choices.append([frame for frame in x if frame[note] == 1 and not frame[note + 1 :].any()])
    for frames in itertools.product(*choices):
        roll = torch.stack([melody[0], *frames])
        with torch.no_grad():
            score = -float(model(roll[None, :-1])[0].nll(roll[None, 1:]).sum())
        if score > best_score:
            best, best_score = roll[1:], score
    assert torch.equal(beam_search(model, melody[0], melody, Voices(), 64), best)


def test_harmonizations_by_beam_keep_melody_voices_and_rests():
    model = model_of(88)
    melody = torch.zeros(4, 88)
    melody[[0, 1, 3], [50, 50, 52]] = 1
    roll = harmonize_melody(model, melody, beam=2)
    assert roll.sum(1).tolist() == [4, 4, 0, 4]
    assert (87 - roll[[0, 1, 3]].flip(1).argmax(1)).tolist() == [50, 50, 52]
    assert torch.equal(roll, harmonize_melody(model, melody, SamplingOptions(voices=4, seed=9), beam=2))
    with pytest.raises(ValueError, match="beam must be at least 0, got -1"):
        harmonize_melody(model, melody, beam=-1)


@pytest.mark.parametrize("readout", ["nade", "linear"])
def test_inpainted_frames_follow_the_distribution_given_past_and_future(readout):
    model = model_of(3, readout=readout, kind="windows" if readout == "nade" else "plain")
    piece = (torch.rand(6, 3, generator=torch.Generator().manual_seed(1)) < 0.5).float()
    x = enumerate_frames(3, torch.float32)
    joint = []
    for frame in x:
        whole = piece.clone()
        whole[2] = frame
        with torch.no_grad():
            outputs, _ = model(whole[None, :-1])
        if readout == "nade":
            nll = outputs.nll(whole[None, 1:])[0, 1:].detach()
        else:
            nll = torch.nn.functional.binary_cross_entropy_with_logits(outputs, whole[None, 1:], reduction="none")
            nll = nll[0, 1:].sum(1)
        joint.append(float(-nll.sum()))
    p = torch.softmax(torch.tensor(joint, dtype=torch.float64), 0)
    drawn = torch.stack([inpaint(model, piece, 2, 3, SamplingOptions(seed=seed), 64).roll[2] for seed in range(120)])
    counts = torch.bincount((drawn @ torch.tensor([4.0, 2, 1])).long(), minlength=8)
    error = (p * (1 - p) / 120).sqrt() + 0.005  # 64 candidates are not infinitely many
    assert ((counts / 120 - p).abs() / error).max() < 4.5


@pytest.mark.parametrize("name", ["lstm", "lmn-b", "solved"])
def test_only_the_range_changes_and_seeds_repeat(name):
    model = model_of(12, name=name)
    piece = (torch.rand(20, 12, generator=torch.Generator().manual_seed(1)) < 0.3).float()
    first, again, other = (inpaint(model, piece, 4, 9, SamplingOptions(voices=3, seed=seed), 8) for seed in (1, 1, 2))
    assert torch.equal(first.roll, again.roll)
    assert not torch.equal(first.roll, other.roll)
    assert torch.equal(first.roll[:4], piece[:4])
    assert torch.equal(first.roll[9:], piece[9:])
    assert (first.roll[4:9].sum(1) == 3).all()
    assert 1 <= first.effective_candidates <= 8
    end = inpaint(model, piece, 15, 20, FREE, 4)
    assert end.effective_candidates == pytest.approx(4)  # nothing after the range: all weights are equal


def test_inpainting_keeps_onsets_at_active_notes():
    piece = torch.zeros(6, 176)
    roll = inpaint(model_of(176), piece, 2, 4, SamplingOptions(voices=4), 2).roll
    assert (roll[2:4, :88].sum(1) == 4).all()
    assert (roll[:, 88:] <= roll[:, :88]).all()


@pytest.mark.parametrize(("first", "last"), [(0, 2), (3, 3), (4, 2), (2, 7)])
def test_ranges_outside_the_piece_are_refused(first, last):
    with pytest.raises(ValueError, match="1 <= FIRST < LAST <= 6, the steps of the piece, got"):
        inpaint(model_of(), torch.zeros(6, D), first, last)


def test_unsuitable_models_and_numbers_are_refused():
    with pytest.raises(ValueError, match="model must carry a state between frames, got a UnfoldedNetwork"):
        inpaint(UnfoldedNetwork(4, 3, 4), torch.zeros(6, 4), 1, 2)
    with pytest.raises(ValueError, match="candidates must be at least 1, got 0"):
        inpaint(model_of(), torch.zeros(6, D), 1, 2, candidates=0)
    ascending = build_model(ModelOptions("lstm", 5, readout="nade", nade_size=4, note_order="ascending"), D, D)
    with torch.no_grad():
        outputs = ascending(torch.zeros(1, 1, D))[0][0, 0]
    with pytest.raises(ValueError, match="must have a descending chain"):
        outputs.sample_below(torch.ones(D))
    with pytest.raises(ValueError, match="must have a descending chain"):
        probable_frames(outputs, 3, Voices(), 2)


def test_the_commands_take_a_range_and_a_beam(tmp_path, capsys):
    run = str(tmp_path / "run")
    options = "--model=solved --hidden_size=6 --memory_size=8 --readout=nade --nade_size=6 --max_epochs=1"
    more = "--nade_orders=2 --nade_kind=windows"
    assert main(["train", "chorales:8:2:2", "--out", run, *options.split(), *more.split()]) == 0
    melody = torch.zeros(3, 88)
    melody[range(3), [51, 51, 53]] = 1
    midi.write_midi(melody, tmp_path / "melody.mid")
    capsys.readouterr()
    assert main(["harmonize", run, str(tmp_path / "melody.mid"), "--beam=2"]) == 0
    assert main(["generate", run, "--inpaint=5:9", "--candidates=4", "--voices=4"]) == 0
    names = [line.rsplit("/", 1)[1] for line in capsys.readouterr().out.split()]
    assert names == [f"{kind}.{end}" for kind in ("harmonization", "inpainting") for end in ("mid", "wav", "png")]
    assert main(["generate", run, "--inpaint=9", "--force"]) == 2
    error = capsys.readouterr().err
    assert "inpaint must be FIRST:LAST, two whole numbers, got '9'" in error
    assert error.count("\n") == 1
