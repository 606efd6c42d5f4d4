"""The architecture: folders import in one direction, without circles; nothing optional is imported uninvited."""

import ast
import subprocess
import sys
from collections import Counter
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import linmem
from linmem.public_paths import PUBLIC_PATHS

PACKAGE = Path(linmem.__file__).parent

# Each folder (or file) imports only from those before it, or from itself.
ORDERS = {
    "linmem": (
        "public_paths workers storage validation scales sequences ridge autoencoder nn estimators data export "
        "reporting training runs analysis music experiments cli __main__"
    ),
    "linmem.autoencoder": (
        "history solvers decoders linear_recurrence window coding partial_fit solution autoencoder_file evaluation "
        "fitted estimator"
    ),
    "linmem.nn": (
        "scan approximate_eigenvectors base spectral_norm norm_limits optimizer_steps limited_parameters pretrained "
        "lmn lmn_cell unfolded multiscale equivalence nade baselines recent_frames sequence_model solved_memory "
        "options registry diagonalize transfer_checks initialize functional_scale"
    ),
}
FILES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


def imports(name):
    """Names of linmem's files that the file `name` imports, those under TYPE_CHECKING and in functions included."""
    for node in ast.walk(ast.parse(FILES[name].read_text())):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{FILES[name]}:{node.lineno}: import by the full name"
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            found = [one if one in FILES else node.module for one in inner]
        else:
            continue
        yield from (one for one in found if one in FILES)


GRAPH = {name: set(imports(name)) - {name} for name in FILES}


@pytest.mark.parametrize("folder", ORDERS)
def test_folders_import_only_from_those_before_them(folder):
    places = {name: place for place, name in enumerate(ORDERS[folder].split())}

    def part(name):
        return name.removeprefix(f"{folder}.").split(".")[0]

    inside = [name for name in FILES if name.startswith(f"{folder}.")]
    assert {part(name) for name in inside} == set(places), "state each folder's place in ORDERS, once"
    for name in inside:
        for other in GRAPH[name]:
            assert other != "linmem", f"{name} imports linmem: the package's own files name the module they use"
            if other.startswith(f"{folder}.") and part(other) != part(name):
                assert places[part(other)] < places[part(name)], f"{name} imports {other}"


def test_files_import_without_circles():
    # A package's __init__ gives out names of its own files: those that import the package from inside are not counted.
    graph = {name: {other for other in GRAPH[name] if not name.startswith(f"{other}.")} for name in FILES}
    list(TopologicalSorter(graph).static_order())


def test_only_the_command_line_imports_experiments():
    for name in FILES:
        if not name.startswith(("linmem.experiments", "linmem.cli", "linmem.__main__")):
            assert not any(other.startswith("linmem.experiments") for other in GRAPH[name]), name


def test_the_graph_is_not_empty():
    assert "linmem.sequences" in GRAPH["linmem.autoencoder.history.in_memory"]
    assert sum(map(len, GRAPH.values())) > len(FILES)


def test_importing_linmem_imports_nothing_optional_or_heavy():
    heavy = (
        "matplotlib mido pretty_midi pooch mir_eval music21 onnx onnxruntime triton jsonargparse optuna yaml jinja2 "
        "markdown_it sklearn scipy"
    )
    code = (
        "import sys, torch; before = set(sys.modules); import linmem;"
        f"print([name for name in {heavy.split()!r} if name in set(sys.modules) - before])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_every_public_name_is_importable():
    for name in linmem.__all__:
        assert getattr(linmem, name) is not None
    assert set(linmem.__all__) <= set(dir(linmem))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        linmem.nothing  # noqa: B018


@pytest.mark.parametrize(("short", "full"), PUBLIC_PATHS.items())
def test_short_paths_are_the_same_modules(short, full):
    code = (
        f"import importlib, {short}; first = importlib.import_module({short!r}); "
        f"second = importlib.import_module({full!r}); assert first is second; assert second.__spec__.name == {full!r}; "
        f"assert {short} is first"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_no_file_is_longer_than_350_lines():
    for path in FILES.values():
        assert len(path.read_text().splitlines()) <= 350, f"{path} is too long: split it"


def test_no_two_files_have_the_same_name():
    # A command has the name of the function it calls, and the folders of experiments share one shape. Elsewhere a name
    # comes back only where it means the same in each folder.
    shared = {"__init__", "__main__", "options", "fused"}
    repeating = ("linmem.cli.commands.", "linmem.experiments.")
    names = Counter(path.stem for name, path in FILES.items() if not name.startswith(repeating))
    assert {name for name, count in names.items() if count > 1} == shared


def test_nothing_is_pickled():
    for path in FILES.values():
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                assert "pickle" not in ast.unparse(node), f"{path}:{node.lineno}"
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("torch.load", "torch.save", "joblib.load"):
                raise AssertionError(f"{path}:{node.lineno} reads or writes pickles")
