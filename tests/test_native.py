"""The compiled loops: their numbers, and the cache of the compiled library."""

import hashlib
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from linmem.nn.lmn import LMN
from linmem.nn.scan import compiled_library
from linmem.nn.scan.compiled_library import library
from linmem.nn.scan.libraries import ENGINES, choose_libraries
from tests.rounding import assert_equal_but_for_rounding

compiled = pytest.mark.skipif(library() is None, reason="no C compiler on this machine")
cpu = torch.device("cpu")


def selu(values):
    """As torch.selu, but torch 2.6 subtracts 1 from exp and loses the digits of small numbers."""
    scale, alpha = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717
    return scale * torch.where(values > 0, values, alpha * torch.expm1(values))


@compiled
@pytest.mark.parametrize(
    ("name", "function"),
    [("tanh", torch.tanh), ("selu", selu), ("relu", torch.relu), ("identity", lambda v: v)],
)
def test_nonlinearities_to_the_last_bits(name, function):
    values = torch.cat([torch.linspace(-12, 12, 20001), torch.tensor([0.0, 1e-30, -1e-30, 1e-5, -1e-5, 200.0, -200.0])])
    f, engine = 7, ENGINES["native"]
    v = torch.nn.functional.pad(values, (0, -len(values) % f)).view(-1, f)
    blocks = torch.zeros(2 * len(v), 1 + f)
    blocks[: len(v), 1:] = v
    engine.forward(name, [len(v)], torch.zeros_like(v), blocks, engine.linear(torch.zeros(1 + f, 1 + f), None, 1), 1)
    expected = function(v.double())
    error = (blocks[: len(v), 1:].double() - expected).abs()
    assert (error <= 2.5 * torch.finfo(torch.float32).eps * expected.abs() + 1e-37).all()


@compiled
def test_nan_is_kept():
    engine = ENGINES["native"]
    for name in ("tanh", "selu", "identity"):
        blocks = torch.zeros(2, 3)
        blocks[0, 1] = float("nan")
        engine.forward(name, [1], torch.zeros(1, 2), blocks, engine.linear(torch.eye(3), None, 1), 1)
        assert blocks[1, 1].isnan()


@compiled
@pytest.mark.parametrize("rows", [*range(1, 15), 24, 25, 37])
@pytest.mark.parametrize("width", [1, 2, 15, 16, 33, 64, 65, 129])
def test_products_of_every_size(rows, width):
    engine, weight, bias = ENGINES["native"], torch.randn(width, width), torch.randn(width)
    blocks = torch.randn(2 * rows, width)
    z = blocks[:rows].clone()
    engine.forward("identity", [rows], torch.zeros(rows, 0), blocks, engine.linear(weight, bias, rows), width)
    assert_equal_but_for_rounding(blocks[rows:], z.double() @ weight.double().t() + bias.double(), terms=width + 1)
    assert torch.equal(blocks[:rows], z)


@compiled
def test_threads_share_the_sequences(monkeypatch):
    monkeypatch.setenv("LINMEM_ENGINE", "native")
    torch.manual_seed(0)
    layer, x = LMN(3, 5, 7), torch.randn(9, 5, 3)
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, torch.tensor([9, 7, 7, 2, 1]))
    threads, results = torch.get_num_threads(), []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            layer.zero_grad()
            y, packed_y = layer(x)[0], layer(packed)[0].data
            (y.square().sum() + packed_y.square().sum()).backward()
            results.append([y, packed_y, *(p.grad.clone() for p in layer.parameters())])
    finally:
        torch.set_num_threads(threads)
    for other in results[1:]:
        assert_equal_but_for_rounding(other, results[0], terms=15, steps=9)


@pytest.fixture
def cache_folder(monkeypatch, tmp_path):
    """An empty cache for the compiled loops; what this process has loaded is forgotten before and after."""
    monkeypatch.delenv("LINMEM_ENGINE", raising=False)
    monkeypatch.delenv("LINMEM_COMPILE", raising=False)
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    library.cache_clear()
    yield tmp_path / "linmem" / "compiled"
    library.cache_clear()


def built(cache_folder):
    """The one library in the cache, built now."""
    assert library() is not None
    library.cache_clear()
    (path,) = cache_folder.glob("*.so")
    return path


def no_compiler(*_):
    raise AssertionError("compiled again")


def loop_of_a_small_layer():
    return choose_libraries(4, 9, 9, torch.float32, cpu).loop.name


@pytest.mark.parametrize(
    ("obstacle", "message"),
    [
        ("disabled", ""),
        ("no compiler", ""),
        ("compiler fails", "false must exit with status 0, got 1"),
        ("compiler missing", "No such file"),
        ("unbalanced quote", "CC must be a command line, got 'gcc \"'"),
        ("cache is a file", "File exists"),
        ("compiler hangs", "must finish within 0.2 s"),
    ],
)
def test_without_the_compiled_loops_other_engines_run(monkeypatch, cache_folder, capfd, obstacle, message):
    if obstacle == "disabled":
        monkeypatch.setenv("LINMEM_COMPILE", "0")
    elif obstacle == "no compiler":
        monkeypatch.setattr(compiled_library.shutil, "which", lambda name: None)
        monkeypatch.setattr(compiled_library, "find_spec", lambda name: None)
    elif obstacle == "cache is a file":
        cache_folder.parent.write_text("a file in place of the folder")
    elif obstacle == "compiler hangs":
        monkeypatch.setattr(compiled_library, "SECONDS", 0.2)
        monkeypatch.setenv("CC", "sh -c 'sleep 60 & wait'")  # a child process holds the output open
    else:
        commands = {"compiler fails": "false", "compiler missing": "/nowhere/cc", "unbalanced quote": 'gcc "'}
        monkeypatch.setenv("CC", commands[obstacle])
    assert library() is None
    assert loop_of_a_small_layer() in ("numpy", "onednn")
    lines = [line for line in capfd.readouterr().err.splitlines() if "compiling" not in line]
    assert len(lines) == (1 if message else 0)
    assert all(message in line and len(line) <= 300 for line in lines)
    assert not list(cache_folder.glob("*.build")) if cache_folder.is_dir() else True


@compiled
def test_the_library_is_built_once_and_announced_once(monkeypatch, cache_folder, capfd):
    path = built(cache_folder)
    assert path.with_suffix(".sha256").read_text() == hashlib.sha256(path.read_bytes()).hexdigest()
    assert cache_folder.stat().st_mode & 0o777 == 0o700
    assert path.stat().st_mode & 0o777 == 0o600
    monkeypatch.setattr(compiled_library, "_compile", no_compiler)
    assert library() is not None
    assert [line for line in capfd.readouterr().err.splitlines() if "compiling the time loops" in line] != []
    library.cache_clear()
    assert library() is not None
    assert capfd.readouterr().err == ""


@compiled
@pytest.mark.parametrize("damage", ["truncated", "empty", "changed", "no checksum", "wrong checksum"])
def test_a_damaged_library_is_built_again(cache_folder, damage):
    path = built(cache_folder)
    whole = path.read_bytes()
    if damage in ("truncated", "empty", "changed"):
        contents = {"truncated": whole[: len(whole) // 2], "empty": b"", "changed": whole[:-1] + b"x"}
        path.unlink()  # this process has loaded the file: cut in place, it could end this process with SIGBUS
        path.write_bytes(contents[damage])
        path.chmod(0o600)
    elif damage == "no checksum":
        path.with_suffix(".sha256").unlink()
    else:
        path.with_suffix(".sha256").write_bytes(b"\xff" * 64)
    assert library() is not None
    assert path.with_suffix(".sha256").read_text() == hashlib.sha256(path.read_bytes()).hexdigest()
    assert path.stat().st_size == len(whole)


@compiled
@pytest.mark.parametrize("which", ["folder", "library", "checksum"])
@pytest.mark.parametrize("danger", ["group may write", "another owner", "link"])
def test_a_library_that_others_could_change_is_not_loaded(monkeypatch, cache_folder, capfd, tmp_path, which, danger):
    path = built(cache_folder)
    capfd.readouterr()
    target = {"folder": cache_folder, "library": path, "checksum": path.with_suffix(".sha256")}[which]
    if danger == "group may write":
        target.chmod(0o770)
    elif danger == "link":
        target.rename(tmp_path / "elsewhere")
        target.symlink_to(tmp_path / "elsewhere")
    elif os.geteuid() == 0:
        os.chown(target, 12345, -1)
    else:
        monkeypatch.setattr(compiled_library.os, "geteuid", lambda: 12345)
    assert library() is None
    (line,) = capfd.readouterr().err.splitlines()
    assert "must belong to the current user" in line or "must not be a link or writable by others" in line


COMPILE = "from linmem.nn.scan.compiled_library import library; print(library() is not None)"


@compiled
def test_processes_killed_while_compiling_leave_nothing_behind(cache_folder, tmp_path):
    slow = tmp_path / "slow-cc"
    slow.write_text("#!/bin/sh\nsleep 60\n")
    slow.chmod(0o755)
    for _ in range(2):
        process = subprocess.Popen([sys.executable, "-c", COMPILE], env=os.environ | {"CC": str(slow)})
        for _ in range(600):
            if list(cache_folder.glob("*.build/messages")):
                break
            time.sleep(0.1)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert built(cache_folder).exists()
    assert sorted(path.suffix for path in cache_folder.iterdir()) == [".lock", ".sha256", ".so"]


def test_a_compiler_from_pypi_is_used_where_the_machine_has_none(monkeypatch):
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(compiled_library.shutil, "which", lambda name: None)
    monkeypatch.setattr(compiled_library, "find_spec", lambda name: name == "ziglang")
    assert compiled_library._compiler()[1:] == ["-m", "ziglang", "cc"]
    monkeypatch.setenv("CC", "ccache gcc")
    assert compiled_library._compiler() == ["ccache", "gcc"]
