"""The history matrix as an operator: equal to the matrix itself, adjoint to its adjoint, and a sum over sequences."""

import pytest
import torch

from linmem.autoencoder.history import gram_matrix
from linmem.autoencoder.history.batches import group_by_cost
from linmem.autoencoder.history.in_memory import InMemoryHistory
from linmem.autoencoder.history.operator import HistoryOperator
from linmem.autoencoder.history.out_of_core import StreamedHistory
from linmem.autoencoder.history.precomputed import FactorHistory, GramHistory, SummedHistory
from linmem.autoencoder.history.survey import LagWeights, Survey

LENGTHS = {
    "ragged": [7, 3, 12, 1, 7, 2],
    "equal": [5, 5, 5],
    "one step": [1, 1],
    "one": [9],
    "long and short": [150, 2, 3],
}
LAGS = {"all lags": {}, "4 lags": {"lags": 4}, "decay": {"decay": 0.7}, "4 lags, decay": {"lags": 4, "decay": 0.7}}


def sequences(lengths, features=3, seed=0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(length, features, generator=generator, dtype=torch.float64) for length in lengths]


def naive(history: InMemoryHistory) -> torch.Tensor:
    """Ξ written entry by entry from its definition."""
    rows = []
    for values in history.sequences():
        for step in range(len(values)):
            row = torch.zeros(history.lags, history.features, dtype=torch.float64)
            for lag in range(min(step + 1, history.lags)):
                row[lag] = history.decay**lag * values[step - lag]
            rows.append(row.flatten())
    return torch.stack(rows)


@pytest.fixture(params=LENGTHS, ids=list(LENGTHS))
def lengths(request) -> list[int]:
    return LENGTHS[request.param]


@pytest.fixture(params=LAGS, ids=list(LAGS))
def history(request, lengths) -> InMemoryHistory:
    return InMemoryHistory(sequences(lengths), **LAGS[request.param])


def random_block(history: HistoryOperator, columns: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(history.lags, history.features, columns, generator=generator, dtype=torch.float64)


def test_dot_product(history):
    block = random_block(history, 2)
    states = torch.randn(history.rows, 2, dtype=torch.float64)
    left, right = (states * history.matvec(block)).sum(), (history.rematvec(states) * block).sum()
    torch.testing.assert_close(left, right, rtol=1e-12, atol=1e-12)


def test_operator_equals_the_matrix(history):
    matrix, block = naive(history), random_block(history, 40)  # 40 columns are three blocks
    torch.testing.assert_close(history.dense(), matrix, rtol=1e-15, atol=0)
    flat = block.flatten(0, 1)
    torch.testing.assert_close(history.matvec(block), matrix @ flat)
    torch.testing.assert_close(history.rematvec(matrix @ flat).flatten(0, 1), matrix.T @ (matrix @ flat))
    torch.testing.assert_close(history.gram_matvec(block).flatten(0, 1), matrix.T @ (matrix @ flat))
    assert history.energy == pytest.approx(float(matrix.square().sum()))
    by_lag = matrix.view(-1, history.lags, history.features).square().sum((0, 2))
    torch.testing.assert_close(history.lag_energy(), by_lag)


def test_gram_matrix_equals_the_product_of_the_matrix_with_itself(history, monkeypatch):
    monkeypatch.setattr(gram_matrix, "CHUNK_NUMBERS", 2 * history.lags * history.features)  # several chunks
    matrix, block = naive(history), random_block(history, 2)
    before = history.gram_matvec(block)
    torch.testing.assert_close(history.gram(), matrix.T @ matrix, rtol=1e-12, atol=1e-13 * history.energy)
    torch.testing.assert_close(history.gram_matvec(block), before, rtol=1e-12, atol=1e-12 * history.energy)


@pytest.mark.parametrize("lags", [1, 2, 5, 149])
def test_correlations_of_many_pieces(lags, monkeypatch):
    monkeypatch.setattr(gram_matrix, "PIECE", 2)
    monkeypatch.setattr(gram_matrix, "CHUNK_NUMBERS", 100)
    given = sequences(LENGTHS["long and short"])
    expected = [
        sum((values[lag:].T @ values[: len(values) - lag] for values in given if lag < len(values)), torch.zeros(3, 3))
        for lag in range(lags)
    ]
    found = gram_matrix.lag_correlations(given, lags)
    torch.testing.assert_close(found, torch.stack(expected), rtol=1e-12, atol=1e-10)


@pytest.mark.parametrize("weights", [LagWeights(), LagWeights(0.7, 4)])
def test_other_histories_equal_the_one_in_memory(lengths, weights):
    given = sequences(lengths)
    history = InMemoryHistory(given, lags=weights.count(max(lengths)), decay=weights.decay)
    others = [
        StreamedHistory(given, Survey.of(given, 3, torch.device("cpu"), weights)),
        GramHistory(history.gram(), history.lags, history.rows, history.decay),
        FactorHistory(history.dense(), history.lags, history.rows, history.energy, history.decay),
    ]
    block = random_block(history, 2)
    for other in others:
        assert (other.lags, other.features, other.rows) == (history.lags, history.features, history.rows)
        assert other.energy == pytest.approx(history.energy, rel=1e-12)
        torch.testing.assert_close(other.gram_matvec(block), history.gram_matvec(block))
        torch.testing.assert_close(other.lag_energy(), history.lag_energy())
        if "gram" in other.provides:
            torch.testing.assert_close(other.gram(), history.gram())
        plain = other.unweighted()
        if plain is not None:
            torch.testing.assert_close(plain.gram_matvec(block), history.unweighted().gram_matvec(block))


def test_missing_capability_is_named():
    with pytest.raises(ValueError, match="must provide 'dense' for this operation, got a GramHistory"):
        GramHistory(torch.eye(3), 1, 3, 1.0).dense()


def test_columns_are_columns(history):
    middle = history.lags // 2
    torch.testing.assert_close(
        torch.cat([history.columns(0, middle), history.columns(middle, history.lags)], 1), history.dense()
    )


def test_shift_of_rows_is_shift_of_columns(lengths):
    """R_row Ξ = Ξ R, the reason why B = Uᵀ R U needs no data."""
    history = InMemoryHistory(sequences(lengths))
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
    whole = InMemoryHistory(values)
    block = random_block(whole, 3)
    parts = [InMemoryHistory(values[:2], lags=12), InMemoryHistory(values[2:], lags=12)]
    torch.testing.assert_close(SummedHistory(parts).gram_matvec(block), whole.gram_matvec(block))
    assert SummedHistory(parts).energy == pytest.approx(whole.energy)
    torch.testing.assert_close(SummedHistory(parts).lag_energy(), whole.lag_energy())
    monkeypatch.setattr("linmem.autoencoder.history.batches.BATCH_NUMBERS", 1)
    torch.testing.assert_close(InMemoryHistory(values).gram_matvec(block), whole.gram_matvec(block))


def test_mean_and_features_are_taken_before_the_zeros():
    values = sequences([4, 2])
    mean = torch.tensor([1.0, 2.0, 3.0])
    view = InMemoryHistory(values, mean=mean, features=[0, 2])
    direct = InMemoryHistory([(sequence - mean)[:, [0, 2]] for sequence in values])
    torch.testing.assert_close(view.dense(), direct.dense())


@pytest.mark.parametrize("weights", [LagWeights(), LagWeights(0.7, 4), LagWeights(0.9, 400)])
def test_survey_gives_the_energy_with_and_without_mean(lengths, weights):
    given = sequences(lengths)
    survey = Survey.of(given[:1], 3, torch.device("cpu"), weights) + Survey.of(
        given[1:], 3, torch.device("cpu"), weights
    )
    for mean in (None, survey.mean):
        history = InMemoryHistory(given, lags=weights.count(max(lengths)), mean=mean, decay=weights.decay)
        assert survey.energy(mean) == pytest.approx(history.energy, rel=1e-12)
    factors = torch.tensor([2.0, 4.0, 0.5], dtype=torch.float64)
    scaled = Survey.of([one * factors for one in given], 3, torch.device("cpu"), weights)
    assert survey.scaled(factors).energy(scaled.mean) == pytest.approx(scaled.energy(scaled.mean), rel=1e-12)


def test_lags_beyond_those_that_count_hold_a_ten_millionth_of_the_energy():
    for decay in (0.3, 0.5, 0.9, 0.99):
        lags = LagWeights.of(decay).lags
        assert decay ** (2 * lags) <= 1e-7 < decay ** (2 * (lags - 1))
    assert LagWeights.of(1.0).lags is None


@pytest.mark.parametrize("lengths", LENGTHS.values())
def test_groups_hold_each_sequence_once(lengths):
    assert sorted(index for group in group_by_cost(lengths, 3) for index in group) == list(range(len(lengths)))


def test_groups_separate_long_sequences_from_short_ones():
    assert group_by_cost([1000] * 5 + [10] * 50, 3) == [list(range(5, 55)), list(range(5))]
    assert len(group_by_cost([100, 101, 102], 88)) == 1
