"""save_pretrained and from_pretrained: the same outputs, the files of Hugging Face's mixin, refusals."""

import json
import sys
from types import ModuleType

import pytest
import torch

from linmem import LMN
from linmem.nn.registry import ModelOptions, build_model
from linmem.nn.sequence_model import SequenceModel


@pytest.mark.parametrize(
    "arguments",
    [{}, {"num_layers": 2, "bidirectional": True, "output": "functional"}, {"memory": "diagonal", "bias": False}],
    ids=["default", "stacked", "diagonal"],
)
def test_a_layer_is_restored(arguments, tmp_path):
    torch.manual_seed(0)
    layer = LMN(3, (4, 6), 5, **arguments)
    layer.save_pretrained(tmp_path / "new" / "layer")
    loaded, x = LMN.from_pretrained(tmp_path / "new" / "layer"), torch.randn(7, 2, 3)
    assert repr(loaded) == repr(layer)
    assert torch.equal(loaded(x)[0], layer(x)[0])
    assert not loaded.training


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_layer_keeps_its_dtype(dtype, tmp_path):
    LMN(3, 4, 5, dtype=dtype).save_pretrained(tmp_path)
    assert {weight.dtype for weight in LMN.from_pretrained(tmp_path).parameters()} == {dtype}


@pytest.mark.parametrize("name", ["lmn-b", "lmn-orthogonal", "lstm", "solved"])
def test_a_model_of_a_run_is_restored(name, tmp_path):
    model = build_model(ModelOptions(name, hidden_size=4, memory_size=5), 3, 2, seed=1).eval()
    for buffer in model.buffers():
        torch.nn.init.normal_(buffer)
    model.save_pretrained(tmp_path)
    loaded, x = SequenceModel.from_pretrained(str(tmp_path)), torch.randn(2, 7, 3)
    assert type(loaded) is type(model)
    assert torch.equal(loaded(x)[0], model(x)[0])
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["model"] == name
    assert config["input_size"] == 3


def test_files_are_those_of_the_mixin(tmp_path):
    hub = pytest.importorskip("huggingface_hub")

    class Hosted(hub.PyTorchModelHubMixin, LMN):
        """The layer with the methods of the mixin."""

    layer, x = LMN(3, 4, 5), torch.randn(7, 2, 3)
    layer.save_pretrained(tmp_path / "ours")
    assert torch.equal(Hosted.from_pretrained(tmp_path / "ours")(x)[0], layer(x)[0])
    hosted = Hosted(3, 4, 5)
    hosted.save_pretrained(tmp_path / "theirs")
    assert torch.equal(LMN.from_pretrained(tmp_path / "theirs")(x)[0], hosted(x)[0])


@pytest.mark.parametrize(
    ("kind", "config", "message"),
    [
        (SequenceModel, {}, "must be a JSON object with 'model', got one without it"),
        (SequenceModel, {"model": 3}, "model in .* must be a str, got 3"),
        (SequenceModel, {"model": "gru", "input_size": 3, "output_size": 2, "x": 1}, "must be the configuration of a "),
        (SequenceModel, {"model": "gru", "input_size": -3, "output_size": 2}, "got: input_size must be at least 1"),
        (SequenceModel, [], "must be a JSON object, got list"),
        (LMN, {}, "must be a JSON object with 'input_size', got one without it"),
        (LMN, {"input_size": 3, "hidden_size": ["4"], "memory_size": 5}, "must be the configuration of a LMN, got: "),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused_with_file_and_reason(kind, config, message, tmp_path):
    build_model(ModelOptions("gru", hidden_size=4), 3, 2).save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    with pytest.raises(ValueError, match=message) as caught:
        kind.from_pretrained(tmp_path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_device_and_the_options_of_a_download_are_those_of_the_mixin(tmp_path, monkeypatch):
    layer, asked = LMN(3, 4, 5), {}
    layer.save_pretrained(tmp_path)
    assert LMN.from_pretrained(tmp_path, map_location="meta", revision="main").weight_xh_l0.is_meta
    hub = ModuleType("huggingface_hub")
    hub.snapshot_download = lambda name, **options: asked.update(name=name, **options) or str(tmp_path)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    loaded = LMN.from_pretrained("some/model", revision="v2", cache_dir="cache", token="t", local_files_only=True)
    assert torch.equal(loaded.weight_xh_l0, layer.weight_xh_l0)
    assert asked["name"] == "some/model"
    assert (asked["revision"], asked["cache_dir"], asked["token"]) == ("v2", "cache", "t")
    assert asked["local_files_only"]
    assert not asked["force_download"]


def test_bad_folders_are_refused(tmp_path, monkeypatch):
    layer = LMN(3, 4, 5)
    with pytest.raises(ValueError, match="got no config.json"):
        LMN.from_pretrained(tmp_path)
    layer.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(layer.configuration() | {"memory_size": 6}))
    with pytest.raises(ValueError, match="must hold a LMN, got another model"):
        LMN.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match="config.json must be JSON, got: "):
        LMN.from_pretrained(tmp_path)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match="must be a folder, got 'no/such'"):
        LMN.from_pretrained("no/such")
    with pytest.raises(ValueError, match="to have a configuration, got another SequenceModel"):
        SequenceModel(layer, torch.nn.Linear(5, 2)).save_pretrained(tmp_path)
