"""Downloads, from a server of this machine: whole and right, or not there at all."""

import hashlib
import http.server
import io
import os
import socket
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from linmem import data
from linmem.data import downloads, poly_music


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves the same bytes at /whole, half of them at /half (with the length of all), and nothing elsewhere."""

    content = bytes(range(256)) * 400

    def do_GET(self):
        if self.path not in ("/whole", "/half"):
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        self.wfile.write(self.content if self.path == "/whole" else self.content[: len(self.content) // 2])

    def log_message(self, *arguments):
        """Stay quiet."""


@pytest.fixture
def remote(monkeypatch):
    """A file on a server of this machine: the factory takes the path on it."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    digest = hashlib.sha256(Handler.content).hexdigest()
    yield lambda path: downloads.RemoteFile("set/a.bin", f"http://127.0.0.1:{server.server_port}/{path}", digest)
    server.shutdown()
    server.server_close()
    thread.join()


def test_download_once(remote, tmp_path, capfd):
    path = downloads.obtain(remote("whole"), tmp_path)
    assert path == tmp_path / "set" / "a.bin"
    assert path.read_bytes() == Handler.content
    assert downloads.obtain(remote("nowhere"), tmp_path) == path  # it is there: the server is not asked
    assert os.listdir(path.parent) == ["a.bin"]
    assert capfd.readouterr() == ("", "")  # quiet in a pipe


def test_download_from_a_file_url(tmp_path):
    (tmp_path / "source").write_bytes(b"notes")
    digest = hashlib.sha256(b"notes").hexdigest()
    file = downloads.RemoteFile("a.bin", (tmp_path / "source").as_uri(), digest)
    assert downloads.obtain(file, tmp_path / "root").read_bytes() == b"notes"


def test_progress_on_a_terminal(remote, tmp_path, monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(downloads.sys, "stderr", terminal)
    downloads.obtain(remote("whole"), tmp_path)
    assert "a.bin" in terminal.getvalue()


def test_another_file_is_not_kept(remote, tmp_path):
    file = replace(remote("whole"), sha256="0" * 64)
    with pytest.raises(ValueError, match="nothing was kept"):
        downloads.obtain(file, tmp_path)
    assert os.listdir(tmp_path / "set") == []


def test_a_download_cut_short_is_not_kept(remote, tmp_path):
    with pytest.raises((ValueError, ConnectionError), match=r"a\.bin"):
        downloads.obtain(remote("half"), tmp_path)
    assert os.listdir(tmp_path / "set") == []


def unreachable() -> str:
    """A port of this machine that nobody listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/a.mat"


def test_no_network_names_file_url_and_folder(remote, tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    for url in (unreachable(), remote("nowhere").url):
        file = replace(poly_music.REMOTE["nottingham"], url=url)
        monkeypatch.setitem(poly_music.REMOTE, "nottingham", file)
        with pytest.raises(ConnectionError) as caught:
            data.load("nottingham", root=tmp_path)
        message = str(caught.value)
        assert "\n" not in message
        for part in (str(tmp_path / "poly_music" / "Nottingham.mat"), url, "LINMEM_DATA"):
            assert part in message


def test_data_root(tmp_path, monkeypatch):
    monkeypatch.setenv("LINMEM_DATA", str(tmp_path / "named"))
    assert downloads.data_root() == tmp_path / "named"
    assert downloads.data_root(tmp_path / "given") == tmp_path / "given"
    monkeypatch.delenv("LINMEM_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert downloads.data_root() == tmp_path / "cache" / "linmem"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert downloads.data_root() == Path.home() / ".cache" / "linmem"
