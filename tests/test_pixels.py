"""Pixels: the kernel is the recurrence, readouts are chosen on valid alone, and what the smoke run must have found."""

from dataclasses import replace
from functools import partial

import pytest
import torch

from linmem import data
from linmem.autoencoder.estimator import LinearAutoencoder
from linmem.experiments import multiscale, parameters, psmnist, smnist, table2_fair
from linmem.experiments.harness.choose import search_and_evaluate
from linmem.experiments.harness.summarize import average, spread
from linmem.experiments.harness.training import train_all
from linmem.experiments.pixels import experiment as pixels
from linmem.experiments.pixels.deep import component_readouts, deep_readouts, equal_size
from linmem.experiments.pixels.memories import Memories, PrincipalComponents
from linmem.experiments.pixels.summary import targets
from linmem.experiments.pixels.through_time import LinearNetwork
from linmem.experiments.static_memories import last_state
from linmem.experiments.static_memories.last_state import DeepReadout, DeepVariant
from linmem.nn.initialize import from_autoencoder_
from linmem.nn.lmn import LMN
from linmem.training.options import TrainingOptions

SPLITS = data.load("digits:200:50:50")


@pytest.fixture(scope="module")
def autoencoder():
    return LinearAutoencoder(12, decoder="tied").fit(SPLITS.train[:40])


@pytest.fixture(scope="module")
def found(autoencoder):
    return last_state.encode(autoencoder, SPLITS)


def test_the_kernel_gives_the_state_after_the_last_step(autoencoder, found):
    for split in ("train", "valid", "test"):
        states = torch.as_tensor(autoencoder.transform(getattr(SPLITS, split)))
        torch.testing.assert_close(found.states[split], states, rtol=1e-4, atol=1e-5)


def test_the_kernel_of_several_features_is_in_their_order():
    sequences = list(torch.randn(5, 7, 3, generator=torch.Generator().manual_seed(0)).double())
    solved = LinearAutoencoder(6, decoder="tied").fit(sequences)
    A, B = torch.as_tensor(solved.A_), torch.as_tensor(solved.B_)
    states = torch.stack(sequences).flatten(1) @ last_state.kernel(A, B, 7)
    torch.testing.assert_close(states, torch.as_tensor(solved.transform(sequences)))


def test_it_is_the_memory_of_an_lmn_whose_functional_part_is_linear(autoencoder, found):
    layer = LMN(1, 12, 12, nonlinearity="identity", batch_first=True)
    from_autoencoder_(layer, autoencoder)
    memory = layer(torch.stack(SPLITS.test))[1][0]
    torch.testing.assert_close(memory.detach(), found.states["test"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("steps", [1, 2, 7, 64])
def test_the_kernel_holds_the_powers_of_the_recurrence(autoencoder, steps):
    A, B = torch.as_tensor(autoencoder.A_).double(), torch.as_tensor(autoencoder.B_).double()
    expected = torch.cat([(torch.linalg.matrix_power(B, steps - 1 - t) @ A).T for t in range(steps)])
    torch.testing.assert_close(last_state.kernel(A, B, steps), expected)


def test_a_linear_network_and_its_gradients_are_those_of_the_recurrence():
    """The oracle is the loop over steps, with the gradient through time that autograd computes."""
    random = torch.Generator().manual_seed(0)
    A, B, x = (torch.randn(*shape, generator=random).double() for shape in ((5, 3), (5, 5), (4, 7, 3)))
    B = 0.8 * torch.linalg.qr(B).Q
    network = LinearNetwork(A, B, x.flatten(1), DeepVariant((6,), 0.0, 0.0), 2).double()
    m = x.new_zeros(4, 5)
    for step in range(7):
        m = x[:, step] @ network.weight_xm.T + m @ network.weight_mm.T
    expected, _ = network.readout(m)
    logits, _ = network(x.flatten(1))
    torch.testing.assert_close(logits, expected)
    weights = list(network.parameters())
    for ours, through_time in zip(
        *(torch.autograd.grad(one.sum(), weights) for one in (logits, expected)), strict=True
    ):
        torch.testing.assert_close(ours, through_time)


def test_a_readout_is_chosen_on_valid_and_test_cannot_be_seen(found):
    grid = {"alpha": [1e9, 1.0]}
    line = last_state.fit_classifier("ridge", found, grid, None, 0, lambda: found)
    shuffled = found._replace(labels=found.labels | {"test": found.labels["test"].flip(0)})
    other = last_state.fit_classifier("ridge", shuffled, grid, None, 0, lambda: shuffled)
    assert line["hyperparameters"] == {"alpha": 1.0}
    assert {name: line[name] for name in ("hyperparameters", "valid_accuracy")} == {
        name: other[name] for name in ("hyperparameters", "valid_accuracy")
    }
    assert line["test_accuracy"] > 70 > other["test_accuracy"]
    assert last_state.fit_classifier("ridge", found, grid, 30, 0, lambda: found)["images"] == 30


def deep(found, path, **options):
    variant = last_state.DeepVariant((30,), 0.1, 0.1)
    build = partial(DeepReadout, found.states["train"], variant, 10)
    return last_state.train_deep(found, build, TrainingOptions(batch_size=20, **options), path)


def test_a_deep_readout_is_the_same_for_the_same_seed_and_goes_on_where_it_was(found, tmp_path):
    once = deep(found, tmp_path / "once", max_epochs=4)
    deep(found, tmp_path / "cut", max_epochs=2)
    resumed = deep(found, tmp_path / "cut", max_epochs=4)
    for name, weight in once.readout.state_dict().items():
        assert torch.equal(weight, resumed.readout.state_dict()[name])
    assert (once.epochs, resumed.epochs) == (4, 4)
    other = deep(found, tmp_path / "other", max_epochs=4, seed=1)
    assert other.valid_loss != once.valid_loss


def test_several_readouts_predict_by_their_mean_probability(found):
    class Fixed(torch.nn.Module):
        def __init__(self, logits):
            super().__init__()
            self.logits = torch.tensor(logits)

        def forward(self, x):
            return self.logits.expand(len(x), 3), None

    classes = found._replace(labels={"test": torch.tensor([0, 1, 1, 2])}, states={"test": torch.zeros(4, 12)})
    sure, torn = Fixed([9.0, 0.0, 0.0]), Fixed([0.0, 1.0, 0.0])
    assert last_state.accuracy_percent([sure], [classes], "test") == 25
    assert last_state.accuracy_percent([torn], [classes], "test") == 50
    assert last_state.accuracy_percent([sure, torn], [classes] * 2, "test") == 25  # 0.5 + 0.1 against 0.3


@pytest.fixture(scope="module")
def lines(tmp_path_factory):
    work = tmp_path_factory.mktemp("work")
    found = list(psmnist.run(psmnist.GRIDS["smoke"], 0, work))
    assert list(psmnist.run(psmnist.GRIDS["smoke"], 0, work)) == found  # from what is kept
    return found


def test_the_smoke_run_learns(lines):
    tests = {(line["readout"], line["p"]): line["test_accuracy"] for line in lines if line["part"] == "readout"}
    assert tests["ridge", 16] > tests["ridge", 6] > 50
    for line in lines:
        if line["part"] == "memory":
            assert 0 < line["bound"] <= line["error"] < 1
    networks = {line["row"]: line for line in lines if line["part"] == "network"}
    assert (
        networks["LMN-B, LAES, detach"]["test"]["accuracy"] > 0.5
    )  # one epoch of 100 pictures: the LAES's own readout
    assert networks["LSTM"]["parameters"] == 4 * (1 + 8 + 2) * 8 + 9 * 10


@pytest.mark.parametrize("module", [smnist, psmnist])
def test_any_beginning_of_the_lines_is_shown(lines, module, tmp_path):
    for count in (1, 3, len(lines) // 2, len(lines)):
        text = module.show(lines[:count], tmp_path)
        measured = [target.reached is not None for target in module.targets(lines[:count])]
        networks = {line["row"] for line in lines[:count] if line["part"] == "network"}  # digits has no other targets
        assert measured == [{"LSTM", name} <= networks for name in ("LMN-B, LAES", "LMN-B, LAES, detach")]
    assert "LMN-B, LAES, detach" in text
    assert (tmp_path / f"{module.__name__.split('.')[-1]}.png").exists()


def test_targets_are_computed():
    def network(model, test):
        return {"part": "network", "set": "psmnist", "row": model, "seed": 0, "epochs": 1, "test": {"accuracy": test}}

    assert {one.reached for one in targets([])} == {None}
    lstm, ours = network("LSTM", 0.80), network("LMN-B, LAES", 0.81)
    first, *others = targets([lstm, ours])
    assert [one.reached for one in (first, *others)] == [True, *[None] * 8]
    assert first.found == "81.00, 80.00"
    assert targets([lstm, ours | {"test": {"accuracy": 0.8}}])[0].reached is False
    deep = {"part": "deep", "set": "psmnist", "valid_accuracy": 97.0, "seed": 0, "p": 128}
    good = deep | {"p": 468, "valid_accuracy": 96.0, "test_accuracy": 99.0}  # not what valid chooses
    assert targets([deep | {"test_accuracy": 97.1}, good])[-1].reached is False
    assert targets([deep | {"test_accuracy": 97.2}, good])[-1].reached is True
    assert targets([deep | {"test_accuracy": 97.2}, good])[-1].statement.startswith("psmnist: an MLP on a solved")


@pytest.mark.parametrize("name", ["smnist", "psmnist"])
@pytest.mark.parametrize(("part", "words"), [("pixels", "an MLP on the pixels with"), ("components", "principal")])
def test_a_solved_projection_is_compared_with_its_controls(name, part, words):
    deep = {"part": "deep", "set": name, "valid_accuracy": 97.0, "test_accuracy": 97.1, "seed": 0, "p": 128}
    for score, expected in ((97.0, True), (97.2, False)):
        found = {one.statement: one.reached for one in targets([deep, deep | {"part": part, "test_accuracy": score}])}
        (reached,) = (reached for statement, reached in found.items() if words in statement)
        assert reached is expected


def test_principal_components_have_the_size_that_valid_chooses():
    def line(part, p, valid, test):
        return {"part": part, "set": "psmnist", "seed": 0, "p": p, "valid_accuracy": valid, "test_accuracy": test}

    lines = [line("deep", 468, 98.4, 98.4), line("components", 468, 97.2, 97.0), line("components", 128, 98.3, 98.5)]
    (target,) = (one for one in targets(lines) if "principal" in one.statement)
    assert (target.found, target.reached) == ("98.40, 98.50", False)


def test_targets_of_trained_memories_compare_the_size_that_valid_chooses():
    def line(part, p, valid, test, **more):
        return {
            "part": part,
            "set": "psmnist",
            "seed": 0,
            "p": p,
            "valid_accuracy": valid,
            "test_accuracy": test,
        } | more

    small, large = (line("through time", p, 90.0 + p, 98.0 + p, start="LAES") for p in (0.2, 0.3))
    other = line("through time", 0.3, 99.9, 98.2, start="orthogonal")
    fixed = line("deep", 0.3, 90.0, 98.4)
    found = {one.statement.partition("from the LAES above ")[2]: one for one in targets([small, large, other, fixed])}
    assert found["the LMU's published figure"].found == "98.30 (p = 0.3)"
    reached = [one.reached for statement, one in found.items() if statement]
    assert reached == [True, False, False, True]  # LMU, LMU-FFT, the fixed one, a random start


def test_the_control_has_as_many_layers_and_weights_as_the_deep_readout(lines):
    variant = DeepVariant((512, 512), 0.1, 0.3)
    widths = equal_size(variant, 468, 784, 10).widths
    assert widths == (418, 418)  # 507,462 weights; the readout of 468 units has 507,914
    trained = {line["part"]: line["trained_parameters"] for line in lines if line["part"] in ("deep", "pixels")}
    assert 0.9 * trained["deep"] < trained["pixels"] <= trained["deep"]
    assert {line["solved_parameters"] for line in lines if line["part"] == "pixels"} == {0}


def test_principal_components_are_those_of_the_images_that_the_memory_is_fitted_to(tmp_path):
    """The oracle is the SVD of the centred pixels; the sign of a component is free."""
    memories = Memories("digits", 60, tmp_path, cached=1)
    states = PrincipalComponents(memories, cached=1).states(6, 3)
    fitted = torch.stack(memories.drawn(3)).flatten(1).double()
    axes = torch.linalg.svd(fitted - fitted.mean(0), full_matrices=False).Vh[:6].float()
    expected = torch.stack(memories.splits.valid).flatten(1) @ axes.T
    torch.testing.assert_close(states.states["valid"].abs(), expected.abs(), rtol=1e-4, atol=1e-4)
    assert PrincipalComponents(memories, cached=1).solved_parameters(6) == 6 * 64


def test_components_try_every_variant_of_the_memory_at_two_smallest_scales(tmp_path):
    config = replace(psmnist.GRIDS["smoke"].deep, max_epochs=1)
    memories = Memories("digits", 60, tmp_path / "memories", cached=1)
    (memory,) = deep_readouts(memories, config, 6, [0], tmp_path / "deep")
    (line,) = component_readouts(memories, config, 6, [0], tmp_path / "components")
    assert line["trained_parameters"] == memory["trained_parameters"]
    assert [len(list((tmp_path / name).glob("deep-6-0-*.safetensors"))) for name in ("deep", "components")] == [1, 2]


def test_a_network_that_diverges_is_no_choice(tmp_path):
    config = replace(psmnist.GRIDS["smoke"].networks, data="digits:20:10:10")
    plan = [pixels.network_options(config, "LMN-B", rate, 0) for rate in (1e30, 1e-3)]
    (line,) = search_and_evaluate({"LMN-B": plan}, [0], tmp_path / "runs", tmp_path / "work")
    assert (line["training"]["learning_rate"], line["trials"], line["diverged"]) == (1e-3, 2, False)
    with pytest.raises(RuntimeError, match="Lower learning_rate"):
        train_all(plan, tmp_path)


def test_a_row_or_a_seed_that_diverges_at_once_is_a_record_without_scores(tmp_path):
    """Both rates of one row diverge in their first epoch: the other row is measured and shown all the same."""
    config = replace(psmnist.GRIDS["smoke"].networks, data="digits:20:10:10")
    plans = {
        row: [pixels.network_options(config, row, rate, 0) for rate in rates]
        for row, rates in (("LMN-B", (1e30, 1e31)), ("LSTM", (1e-3,)))
    }
    lines = list(search_and_evaluate(plans, [0, 1], tmp_path / "runs", tmp_path / "work"))
    assert [(line["row"], line["seed"], line["diverged"]) for line in lines] == [
        *(("LMN-B", seed, True) for seed in (0, 1)),
        *(("LSTM", seed, False) for seed in (0, 1)),
    ]
    diverged, trained = lines[0], lines[2]
    assert (diverged["valid"], diverged["test"], diverged["epochs"], diverged["trials"]) == (None, None, 0, 2)
    assert 0 < trained["test"]["accuracy"] <= 1
    shown = psmnist.show([{"part": "network", "set": "psmnist", "images": 20} | line for line in lines], tmp_path)
    (row,) = (line for line in shown.splitlines() if line.startswith("| LMN-B "))
    assert [cell.strip() for cell in row.split("|")].count("diverged") == 2  # valid and test
    for show in (parameters.show, multiscale.show, table2_fair.show):
        head = {"set": "jsb_chorales", "weights": 1000, "protocol": "fair, best of each"}
        assert "diverged" in show([head | line for line in lines], tmp_path)


def test_a_seed_that_diverges_leaves_a_mean_of_the_others_and_no_verdict():
    lines = [{"diverged": False, "test": {"nll": 8.0}}, {"diverged": True, "test": None}]
    assert spread(lines, "test", "nll") == "8.00 (1 diverged)"
    assert average(lines, "test", "nll") is None
    assert average(lines[:1], "test", "nll") == 8.0


def test_networks_of_the_paper_grid_see_all_images_for_ten_epochs_at_two_rates():
    for module in (smnist, psmnist):
        networks = module.GRIDS["paper"].networks
        assert networks.data == module.__name__.split(".")[-1]  # not a part of it
        assert set(networks.rows) == set(pixels.NETWORKS)
        assert (networks.epochs, networks.learning_rates, networks.seeds) == (10, (1e-3, 1e-4), 3)
