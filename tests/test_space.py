"""Search spaces: the runs they describe."""

import json

import pytest

from linmem.nn.registry import ModelOptions
from linmem.runs.options import PretrainingOptions, RunOptions
from linmem.runs.sweep import space
from linmem.training.options import TrainingOptions


def test_a_space_is_the_product_of_its_lists_and_a_list_of_spaces_their_union():
    lstm = {"model": "lstm", "hidden_size": [5, 6], "weight_decay": [0, "1e-5"]}
    lmn = {"model": ["lmn-b"], "hidden_size, memory_size": [[2, 3], [4, 9]], "pretrain": "unfolded"}
    assert space.plan("chorales", [lstm, lmn]) == [
        *(
            RunOptions("chorales", ModelOptions("lstm", units), TrainingOptions(weight_decay=decay))
            for units in (5, 6)
            for decay in (0.0, 1e-5)
        ),
        *(
            RunOptions("chorales", ModelOptions("lmn-b", f, p), pretraining=PretrainingOptions("unfolded"))
            for f, p in ((2, 3), (4, 9))
        ),
    ]
    assert len(space.plan("chorales", [lstm, lstm])) == 4  # the same run twice is one run


def test_a_sample_is_part_of_the_grid_and_the_same_for_the_same_seed():
    wide = {"hidden_size": list(range(1, 40)), "seed": [0, 1, 2]}
    drawn = space.plan("chorales", wide, trials=10, seed=3)
    assert drawn == space.plan("chorales", wide, trials=10, seed=3)
    assert drawn != space.plan("chorales", wide, trials=10, seed=4)
    assert len(set(drawn)) == 10
    assert set(drawn) <= set(space.plan("chorales", wide))
    assert len(space.plan("chorales", wide, trials=1000)) == 117


@pytest.mark.parametrize("name", space.GRIDS)
def test_every_grid_has_the_papers_rows(name):
    rows = {(run.model.model, run.pretraining.pretrain) for run in space.plan("jsb_chorales", space.GRIDS[name])}
    trained = {("rnn", "none"), ("rnn", "inputs"), ("lstm", "none"), ("gru", "none"), ("rnn-rbm", "none")}
    assert rows == trained | {("lmn-a", "none"), ("lmn-b", "none"), ("lmn-b", "unfolded")}


def test_the_papers_grid_is_the_protocol_of_l18():
    runs = space.plan("jsb_chorales", space.GRIDS["paper"])
    lmn = {(run.model.hidden_size, run.model.memory_size) for run in runs if run.model.model == "lmn-b"}
    assert lmn == {(50, 50), (50, 100), (100, 100), (100, 250), (250, 250), (250, 500)}
    assert {run.model.hidden_size for run in runs if run.model.model == "lstm"} == {50, 100, 250, 500, 750}
    assert {run.training.weight_decay for run in runs} == {0, 1e-4, 1e-5, 1e-6, 1e-7}
    assert {run.training.learning_rate for run in runs} == {1e-3}
    assert len(runs) == 5 * 25 + 3 * 30


def test_yaml_and_json_give_the_same_space(tmp_path):
    content = [{"model": ["lstm"], "hidden_size, memory_size": [[1, 2]], "learning_rate": 1e-3}]
    (tmp_path / "a.json").write_text(json.dumps(content))
    (tmp_path / "a.yaml").write_text("- model: [lstm]\n  hidden_size, memory_size: [[1, 2]]\n  learning_rate: 1e-3\n")
    first, second = (space.plan("x", space.read(tmp_path / f"a.{ending}")) for ending in ("json", "yaml"))
    assert first == second


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"units": [3]}, "must name options of .linmem train., got 'units'"),
        ({"hidden_size": []}, "hidden_size must have at least one value"),
        ({"hidden_size": [2.5]}, "hidden_size must be of type int, got 2.5"),
        ({"hidden_size": [True]}, "hidden_size must be of type int, got True"),
        ({"learning_rate": ["fast"]}, "learning_rate must be of type float, got 'fast'"),
        ({"learning_rate": [0]}, "learning_rate must be above 0, got 0"),
        ({"hidden_size, memory_size": [[1, 2, 3]]}, "must have lists of 2 values"),
        (
            {"model": ["lmn-b", "lstm"], "nonlinearity": ["tanh", "relu"]},
            "nonlinearity must be 'tanh' for lstm",
        ),
        ({"model": ["transformer"]}, "model must be one of lmn-a, .*, got 'transformer'"),
        ({"hidden_size": list(range(1, 400)), "memory_size": list(range(1, 400))}, "at most 100000 runs, got 159201"),
        ([], "must map option names to lists"),
        ([3], "must map option names to lists"),
    ],
)
def test_a_wrong_space_raises_a_clear_error(wrong, message):
    with pytest.raises(ValueError, match=message):
        space.plan("chorales", wrong)
