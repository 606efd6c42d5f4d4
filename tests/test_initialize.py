"""Initialization: the layer equals the autoencoder, the LMN equals the unfolded network."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from linmem.autoencoder.estimator import LinearAutoencoder
from linmem.autoencoder.history.in_memory import InMemoryHistory
from linmem.nn.baselines import uniform_
from linmem.nn.initialize import fit_readout_, from_autoencoder_, from_unfolded_, set_output_bias_
from linmem.nn.lmn import LMN
from linmem.nn.registry import MODELS, ModelOptions, build_model
from linmem.nn.sequence_model import parameter_count
from linmem.nn.unfolded import UnfoldedNetwork
from linmem.training import pretraining
from linmem.training.options import TrainingOptions
from linmem.training.pretraining import hidden_states, pretrain, pretrain_on_inputs
from linmem.training.tasks import Classes, GivenValues

LENGTHS = (6, 9, 4, 9, 7)


def sequences(features=3, lengths=LENGTHS, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(length, features, generator=generator, dtype=torch.float64) for length in lengths]


@pytest.mark.parametrize("center", [False, True])
def test_an_lmn_filled_from_the_autoencoder_is_the_autoencoder(center):
    autoencoder = LinearAutoencoder(5, center=center).fit(sequences())
    lmn = LMN(3, 5, 5, nonlinearity="identity", dtype=torch.float64)
    from_autoencoder_(lmn, autoencoder)
    for x, states in zip(sequences(), autoencoder.encode(sequences()), strict=True):
        torch.testing.assert_close(lmn(x)[0], states, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("center", [False, True])
def test_an_rnn_filled_from_the_autoencoder_is_the_autoencoder_where_tanh_is_linear(center):
    small = [1e-4 * x for x in sequences()]
    autoencoder = LinearAutoencoder(5, center=center).fit(small)
    rnn = nn.RNN(3, 5, dtype=torch.float64)
    from_autoencoder_(rnn, autoencoder)
    for x, states in zip(small, autoencoder.encode(small), strict=True):
        torch.testing.assert_close(rnn(x)[0], states, rtol=1e-5, atol=1e-12)


# Fading is exact where the states span all lags, which a linear network's three inputs do not give four units.
@pytest.mark.parametrize(
    ("nonlinearity", "lags", "memory_decay"),
    [(name, lags, 1.0) for name in ("tanh", "selu", "identity") for lags in (1, 3, 12)]
    + [("tanh", 3, 0.6), ("selu", 2, 0.3)],
)
def test_at_full_rank_the_lmn_is_the_unfolded_network(nonlinearity, lags, memory_decay):
    torch.manual_seed(1)
    unfolded = UnfoldedNetwork(3, 4, 2, lags=lags, nonlinearity=nonlinearity).double()
    faded = copy.deepcopy(unfolded)
    with torch.no_grad():
        faded.weight_hh.mul_(memory_decay ** torch.arange(lags)[:, None, None])
        faded.weight_ho.mul_(memory_decay ** torch.arange(lags + 1)[:, None, None])
    hidden = hidden_states(faded, sequences())
    rank = int(torch.linalg.matrix_rank(InMemoryHistory(hidden).dense()))
    autoencoder = LinearAutoencoder(rank, solver="exact").fit(hidden)
    lmn = LMN(3, 4, rank, nonlinearity=nonlinearity, dtype=torch.float64)
    readout = nn.Linear(rank, 2, dtype=torch.float64)
    from_unfolded_(lmn, readout, unfolded, autoencoder, memory_decay)
    with torch.no_grad():
        for x in sequences():
            torch.testing.assert_close(readout(lmn(x)[0]), faded(x)[0], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("lag_decay", [0.9, 0.7, 0.5])
@pytest.mark.parametrize(("nonlinearity", "lags"), [("tanh", 3), ("relu", 1), ("selu", 5)])
def test_at_full_rank_the_lmn_is_the_unfolded_network_for_every_lag_decay(nonlinearity, lags, lag_decay):
    torch.manual_seed(1)
    unfolded = UnfoldedNetwork(3, 4, 2, lags=lags, nonlinearity=nonlinearity).double()
    hidden = hidden_states(unfolded, sequences())
    rank = int(torch.linalg.matrix_rank(InMemoryHistory(hidden).dense()))
    autoencoder = LinearAutoencoder(rank, solver="exact", lag_decay=lag_decay).fit(hidden)
    autoencoder.set_params(lag_decay=0.95)  # of the next fit
    lmn = LMN(3, 4, rank, nonlinearity=nonlinearity, dtype=torch.float64)
    readout = nn.Linear(rank, 2, dtype=torch.float64)
    from_unfolded_(lmn, readout, unfolded, autoencoder)
    # A singular direction of weight γ^i is known to ε / γ^i, and decoding divides by γ^i once more.
    tolerance = 1e3 * torch.finfo(torch.float64).eps * lag_decay ** (-2 * max(LENGTHS))
    with torch.no_grad():
        for x in sequences():
            torch.testing.assert_close(readout(lmn(x)[0]), unfolded(x)[0], rtol=tolerance, atol=tolerance)


def test_the_readout_is_the_minimum_of_its_ridge_objective():
    S, Y = torch.cat(sequences(4)), torch.cat(sequences(2, seed=1))
    readout = nn.Linear(4, 2, dtype=torch.float64)
    fit_readout_(readout, S, Y, ridge=0.1)
    centred = S - S.mean(0)
    penalty = 0.1 * float(centred.square().sum(0).mean())

    def objective():
        return (readout(S) - Y).square().sum() + penalty * readout.weight.square().sum()

    gradients = torch.autograd.grad(objective(), list(readout.parameters()))
    assert all(float(gradient.abs().max()) < 1e-9 for gradient in gradients)


@pytest.mark.parametrize("lag_decay", [1.0, 0.8])
def test_after_the_three_steps_at_full_rank_the_lmn_is_the_trained_unfolded_network(lag_decay):
    x = [(roll > 0.4).double() for roll in sequences(5, (7, 5, 6))]
    inputs, targets = [roll[:-1] for roll in x], [roll[1:] for roll in x]
    rank = sum(map(len, inputs))  # of the history matrix, which has more columns than its 15 rows
    kind = {"dtype": torch.float64}
    lmn, readout = LMN(5, 6, rank, nonlinearity="selu", batch_first=True, **kind), nn.Linear(rank, 5, **kind)
    options = TrainingOptions(max_epochs=5, batch_size=2)
    pretrained = pretrain(lmn, readout, inputs, targets, lags=3, lag_decay=lag_decay, options=options)
    assert len(pretrained.history.epochs) == 5
    assert pretrained.autoencoder.lag_decay == lag_decay
    with torch.no_grad():
        for one in inputs:
            torch.testing.assert_close(readout(lmn(one[None])[0])[0], pretrained.unfolded(one)[0], rtol=1e-6, atol=1e-6)


def test_pretraining_on_inputs_subtracts_their_mean():
    x = [roll.double() + 3 for roll in sequences(3, (20, 25))]
    targets = [roll[:, :2] for roll in x]
    for center, expected in ((False, torch.zeros(3)), (True, torch.cat(x).mean(0))):
        lmn, readout = LMN(3, 4, 4, dtype=torch.float64), nn.Linear(4, 2, dtype=torch.float64)
        autoencoder = pretrain_on_inputs(lmn, readout, x, targets, task=GivenValues(), center=center)
        offset = -torch.as_tensor(autoencoder.A_) @ expected.double()
        torch.testing.assert_close(lmn.bias_m_l0.detach(), offset)


def test_pretraining_checks_sizes_before_training():
    x = [torch.ones(5, 3), torch.ones(4, 3)]
    for layer, readout, options, message in (
        (LMN(3, 4, 6), nn.Linear(5, 3), {}, "readout.in_features must be 6, got 5"),
        (LMN(3, 4, 6, output="functional"), nn.Linear(6, 3), {}, "output must be 'memory', got 'functional'"),
        (
            LMN(3, 4, 6),
            nn.Linear(6, 3),
            {"memory_decay": 2.0},
            "memory_decay must be greater than 0 and at most 1, got 2.0",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            pretrain(layer, readout, x, x, options=TrainingOptions(max_epochs=10**6), **options)
    with pytest.raises(ValueError, match="targets must have one entry per sequence \\(2\\), got 1"):
        pretrain(LMN(3, 4, 6), nn.Linear(6, 3), x, x[:1])


@pytest.mark.parametrize(
    ("options", "bias", "autoencoder", "message"),
    [
        ({"memory": "diagonal"}, True, None, "layer must have memory='dense', got memory='diagonal'"),
        ({"bias": False}, True, None, "bias_h_l0 must exist, got a layer built with bias=False"),
        ({}, False, None, "bias must exist, got a layer built with bias=False"),
        ({}, True, LinearAutoencoder(4), "the autoencoder's memory_size must be 6, got 4"),
        ({}, True, LinearAutoencoder(6, center=True), "autoencoder must have center=False"),
    ],
)
def test_pretraining_checks_what_it_will_fill_before_training(monkeypatch, options, bias, autoencoder, message):
    x = [torch.eye(3), torch.ones(4, 3)]
    lmn, readout = LMN(3, 4, 6, **options), nn.Linear(6, 3, bias=bias)
    before = copy.deepcopy([lmn.state_dict(), readout.state_dict()])
    monkeypatch.setattr(pretraining, "train", lambda *_, **__: pytest.fail("training began"))
    with pytest.raises(ValueError, match=message):
        pretrain(lmn, readout, x, x, autoencoder=autoencoder)
    assert_same_state([lmn.state_dict(), readout.state_dict()], before)


ROLLS = [torch.eye(3), torch.ones(4, 3), torch.zeros(5, 3)]


@pytest.mark.parametrize("convert", [torch.Tensor.bool, torch.Tensor.long, torch.Tensor.numpy, torch.Tensor.tolist])
def test_targets_may_be_of_any_type_of_numbers(convert):
    found = []
    for given in (ROLLS, [convert(x) for x in ROLLS]):
        layer, readout = LMN(3, 4, 2), nn.Linear(2, 3)
        for parameter in (*layer.parameters(), *readout.parameters()):
            nn.init.constant_(parameter, 0.1)
        pretrain(layer, readout, given, given, lags=1, options=TrainingOptions(max_epochs=1))
        found.append([layer.state_dict(), readout.state_dict()])
    assert_same_state(*found)


class Halves(GivenValues):
    """A user's own task: two outputs per target."""

    def loss(self, outputs, targets):
        return (outputs.mean(1) - targets).square().sum()

    def count(self, outputs, targets):
        return super().count(outputs.mean(1, keepdim=True), targets[:, None])


class OwnTask:
    """The methods that training calls, and no class of linmem."""

    def __init__(self):
        self.loss, self.count = Halves().loss, Halves().count


def test_a_users_own_task_may_have_targets_of_another_shape():
    layer, readout = LMN(3, 4, 2), nn.Linear(2, 2)
    targets = [x[:, 0] + 0.5 for x in ROLLS]
    how = TrainingOptions(max_epochs=1)
    history = pretrain(layer, readout, ROLLS, targets, lags=1, options=how, task=OwnTask()).history
    assert 0 < history.epochs[0].valid_loss < 10
    with pytest.raises(ValueError, match=r"targets\[0\] must have shape \(n, 2\)"):
        pretrain(layer, readout, ROLLS, targets, lags=1, options=how, task=Halves())


@pytest.mark.parametrize("classes", [torch.tensor([1]), np.array([0]), [1]])
def test_classes_may_be_targets(classes):
    layer, readout = LMN(3, 4, 2), nn.Linear(2, 2)
    how = TrainingOptions(max_epochs=1)
    history = pretrain(layer, readout, ROLLS, [classes] * 3, lags=1, options=how, task=Classes()).history
    assert 0 < history.epochs[0].valid_loss < 2


@pytest.mark.parametrize(
    ("inputs", "targets", "options", "message"),
    [
        ([torch.ones(5, 2)] * 2, ROLLS[:2], {}, "sequence 0 must have 3 features, got 2"),
        (ROLLS, [x[:, :2] for x in ROLLS], {}, r"targets\[0\] must have shape \(n, 3\), o = readout.out_features, got"),
        (ROLLS, [x.sum(1) for x in ROLLS], {}, r"targets\[0\] must have shape \(n, 3\)"),
        (ROLLS, [*ROLLS[:2], ROLLS[2] + torch.nan], {}, r"targets\[2\] must be finite"),
        (ROLLS, [*ROLLS[:2], ROLLS[2] + 0.5], {}, r"targets\[2\] must have entries 0 and 1, got others. Pass task"),
        (ROLLS, [x.to(torch.complex64) for x in ROLLS], {}, r"targets\[0\] must be an array or tensor of real numbers"),
        (ROLLS, ["one", "two", "three"], {}, r"targets\[0\] must be an array or tensor of real numbers"),
        (
            ROLLS,
            [torch.tensor([3])] * 3,
            {"task": Classes()},
            r"targets\[0\] must hold classes from 0 to 2, got 3 to 3",
        ),
        (ROLLS, [x[:0] for x in ROLLS], {}, r"targets\[0\] must have 1 to 3 rows, at most one per step, got 0"),
        (ROLLS[:1], ROLLS[:1], {}, "sequences must have at least 2 entries to hold one out, got 1"),
        (ROLLS, ROLLS, {"dropout": 0.1}, "dropout must be two numbers, of inputs and of hidden units, got 0.1"),
        (ROLLS, ROLLS, {"dropout": (0.1, 2)}, "dropout must be a finite number from 0 to 1, got 2"),
        (ROLLS, ROLLS, {"valid": ROLLS}, "valid must be a pair of two lists"),
    ],
)
def test_pretraining_checks_pairs_before_training(monkeypatch, inputs, targets, options, message):
    monkeypatch.setattr(pretraining, "train", lambda *_, **__: pytest.fail("training began"))
    with pytest.raises(ValueError, match=message):
        pretrain(LMN(3, 4, 6), nn.Linear(6, 3), inputs, targets, **options)


def assert_same_state(found, expected):
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_a_layer_that_cannot_be_filled_stays_as_it_was():
    autoencoder = LinearAutoencoder(4, center=True).fit([x + 3 for x in sequences()])
    parametrized = LMN(3, 4, 4, dtype=torch.float64)
    nn.utils.parametrizations.orthogonal(parametrized, "weight_mm_l0")
    for layer, message in (
        (LMN(3, 4, 4, memory="diagonal"), "layer must have memory='dense', got memory='diagonal'"),
        (LMN(3, 4, 4, bias=False), "bias_m_l0 must exist"),
        (nn.RNN(3, 4, bias=False), "bias_ih_l0 must exist"),
        (parametrized, "weight_mm_l0 must not be parametrized"),
    ):
        before = copy.deepcopy(layer.state_dict())
        with pytest.raises(ValueError, match=message):
            from_autoencoder_(layer, autoencoder)
        assert_same_state([layer.state_dict()], [before])
    unfolded = UnfoldedNetwork(3, 4, 2, lags=2)
    nn.init.ones_(unfolded.bias_o)
    found = LinearAutoencoder(6).fit(hidden_states(unfolded, [x.float() for x in sequences()]))
    lmn = LMN(3, 4, 6)
    before = copy.deepcopy(lmn.state_dict())
    with pytest.raises(ValueError, match="bias must exist"):
        from_unfolded_(lmn, nn.Linear(6, 2, bias=False), unfolded, found)
    assert_same_state([lmn.state_dict()], [before])
    x = sequences()
    with pytest.raises(ValueError, match="layer must have memory='dense'"):
        pretrain_on_inputs(LMN(3, 4, 4, memory="diagonal"), nn.Linear(4, 3), x, x)
    with pytest.raises(ValueError, match="output must be 'memory', got 'functional'"):
        pretrain_on_inputs(LMN(3, 4, 4, output="functional"), nn.Linear(4, 3), x, x)
    with pytest.raises(ValueError, match="readout.in_features must be 4, got 5"):
        pretrain_on_inputs(LMN(3, 4, 4), nn.Linear(5, 3), x, x)


def test_wrong_sizes_raise():
    autoencoder = LinearAutoencoder(5).fit(sequences())
    for layer, message in (
        (LMN(4, 5, 5), "input_size must be 3, got 4"),
        (LMN(3, 6, 5), "hidden_size must be 5, got 6"),
        (LMN(3, 5, 6), "memory_size must be 5, got 6"),
        (nn.RNN(3, 4), "hidden_size must be 5, got 4"),
        (LMN(3, 5, 5, num_layers=2), "got num_layers=2"),
        (nn.RNN(3, 5, bidirectional=True), "bidirectional=True"),
    ):
        with pytest.raises(ValueError, match=message):
            from_autoencoder_(layer, autoencoder)
    with pytest.raises(TypeError, match="autoencoder must be a fitted linmem.LinearAutoencoder, got a NoneType"):
        from_autoencoder_(LMN(3, 5, 5), None)
    with pytest.raises(TypeError, match="layer must be a linmem.LMN or torch.nn.RNN, got a LSTM"):
        from_autoencoder_(nn.LSTM(3, 5), autoencoder)


def test_filling_a_parametrized_weight_raises():
    layer = LMN(3, 5, 5, dtype=torch.float64)
    nn.utils.parametrizations.orthogonal(layer, "weight_mm_l0")
    with pytest.raises(ValueError, match="weight_mm_l0 must not be parametrized"):
        from_autoencoder_(layer, LinearAutoencoder(5).fit(sequences()))


def test_pretraining_uses_the_dtype_of_the_layer():
    x = [torch.ones(5, 3), torch.zeros(4, 3), torch.eye(3)]
    layer, readout = LMN(3, 4, 2, dtype=torch.float64), nn.Linear(2, 3, dtype=torch.float64)
    pretrained = pretrain(layer, readout, x, x, lags=1, options=TrainingOptions(max_epochs=1))
    assert pretrained.unfolded.weight_xh.dtype == torch.float64
    assert torch.equal(layer.weight_xh_l0, pretrained.unfolded.weight_xh)


def test_a_lossy_transfer_raises():
    unfolded = UnfoldedNetwork(3, 4, 2, lags=2)
    nn.init.ones_(unfolded.bias_h)
    hidden = hidden_states(unfolded, [x.float() for x in sequences()])
    autoencoder, centred = (LinearAutoencoder(6, center=center).fit(hidden) for center in (False, True))
    with pytest.raises(ValueError, match="output must be 'memory', got 'functional'"):
        from_unfolded_(LMN(3, 4, 6, output="functional"), nn.Linear(6, 2), unfolded, autoencoder)
    for one in (centred, centred.set_params(center=False)):  # what the fit subtracted counts
        with pytest.raises(ValueError, match="autoencoder must have center=False"):
            from_unfolded_(LMN(3, 4, 6), nn.Linear(6, 2), unfolded, one)
    with pytest.raises(ValueError, match=r"readout.out_features must be 2, got 3"):
        from_unfolded_(LMN(3, 4, 6), nn.Linear(6, 3), unfolded, autoencoder)
    with pytest.raises(ValueError, match="memory_decay must be greater than 0 and at most 1, got 0"):
        from_unfolded_(LMN(3, 4, 6), nn.Linear(6, 2), unfolded, autoencoder, memory_decay=0)
    with pytest.raises(ValueError, match="got a layer built with bias=False"):
        from_unfolded_(LMN(3, 4, 6, bias=False), nn.Linear(6, 2), unfolded, autoencoder)


def test_uniform_weights_fill_the_interval_of_a_linear_layer():
    options = ModelOptions("lmn-b", 120, 80, weight_init="uniform")
    layer = build_model(options, 60, 3).recurrent
    inputs = {"xh": 60, "mh": 80, "hm": 120, "mm": 80}
    for name, n in inputs.items():
        weight = layer.get_parameter(f"weight_{name}_l0").detach()
        assert 0.99 < weight.abs().max() * n**0.5 <= 1  # of thousands of draws
        assert abs(float(weight.mean())) < 5 * (3 * n * weight.numel()) ** -0.5  # five standard errors
    assert layer.get_parameter("bias_m_l0").abs().max() <= 120**-0.5
    with pytest.raises(ValueError, match="weight_init must be 'default' for lstm, got 'uniform'"):
        ModelOptions("lstm", weight_init="uniform")


def test_uniform_biases_have_the_bound_of_their_map_in_every_layer():
    """Of layers x (1000) → h (600) → h1 (300) → m (900) → h (600) → …, 25 draws or more near each bound."""
    layer = uniform_(LMN(1000, (600, 300), 900, num_layers=2))
    expected = {"bias_h_l0": 1000, "bias_h1_l0": 600, "bias_m_l0": 300, "bias_h_l1": 900, "bias_h1_l1": 600}
    for name, n in expected.items():
        assert 0.9 < float(layer.get_parameter(name).abs().max()) * n**0.5 <= 1, name


def test_uniform_weights_of_one_layer_are_those_of_kept_results():
    """Of torch.nn.init.uniform_ in the order of the parameters."""
    torch.manual_seed(0)
    layer, inputs = uniform_(LMN(3, 5, 4)), {"bias_h": 3, "bias_m": 5}
    torch.manual_seed(0)
    LMN(3, 5, 4)
    for name, parameter in layer.named_parameters():
        bound = inputs.get(name.partition("_l")[0], parameter.shape[-1]) ** -0.5
        assert torch.equal(parameter, nn.init.uniform_(torch.empty_like(parameter), -bound, bound)), name


@pytest.mark.parametrize("name", MODELS)
def test_the_output_bias_of_every_model_can_be_set(name):
    model = build_model(ModelOptions(name, 8, 8), 3, 4)
    x, constant = torch.zeros(2, 5, 3), torch.tensor([-3.0, 0.0, 1.0, 7.0])
    before = model(x)[0][..., :4]
    set_output_bias_(model, constant)
    change = model(x)[0][..., :4] - before  # the same everywhere, and the difference of the biases
    torch.testing.assert_close(change, change[0, 0].expand_as(change))
    set_output_bias_(model, constant + 1)
    torch.testing.assert_close(model(x)[0][..., :4] - before, change + 1)


def test_a_model_without_a_readout_bias_raises():
    with pytest.raises(ValueError, match="must have a readout bias of size 4, got a Linear with no readout bias"):
        set_output_bias_(nn.Linear(3, 4), torch.zeros(4))
    with pytest.raises(ValueError, match="a readout bias of size 5, got a SequenceModel with one of size 4"):
        set_output_bias_(build_model(ModelOptions("lstm", 6), 3, 4), torch.zeros(5))


def test_pretraining_with_truncation_equals_pretraining_on_the_pieces():
    x, y = sequences(3, (40, 25)), [(s[:, :2] > 0).double() for s in sequences(3, (40, 25), seed=1)]
    found = []
    for parts in (None, 10):
        given = (x, y) if parts is None else ([p for s in x for p in s.split(10)], [p for s in y for p in s.split(10)])
        lmn, readout = LMN(3, 5, 6, dtype=torch.float64), nn.Linear(6, 2, dtype=torch.float64)
        nn.init.zeros_(readout.bias)
        how = TrainingOptions(max_epochs=2, batch_size=2, truncate=10 if parts is None else 0)
        found.append(pretrain(lmn, readout, *given, valid=(x, y), lags=3, options=how))
    unfolded = found[0].unfolded
    assert torch.equal(unfolded.weight_hh, found[1].unfolded.weight_hh)
    states = [piece for whole in hidden_states(unfolded, x) for piece in whole.split(10)]
    wanted = LinearAutoencoder(6, decoder="tied", random_state=0).fit(states)
    torch.testing.assert_close(torch.as_tensor(found[0].autoencoder.A_), torch.as_tensor(wanted.A_))


def test_functional_layers_build_a_deep_functional_part():
    model = build_model(ModelOptions("lmn-b", 7, 5, functional_layers=3), 4, 2)
    assert model.recurrent.hidden_sizes == (7, 7, 7)
    single = build_model(ModelOptions("lmn-b", 7, 5), 4, 2)
    assert parameter_count(model) == parameter_count(single) + 2 * (7 * 7 + 7)
    with pytest.raises(ValueError, match="functional_layers must be 1 for gru, got 2"):
        ModelOptions("gru", functional_layers=2)
    with pytest.raises(ValueError, match="functional_layers must be greater than 0, got 0"):
        ModelOptions("lmn-b", functional_layers=0)
