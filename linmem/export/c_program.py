"""A C99 program of one model: constant arrays, state and statements, written as one self-contained file.

The file has no dependency besides math.h and stdint.h and allocates no memory. All state is static, so that its size is
known; one program runs one stream.

Symbols: a inputs, o outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

FUNCTIONS = {
    "affine": """/* y = W x + b, W (rows, columns) row by row; b may be 0 */
static void affine(float *y, const float *w, const float *b, const float *x, int rows, int columns)
{
    for (int i = 0; i < rows; i++) {
        float sum = b ? b[i] : 0.0f;
        for (int j = 0; j < columns; j++)
            sum += w[i * columns + j] * x[j];
        y[i] = sum;
    }
}""",
    "add_product": """/* y += W x */
static void add_product(float *y, const float *w, const float *x, int rows, int columns)
{
    for (int i = 0; i < rows; i++) {
        float sum = 0.0f;
        for (int j = 0; j < columns; j++)
            sum += w[i * columns + j] * x[j];
        y[i] += sum;
    }
}""",
    "copy": """static void copy(float *y, const float *x, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = x[i];
}""",
    "apply_tanh": """static void apply_tanh(float *x, int n)
{
    for (int i = 0; i < n; i++)
        x[i] = tanhf(x[i]);
}""",
    "apply_relu": """static void apply_relu(float *x, int n)
{
    for (int i = 0; i < n; i++)
        x[i] = x[i] > 0.0f ? x[i] : 0.0f;
}""",
    "apply_selu": """static void apply_selu(float *x, int n)
{
    for (int i = 0; i < n; i++)
        x[i] = 1.05070098f * (x[i] > 0.0f ? x[i] : 1.67326324f * (expf(x[i]) - 1.0f));
}""",
    "sigmoid": """static float sigmoid(float x)
{
    return 1.0f / (1.0f + expf(-x));
}""",
    "pool": """/* counts of positive values, sums of the positive part, counts of sign changes */
static void pool(uint32_t *counts, double *parts, unsigned char *signs, const float *z, int m,
                 uint32_t steps)
{
    for (int i = 0; i < m; i++) {
        unsigned char positive = z[i] > 0.0f;
        counts[i] += positive;
        parts[i] += positive ? z[i] : 0.0f;
        counts[m + i] += steps > 1 && positive != signs[i];
        signs[i] = positive;
    }
}""",
    "feature": """/* share of positive steps, mean of the positive part, share of sign changes; last and mean state */
static float feature(const uint32_t *counts, const double *parts, const float *state, const double *sums, int i,
                     int m, int p, uint32_t steps)
{
    if (i < m)
        return (float)((double)counts[i] / steps);
    if (i < 2 * m)
        return (float)(parts[i - m] / (counts[i - m] > 1 ? counts[i - m] : 1));
    if (i < 3 * m)
        return (float)((double)counts[i - m] / (steps > 2 ? steps - 1 : 1));
    return i < 3 * m + p ? state[i - 3 * m] : (float)(sums[i - 3 * m - p] / steps);
}""",
    "quadratic": """/* x' P x */
static float quadratic(const float *x, const float *p, int n)
{
    float sum = 0.0f;
    for (int i = 0; i < n; i++) {
        float row = 0.0f;
        for (int j = 0; j < n; j++)
            row += p[i * n + j] * x[j];
        sum += x[i] * row;
    }
    return sum;
}""",
}


class Source(NamedTuple):
    """A written program."""

    code: str  # NAME.c
    header: str  # NAME.h, for the program that calls it
    flash_bytes: int  # of the constants; the size of the code depends on the compiler
    ram_bytes: int  # of the static state and buffers


@dataclass
class Program:
    """What a model adds to its C file.

    Attributes
    ----------
    inputs, outputs : int
        a and o.
    arrays : dict from name to array
        `static const float` arrays.
    state : dict from name to array
        Static float arrays that keep their values between steps, with the values after `reset`.
    buffers : dict from name to int
        Static float arrays that do not, with their sizes.
    flags, counters, sums : dict from name to int
        Static arrays of unsigned char, uint32_t and double, zero after `reset`. A float stops counting at 2²⁴.
    body : list of str
        Statements of one step: they read x (a floats) and write y (o floats).
    feeds_back : bool
        Whether the outputs are the next inputs, so that the program can forecast.
    """

    inputs: int
    outputs: int
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    state: dict[str, np.ndarray] = field(default_factory=dict)
    buffers: dict[str, int] = field(default_factory=dict)
    flags: dict[str, int] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)
    sums: dict[str, int] = field(default_factory=dict)
    body: list[str] = field(default_factory=list)
    feeds_back: bool = False

    def array(self, name: str, values: Any) -> str:
        """Add a constant array, row by row; returns its name."""
        with np.errstate(over="ignore"):
            content = np.asarray(values, np.float32)
        if not np.isfinite(content).all():
            raise ValueError(
                f"weights must be at most {np.finfo(np.float32).max:.2g} in size for C, got NaN, infinity or a larger "
                f"one in {name}. Train again, on data of another unit if they are so large."
            )
        self.arrays[name] = content.ravel()
        return name

    def keep(self, name: str, size: int, start: Any = None) -> str:
        """Add state; `start` are the values after `reset`, by default zeros."""
        self.state[name] = np.zeros(size, np.float32) if start is None else np.asarray(start, np.float32).ravel()
        return name

    def buffer(self, name: str, size: int) -> str:
        """Add a buffer."""
        self.buffers[name] = size
        return name

    def add(self, *lines: str) -> None:
        """Add statements to the step."""
        self.body += lines

    def affine(self, target: str, weight: str, bias: str | None, source: str, shape: Sequence[int]) -> None:
        """Target = W source + b for a weight (rows, columns)."""
        self.add(f"affine({target}, {weight}, {bias or '0'}, {source}, {shape[0]}, {shape[1]});")

    def add_product(self, target: str, weight: str, source: str, shape: Sequence[int]) -> None:
        """Target += W source."""
        self.add(f"add_product({target}, {weight}, {source}, {shape[0]}, {shape[1]});")

    def copy(self, target: str, source: str, size: int) -> None:
        """Target = source."""
        self.add(f"copy({target}, {source}, {size});")

    def write(self, name: str, notes: Sequence[str] = ()) -> Source:
        """Write the program; `notes` are lines of the comment at its top.

        Raises
        ------
        ValueError
            `name` is no C identifier.
        """
        if not (name.isidentifier() and name.isascii()):
            raise ValueError(f"name must be a C identifier, got {name!r}. Use letters, digits and underscores.")
        if self.feeds_back:
            self.keep("last", self.outputs, self.state.pop("last", None))
            self.copy("last", "y", self.outputs)
        flash = 4 * sum(map(len, self.arrays.values()))
        flash += 4 * sum(len(x) for x in self.state.values() if x.any())
        saved = sum(map(len, self.state.values())) + self.outputs if self.feeds_back else 0
        ram = 4 * (sum(map(len, self.state.values())) + sum(self.buffers.values()) + saved) + sum(self.flags.values())
        ram += 4 * sum(self.counters.values()) + 8 * sum(self.sums.values())
        functions = [self._reset(name), self._step(name), *([self._forecast(name)] if self.feeds_back else [])]
        prototypes = [self._prototype(name, part) for part in ("reset", "step", *(["forecast"] * self.feeds_back))]
        statements = "\n".join(functions)
        used = [text for key, text in FUNCTIONS.items() if f"{key}(" in statements]
        comment = [
            *notes,
            f"Flash: {flash} bytes of constants. RAM: {ram} bytes, all static.",
            f"{name}_reset() starts a stream; {name}_step(x, y) reads {self.inputs} floats, writes {self.outputs}.",
        ]
        if self.counters:
            comment.append("One stream may have up to 4294967295 steps.")
        if self.feeds_back:
            comment.append(
                f"{name}_forecast(y, steps) writes the next steps, {self.outputs} floats each; no step is read."
            )
        top = "/* " + "\n * ".join(line.replace("*/", "* /").replace("/*", "/ *") for line in comment) + "\n */"
        includes = "#include <math.h>\n#include <stdint.h>" if self.counters else "#include <math.h>"
        parts = [top, includes, "\n".join(prototypes), *self._declarations(), *used, *functions]
        guard = f"{name.upper()}_H"
        header = f"{top}\n#ifndef {guard}\n#define {guard}\n" + "\n".join(prototypes) + "\n#endif\n"
        return Source("\n\n".join(parts) + "\n", header, flash, ram)

    def _prototype(self, name: str, part: str) -> str:
        arguments = {"reset": "void", "step": "const float *x, float *y", "forecast": "float *y, int steps"}[part]
        return f"void {name}_{part}({arguments});"

    def _declarations(self) -> list[str]:
        lines = [_constant(name, values) for name, values in self.arrays.items()]
        lines += [_constant(f"{name}_start", values) for name, values in self.state.items() if values.any()]
        sizes = {name: len(values) for name, values in self.state.items()} | self.buffers
        static = [f"static float {name}[{size}];" for name, size in sizes.items()]
        for kind, arrays in self._zeroed().items():
            static += [f"static {kind} {name}[{size}];" for name, size in arrays.items()]
        if self.feeds_back:
            static += [f"static float {name}_saved[{len(values)}];" for name, values in self.state.items()]
            static.append(f"static float output[{self.outputs}];")
        return [*lines, "\n".join(static)]

    def _zeroed(self) -> dict[str, dict[str, int]]:
        """State that is zero after `reset`, by C type."""
        return {"unsigned char": self.flags, "uint32_t": self.counters, "double": self.sums}

    def _reset(self, name: str) -> str:
        lines = []
        for one, values in self.state.items():
            value = f"{one}_start[i]" if values.any() else "0.0f"
            lines.append(f"for (int i = 0; i < {len(values)}; i++)\n        {one}[i] = {value};")
        for arrays in self._zeroed().values():
            lines += [f"for (int i = 0; i < {size}; i++)\n        {one}[i] = 0;" for one, size in arrays.items()]
        return _function(f"void {name}_reset(void)", lines)

    def _step(self, name: str) -> str:
        return _function(f"void {name}_step(const float *x, float *y)", self.body)

    def _forecast(self, name: str) -> str:
        sizes = {one: len(values) for one, values in self.state.items()}
        lines = [f"copy({one}_saved, {one}, {size});" for one, size in sizes.items()]
        lines += [
            f"for (int h = 0; h < steps; h++) {{\n        copy(y + h * {self.outputs}, last, {self.outputs});\n"
            f"        {name}_step(y + h * {self.outputs}, output);\n    }}"
        ]
        lines += [f"copy({one}, {one}_saved, {size});" for one, size in sizes.items()]
        return _function(f"void {name}_forecast(float *y, int steps)", lines)


def _function(signature: str, lines: Sequence[str]) -> str:
    return f"{signature}\n{{\n" + "".join(f"    {line}\n" for line in lines) + "}"


def _constant(name: str, values: np.ndarray) -> str:
    numbers = [literal(value) for value in values.tolist()]
    rows = [", ".join(numbers[i : i + 8]) for i in range(0, len(numbers), 8)]
    return f"static const float {name}[{len(numbers)}] = {{\n    " + ",\n    ".join(rows) + "\n};"


def literal(value: float) -> str:
    """A C literal with all digits of a float32.

    Examples
    --------
    >>> literal(1.0), literal(-0.1), literal(1e-20)
    ('1.0f', '-0.1f', '1e-20f')
    """
    text = f"{value:.9g}"
    return (text if any(sign in text for sign in ".e") else text + ".0") + "f"
