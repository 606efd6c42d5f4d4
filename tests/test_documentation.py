"""Documentation: every snippet runs, every command line is valid, every public name has an example and a page."""

from __future__ import annotations

import doctest
import importlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import linmem
from linmem.cli.commands import COMMANDS
from linmem.cli.main import parser
from linmem.public_paths import PUBLIC_PATHS
from tests.documentation import ROOT, blocks, missing, pages, shell_lines, words

pytestmark = pytest.mark.skipif(not (ROOT / "docs").is_dir(), reason="only a checkout has the documentation")
PAGES = {path.relative_to(ROOT).as_posix(): path for path in pages()} if (ROOT / "docs").is_dir() else {}
WITH_PYTHON = [name for name, path in PAGES.items() if any(block.language == "python" for block in blocks(path))]
LINES = [(name, line) for name, path in PAGES.items() for line in shell_lines(path)]
API = ROOT / "docs" / "api" / "index.md"


@pytest.mark.parametrize("name", WITH_PYTHON)
def test_snippets_of_a_page_run_in_order(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    state: dict[str, object] = {"__name__": "page"}
    skipped = []
    for block in blocks(PAGES[name]):
        if "file" in block.comments:
            Path(block.comments["file"]).write_text(block.code)
        if "run before the next block" in block.comments:
            exec(block.comments["run before the next block"], state)
        absent = missing(block.comments.get("needs", ""))
        if block.language != "python" or "do not run" in block.comments:
            continue
        if absent:
            skipped += absent
            continue
        if ">>>" in block.code:
            test = doctest.DocTestParser().get_doctest(block.code, state, name, name, block.line)
            assert doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test).failed == 0
        else:
            exec(compile("\n" * block.line + block.code, PAGES[name], "exec"), state)
    if skipped:
        pytest.skip(f"not installed here: {', '.join(skipped)}; all other blocks of {name} ran")


@pytest.mark.parametrize(("name", "line"), LINES)
def test_a_command_line_is_valid(name, line):
    program, *arguments = words(line)
    if program == "torchrun" and "-m" in arguments and arguments[arguments.index("-m") + 1] == "linmem":
        program, arguments = "linmem", arguments[arguments.index("-m") + 2 :]
    if program == "linmem":
        check_linmem(arguments)
    elif program == "make":
        assert re.search(rf"^{arguments[0]}:", (ROOT / "Makefile").read_text(), re.M)
    elif program == "pip":
        extras = set(re.findall(r"\[([\w,]+)\]", " ".join(arguments)))
        declared = re.findall(r"^(\w+) = \[", (ROOT / "pyproject.toml").read_text(), re.M)
        assert {one for extra in extras for one in extra.split(",")} <= set(declared)
    elif program == "python":
        script = ROOT / arguments[0]
        assert script.is_file()
        options = [argument for argument in arguments[1:] if argument.startswith("--")]
        assert all(option.removeprefix("--") in script.read_text() for option in options)


def check_linmem(arguments):
    """Parse the arguments; words in capitals, such as DATA, stand for values."""
    if arguments == ["COMMAND", "--help"]:
        return
    command = arguments[0]
    assert command in COMMANDS
    parser(command).parse_args(arguments, defaults=False)


def test_the_list_of_commands_is_complete():
    listed = {words(line)[1] for line in shell_lines(ROOT / "README.md") if line.startswith("linmem ")}
    assert set(COMMANDS) <= listed


def public_objects():
    """Names of the API page with their objects."""
    for name in re.findall(r"^   ([\w.]+)$", API.read_text(), re.M):
        found, parts = linmem, name.split(".")
        for i, part in enumerate(parts):
            if not hasattr(found, part):
                importlib.import_module(".".join(["linmem", *parts[: i + 1]]))
            found = getattr(found, part)
        yield name, found


def test_every_public_name_is_on_the_api_page():
    listed = {name for name, _ in public_objects()}
    expected = {name for name in linmem.__all__ if not hasattr(getattr(linmem, name), "__path__")}
    modules = {name for name in expected if isinstance(getattr(linmem, name), type(sys))}
    assert expected - modules <= listed
    for name in [*PUBLIC_PATHS, "linmem.data"]:
        module = importlib.import_module(name)
        short = name.removeprefix("linmem.")
        for inner in getattr(module, "__all__", []):
            if inner != "SETS":
                assert f"{short}.{inner}" in listed


@pytest.mark.parametrize(
    ("name", "found"), list(public_objects()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_public_name_has_an_example(name, found):
    tests = doctest.DocTestFinder().find(found, name)
    assert any(test.examples for test in tests), f"{name} has no example in its docstring"


SHORT = {"bench": ["--help"], "demo": ["--help"]}  # .ci/run runs the demo
NOT_RUN = re.compile(
    r"\b(DATA|RUN|FIT|FILE|NAME|COMMAND|DIR)\b|jsb_chorales|muse_data|melody\.mid"
    r"|--protocol \w+\b(?! --dry_run)"  # hours
)


@pytest.fixture(scope="session")
def installed_wheel(tmp_path_factory):
    """A folder with linmem as a wheel installs it."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    built = subprocess.run([*pip, "wheel", "--no-deps", "-w", folder, ROOT], capture_output=True, text=True)
    if built.returncode:
        pytest.skip(f"no wheel could be built here: {built.stderr.strip().splitlines()[-1]}")
    (wheel,) = folder.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", folder / "site", wheel], check=True)
    return folder / "site"


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({name for name, line in LINES if line.startswith("linmem ")}))
def test_command_lines_of_a_page_run_from_an_installed_wheel(name, installed_wheel, tmp_path):
    state: dict[str, object] = {}
    environment = os.environ | {"PYTHONPATH": str(installed_wheel), "OMP_NUM_THREADS": "1"}
    if (ROOT / "results").is_dir():
        shutil.copytree(ROOT / "results", tmp_path / "results", ignore=shutil.ignore_patterns("work", "*.png"))
    here = Path.cwd()
    os.chdir(tmp_path)
    try:
        for block in blocks(PAGES[name]):
            if "file" in block.comments:
                Path(block.comments["file"]).write_text(block.code)
            if "run before the next block" in block.comments and block.language != "python":
                exec(block.comments["run before the next block"], state)
    finally:
        os.chdir(here)
    for line in shell_lines(PAGES[name]):
        if not line.startswith("linmem ") or NOT_RUN.search(line):
            continue
        arguments = words(line)[1:]
        arguments += SHORT.get(arguments[0], [])
        if arguments[0] == "train" and "--model" in arguments and "estimator" not in arguments:
            arguments += ["--max_epochs", "1", *(["--pretrain_epochs", "1"] if "--pretrain" in arguments else [])]
        command = [sys.executable, "-m", "linmem", *arguments]
        run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert run.returncode == 0, f"{' '.join(arguments)}\n{run.stderr}"
