"""TIMIT: read speech with the phone of every frame. The corpus must be bought and is not downloaded.

Put the folders TRAIN and TEST into $LINMEM_DATA/timit. A sentence is two files, `TRAIN/DR1/FCJF0/SX37.WAV` (NIST SPHERE
or RIFF, 16-bit, 16 kHz) and `SX37.PHN`, whose lines are `first_sample last_sample phone`. Case does not matter.

The two SA sentences, which all speakers read, are left out. Test is the core test set of 24 speakers, valid the usual
50 other speakers of TEST, and train all of TRAIN. The 61 phones are merged into 39 [Lee & Hon, IEEE ASSP 1989]; the
glottal stop q, which that paper drops, counts as silence.

Symbols: T frames, one every 10 ms; a = 13 mel cepstra; o = 39 phones.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from linmem.data.cepstra import HOP, WINDOW, mel_cepstra
from linmem.data.downloads import data_root
from linmem.data.sound_file import read_sound
from linmem.data.splits import SPLITS, PairedSplits
from linmem.storage.messages import shortened

SOURCE = "https://catalog.ldc.upenn.edu/LDC93S1"
NAMES = "iy ih eh ey ae aa aw ay ah oy ow uh uw er jh ch b d g p t k dx s sh z f th v dh m n ng l r w y hh sil"
PHONES = NAMES.split()
FOLDED = {
    "ao": "aa", "ax": "ah", "ax-h": "ah", "axr": "er", "hv": "hh", "ix": "ih", "el": "l", "em": "m", "en": "n",
    "nx": "n", "eng": "ng", "zh": "sh", "ux": "uw", "pcl": "sil", "tcl": "sil", "kcl": "sil", "bcl": "sil",
    "dcl": "sil", "gcl": "sil", "h#": "sil", "pau": "sil", "epi": "sil", "q": "sil",
}  # fmt: skip
CORE_SPEAKERS = """
    mdab0 mwbt0 felc0 mtas1 mwew0 fpas0 mjmp0 mlnt0 fpkt0 mlll0 mtls0 fjlm0 mbpm0 mklt0 fnlp0 mcmj0 mjdh0 fmgd0 mgrt0
    mnjm0 fdhc0 mjln0 mpam0 fmld0"""
VALID_SPEAKERS = """
    faks0 mmdb1 mbdg0 fedw0 mtdt0 fsem0 mdvc0 mrjm4 mjsw0 mteb0 fdac1 mmdm2 mbwm0 mgjf0 mthc0 mbns0 mers0 fcal1 mreb0
    mjfc0 fjem0 mpdf0 mcsh0 mglb0 mwjg0 mmjr0 fmah0 mmwh0 fgjd0 mrjr0 mgwt0 fcmh0 fadg0 mrtk0 fnmr0 mdls0 fdrw0 fjsj0
    fjmg0 fmml0 mjar0 fkms0 fdms0 mtaa0 frew0 mdlf0 mrcs0 majc0 mroa0 mrws1"""
SAMPLES = re.compile(r"[0-9]{1,12} [0-9]{1,12}")  # first and last sample of a phone
RATE = 16_000
CORE_TEST, VALID = frozenset(CORE_SPEAKERS.split()), frozenset(VALID_SPEAKERS.split())


def load_timit(root: str | os.PathLike[str] | None = None) -> PairedSplits:
    """Load mel cepstra (T, 13), each with mean 0 and standard deviation 1 on train, and one-hot phones (T, 39).

    Parameters
    ----------
    root : path, optional
        The data root; see `downloads.data_root`.

    Raises
    ------
    ValueError
        The corpus is missing, or a file is damaged.
    """
    folder = data_root(root) / "timit"
    chosen = sentences(folder)
    for split in SPLITS:
        if not chosen[split]:
            raise ValueError(
                f"{folder} must hold sentences for {split}, got none. Put TRAIN and TEST of your copy of TIMIT "
                f"({SOURCE}) there, or set LINMEM_DATA to a folder that has timit/TRAIN."
            )
    read = {split: [read_sentence(sound) for sound in chosen[split]] for split in SPLITS}
    frames = torch.cat([cepstra for cepstra, _ in read["train"]])
    mean, deviation = frames.mean(0), frames.std(0).clamp_min(1e-6)
    train, valid, test = ([((cepstra - mean) / deviation).float() for cepstra, _ in read[split]] for split in SPLITS)
    return PairedSplits(
        "timit",
        train,
        valid,
        test,
        kind="series",
        titles={
            split: [sound.relative_to(folder).with_suffix("").as_posix() for sound in chosen[split]] for split in SPLITS
        },
        targets={split: [one_hot(phones, len(PHONES)).float() for _, phones in read[split]] for split in SPLITS},
        provenance=f"TIMIT Acoustic-Phonetic Continuous Speech Corpus, {SOURCE}",
    )


def sentences(folder: Path) -> dict[str, list[Path]]:
    """List the sound files of each split, sorted by their names in lower case."""
    chosen: dict[str, list[Path]] = {split: [] for split in SPLITS}
    for sound in sorted(folder.rglob("*"), key=lambda path: path.as_posix().lower()):
        parts = [part.lower() for part in sound.relative_to(folder).parts]
        if len(parts) != 4 or sound.suffix.lower() != ".wav" or parts[3].startswith("sa"):
            continue
        if parts[0] == "train":
            chosen["train"].append(sound)
        elif parts[0] == "test" and parts[2] in VALID | CORE_TEST:
            chosen["valid" if parts[2] in VALID else "test"].append(sound)
    return chosen


def read_sentence(sound: Path) -> tuple[Tensor, Tensor]:
    """Read cepstra (T, 13) float64 and phones (T,) int64: the phone in the middle of each frame."""
    samples, rate = read_sound(sound)
    if rate != RATE:
        raise ValueError(f"{sound} must have {RATE} samples per second, got {rate}. Resample it.")
    try:
        cepstra = torch.from_numpy(mel_cepstra(samples, rate))
    except ValueError as error:
        raise ValueError(f"{sound}: {error}") from None
    starts, phones = read_phones(sound)
    middle = (np.arange(len(cepstra)) * HOP + WINDOW / 2) * rate
    return cepstra, torch.from_numpy(phones[(np.searchsorted(starts, middle, side="right") - 1).clip(0)])


def read_phones(sound: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read the first samples and the class numbers of the phones in the PHN file beside a sound."""
    beside = [path for path in sound.parent.iterdir() if path.name.lower() == f"{sound.stem.lower()}.phn"]
    if not beside:
        raise ValueError(
            f"{sound.with_suffix('.PHN')} must exist, got no such file. Put the phones of {sound.name} there."
        )
    starts, phones = [], []
    for number, line in enumerate(beside[0].read_text(encoding="ascii", errors="replace").splitlines(), start=1):
        parts = line.split()
        phone = FOLDED.get(parts[-1], parts[-1]) if parts else ""
        if len(parts) != 3 or not SAMPLES.fullmatch(" ".join(parts[:2])) or phone not in PHONES:
            raise ValueError(
                f"{beside[0]}, line {number} must be `first_sample last_sample phone`, "
                f"got {shortened(repr(line))}. Restore the file."
            )
        starts.append(int(parts[0]))
        phones.append(PHONES.index(phone))
    if not starts:
        raise ValueError(f"{beside[0]} must hold lines `first_sample last_sample phone`, got none. Restore the file.")
    return np.array(starts), np.array(phones)
