"""Encoding and reconstruction: memories against their definitions, readouts against solvers, errors against bounds."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from sklearn.linear_model import LogisticRegression

from linmem.autoencoder.coding import encode
from linmem.autoencoder.estimator import LinearAutoencoder
from linmem.data.splits import SPLITS
from linmem.data.synthetic import waveform
from linmem.experiments import encoding
from linmem.experiments.encoding.grids import Config, NetworkConfig, TaskPlan
from linmem.experiments.encoding.models import ROWS, train_row
from linmem.experiments.encoding.tasks import Copy, FramesAgo, Generation, LaterSteps, MackeyGlass, NextFrames
from linmem.experiments.harness.training import train_until_divergence
from linmem.experiments.reconstruction import experiment as reconstruction
from linmem.experiments.reconstruction import summary
from linmem.experiments.static_memories.memories import KINDS, candidates, directions, generators, solve
from linmem.experiments.static_memories.readouts import RIDGES, StatesAndTargets, choose, encode_split, logistic, score
from linmem.nn.registry import ModelOptions, build_model
from linmem.ridge import AffineMap, ridge_regression
from linmem.training.loop import (
    count,
)
from linmem.training.options import TrainingOptions
from linmem.training.tasks import Classes, NextFrame, Recall

pytestmark = pytest.mark.filterwarnings("ignore:sequences should have at most")
CHORALES, SERIES = reconstruction.GRIDS["smoke"].sets
COPY = Copy((60, 20, 20), symbols=2, length=2, blanks=3)
WAVE = Generation(steps=40, components=2, longest=20.0)


def test_a_waveform_is_recalled_from_its_start_exactly_at_full_rank():
    wave = waveform(12, components=2, seed=3).double()
    (memory,) = generators("LAES as solved", wave, 12, 0)
    read = torch.as_tensor(solve([wave.flip(0)], 12, 0).C_)[:1]
    state, outputs = memory.A, []
    for _ in range(12):
        outputs.append(read @ state)
        state = memory.B @ state
    torch.testing.assert_close(torch.cat(outputs), wave)


def test_the_encoder_of_an_autoencoder_is_one_of_its_variants():
    x = [waveform(30, seed=s).double() for s in range(4)]
    (memory,) = candidates("LAES as solved", x, 6, 0)
    for ours, theirs in zip(encode(x, memory.A, memory.B, None), solve(x, 6, 0).encode(x), strict=True):
        torch.testing.assert_close(ours, theirs)
    assert any(memory.label == other.label for other in candidates("LAES", x, 6, 0))


@pytest.mark.parametrize("kind", KINDS)
def test_every_variant_has_the_units_asked_for_and_never_grows(kind):
    x = [torch.randn(40, 3, generator=torch.Generator().manual_seed(s)) for s in range(5)]
    for memory in candidates(kind, x, 7, 0) + generators(kind, x[0][:, :1].double(), 7, 0):
        assert memory.A.shape[0] == 7 == len(memory.B)
        assert torch.linalg.eigvals(memory.B).abs().max() < 1 + 1e-9
    assert len(candidates(kind, x, 7, 0)) == (1 if kind == "LAES as solved" else 7)  # as many for every kind


def test_a_delay_line_holds_the_last_inputs_and_recalls_when_it_is_long_enough():
    problem = COPY.draw("copy", 0)
    inputs = problem.task.examples(problem.splits, "train").inputs
    rows = directions(inputs)
    wait = COPY.length + COPY.blanks + 1  # steps from a symbol to its recall
    enough = next(m for m in candidates("delay line", inputs, (wait + 1) * len(rows), 0) if str(len(rows)) in m.label)
    held = encode([inputs[0].double()], enough.A, enough.B, None)[0][-1].view(wait + 1, len(rows))
    torch.testing.assert_close(held @ rows, inputs[0].double().flip(0)[: wait + 1])
    assert score(choose([enough], problem.splits, problem.task), problem.splits, problem.task).accuracy == 1
    short = choose(candidates("delay line", inputs, wait - 1, 0), problem.splits, problem.task)
    assert score(short, problem.splits, problem.task).accuracy < 0.8  # of the 2 symbols it holds neither


def test_the_logistic_readout_loses_what_an_independent_solver_does():
    draw = torch.Generator().manual_seed(0)
    S = torch.randn(300, 4, generator=draw).double() * torch.tensor([1.0, 1.0, 0.1, 3.0])
    classes = (S @ torch.randn(4, 3, generator=draw).double() + torch.randn(300, 3, generator=draw)).argmax(1)
    size = float((S - S.mean(0)).square().sum() / 300 / 4)
    start = AffineMap(torch.zeros(4, 3).double(), torch.zeros(3).double())
    for penalty, found in logistic(StatesAndTargets(S, classes), Classes(), start):
        oracle = LogisticRegression(C=1 / (2 * penalty * size * 300), tol=1e-8, max_iter=5000).fit(S, classes)
        expected = torch.from_numpy(S.numpy() @ oracle.coef_.T + oracle.intercept_)
        ours, theirs = (
            Classes().loss(logits, classes) / 300 + penalty * size * weights.square().sum()
            for logits, weights in ((found(S), found.W), (expected, torch.from_numpy(oracle.coef_)))
        )
        assert float(ours) == pytest.approx(float(theirs), abs=1e-4)


def test_recall_is_asked_only_at_the_end():
    problem = COPY.draw("copy", 0)
    assert isinstance(problem.task, LaterSteps)
    for split, size in zip(SPLITS, COPY.counts, strict=True):
        inputs, targets = problem.task.examples(problem.splits, split)
        assert len(inputs) == size
        for x, y in zip(inputs, targets, strict=True):
            torch.testing.assert_close(y, x[: COPY.length].argmax(-1))


def test_a_frame_of_the_past_is_asked_for_where_there_is_one_and_a_delay_line_has_it():
    problem = FramesAgo("chorales", 3).draw("chorales, 3 back", 0)
    inputs, targets = problem.task.examples(problem.splits, "test")
    rows = directions(inputs)
    enough = candidates("delay line", inputs, 4 * len(rows), 0)[-1]
    held = encode([x.double() for x in inputs[:5]], enough.A, enough.B, None)
    for m, x, y in zip(held, inputs, targets, strict=False):
        torch.testing.assert_close(y, x[:-3])
        torch.testing.assert_close(m[3:, 3 * len(rows) :] @ rows, y.double())


@pytest.mark.parametrize("label", ROWS)
def test_a_network_starts_from_its_memory(label):
    problem = WAVE.draw("generation", 0)
    found = train_row(ROWS[label], problem, NetworkConfig(8, 40, max_epochs=2, patience=2), 1e-6, 0).summary
    assert (found["valid"]["accuracy"] > 0.9) == ("LAES of inputs" in label)


def test_a_network_starts_from_the_variant_that_valid_chose():
    problem = MackeyGlass((3, 2, 2), tau=17, steps=160, ahead=5).draw("Mackey-Glass", 0)
    config = NetworkConfig(6, 40, max_epochs=1, patience=1)
    model, found = train_row(ROWS["LMN, LAES of inputs, best variant"], problem, config, 1e-12, 0)
    chosen = choose(
        candidates("LAES", problem.task.examples(problem.splits, "train").inputs, 6, 0), problem.splits, problem.task
    )
    assert found["variant"] == chosen.memory.label
    B = model.recurrent.get_parameter("weight_mm_l0").detach()
    torch.testing.assert_close(B, chosen.memory.B.float(), atol=1e-6, rtol=1e-5)
    assert found["valid"]["accuracy"] > 0.8 * chosen.valid.accuracy > 0.4  # tanh bends the inputs a little


def test_a_fixed_memory_is_trained_where_it_is_released():
    problem, config = WAVE.draw("generation", 0), NetworkConfig(8, 40, max_epochs=2, patience=2)
    (fixed, less), (released, more) = (
        train_row(ROWS[label], problem, config, 0.1, 0) for label in ("LMN, orthogonal fixed", "LMN, orthogonal")
    )
    assert more["parameters"] == less["parameters"] + 8 * 8
    W, trained = (one.recurrent.get_parameter("weight_mm_l0").detach() for one in (fixed, released))
    torch.testing.assert_close(W.T @ W, torch.eye(8))
    assert not torch.allclose(W, trained, atol=1e-3)


def test_music_is_read_with_a_logistic_readout_that_beats_least_squares():
    problem = NextFrames("chorales").draw("chorales", 0)
    splits = replace(problem.splits, **{split: getattr(problem.splits, split)[:8] for split in SPLITS})
    memory = candidates("delay line", problem.task.examples(splits, "train").inputs, 10, 0)[-1]
    found = choose([memory], splits, problem.task)
    train, valid = (encode_split(memory, splits, problem.task, split) for split in ("train", "valid"))
    solved = ridge_regression(train.states, problem.task.as_outputs(train.targets, 88), RIDGES)
    losses = [problem.task.count(readout(valid.states), valid.targets).scores(0).nll for readout in solved]
    assert found.valid.nll < min(losses)
    assert 0 < score(found, splits, problem.task).threshold < 1


@pytest.mark.parametrize("label", ["LSTM", "LMN, LAES of hidden states"])
def test_a_network_trains_until_its_patience_ends(label):
    problem = WAVE.draw("generation", 0)
    found = train_row(ROWS[label], problem, NetworkConfig(8, 40, max_epochs=300, patience=3), 0.1, 0).summary
    assert found["best_epoch"] + 3 == found["epochs"] < 300
    assert (found["pretraining_epochs"] > 0) == ("hidden" in label)
    assert found["training"] == {"max_epochs": 300, "patience": 3}


def test_what_diverges_counts_by_its_best_epoch():
    problem = WAVE.draw("generation", 0)
    config = NetworkConfig(8, 40, max_epochs=9, patience=9)
    found = train_row(ROWS["LMN, LAES of inputs"], problem, config, 1e30, 0).summary
    assert found["diverged"]
    assert found["best_epoch"] == 0
    assert found["valid"]["accuracy"] > 0.9  # as it was filled
    numbers = reconstruction.load_sequences(SERIES, 0)
    with pytest.raises(ValueError, match="must have entries 0 and 1"):
        train_until_divergence(build_model(ModelOptions("rnn", 2), 1, 1), numbers, NextFrame(), TrainingOptions())


def test_drawn_sets_hang_on_their_seed():
    task = MackeyGlass((1, 1, 1), tau=17, steps=120, ahead=5)
    one, same, other = (task.draw("Mackey-Glass", seed).splits for seed in (0, 0, 1))
    torch.testing.assert_close(one.train[0], same.train[0])
    assert not torch.equal(one.train[0], other.train[0])
    assert not torch.equal(one.train[0], one.test[0])
    torch.testing.assert_close(one.targets["train"][0][:-5], one.train[0][5:])


def test_an_unknown_memory_is_refused():
    with pytest.raises(ValueError, match="kind must be one of LAES as solved, .*, got 'tape'"):
        candidates("tape", [torch.ones(5, 2)], 2, 0)


def test_what_was_solved_is_kept_and_any_part_of_it_can_be_shown(tmp_path, monkeypatch):
    # No component has more than 0.57 of the power, so one that a random frequency meets is not enough for 0.6
    wave = replace(WAVE, steps=320, components=4)
    config = Config(2, (1e-3,), (TaskPlan("generation", wave, (12,)),))
    lines = list(encoding.run(config, 0, tmp_path))
    assert len(lines) == 2 * len(KINDS)
    scores = {kind: [li["test"]["accuracy"] for li in lines if li["memory"] == kind] for kind in KINDS}
    assert min(scores["LAES"]) > 0.9 > 0.6 > max(scores["orthogonal"] + scores["delay line"])
    monkeypatch.setattr("linmem.experiments.encoding.experiment.choose", lambda *_: pytest.fail("the job ran again"))
    assert list(encoding.run(config, 0, tmp_path)) == lines
    for first in (1, len(KINDS) + 1, len(lines)):
        assert "generation" in encoding.show(lines[:first], tmp_path)
    reached = {target.statement.split(",")[0]: target.reached for target in encoding.targets(lines)}
    assert reached["generation: LAES ahead of the orthogonal at equal p"] is True
    assert reached["jsb_chorales: LAES ahead of the orthogonal at equal p"] is None
    worse = [li | {"test": li["test"] | {"accuracy": 0.0}} if "LAES" in li["memory"] else li for li in lines]
    assert encoding.targets(worse)[0].reached is False


def test_no_linear_code_of_whole_sequences_is_better_than_the_bound_and_principal_components_attain_it():
    x = [waveform(9, components=4, seed=s).double() for s in range(6)]
    rows = torch.stack([one.flip(0).flatten() for one in x])
    for p in range(1, 6):
        left, values, right = torch.linalg.svd(rows, full_matrices=False)
        again = (left[:, :p] * values[:p]) @ right[:p]
        bound = reconstruction.whole_bound(x, p)
        assert reconstruction.relative_error(list(rows), list(again)) == pytest.approx(bound, abs=1e-12)
        solved = LinearAutoencoder(p, decoder="tied").fit(x)
        assert reconstruction.relative_error(x, reconstruction.decode_last_states(solved, x)) >= bound
    assert reconstruction.whole_bound(x, 6) == pytest.approx(0, abs=1e-12)


def test_a_full_autoencoder_gives_back_whole_sequences_of_any_length():
    x = [waveform(steps, seed=steps).double() for steps in (3, 5, 6)]
    solved = LinearAutoencoder(6, decoder="tied").fit(x)
    for truth, decoded in zip(x, reconstruction.decode_last_states(solved, x), strict=True):
        torch.testing.assert_close(decoded, truth)


class Echo(torch.nn.Module):
    """Outputs the inputs of the first half, the last step first; logits where they are notes."""

    def __init__(self, notes):
        super().__init__()
        self.register_buffer("nothing", torch.zeros(()))  # has the model's device
        self.notes = notes

    def forward(self, x):
        inputs = x[:, : x.shape[1] // 2, :-1]
        outputs = torch.cat([torch.zeros_like(inputs), inputs.flip(1)], 1)
        return (100 * (outputs - 0.5) if self.notes else outputs), None


@pytest.mark.parametrize("plan", [CHORALES, SERIES], ids=lambda plan: plan.name)
def test_a_network_that_echoes_has_no_error(plan):
    splits = reconstruction.load_sequences(plan, 0)
    notes = splits.kind == "piano_roll"
    task = Recall() if notes else reconstruction.RecallValues()
    outputs = reconstruction.reconstruct(Echo(notes), task, splits, "test")
    assert reconstruction.relative_error(splits.test, outputs) < 1e-12
    counts = count(Echo(notes), task.examples(splits, "test"), task, batch_size=1)
    assert counts.scores(counts.choice()).loss < 1e-9


def test_reconstruction_goes_on_and_any_part_of_it_can_be_shown(tmp_path, monkeypatch):
    config = replace(reconstruction.GRIDS["smoke"], sets=(SERIES,))
    lines = list(reconstruction.run(config, 0, tmp_path))
    solved = [line for line in lines if line["method"] == "LAES"]
    for small, large in pairwise(solved):
        assert large["all_pasts"] < small["all_pasts"]
    assert all(li["all_pasts"] >= li["all_pasts_bound"] and li["train"] >= li["bound"] for li in solved)
    monkeypatch.setattr(reconstruction, "train_until_divergence", lambda *_: pytest.fail("the job ran again"))
    assert list(reconstruction.run(config, 0, tmp_path)) == lines
    for first in (1, 4, len(lines)):
        assert "LAES" in summary.show(lines[:first], tmp_path)
    assert [target.reached for target in summary.targets(lines)] == [None, True]
    assert [target.reached for target in summary.targets([])] == [None, None]


def test_records_with_fixed_epochs_are_not_averaged_over_different_numbers_of_them(tmp_path):
    solved = {"set": "jsb_chorales", "units": 100, "seed": 0, "cpu_seconds": 1.0, "parameters": 5}
    solved |= {"method": "LAES", "train": 0.5, "valid": 0.5, "test": 0.75}
    trained = solved | {"method": "LSTM", "best_epoch": 9}
    short, long = trained | {"epochs": 15, "test": 0.9}, trained | {"epochs": 150, "test": 0.7}
    text = summary.show([solved, short, long], tmp_path)
    assert "LSTM, 15 epochs" in text
    assert text.count("epochs (1)") == 2  # what ended them; not patience, which they did not have
    assert summary.targets([solved, short, long])[0].reached is False
    assert "patience (1)" in summary.show([solved, short | {"out_of_time": False}], tmp_path)
