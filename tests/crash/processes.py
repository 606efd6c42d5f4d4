"""Run `linmem` in a process of its own that can be killed: a new interpreter, or a fork that saves its imports."""

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

PATIENCE = 300  # seconds; a few suffice on an idle machine

# Forked from a process that has imported everything and run nothing: a fork of this one, whose threads have run, may
# deadlock. There is one such process for all tests.
FORKSERVER = multiprocessing.get_context("forkserver")
FORKSERVER.set_forkserver_preload(
    [
        "tests.crash.processes",
        "linmem.cli.main",
        "linmem.runs.runner",
        "linmem.analysis.memory_curve",
        "matplotlib.backends.backend_agg",
        "optuna.storages.journal",
        "optuna.study",
        "sqlalchemy.orm",
        "torch._dynamo",
    ]
)


class Command:
    """A command that runs; what it writes to standard error goes to the file `log`."""

    def __init__(self, arguments, log, *, fresh=True, prepare=None):
        self.log, self._fresh = Path(log), fresh
        if fresh:
            # Its own session: a signal to it is not one to this process.
            self._process = subprocess.Popen(
                [sys.executable, "-m", "linmem", *arguments],
                stdout=subprocess.DEVNULL,
                stderr=self.log.open("wb"),
                start_new_session=True,
            )
        else:
            self._process = FORKSERVER.Process(target=_run, args=(list(arguments), str(log), prepare))
            self._process.start()

    def alive(self):
        return self._process.poll() is None if self._fresh else self._process.is_alive()

    def send(self, signal):
        if self.alive():
            os.kill(self._process.pid, signal)

    def mapped(self, name):
        """Whether the process has loaded a file whose path contains `name`."""
        try:
            return name in Path(f"/proc/{self._process.pid}/maps").read_text()
        except OSError:
            return False

    def wait(self):
        """Exit status; that of a killed process is minus the signal."""
        if self._fresh:
            return self._process.wait(PATIENCE)
        self._process.join(PATIENCE)
        return self._process.exitcode

    def lines(self):
        return self.log.read_text(errors="replace").splitlines()


def run(arguments, log, **how):
    """Run a command to its end; returns its exit status and its lines on standard error."""
    command = Command(arguments, log, **how)
    return command.wait(), command.lines()


def _run(arguments, log, prepare):
    os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    if prepare:
        prepare()
    from linmem.__main__ import main

    sys.argv[1:] = arguments
    try:
        status = main()
    except SystemExit as leaving:
        status = leaving.code
    sys.stdout.flush()
    os._exit(status)
