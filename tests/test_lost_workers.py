"""Workers that do not connect, hang or are killed: the others end with one line, within the time limit."""

import os
import signal
import socket
import sys
import time
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from linmem import LinearAutoencoder, cli, workers
from linmem.autoencoder.history.distributed import Shard
from tests.crash.processes import FORKSERVER

PATIENCE = 120  # seconds; a few suffice on an idle machine


def train(*arguments):
    """One worker of `linmem train`."""
    return cli.main(["train", *arguments])


def fit(*arguments):
    """One worker of a distributed fit, as in a user's script."""
    walks = [np.random.default_rng(seed).normal(size=(12, 3)).cumsum(0) for seed in range(6)]
    try:
        workers.connect()
        LinearAutoencoder(4, solver="randomized").fit(Shard(walks))
    except workers.WorkerLostError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def fail_at_call(count, action, module, name):
    """Let the function `name` of `module` do `action` to its own process when it is called for the `count`-th time."""
    owner = import_module(module)
    original, calls = getattr(owner, name), []

    def counted(*given, **how):
        calls.append(name)
        if len(calls) == count:
            os.kill(os.getpid(), signal.SIGKILL) if action == "is killed" else time.sleep(PATIENCE)
        return original(*given, **how)

    setattr(owner, name, counted)


def worker(command, arguments, rank, port, log, fault, environment):
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1"}
    os.environ |= {"MASTER_PORT": str(port)} | environment
    os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT, 0o600), 2)
    if rank == 1 and fault:
        fail_at_call(*fault)
    os._exit(command(*arguments))


def first_worker(tmp_path, command, arguments, fault, both=True, **environment):
    """Exit status and lines of worker 0 of two, while worker 1 has the `fault`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    logs = [tmp_path / f"worker{rank}.log" for rank in range(2)]
    given = [(command, arguments, rank, port, logs[rank], fault, environment) for rank in range(1 + both)]
    processes = [FORKSERVER.Process(target=worker, args=each) for each in given]
    for process in processes:
        process.start()
    processes[0].join(PATIENCE)
    for process in processes:
        process.kill()
        process.join()
    lines = [line for line in logs[0].read_text().splitlines() if not line.startswith("[W")]  # torch's own log
    return processes[0].exitcode, lines


@pytest.fixture(scope="module")
def pieces(tmp_path_factory):
    folder, random = tmp_path_factory.mktemp("pieces"), np.random.default_rng(0)
    for index in range(6):
        np.save(folder / f"{index}.npy", (random.random((12, 88)) < 0.05).astype(np.float32))
    return folder


def options(pieces, out, epochs=4):
    small = ["--model=gru", "--hidden_size=3", "--batch_size=2", f"--max_epochs={epochs}"]
    return [str(pieces), *small, "--out", str(out), "--resume"]


# Training sums over the workers for the baseline and twice per epoch: the sixth sum follows the first checkpoint.
KILLED = (6, "is killed", "torch.distributed", "all_reduce")
HANGS = (6, "hangs", "torch.distributed", "all_reduce")


@pytest.mark.parametrize("action", ["is killed", "hangs"])
def test_training_ends_with_one_line_and_resumes_when_a_worker_is_lost(pieces, tmp_path, action):
    arguments, fault = options(pieces, tmp_path / "run"), (6, action, "torch.distributed", "all_gather")
    status, lines = first_worker(tmp_path, train, arguments, fault, LINMEM_WORKER_TIMEOUT="3")
    assert status == 2
    (line,) = lines
    assert line.startswith("linmem train: all workers must stay connected, got: ")
    assert "--resume" in line
    assert (tmp_path / "run" / "state.safetensors").exists()
    assert train(*arguments) == 0  # by one process; that it ends where two do is tested in test_workers.py
    assert len(Path(tmp_path / "run" / "history.jsonl").read_text().splitlines()) == 4


@pytest.mark.parametrize("fault", [KILLED, HANGS], ids=["killed", "hangs"])
def test_a_fit_ends_with_one_line_when_a_worker_is_lost(tmp_path, fault):
    status, lines = first_worker(tmp_path, fit, (), fault, LINMEM_WORKER_TIMEOUT="3")
    assert status == 2
    (line,) = lines
    assert line.startswith("all workers must stay connected, got: ")
    assert "--max-restarts" in line


def test_a_worker_that_never_starts_gives_one_line(tmp_path):
    status, lines = first_worker(tmp_path, fit, (), None, both=False, LINMEM_CONNECT_TIMEOUT="2")
    assert status == 2
    (line,) = lines
    assert line.startswith("all 2 workers must connect within 2 s, got on worker 0: ")
    assert line.endswith("raise the limit by the environment variable LINMEM_CONNECT_TIMEOUT.")


def test_a_worker_that_hangs_while_connecting_gives_one_line(pieces, tmp_path):
    fault = (1, "hangs", "torch.distributed.distributed_c10d", "ProcessGroupGloo")
    status, lines = first_worker(tmp_path, train, options(pieces, tmp_path / "run"), fault, LINMEM_CONNECT_TIMEOUT="2")
    assert status == 2
    (line,) = lines
    assert line.startswith("linmem train: all 2 workers must connect within 2 s, got on worker 0: ")


def test_other_errors_are_not_taken_for_lost_workers():
    with pytest.raises(RuntimeError, match="mat1 and mat2") as caught, workers.lost_workers_reported("Start again."):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    assert not isinstance(caught.value, workers.WorkerLostError)


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "soon", "9" * 10])
def test_a_time_limit_that_is_no_number_is_refused(monkeypatch, value):
    monkeypatch.setenv("LINMEM_CONNECT_TIMEOUT", value)
    with pytest.raises(ValueError, match="LINMEM_CONNECT_TIMEOUT must be a positive whole number of seconds, got"):
        workers.connect()
