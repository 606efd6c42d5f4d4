"""Study: the record of a sweep's runs, kept by Optuna in a journal file or a database.

Each attempt at a run is one Optuna trial, RUNNING from its start and COMPLETE or FAIL at its end. The name of the run,
its options and its result are user attributes, so that Optuna's own tools show them. The latest trial of a name counts:
an attempt whose process was killed ends as FAIL without an error when another process starts the next attempt.

Only Optuna's public interface is used. A file lock beside the journal or the SQLite file makes "look, then start"
atomic. Machines that share a database server have no such lock: in the rare case that two of them start the same run
in the same moment, both do it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from linmem.runs.locks import lock
from linmem.storage.atomic import require_no_dangling_link
from linmem.storage.parsing import parsing

if TYPE_CHECKING:
    import optuna
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial, Trial

NAME, OWNER, RESULT, ERROR, ERROR_TYPE = "run", "folder", "result", "error", "error_type"

_JOURNAL, _OTHER = "a journal of Optuna", "Use another storage (--storage)."


class Study:
    """Runs by name, and the state of each.

    Parameters
    ----------
    storage : str
        Path of a journal file, or URL of a database in SQLAlchemy's form.
    name : str
        Name of the study in the storage; created if it does not exist.
    owner : str
        Identifies the processes that share one folder and see each other's locks.

    Raises
    ------
    ImportError
        Optuna is not installed.
    ValueError
        The storage cannot be opened or read.
    """

    def __init__(self, storage: str, name: str, owner: str) -> None:
        self.owner, self._lock = owner, _lock_path(storage)
        self._study, self._storage = _open(storage, name), storage
        self._started: dict[str, Trial] = {}

    def trials(self) -> dict[str, FrozenTrial]:
        """The latest trial of every name."""
        with parsing(self._storage, _JOURNAL, _OTHER):
            trials = self._study.get_trials(deepcopy=False)
        named = [(trial.user_attrs.get(NAME), trial) for trial in trials]
        return {name: trial for name, trial in named if name and isinstance(name, str)}

    def finished(self) -> set[str]:
        """Names of the runs that are complete or failed."""
        return {name for name, trial in self.trials().items() if is_finished(trial)}

    def start(self, name: str, options: Mapping[str, Any], take_over: bool = False) -> bool:
        """Start a run, whose file lock the caller holds; False if it is finished or runs elsewhere.

        A run that counts as RUNNING in this folder has lost its process, because its lock was free: it starts again.
        A run of another folder is left alone unless `take_over` is set.
        """
        from optuna.trial import TrialState

        with self._locked(), parsing(self._storage, _JOURNAL, _OTHER):
            before = self.trials().get(name)
            if is_finished(before):
                return False
            if before is not None and before.state == TrialState.RUNNING:
                if not take_over and before.user_attrs.get(OWNER) != self.owner:
                    return False
                self._study.tell(before.number, state=TrialState.FAIL, skip_if_finished=True)
            trial = self._study.ask()
            for key, value in {OWNER: self.owner, **options, NAME: name}.items():  # the name last: it makes it count
                trial.set_user_attr(key, value)
            self._started[name] = trial
            return True

    def complete(self, name: str, loss: float, result: Mapping[str, Any]) -> None:
        """Finish a started run with its loss and result; no effect if another process has taken it over."""
        self._finish(name, {RESULT: dict(result)}, loss)

    def fail(self, name: str, error: str, error_type: str) -> None:
        """Finish a started run with a traceback and the type of the exception; no effect if it was taken over."""
        self._finish(name, {ERROR_TYPE: error_type, ERROR: error}, None)

    def _finish(self, name: str, attributes: Mapping[str, Any], loss: float | None) -> None:
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import TrialState

        trial = self._started.pop(name)
        with suppress(UpdateFinishedTrialError):
            for key, value in attributes.items():
                trial.set_user_attr(key, value)
            state = TrialState.FAIL if loss is None else TrialState.COMPLETE
            self._study.tell(trial, loss, state=state, skip_if_finished=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with ExitStack() as stack:
            if self._lock:
                stack.enter_context(lock(self._lock))
            yield


def is_finished(trial: FrozenTrial | None) -> bool:
    """Whether a run is complete or failed with an error; an attempt that was killed has no error."""
    return trial is not None and trial.state.is_finished() and (trial.value is not None or ERROR in trial.user_attrs)


class _JournalLock:
    """Lock of a journal file, released by the operating system if its process is killed.

    Optuna's own lock waits 30 seconds after a killed process. This one also removes an incomplete last line, which
    would make the journal unreadable as soon as another line follows it.
    """

    def __init__(self, journal: Path) -> None:
        self.journal, self._held = journal, ExitStack()

    def acquire(self) -> bool:
        self._held.enter_context(lock(self.journal.with_name(self.journal.name + ".lock")))
        with open(self.journal, "rb+") as file:
            size = file.seek(0, os.SEEK_END)
            tail = b""
            while size and not tail.endswith(b"\n"):
                step = min(size, 4096)
                file.seek(size - step)
                tail = file.read(step)
                whole = tail.rfind(b"\n") + 1
                size, tail = size - step + whole, tail[:whole]
            file.truncate(size)
        return True

    def release(self) -> None:
        self._held.close()


def _lock_path(storage: str) -> Path | None:
    """Where processes lock the start of a run; None for a database server."""
    if "://" not in storage:
        return Path(f"{storage}.start.lock")
    scheme, _, path = storage.partition(":///")
    return Path(f"{path}.start.lock") if scheme.startswith("sqlite") and path else None


def _open(storage: str, name: str) -> optuna.Study:
    try:
        import optuna
    except ImportError:
        raise ImportError(
            "optuna must be installed for a sweep, got none. Run pip install 'linear-memory-networks[sweep]'."
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    journal = "://" not in storage
    if not journal:
        return optuna.create_study(storage=_open_database(storage), study_name=name, load_if_exists=True)
    with parsing(storage, _JOURNAL, _OTHER):
        return optuna.create_study(storage=_open_journal(storage), study_name=name, load_if_exists=True)


def _open_journal(storage: str) -> BaseStorage:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    path = Path(storage)
    require_no_dangling_link(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    return JournalStorage(JournalFileBackend(storage, _JournalLock(path)))  # type: ignore[arg-type]


def _open_database(storage: str) -> BaseStorage:
    from optuna.storages import RDBStorage

    if storage.startswith("sqlite") and not storage.partition(":///")[2]:
        raise ValueError(f"storage must name the file of the database, got {storage!r}. Use sqlite:///PATH.")
    if storage.startswith("sqlite"):
        require_no_dangling_link(Path(storage.partition(":///")[2]))
    options = {"connect_args": {"timeout": 60}} if storage.startswith("sqlite") else {}  # seconds a writer waits
    for delay in (0.1, 0.4, 1.6, None):  # of two processes that create the tables at once, one fails
        try:
            return RDBStorage(storage, engine_kwargs=options)
        except Exception as error:  # of SQLAlchemy and its drivers
            if delay is None:
                raise ValueError(f"storage must be a database that opens, got {str(error).splitlines()[0]}.") from None
            time.sleep(delay)
    raise AssertionError("unreachable")
