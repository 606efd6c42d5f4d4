"""Study: the list of runs that several processes share, kept by Optuna in a journal file or a database.

Each run is one trial. It goes from WAITING to RUNNING once, which the storage sees to, and ends COMPLETE or FAIL. Its
name and what came of it are user attributes, so that Optuna's own tools show them. Two processes may add the same run
at the same moment; of trials with one name the first counts and the others are never claimed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from linmem.storage.locks import held

if TYPE_CHECKING:
    from optuna.storages import BaseStorage, RDBStorage
    from optuna.trial import FrozenTrial

NAME, OWNER, RESULT, ERROR = "run", "folder", "result", "error"


class Study:
    """Runs by name, and how each of them stands.

    Parameters
    ----------
    storage : str
        Path of a journal file, or URL of a database as SQLAlchemy takes it.
    name : str
        Of the study in the storage; made where it is missing.
    owner : str
        Who claims: processes that see each other's locks have the same one.

    Raises
    ------
    ImportError
        Optuna is not installed.
    ValueError
        The storage cannot be opened or read.
    """

    def __init__(self, storage: str, name: str, owner: str) -> None:
        self.storage, self.owner = _open(storage), owner
        from optuna.exceptions import DuplicatedStudyError
        from optuna.study import StudyDirection

        try:
            self.id = self.storage.create_new_study([StudyDirection.MINIMIZE], name)
        except DuplicatedStudyError:
            self.id = self.storage.get_study_id_from_name(name)

    def trials(self) -> dict[str, FrozenTrial]:
        """First trial of every name."""
        found: dict[str, FrozenTrial] = {}
        for trial in sorted(self.storage.get_all_trials(self.id, deepcopy=False), key=lambda trial: trial.number):
            if NAME in trial.user_attrs:
                found.setdefault(trial.user_attrs[NAME], trial)
        return found

    def add(self, runs: Mapping[str, Mapping[str, Any]]) -> None:
        """Add the runs that are not there yet; `runs` maps a name to what Optuna's tools shall show of it."""
        from optuna.trial import TrialState, create_trial

        known = self.trials()
        for name, shown in runs.items():
            if name not in known:
                waiting = create_trial(state=TrialState.WAITING, user_attrs={NAME: name, **shown})
                self.storage.create_new_trial(self.id, template_trial=waiting)

    def finished(self, names: Iterable[str]) -> int:
        """How many of the runs are complete or failed."""
        trials = self.trials()
        return sum(trials[name].state.is_finished() for name in names)

    def claim(self, name: str, take_over: bool = False) -> bool:
        """Take a run, whose lock has to be held; False where it is finished or belongs to somebody else.

        A run left RUNNING by this owner has lost its process, as its lock was free; it is taken up again. One of
        another owner is left alone without `take_over`.
        """
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import TrialState

        trial = self.trials()[name]
        if trial.state.is_finished():
            return False
        if trial.state == TrialState.RUNNING and not take_over:
            return bool(trial.user_attrs.get(OWNER) == self.owner)
        try:
            self._note(trial, OWNER, self.owner)  # first, so that who dies here leaves no run that is nobody's
            if trial.state == TrialState.WAITING:
                if not self.storage.set_trial_state_values(self._id(trial), TrialState.RUNNING):
                    return False
                self._note(trial, OWNER, self.owner)  # again, as the loser of a race may have written last
        except UpdateFinishedTrialError:
            return False
        return True

    def complete(self, name: str, loss: float, result: Mapping[str, Any]) -> None:
        """Finish a claimed run with its loss and all that it reports; nothing where whoever took it over was first."""
        self._finish(name, RESULT, dict(result), [loss])

    def fail(self, name: str, error: str) -> None:
        """Finish a claimed run with a traceback; nothing where whoever took it over was first."""
        self._finish(name, ERROR, error, None)

    def _finish(self, name: str, note: str, value: Any, values: list[float] | None) -> None:
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import TrialState

        trial = self.trials()[name]
        with suppress(UpdateFinishedTrialError):
            self._note(trial, note, value)
            state = TrialState.FAIL if values is None else TrialState.COMPLETE
            self.storage.set_trial_state_values(self._id(trial), state, values)

    def _id(self, trial: FrozenTrial) -> int:
        return self.storage.get_trial_id_from_study_id_trial_number(self.id, trial.number)

    def _note(self, trial: FrozenTrial, name: str, value: Any) -> None:
        self.storage.set_trial_user_attr(self._id(trial), name, value)


class _JournalLock:
    """Optuna's lock of a journal file, but one that dies with its holder, and mends what that one left half written.

    Optuna's own waits 30 seconds for a holder that was killed; and a line that was cut would spoil all after it.
    """

    def __init__(self, journal: Path) -> None:
        self.journal, self._holding = journal, ExitStack()

    def acquire(self) -> bool:
        self._holding.enter_context(held(self.journal.with_name(self.journal.name + ".lock")))
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
        self._holding.close()


def _one_at_a_time(database: RDBStorage) -> RDBStorage:
    """Let SQLite, which knows no locks on rows, begin each transaction as its only writer.

    Optuna reads a trial's state, then writes it; two processes that read at once would both have claimed the run.
    """
    from sqlalchemy import event

    if database.engine.dialect.name == "sqlite":
        database.engine.dispose()  # connections made so far begin in their own way
        event.listen(database.engine, "connect", lambda connection, _: setattr(connection, "isolation_level", None))
        event.listen(database.engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return database


def _open(storage: str) -> BaseStorage:
    try:
        import optuna
        from optuna.storages import JournalStorage, RDBStorage
        from optuna.storages.journal import JournalFileBackend
    except ImportError:
        raise ImportError("a study needs Optuna: pip install 'linear-memory-networks[sweep]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if "://" not in storage:
        path = Path(storage)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return JournalStorage(JournalFileBackend(storage, _JournalLock(path)))  # type: ignore[arg-type]
        except (ValueError, LookupError, TypeError) as error:
            raise ValueError(f"storage {storage} is not a journal of Optuna, or damaged: {error}") from None
    how = {"connect_args": {"timeout": 60}} if storage.startswith("sqlite") else {}  # seconds that a writer waits
    for patience in (0.1, 0.4, 1.6, None):  # of two processes that lay out one new database at once, one fails
        try:
            return _one_at_a_time(RDBStorage(storage, engine_kwargs=how))
        except Exception as error:  # SQLAlchemy's and its drivers' many kinds
            if patience is None:
                raise ValueError(f"storage {storage} cannot be opened: {str(error).splitlines()[0]}") from None
            time.sleep(patience)
    raise AssertionError("unreachable")
