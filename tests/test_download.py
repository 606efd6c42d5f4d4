"""Downloads from a local server: complete and correct, or absent."""

import hashlib
import http.server
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
    """Return a factory of files on a local server; its argument is the path in the URL."""
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
    path = downloads.fetch(remote("whole"), tmp_path)
    assert path == tmp_path / "set" / "a.bin"
    assert path.read_bytes() == Handler.content
    assert downloads.fetch(remote("nowhere"), tmp_path) == path  # the file exists: no request
    assert os.listdir(path.parent) == ["a.bin"]
    assert capfd.readouterr() == ("", "")  # quiet in a pipe


def test_progress_on_a_terminal(remote, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(downloads.sys.stderr, "isatty", lambda: True, raising=False)
    downloads.fetch(remote("whole"), tmp_path)
    assert "100%" in capfd.readouterr().err


def test_other_content_is_not_kept(remote, tmp_path):
    file = replace(remote("whole"), sha256="0" * 64)
    with pytest.raises(ValueError, match="Nothing was kept"):
        downloads.fetch(file, tmp_path)
    assert os.listdir(tmp_path / "set") == []


def test_a_truncated_download_is_not_kept(remote, tmp_path):
    with pytest.raises((ValueError, ConnectionError), match=r"a\.bin"):
        downloads.fetch(remote("half"), tmp_path)
    assert os.listdir(tmp_path / "set") == []


def unreachable() -> str:
    """Return a URL on a local port without a server."""
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
