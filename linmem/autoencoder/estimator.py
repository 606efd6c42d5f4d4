"""`LinearAutoencoder`: principal component analysis for sequences, as a scikit-learn estimator.

Where PCA compresses vectors, this compresses whole pasts: a linear recurrent state y_t = A x_t + B y_{t-1} of p units
from which every earlier input can be decoded with the least squared error a recurrent code of that size allows.

Letters: a features, p memory units, L the longest length, n sequences. Sperduti 2013; [P14].
"""

import warnings
from collections.abc import Iterator
from dataclasses import asdict
from itertools import chain, islice
from numbers import Integral
from os import PathLike
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.utils import check_random_state
from torch import Tensor

from linmem.autoencoder import coding
from linmem.autoencoder.decoders.least_squares import Moments, error, lag_errors, moments
from linmem.autoencoder.fitted import Fitted
from linmem.autoencoder.history.in_memory import Gram, History
from linmem.autoencoder.history.out_of_core import chunks
from linmem.autoencoder.history.sources import Given, listed, open_source
from linmem.autoencoder.history.survey import Survey
from linmem.autoencoder.incremental import Centred, Sketch
from linmem.autoencoder.solution import DECODERS, REFINEMENTS, ClosedForm, solve
from linmem.autoencoder.solvers import Randomized, choose_solver
from linmem.autoencoder.solvers.memory_size import check_memory_size
from linmem.sequences import check_sequences
from linmem.storage import tensor_file

KIND, VERSION = "LinearAutoencoder", 1
SKETCH_CHUNK = 4_000_000  # numbers that a generator's chunk holds: 32 MB in float64


class LinearAutoencoder(Fitted, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Linear autoencoder for sequences, solved in closed form.

    Parameters
    ----------
    memory_size : int, float or "auto"
        p: the number of memory units; or the share of the energy ‖Ξ‖² to keep, between 0 and 1; or "auto", the knee
        of the spectrum: where the bound, as a curve over p, lies furthest below the straight line between its ends.
    solver : "auto", "exact", "randomized", "correlated", "slices" or a solver object
        "auto" takes "exact" (a dense decomposition) for small problems, "correlated" (ΞᵀΞ as a whole) for many short
        sequences, else "randomized" (matrix-free); `solver_` says which it was. "slices" is P14's procedure.
    center : bool
        Subtract the mean step before encoding and add it back in decoding.
    decoder : "refit", "tied" or "optimal"
        "tied" is the papers' C = [Aᵀ; Bᵀ]; "refit" the least squares of [x_t; y_{t-1}] on y_t; "optimal" one matrix
        a lag, with `C_` the refitted one beside it.
    refine : "decoder", "joint" or None
        For decoder="refit": improve (C_x, C_y) towards the optimal decoder, or encoder and decoder together, or
        neither.
    random_state : int, RandomState or None
        Seed of the randomized solver; equal seeds give equal results.

    Attributes
    ----------
    A_ : (p, a); B_ : (p, p); C_ : (a + p, p)
        y_t = A (x_t − mean) + B y_{t-1}, and x̂_{t-i} = C_x C_yⁱ y_t + mean with C_x the first a rows of C.
    right_vectors_ : (L, a, p)
        U, block by block of lags.
    mean_ : (a,), zero without centring.
    singular_values_ : (p,) float64
    optimal_error_ : float
        The Eckart–Young bound 1 − Σ σ_i² / ‖Ξ‖²: no code of p numbers can do better on these sequences.
    training_error_ : float
        The relative reconstruction error on the sequences of `fit`.
    memory_size_, lags_, n_features_in_ : int;  solver_ : str

    Notes
    -----
    Arrays come back in the kind (NumPy or torch), type and device of the sequences. Time O(N log L) a direction;
    memory for about 4 p + 200 vectors of L·a numbers and 20 bytes for each number of the sequences, never for Ξ.
    """

    _fitted: ClosedForm
    _sketch: Sketch

    def __init__(
        self,
        memory_size: int | float | str = 100,
        solver: Any = "auto",
        center: bool = False,
        decoder: str = "refit",
        refine: str | None = "decoder",
        random_state: Any = 0,
    ) -> None:
        self.memory_size = memory_size
        self.solver = solver
        self.center = center
        self.decoder = decoder
        self.refine = refine
        self.random_state = random_state

    # fitting

    def fit(self, sequences: Any, y: Any = None) -> "LinearAutoencoder":
        """Fit to sequences, which are never changed; `y` is ignored.

        Parameters
        ----------
        sequences : list of (T_i, a) arrays or tensors, or one (n, T, a) array
            Also any object that yields sequences each time it is iterated over: it is read once for every product, and
            only a chunk of it is in memory. A generator can be read only once: it is taken in by `partial_fit`. Within
            a group of processes, `linmem.autoencoder.history.distributed.Shard(sequences)` is this process's part of
            the set.

        Raises
        ------
        ValueError
            For bad sequences or parameters, and if `memory_size` is above the rank of the history matrix.
        """
        self._check_parameters()
        self._forget()
        if isinstance(sequences, Iterator):
            return self._take_chunks(sequences)
        opened = open_source(sequences, self.center)
        self._given, self.n_features_in_ = opened.given, opened.features
        self._mean = torch.zeros(opened.features) if opened.mean is None else opened.mean
        self._mean = self._mean.to(device=opened.given.device, dtype=torch.float64)
        self._solve(opened.history, opened.heard)
        return self

    def partial_fit(self, sequences: Any, y: Any = None) -> "LinearAutoencoder":
        """Take in one more chunk of sequences, in memory that does not grow; the fit waits until it is asked for.

        How the data was cut into chunks does not matter, beyond rounding where Ξ has up to 2000 columns, and beyond the
        energy past the first 2 p + 100 directions where it has more. `fit` forgets all chunks.
        """
        self._check_parameters()
        if "_sketch" not in self.__dict__:
            self._forget()
        sequences = listed(sequences)
        return self._take(check_sequences(sequences, features=self._known_features()), sequences)

    def _take_chunks(self, sequences: Iterator[Any]) -> "LinearAutoencoder":
        """`fit` of a generator: one pass, by chunks."""
        first = list(islice(sequences, 1))
        for chunk in chunks(chain(first, sequences), numbers=SKETCH_CHUNK):
            self._take(chunk, first)
        if "_sketch" not in self.__dict__:
            check_sequences([])
        self._result()
        return self

    def _take(self, checked: list[Tensor], like: Any) -> "LinearAutoencoder":
        sketch = self.__dict__.get("_sketch")
        if sketch is None:
            self._given, self.n_features_in_ = Given.of(like), checked[0].shape[1]
            sketch = Sketch(self.n_features_in_ + bool(self.center), self._sketch_size(), checked[0].device)
        chunk = [torch.cat([one, one.new_ones(len(one), 1)], 1) for one in checked] if self.center else checked
        sketch.update(chunk, self._generator())
        self._sketch = sketch
        self.__dict__.pop("_fitted", None)
        return self

    def _known_features(self) -> int | None:
        return self.n_features_in_ if "_sketch" in self.__dict__ else None

    def _solve(self, history: Gram, heard: list[int]) -> None:
        self.solver_, solver = choose_solver(self.solver, history)
        if history.energy == 0:
            raise ValueError(
                f"memory_size is {self.memory_size}, but these sequences give the history matrix only 0 independent "
                "directions: all values are " + ("equal" if self.center else "zero")
            )
        fitted = solve(history, self.memory_size, solver, self.decoder, self.refine, self._generator())
        if not fitted.converged:
            warnings.warn(
                f"the solver stopped before it converged: about {fitted.residual:.1e} of the energy is still missing "
                "from the singular values; give it more products, e.g. solver=Randomized(products=10000)",
                ConvergenceWarning,
                stacklevel=3,
            )
        self._fitted = fitted.spread(heard, self.n_features_in_)

    def _result(self) -> ClosedForm:
        """Return the fit, after solving it from the chunks if `partial_fit` left that open."""
        if not self.__sklearn_is_fitted__():
            raise NotFittedError("this LinearAutoencoder is not fitted yet: call fit or partial_fit first")
        if "_fitted" not in self.__dict__:
            view = Centred(self._sketch) if self.center else self._sketch
            self._mean = view.mean if isinstance(view, Centred) else self._sketch.factor.new_zeros(self.n_features_in_)
            self._solve(view, list(range(self.n_features_in_)))
        return self._fitted

    def _forget(self) -> None:
        for name in ("_sketch", "_fitted", "_mean", "_given", "n_features_in_", "solver_"):
            self.__dict__.pop(name, None)

    def _check_parameters(self) -> None:
        check_memory_size(self.memory_size)
        for name, known in (("decoder", DECODERS), ("refine", REFINEMENTS)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} is {getattr(self, name)!r}, wanted one of {', '.join(map(repr, known))}")

    def _sketch_size(self) -> int:
        exact_number = not isinstance(self.memory_size, str) and self.memory_size >= 1
        return 2 * int(self.memory_size) + 100 if exact_number else 600

    def _generator(self) -> torch.Generator:
        try:
            source = check_random_state(self.random_state)
        except ValueError as error:
            raise ValueError(f"random_state is {self.random_state!r}: {error}") from None
        return torch.Generator().manual_seed(int(source.randint(2**31 - 1)))

    # using

    def encode(self, sequences: Any) -> list[Any]:
        """Return the (T_i, p) states after every step, one array a sequence."""
        checked, given = self._check(sequences)
        return [given.back(states) for states in self._encode(checked)]

    def transform(self, sequences: Any) -> Any:
        """Return the (n, p) states after each sequence's last step."""
        checked, given = self._check(sequences)
        return given.back(torch.stack([states[-1] for states in self._encode(checked)]))

    def decode(self, states: Any, length: int) -> Any:
        """Return the last `length` inputs that each of the (n, p) states remembers, (n, length, a), oldest first."""
        fitted = self._result()
        if not isinstance(length, Integral) or length < 1:
            raise ValueError(f"length is {length}, wanted a whole number of at least 1")
        tensor = torch.as_tensor(states)
        if tensor.ndim != 2 or tensor.shape[1] != len(fitted.A):
            raise ValueError(f"states have shape {tuple(tensor.shape)}, wanted (n, {len(fitted.A)})")
        given = Given(isinstance(states, Tensor), _floating(tensor.dtype), tensor.device)
        blocks, mean = fitted.blocks(length), self._mean if self.center else None
        return given.back(coding.decode(tensor.to(blocks), blocks, mean))

    def inverse_transform(self, states: Any) -> Any:
        """Decode (n, p) states at the longest length seen in fit, (n, L, a)."""
        return self.decode(states, self.lags_)

    def reconstruction_error(self, sequences: Any, per_lag: bool = False) -> Any:
        """Return ‖Ξ − YΩᵀ‖² / ‖Ξ‖²: every step's whole past decoded from that step's state; Ξ is never built.

        With `per_lag`, the (L,) errors of each lag's columns by themselves, each divided by its own energy.
        """
        checked, given = self._check(sequences)
        known, blocks, energy = self._measure(checked)
        if per_lag:
            lags = lag_errors(known, blocks, energy)
            return given.back(torch.where(energy > 0, lags / energy.clamp_min(1e-300), lags))
        return error(known, blocks)

    def score(self, sequences: Any, y: Any = None) -> float:
        """Return 1 − reconstruction_error: the share of the energy that is recovered."""
        return 1.0 - self.reconstruction_error(sequences)

    def _measure(self, checked: list[Tensor]) -> tuple[Moments, Tensor, Tensor]:
        """Moments, decoder blocks and lag energies of sequences; features that are silent in them cost nothing."""
        fitted = self._result()
        survey = Survey.of(checked, self.n_features_in_, checked[0].device)
        index = list(range(self.n_features_in_)) if self.center else survey.heard()
        history = History(checked, mean=self._mean if self.center else None, features=index)
        part = moments(history, fitted.A[:, index], fitted.B)
        cross = part.cross.new_zeros(history.lags, self.n_features_in_, len(fitted.A))
        cross[:, index] = part.cross
        return part._replace(cross=cross), fitted.blocks(history.lags), history.lag_energy()

    def _encode(self, checked: list[Tensor]) -> list[Tensor]:
        fitted = self._result()
        mean = self._mean.to(checked[0]) if self.center else None
        return coding.encode(checked, fitted.A.to(checked[0]), fitted.B.to(checked[0]), mean)

    def _check(self, sequences: Any) -> tuple[list[Tensor], Given]:
        self._result()
        sequences = listed(sequences)
        checked = check_sequences(sequences, features=self.n_features_in_)
        return checked, Given.of(sequences)

    @property
    def _n_features_out(self) -> int:
        return self.memory_size_

    def __sklearn_is_fitted__(self) -> bool:
        return "_fitted" in self.__dict__ or "_sketch" in self.__dict__

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.three_d_array = False, True
        tags.target_tags.required = False
        return tags

    # keeping

    def save(self, path: str | PathLike[str]) -> None:
        """Write the fit to `path`, one file of safetensors and JSON; chunks of `partial_fit` are not kept."""
        fitted = self._result()
        numbers = {name: value for name, value in vars(fitted).items() if not isinstance(value, Tensor)}
        tensors = {name: value for name, value in vars(fitted).items() if isinstance(value, Tensor)}
        description = {
            "kind": KIND,
            "version": VERSION,
            "parameters": {name: _plain(value) for name, value in self.get_params(deep=False).items()},
            "fit": numbers,
            "solver": self.solver_,
            "given": {"torch": self._given.as_torch, "dtype": str(self._given.dtype).removeprefix("torch.")},
        }
        tensor_file.write(str(path), {**tensors, "mean": self._mean}, description)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> "LinearAutoencoder":
        """Read a fit from the file it was saved to, onto the CPU."""
        tensors, config = tensor_file.read(str(path))
        if config.get("kind") != KIND or config.get("version", 0) > VERSION:
            raise ValueError(
                f"{path} holds {config.get('kind')} {config.get('version')}, wanted {KIND} up to {VERSION}"
            )
        autoencoder = cls(**{name: _from_plain(value) for name, value in config["parameters"].items()})
        autoencoder._mean = tensors.pop("mean")
        autoencoder._fitted = ClosedForm(**{"lag_decoder": None, **config["fit"], **tensors})
        autoencoder.n_features_in_ = autoencoder._fitted.A.shape[1]
        autoencoder.solver_ = config["solver"]
        given = config["given"]
        autoencoder._given = Given(given["torch"], getattr(torch, given["dtype"]), torch.device("cpu"))
        return autoencoder


def _floating(dtype: torch.dtype) -> torch.dtype:
    return dtype if dtype in (torch.float32, torch.float64) else torch.float32


def _plain(value: Any) -> Any:
    """Turn a parameter into something JSON can hold."""
    if isinstance(value, Randomized):
        return {"randomized": asdict(value)}
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int | float | np.integer | np.floating):
        return value.item() if isinstance(value, np.generic) else value
    raise ValueError(f"cannot save the parameter {value!r}: only numbers, names and Randomized solvers can be saved")


def _from_plain(value: Any) -> Any:
    return Randomized(**value["randomized"]) if isinstance(value, dict) else value
