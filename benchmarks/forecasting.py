"""Forecasting: MemoryForecaster against seasonal naive, AutoReg (statsmodels) and an echo state (reservoirpy).

Rolling origin over the last 40 % of each series; every method is fitted again at each origin, to the steps before.
MASE: mean absolute error over the horizon, divided by the training part's mean absolute (seasonal) difference.
Coverage: share of the steps inside our 90 % intervals, and their mean width in the units of MASE. The other methods and
"ours" are told the season; "ours, season found" finds it by itself.

    python benchmarks/forecasting.py [--origins 20]
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from wheel_series import columns

from linmem import MemoryForecaster

MAX_ORDER = 3  # seasons, or 12 steps without one, that the autoregression may look back


class Series(NamedTuple):
    """A series, its season and the steps ahead."""

    values: np.ndarray  # (T,)
    season: int
    horizon: int


def all_series() -> dict[str, Series]:
    """The four sets; weekly CO2 by linear interpolation to months, its missing weeks filled in the same way."""
    weekly = columns("co2/co2.csv", 1)[:, 0]
    weeks, known = np.arange(len(weekly)), ~np.isnan(weekly)
    monthly = np.interp(np.arange(0, len(weekly), 365.25 / 84), weeks[known], weekly[known])
    return {
        "airline": Series(columns("Airline/Airline.csv", 1)[:, 0], 12, 12),
        "sunspots": Series(columns("sunspots/sunspots.csv", 1)[:, 0], 1, 11),
        "co2, monthly": Series(monthly, 12, 12),
        "PBS": Series(columns("PBS_dataset/PBS_dataset.csv", 1)[:, 0], 12, 12),
    }


def naive(past: np.ndarray, series: Series) -> np.ndarray:
    """The last season again."""
    return np.tile(past[-series.season :], series.horizon)[: series.horizon]


def autoregression(log: bool) -> Callable[[np.ndarray, Series], np.ndarray]:
    """AutoReg with a linear trend and seasonal dummies, order by AIC."""
    from statsmodels.tsa.ar_model import AutoReg, ar_select_order

    def forecast(past: np.ndarray, series: Series) -> np.ndarray:
        x, seasonal = np.log(past) if log else past, series.season > 1
        settings = {"trend": "ct", "seasonal": seasonal, "period": series.season if seasonal else None}
        most = min(MAX_ORDER * series.season if seasonal else 12, len(x) // 4)
        order = ar_select_order(x, most, ic="aic", **settings).ar_lags
        fitted = AutoReg(x, order or 0, **settings).fit()
        values = fitted.predict(len(x), len(x) + series.horizon - 1)
        return np.exp(values) if log else values

    return forecast


def echo_state(log: bool) -> Callable[[np.ndarray, Series], np.ndarray]:
    """Reservoir of 100 units on the seasonal (or first) differences, ridge 1e-2, predictions fed back."""
    from reservoirpy.nodes import Reservoir, Ridge

    def forecast(past: np.ndarray, series: Series) -> np.ndarray:
        x = np.log(past) if log else past
        z = x[series.season :] - x[: -series.season]
        mean, scale = z.mean(), z.std()
        z = (z[:, None] - mean) / scale
        model = Reservoir(100, sr=0.9, lr=0.5, seed=0) >> Ridge(ridge=1e-2)
        model.fit(z[:-1], z[1:], warmup=10)
        values, last = list(x), model.run(z)[-1]
        for _ in range(series.horizon):
            values.append(values[-series.season] + float(np.ravel(last)[0]) * scale + mean)
            last = model(np.reshape(last, -1))
        found = np.array(values[-series.horizon :])
        return np.exp(found) if log else found

    return forecast


def methods(positive: bool) -> dict[str, Callable[[np.ndarray, Series], np.ndarray]]:
    """The methods whose packages are installed; with logarithm where that is possible and does not need a choice."""
    found: dict[str, Callable[[np.ndarray, Series], np.ndarray]] = {"naive": naive}
    for name, build in (("AR", autoregression), ("ESN", echo_state)):
        for log in (False, True) if positive else (False,):
            try:
                found[f"{name}, log" if log else name] = build(log)
            except ImportError:
                print(f"{name} is left out: pip install statsmodels reservoirpy")
    return found


def main() -> None:
    """Print MASE of all methods, and our coverage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--origins", type=int, default=20)
    count = parser.parse_args().origins
    names = [*methods(True), "ours", "ours, season found", "coverage of 90 %", "mean width"]
    print("| set | " + " | ".join(names) + " |\n|" + "---|" * (len(names) + 1))
    for name, series in all_series().items():
        x, (m, horizon) = series.values, series[1:]
        origins = np.linspace(0.6 * len(x), len(x) - horizon, count).astype(int)
        errors: dict[str, list[float]] = {}
        for origin in origins:
            past, future = x[:origin], x[origin : origin + horizon]
            unit = np.abs(past[m:] - past[:-m]).mean()
            for method, forecast in methods(bool((x > 0).all())).items():
                errors.setdefault(method, []).append(np.abs(forecast(past, series) - future).mean() / unit)
            ours = MemoryForecaster(horizon=horizon, season=m).fit(past)
            errors.setdefault("ours", []).append(np.abs(ours.predict(horizon) - future).mean() / unit)
            found = MemoryForecaster(horizon=horizon).fit(past)
            errors.setdefault("ours, season found", []).append(np.abs(found.predict(horizon) - future).mean() / unit)
            lower, upper = ours.predict_interval(horizon)
            errors.setdefault("coverage of 90 %", []).append(((lower <= future) & (future <= upper)).mean())
            errors.setdefault("mean width", []).append((upper - lower).mean() / unit)
        cells = [f"{np.mean(errors[column]):.3f}" if column in errors else "" for column in names]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    warnings.filterwarnings("ignore", module="statsmodels")
    main()
