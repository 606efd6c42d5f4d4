"""Ragged sequences: padding loses nothing, the caller's data stays, and each kind of bad input has its own line."""

import itertools

import numpy as np
import pytest
import torch

from linmem.sequences import check_sequences, length_buckets, pad, unpad, valid_mask

LENGTHS = [3, 1, 5, 3]


@pytest.fixture
def ragged() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(length, 2, generator=generator) for length in LENGTHS]


def test_unpad_inverts_pad(ragged):
    padded = pad(ragged)
    assert padded.values.shape == (4, 5, 2)
    assert padded.lengths.tolist() == LENGTHS
    for back, sequence in zip(unpad(*padded), ragged, strict=True):
        assert torch.equal(back, sequence)


def test_mask_marks_exactly_the_padding(ragged):
    padded = pad([torch.ones_like(sequence) for sequence in ragged])
    assert torch.equal(valid_mask(padded.lengths), padded.values[:, :, 0] == 1)
    assert valid_mask(padded.lengths, 7).shape == (4, 7)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 10])
def test_buckets_hold_each_sequence_once_and_do_not_overlap_in_length(batch_size):
    lengths = [7, 2, 9, 2, 5, 1, 8]
    buckets = length_buckets(lengths, batch_size)
    assert sorted(index for bucket in buckets for index in bucket) == list(range(7))
    assert max(len(bucket) for bucket in buckets) <= batch_size
    for shorter, longer in itertools.pairwise(buckets):
        assert max(lengths[i] for i in shorter) <= min(lengths[i] for i in longer)


SINGLE = [np.float16, np.float32, np.bool_, np.uint8, np.int16, np.uint16, ">f4"]
DOUBLE = [np.float64, np.int32, np.int64, np.uint64, ">f8", ">i4", np.longdouble, object]


@pytest.mark.parametrize(
    ("dtype", "expected"), [(one, torch.float32) for one in SINGLE] + [(one, torch.float64) for one in DOUBLE]
)
def test_types(dtype, expected):
    array = np.eye(3, 2).astype(dtype)
    (tensor,) = check_sequences([array])
    assert tensor.dtype == expected
    assert np.array_equal(tensor.numpy(), np.eye(3, 2))


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int16, torch.bfloat16, torch.int32, torch.int64])
def test_tensors_have_the_dtype_of_equal_arrays(dtype):
    (tensor,) = check_sequences([torch.eye(3, 2).to(dtype)])
    assert tensor.dtype == (torch.float64 if dtype in (torch.int32, torch.int64) else torch.float32)
    assert torch.equal(tensor, torch.eye(3, 2).to(tensor))


@pytest.mark.parametrize("kind", [np.array, torch.tensor, list])
def test_large_integers_are_not_rounded(kind):
    values = [[2**24 + 1, 2**53], [2**24 + 3, -(2**31) + 1]]  # 2²⁴ + 1 is no float32
    (tensor,) = check_sequences([kind(values)])
    assert tensor.to(torch.int64).tolist() == values


def test_floats_are_shared_and_read_only_or_reversed_memory_is_accepted():
    array = np.ones((4, 2), dtype=np.float32)
    (tensor,) = check_sequences([array])
    assert tensor.data_ptr() == array.ctypes.data
    array.flags.writeable = False
    assert torch.equal(check_sequences([array[::-1]])[0], torch.ones(4, 2))
    assert torch.equal(check_sequences([array])[0], torch.ones(4, 2))
    assert torch.equal(check_sequences([array[:1][::-1]])[0], torch.ones(1, 2))
    assert torch.equal(check_sequences([array[:, :1][:, ::-1]])[0], torch.ones(4, 1))


def test_one_block_is_a_list_of_sequences(ragged):
    block = pad(ragged).values
    assert all(torch.equal(one, row) for one, row in zip(check_sequences(block), block, strict=True))
    assert len(check_sequences(block.numpy())) == 4
    assert len(check_sequences(row for row in block)) == 4


def with_value(value: float) -> list[np.ndarray]:
    sequences = [np.zeros((4, 3)) for _ in range(5)]
    sequences[2][1, 2] = value
    return sequences


@pytest.mark.parametrize(
    ("sequences", "message"),
    [
        ([], "sequences must contain at least one (T, a) sequence, got none"),
        (np.zeros((0, 4, 2)), "sequences must contain at least one (T, a) sequence, got none"),
        (np.zeros((4, 2)), "got one array of shape (4, 2). Put a single sequence into a list."),
        (7, "sequences must be a list of (T, a) sequences, got int"),
        ("abc", "sequences must be a list of (T, a) sequences, got str"),
        ([np.zeros((4, 2)), np.zeros(4)], "sequence 1 must have two dimensions (steps, features), got shape (4,)"),
        ([np.zeros((4, 2)), np.zeros((4, 3)), np.zeros((4, 2))], "sequence 1 must have 2 features, got 3"),
        ([np.zeros((4, 0))], "sequence 0 must have at least 1 feature, got 0"),
        ([np.zeros((4, 2)), np.zeros((0, 2))], "sequence 1 must have at least 1 steps, got 0"),
        ([["a", "b"]], "sequence 0 must be a matrix of numbers, got list"),
        (with_value(np.nan), "sequence 2 must be finite, got nan at step 1, feature 2"),
        (with_value(np.inf), "sequence 2 must be finite, got inf at step 1, feature 2"),
        (with_value(-np.inf), "sequence 2 must be finite, got -inf at step 1, feature 2"),
    ],
)
def test_bad_input_gets_one_clear_line(sequences, message):
    with pytest.raises(ValueError) as caught:
        check_sequences(sequences)
    assert message in str(caught.value)


def test_number_of_features_and_minimum_length_are_enforced():
    with pytest.raises(ValueError, match="sequence 0 must have 3 features, got 2"):
        check_sequences([np.zeros((4, 2))], features=3)
    with pytest.raises(ValueError, match="sequence 0 must have at least 5 steps, got 4"):
        check_sequences([np.zeros((4, 2))], min_length=5)


def test_huge_finite_values_pass():
    assert len(check_sequences([np.full((4, 2), 3e38, dtype=np.float32)])) == 1
