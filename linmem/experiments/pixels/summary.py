"""Tables, figure and targets of `smnist` and `psmnist`, and the published figures."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from pathlib import Path
from statistics import mean

from linmem.experiments.harness.summarize import (
    Group,
    Result,
    Results,
    averages,
    column,
    draw_curves,
    group_by,
    select,
    spread,
)
from linmem.experiments.harness.targets import Target
from linmem.reporting import tables

# Test accuracy %: LSTM as S4 cites it, and at 128 units; the others from their own papers. None: not given.
PUBLISHED: Mapping[str, Mapping[str, float | None]] = {
    "LSTM": {"smnist": 98.9, "psmnist": 95.1},
    "LSTM, 128 units": {"smnist": 81.9, "psmnist": 79.5},
    "expRNN, 512 units": {"smnist": 98.7, "psmnist": 96.6},
    "coRNN": {"smnist": 99.4, "psmnist": 97.3},
    "LMU": {"smnist": None, "psmnist": 97.15},
    "TCN": {"smnist": 99.0, "psmnist": 97.2},
    "HiPPO-LegS": {"smnist": 98.9, "psmnist": 98.3},
    "LMU-FFT": {"smnist": None, "psmnist": 98.49},
    "S4": {"smnist": 99.63, "psmnist": 98.70},
}
CAPTIONS = {
    "network": "Networks trained through time",
    "readout": "Test accuracy % of readouts of the LAES's last state, without backpropagation",
    "deep": "Deep readouts: an MLP trained on the LAES's last state, a linear projection of all pixels",
    "memory": "The memories: relative reconstruction error on the sequences they were fitted to, and the bound",
}
SPREAD = "mean ± standard deviation over seeds"


def show(results: Results, folder: Path, name: str) -> str:
    """One table per part; a figure of test accuracy against memory units."""
    in_order = sorted(results, key=lambda one: one.get("p", 0))
    parts = {part: select(in_order, part=part) for part in CAPTIONS}
    rows = {
        "network": [_network_row(group) for group in group_by(parts["network"], "model").values()],
        "readout": _readout_rows(parts["readout"]),
        "deep": [_deep_row(group) for group in group_by(parts["deep"], "p", "ensemble").values()],
        "memory": [_memory_row(group) for group in group_by(parts["memory"], "p").values()],
    }
    texts = [f"{CAPTIONS[part]}; {SPREAD}:\n\n{tables.markdown(own)}" for part, own in rows.items() if own]
    if results[0]["set"] in ("smnist", "psmnist"):
        known = [{"published": model, "test %": accuracy[name]} for model, accuracy in PUBLISHED.items()]
        texts.append(f"Published:\n\n{tables.markdown(known)}")
    readouts = group_by(parts["readout"], "readout")
    readouts |= {"deep": deep} if (deep := _single(parts["deep"])) else {}
    if readouts:
        curves = {label: averages(own, "p", "test_accuracy") for label, own in readouts.items()}
        draw_curves(folder / f"{name}.png", {"": curves}, "test accuracy %")
    return "\n\n".join(texts)


def targets(results: Results) -> list[Target]:
    """LAES against LSTM at equal units, and the deep readout against the LMU."""
    networks = group_by(select(results, part="network"), "model")
    test = {name: column(own, "test_accuracy") for name, own in networks.items()}
    means = {name: mean(own) for name, own in test.items() if own}
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
    if any(one["set"] == "psmnist" for one in results):
        published = PUBLISHED["LMU"]["psmnist"]
        assert published is not None
        by_size = group_by(_single(select(results, part="deep")), "p").values()
        best = max(by_size, key=lambda group: mean(column(group, "valid_accuracy")), default=None)  # chosen on valid
        found.append(
            Target(
                "psmnist: an MLP on a solved linear projection of all pixels above the LMU's published figure",
                f"test % > {published}",
                f"{spread(best, 'test_accuracy')} (p = {best[0]['p']})" if best else "–",
                mean(column(best, "test_accuracy")) > published if best else None,
            )
        )
    return found


def _network_row(group: Group) -> Result:
    first = group[0]
    return {
        "model": first["model"],
        "units": first.get("units"),
        "parameters": first.get("parameters"),
        "images": first.get("images"),
        "epochs": first.get("epochs"),
        "seeds": len(group),
        "learning rate": f"{first['learning_rate']:g}" if "learning_rate" in first else None,
        "diverged": f"{sum(one['valid_nll'] is None for one in first['tried'])} of {len(first['tried'])}",
        "valid %": spread(group, "valid_accuracy"),
        "test %": spread(group, "test_accuracy"),
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


def _single(deep: Results) -> Group:
    """Return the deep readouts that are no ensembles."""
    return [one for one in deep if one["seed"] is not None]
