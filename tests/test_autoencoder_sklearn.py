"""LinearAutoencoder among other estimators: pipelines, searches, copies, pickles, and sklearn's own checks."""

import warnings

import joblib
import numpy as np
import pytest
from sklearn.base import clone, is_classifier
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning, FitFailedWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks
from sklearn.utils.validation import check_is_fitted

from linmem.autoencoder.estimator import LinearAutoencoder
from linmem.autoencoder.solvers import Randomized


@pytest.fixture(scope="module")
def waves():
    """Waves of many lengths that grow or fade, two classes."""
    random = np.random.default_rng(0)
    sequences, labels = [], []
    for number in range(120):
        label = number % 2
        time = np.arange(random.integers(20, 40))
        decay = 0.8 ** (len(time) - time) if label else 0.8**time  # what stands at the end, or at the beginning
        wave = np.stack([np.ones_like(time), np.cos(time)], 1) * decay[:, None]
        sequences.append(wave + 0.1 * random.standard_normal(wave.shape))
        labels.append(label)
    return sequences, np.array(labels)


def test_pipeline_classifies_sequences(waves):
    sequences, labels = waves
    model = make_pipeline(LinearAutoencoder(8), StandardScaler(), LogisticRegression())
    model.fit(sequences[:90], labels[:90])
    assert is_classifier(model)
    assert model.score(sequences[90:], labels[90:]) > 0.7
    assert cross_val_score(model, sequences, labels, cv=3).mean() > 0.7
    assert len(make_pipeline(LinearAutoencoder(8), KMeans(2, n_init=1)).fit_predict(sequences)) == 120


def test_grid_search(waves):
    sequences, _ = waves
    grid = {"memory_size": [2, 8], "decoder": ["tied", "refit"], "center": [True, False]}
    search = GridSearchCV(LinearAutoencoder(refine=None), grid, cv=3).fit(sequences)
    assert search.best_params_["memory_size"] == 8
    assert search.best_score_ == pytest.approx(max(search.cv_results_["mean_test_score"]))
    assert search.best_estimator_.score(sequences) > 0.5


def test_grid_search_above_the_rank_names_it_in_one_line(waves):
    short = [wave[:4] for wave in waves[0][:9]]
    search = GridSearchCV(LinearAutoencoder(), {"memory_size": [2, 500]}, cv=3)
    with pytest.warns(FitFailedWarning, match="got 500") as caught:
        search.fit(short)
    assert search.best_params_ == {"memory_size": 2}
    message = next(str(one.message) for one in caught if "500" in str(one.message))
    assert message.count("memory_size must be at most the rank of the history matrix (8), got 500. Lower") == 1
    assert message.count("linmem/autoencoder") <= 2  # frames of the traceback


def test_a_source_that_is_not_in_memory_is_never_solved_by_a_dense_matrix():
    class Source:
        def __iter__(self):
            return (np.random.default_rng(number).standard_normal((50, 8)) for number in range(500))

    ae = LinearAutoencoder(5).fit(Source())
    assert ae.solver_ != "exact"
    expected = LinearAutoencoder(5).fit(list(Source()))
    np.testing.assert_allclose(ae.singular_values_, expected.singular_values_, rtol=1e-8)


def test_parameters_are_kept_as_given_and_clones_are_fresh(waves):
    solver = Randomized(block=4)
    ae = LinearAutoencoder(5, solver=solver, center=True, decoder="optimal", refine=None, random_state=3)
    assert ae.get_params()["solver"] is solver
    copy = clone(ae.fit(waves[0]))
    assert copy.get_params()["memory_size"] == 5
    with pytest.raises(NotFittedError):
        check_is_fitted(copy)
    check_is_fitted(ae)
    assert ae.set_params(memory_size=2).fit(waves[0]).memory_size_ == 2


def test_parameters_set_after_a_fit_do_not_change_it(tmp_path):
    """They are those of the next fit: set_params(center=False) changed the states of a centred one."""
    random = np.random.default_rng(0)
    sequences = [3 + random.standard_normal((20, 2)).cumsum(0) for _ in range(5)]
    long = [3 + random.standard_normal((200, 2)).cumsum(0)]
    ae = LinearAutoencoder(4, center=True, lag_decay=0.8).fit(sequences)

    def uses(fitted):
        return [
            *fitted.encode(sequences),
            fitted.step(sequences[0][0]),
            fitted.decode(fitted.transform(sequences), 5),
            *fitted.score_samples(sequences),
            fitted.score_step(sequences[0][0])[0],
            fitted.reconstruction_error(sequences),
        ]

    expected = uses(ae)
    ae.set_params(center=False, lag_decay=1.0)
    assert ae.lag_decay_ == 0.8
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # states of a fit with lag decay do not degrade
        ae.encode(long)
    ae.save(tmp_path / "ae")
    for fitted in (ae, LinearAutoencoder.load(tmp_path / "ae")):
        for found, number in zip(uses(fitted), expected, strict=True):
            np.testing.assert_array_equal(found, number)


def test_joblib_keeps_a_fit_and_its_chunks(tmp_path, waves):
    sequences, _ = waves
    fitted = LinearAutoencoder(5).fit(sequences)
    half = LinearAutoencoder(5).partial_fit(sequences[:20])
    joblib.dump((fitted, half), tmp_path / "ae.joblib")
    again, half_again = joblib.load(tmp_path / "ae.joblib")
    np.testing.assert_array_equal(again.transform(sequences), fitted.transform(sequences))
    np.testing.assert_allclose(half_again.partial_fit(sequences[20:]).singular_values_, fitted.singular_values_)


def test_random_state_instances_and_none(waves):
    for state in (None, 5, np.random.RandomState(1)):
        fitted = LinearAutoencoder(4, "randomized", random_state=state).fit(waves[0])
        np.testing.assert_allclose(
            fitted.singular_values_, LinearAutoencoder(4).fit(waves[0]).singular_values_, rtol=1e-5
        )


def test_names_of_outputs(waves):
    ae = LinearAutoencoder(3).fit(waves[0])
    assert list(ae.get_feature_names_out()) == [f"linearautoencoder{i}" for i in range(3)]


def test_output_as_a_data_frame(waves):
    pandas = pytest.importorskip("pandas")
    ae = LinearAutoencoder(3).set_output(transform="pandas").fit(waves[0])
    frame = ae.transform(waves[0])
    assert isinstance(frame, pandas.DataFrame)
    assert frame.shape == (120, 3)


def test_unconverged_fit_warns_with_what_is_missing():
    random = np.random.default_rng(1)
    sequences = [random.standard_normal((30, 4)) for _ in range(30)]
    solver = Randomized(block=2, products=5, tolerance=0.0)
    with pytest.warns(ConvergenceWarning, match="still missing from the singular values"):
        LinearAutoencoder(8, solver=solver).fit(sequences)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LinearAutoencoder(8).fit(sequences)


# sklearn's own checks feed one (n, features) matrix, which is no set of sequences; these need no such data.
APPLICABLE = [
    estimator_checks.check_no_attributes_set_in_init,
    estimator_checks.check_parameters_default_constructible,
    estimator_checks.check_get_params_invariance,
    estimator_checks.check_set_params,
    estimator_checks.check_estimators_unfitted,
]


@pytest.mark.parametrize("check", APPLICABLE, ids=lambda check: check.__name__)
def test_checks_of_sklearn_that_apply(check):
    if check is estimator_checks.check_estimators_unfitted:
        with pytest.raises(NotFittedError):
            LinearAutoencoder().transform([np.zeros((3, 2))])
        return
    given = (
        LinearAutoencoder if check is estimator_checks.check_parameters_default_constructible else LinearAutoencoder()
    )
    try:
        check("LinearAutoencoder", given)
    except TypeError:  # older releases of sklearn take an instance here too
        check("LinearAutoencoder", LinearAutoencoder())
