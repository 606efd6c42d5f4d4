"""Digits as sequences: the IDX reader on synthetic files, the counts of the real ones, the published permutation."""

import gzip
import struct

import numpy as np
import pytest
import torch

from linmem import data
from linmem.data import downloads, mnist


def idx(kind, shape, numbers):
    return struct.pack(f">HBB{len(shape)}I", 0, kind, len(shape), *shape) + numbers.tobytes()


@pytest.mark.parametrize(("kind", "dtype"), sorted(mnist.IDX_TYPES.items()))
@pytest.mark.parametrize("shape", [(3,), (2, 3), (4, 3, 2), (0, 5)])
def test_a_written_file_is_read(tmp_path, kind, dtype, shape):
    numbers = np.random.default_rng(0).integers(0, 100, shape).astype(dtype)
    content = idx(kind, shape, numbers)
    for name, stored in (("plain", content), ("packed.gz", gzip.compress(content, mtime=0))):
        path = tmp_path / name
        path.write_bytes(stored)
        read = mnist.read_idx(path)
        assert read.dtype == np.dtype(dtype).newbyteorder("=")
        np.testing.assert_array_equal(read, numbers)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.gz", b"no gzip", "must be a readable gzip file"),
        ("x.gz", gzip.compress(b"\0\0\x08\x01" + bytes(8), mtime=0)[:-3], "must be a readable gzip file"),
        ("x", b"", "must be an IDX file, got one that begins with nothing"),
        ("x", b"\x89PNG....", "one that begins with 89504e47"),
        ("x", idx(0x08, (5,), np.zeros(4, "u1")), r"must have 13 bytes for shape \[5\], got 12"),
        ("x", idx(0x0D, (2,), np.zeros(3, ">f4")), r"must have 16 bytes for shape \[2\], got 20"),
        ("x", b"\0\0\x08\x03\0\0", r"it is damaged"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        mnist.read_idx(path)


def test_a_compressed_file_beyond_the_limit_is_not_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("LINMEM_MAX_BYTES", "100000")
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(bytes(10**7), mtime=0))
    with pytest.raises(ValueError, match=r"bomb.gz must need at most 100,000 bytes in memory, got 100,001"):
        mnist.read_idx(tmp_path / "bomb.gz")


def test_offline_one_line_says_what_to_do(tmp_path, monkeypatch):
    class Offline:
        def __init__(self, **_):
            pass

        def __call__(self, *_, **__):
            raise OSError("no network")

    monkeypatch.setattr("pooch.HTTPDownloader", Offline)
    with pytest.raises(
        ConnectionError, match=r"train-images-idx3-ubyte.gz must exist or be downloaded.*LINMEM_DATA"
    ) as caught:
        data.load("smnist", tmp_path)
    assert "\n" not in str(caught.value)


def test_the_permutation_is_the_published_one():
    order = mnist.pixel_order()
    assert sorted(order.tolist()) == list(range(784))
    assert order[:8].tolist() == [319, 576, 323, 107, 355, 716, 197, 20]


def test_digits_of_scikit_learn():
    splits = data.load("digits")
    assert [len(part) for part in (splits.train, splits.valid, splits.test)] == [1079, 359, 359]
    assert splits.classes == 10
    assert [int(label) for _, label in splits.pairs("test")] == splits.labels["test"].tolist()
    assert repr(splits) == "LabelledSplits('digits', series, 1 features, 10 classes; train 1079, valid 359, test 359)"
    for split in ("train", "valid", "test"):
        pixels = torch.stack(getattr(splits, split))
        assert pixels.shape[1:] == (64, 1)
        assert pixels.dtype == torch.float32
        assert (pixels.min(), pixels.max()) == (0, 1)
        assert splits.labels[split].dtype == torch.int64
        assert splits.labels[split].shape == (len(pixels),)
        assert splits.labels[split].bincount().min() > 20
    assert sum(len({x.numpy().tobytes() for x in getattr(splits, s)}) for s in ("train", "valid", "test")) == 1797


def test_the_first_sequences_of_a_set_by_name():
    whole, some = data.load("digits"), data.load("digits:100:40")
    assert [len(part) for part in (some.train, some.valid, some.test)] == [100, 40, 359]
    assert all(torch.equal(x, y) for x, y in zip(some.train, whole.train[:100], strict=True))
    assert torch.equal(some.labels["valid"], whole.labels["valid"][:40])
    assert some.titles["train"] == whole.titles["train"][:100]
    assert len(data.load("adding:7").targets["train"]) == 7
    for count in (0, 1080):
        with pytest.raises(
            ValueError, match=f"digits: the number of train sequences must be from 1 to 1079, got {count}"
        ):
            data.load(f"digits:{count}")
    for name in ("digits:", "digits:3:4:5:6", "digits:-1", "nothing:3"):
        with pytest.raises(ValueError, match="must be a known data set, a folder or a file"):
            data.load(name)


@pytest.mark.data
def test_counts_of_mnist():
    for file in mnist.REMOTE.values():
        if not (path := downloads.data_root() / file.place).exists():
            pytest.skip(f"{path} is missing: set LINMEM_DATA to a folder that has it")
    rows, permuted = data.load("smnist"), data.load("psmnist")
    assert [len(part) for part in (rows.train, rows.valid, rows.test)] == [50_000, 10_000, 10_000]
    digits = torch.cat([rows.labels["train"], rows.labels["valid"]]).bincount().tolist()
    assert digits == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert rows.labels["test"].bincount().tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    test = torch.stack(rows.test)
    assert test.shape == (10_000, 784, 1)
    assert float(test.mean()) == pytest.approx(0.13252, abs=1e-5)
    assert float(test.std()) == pytest.approx(0.31048, abs=1e-5)
    order = mnist.pixel_order()
    for i in (0, 9_999):
        assert torch.equal(permuted.test[i], rows.test[i][order])
    assert torch.equal(permuted.labels["valid"], rows.labels["valid"])
