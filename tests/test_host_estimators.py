"""The classes for aeon and sktime pass the checks of these packages; skipped where they are not installed."""

import importlib

import numpy as np
import pytest

from linmem import MemoryClassifier

AEON = ("AeonMemoryFeatures", "AeonMemoryClassifier", "AeonMemoryAnomalyDetector")
SKTIME = ("SktimeMemoryFeatures", "SktimeMemoryClassifier")


@pytest.mark.parametrize("name", AEON)
@pytest.mark.filterwarnings("ignore")
def test_aeon_accepts_the_estimators(name):
    checks = pytest.importorskip("aeon.testing.estimator_checking", reason="aeon is not installed")
    module = importlib.import_module("linmem.estimators.aeon_estimators")
    results = checks.check_estimator(getattr(module, name), raise_exceptions=False)
    assert len(results) > 20
    assert {check: result for check, result in results.items() if result != "PASSED"} == {}


@pytest.mark.parametrize("name", SKTIME)
@pytest.mark.filterwarnings("ignore")
def test_sktime_accepts_the_estimators(name):
    checks = pytest.importorskip("sktime.utils.estimator_checks", reason="sktime is not installed")
    module = importlib.import_module("linmem.estimators.sktime_estimators")
    results = checks.check_estimator(getattr(module, name), raise_exceptions=False, verbose=False)
    assert len(results) > 100
    assert {check: result for check, result in results.items() if result != "PASSED"} == {}


@pytest.mark.parametrize("host", ["aeon", "sktime"])
def test_predictions_are_those_of_our_classifier(host):
    datasets = pytest.importorskip(f"{host}.datasets", reason=f"{host} is not installed")
    module = importlib.import_module(f"linmem.estimators.{host}_estimators")
    options = {"return_type": "df-list"} if host == "sktime" else {}
    series, labels = datasets.load_japanese_vowels(split="train", **options)
    ours = [x.to_numpy() if host == "sktime" else x.T for x in series[:60]]
    own = MemoryClassifier(n_projections=200).fit(ours[:40], labels[:40])
    theirs = getattr(module, f"{host.capitalize()}MemoryClassifier")(n_projections=200)
    theirs.fit(series[:40], np.asarray(labels[:40]))
    assert (theirs.predict(series[40:60]) == own.predict(ours[40:])).all()


def test_a_missing_host_is_named():
    for host in ("aeon", "sktime"):
        try:
            importlib.import_module(host)
        except ImportError:
            with pytest.raises(ImportError, match=f"{host} must be installed, got: .* Run: pip install {host}"):
                importlib.import_module(f"linmem.estimators.{host}_estimators")
