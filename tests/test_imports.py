"""The house stands: each module imports only from floors below, and nothing optional or heavy uninvited."""

import ast
import subprocess
import sys
from pathlib import Path

import linmem

PACKAGE = Path(linmem.__file__).parent

# From the ground up. A name stands for a module or a whole folder; within a folder files may import each other.
LADDER = [
    # mathematics: tensors, no nn.Module, no files but save and load
    ["storage", "sequences"],
    ["fourier", "search", "survey", "coding"],
    ["history"],
    ["svd", "decoder"],
    ["stream", "distributed", "sketch", "filters", "refine"],
    ["sources", "joint"],
    ["closed_form"],
    ["fitted"],
    ["autoencoder", "capacity"],
    ["readouts"],
    # networks: no data, no optimizer
    ["scan"],
    ["layers", "sequence_layer"],
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
    ["runs", "generate", "space", "locks"],
    ["study"],
    ["sweep"],
    ["experiments"],
    ["cli"],
]


def imported(path):
    """Modules of the package that a file imports, as (line, first part of the name below linmem)."""
    inside = path.relative_to(PACKAGE).with_suffix("").parts
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ["linmem", *inside[: len(inside) - node.level]] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{module}.{alias.name}" for alias in node.names] if module == "linmem" else [module]
        else:
            continue
        yield from ((node.lineno, name.split(".")[1]) for name in names if name.startswith("linmem."))


def floor_of():
    return {name: height for height, names in enumerate(LADDER) for name in names}


def modules():
    return sorted(path for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE).parts != ("__init__.py",))


def test_every_module_has_its_floor():
    found = {path.relative_to(PACKAGE).with_suffix("").parts[0] for path in modules()}
    assert found <= set(floor_of()), f"give {sorted(found - set(floor_of()))} a place in LADDER"


def test_imports_go_down_the_ladder():
    floors = floor_of()
    for path in modules():
        own = path.relative_to(PACKAGE).with_suffix("").parts[0]
        for line, other in imported(path):
            assert other in floors, f"{path}:{line} imports linmem.{other}: only __init__ gives out public names"
            assert other == own or floors[other] < floors[own], f"{path}:{line} imports {other}, which stands no lower"


def test_the_ladder_would_notice(tmp_path):
    stray = PACKAGE / "history.py"
    names = {name for _, name in imported(stray)}
    assert "sequences" in names  # the parser sees what is there
    assert "training" not in names


def test_importing_linmem_brings_in_nothing_optional():
    heavy = "matplotlib pretty_midi mir_eval music21 onnx onnxruntime triton jsonargparse optuna yaml"
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
