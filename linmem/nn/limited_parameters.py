"""Parameters of LMN recurrences whose norms stay limited after every step of an optimizer.

The limits (:mod:`linmem.nn.norm_limits`) are fixed at the first forward pass in training mode, or before the first
step of an optimizer if there was none, as in a compiled layer. Each step of a ``torch.optim.Optimizer`` that holds the
weights is followed by scaling them down (:mod:`linmem.nn.optimizer_steps`): weights do not change in a forward pass,
and what is saved or copied after a step is the model in memory. A step never scales down weights that were written
since the last one, as far as their version counters show it: the limits rise to the norms of these weights.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from linmem.nn.norm_limits import Norms, RecurrentWeights, is_trained, limits_of, measure_norms, raised, scale_down_
from linmem.nn.optimizer_steps import listen_to_steps
from linmem.nn.scan.memory import as_matrix
from linmem.nn.scan.recurrent_parameters import RecurrentParameters

Versions = tuple[tuple[int, int], ...]  # id and version counter of each trained weight


class _Record(NamedTuple):
    limits: Norms
    versions: Versions


class NormLimits:
    """The limits of all recurrences of one layer, by suffix, each fixed when it is first seen."""

    def __init__(self) -> None:
        self._records: dict[str, _Record] = {}

    def fix(self, suffix: str, limits: Norms, versions: Versions) -> None:
        """Fix the limits of weights that respect them."""
        self._records[suffix] = _Record(limits, versions)

    def record(self, suffix: str) -> _Record | None:
        """The limits of a recurrence and the versions of its weights that respect them, if fixed."""
        return self._records.get(suffix)

    @property
    def fixed(self) -> dict[str, Norms]:
        """The limits that are fixed so far, by suffix."""
        return {suffix: record.limits for suffix, record in self._records.items()}

    def __reduce__(self) -> tuple[type[NormLimits], tuple[()]]:
        """Copies and pickles of a layer have new parameters and compute their limits again."""
        return NormLimits, ()

    def reset(self) -> None:
        """Compute the limits again, because the weights did not come from an optimizer."""
        self._records.clear()


class LimitedParameters(RecurrentParameters):
    """Parameters of LMN recurrences whose norms are limited in training.

    Examples
    --------
    >>> import linmem
    >>> lmn = linmem.LMN(2, 4, 8)
    >>> optimizer = torch.optim.Adam(lmn.parameters(), lr=1.0)
    >>> lmn(torch.ones(5, 1, 2))[0].square().sum().backward()
    >>> optimizer.step()  # adds up to 1.0 to each weight, then scales them down
    >>> bool(torch.linalg.matrix_norm(lmn.weight_mm_l0, 2) < 1.01)
    True
    """

    limit_norms: bool

    def __init__(self) -> None:
        super().__init__()
        self.norm_limits = NormLimits()

    def __setstate__(self, state: dict[str, Any]) -> None:
        """A copy or a pickle of a layer is a layer of its own."""
        super().__setstate__(state)
        listen_to_steps(self)

    def suffixes(self) -> list[str]:
        """Suffixes of the parameters of all layers and directions."""
        raise NotImplementedError

    def reset_parameters(self) -> None:
        """Initialize all parameters, and compute the limits on their norms again.

        Constructors end with this: a layer whose construction failed is not called at steps of optimizers.
        """
        super().reset_parameters()
        self.norm_limits.reset()
        listen_to_steps(self)

    @torch.no_grad()
    def apply_norm_limits(self) -> None:
        """Scale W_mh, W_hm and W_mm down now, in place, where they exceed their limits; the first call fixes these.

        Optimizers of torch do this in `step`. A loop that changes weights without one calls it after each update, and
        once before the first.
        """
        if self.limit_norms:
            for suffix in self._trained_suffixes():
                if self.norm_limits.record(suffix) is None:
                    self._fix_limits(suffix)
                else:
                    self._scale_down(suffix)
            self.corrected()

    @torch.no_grad()
    def start_norm_limits(self) -> None:
        """Fix the limits that are not fixed yet; a layer with parametrized weights waits for the step."""
        if len(self.norm_limits.fixed) == len(self.suffixes()):
            return
        if all(parameter is None or type(parameter) is nn.Parameter for parameter in self._parameters.values()):
            for suffix in self._trained_suffixes():
                if self.norm_limits.record(suffix) is None:
                    self._fix_limits(suffix)

    def before_optimizer_step(self, held: Collection[int]) -> None:
        """Fix the limits that are not fixed yet, and raise those that weights written by hand exceed."""
        if not self.limit_norms:
            return
        for suffix in self._trained_suffixes(held):
            record = self.norm_limits.record(suffix)
            if record is None:
                self._fix_limits(suffix)
            elif record.versions != self._versions(suffix):
                norms = measure_norms(self._recurrent_weights(suffix))
                self._fix_limits(suffix, raised(record.limits, norms, self.nonlinearity))

    def after_optimizer_step(self, held: Collection[int]) -> None:
        """Scale down the recurrences of which the optimizer holds a weight."""
        if self.limit_norms:
            for suffix in self._trained_suffixes(held):
                self._scale_down(suffix)

    def corrected(self, held: Collection[int] | None = None) -> None:
        """Note the versions of the weights, `held` by an optimizer, as those that respect the limits."""
        limits = self.norm_limits.fixed
        for suffix in self._trained_suffixes(held):
            if suffix in limits:
                self._fix_limits(suffix, limits[suffix])

    def _fix_limits(self, suffix: str, limits: Norms | None = None) -> None:
        """Fix the given limits, or those of weights that start with their present norms."""
        if limits is None:
            limits = limits_of(measure_norms(self._recurrent_weights(suffix)), self.nonlinearity)
        self.norm_limits.fix(suffix, limits, self._versions(suffix))

    def _scale_down(self, suffix: str) -> None:
        record = self.norm_limits.record(suffix)
        if record is not None:
            scale_down_(self._recurrent_weights(suffix), record.limits)

    def _trained_suffixes(self, held: Collection[int] | None = None) -> list[str]:
        """Recurrences with a trained weight, `held` by an optimizer."""
        return [
            suffix
            for suffix in self.suffixes()
            if any(held is None or id(weight) in held for weight in self._trained(suffix))
        ]

    def _trained(self, suffix: str) -> list[Tensor]:
        """The weights that are scaled down."""
        names = "weight_mh", "weight_hm", "log_decay_mm" if self.memory == "diagonal" else "weight_mm"
        weights = (self._parameters.get(name + suffix) for name in names)
        return [weight for weight in weights if weight is not None and is_trained(weight)]

    def _versions(self, suffix: str) -> Versions:
        return tuple((id(weight), weight._version) for weight in self._trained(suffix))

    def restore_norm_limits(self, limits: dict[str, Norms]) -> None:
        """Continue with the limits by suffix of an earlier training run whose weights this layer has now."""
        for suffix in self.suffixes():
            if suffix in limits:
                self._fix_limits(suffix, limits[suffix])

    def _recurrent_weights(self, suffix: str) -> RecurrentWeights:
        weights = self._weights(suffix)
        log_decay = getattr(self, f"log_decay_mm{suffix}") if self.memory == "diagonal" else None
        return RecurrentWeights(weights.mh, weights.hm, weights.mm, tuple(one for one, _ in weights.deep), log_decay)

    def spectral_radii(self) -> dict[str, float]:
        """Largest modulus of an eigenvalue of each W_mm, by parameter name.

        Below 1 the memory decays; above 1 it can grow. The loop m → h → m can grow in both cases.

        Examples
        --------
        >>> import linmem
        >>> linmem.LMN(3, 4, 5).spectral_radii()
        {'weight_mm_l0': 0.99...}
        """
        with torch.no_grad():
            return {
                f"weight_mm{suffix}": float(torch.linalg.eigvals(self.memory_matrix(suffix).double()).abs().max())
                for suffix in self.suffixes()
            }

    def memory_matrix(self, suffix: str = "_l0") -> Tensor:
        """W_mm (p, p) of one layer and direction, for a diagonal memory too; `suffix` as in the parameter names.

        Examples
        --------
        >>> import linmem
        >>> linmem.LMN(3, 4, 5, memory="diagonal").memory_matrix().shape
        torch.Size([5, 5])
        """
        return as_matrix(self._weights(suffix).mm)

    def _load_from_state_dict(self, *arguments: Any) -> None:
        super()._load_from_state_dict(*arguments)
        self.norm_limits.reset()


def reset_norm_limits(model: nn.Module) -> None:
    """Compute the limits of all LMN layers of a model again, for weights that did not come from an optimizer."""
    for layer in model.modules():
        if isinstance(layer, LimitedParameters):
            layer.norm_limits.reset()


def fixed_limits(model: nn.Module) -> dict[str, dict[str, Norms]]:
    """The limits that are fixed so far, by name of the LMN layer and suffix."""
    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, LimitedParameters)}
    return {name: layer.norm_limits.fixed for name, layer in layers.items() if layer.norm_limits.fixed}


def restore_limits(model: nn.Module, limits: dict[str, dict[str, Norms]]) -> None:
    """Continue with the limits of an earlier training run, after its weights are loaded.

    Layers without an entry compute their limits again, as after `load_state_dict`.
    """
    for name, layer in model.named_modules():
        if isinstance(layer, LimitedParameters) and name in limits:
            layer.restore_norm_limits(limits[name])
