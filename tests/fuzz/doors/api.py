"""The Python interface: public functions and classes with arguments of other types, shapes and values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tests.fuzz.doors import material
from tests.fuzz.mutations import choose
from tests.fuzz.oracle import Door

SIZES = (1, 2, 3, 0, -1, 10**30, 2**40, 2.5, "3", None, True, float("nan"), [3], (2, 3), np.int64(3), 10**9)
NUMBERS = (0.5, 1, 0, -1, 2, float("nan"), float("inf"), -float("inf"), 1e308, "x", None, True, [0.5], 10**30)
NAMES = ("auto", "exact", "tanh", "identity", "memory", "x", "", None, 3, 0.5, [], b"tanh", "\n" * 400, object)


def arrays(rng: Random) -> Any:
    """Sequences of many kinds, most of them not valid."""
    draw = np.random.default_rng(rng.getrandbits(32))
    shape = choose(rng, ((6, 2), (6, 2), (6, 2), (1, 2), (0, 2), (6, 0), (6,), (), (2, 6, 2), (6, 3), (2, 2, 2, 2)))
    array = draw.normal(size=shape)
    if array.size and rng.random() < 0.2:
        array.flat[0] = choose(rng, (np.nan, np.inf, 1e300, 1e-320))
    array = choose(
        rng,
        (array, array, array, array.astype("f4"), array.astype("i8"), array > 0, array.astype("c16"),
        array.astype(str),
         array.astype(object), np.ma.masked_array(array, mask=array > 0), torch.tensor(array),
         torch.tensor(array).float(),
         torch.tensor(array).half(), torch.zeros(shape, device="meta"), torch.zeros(6, 2).to_sparse(), array.tolist(),
         array[::-1] if array.ndim else array, array.astype(">f8"), None, "x", 3, {}, {"a": array}),
    )  # fmt: skip
    return choose(
        rng,
        (array, [array], [array], [array, array], [array, material.series()], [[array]], (array,), [], iter([array])),
    )


def tensors(rng: Random) -> Any:
    """A tensor, or something else."""
    shape = choose(rng, ((5, 4, 3), (5, 4, 3), (5, 3), (4, 3), (3,), (), (0, 4, 3), (5, 0, 3), (5, 4, 2), (5, 4, 3, 1)))
    one = torch.zeros(shape)
    return choose(rng, (one, one, one, one.double(), one.long(), one.bool(), one + float("nan"), one.numpy(),
        one.tolist(),
                        one.to(torch.complex64), None, "x", one.to("meta"), (one, one), [one]))  # fmt: skip


def mostly(rng: Random, valid: Any, others: Any) -> Any:
    """The valid value in three of four cases, else one of the others."""
    return valid if rng.random() < 0.75 else choose(rng, others)


def chosen(rng: Random, **pools: Any) -> dict[str, Any]:
    """Some of the keyword arguments, each from its pool."""
    return {name: choose(rng, pool) for name, pool in pools.items() if rng.random() < 0.15}


def layer(rng: Random, out: Path) -> None:
    """Build an LMN, run it and step it."""
    import linmem

    sizes = [mostly(rng, 3, SIZES) for _ in range(3)]
    options = chosen(rng, num_layers=SIZES, output=("memory", "functional", "x", None), nonlinearity=NAMES,
        bias=(True, False, 3),
                     batch_first=(True, "x"), dropout=NUMBERS, bidirectional=(True, None), backend=NAMES,
                     memory=("dense", "diagonal", "x", 3), device=("cpu", "x", "meta", 3), dtype=(torch.float64,
                     torch.int64, "x"))  # fmt: skip
    lmn = linmem.LMN(*sizes, **options)
    if lmn.weight_xh_l0.device.type == "cpu":
        y, _ = lmn(mostly(rng, torch.zeros(5, 4, 3), [tensors(rng)]), mostly(rng, None, [tensors(rng)]))
        assert isinstance(y, Tensor)
        lmn.step(mostly(rng, torch.zeros(4, 3), [tensors(rng)]))


def autoencoder(rng: Random, out: Path) -> None:
    """Fit, transform, decode, score and save."""
    import linmem

    options = chosen(rng, memory_size=(1, 2, "auto", 0.5, *SIZES), solver=("auto", "exact", "randomized", "slices",
        *NAMES),
                     center=(True, None, "x"), decoder=("tied", "optimal", *NAMES), refine=("joint", None, *NAMES),
                     lag_decay=(0.5, 0.9, *NUMBERS), random_state=(0, None, -1, 2**40, "x", 1.5))  # fmt: skip
    one = linmem.LinearAutoencoder(**options)
    data = mostly(rng, [material.series(), material.series(1)], [arrays(rng)])
    one.partial_fit(data) if rng.random() < 0.2 else one.fit(data)
    states = one.transform(mostly(rng, [material.series()], [arrays(rng)]))
    one.decode(mostly(rng, states, [arrays(rng)]), mostly(rng, 2, SIZES))
    assert 0 <= one.reconstruction_error([material.series()], per_lag=False) < np.inf
    one.save(
        mostly(
            rng, out / "c", (out / "a.safetensors", str(out / "b"), None, 3, "", out, b"x", "/dev/null", "missing/x")
        )
    )


def classifier(rng: Random, out: Path) -> None:
    """Fit and predict classes."""
    import linmem

    cases = mostly(rng, [material.series(seed) for seed in range(6)], [arrays(rng)])
    labels = mostly(rng, [0, 1] * 3, ([1, 0] * 3, ["a", "b"] * 3, [0] * 6, [0, 1], None, "x", [None] * 6,
        [float("nan"),
        1.0] * 3, 3,
                          np.zeros((6, 2)), [[0], [1, 2]] * 3, np.ma.masked_array([0, 1] * 3, mask=[0, 0, 0, 1, 1,
                          1])))  # fmt: skip
    kind = choose(rng, (linmem.MemoryClassifier, linmem.MemoryRegressor))
    one = kind(**chosen(rng, layout=("ct", "x", None), random_state=(0, -1, "x")))
    one.fit(cases, labels)
    one.predict(mostly(rng, [material.series()], [arrays(rng)]))
    one.score(cases, mostly(rng, labels, (None, [0])))


def forecaster(rng: Random, out: Path) -> None:
    """Fit a series and continue it."""
    import linmem

    options = chosen(rng, lags=(3, *NUMBERS), memory_size=SIZES)
    names = set(linmem.MemoryForecaster().get_params()) & options.keys()
    one = linmem.MemoryForecaster(**{name: options[name] for name in names})
    one.fit(mostly(rng, material.series(0, 60), [arrays(rng)]))
    one.predict(mostly(rng, 5, SIZES))
    one.predict_interval(3, mostly(rng, 0.9, NUMBERS))


def metrics(rng: Random, out: Path) -> None:
    """Count frames, classes and numbers."""
    from linmem.training.metrics import count_classes, count_frames, count_values

    count = choose(rng, (count_classes, count_frames, count_values))
    first, second = torch.zeros(4, 3), choose(rng, (torch.zeros(4, 3), torch.zeros(4).long(), torch.zeros(4)))
    counts = count(choose(rng, (first, first, tensors(rng))), choose(rng, (second, second, tensors(rng))))
    counts.scores(counts.choice())


def initialize(rng: Random, out: Path) -> None:
    """Initialize layers and readouts from solved memories."""
    import linmem
    from linmem.nn import initialize

    fitted = linmem.LinearAutoencoder(memory_size=3).fit([material.series()])
    lmn = mostly(
        rng, linmem.LMN(2, 3, 3), (linmem.LMN(2, 3, 4), linmem.LMN(3, 3, 3, 2), nn.RNN(2, 3), nn.LSTM(2, 3), None, "x")
    )
    readout = mostly(rng, nn.Linear(3, 2), (nn.Linear(4, 2), None, nn.ReLU()))
    unfolded = mostly(rng, linmem.UnfoldedNetwork(2, 2, 2, lags=2), (linmem.UnfoldedNetwork(2, 3, 2), None, lmn))
    ae = mostly(rng, fitted, (linmem.LinearAutoencoder(), None, lmn))
    action: Callable[[], object] = choose(
        rng,
        (
            lambda: initialize.from_autoencoder_(lmn, ae),
            lambda: initialize.from_unfolded_(lmn, readout, unfolded, ae, mostly(rng, 0.5, NUMBERS)),
            lambda: initialize.fit_readout_(
                readout, mostly(rng, torch.eye(3), [tensors(rng)]), mostly(rng, torch.ones(3, 2), [tensors(rng)]), 0.1
            ),
            lambda: linmem.UnfoldedNetwork(3, 2, 2, mostly(rng, 2, SIZES), mostly(rng, "tanh", NAMES))(tensors(rng)),
            lambda: linmem.baselines.forget_bias_(mostly(rng, nn.LSTM(2, 3), (lmn,)), mostly(rng, 1.0, NUMBERS)),
        ),
    )
    action()


def training(rng: Random, out: Path) -> None:
    """Train with wrong models, data, tasks and options."""
    import linmem
    from linmem.nn.registry import ModelOptions, build_model
    from linmem.training.options import TrainingOptions
    from linmem.training.tasks import NextValue

    options = ModelOptions(**chosen(rng, model=("lstm", "x", None, 3, []), hidden_size=(2, *SIZES), scales=SIZES,
        lags=NUMBERS,
                                    forget_bias=NUMBERS, nonlinearity=NAMES, lag_decay=((0.5,), NUMBERS, 3,
                                    "x")))  # fmt: skip
    model = build_model(options, mostly(rng, 2, SIZES), 2, mostly(rng, 0, (-1, 10**30, "x")))
    train = TrainingOptions(
        max_epochs=1, **chosen(rng, learning_rate=NUMBERS, clip=NUMBERS, truncate=SIZES, batch_size=SIZES)
    )

    class Splits:
        train = valid = mostly(rng, [torch.from_numpy(material.series())], ([torch.zeros(5, 2)], arrays(rng), None))

    linmem.train(
        mostly(rng, model, (None, nn.Linear(2, 2))),
        mostly(rng, Splits, (None, 3)),
        mostly(rng, NextValue(), (None, "x")),
        mostly(rng, train, (None, "x")),
    )


def load(rng: Random, out: Path) -> None:
    """Load data sets and runs by names of all kinds."""
    import linmem

    name = mostly(
        rng,
        "chorales:3:1:1",
        ("chorales", "x", "", None, 3, b"x", "chorales:2:1:1", "digits:0", "~nobody", "a\0b", "x" * 5000, []),
    )
    options = chosen(
        rng, layout=NAMES, labels=NAMES, steps_per_quarter=SIZES, split_seed=SIZES, standardize=(True, None)
    )
    linmem.data.load(name, **options) if rng.random() < 0.7 else linmem.load(
        name, **chosen(rng, best_by=NAMES, device=NAMES)
    )


ACTIONS = (layer, layer, autoencoder, autoencoder, classifier, forecaster, metrics, initialize, training, load)


def make(rng: Random, folder: Path) -> dict[str, Any]:
    """An action and its seed: arguments that are objects cannot be stored."""
    return {"action": rng.randrange(len(ACTIONS)), "seed": rng.getrandbits(40)}


def use(folder: Path, out: Path, arguments: dict[str, Any]) -> None:
    """Call the function."""
    ACTIONS[arguments["action"]](Random(arguments["seed"]), out)


def prepare() -> None:
    """Import what the actions use."""
    material.estimator_files()
    material.run_files()


DOOR = Door("api", make, use, prepare, allowed=(ValueError, TypeError), names_file=False)
