"""A fingerprint of the code that an experiment's measurements depend on.

It hashes every source file of linmem that the experiment's module imports, directly or through others. What does not
change measurements is left out: tables, figures and targets (`linmem.reporting`, and modules called `summary`,
`targets` and `published`), the runner's estimators (`linmem.runs.fitted_estimator`), which no experiment trains, this
module, docstrings, comments and blank lines.
"""

from __future__ import annotations

import ast
import hashlib
import io
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]  # the folder of linmem
EXCLUDED = ("linmem.reporting", "linmem.runs.fitted_estimator", "linmem.experiments.harness.catalog", __name__)
EXCLUDED_NAMES = ("summary", "targets", "published")
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
COMPILED = (".c", ".cpp", ".cu", ".h")  # sources that a module may build


@cache
def code_fingerprint(module: str) -> str:
    """Return 16 hexadecimal digits of a hash of the sources that `module` depends on.

    Parameters
    ----------
    module : str
        The full name of a module, such as "linmem.experiments.table1".
    """
    digest = hashlib.sha256()
    for path in sources(module):
        digest.update(f"{path.relative_to(ROOT).as_posix()}\n".encode())
        digest.update(_statements(path).encode() if path.suffix == ".py" else path.read_bytes())
    return digest.hexdigest()[:16]


def sources(module: str) -> list[Path]:
    """Return the source files that `module` depends on, in order of their paths."""
    found: dict[str, Path] = {}
    pending = [module]
    while pending:
        name = pending.pop()
        path = _file_of(name)
        if name in found or path is None or _is_excluded(name):
            continue
        found[name] = path
        pending += _imports(path)
    compiled = {one for path in found.values() for one in path.parent.iterdir() if one.suffix in COMPILED}
    return sorted({*found.values(), *compiled})


def _file_of(module: str) -> Path | None:
    """Return the file of a module of linmem; None for other modules and for names that are no module."""
    parts = module.split(".")
    if parts[0] != "linmem" or len(parts) == 1:  # linmem/__init__.py has only names that are imported when used
        return None
    path = ROOT.joinpath(*parts[1:])
    candidates = (path.with_suffix(".py"), path / "__init__.py")
    return next((one for one in candidates if one.is_file()), None)


def _is_excluded(module: str) -> bool:
    return module.startswith(EXCLUDED) or module.rpartition(".")[2] in EXCLUDED_NAMES


@cache
def _statements(path: Path) -> str:
    """Return a source without docstrings, comments and blank lines."""
    source = path.read_text(encoding="utf-8")
    lines = source.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node) is not None:
            docstring = node.body[0]
            for row in range(docstring.lineno, (docstring.end_lineno or docstring.lineno) + 1):
                lines[row - 1] = ""
    return "\n".join(line.rstrip() for line in lines if line.strip())


def _imports(path: Path) -> Iterator[str]:
    """Yield the absolute names that a file imports, at any depth."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
