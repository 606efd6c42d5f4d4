"""Search spaces: which runs they mean."""

import json

import pytest

from linmem.nn.registry import ModelOptions
from linmem.runs.directory import (
    PretrainingOptions,
    RunOptions,
)
from linmem.runs.sweep import space
from linmem.training.loop import TrainingOptions


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


def test_a_draw_is_part_of_the_grid_and_the_same_for_the_same_seed():
    wide = {"hidden_size": list(range(1, 40)), "seed": [0, 1, 2]}
    drawn = space.plan("chorales", wide, trials=10, seed=3)
    assert drawn == space.plan("chorales", wide, trials=10, seed=3)
    assert drawn != space.plan("chorales", wide, trials=10, seed=4)
    assert len(set(drawn)) == 10
    assert set(drawn) <= set(space.plan("chorales", wide))
    assert len(space.plan("chorales", wide, trials=1000)) == 117


@pytest.mark.parametrize("name", space.GRIDS)
def test_the_papers_rows_stand_in_every_grid(name):
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


def test_yaml_and_json_say_the_same(tmp_path):
    content = [{"model": ["lstm"], "hidden_size, memory_size": [[1, 2]], "learning_rate": 1e-3}]
    (tmp_path / "a.json").write_text(json.dumps(content))
    (tmp_path / "a.yaml").write_text("- model: [lstm]\n  hidden_size, memory_size: [[1, 2]]\n  learning_rate: 1e-3\n")
    first, second = (space.plan("x", space.read(tmp_path / f"a.{ending}")) for ending in ("json", "yaml"))
    assert first == second


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"units": [3]}, "names 'units': the options are model, hidden_size"),
        ({"hidden_size": []}, "has no values"),
        ({"hidden_size": [2.5]}, "hidden_size has the value 2.5: int was wanted"),
        ({"hidden_size": [True]}, "int was wanted"),
        ({"learning_rate": ["fast"]}, "learning_rate has the value 'fast': float was wanted"),
        ({"learning_rate": [0]}, "learning_rate is 0"),
        ({"hidden_size, memory_size": [[1, 2, 3]]}, "a list of 2 was wanted"),
        (
            {"model": ["lmn-b", "lstm"], "nonlinearity": ["tanh", "relu"]},
            "nonlinearity must be 'tanh' for lstm",
        ),
        ({"model": ["transformer"]}, "unknown model 'transformer': the known ones are lmn-a"),
        ([], "maps option names to lists"),
        ([3], "maps option names to lists"),
    ],
)
def test_a_wrong_space_says_what_was_wanted(wrong, message):
    with pytest.raises(ValueError, match=message):
        space.plan("chorales", wrong)
