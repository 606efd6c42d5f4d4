"""Files of tensors: what is written is read back; what was damaged is refused."""

import pytest
import torch
from safetensors.torch import save_file

from linmem import storage

TENSORS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(3), "empty": torch.zeros(0, 4)}


def test_roundtrip(tmp_path):
    path = tmp_path / "x.safetensors"
    storage.write(path, TENSORS, {"name": "ä", "numbers": [1, 2.5, None]})
    tensors, description = storage.read(path)
    assert description == {"name": "ä", "numbers": [1, 2.5, None]}
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype
        assert torch.equal(tensors[name], tensor)
    assert [file.name for file in tmp_path.iterdir()] == ["x.safetensors"]


def test_a_view_and_a_transpose_are_written_as_they_look(tmp_path):
    whole = torch.arange(12.0).reshape(3, 4)
    storage.write(tmp_path / "x", {"transposed": whole.T, "row": whole[1]}, {})
    tensors, _ = storage.read(tmp_path / "x")
    assert torch.equal(tensors["transposed"], whole.T)
    assert torch.equal(tensors["row"], whole[1])


def test_an_altered_file_is_refused(tmp_path):
    path = tmp_path / "x.safetensors"
    storage.write(path, TENSORS, {})
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="altered: its checksum is"):
        storage.read(path)


def test_a_truncated_file_is_refused(tmp_path):
    path = tmp_path / "x.safetensors"
    storage.write(path, TENSORS, {})
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(ValueError, match="truncated"):
        storage.read(path)


def test_a_stranger_and_a_missing_file(tmp_path):
    save_file({"a": torch.ones(1)}, tmp_path / "theirs")
    with pytest.raises(ValueError, match="was not written by linmem"):
        storage.read(tmp_path / "theirs")
    with pytest.raises(FileNotFoundError, match="no such file"):
        storage.read(tmp_path / "nothing")
