"""Convert the Bach chorales of the music21 corpus into `linmem/data/chorales.npz`: python tools/build_chorales.py

One row of the file is one quarter note: the four pitches (soprano, alto, tenor, bass) that sound when the quarter
begins, held notes included, 0 for a rest; `onsets` tells notes that begin from held notes. The rules, each with the
reason for it:

* Voices: the parts named Soprano, Alto, Tenor, Bass. Doubling or obbligato instruments are dropped; settings in five
  vocal parts and keyboard pieces are skipped, and so are the .krn files (other editions of chorales that are here
  already) and music whose bars do not begin on whole quarters (one 12/8 pastoral, which is here in 4/4 too).
* Onsets: a voice has an onset in a row if the note that sounds there began after the row before did. Tied notes are one
  note. Of several notes within a quarter only that which sounds at the next quarter counts.
* Time: as written; fermatas and repeat signs change nothing, a pick-up bar is simply short. Silence before the first
  note, and silence of four quarters or more (interludes of the dropped instruments), is cut; shorter rests stay.
* Key: each chorale is transposed so that its tonic is C (major) or A (minor), by the smallest interval. The tonic is
  that of music21's key analysis (Aarden-Essen weights), because the old editions write many minor chorales with one
  flat too few, so that the signature alone names the wrong tonic; the written key stands where the last bass note is
  its tonic and not that of the analysis, which errs on chorales that modulate early.
* Same music: two settings are the same when at least 90 % of the shorter one's frames recur, in order, in the other
  (longest common subsequence: cuts, written-out repeats and transposition do not hide a copy). One of them is kept:
  that with the fewest instruments, then the lower number.
* Split: chorales of one BWV number (244 is the whole St Matthew Passion) stay together, and so do settings of which
  half the frames recur in order, or 60 % of the notes agree step by step. These groups, in the order of the SHA-256
  of their lowest number, go one by one to the split that is furthest below its share: 60 % train, 20 % valid,
  20 % test.

music21 is needed for this step only. The same corpus gives the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import re
from collections import Counter
from fractions import Fraction
from itertools import combinations, pairwise
from pathlib import Path
from typing import NamedTuple

import music21
import numpy as np

VOICES = ("Soprano", "Alto", "Tenor", "Bass")
SHARES = {"train": 0.6, "valid": 0.2, "test": 0.2}
INTERLUDE = 4  # quarters of silence
SAME, ALIKE, AGREE = 0.9, 0.5, 0.6
TARGET = Path(__file__).parents[1] / "linmem" / "data" / "chorales.npz"


class Chorale(NamedTuple):
    """One setting: file's stem, parts in the file, transposed voices (T, 4), their onsets (T, 4), what was changed."""

    title: str
    parts: int
    voices: np.ndarray
    onsets: np.ndarray
    transposition: int
    minor: bool
    silence_cut: int

    @property
    def number(self) -> int:
        """The BWV number: 244 of bwv244.29-a."""
        return int(re.findall(r"\d+", self.title)[0])

    @property
    def order(self) -> tuple[list[int], str]:
        """Sorts bwv2.6 before bwv10.7."""
        return [int(digits) for digits in re.findall(r"\d+", self.title)], self.title


def main() -> None:
    """Build the file and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", type=Path, default=TARGET)
    target = parser.parse_args().target

    skipped: Counter[str] = Counter()
    chorales = []
    for path in corpus():
        found = read(path)
        if isinstance(found, str):
            skipped[found] += 1
            print(f"skipped {path.name}: {found}")
        else:
            chorales.append(found)
    kept = drop_copies(chorales)
    kept.sort(key=lambda chorale: chorale.order)
    split = choose_split(kept)
    save(target, kept, split, sum(skipped.values()), len(chorales) - len(kept))

    print(
        f"{len(chorales)} four-part settings; {len(kept)} kept, {len(chorales) - len(kept)} copies dropped; {skipped}"
    )
    for name in SHARES:
        voices = [chorale.voices for chorale, where in zip(kept, split, strict=True) if where == name]
        frames = sum(map(len, voices))
        notes = sum(len(set(row) - {0}) for part in voices for row in part.tolist())
        silent = sum(int((~part.any(1)).sum()) for part in voices)
        print(f"{name}: {len(voices)} chorales, {frames} frames, {notes / frames:.3f} notes a frame, {silent} silent")
    print(f"{target}: {target.stat().st_size} bytes, SHA-256 {hashlib.sha256(target.read_bytes()).hexdigest()}")


def corpus() -> list[Path]:
    """All files of the corpus' folder of Bach that carry a BWV number, by name."""
    folder = Path(music21.__file__).parent / "corpus" / "bach"
    return sorted(path for path in folder.iterdir() if path.name.startswith("bwv") and path.is_file())


def read(path: Path) -> Chorale | str:
    """The chorale of one file, or the reason why it is none."""
    if path.suffix == ".krn":
        return "another edition (.krn)"
    score = music21.converter.parse(path, forceSource=True)
    parts = [[part for part in score.parts if (part.partName or "").startswith(voice)] for voice in VOICES]
    if any(len(candidates) != 1 for candidates in parts):
        return "not four vocal parts"
    singers = [candidates[0] for candidates in parts]
    if any(measure.offset % 1 for part in singers for measure in part.getElementsByClass("Measure")):
        return "bars off the quarter grid"
    voices, onsets = sample(singers)
    key = tonic(score, voices)
    shift = ((0 if key.mode == "major" else 9) - key.tonic.pitchClass + 5) % 12 - 5
    keep = without_interludes(voices)
    transposed = np.where(voices > 0, voices + shift, 0)[keep].astype(np.uint8)
    return Chorale(
        path.stem, len(score.parts), transposed, onsets[keep], shift, key.mode == "minor", int((~keep).sum())
    )


def sample(parts: list[music21.stream.Part]) -> tuple[np.ndarray, np.ndarray]:
    """Pitches (T, 4) sounding at the beginning of each quarter, and where they begin, (T, 4).

    A note sounds from its onset up to, not at, its end.
    """
    notes = [(voice, *note) for voice, part in enumerate(parts) for note in notes_of(part)]
    steps = math.ceil(max(end for _, _, end, _ in notes))
    voices = np.zeros((steps, len(parts)), dtype=np.int64)
    onsets = np.zeros((steps, len(parts)), dtype=bool)
    for voice, onset, end, pitch in notes:
        first, stop = math.ceil(onset), math.ceil(end)
        voices[first:stop, voice] = pitch
        onsets[first:stop, voice] = np.arange(first, stop) == first
    return voices, onsets


def notes_of(part: music21.stream.Part) -> list[tuple[Fraction | float, Fraction | float, int]]:
    """Onset, end and pitch of every note of a part, tied notes as one."""
    notes: list[tuple[Fraction | float, Fraction | float, int]] = []
    for note in part.recurse().notes:
        onset, pitch = note.getOffsetInHierarchy(part), note.pitch.midi
        tied = note.tie is not None and note.tie.type in ("stop", "continue")
        if tied and notes and notes[-1][1:] == (onset, pitch):
            onset = notes.pop()[0]
        notes.append((onset, note.getOffsetInHierarchy(part) + note.quarterLength, pitch))
    return notes


def tonic(score: music21.stream.Score, voices: np.ndarray) -> music21.key.Key:
    """The key, from the analysis unless only the written key's tonic is the last bass note."""
    analysed = score.analyze("key")
    written = score.parts[0].recurse().getElementsByClass("Key").first()
    last = voices[voices[:, 3] > 0, 3][-1] % 12
    if written is not None and written.tonic.pitchClass == last != analysed.tonic.pitchClass:
        return written
    return analysed


def without_interludes(voices: np.ndarray) -> np.ndarray:
    """Which rows (T,) to keep: those without silence at the ends and without silences of INTERLUDE quarters or more."""
    sounding = np.flatnonzero(voices.any(1))
    keep = np.zeros(len(voices), dtype=bool)
    keep[sounding] = True
    for before, after in pairwise(sounding):
        keep[before:after] = after - before <= INTERLUDE  # after - before - 1 silent rows
        keep[before] = True
    return keep


def drop_copies(chorales: list[Chorale]) -> list[Chorale]:
    """One chorale of each setting that occurs more than once."""
    kept: list[Chorale] = []
    for chorale in sorted(chorales, key=lambda one: (one.parts, one.order)):
        copies = [other.title for other in kept if in_order(chorale, other) >= SAME]
        if copies:
            print(f"dropped {chorale.title}: the same music as {copies[0]}")
        else:
            kept.append(chorale)
    return kept


def in_order(one: Chorale, other: Chorale) -> float:
    """Share of the shorter setting's frames in the longest common subsequence of frames.

    One machine word a row: Hyyrö, Bit-parallel LCS-length computation revisited (2004).
    """
    where: dict[frozenset[int], int] = {}
    for row, frame in enumerate(frames_of(one)):
        where[frame] = where.get(frame, 0) | 1 << row
    everything = (1 << len(one.voices)) - 1
    unmatched = everything
    for frame in frames_of(other):
        hit = unmatched & where.get(frame, 0)
        unmatched = (unmatched + hit | unmatched - hit) & everything
    return (len(one.voices) - bin(unmatched).count("1")) / min(len(one.voices), len(other.voices))


def frames_of(chorale: Chorale) -> list[frozenset[int]]:
    """The set of sounding pitches of each quarter."""
    return [frozenset(row) - {0} for row in chorale.voices.tolist()]


def step_by_step(one: Chorale, other: Chorale) -> float:
    """Notes in common over notes in either, both begun together."""
    pairs = list(zip(frames_of(one), frames_of(other), strict=False))
    total = sum(len(frame) for chorale in (one, other) for frame in frames_of(chorale))
    common = sum(len(a & b) for a, b in pairs)
    return common / (total - common)


def choose_split(chorales: list[Chorale]) -> list[str]:
    """Name of the split of each chorale."""
    group = {chorale.number: chorale.number for chorale in chorales}  # BWV number -> its group's lowest number
    for one, other in combinations(chorales, 2):
        ends = {group[one.number], group[other.number]}
        if len(ends) == 2 and (in_order(one, other) >= ALIKE or step_by_step(one, other) >= AGREE):
            group = {number: min(ends) if lowest in ends else lowest for number, lowest in group.items()}

    size = Counter(group[chorale.number] for chorale in chorales)
    place: dict[int, str] = {}
    missing = {name: share * len(chorales) for name, share in SHARES.items()}
    for lowest in sorted(size, key=lambda number: hashlib.sha256(f"BWV {number}".encode()).digest()):
        place[lowest] = max(missing, key=lambda name: missing[name])
        missing[place[lowest]] -= size[lowest]
    return [place[group[chorale.number]] for chorale in chorales]


def save(target: Path, chorales: list[Chorale], split: list[str], skipped: int, copies: int) -> None:
    """Write the file; zip entries of numpy carry a constant date, so equal input gives equal bytes."""
    provenance = (
        f"Johann Sebastian Bach, four-part chorales, from the corpus of music21 {music21.__version__} "
        f"(files bach/bwv*; most of them marked '© 2004 Margaret Greentree, www.jsbchorales.net, used by permission'), "
        f"by tools/build_chorales.py. One row a quarter note: the pitches (MIDI numbers; 0 for a "
        f"rest) of soprano, alto, tenor and bass that sound when the quarter begins, transposed by `transposition` "
        f"semitones to C major or A minor; `onsets`, four bits per row, tells where their notes begin. "
        f"{len(chorales)} chorales; {skipped} files skipped, {copies} copies dropped. "
        f"Split by BWV number, settings that are alike kept together: see docs/guide/data.md."
    )
    np.savez_compressed(
        target,
        voices=np.concatenate([chorale.voices for chorale in chorales]),
        onsets=np.packbits(np.concatenate([chorale.onsets for chorale in chorales])),
        lengths=np.array([len(chorale.voices) for chorale in chorales], dtype=np.int32),
        titles=np.array([chorale.title for chorale in chorales]),
        split=np.array(split),
        transposition=np.array([chorale.transposition for chorale in chorales], dtype=np.int8),
        minor=np.array([chorale.minor for chorale in chorales]),
        provenance=np.array(provenance),
    )


if __name__ == "__main__":
    main()
