"""The compiled loops: the same numbers, and no harm where they cannot be had."""

import subprocess

import pytest
import torch

from linmem.nn.lmn import LMN
from linmem.nn.scan import native
from linmem.nn.scan.choice import ENGINES, choose

compiled = pytest.mark.skipif(native.library() is None, reason="no C compiler here: the other engines do the work")
cpu = torch.device("cpu")


@compiled
@pytest.mark.parametrize(
    ("name", "function"),
    [("tanh", torch.tanh), ("selu", torch.selu), ("relu", torch.relu), ("identity", lambda v: v)],
)
def test_nonlinearities_to_the_last_bits(name, function):
    values = torch.cat([torch.linspace(-12, 12, 20001), torch.tensor([0.0, 1e-30, -1e-30, 1e-5, -1e-5, 200.0, -200.0])])
    f, engine = 7, ENGINES["native"]
    v = torch.nn.functional.pad(values, (0, -len(values) % f)).view(-1, f)
    blocks = torch.zeros(2 * len(v), 1 + f)
    blocks[: len(v), 1:] = v
    engine.forward(name, [len(v)], torch.zeros_like(v), blocks, engine.linear(torch.zeros(1 + f, 1 + f), None, 1), 1)
    wanted = function(v.double())
    error = (blocks[: len(v), 1:].double() - wanted).abs()
    assert (error <= 3e-7 * wanted.abs() + 1e-37).all()


@compiled
def test_not_a_number_goes_through():
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
    wanted = (z.double() @ weight.double().t() + bias.double()).float()
    torch.testing.assert_close(blocks[rows:], wanted, rtol=1e-5, atol=1e-4)
    assert torch.equal(blocks[:rows], z)


@compiled
def test_threads_share_out_the_sequences(monkeypatch):
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
        for found, wanted in zip(other, results[0], strict=True):
            torch.testing.assert_close(found, wanted)


@pytest.fixture
def fresh_library():
    native.library.cache_clear()
    yield
    native.library.cache_clear()


@pytest.mark.usefixtures("fresh_library")
@pytest.mark.parametrize("obstacle", ["switched off", "no compiler", "compiler fails", "no place"])
def test_without_it_the_other_engines_work(monkeypatch, tmp_path, obstacle):
    monkeypatch.delenv("LINMEM_ENGINE", raising=False)
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    if obstacle == "switched off":
        monkeypatch.setenv("LINMEM_NATIVE", "0")
    elif obstacle == "no compiler":
        monkeypatch.setattr(native.shutil, "which", lambda name: None)
        monkeypatch.setattr(native, "find_spec", lambda name: None)
    elif obstacle == "compiler fails":
        monkeypatch.setenv("CC", "false")
    else:
        (tmp_path / "linmem").write_text("a file where the folder should be")
    assert native.library() is None
    assert not ENGINES["native"].knows(torch.float32, cpu)
    assert choose(4, 9, 24, False, torch.float32, cpu).loop.name != "native"


@compiled
@pytest.mark.usefixtures("fresh_library")
def test_it_is_built_once(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert native.library() is not None
    assert len(list((tmp_path / "linmem").iterdir())) == 1
    native.library.cache_clear()

    def no_more(*_, **__):
        raise subprocess.SubprocessError

    monkeypatch.setattr(native.subprocess, "run", no_more)
    assert native.library() is not None


def test_a_compiler_from_pypi_serves_where_the_machine_has_none(monkeypatch):
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(native.shutil, "which", lambda name: None)
    monkeypatch.setattr(native, "find_spec", lambda name: name == "ziglang")
    assert native._compiler()[1:] == ["-m", "ziglang", "cc"]
    monkeypatch.setenv("CC", "ccache gcc")
    assert native._compiler() == ["ccache", "gcc"]
