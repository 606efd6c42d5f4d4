"""How `smnist` and `psmnist` are shown: networks, readouts of the last state, deep readouts, and what was published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from linmem.experiments.harness.targets import Target
from linmem.reporting import figures, tables
from linmem.reporting.output import figure

# Test accuracy %: LSTM as S4 cites it, and at 128 units; the others as their own papers say. None: not given.
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
HEADS = {
    "network": "Networks trained through time",
    "readout": "Readouts of the LAES's last state, without backpropagation",
    "deep": "Deep readouts of the LAES's last state: the memory is solved, the readout trained",
    "memory": "The memories: relative reconstruction error on the sequences they were fitted to, and the bound",
}
SPREAD = "mean ± standard deviation over seeds"
Lines = Sequence[Mapping[str, Any]]


def show(lines: Sequence[dict[str, Any]], folder: Path, name: str) -> str:
    """A table a part; a picture of test accuracy against memory units."""
    in_order = sorted(lines, key=lambda line: line.get("p", 0))
    parts = {part: [line for line in in_order if line["part"] == part] for part in HEADS}
    rows = {
        "network": [_network(own) for own in _by(parts["network"], "model")],
        "readout": _readouts(parts["readout"]),
        "deep": [_deep(own) for own in _by(parts["deep"], "p", "of")],
        "memory": [_memory(own) for own in _by(parts["memory"], "p")],
    }
    texts = [f"{HEADS[part]}; {SPREAD}:\n\n{tables.markdown(found)}" for part, found in rows.items() if found]
    if lines[0]["set"] in ("smnist", "psmnist"):
        figures = [{"published": model} | {"test %": found[lines[0]["set"]]} for model, found in PUBLISHED.items()]
        texts.append(f"Published:\n\n{tables.markdown(figures)}")
    _draw(parts["readout"], parts["deep"], folder / f"{name}.png")
    return "\n\n".join(texts)


def targets(lines: Lines) -> list[Target]:
    """LAES against LSTM at equal units, and the deep readout against the LMU."""
    networks = {own[0]["model"]: own for own in _by([li for li in lines if li["part"] == "network"], "model")}
    lstm = _values(networks.get("LSTM", []), "test %")
    found = []
    for name in ("LMN-B, LAES", "LMN-B, LAES, detach"):
        ours = _values(networks.get(name, []), "test %")
        said = f"{mean(ours):.2f} against {mean(lstm):.2f}" if ours and lstm else "–"
        verdict = mean(ours) > mean(lstm) if ours and lstm else None
        found.append(Target(f"{name} ahead of LSTM at equal units and search", "test accuracy above", said, verdict))
    if any(line["set"] == "psmnist" for line in lines):
        published = PUBLISHED["LMU"]["psmnist"]
        assert published is not None
        single = _by([li for li in lines if li["part"] == "deep" and li["seed"] is not None], "p")
        best = max(single, key=lambda own: mean(_values(own, "valid %")), default=None)  # chosen on valid
        said = f"{_spread(best, 'test %')} (p = {best[0]['p']})" if best else "–"
        verdict = mean(_values(best, "test %")) > published if best else None
        found.append(Target("a deep variant ahead of the LMU on psmnist", f"test % > {published}", said, verdict))
    return found


def _network(own: Lines) -> dict[str, Any]:
    first = own[0]
    return {
        "model": first["model"],
        "units": first.get("units"),
        "parameters": first.get("parameters"),
        "pictures": first.get("pictures"),
        "epochs": first.get("epochs"),
        "seeds": len(own),
        "rate": f"{first['rate']:g}" if "rate" in first else None,
        "diverged": f"{sum(one['valid NLL'] is None for one in first['tried'])} of {len(first['tried'])}",
        "valid %": _spread(own, "valid %"),
        "test %": _spread(own, "test %"),
        "CPU s": _spread(own, "CPU s", 0),
    }


def _readouts(lines: Lines) -> list[dict[str, Any]]:
    """A row a readout, a column a memory size; test accuracy."""
    sizes = sorted({line["p"] for line in lines})
    rows = []
    for own in _by(lines, "readout"):
        row = {"readout": own[0]["readout"], "pictures": own[0]["pictures"], "seeds": len({li["seed"] for li in own})}
        rows.append(row | {f"p = {p}": _spread([li for li in own if li["p"] == p], "test %") for p in sizes})
    return rows


def _deep(own: Lines) -> dict[str, Any]:
    first = own[0]
    variant = first["variant"]
    return {
        "p": first["p"],
        "readouts": f"{first['of']} together" if first["seed"] is None else "1",
        "hidden units": " + ".join(map(str, variant["widths"])),
        "dropout": f"{variant['input_dropout']:g}, {variant['dropout']:g}",
        "trained": first["trained"],
        "solved": first["solved"],
        "seeds": None if first["seed"] is None else len(own),
        "valid %": _spread(own, "valid %"),
        "test %": _spread(own, "test %"),
        "CPU s": _spread(own, "CPU s", 0),
    }


def _memory(own: Lines) -> dict[str, Any]:
    row = {"p": own[0]["p"], "sequences": own[0]["fitted"], "seeds": len(own)}
    return row | {name: _spread(own, name, 4) for name in ("bound", "error")} | {"CPU s": _spread(own, "CPU s", 0)}


def _draw(readouts: Lines, deep: Lines, path: Path) -> None:
    curves: dict[str, list[tuple[int, float]]] = {}
    for own in _by(readouts, "readout", "p"):
        curves.setdefault(own[0]["readout"], []).append((own[0]["p"], mean(_values(own, "test %"))))
    for own in _by([line for line in deep if line["seed"] is not None], "p"):
        curves.setdefault("deep", []).append((own[0]["p"], mean(_values(own, "test %"))))
    if curves:
        with figure(path, 1) as (panel,):
            figures.accuracy_by_units(panel, curves)
            panel.set(xlabel="memory units", ylabel="test accuracy %")


def _by(lines: Lines, *names: str) -> list[list[Mapping[str, Any]]]:
    """Lines that agree in `names`, together, in the order in which they first came."""
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for line in lines:
        groups.setdefault(tuple(line.get(name) for name in names), []).append(line)
    return list(groups.values())


def _values(lines: Lines, name: str) -> list[float]:
    return [line[name] for line in lines if name in line]


def _spread(lines: Lines, name: str, digits: int = 2) -> str | None:
    values = _values(lines, name)
    if not values:
        return None
    middle = f"{mean(values):.{digits}f}"
    return f"{middle} ± {stdev(values):.{digits}f}" if len(values) > 1 else middle
