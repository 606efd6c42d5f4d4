"""Files of the data sets: where they live, that they are the right ones, and how a missing one is fetched.

A file is trusted by its SHA-256 alone, which stands in the code beside its name; nothing else is checked.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from tqdm import tqdm


@dataclass(frozen=True)
class RemoteFile:
    """A file of a published data set: its place under the data root, its URL and its SHA-256."""

    place: str
    url: str
    sha256: str


def data_root(root: str | os.PathLike[str] | None = None) -> Path:
    """The folder of downloaded data: `root`, else $LINMEM_DATA, else `linmem` in the user's cache folder."""
    named = root or os.environ.get("LINMEM_DATA")
    if named:
        return Path(named).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "linmem"


def obtain(file: RemoteFile, root: str | os.PathLike[str] | None = None, *, timeout: float = 30.0) -> Path:
    """Path of the checked file, downloaded first where it is missing.

    Raises
    ------
    ValueError
        The file's SHA-256 is another one: it was cut short or altered.
    ConnectionError
        The file is not there and could not be downloaded.
    """
    path = data_root(root) / file.place
    if not path.exists():
        download(file, path, timeout=timeout)
    require_checksum(path, file.sha256, "delete it, and it will be downloaded again")
    return path


def require_checksum(path: Path, wanted: str, remedy: str) -> None:
    """Raise ValueError unless the file's SHA-256 is the wanted one."""
    got = sha256_of(path)
    if got != wanted:
        raise ValueError(f"{path} is damaged or altered: its SHA-256 is {got}, but {wanted} was wanted: {remedy}")


def sha256_of(path: Path) -> str:
    """SHA-256 of a file as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def download(file: RemoteFile, path: Path, *, timeout: float = 30.0) -> None:
    """Fetch the file beside its place, check it there, and only then give it its name.

    A download that is cut short, or that somebody else runs at the same time, thus never leaves half a file at `path`.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".download-") as folder:
            partial = Path(folder) / path.name
            copy(file.url, partial, timeout)
            require_checksum(partial, file.sha256, f"nothing was kept of {file.url}: try again later")
            os.replace(partial, path)
    except (OSError, HTTPException) as error:
        raise ConnectionError(
            f"{path} is missing, and {file.url} could not be downloaded there ({error}): "
            f"go online, or put the file there by hand, or set LINMEM_DATA to a folder that has {file.place}"
        ) from error


def copy(url: str, target: Path, timeout: float) -> None:
    """Write what the URL gives into the file, with a progress bar where somebody watches."""
    with urllib.request.urlopen(url, timeout=timeout) as source, target.open("wb") as stream:
        size = int(source.headers.get("Content-Length") or 0) or None
        with tqdm.wrapattr(source, "read", total=size, desc=target.name, disable=not sys.stderr.isatty()) as watched:
            shutil.copyfileobj(watched, stream)
