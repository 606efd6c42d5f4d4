"""Use of a fitted autoencoder: states, decoded inputs, errors, and scores of every step.

Symbols: a features, p memory units, L lags, n sequences, γ lag decay.
"""

import warnings
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any

import torch
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from torch import Tensor

from linmem.autoencoder import coding
from linmem.autoencoder.evaluation import relative_error
from linmem.autoencoder.history.sources import InputType, as_collection
from linmem.autoencoder.solution import ClosedForm
from linmem.sequences import check_sequences, floating, tensor_of
from linmem.storage.limits import require_memory
from linmem.storage.parsing import parsing
from linmem.validation import check_count


class FittedAutoencoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ABC):
    """The part of `LinearAutoencoder` that comes after fitting."""

    A_: Any
    B_: Any
    C_: Any
    mean_: Any
    right_vectors_: Any
    singular_values_: Any
    optimal_error_: float
    training_error_: float
    unweighted_optimal_error_: float
    unweighted_error_: float
    memory_size_: int
    lags_: int
    lag_decay_: float
    solver_: str
    n_features_in_: int

    # Internal state in float64. `_solution` is None while chunks of partial_fit wait to be solved.
    _solution: ClosedForm | None = None
    _mean: Tensor
    _input_type: InputType
    _warned_of_length = False
    _kept_scorer: coding.Scorer | None = None  # built on first use

    @abstractmethod
    def _solved(self) -> ClosedForm:
        """Return the solution, computing it if chunks of partial_fit wait."""

    def _set_solution(self, solution: ClosedForm, mean: Tensor) -> None:
        """Set the fitted attributes, in the input's container and dtype."""
        convert = self._input_type.convert
        self.A_, self.B_, self.C_ = convert(solution.A), convert(solution.B), convert(solution.C)
        self.mean_ = convert(mean)
        self.singular_values_ = replace(self._input_type, dtype=torch.float64).convert(solution.singular_values)
        if solution.right_vectors is not None:
            self.right_vectors_ = convert(solution.right_vectors)
        self.optimal_error_, self.training_error_ = solution.optimal_error, solution.training_error
        self.unweighted_optimal_error_ = solution.unweighted_optimal_error
        self.unweighted_error_ = solution.unweighted_error
        self.memory_size_, self.lags_, self.lag_decay_ = len(solution.A), solution.lags, solution.decay
        self._solution, self._mean, self._kept_scorer = replace(solution, right_vectors=None), mean, None
        self._warned_of_length = False

    def encode(self, sequences: Any) -> list[Any]:
        """Return the (T_i, p) states after every step, one array per sequence.

        Examples
        --------
        >>> import numpy as np
        >>> from linmem import LinearAutoencoder
        >>> sequences = [np.random.default_rng(0).normal(size=(20, 3))]
        >>> LinearAutoencoder(memory_size=5).fit(sequences).encode(sequences)[0].shape
        (20, 5)
        """
        checked, input_type = self._check(sequences)
        return [input_type.convert(states) for states in self._encode(checked)]

    def transform(self, sequences: Any) -> Any:
        """Return the (n, p) states after each sequence's last step."""
        checked, input_type = self._check(sequences)
        return input_type.convert(torch.stack([states[-1] for states in self._encode(checked)]))

    def step(self, x_t: Any, y: Any = None) -> Any:
        """Return the state after one step, the same numbers as `encode`.

        Parameters
        ----------
        x_t : (a,) or (n, a) array or tensor
            The next step of one sequence, or of n sequences.
        y : (p,) or (n, p) array or tensor, optional
            The state before it, as returned for the step before; None begins a sequence.

        Examples
        --------
        >>> import numpy as np
        >>> from linmem import LinearAutoencoder
        >>> sequence = np.random.default_rng(0).normal(size=(20, 3))
        >>> autoencoder = LinearAutoencoder(memory_size=5).fit([sequence])
        >>> state = None
        >>> for x_t in sequence:
        ...     state = autoencoder.step(x_t, state)
        >>> bool(np.allclose(state, autoencoder.transform([sequence])[0]))
        True
        """
        solution = self._solved()
        inputs, input_type = self._check_step(x_t)
        shift = self._shift
        driven = (inputs if shift is None else inputs - shift.to(inputs)) @ solution.A.to(inputs).T
        if y is not None:
            before = _as_tensor("y", y).to(driven)
            if before.shape != driven.shape:
                raise ValueError(
                    f"y must have shape {tuple(driven.shape)}, got {tuple(before.shape)}. Pass what step returned."
                )
            if not torch.isfinite(before).all():
                raise ValueError("y must be finite, got NaN or infinity. Begin a new sequence with y=None.")
            driven = driven + before @ solution.B.to(driven).T
        return input_type.convert(driven)

    def decode(self, states: Any, length: int) -> Any:
        """Return the last `length` inputs that each of the (n, p) states remembers, (n, length, a), oldest first.

        With `lag_decay` below 1 nothing is remembered of lags from `lags_` on: they are decoded as the mean.
        """
        solution = self._solved()
        length = check_count("length", length)
        tensor = _as_tensor("states", states)
        if tensor.ndim != 2 or tensor.shape[1] != len(solution.A):
            raise ValueError(
                f"states must have shape (n, {len(solution.A)}), got {tuple(tensor.shape)}. Pass encoded states."
            )
        require_memory(8 * length * self.n_features_in_ * max(tensor.shape), "length in decode")
        input_type = InputType(isinstance(states, Tensor), floating(tensor.dtype), tensor.device)
        blocks = solution.blocks(length)
        return input_type.convert(coding.decode(tensor.to(blocks), blocks, self._shift))

    def inverse_transform(self, states: Any) -> Any:
        """Decode (n, p) states at `lags_`, the longest length that was fitted, (n, L, a)."""
        return self.decode(states, self.lags_)

    def reconstruction_error(self, sequences: Any, per_lag: bool = False, weighted: bool = True) -> Any:
        """Return ‖Ξ − YΩᵀ‖² / ‖Ξ‖²: every step's past decoded from that step's state; Ξ is never built.

        Parameters
        ----------
        sequences : list of (T_i, a) arrays or tensors, or one (n, T, a) array
        per_lag : bool
            Return the (L,) errors of each lag's columns by themselves, each divided by its own energy.
        weighted : bool
            Weight lag i by γ^i, as `fit` does; False counts the first `lags_` lags equally.

        Examples
        --------
        >>> import numpy as np
        >>> from linmem import LinearAutoencoder
        >>> walks = [np.random.default_rng(0).normal(size=(50, 2)).cumsum(0)]
        >>> autoencoder = LinearAutoencoder(memory_size=8, lag_decay=0.8).fit(walks)
        >>> bool(autoencoder.optimal_error_ <= autoencoder.reconstruction_error(walks) < 0.1)
        True
        >>> autoencoder.reconstruction_error(walks, per_lag=True).shape
        (37,)
        """
        checked, input_type = self._check(sequences)
        solution = self._solved()
        self._warn_of_length(checked)
        found = relative_error(solution, checked, self._shift, weighted, per_lag)
        return found if isinstance(found, float) else input_type.convert(found)

    def score(self, sequences: Any, y: Any = None) -> float:
        """Return 1 − reconstruction_error: the share of the energy that is recovered."""
        return 1.0 - self.reconstruction_error(sequences)

    def score_samples(self, sequences: Any) -> list[Any]:
        """Return the (T_i,) squared errors of reconstructing the recent past at every step; large ones are anomalies.

        The error at step t is Σ_i γ^{2i} ‖x_{t-i} − C_x C_yⁱ y_t‖² over `lags_` lags, with zeros (the mean, if centred)
        before the sequence's start: their sum over all steps is `reconstruction_error` times ‖Ξ‖². O(p (a + p)) per
        step; decoder="optimal" uses `C_`, too.

        Examples
        --------
        >>> import numpy as np
        >>> from linmem import LinearAutoencoder
        >>> wave = np.sin(0.3 * np.arange(300))[:, None]
        >>> autoencoder = LinearAutoencoder(memory_size=2, lag_decay=0.9).fit([wave])
        >>> broken = wave.copy()
        >>> broken[200] += 1
        >>> int(np.argmax(autoencoder.score_samples([broken])[0]))
        200
        """
        checked, input_type = self._check(sequences)
        self._warn_of_length(checked)
        scores = self._scorer().score([sequence.to(torch.float64) - self._mean for sequence in checked])
        return [input_type.convert(score) for score in scores]

    def score_step(self, x_t: Any, state: coding.ScoreState | None = None) -> tuple[Any, coding.ScoreState]:
        """Return the score of one step, the same number as `score_samples`, and the state to pass with the next step.

        Parameters
        ----------
        x_t : (a,) or (n, a) array or tensor
            The next step of one sequence, or of n sequences.
        state : ScoreState, optional
            As returned for the step before; None begins a sequence. It is not changed.

        Notes
        -----
        O(p (a + p)) per step; the first one after a fit costs O(p³ log K) more.
        """
        scorer = self._scorer()
        inputs, input_type = self._check_step(x_t)
        values = inputs.to(torch.float64) - self._mean
        rows = values.reshape(-1, values.shape[-1])
        begin = scorer.start(len(rows))
        errors, state = scorer(rows[None], begin if state is None else _check_score_state(state, begin))
        return input_type.convert(errors[0].reshape(values.shape[:-1])), state

    def _scorer(self) -> coding.Scorer:
        solution = self._solved()
        if self._kept_scorer is None:
            parts = (solution.A, solution.B, solution.decoder, solution.decay, solution.lags)
            self._kept_scorer = coding.Scorer(*parts)
        return self._kept_scorer

    def _encode(self, checked: list[Tensor]) -> list[Tensor]:
        solution = self._solved()
        self._warn_of_length(checked)
        checked = [sequence.to(checked[0]) for sequence in checked]  # of any dtype, in one batch
        mean = None if self._shift is None else self._shift.to(checked[0])
        return coding.encode(checked, solution.A.to(checked[0]), solution.B.to(checked[0]), mean)

    @property
    def _shift(self) -> Tensor | None:
        """The mean that the fit has subtracted; None without centring, whatever the parameters are by now."""
        return self._mean if bool(self._mean.any()) else None

    def _warn_of_length(self, checked: list[Tensor]) -> None:
        longest = max(map(len, checked))
        if self.lag_decay_ == 1 and longest > self.lags_ and not self._warned_of_length:
            self._warned_of_length = True
            warnings.warn(
                f"sequences should have at most the {self.lags_} steps of the longest in fit for lag_decay=1, got "
                f"{longest}: states degrade beyond. Fit with lag_decay below 1 or to longer sequences.",
                stacklevel=4,
            )

    def _check(self, sequences: Any) -> tuple[list[Tensor], InputType]:
        self._solved()
        sequences = as_collection(sequences)
        checked = check_sequences(sequences, features=self.n_features_in_)
        return checked, InputType.of(sequences)

    def _check_step(self, x_t: Any) -> tuple[Tensor, InputType]:
        tensor = _as_tensor("x_t", x_t)
        if tensor.ndim not in (1, 2) or tensor.shape[-1] != self.n_features_in_:
            a = self.n_features_in_
            raise ValueError(f"x_t must have shape ({a},) or (n, {a}), got {tuple(tensor.shape)}. Pass one step.")
        if not torch.isfinite(tensor).all():
            raise ValueError("x_t must be finite, got NaN or infinity. Remove or fill in such values first.")
        input_type = InputType(isinstance(x_t, Tensor), floating(tensor.dtype), tensor.device)
        return tensor.to(input_type.dtype), input_type


FITTED = tuple(name for name in FittedAutoencoder.__annotations__ if name.endswith("_") and name != "n_features_in_")


def _as_tensor(name: str, values: Any) -> Tensor:
    """Convert an array or tensor of real numbers; ValueError if it is neither."""
    with parsing(name, "an array or a tensor of real numbers", "Convert it."):
        tensor = values if isinstance(values, Tensor) else tensor_of(values)
        if tensor.is_complex() or tensor.is_meta or tensor.layout != torch.strided:
            raise ValueError(f"values of {tensor.dtype} on {tensor.device}")
    return tensor


def _check_score_state(state: Any, begin: coding.ScoreState) -> coding.ScoreState:
    """Return the state; ValueError if it is not one, or one of another memory or number of sequences."""
    if not isinstance(state, coding.ScoreState):
        raise ValueError(f"state must be a ScoreState, got {type(state).__name__}. Pass what score_step returned.")
    parts: zip[tuple[str, Any, Any]] = zip(state._fields, state, begin, strict=True)
    for name, part, expected in parts:
        if not isinstance(part, type(expected)):
            kind = type(expected).__name__
            raise ValueError(
                f"state.{name} must be a {kind}, got {type(part).__name__}. Pass what score_step returned."
            )
        if part.shape != expected.shape:
            raise ValueError(
                f"state.{name} must have shape {tuple(expected.shape)}, got {tuple(part.shape)}. Pass what score_step "
                "returned for the same sequences."
            )
    return state
