"""Files of the published data sets: where they are stored, and checked downloads of missing ones by pooch.

A file is accepted if its SHA-256 is the one in the code beside its name.
"""

from __future__ import annotations

import hashlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from linmem.storage.messages import reason_of


@dataclass(frozen=True)
class RemoteFile:
    """A file of a published data set.

    Attributes
    ----------
    place : str
        Path below the data root.
    url : str
        HTTP or HTTPS address.
    sha256 : str
        64 hexadecimal digits.
    """

    place: str
    url: str
    sha256: str


def data_root(root: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder of downloaded files: `root`, else $LINMEM_DATA, else `linmem` in the user's cache folder.

    Examples
    --------
    >>> data_root("/srv/sets").as_posix()
    '/srv/sets'
    """
    named = root or os.environ.get("LINMEM_DATA")
    if named:
        return Path(os.path.expanduser(named))
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "linmem"


def fetch(file: RemoteFile, root: str | os.PathLike[str] | None = None, *, timeout: float = 30.0) -> Path:
    """Return the path of a checked file and download it first if it is missing.

    Parameters
    ----------
    file : RemoteFile
        The file.
    root : path, optional
        The data root; see `data_root`.
    timeout : float
        Seconds without an answer after which a download fails.

    Returns
    -------
    Path
        The file, whose SHA-256 is `file.sha256`.

    Raises
    ------
    ValueError
        The file is truncated or altered.
    ConnectionError
        The file is missing and cannot be downloaded.
    """
    path = data_root(root) / file.place
    if not path.exists():
        download(file, path, timeout=timeout)
    require_checksum(path, file.sha256, "Delete it; it is then downloaded again.")
    return path


def require_checksum(path: Path, expected: str, remedy: str) -> None:
    """Raise ValueError, with `remedy`, unless the file's SHA-256 is `expected`."""
    actual = sha256_of(path)
    if actual != expected:
        raise ValueError(f"{path} must have SHA-256 {expected}, got {actual}: it is damaged or altered. {remedy}")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def download(file: RemoteFile, path: Path, *, timeout: float = 30.0) -> None:
    """Download a file to `path` with pooch, which checks it before it gets its name; a terminal shows a progress bar.

    An interrupted or concurrent download never leaves a partial file at `path`.
    """
    import pooch

    pooch.get_logger().setLevel("WARNING")
    get = pooch.HTTPDownloader(progressbar=sys.stderr.isatty(), timeout=timeout)
    try:
        pooch.retrieve(file.url, f"sha256:{file.sha256}", fname=path.name, path=path.parent, downloader=get)
    except ValueError as error:
        raise ValueError(
            f"{file.url} must have SHA-256 {file.sha256}, got other content. Nothing was kept; try again later."
        ) from error
    except OSError as error:  # requests' exceptions are OSErrors
        raise ConnectionError(
            f"{path} must exist or be downloaded from {file.url}, got neither ({reason_of(error)}). "
            f"Connect to the network, copy the file there, or set LINMEM_DATA to a folder that holds {file.place}."
        ) from error
