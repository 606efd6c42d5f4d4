"""What a fit has found, in the kind of array that came: the read-only attributes of `LinearAutoencoder`.

Letters: a features, p memory units, L the longest length. Sperduti 2013.
"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from linmem.autoencoder.history.sources import Given
from linmem.autoencoder.solution import ClosedForm


class Fitted:
    """Attributes that end in an underscore; reading one solves the fit if `partial_fit` has left it open."""

    _given: Given
    _mean: Tensor

    def _result(self) -> ClosedForm:
        raise NotImplementedError

    def _back(self, tensor: Tensor) -> Any:
        return self._given.back(tensor)

    @property
    def A_(self) -> Any:
        """(p, a) input weights of the encoder."""
        return self._back(self._result().A)

    @property
    def B_(self) -> Any:
        """(p, p) transition of the encoder."""
        return self._back(self._result().B)

    @property
    def C_(self) -> Any:
        """(a + p, p) recurrent decoder, C_x over C_y."""
        return self._back(self._result().C)

    @property
    def right_vectors_(self) -> Any:
        """(L, a, p) right singular vectors U by lag."""
        return self._back(self._result().right_vectors)

    @property
    def mean_(self) -> Any:
        """(a,) mean step, zero without centring."""
        self._result()
        return self._given.back(self._mean)

    @property
    def singular_values_(self) -> Any:
        """(p,) float64 singular values of Ξ."""
        return replace(self._given, dtype=torch.float64).back(self._result().singular_values)

    @property
    def optimal_error_(self) -> float:
        """The Eckart–Young bound at `memory_size_`."""
        return self._result().optimal_error

    @property
    def training_error_(self) -> float:
        """Relative reconstruction error on the sequences of fit."""
        return self._result().training_error

    @property
    def memory_size_(self) -> int:
        """The number of memory units, p."""
        return len(self._result().A)

    @property
    def lags_(self) -> int:
        """The longest length seen in fit, L."""
        return len(self._result().right_vectors)
