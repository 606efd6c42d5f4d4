"""The experiment on gradients: known cases, resumed work, and tables of any beginning of a run."""

import pytest
import torch

from linmem import data
from linmem.experiments.gradients import experiment as gradients
from linmem.experiments.gradients import summary
from linmem.experiments.gradients.norms import norms, reach
from linmem.nn.registry import ModelOptions, build_model

SMOKE = gradients.GRIDS["smoke"]


@pytest.fixture(scope="module")
def lines(tmp_path_factory):
    work = tmp_path_factory.mktemp("work")
    return work, list(gradients.run(SMOKE, 0, work))


def test_an_orthogonal_memory_alone_loses_nothing_and_the_model_is_left_as_it_was():
    model = build_model(ModelOptions("lmn-orthogonal", 4, 6), 1, 10)
    with torch.no_grad():
        model.recurrent.weight_mh_l0.zero_()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    splits = data.load("digits")
    found = norms(model, torch.stack(splits.valid[:3]), splits.labels["valid"][:3])
    torch.testing.assert_close(found["m"] / found["m"][-1], torch.ones(63, dtype=torch.float64), rtol=1e-5, atol=0)
    assert reach(found["m"]) == 63
    assert model.recurrent.batch_first
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_reach_counts_back_to_where_a_gradient_is_lost():
    memory_decay = 0.1 ** torch.arange(20.0, dtype=torch.float64).flip(0)
    assert reach(1.0001 * memory_decay + 1e-12) == 3  # the last, a tenth, a hundredth and a bit
    assert reach(torch.ones(20)) == 20


def test_a_solved_memory_names_digits_before_training_and_its_gradient_does_not_grow(lines):
    start = {line["model"]: line for line in lines[1] if line["epoch"] == 0}
    assert start.keys() == gradients.MODELS.keys()
    assert start["LMN-B, LAES"]["valid_nll"] < start["LMN-B"]["valid_nll"] - 0.1
    assert start["LMN-B, LAES"]["radius"] <= 1  # ‖B‖ ≤ 1, and W_mh = 0: nothing can grow
    assert start["LMN-B, LAES"]["first_to_last_log10"]["m"] <= 0
    assert start["LMN-B, LAES"]["norms_log10"] == start["LMN-B, LAES, detach 1"]["norms_log10"]
    assert start["RNN"]["first_to_last_log10"]["h"] < start["LSTM"]["first_to_last_log10"]["(h, c)"] < -3


def test_training_moves_the_gradients_and_what_was_measured_is_not_measured_again(lines, monkeypatch):
    work, found = lines
    for name in gradients.MODELS:
        first, second = (line["norms_log10"] for line in found if line["model"] == name)
        assert first != second
    monkeypatch.setattr(gradients, "train", lambda *_, **__: pytest.fail("the model was trained again"))
    assert list(gradients.run(SMOKE, 0, work)) == found


def test_the_target_is_missed_by_a_single_seed_and_epoch_and_not_measured_without_lines():
    lines = [
        {"model": model, "seed": 0, "epoch": epoch, "first_to_last_log10": {"m": value}}
        for model, values in (("LSTM", (-5.0, None)), ("LMN-B, LAES", (-1.0, -2.0)))
        for epoch, value in enumerate(values)
    ]
    _, laes = summary.targets(lines)
    assert (laes.reached, laes.found) == (True, "lowest -2.0, LSTM's highest -5.0")
    lines[3]["first_to_last_log10"]["m"] = lines[1]["first_to_last_log10"]["m"] = -2.0
    assert [one.reached for one in summary.targets(lines)] == [None, False]
    assert [one.reached for one in summary.targets([])] == [None, None]


def test_any_part_of_the_lines_is_shown(lines, tmp_path):
    for count in (1, 5):
        assert summary.show(lines[1][:count], tmp_path).count("| LSTM ") == 3
    assert (tmp_path / "gradients.png").stat().st_size > 10_000
