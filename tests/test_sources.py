"""Where the sequences are must not matter: in memory, read again each pass, generated once, or shared by workers."""

import os
import socket
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from linmem.autoencoder.decoders.refine_decoder import ITERATIONS, TOLERANCE
from linmem.autoencoder.estimator import LinearAutoencoder
from linmem.autoencoder.history import out_of_core
from linmem.autoencoder.history.out_of_core import chunks
from linmem.autoencoder.solvers import Randomized

# With its usual tolerance the solver may end before σ_i is known to more than 1e-7 ‖Ξ‖² / 2σ_i², here 3e-6.
TO_THE_END = Randomized(tolerance=0.0)


def walks(lengths=(40, 3, 25, 40, 12, 1, 33), features=4, seed=0) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [random.standard_normal((length, features)).cumsum(0) for length in lengths]


def offset(sequences: list[np.ndarray]) -> list[np.ndarray]:
    """Sequences with a mean whose square exceeds their variance 1e16 times."""
    return [sequence + 1.7e9 for sequence in sequences]


class Reread:
    """A source that opens its sequences anew each time, and counts how often."""

    def __init__(self, sequences):
        self.sequences, self.passes = sequences, 0

    def __iter__(self):
        self.passes += 1
        return iter(self.sequences)


def same_fit(found: LinearAutoencoder, expected: LinearAutoencoder):
    """Equal up to rounding; training errors up to what two searches for the decoder may leave to be gained.

    A search ends with the first iteration that gains less than TOLERANCE. Where it converges linearly, and fast enough
    to need at most ITERATIONS iterations per factor of e, the error then lies at most ITERATIONS · TOLERANCE, 1.8e-4,
    above its minimum; where it ends depends on rounding. The search over encoder and decoder (refine="joint") has many
    encoders of nearly one error and no such rate: only errors are compared, to 1e-3.
    """
    joint = expected.refine == "joint"
    np.testing.assert_allclose(found.singular_values_, expected.singular_values_, rtol=1e-8)
    assert found.optimal_error_ == pytest.approx(expected.optimal_error_, abs=1e-9)
    left = 1e-3 if joint else ITERATIONS * TOLERANCE
    assert found.training_error_ == pytest.approx(expected.training_error_, rel=left)
    if not joint:
        np.testing.assert_allclose(found.A_, expected.A_, atol=1e-7)
        np.testing.assert_allclose(found.B_, expected.B_, atol=1e-7)


@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("refine", ["decoder", "joint"])
def test_reread_source_is_the_list(monkeypatch, center, refine):
    monkeypatch.setattr(out_of_core.chunks, "__defaults__", (None, 200, 1.0))
    sequences = walks()
    source = Reread(sequences)
    found = LinearAutoencoder(6, center=center, refine=refine, solver=TO_THE_END).fit(source)
    assert source.passes > 3
    expected = LinearAutoencoder(6, center=center, refine=refine).fit(sequences)
    same_fit(found, expected)


@pytest.mark.parametrize("center", [False, True])
def test_generator_is_the_list(monkeypatch, center):
    monkeypatch.setattr("linmem.autoencoder.estimator.CHUNK_NUMBERS", 200)
    sequences = walks()
    found = LinearAutoencoder(6, center=center).fit(sequence for sequence in sequences)
    same_fit(found, LinearAutoencoder(6, center=center).fit(sequences))


@pytest.mark.parametrize("source", [list, iter, Reread])
def test_partial_fit_starts_anew_after_every_fit(source):
    new = LinearAutoencoder(6, lag_decay=0.8).partial_fit(walks(seed=1))
    after = LinearAutoencoder(6, lag_decay=0.8).fit(source(walks())).partial_fit(walks(seed=1))
    np.testing.assert_array_equal(after.singular_values_, new.singular_values_)


def test_a_generator_that_fails_leaves_no_fit(monkeypatch):
    monkeypatch.setattr("linmem.autoencoder.estimator.CHUNK_NUMBERS", 200)
    ae = LinearAutoencoder(2)
    with pytest.raises(ValueError, match="must be finite"):
        ae.fit(iter([*walks(), np.full((3, 4), np.nan)]))
    with pytest.raises(NotFittedError):
        ae.transform(walks())


@pytest.mark.parametrize("source", [list, iter, Reread])
@pytest.mark.parametrize("decay", [1.0, 0.9])
def test_a_large_mean_costs_no_digits(monkeypatch, source, decay):
    monkeypatch.setattr("linmem.autoencoder.estimator.CHUNK_NUMBERS", 200)
    monkeypatch.setattr(out_of_core.chunks, "__defaults__", (None, 200, 1.0))
    expected = LinearAutoencoder(6, center=True, lag_decay=decay).fit(walks())
    found = LinearAutoencoder(6, center=True, lag_decay=decay).fit(source(offset(walks())))
    assert found.optimal_error_ == pytest.approx(expected.optimal_error_, rel=1e-5)
    assert found.training_error_ == pytest.approx(expected.training_error_, rel=1e-3)
    assert found.reconstruction_error(offset(walks())) == pytest.approx(found.training_error_, rel=1e-5)
    np.testing.assert_allclose(found.mean_, expected.mean_ + 1.7e9, rtol=1e-15)


def test_a_fit_without_the_unweighted_bound_is_saved(tmp_path):
    ae = LinearAutoencoder(2, lag_decay=0.95).fit(Reread(walks((40, 40), features=30)))
    ae.save(tmp_path / "ae")
    assert np.isnan(ae.unweighted_optimal_error_)
    assert np.isnan(LinearAutoencoder.load(tmp_path / "ae").unweighted_optimal_error_)


def test_memory_mapped_arrays(tmp_path):
    sequences = walks()
    for number, sequence in enumerate(sequences):
        np.save(tmp_path / f"{number}.npy", sequence)
    mapped = [np.load(tmp_path / f"{number}.npy", mmap_mode="r") for number in range(len(sequences))]
    same_fit(LinearAutoencoder(6).fit(mapped), LinearAutoencoder(6).fit(sequences))


def test_chunks_hold_every_sequence_once_within_their_size():
    sequences = walks()
    cut = list(chunks(sequences, numbers=170))
    assert [len(sequence) for chunk in cut for sequence in chunk] == [len(sequence) for sequence in sequences]
    assert all(len(chunk) == 1 or sum(one.numel() for one in chunk) <= 170 for chunk in cut)
    assert len(cut) > 2


@pytest.mark.parametrize("kind", [Reread, iter])
def test_bad_input_is_found_in_sources_too(kind):
    with pytest.raises(ValueError, match="sequences must contain at least one"):
        LinearAutoencoder(2).fit(kind([]))
    bad = walks()
    bad[3][7, 2] = np.nan
    with pytest.raises(ValueError, match="sequence 3 must be finite, got nan at step 7, feature 2"):
        LinearAutoencoder(2).fit(kind(bad))
    with pytest.raises(ValueError, match="sequence 7 must have 4 features, got 5"):
        LinearAutoencoder(2).fit(kind([*walks(), np.zeros((3, 5))]))


def test_solvers_that_need_rows_say_so():
    for solver in ("exact", "slices"):
        message = f"solver must be one of 'auto', 'randomized', 'correlated' for sequences .* got '{solver}'"
        with pytest.raises(ValueError, match=message):
            LinearAutoencoder(2, solver=solver).fit(Reread(walks()))


WORKER = """
import os, sys
import numpy as np, torch
from linmem import LinearAutoencoder, workers
from linmem.autoencoder.history.distributed import Shard
folder, here = sys.argv[1:3]
sys.path.insert(0, here)
from test_sources import OPTIONS, PARTS, TO_THE_END
torch.set_num_threads(1)
rank = int(os.environ["RANK"])
workers.connect()
for name, parts in PARTS.items():
    if name == "dies" and rank == 1:
        LinearAutoencoder._solve = lambda *given: os._exit(3)
    try:
        ae = LinearAutoencoder(6, center=True, refine=name == "joint" and "joint" or "decoder")
        ae.set_params(**OPTIONS.get(name, {"solver": TO_THE_END}))
        ae.fit(Shard(parts[rank]))
        found = {"s": ae.singular_values_, "A": ae.A_, "B": ae.B_, "C": ae.C_, "error": ae.training_error_}
        np.savez(os.path.join(folder, f"{name}{rank}.npz"), **found)
    except (ValueError, RuntimeError, OSError) as error:
        with open(os.path.join(folder, f"{name}{rank}.txt"), "w") as file:
            file.write(f"{type(error).__name__}: {error}")
os._exit(0)
"""


class Unreadable:
    """A source whose file cannot be read."""

    def __iter__(self):
        raise OSError("the disk is gone")


PARTS = {
    "unequal": [walks()[:1], walks()[1:]],
    "empty": [walks(), []],
    "joint": [walks()[::2], walks()[1::2]],
    "decay": [walks()[::2], walks()[1::2]],
    "equal": [walks((20, 20)), walks((20, 15), seed=1)],  # a worker's own ΞᵀΞ has the size of the sum
    "offset": [offset(walks()[::2]), offset(walks()[1::2])],
    "iterator": [walks(), iter(walks())],
    "features": [walks(), walks(features=5)],
    "bad": [walks(), [np.full((3, 4), np.nan)]],
    "unreadable": [walks(), Unreadable()],
    "dies": [walks(), walks()],
}
OPTIONS = {"decay": {"lag_decay": 0.8}, "equal": {"solver": "correlated"}}


@pytest.fixture(scope="module")
def workers(tmp_path_factory):
    """Two processes that go through all of PARTS together, the second of which dies in the last."""
    folder = tmp_path_factory.mktemp("workers")
    (folder / "worker.py").write_text(textwrap.dedent(WORKER))
    command = [sys.executable, str(folder / "worker.py"), str(folder), os.path.dirname(__file__)]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": "2"}
    environment = os.environ | address | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    processes = [subprocess.Popen(command, env=environment | {"RANK": str(rank)}) for rank in range(2)]
    for process in processes:
        process.wait(timeout=600)
    return folder


@pytest.mark.parametrize("part", ["unequal", "empty", "joint", "decay", "equal", "offset"])
def test_workers_end_with_what_one_process_finds(workers, part):
    refine = "joint" if part == "joint" else "decoder"
    expected = LinearAutoencoder(6, solver=TO_THE_END, center=True, refine=refine)
    expected.set_params(lag_decay=0.8 if part == "decay" else 1.0).fit([one for held in PARTS[part] for one in held])
    results = [np.load(workers / f"{part}{rank}.npz") for rank in range(2)]
    for name in ("s", "A", "B", "C"):
        assert np.array_equal(results[0][name], results[1][name])
    np.testing.assert_allclose(results[0]["s"], expected.singular_values_, rtol=1e-8)
    assert float(results[0]["error"]) == pytest.approx(expected.training_error_, rel=1e-3)
    if part != "joint":
        np.testing.assert_allclose(results[0]["A"], expected.A_, atol=1e-5)


@pytest.mark.parametrize(
    ("part", "messages"),
    [
        (
            "features",
            [
                "all workers must have the same number of features, got 4 and 5",
                "all workers must have the same number of features, got 4 and 5",
            ],
        ),
        (
            "iterator",
            ["got invalid ones on worker 1", "must be a list or a source that can be iterated over more than"],
        ),
        ("bad", ["got invalid ones on worker 1", "sequence 0 must be finite, got nan at step 0"]),
        ("unreadable", ["got invalid ones on worker 1", "OSError: the disk is gone"]),
        ("dies", ["all workers must stay connected"]),
    ],
)
def test_workers_in_trouble_say_so_and_do_not_hang(workers, part, messages):
    for rank, message in enumerate(messages):
        assert message in (workers / f"{part}{rank}.txt").read_text()
