"""Options of a run: data set, model, training and pretraining, each declared once in the dataclass that uses it.

The command line, the configuration file of a run and the search space of a sweep all name an option by its field:
`learning_rate`, not `training.learning_rate`. Field names are therefore unique over the groups.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from linmem import data
from linmem.data import FolderOptions, Splits
from linmem.nn.registry import ModelOptions
from linmem.nn.scan.activations import activation
from linmem.training.options import TrainingOptions
from linmem.validation import check_fields

OUTPUT_BIAS_INITS = ("marginal", "default")
SKIP_INITS = ("zero", "persistence")
PRETRAINABLE = {  # models by scheme
    "unfolded": ("lmn-b",),
    "inputs": ("lmn-b", "lmn-detach", "rnn"),
    "incremental": ("lmn-multiscale",),
}


@dataclass(frozen=True)
class PretrainingOptions:
    """How to initialize the model.

    Parameters
    ----------
    pretrain : str
        none; unfolded: L18's three steps, for lmn-b; inputs: from the autoencoder of the inputs, for rnn [P14] and for
        lmn-b and lmn-detach with hidden_size = memory_size [S20]; incremental: train lmn-multiscale with one memory
        module, add a slower one in closed form, and so on up to `scales` modules [E21].
    pretrain_epochs : int
        Largest number of epochs of the unfolded network, or before each module is added.
    pretrain_learning_rate : float
        Adam's learning rate in these epochs.
    unfolded_nonlinearity : str
        Nonlinearity of the unfolded network: tanh, relu, selu (L18's) or identity.
    memory_decay : float
        Weight of a hidden state of the unfolded network in the memory, per step; 1 is L18's.
    output_bias_init : str
        Initial bias of the readout: marginal, the constant output that fits the training set best, or default,
        PyTorch's.
    skip_init : str
        Initial weights of the skip connection: zero, or for piano rolls persistence: the log-odds of each note given
        whether it sounds now, which replace the initial output bias, too.
    """

    pretrain: str = "none"
    pretrain_epochs: int = 60
    pretrain_learning_rate: float = 1e-3
    unfolded_nonlinearity: str = "selu"
    memory_decay: float = 1.0
    output_bias_init: str = "marginal"
    skip_init: str = "zero"

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.pretrain_learning_rate > 0 or self.pretrain_epochs < 1:
            raise ValueError(
                "pretrain_learning_rate and pretrain_epochs must be above 0, got "
                f"{self.pretrain_learning_rate} and {self.pretrain_epochs}."
            )
        if not 0 < self.memory_decay <= 1:
            raise ValueError(f"memory_decay must be above 0 and at most 1, got {self.memory_decay}.")
        activation(self.unfolded_nonlinearity, "unfolded_nonlinearity")


ESTIMATOR = "estimator"  # name of the model that is not a network
SHARED = ("model", "memory_size", "lag_decay", "seed")  # the options of a network that an estimator has, too


@dataclass(frozen=True)
class EstimatorOptions:
    """Options of the model estimator.

    Parameters
    ----------
    n_projections : int
        Random projections of `MemoryClassifier` and `MemoryRegressor`; time, features and size are proportional to it.
    streaming : bool
        Use only features that are computed step by step in constant memory; needed to export C.
    horizon : int, optional
        Steps ahead that `MemoryForecaster` is validated at; by default the season, or 12 without one.
    season : int, optional
        Steps of one season of `MemoryForecaster`; 1 for none. By default chosen by validation among peaks of the
        autocorrelation.
    """

    n_projections: int = 10_000
    streaming: bool = False
    horizon: int | None = None
    season: int | None = None


@dataclass(frozen=True)
class RunOptions:
    """Everything that determines a run: a data set or folder, a model, its training and its initialization."""

    data: str
    model: ModelOptions = field(default_factory=ModelOptions)
    training: TrainingOptions = field(default_factory=TrainingOptions)
    pretraining: PretrainingOptions = field(default_factory=PretrainingOptions)
    files: FolderOptions = field(default_factory=FolderOptions)  # of a data set from the user's own files
    estimator: EstimatorOptions = field(default_factory=EstimatorOptions)

    def load_data(self) -> Splits:
        """Load the data set."""
        return data.load(self.data, **asdict(self.files))


GROUPS: dict[str, type] = {
    "model": ModelOptions,
    "training": TrainingOptions,
    "pretraining": PretrainingOptions,
    "files": FolderOptions,
    "estimator": EstimatorOptions,
}
FIELDS = {f.name: f for group in GROUPS.values() for f in fields(group)}


def flatten(options: RunOptions) -> dict[str, Any]:
    """All options by their own names, `data` first."""
    groups = asdict(options)
    return {"data": groups.pop("data")} | {name: value for group in groups.values() for name, value in group.items()}


def with_options(options: RunOptions, changes: Mapping[str, Any]) -> RunOptions:
    """Return `options` with the named options changed.

    Raises
    ------
    ValueError
        A value is out of range, or contradicts another option.
    TypeError
        A name is no option.
    """
    if unknown := set(changes) - FIELDS.keys():
        raise TypeError(f"options must be among {', '.join(FIELDS)}, got {', '.join(sorted(unknown))}.")
    groups = {
        group: replace(getattr(options, group), **{f.name: changes[f.name] for f in fields(kind) if f.name in changes})
        for group, kind in GROUPS.items()
    }
    return replace(options, **groups)


def check_options(options: RunOptions) -> None:
    """Check that the pretraining suits the model, and that a network has no option of the estimators.

    Raises
    ------
    ValueError
        An option does not suit the model.
    """
    check_pretraining(options)
    for name, default in asdict(EstimatorOptions()).items():
        if options.model.model != ESTIMATOR and (value := getattr(options.estimator, name)) != default:
            raise ValueError(
                f"{name} must not be given for the model {options.model.model}, got {value!r}."
                f" Omit it, or use --model {ESTIMATOR}."
            )


def check_pretraining(options: RunOptions) -> None:
    """Check that the pretraining exists and suits the model.

    Raises
    ------
    ValueError
        An unknown scheme, or one that does not suit the model.
    """
    scheme, bias_init, model = options.pretraining.pretrain, options.pretraining.output_bias_init, options.model.model
    skip_init = options.pretraining.skip_init
    if bias_init not in OUTPUT_BIAS_INITS:
        raise ValueError(f"output_bias_init must be one of {', '.join(OUTPUT_BIAS_INITS)}, got {bias_init!r}.")
    if skip_init not in SKIP_INITS:
        raise ValueError(f"skip_init must be one of {', '.join(SKIP_INITS)}, got {skip_init!r}.")
    if skip_init != "zero" and not options.model.skip_connection:
        raise ValueError(f"skip_init must be zero without skip_connection, got {skip_init!r}. Add skip_connection.")
    if skip_init != "zero" and scheme != "none":
        raise ValueError(f"skip_init must be zero with pretrain={scheme}, got {skip_init!r}. Omit the option.")
    if scheme not in ("none", *PRETRAINABLE):
        raise ValueError(f"pretrain must be one of none, {', '.join(PRETRAINABLE)}, got {scheme!r}.")
    if scheme != "none" and model not in PRETRAINABLE[scheme]:
        suited = ", ".join(PRETRAINABLE[scheme])
        raise ValueError(f"model must be one of {suited} with pretrain={scheme}, got {model!r}.")
    hidden, memory = options.model.hidden_size, options.model.memory_size
    if scheme == "incremental" and options.model.scales < 2:
        raise ValueError("scales must be at least 2 with pretrain=incremental, got 1. Raise scales.")
    if scheme == "incremental" and options.model.readout == "nade":
        raise ValueError("readout must be linear with pretrain=incremental, got 'nade'. Omit the option.")
    if scheme == "inputs" and model != "rnn" and hidden != memory:
        raise ValueError(f"hidden_size must be {memory}, got {hidden}. With pretrain=inputs it equals memory_size.")
