"""The house stands: each module imports only from floors below, and nothing optional or heavy uninvited."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import linmem

PACKAGE = Path(linmem.__file__).parent

# From the ground up. A name stands for a module or a whole folder; within a folder files may import each other.
LADDER = [
    # mathematics: tensors, no nn.Module, no files but save and load
    ["storage", "sequences"],
    ["closed_form"],
    ["autoencoder", "capacity"],
    ["readouts"],
    # networks: no data, no optimizer
    ["scan"],
    ["layers", "cell", "sequence_layer"],
    ["unfolded", "multiscale", "gradients"],
    ["equivalence", "baselines"],
    ["model"],
    ["initialize"],
    # study: files, clocks, arguments
    ["metrics", "midi"],
    ["data"],
    ["tasks"],
    ["checkpoint", "rbm_task", "batches", "workers"],
    ["training"],
    ["pretraining", "growing"],
    ["tables", "plots", "run_folder"],
    ["runs", "generate", "locks", "bench"],
    ["sweeps"],
    ["experiments", "arguments"],
    ["cli"],
]


# The same within a folder that is large enough to have floors of its own.
CLOSED_FORM = [
    ["fourier", "descent", "survey", "coding"],
    ["history"],
    ["svd", "decoder"],
    ["stream", "distributed", "sketch", "filters", "refine"],
    ["sources", "joint"],
    ["solution"],
    ["fitted"],
]


def imported(path, folder=()):
    """Modules below `folder` of the package that a file imports, as (line, first part of the name below it)."""
    inside = path.relative_to(PACKAGE).with_suffix("").parts
    prefix = ".".join(["linmem", *folder])
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ["linmem", *inside[: len(inside) - node.level]] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{module}.{alias.name}" for alias in node.names] if module == prefix else [module]
        else:
            continue
        yield from (
            (node.lineno, name.removeprefix(prefix + ".").split(".")[0])
            for name in names
            if name.startswith(prefix + ".")
        )


def modules(folder=()):
    below = PACKAGE.joinpath(*folder)
    return sorted(path for path in below.rglob("*.py") if path != below / "__init__.py")


@pytest.mark.parametrize(("folder", "ladder"), [((), LADDER), (("closed_form",), CLOSED_FORM)], ids=["house", "room"])
def test_imports_go_down_the_ladder(folder, ladder):
    floors = {name: height for height, names in enumerate(ladder) for name in names}
    for path in modules(folder):
        own = path.relative_to(PACKAGE.joinpath(*folder)).with_suffix("").parts[0]
        assert own in floors, f"give {own} a place in the ladder"
        for line, other in imported(path, folder):
            assert other in floors, f"{path}:{line} imports {other}: only __init__ gives out public names"
            assert other == own or floors[other] < floors[own], f"{path}:{line} imports {other}, which stands no lower"


def test_the_ladder_would_notice():
    stray = PACKAGE / "closed_form" / "history.py"
    names = {name for _, name in imported(stray)}
    assert "sequences" in names  # the parser sees what is there
    assert "training" not in names
    assert "fourier" in {name for _, name in imported(stray, ("closed_form",))}


def test_importing_linmem_brings_in_nothing_optional():
    heavy = (
        "matplotlib pretty_midi mir_eval music21 onnx onnxruntime triton jsonargparse optuna yaml jinja2 markdown_it"
    )
    code = f"import sys, linmem; print([name for name in {heavy.split()!r} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_no_file_grows_far_above_300_lines():
    for path in modules():
        assert len(path.read_text().splitlines()) <= 350, f"{path}: which second idea moved in?"


def test_nothing_is_pickled():
    for path in modules():
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                assert "pickle" not in ast.unparse(node), f"{path}:{node.lineno}"
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("torch.load", "torch.save", "joblib.load"):
                raise AssertionError(f"{path}:{node.lineno} reads or writes pickles")
