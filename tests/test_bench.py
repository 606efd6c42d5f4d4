"""Speed measurement: medians over rounds, complete training steps, and an unchanged random generator."""

from itertools import count

import pytest
import torch

from linmem.analysis import layer_speed

SMALL = (layer_speed.Size(3, 2, 2, 3, 4),)


def test_the_median_excludes_the_first_round_and_layers_alternate():
    now, turns = [0.0], []

    def taking(name, times):
        rest = iter(times)

        def run():
            turns.append(name)
            now[0] += next(rest)

        return run

    runs = {"a": taking("a", [100.0, 1.0, 9.0, 2.0]), "b": taking("b", [100.0, 5.0, 5.0, 7.0])}
    assert layer_speed.medians(runs, 3, lambda: now[0]) == {"a": 2000.0, "b": 5000.0}
    assert turns == ["a", "b"] * 4


def test_a_training_step_fills_all_gradients():
    layer = torch.nn.LSTM(2, 3)
    run = layer_speed.training_step(layer, 4, 2, 2)
    run()
    first = [weight.grad.clone() for weight in layer.parameters()]
    assert all(grad.abs().sum() > 0 for grad in first)
    run()  # gradients are replaced, not added
    assert all(torch.equal(a, b.grad) for a, b in zip(first, layer.parameters(), strict=True))


def test_a_step_of_inference_is_a_step_of_the_sequence():
    torch.manual_seed(0)
    seen = []
    run = layer_speed._repeated(lambda m: seen.append(m) or m + 1, 0)
    run()
    assert seen == list(range(layer_speed.REPEATS))


def test_rows_hold_every_layer_and_the_table_its_ratios(monkeypatch):
    clock = count(0.0, 0.5)
    monkeypatch.setitem(layer_speed.CLOCKS, "wall", lambda: next(clock))
    before = torch.get_rng_state()
    rows = layer_speed.measure(SMALL, rounds=2)
    assert torch.equal(before, torch.get_rng_state())
    layers = ["LMN", "LSTM(f+p)", "LSTM(p)", "GRU(f+p)", "RNN(f+p)"]
    assert [list(row) for row in rows] == [["what", *layer_speed.Size._fields, *layers]] * 2
    assert [row["LMN"] for row in rows] == [500.0, 500.0 / layer_speed.REPEATS]
    text = layer_speed.table(rows)
    assert text.count("3, 2, 2, (3, 4)") == 1
    assert text.count(" 1.00 |") == 4  # both LSTMs take as long as the LMN by this clock
    assert layer_speed.table(rows[:1]).count("LMN") == 3


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"rounds": 0}, "must be at least 1, got 0 and 1"),
        ({"sizes": ()}, "must be at least 1, got 5 and 0"),
        ({"clock": "sun"}, "clock must be one of 'wall', 'cpu', got 'sun'"),
        ({"clock": "cpu", "device": "cuda"}, "clock must be 'wall' on cuda, got 'cpu'"),
    ],
)
def test_wrong_options_raise_a_clear_error(wrong, message):
    with pytest.raises(ValueError, match=message):
        layer_speed.measure(**{"sizes": SMALL} | wrong)
