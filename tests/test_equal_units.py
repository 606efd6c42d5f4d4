"""The experiments multiscale and parameters: equal units, equal limits on the weights, and what each row changes."""

import pytest

from linmem.experiments import multiscale, parameters
from linmem.experiments.table2.fair import run_options, weight_count
from linmem.nn.registry import build_model
from linmem.runs.options import check_pretraining


@pytest.mark.parametrize("row", multiscale.ROWS)
def test_every_row_has_a_state_of_as_many_units_and_trains_alike(row):
    plan, units = multiscale.JSB, 100
    options = multiscale.run_options(row, units, plan, 3e-3)
    check_pretraining(options)
    layer = build_model(options.model, 88, 88).recurrent
    state = layer.scales * layer.memory_size if "multi-scale" in row else options.model.memory_size
    assert state == units
    assert options.model.hidden_size == (5 * units if row == "echo state" else units)
    assert (options.training.max_epochs, options.training.patience) == (plan.max_epochs, plan.patience)
    assert (options.training.orthogonality > 0) == ("orthogonality" in row)
    assert (options.pretraining.pretrain == "incremental") == ("incremental" in row)
    assert (options.model.functional_layers == 2) == ("two" in row)


def test_targets_of_multiscale_compare_mean_scores():
    def result(row, accuracy):
        return {"set": "generation", "row": row, "test": {"accuracy": accuracy}}

    found = multiscale.targets([result("LMN-B", 0.5), result("multi-scale LMN", 0.7), result("multi-scale LMN", 0.2)])
    assert [one.reached for one in found] == [None, None, None, False, None, None]
    assert found[3].found == "45.00, 50.00"


@pytest.mark.parametrize("row", parameters.ROWS)
def test_models_of_parameters_fill_five_limits_with_the_same_training(row):
    search = parameters.GRIDS["small"].search
    counts = []
    for weights in search.weights:
        values = {**parameters.COMMON, "weights": weights, "learning_rate": 3e-3}
        options = run_options(row, values, search, 0)
        counts.append(weight_count(options.model))
        assert options.training == run_options("LMN-B", values, search, 0).training or "LMN" not in row
    assert all(0.9 * limit < count <= limit for limit, count in zip(search.weights, counts, strict=True))
    assert len(counts) == 5


def test_the_nll_at_a_limit_is_compared_with_the_better_gated_network():
    def result(row, nll, weights=10):
        return {"row": row, "weights": weights, "test": {"nll": nll}}

    gated = [result("LSTM", 8.5), result("GRU", 8.4)]
    assert [one.reached for one in parameters.targets([*gated, result("LMN-B", 8.45)])] == [None, False, None]
    assert [one.reached for one in parameters.targets([*gated, result("pret-LMN-B", 8.39)])] == [None, None, True]
    assert parameters.targets(gated)[1].reached is None
