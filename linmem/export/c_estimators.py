"""C programs of estimators: anomaly detector, forecaster, and classifier and regressor on causal views.

Symbols: a features, p memory units, K lags, L sum of the lags of differences, m projections, o outputs.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from linmem.estimators.anomaly import MemoryAnomalyDetector
from linmem.estimators.block_ridge import CLIP
from linmem.estimators.classifier import MemoryClassifier
from linmem.estimators.encoders import Encoder
from linmem.estimators.forecast_stream import start_stream
from linmem.estimators.forecaster import MemoryForecaster
from linmem.estimators.regressor import MemoryRegressor
from linmem.estimators.views import CAUSAL
from linmem.export.c_program import Program

COARSE = 1e-6  # rounding error of a mean, relative to the scale, above which it is written as two floats


def estimator_program(estimator: Any) -> Program:
    """The program of a fitted estimator: what its `update` returns, as floats.

    Raises
    ------
    ValueError
        The estimator cannot be computed step by step.
    """
    if isinstance(estimator, MemoryAnomalyDetector):
        return _detector(estimator)
    if isinstance(estimator, MemoryForecaster):
        return _forecaster(estimator)
    if isinstance(estimator, MemoryClassifier | MemoryRegressor):
        return _predictor(estimator)
    raise ValueError(
        "estimator must be a classifier, regressor, forecaster or anomaly detector for C, "
        f"got {type(estimator).__name__}. Export another."
    )


def _scaled(program: Program, target: str, mean: np.ndarray, scale: np.ndarray, source: str = "x") -> None:
    centered = _centered(program, f"{target}_mean", mean, scale, f"{source}[i]")
    program.array(f"{target}_rate", 1 / scale)
    program.buffer(target, len(mean))
    program.add(f"for (int i = 0; i < {len(mean)}; i++)\n        {target}[i] = ({centered}) * {target}_rate[i];")


def _centered(program: Program, name: str, mean: np.ndarray, scale: np.ndarray, value: str) -> str:
    """C expression of a value minus its mean; far from zero the mean is two floats, because one would be too coarse."""
    expression = f"{value} - {program.array(name, mean)}[i]"
    rest = mean - mean.astype(np.float32).astype(np.float64)
    if (np.abs(rest) > COARSE * scale).any():
        expression += f" - {program.array(f'{name}_rest', rest)}[i]"
    return expression


def _detector(detector: MemoryAnomalyDetector) -> Program:
    """Squared distances of the prediction error and of the state."""
    d, a = detector.dynamics_, detector.n_features_in_
    p, program = len(d.A), Program(a, 1)
    _scaled(program, "z", detector.mean_, detector.scale_)
    state, after, error = program.keep("memory", p), program.buffer("following", p), program.buffer("error", a)
    program.affine(error, program.array("W", d.W), program.array("b", d.b), state, (a, p))
    program.add(f"for (int i = 0; i < {a}; i++)\n        {error}[i] = z[i] - {error}[i];")
    program.affine(after, program.array("A", d.A), None, "z", (p, a))
    program.add_product(after, program.array("B", d.B), state, (p, p))
    program.copy(state, after, p)
    program.array("error_precision", detector.error_precision_)
    program.array("state_precision", detector.state_precision_)
    program.add(f"y[0] = quadratic({error}, error_precision, {a}) + quadratic({state}, state_precision, {p});")
    return program


def _forecaster(forecaster: MemoryForecaster) -> Program:
    """z_t = Σ_k c_k x_{t−k}, Π (1 − shift^lag) = Σ_k c_k shift^k; the stream starts at the end of the fitted series.

    A model of log x reads log(x / level), near 0, where float has more digits.
    """
    if not forecaster.single_:
        raise ValueError(
            f"the forecaster must be fitted to one series for C, got a list of {len(forecaster.series_)}. Pass the "
            "series itself to fit."
        )
    model, a = forecaster.model_, forecaster.n_features_in_
    d, length, p = model.dynamics, sum(model.lags), len(model.dynamics.A)
    coefficients = np.ones(1)
    for lag in model.lags:
        step = np.zeros(lag + 1)
        step[[0, lag]] = 1, -1
        coefficients = np.convolve(coefficients, step)
    stream = start_stream(model, forecaster.series_[0])
    program = Program(a, a, feeds_back=True)
    program.state["last"] = model.inverse_transform(stream.forecast(model, 1))[0].astype(np.float32)
    newest, change = program.buffer("newest", a), program.buffer("change", a)
    level = np.exp(stream.recent.mean(0) if length else model.mean).astype(np.float32) if model.log else np.ones(a)
    shift = np.log(level.astype(np.float64))  # differences do not change by it
    read = f"logf(x[i] / {program.array('level', level)}[i])" if model.log else "x[i]"
    state, after = program.keep("memory", p, stream.state), program.buffer("following", p)
    program.add(f"for (int i = 0; i < {a}; i++)\n        {newest}[i] = {read};")
    terms = [(k, c) for k, c in enumerate(coefficients) if c and k]
    recent = program.keep("recent", length * a, stream.recent[::-1] - shift) if length else ""  # newest first
    past = "".join(f" {'+' if c > 0 else '-'} {abs(c):.1f}f * {recent}[{(k - 1) * a} + i]" for k, c in terms)
    centered = _centered(
        program, "change_mean", model.mean - (0 if length else shift), model.scale, f"{newest}[i]{past}"
    )
    program.array("change_scale", model.scale)
    program.add(f"for (int i = 0; i < {a}; i++)\n        {change}[i] = ({centered}) / change_scale[i];")
    program.affine(after, program.array("A", d.A), None, change, (p, a))
    program.add_product(after, program.array("B", d.B), state, (p, p))
    program.copy(state, after, p)
    if length:
        program.add(f"for (int i = {length * a - 1}; i >= {a}; i--)\n        {recent}[i] = {recent}[i - {a}];")
        program.copy(recent, newest, a)
    program.affine("y", program.array("W", d.W), program.array("b", d.b), state, (a, p))
    back = "".join(f" {'-' if c > 0 else '+'} {abs(c):.1f}f * {recent}[{(k - 1) * a} + i]" for k, c in terms)
    value = f"y[i] * change_scale[i] + change_mean[i]{back}"
    program.add(f"for (int i = 0; i < {a}; i++)\n        y[i] = {f'level[i] * expf({value})' if model.log else value};")
    return program


def _predictor(estimator: MemoryClassifier | MemoryRegressor) -> Program:
    """Pooled features of the stream so far, standardized and clipped, then a linear map; y may be 0 to skip the map."""
    views, encoders = estimator.features_.views_, estimator.features_.encoders_
    others = [name for name in views.names if name not in CAUSAL]
    if others:
        raise ValueError(
            f"views must be of {list(CAUSAL)} for C, got {', '.join(map(repr, others))}. "
            "Train with --streaming, or fit with these views."
        )
    a, outputs = len(views.mean), len(estimator.map_.intercept)
    program = Program(a, outputs)
    _scaled(program, "scaled", views.mean, views.scale)
    program.counters["steps"] = 1
    if any(name.endswith("differences") for name in views.names):
        before, change = program.keep("before", a), program.buffer("change", a)
        program.add(
            f"for (int i = 0; i < {a}; i++)\n        {change}[i] = steps[0] > 0 ? scaled[i] - {before}[i] : 0.0f;"
        )
        program.copy(before, "scaled", a)
    intercept = program.array("intercept", estimator.map_.intercept)
    program.add("steps[0] += 1;", f"if (y)\n        copy(y, {intercept}, {outputs});")
    block = 0
    for view, (name, encoder) in enumerate(zip(views.names, encoders, strict=True)):
        window = program.keep(f"window_{view}", encoder.lags * a)
        size = encoder.lags * a
        program.add(f"for (int i = {size - 1}; i >= {a}; i--)\n        {window}[i] = {window}[i - {a}];")
        program.copy(window, "change" if name.endswith("differences") else "scaled", a)
        block = _pooled(program, estimator, encoder, window, block)
    return program


def _pooled(program: Program, estimator: Any, encoder: Encoder, window: str, block: int) -> int:
    """All memories of one view; returns the number of the next block."""
    for one in encoder.projections:
        p, m = one.stop - one.start, len(one.thresholds)
        filters = encoder.filters[:, one.start : one.stop]
        used = int(np.flatnonzero(filters.any(1)).max(initial=0)) + 1  # later lags have no weight
        key = f"_{block}"
        state, z = program.buffer(f"state{key}", p), "projected"
        program.buffer(z, max(m, program.buffers.get(z, 0)))
        counts, parts, sums = f"counts{key}", f"parts{key}", f"sums{key}"
        program.flags[f"signs{key}"], program.counters[counts] = m, 2 * m
        program.sums |= {parts: m, sums: p}
        program.affine(state, program.array(f"filters{key}", filters[:used].T), None, window, (p, used))
        directions = program.array(f"directions{key}", one.directions.T)
        program.affine(z, directions, program.array(f"thresholds{key}", -one.thresholds), state, (m, p))
        width, outputs = 3 * m + 2 * p, program.outputs
        program.array(f"means{key}", estimator.standardizer_.means[block])
        program.array(f"rates{key}", estimator.standardizer_.inverse_scales[block])
        program.array(f"weights{key}", estimator.map_.coefficients[block])
        program.add(f"pool({counts}, {parts}, signs{key}, {z}, {m}, steps[0]);")
        program.add(f"for (int i = 0; i < {p}; i++)\n        {sums}[i] += {state}[i];")
        program.add(
            f"if (y)\n        for (int i = 0; i < {width}; i++) {{\n"
            f"            float v = feature({counts}, {parts}, {state}, {sums}, i, {m}, {p}, steps[0]);\n"
            f"            v = (v - means{key}[i]) * rates{key}[i];\n"
            f"            v = v > {CLIP:.1f}f ? {CLIP:.1f}f : v < -{CLIP:.1f}f ? -{CLIP:.1f}f : v;\n"
            f"            for (int j = 0; j < {outputs}; j++)\n"
            f"                y[j] += v * weights{key}[i * {outputs} + j];\n        }}"
        )
        block += 1
    return block
