"""Continuation: a certain model is followed to the letter, chance obeys its seed, and bad input is answered."""

import pytest
import torch
from torch import nn

from linmem.music.generate import continue_piece
from linmem.nn.registry import ModelOptions, build_model
from linmem.nn.sequence_model import SequenceModel
from linmem.nn.unfolded import UnfoldedNetwork


class Echo(nn.Module):
    """A layer whose output is its input, and whose state counts the steps."""

    def forward(self, x, state=None):
        return x, (0 if state is None else state) + x.shape[1]


def turning(notes=4):
    """Sounds, with certainty, the note above the last one."""
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
def test_the_state_goes_on_from_what_was_heard(name):
    model = build_model(ModelOptions(name, 5, 6), 4, 4)
    prompt = (torch.rand(7, 4, generator=torch.Generator().manual_seed(0)) < 0.5).float()
    drawn = continue_piece(model, prompt, 5, temperature=1e-6)
    heard = prompt
    for frame in drawn:  # near temperature 0: what all of it so far makes likely
        with torch.no_grad():
            assert torch.equal(frame, (model(heard[None])[0][0, -1] > 0).float())
        heard = torch.cat([heard, frame[None]])


def test_seed_voices_and_temperature():
    model = build_model(ModelOptions("lmn-b", 5, 6), 12, 12)
    prompt = torch.zeros(2, 12)
    first, again, other = (continue_piece(model, prompt, 30, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.sum(1).max() > 3
    assert continue_piece(model, prompt, 30, seed=1, voices=3).sum(1).max() == 3


def test_it_leaves_mode_and_generator_as_they_were():
    model = build_model(ModelOptions("lmn-b", 5, 6, input_dropout=0.5), 4, 4).train()
    before = torch.get_rng_state()
    continue_piece(model, torch.zeros(2, 4), 3)
    assert model.training
    assert torch.equal(before, torch.get_rng_state())


def test_bad_input():
    model = build_model(ModelOptions("lmn-b", 5, 6), 4, 4)
    with pytest.raises(ValueError, match="steps is 0: a number above 0"):
        continue_piece(model, torch.zeros(2, 4), 0)
    with pytest.raises(ValueError, match="temperature is -1"):
        continue_piece(model, torch.zeros(2, 4), 3, temperature=-1)
    with pytest.raises(ValueError, match="prompt length is 0"):
        continue_piece(model, torch.zeros(0, 4), 3)
    with pytest.raises(ValueError, match="a UnfoldedNetwork carries no state"):
        continue_piece(UnfoldedNetwork(4, 3, 4), torch.zeros(2, 4), 3)
