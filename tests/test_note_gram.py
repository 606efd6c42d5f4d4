"""N-grams of single notes: rates are counts, longer contexts know more, and nothing is ever certain."""

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from linmem.nn.baselines import NoteGram


def rolls(lengths=(30, 1, 12), notes=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    chance = torch.tensor([0.5, 0.1, 0.9, 0.0])[:notes]
    return [(torch.rand(length, notes, generator=generator) < chance).float() for length in lengths]


def pairs(sequences):
    return [x[:-1] for x in sequences if len(x) > 1], [x[1:] for x in sequences if len(x) > 1]


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_rates_are_counts_written_out(order):
    inputs, targets = pairs(rolls())
    model, smoothing = NoteGram(inputs, targets, order, 2.0), 2.0
    seen, sounded = {}, {}
    for x, y in zip(inputs, targets, strict=True):
        for t in range(len(x)):
            for j in range(4):
                past = tuple(int(x[t - i, j]) if t >= i else 0 for i in range(order - 1))
                for key in ((past, j), past):
                    seen[key] = seen.get(key, 0) + 1
                    sounded[key] = sounded.get(key, 0) + int(y[t, j])
    for x in inputs:
        logits, _ = model(x)
        for t in range(len(x)):
            for j in range(4):
                past = tuple(int(x[t - i, j]) if t >= i else 0 for i in range(order - 1))
                rate = (sounded[past] + 0.5) / (seen[past] + 1)
                expected = (sounded[past, j] + smoothing * rate) / (seen[past, j] + smoothing)
                assert float(logits[t, j].sigmoid()) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_chunks_layouts_and_batches_agree(order):
    model = NoteGram(*pairs(rolls()), order)
    x = torch.stack(rolls((17, 17), seed=3))
    y, last = model(x)
    state, chunks = None, []
    for chunk in x.split([1, 5, 3, 8], 1):
        part, state = model(chunk, state)
        chunks.append(part)
    assert torch.equal(torch.cat(chunks, 1), y)
    assert torch.equal(state, last)
    assert torch.equal(model(x[1])[0], y[1])
    twin = NoteGram(*pairs(rolls(seed=8)), order)
    twin.load_state_dict(model.state_dict())
    assert torch.equal(twin(x)[0], y)


def test_alternation_in_pairs_is_predicted_from_two_frames_and_not_from_one():
    notes = torch.tensor([[0.0], [0], [1], [1]]).repeat(50, 1)
    loss = {}
    for order in (1, 2, 3):
        inputs, targets = pairs([notes])
        logits, _ = NoteGram(inputs, targets, order)(inputs[0])
        loss[order] = float(binary_cross_entropy_with_logits(logits, targets[0]))
    assert loss[1] == pytest.approx(loss[2], abs=0.01)
    assert loss[2] == pytest.approx(0.693, abs=0.01)
    assert loss[3] < 0.05


def test_a_note_that_never_sounds_has_a_positive_rate():
    logits, _ = NoteGram(*pairs(rolls()), 3)(rolls()[0])
    assert torch.isfinite(logits).all()
    assert (logits[:, 3] < -2).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((0,), "order must be at least 1"), ((2, 0.0), "smoothing must be greater than 0, got 0.0")],
)
def test_wrong_arguments_raise(arguments, message):
    with pytest.raises(ValueError, match=message):
        NoteGram(*pairs(rolls()), *arguments)
