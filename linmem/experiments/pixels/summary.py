"""Tables, figure and targets of `smnist` and `psmnist`, and the published figures."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from linmem.experiments.harness.summarize import (
    Group,
    Result,
    Results,
    average,
    averages,
    column,
    draw_curves,
    group_by,
    select,
    spread,
)
from linmem.experiments.harness.targets import Target
from linmem.reporting import tables


class Published(NamedTuple):
    """Test accuracy in per cent and number of weights, as published; None: not given."""

    smnist: float | None
    psmnist: float | None
    weights: int | None = None


# LSTM as S4 cites it, at 128 units, and with 267,000 weights; the others from their own papers.
PUBLISHED: Mapping[str, Published] = {
    "LSTM": Published(98.9, 95.1),
    "LSTM, 128 units": Published(81.9, 79.5),
    "LSTM, smaller": Published(None, 92.9, 267_000),
    "expRNN, 512 units": Published(98.7, 96.6),
    "coRNN": Published(99.4, 97.3),
    "coRNN, smaller": Published(None, 96.6, 34_000),
    "LEM": Published(None, 96.6, 68_000),
    "LMU": Published(None, 97.15),
    "TCN": Published(99.0, 97.2, 70_000),
    "S4D": Published(None, 97.79, 201_000),
    "HiPPO-LegS": Published(98.9, 98.3),
    "LMU-FFT": Published(None, 98.49, 165_000),
    "FlexTCN": Published(None, 98.6, 375_000),
    "S4": Published(99.63, 98.70),
}
CAPTIONS = {
    "network": "Networks trained through time",
    "readout": "Test accuracy % of readouts of the LAES's last state, without backpropagation",
    "deep": "Deep readouts: an MLP trained on the LAES's last state, a linear projection of all pixels",
    "pixels": "Control: an MLP on the pixels, of as many layers and trained weights as the deep readout of p units",
    "components": "Control: the same MLP on the first p principal components of the pixels",
    "through time": "Linear memory and MLP, both trained through time from the start that is named",
    "memory": "The memories: relative reconstruction error on the sequences they were fitted to, and the bound",
}
CONTROLS = {
    "pixels": "an MLP on the pixels with as many trained weights",
    "components": "one on principal components of the pixels, each with the size that valid chooses",
}
PROJECTIONS = ("deep", *CONTROLS)
SPREAD = "mean ± standard deviation over seeds"


def show(results: Results, folder: Path, name: str) -> str:
    """One table per part; a figure of test accuracy against memory units."""
    in_order = sorted(results, key=lambda one: one.get("p", 0))
    parts = {part: select(in_order, part=part) for part in CAPTIONS}
    rows = {
        "network": [_network_row(group) for group in group_by(parts["network"], "row").values()],
        "readout": _readout_rows(parts["readout"]),
        **{
            part: [_deep_row(group) for group in group_by(parts[part], "p", "ensemble").values()]
            for part in PROJECTIONS
        },
        "through time": [
            _deep_row(group) for group in group_by(parts["through time"], "start", "p", "ensemble").values()
        ],
        "memory": [_memory_row(group) for group in group_by(parts["memory"], "p").values()],
    }
    texts = [f"{CAPTIONS[part]}; {SPREAD}:\n\n{tables.markdown(own)}" for part, own in rows.items() if own]
    if results[0]["set"] in ("smnist", "psmnist"):
        known = [
            {"published": model, "test %": getattr(one, name), "weights": one.weights}
            for model, one in PUBLISHED.items()
        ]
        texts.append(f"Published:\n\n{tables.markdown(known)}")
    readouts = group_by(parts["readout"], "readout")
    readouts |= {part: own for part in PROJECTIONS if (own := _single(parts[part]))}
    readouts |= {f"{start}, trained": _single(own) for start, own in group_by(parts["through time"], "start").items()}
    if readouts:
        curves = {label: averages(own, "p", "test_accuracy") for label, own in readouts.items()}
        draw_curves(folder / f"{name}.png", {"": curves}, "test accuracy %")
    return "\n\n".join(texts)


def targets(results: Results) -> list[Target]:
    """LAES against LSTM at equal units, and the deep readout against the LMU."""
    networks = group_by(select(results, part="network"), "row")
    means = {name: average(own, "test", "accuracy", scale=100) for name, own in networks.items()}
    epochs = column(networks.get("LSTM", []), "epochs")
    effort = f" ({max(epochs)} epochs)" if epochs else ""
    found = [
        Target.compare(
            f"{name} above the LSTM at equal units, epochs and learning rates{effort}",
            "test accuracy above the LSTM's",
            [means.get(name), means.get("LSTM")],
            operator.gt,
        )
        for name in ("LMN-B, LAES", "LMN-B, LAES, detach")
    ]
    name = results[0]["set"] if results else ""
    best = _best_size(select(results, part="deep"))
    if name in ("smnist", "psmnist"):
        found += [_control_target(results, best, name, part) for part in CONTROLS]
    if name == "psmnist":
        published = PUBLISHED["LMU"].psmnist
        assert published is not None
        found += _through_time_targets(results)
        found.append(
            Target(
                "psmnist: an MLP on a solved linear projection of all pixels above the LMU's published figure",
                f"test % > {published}",
                f"{spread(best, 'test_accuracy')} (p = {best[0]['p']})" if best else "–",
                (average(best, "test_accuracy") or 0.0) > published if best else None,
            )
        )
    return found


def _control_target(results: Results, best: Group, name: str, part: str) -> Target:
    """Compare the deep readouts of a size with a control: pixels are matched to a size, components have their own."""
    own = select(results, part=part)
    control = _best_size(own) if part == "components" else _single(select(own, p=best[0]["p"])) if best else []
    statement = f"{name}: an MLP on a solved linear projection above {CONTROLS[part]}"
    scores = [average(own, "test_accuracy") for own in (best, control)]
    return Target.compare(statement, "test accuracy above", scores, operator.gt)


def _through_time_targets(results: Results) -> list[Target]:
    """Compare the trained memories of the size that is best on valid with published networks and with solved ones."""
    best = _best_size(select(results, part="through time", start="LAES"))
    of_size = {"p": best[0]["p"]} if best else {}
    fixed = _single(select(results, part="deep", **of_size)) if best else []
    random = _single(select(results, part="through time", start="orthogonal", **of_size)) if best else []
    ours, scores = average(best, "test_accuracy"), f"{spread(best, 'test_accuracy')}" if best else "–"
    statement = "psmnist: a linear memory and MLP trained through time from the LAES above"
    found = []
    for name in ("LMU", "LMU-FFT"):
        published = PUBLISHED[name].psmnist
        assert published is not None
        text = f"{scores} (p = {best[0]['p']})" if best else scores
        above = None if ours is None else ours > published
        found.append(Target(f"{statement} the {name}'s published figure", f"test % > {published}", text, above))
    for name, others in (("the same memory without training", fixed), ("one from a random orthogonal memory", random)):
        means = [ours, average(others, "test_accuracy")]
        found.append(Target.compare(f"{statement} {name}", "test accuracy above", means, operator.gt))
    return found


def _network_row(group: Group) -> Result:
    first = group[0]
    return {
        "model": first["row"],
        "units": first["model"]["hidden_size"],
        "trained parameters": first["parameters"],
        "images": first["images"],
        "epochs": first["epochs"],
        "seeds": len(group),
        "learning rate": f"{first['training']['learning_rate']:g}",
        "trials": first["trials"],
        "diverged": sum(one["diverged"] for one in group),
        "valid %": spread(group, "valid", "accuracy", scale=100),
        "test %": spread(group, "test", "accuracy", scale=100),
        "CPU s": spread(group, "cpu_seconds", digits=0),
    }


def _readout_rows(results: Results) -> list[Result]:
    """One row per readout, one column per memory size."""
    sizes = sorted(group_by(results, "p"))
    rows = []
    for name, own in group_by(results, "readout").items():
        head = {"readout": name, "images": own[0]["images"], "seeds": len(group_by(own, "seed"))}
        rows.append(head | {f"p = {p}": spread(select(own, p=p), "test_accuracy") for p in sizes})
    return rows


def _deep_row(group: Group) -> Result:
    first = group[0]
    variant, single = first["variant"], first["seed"] is not None
    return {
        **({"start": first["start"]} if "start" in first else {}),
        "p": first["p"],
        "readouts": "1" if single else f"mean of {first['ensemble']}",
        "hidden units": " + ".join(map(str, variant["widths"])),
        "dropout": f"{variant['input_dropout']:g}, {variant['dropout']:g}",
        "trained parameters": first["trained_parameters"],
        "solved parameters": first["solved_parameters"],
        "seeds": len(group) if single else None,
        "valid %": spread(group, "valid_accuracy"),
        "test %": spread(group, "test_accuracy"),
        "CPU s": spread(group, "cpu_seconds", digits=0),
    }


def _memory_row(group: Group) -> Result:
    head = {"p": group[0]["p"], "sequences": group[0]["fitted"], "seeds": len(group)}
    return (
        head
        | {key: spread(group, key, digits=4) for key in ("bound", "error")}
        | {"CPU s": spread(group, "cpu_seconds", digits=0)}
    )


def _best_size(results: Results) -> Group:
    """Return the single networks of the size whose mean accuracy on valid is highest."""
    by_size = group_by(_single(results), "p").values()
    return max(by_size, key=lambda group: average(group, "valid_accuracy") or 0.0, default=[])


def _single(deep: Results) -> Group:
    """Return the deep readouts that are no ensembles."""
    return [one for one in deep if one["seed"] is not None]
