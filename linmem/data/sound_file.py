"""16-bit mono sound files in the formats of speech corpora: NIST SPHERE and RIFF (WAV)."""

from __future__ import annotations

import io
import wave
from pathlib import Path

import numpy as np

from linmem.storage.limits import require_size
from linmem.storage.messages import shortened
from linmem.storage.parsing import parsing


def read_sound(path: Path) -> tuple[np.ndarray, int]:
    """Read samples (n,) as float64 in [−1, 1) and their rate from a 16-bit mono NIST SPHERE or RIFF file."""
    require_size(8 * path.stat().st_size, path)
    content = path.read_bytes()
    if content.startswith(b"NIST_1A\n"):
        return _read_sphere(path, content)
    expected = "a NIST SPHERE or RIFF file"
    with parsing(path, expected, "Restore the file."), wave.open(io.BytesIO(content)) as sound:
        if (sound.getnchannels(), sound.getsampwidth()) != (1, 2):
            raise ValueError(f"{path} must be 16-bit mono, got another format. Convert it.")
        samples = np.frombuffer(sound.readframes(sound.getnframes()), "<i2")
        return samples / 32768, sound.getframerate()


def _read_sphere(path: Path, content: bytes) -> tuple[np.ndarray, int]:
    """NIST SPHERE: a text header of the size on its second line, `name -type value` per line, then the samples."""
    with parsing(path, "a file with a readable NIST SPHERE header", "Restore the file."):
        size = int(content[8:16])
        lines = content[16:size].decode("ascii", "replace").split("end_head")[0].splitlines()
        fields = {name: value for name, _, value in (line.split(None, 2) for line in lines if line.strip())}
        rate, count = int(fields["sample_rate"]), int(fields["sample_count"])
    coding, order = fields.get("sample_coding", "pcm"), fields.get("sample_byte_format", "01")
    if coding != "pcm" or order not in ("01", "10") or fields.get("channel_count", "1") != "1":
        raise ValueError(
            f"{path} must be 16-bit mono pcm, got {shortened(coding, 40)} "
            f"of byte order {shortened(order, 10)}. Convert it with sph2pipe."
        )
    if size < 0 or count < 0:
        raise ValueError(f"{path} must have sizes of at least 0, got {size} and {count}. Restore the file.")
    samples = np.frombuffer(
        content[size : size + 2 * count][: 2 * ((len(content) - size) // 2)], "<i2" if order == "01" else ">i2"
    )
    if len(samples) != count or count == 0:
        raise ValueError(f"{path} must hold the {count} samples of its header, got {len(samples)}. Restore the file.")
    return samples / 32768, rate
