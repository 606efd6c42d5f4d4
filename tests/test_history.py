"""The history matrix as an operator: equal to the matrix itself, adjoint to its adjoint, and a sum over sequences."""

import pytest
import torch

from linmem.autoencoder.history.in_memory import History, group_by_cost
from linmem.autoencoder.incremental import Sum

LENGTHS = {
    "ragged": [7, 3, 12, 1, 7, 2],
    "equal": [5, 5, 5],
    "one step": [1, 1],
    "one": [9],
    "long and short": [150, 2, 3],
}


def sequences(lengths, features=3, seed=0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(length, features, generator=generator, dtype=torch.float64) for length in lengths]


def naive(history: History) -> torch.Tensor:
    """Ξ written down entry by entry from its definition."""
    rows = []
    for values in history:
        for step in range(len(values)):
            row = torch.zeros(history.lags, history.features, dtype=torch.float64)
            for lag in range(step + 1):
                row[lag] = values[step - lag]
            rows.append(row.flatten())
    return torch.stack(rows)


@pytest.fixture(params=LENGTHS, ids=list(LENGTHS))
def history(request) -> History:
    return History(sequences(LENGTHS[request.param]))


def random_block(history: History, columns: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(history.lags, history.features, columns, generator=generator, dtype=torch.float64)


def test_dot_product(history):
    block = random_block(history, 2)
    states = [torch.randn(length, 2, dtype=torch.float64) for length in history.lengths]
    left = sum((y * image).sum() for y, image in zip(states, history.apply(block), strict=True))
    right = (history.adjoint(states) * block).sum()
    torch.testing.assert_close(left, right, rtol=1e-12, atol=1e-12)


def test_operator_is_the_matrix(history):
    matrix, block = naive(history), random_block(history, 40)  # 40 columns are two blocks
    torch.testing.assert_close(history.dense(), matrix, rtol=0, atol=0)
    flat = block.flatten(0, 1)
    torch.testing.assert_close(torch.cat(history.apply(block)), matrix @ flat)
    torch.testing.assert_close(history.gram(block).flatten(0, 1), matrix.T @ (matrix @ flat))
    assert history.energy == pytest.approx(float(matrix.square().sum()))
    by_lag = matrix.view(-1, history.lags, history.features).square().sum((0, 2))
    torch.testing.assert_close(history.lag_energy(), by_lag)


def test_columns_are_columns(history):
    middle = history.lags // 2
    torch.testing.assert_close(
        torch.cat([history.columns(0, middle), history.columns(middle, history.lags)], 1), history.dense()
    )


def test_shift_of_rows_is_shift_of_columns(history):
    """R_row Ξ = Ξ R, the reason why B = Uᵀ R U needs no data."""
    matrix = history.dense()
    row_shift = torch.zeros(history.rows, history.rows, dtype=torch.float64)
    row = 0
    for length in history.lengths:
        for step in range(1, length):
            row_shift[row + step, row + step - 1] = 1
        row += length
    size, features = matrix.shape[1], history.features
    column_shift = torch.diag(torch.ones(size - features, dtype=torch.float64), -features)
    torch.testing.assert_close(row_shift @ matrix, matrix @ column_shift, rtol=0, atol=0)


def test_gram_is_a_sum_over_sequences_in_any_batches(monkeypatch):
    values = sequences([7, 3, 12, 1, 7, 2])
    whole = History(values)
    block = random_block(whole, 3)
    parts = [History(values[:2], lags=12), History(values[2:], lags=12)]
    torch.testing.assert_close(Sum(parts).gram(block), whole.gram(block))
    assert Sum(parts).energy == pytest.approx(whole.energy)
    monkeypatch.setattr("linmem.autoencoder.history.in_memory.BATCH_NUMBERS", 1)
    torch.testing.assert_close(History(values).gram(block), whole.gram(block))


def test_mean_and_features_are_taken_before_the_zeros():
    values = sequences([4, 2])
    mean = torch.tensor([1.0, 2.0, 3.0])
    view = History(values, mean=mean, features=[0, 2])
    direct = History([(sequence - mean)[:, [0, 2]] for sequence in values])
    torch.testing.assert_close(view.dense(), direct.dense())


def test_too_few_lags_are_refused():
    with pytest.raises(ValueError, match="lags is 3, but a sequence has 4 steps"):
        History(sequences([4]), lags=3)


@pytest.mark.parametrize("lengths", LENGTHS.values())
def test_groups_hold_each_sequence_once(lengths):
    assert sorted(index for group in group_by_cost(lengths, 3) for index in group) == list(range(len(lengths)))


def test_groups_part_the_long_from_the_short():
    assert group_by_cost([1000] * 5 + [10] * 50, 3) == [list(range(5, 55)), list(range(5))]
    assert len(group_by_cost([100, 101, 102], 88)) == 1
