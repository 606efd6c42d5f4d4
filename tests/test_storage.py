"""Files: what is written is read back, every byte is checked, and a write that fails changes nothing."""

import os
import stat

import pytest
import torch
from safetensors.torch import save_file

from linmem.storage import atomic, tensor_file

TENSORS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(3), "empty": torch.zeros(0, 4)}


def test_roundtrip(tmp_path):
    path = tmp_path / "x.safetensors"
    tensor_file.write(path, TENSORS, {"name": "ä", "numbers": [1, 2.5, None]})
    tensors, description = tensor_file.read(path)
    assert description == {"name": "ä", "numbers": [1, 2.5, None]}
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype
        assert torch.equal(tensors[name], tensor)
    assert [file.name for file in tmp_path.iterdir()] == ["x.safetensors"]


def test_a_view_and_a_transpose_are_written_as_they_look(tmp_path):
    whole = torch.arange(12.0).reshape(3, 4)
    tensor_file.write(tmp_path / "x", {"transposed": whole.T, "row": whole[1]}, {})
    tensors, _ = tensor_file.read(tmp_path / "x")
    assert torch.equal(tensors["transposed"], whole.T)
    assert torch.equal(tensors["row"], whole[1])


def test_tensors_that_share_memory_are_written_one_by_one(tmp_path):
    whole = torch.arange(12.0).reshape(3, 4)
    shared = {"whole": whole, "again": whole, "row": whole[1], "end": whole[1:]}
    tensor_file.write(tmp_path / "x", shared, {})
    tensors, _ = tensor_file.read(tmp_path / "x")
    assert {name: tensor.tolist() for name, tensor in tensors.items()} == {k: v.tolist() for k, v in shared.items()}


def test_every_single_byte_counts(tmp_path):
    path = tmp_path / "x.safetensors"
    tensor_file.write(path, TENSORS, {"valid_loss": 8.25})
    content = path.read_bytes()
    for place in range(len(content)):
        altered = bytearray(content)
        altered[place] ^= 1
        path.write_bytes(altered)
        with pytest.raises(ValueError, match="Write it again"):
            tensor_file.read(path)


def test_the_same_content_gives_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        tensor_file.write(tmp_path / name, TENSORS, {"b": 1, "a": 2})
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


@pytest.mark.parametrize("kept", [0, 7, 40, -5])
def test_a_truncated_file_is_refused(tmp_path, kept):
    path = tmp_path / "x.safetensors"
    tensor_file.write(path, TENSORS, {})
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match="Write it again"):
        tensor_file.read(path)


def test_files_of_others_and_missing_files_are_refused(tmp_path):
    save_file({"a": torch.ones(1)}, tmp_path / "theirs")
    with pytest.raises(ValueError, match="must be a file of format 'linmem/2'"):
        tensor_file.read(tmp_path / "theirs")
    with pytest.raises(FileNotFoundError, match="must be an existing file"):
        tensor_file.read(tmp_path / "nothing")


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    atomic.write_text(tmp_path / "x", "old")
    with pytest.raises(RuntimeError, match="disk"), atomic.replacing(tmp_path / "x") as partial:  # noqa: PT012
        partial.write_text("half")
        raise RuntimeError("disk")
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("x", "old")]


def test_files_have_the_mode_of_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        tensor_file.write(tmp_path / "x", TENSORS, {})
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o640


def test_only_regular_files_are_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "missing")
    for name in ("pipe", "folder", "link"):
        with pytest.raises(ValueError, match="must be a regular file"):
            atomic.write_text(tmp_path / name, "x")
    with pytest.raises(FileNotFoundError, match="must lie in an existing folder"):
        atomic.write_text(tmp_path / "no" / "x", "x")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
