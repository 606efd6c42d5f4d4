"""The C code of the time loops (``native.c``), compiled on first use and kept in a private cache.

The cache is ``$XDG_CACHE_HOME/linmem/compiled`` (by default ``~/.cache/linmem/compiled``), mode 0700. A library is
loaded only if the folder and its files belong to the current user, are not writable by anybody else, and the library
has the SHA-256 that is stored beside it; otherwise it is compiled again, or not used. One process compiles at a time,
for at most 60 seconds. ``LINMEM_COMPILE=0`` disables the compiled loops.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import resources
from importlib.util import find_spec
from pathlib import Path

FLAGS = ("-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast", "-fPIC", "-shared")
SECONDS = 60.0  # at most, for waiting for another process and for compiling


@cache
def library() -> ctypes.CDLL | None:
    """The compiled loops, compiled if necessary; None where that is disabled or fails."""
    if os.environ.get("LINMEM_COMPILE") == "0" or os.name != "posix":
        return None
    source = resources.files("linmem.nn.scan").joinpath("native.c").read_bytes()
    key = hashlib.sha256(source + " ".join((*FLAGS, _processor())).encode()).hexdigest()[:20]
    try:
        path = _private_folder() / f"loops-{key}.so"
        if not _verified(path):
            command = _compiler()
            if command is None:
                return None
            with _lock(path.with_suffix(".lock")):
                if not _verified(path):
                    _report(f"compiling the time loops once with {command[0]} (LINMEM_COMPILE=0 disables this)")
                    _compile(source, path, command)
        return ctypes.CDLL(str(path))
    except (OSError, RuntimeError, ValueError) as error:
        _report(f"no compiled time loops, using NumPy: {' '.join(str(error).split())[:200]}")
        return None


def _report(message: str) -> None:
    print(f"linmem: {message}", file=sys.stderr, flush=True)


def _processor() -> str:
    """The properties of the processor that the compiled code depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        features = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    except OSError:
        features = platform.processor()
    return f"{platform.system()} {platform.machine()} {features}"


def _private_folder() -> Path:
    """The cache folder, created if necessary; ``RuntimeError`` if somebody else could write to it."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "linmem" / "compiled"
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    _check_private(folder)
    return folder


def _check_private(path: Path) -> None:
    """Raise ``RuntimeError`` unless `path` belongs to the current user and nobody else can write to it."""
    status = path.lstat()
    if status.st_uid != os.geteuid():
        raise RuntimeError(f"{path} must belong to the current user, got the owner {status.st_uid}. Remove it.")
    if stat.S_ISLNK(status.st_mode) or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        mode = stat.filemode(status.st_mode)
        raise RuntimeError(f"{path} must not be a link or writable by others, got {mode}. Run chmod go-w on it.")


def _verified(path: Path) -> bool:
    """Whether the library exists and has the stored checksum; ``RuntimeError`` if it is not private."""
    checksum = path.with_suffix(".sha256")
    if not path.exists() or not checksum.exists():
        return False
    _check_private(path)
    _check_private(checksum)
    return checksum.read_bytes().decode("ascii", "replace") == hashlib.sha256(path.read_bytes()).hexdigest()


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Exclusive lock between processes and threads; the system releases it when a process is killed."""
    import fcntl

    with path.open("a") as file:
        deadline = time.monotonic() + SECONDS
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise RuntimeError(
                        f"another process must finish compiling within {SECONDS:g} s, got no lock on {path}"
                    ) from None
                time.sleep(0.05)
        yield


def _compiler() -> list[str] | None:
    """The command of a C compiler: ``$CC``, the machine's, or Zig's from PyPI; None if there is none."""
    if command := os.environ.get("CC"):
        try:
            return shlex.split(command)
        except ValueError as error:
            raise ValueError(f"CC must be a command line, got {command!r} ({error}). Correct or unset it.") from None
    if found := next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None):
        return [found]
    return [sys.executable, "-m", "ziglang", "cc"] if find_spec("ziglang") is not None else None


def _compile(source: bytes, path: Path, command: list[str]) -> None:
    """Compile to `path`. The caller holds the lock, so an existing build folder is that of a killed process."""
    folder = path.with_suffix(".build")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    try:
        code, built, checksum = (folder / name for name in ("native.c", "native.so", "native.sha256"))
        code.write_bytes(source)
        _run([*command, *FLAGS, "-o", str(built), str(code)], folder / "messages")
        checksum.write_text(hashlib.sha256(built.read_bytes()).hexdigest(), encoding="ascii")
        for new, target in ((built, path), (checksum, path.with_suffix(".sha256"))):
            new.chmod(0o600)
            os.replace(new, target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(command: list[str], messages: Path) -> None:
    """Run a compiler with all its child processes for at most `SECONDS`; ``RuntimeError`` if it fails."""
    with messages.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
        try:
            status = process.wait(SECONDS)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            raise RuntimeError(f"{command[0]} must finish within {SECONDS:g} s, got no result") from None
    if status != 0:
        lines = messages.read_text(encoding="utf-8", errors="replace").split("\n")
        raise RuntimeError(f"{command[0]} must exit with status 0, got {status}: {lines[0]}")
