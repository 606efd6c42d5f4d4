"""`LinearAutoencoder`: principal component analysis for sequences, as a scikit-learn estimator.

PCA compresses vectors; this compresses the whole past of a sequence at every step into a linear recurrent state
y_t = A x_t + B y_{t-1} of p units, from which earlier inputs are decoded with least squared error.

Symbols: a features, p memory units, L lags, n sequences, γ lag decay. Sperduti 2013; [P14].
"""

import warnings
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, islice
from numbers import Real
from os import PathLike
from typing import Any

import torch
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.utils import check_random_state
from torch import Tensor

from linmem.autoencoder import autoencoder_file
from linmem.autoencoder.fitted import FITTED, FittedAutoencoder
from linmem.autoencoder.history.operator import HistoryOperator
from linmem.autoencoder.history.out_of_core import chunks
from linmem.autoencoder.history.sources import InputType, as_collection, open_source
from linmem.autoencoder.partial_fit import Chunks, start_chunks
from linmem.autoencoder.solution import DECODERS, REFINEMENTS, ClosedForm, solve
from linmem.autoencoder.solvers import Slices, choose_solver, exact, precompute_gram, resolved
from linmem.autoencoder.solvers.memory_size import RankError, check_memory_size
from linmem.sequences import check_sequences
from linmem.storage.parsing import parsing
from linmem.validation import shown

CHUNK_NUMBERS = 4_000_000  # numbers in one chunk of a generator: 32 MB in float64


class LinearAutoencoder(FittedAutoencoder, BaseEstimator):
    """Linear autoencoder for sequences, solved in closed form.

    Parameters
    ----------
    memory_size : int, float, "auto" or None
        p, the number of memory units; or the share of the energy ‖Ξ‖² to keep, between 0 and 1; or "auto", the knee
        of the spectrum: where the bound, as a curve over p, lies furthest below the straight line between its ends.
        None is 100, or the rank of the history matrix where that is lower.
    solver : "auto", "exact", "randomized", "correlated", "slices" or a solver object
        "auto" takes "exact" (a dense decomposition) for small problems, "correlated" (ΞᵀΞ as a whole) for few columns,
        else "randomized" (matrix-free); `solver_` says which it was. "slices" is P14's procedure.
    center : bool
        Subtract the mean step before encoding and add it back in decoding.
    decoder : "refit", "tied" or "optimal"
        "tied" is the papers' C = [Aᵀ; Bᵀ / γ²]; "refit" the least squares of [x_t; y_{t-1}] on y_t; "optimal" one
        matrix per lag, with the refitted one in `C_`.
    refine : "decoder", "joint" or None
        For decoder="refit": improve (C_x, C_y) towards the optimal decoder, or encoder and decoder together, or
        neither.
    lag_decay : float
        γ in (0, 1]: lag i counts γ^i in the history matrix. 1 is the papers' autoencoder, which weighs the whole past
        equally. Below 1 the memory favours the recent past, `partial_fit` is exact, the fit is faster and states mean
        the same at any length; only K = ⌈log ε / log γ⌉ lags count, with ε² = 1e-7 of a stationary signal's energy.
    random_state : int, RandomState or None
        Seed of the randomized solver; equal seeds give equal results.

    Attributes
    ----------
    A_, B_, C_ : array
        (p, a), (p, p) and (a + p, p): y_t = A (x_t − mean) + B y_{t-1}, and x̂_{t-i} = C_x C_yⁱ y_t + mean with C_x the
        first a rows of C.
    right_vectors_ : array
        U, (L, a, p), block by block of lags; lag i is also decoded by γ^{-i} U_i. Absent after `load` unless saved.
    mean_ : array
        (a,), zero without centring.
    singular_values_ : array
        (p,) float64, of the history matrix with its lag weights.
    optimal_error_ : float
        The Eckart–Young bound 1 − Σ σ_i² / ‖Ξ‖²: no code of p numbers has a lower error on these sequences.
    training_error_ : float
        The relative reconstruction error on the sequences of `fit`.
    unweighted_optimal_error_, unweighted_error_ : float
        Bound and error on the same lags if all of them count equally. With γ = 1 equal to the two above. The bound is
        NaN for streams and shards of N steps with L·a above 1000 and above min(8000, N), where it would take as many
        passes over the data as the fit.
    memory_size_, lags_, n_features_in_ : int
        `lags_` is L: the longest length seen in `fit`, or K if that is less.
    lag_decay_ : float
        The `lag_decay` of the fit.
    solver_ : str
        The solver that "auto" has selected.

    Notes
    -----
    Results have the container (NumPy or torch), dtype and device of the sequences. Time O(N log L) per direction;
    memory for about 4 p + 200 vectors of L·a numbers and 20 bytes for each number of the sequences, never for Ξ. With
    γ < 1 and L·a at most 1000 or min(8000, N), one pass and memory for (L·a)² numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from linmem import LinearAutoencoder
    >>> waves = [np.sin(0.3 * np.arange(length))[:, None] for length in (40, 60, 50)]
    >>> autoencoder = LinearAutoencoder(memory_size=10, lag_decay=0.9).fit(waves)
    >>> autoencoder.transform(waves).shape
    (3, 10)
    >>> bool(autoencoder.reconstruction_error(waves) < 0.01)
    True
    """

    _chunks: Chunks | None = None  # of partial_fit

    def __init__(
        self,
        memory_size: int | float | str | None = None,
        solver: Any = "auto",
        center: bool = False,
        decoder: str = "refit",
        refine: str | None = "decoder",
        lag_decay: float = 1.0,
        random_state: Any = 0,
    ) -> None:
        self.memory_size = memory_size
        self.solver = solver
        self.center = center
        self.decoder = decoder
        self.refine = refine
        self.lag_decay = lag_decay
        self.random_state = random_state

    # Fitting

    def fit(self, sequences: Any, y: Any = None) -> "LinearAutoencoder":
        """Fit to sequences, which are never changed; `y` is ignored.

        Parameters
        ----------
        sequences : list of (T_i, a) arrays or tensors, or one (n, T, a) array
            Also any object that yields sequences each time it is iterated over: it is read once for every product, and
            only a chunk of it is in memory. A generator can be read only once: its chunks are added up, as by
            `partial_fit`. Within a group of processes, `linmem.autoencoder.history.distributed.Shard(sequences)` is
            this process's part of the set.

        Raises
        ------
        ValueError
            For invalid sequences or parameters, and if `memory_size` is above the rank of the history matrix.

        Notes
        -----
        Every fit is complete: a later `partial_fit` starts a new one.
        """
        self._check_parameters()
        if isinstance(sequences, Iterator):
            self._clear()
            return self._fit_iterator(sequences)
        opened = open_source(sequences, bool(self.center), float(self.lag_decay))
        self._clear()  # an earlier fit outlives sequences that are refused
        self._input_type, self.n_features_in_ = opened.input_type, opened.features
        zero = torch.zeros(opened.features, dtype=torch.float64, device=opened.input_type.device)
        mean = zero if opened.mean is None else opened.mean
        self._solve(opened.history, mean, opened.active, opened.factor)
        return self

    def partial_fit(self, sequences: Any, y: Any = None) -> "LinearAutoencoder":
        """Add one more chunk of sequences, in memory that does not grow.

        `fit` forgets all chunks, and the first chunk after `fit` or `load` starts anew, whatever was fitted
        before. The solution is computed when a result is first needed. With `lag_decay` below 1 and K·a ≤ 8000
        it equals that of `fit` on all chunks up to rounding, but the sum is of ΞᵀΞ: directions with less than
        about 1e-8 of the largest singular value are lost, and `memory_size` must be at most the rank that is
        left. With `lag_decay=1` so it does while Ξ has at most 2000 columns; beyond, the energy past the first
        2 p + 100 directions is lost.
        """
        self._check_parameters()
        if self._chunks is None:
            self._clear()
        sequences = as_collection(sequences)
        known = None if self._chunks is None else self.n_features_in_
        return self._add_chunk(check_sequences(sequences, features=known), sequences)

    def _fit_iterator(self, sequences: Iterator[Any]) -> "LinearAutoencoder":
        first = list(islice(sequences, 1))
        try:
            for chunk in chunks(chain(first, sequences), numbers=CHUNK_NUMBERS):
                self._add_chunk(chunk, first)
            if self._chunks is None:
                check_sequences([])
            self._solved()
        finally:
            self._chunks = None  # as after the fit of a list
        return self

    def _add_chunk(self, checked: list[Tensor], like: Any) -> "LinearAutoencoder":
        if self._chunks is None:
            self._input_type, self.n_features_in_ = InputType.of(like), checked[0].shape[1]
            self._chunks = start_chunks(
                self.n_features_in_,
                bool(self.center),
                float(self.lag_decay),
                checked[0].device,
                self._directions_kept(),
            )
        self._chunks.update(checked, self._generator())
        self._solution = None
        for name in FITTED:
            self.__dict__.pop(name, None)
        return self

    def _solve(self, history: HistoryOperator, mean: Tensor, active: list[int], factor: float) -> None:
        self.solver_, solver = choose_solver(self.solver, history)
        if resolved(solver, history) is not exact:
            history = precompute_gram(history)
        if history.energy == 0:
            raise ValueError(
                f"sequences must not be all {'equal with center=True' if self.center else 'zero'}, got a history "
                "matrix of rank 0. Check the data."
            )
        try:
            solution = solve(history, self.memory_size, solver, self.decoder, self.refine, self._generator())
        except RankError as error:
            raise RankError(*error.args) from None
        if not solution.converged:
            warnings.warn(
                f"the solver must capture all but 1e-7 of the energy, got about {solution.residual:.1e} still missing "
                "from the singular values. Allow more products, e.g. solver=Randomized(products=10000).",
                ConvergenceWarning,
                stacklevel=3,
            )
        self._set_solution(solution.expanded(active, self.n_features_in_).scaled(1 / factor), mean / factor)

    def _solved(self) -> ClosedForm:
        """Return the solution, after solving the chunks of partial_fit if that has not been done."""
        if self._solution is None:
            if self._chunks is None:
                raise NotFittedError(
                    f"{type(self).__name__} must be fitted before use, got an unfitted one. Call fit or partial_fit."
                )
            active = list(range(self.n_features_in_))
            self._solve(self._chunks.history(), self._chunks.mean, active, self._chunks.factor)
        assert self._solution is not None
        return self._solution

    def __getattr__(self, name: str) -> Any:
        # Called only for attributes that are not set. After partial_fit, the first of them computes the solution.
        if name in FITTED:
            self._solved()
            if name in self.__dict__:
                return self.__dict__[name]
            raise AttributeError(
                f"{name} must have been saved, got a file without it. Use save(path, {name[:-1]}=True)."
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        return {name: value for name, value in state.items() if name != "_kept_scorer"}  # built again on first use

    def _clear(self) -> None:
        self._solution, self._chunks = None, None
        for name in (*FITTED, "n_features_in_"):
            self.__dict__.pop(name, None)

    def _check_parameters(self) -> None:
        check_memory_size(self.memory_size)
        for name, known in (("decoder", DECODERS), ("refine", REFINEMENTS)):
            if (value := getattr(self, name)) not in known:
                names = ", ".join(map(repr, known))
                raise ValueError(f"{name} must be one of {names}, got {shown(value)}. Choose one of them.")
        if isinstance(self.lag_decay, bool) or not isinstance(self.lag_decay, Real) or not 0 < self.lag_decay <= 1:
            raise ValueError(
                f"lag_decay must be a number above 0 and at most 1, got {shown(self.lag_decay)}. "
                "1 counts all lags equally."
            )
        if self.lag_decay < 1 and (self.solver == "slices" or isinstance(self.solver, Slices)):
            raise ValueError(
                f"lag_decay must be 1 for solver='slices', got {self.lag_decay!r}. Use solver='auto' for lag decay."
            )

    def _directions_kept(self) -> int:
        if self.memory_size is None:
            return 300
        number = not isinstance(self.memory_size, str) and self.memory_size >= 1
        return 2 * int(self.memory_size) + 100 if number else 600

    def _generator(self) -> torch.Generator:
        try:
            source = check_random_state(self.random_state)
        except ValueError:
            raise ValueError(
                f"random_state must be an int of at least 0, a RandomState or None, got {self.random_state!r}. "
                "Pass one of them."
            ) from None
        return torch.Generator().manual_seed(int(source.randint(2**31 - 1)))

    @property
    def _n_features_out(self) -> int:
        return self.memory_size_

    def __sklearn_is_fitted__(self) -> bool:
        return self._solution is not None or self._chunks is not None

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.three_d_array = False, True
        tags.target_tags.required = False
        return tags

    # Files

    def save(self, path: str | PathLike[str], right_vectors: bool = False) -> None:
        """Write the fit to `path`, one file of safetensors and JSON; chunks of `partial_fit` are not written.

        A `random_state` that is a generator is written as None: it has no effect on a fit that is done.

        Parameters
        ----------
        path : path
        right_vectors : bool
            Write `right_vectors_`, too: L·a·p numbers, needed by `linmem.initialize.from_unfolded_`.
        """
        solution = self._solved()
        if right_vectors:
            solution = replace(solution, right_vectors=torch.as_tensor(self.right_vectors_))
        parameters = self.get_params(deep=False)
        autoencoder_file.write(
            path, autoencoder_file.Stored(parameters, solution, self._mean, self.solver_, self._input_type)
        )

    @classmethod
    def load(cls, path: str | PathLike[str]) -> "LinearAutoencoder":
        """Read a fit from the file it was saved to, onto the CPU."""
        stored = autoencoder_file.read(path)
        with parsing(path, "a complete fit", "Fit and save the autoencoder again."):
            autoencoder = cls(**stored.parameters)
            autoencoder._check_parameters()
        autoencoder._input_type, autoencoder.solver_ = stored.input_type, stored.solver
        autoencoder.n_features_in_ = stored.solution.A.shape[1]
        autoencoder._set_solution(stored.solution, stored.mean)
        return autoencoder
