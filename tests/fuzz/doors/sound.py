"""Sound files (NIST SPHERE and RIFF) with their phones, as in TIMIT."""

from __future__ import annotations

import io
import wave
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from tests.fuzz.doors.csv import mutated
from tests.fuzz.mutations import choose, mutated_bytes, mutated_text
from tests.fuzz.oracle import Door


def sound(rng: Random) -> bytes:
    """Half of the cases SPHERE, half RIFF; the header is mutated as text or as bytes."""
    count = rng.randint(500, 2000)
    samples = rng.randbytes(2 * count)
    if rng.random() < 0.5:
        order = choose(rng, ("01", "10", "1"))
        header = (
            f"NIST_1A\n   1024\nsample_rate -i 16000\nsample_count -i {count}\nchannel_count -i 1\n"
            f"sample_byte_format -s2 {order}\nsample_coding -s3 pcm\nend_head\n"
        )
        head = mutated_text(rng, header) if rng.random() < 0.5 else header.encode()
        content = head.ljust(1024)[:1024] + samples
    else:
        stream = io.BytesIO()
        with wave.open(stream, "wb") as file:
            file.setnchannels(choose(rng, (1, 1, 1, 2)))
            file.setsampwidth(choose(rng, (2, 2, 2, 1)))
            file.setframerate(choose(rng, (16000, 16000, 16000, 8000)))
            file.writeframes(samples)
        content = stream.getvalue()
    return content if rng.random() < 0.3 else mutated_bytes(rng, content)


def make(rng: Random, folder: Path) -> dict[str, Any]:
    """A sentence: its sound and its phones."""
    (folder / "a.wav").write_bytes(sound(rng))
    (folder / "a.phn").write_bytes(mutated(rng, "0 300 h#\n300 900 iy\n900 2000 sh\n"))
    return {}


def use(folder: Path, out: Path, arguments: dict[str, Any]) -> None:
    """Read samples, then the sentence."""
    from linmem.data.sound_file import read_sound
    from linmem.data.timit import read_sentence

    samples, rate = read_sound(folder / "a.wav")
    assert np.isfinite(samples).all()
    assert rate > 0
    cepstra, phones = read_sentence(folder / "a.wav")
    assert len(cepstra) == len(phones) > 0


DOOR = Door("sound", make, use)
