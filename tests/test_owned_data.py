"""TIMIT and IAM-OnDB, which cannot be shipped: read from synthetic files of the same format."""

import struct
import wave

import numpy as np
import pytest
import torch

from linmem import data
from linmem.data import handwriting, timit
from linmem.data.cepstra import mel_cepstra, mel_filters
from linmem.data.sound_file import read_sound

RATE = 16_000


def sphere(samples, order="01", coding="pcm", count=None):
    header = f"NIST_1A\n   1024\nsample_rate -i {RATE}\nchannel_count -i 1\nsample_n_bytes -i 2\n"
    header += f"sample_byte_format -s2 {order}\nsample_coding -s{len(coding)} {coding}\n"
    header += f"sample_count -i {len(samples) if count is None else count}\nend_head\n"
    return header.encode().ljust(1024) + samples.astype("<i2" if order == "01" else ">i2").tobytes()


def riff(path, samples, channels=1):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.astype("<i2").tobytes())


def speech(seed=0, n=4000):
    return np.random.default_rng(seed).integers(-20_000, 20_000, n)


@pytest.fixture
def corpus(tmp_path):
    """Speakers of every split, in upper and lower case and both formats, with SA sentences and other TEST speakers."""
    folder = tmp_path / "timit"
    for i, place in enumerate(
        ["TRAIN/DR1/FCJF0/SX37", "train/dr2/maeb0/si990", "TEST/DR1/FAKS0/SX43", "TEST/DR1/MDAB0/SI1039"]
        + ["TRAIN/DR1/FCJF0/SA1", "TEST/DR1/MDAB0/SA2", "TEST/DR4/FADG9/SX1"]
    ):
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        lower = place.islower()
        if lower:
            riff(path.with_suffix(".wav"), speech(i))
        else:
            path.with_suffix(".WAV").write_bytes(sphere(speech(i)))
        path.with_suffix(".phn" if lower else ".PHN").write_text("0 800 h#\n800 2000 ao\n2000 2400 q\n2400 3900 sh\n")
    return tmp_path


def test_timit_gives_cepstra_and_folded_phones(corpus):
    splits = data.load("timit", corpus)
    assert splits.titles == {
        "train": ["TRAIN/DR1/FCJF0/SX37", "train/dr2/maeb0/si990"],
        "valid": ["TEST/DR1/FAKS0/SX43"],
        "test": ["TEST/DR1/MDAB0/SI1039"],
    }
    frames = 1 + (4000 - 400) // 160
    for split in ("train", "valid", "test"):
        for x, y in splits.pairs(split):
            assert x.shape == (frames, 13)
            assert x.dtype == y.dtype == torch.float32
            names = [timit.PHONES[i] for i in y.argmax(1).tolist()]
            middles = [160 * t + 200 for t in range(frames)]
            expected = ["sil" if m < 800 else "aa" if m < 2000 else "sil" if m < 2400 else "sh" for m in middles]
            assert names == expected
    together = torch.cat(splits.train)
    torch.testing.assert_close(together.mean(0), torch.zeros(13), rtol=0, atol=1e-5)
    torch.testing.assert_close(together.std(0), torch.ones(13), rtol=0, atol=1e-5)


def test_the_61_phones_fold_to_39_and_the_speakers_to_50_and_24():
    assert len(timit.PHONES) == len(set(timit.PHONES)) == 39
    assert len(set(timit.PHONES) - {"sil"} | set(timit.FOLDED)) == 61
    assert set(timit.FOLDED.values()) <= set(timit.PHONES)
    assert not set(timit.FOLDED) & set(timit.PHONES)
    assert (len(timit.VALID), len(timit.CORE_TEST), len(timit.VALID & timit.CORE_TEST)) == (50, 24, 0)


@pytest.mark.parametrize("order", ["01", "10"])
def test_sphere_and_riff_hold_the_same_samples(tmp_path, order):
    samples = speech()
    (tmp_path / "one").write_bytes(sphere(samples, order))
    riff(tmp_path / "other", samples)
    for name in ("one", "other"):
        found, rate = read_sound(tmp_path / name)
        assert rate == RATE
        np.testing.assert_array_equal(found * 32768, samples)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (sphere(speech(), count=5000), "must hold the 5000 samples of its header, got 4000"),
        (sphere(speech(), coding="pcm,embedded-shorten-v2.00"), "Convert it with sph2pipe"),
        (sphere(speech())[:8] + b"rubbish", "readable NIST SPHERE header"),
        (b"RIFFrubbish", "must be a NIST SPHERE or RIFF file"),
    ],
)
def test_damaged_sounds_are_named(tmp_path, content, message):
    path = tmp_path / "SX1.WAV"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_sound(path)


@pytest.mark.parametrize("line", ["0 800", "0 800 xx", "a 800 sh", "² 800 sh", f"{'9' * 400} 800 sh", ""])
def test_damaged_phones_are_named(corpus, line):
    path = corpus / "timit/TRAIN/DR1/FCJF0/SX37.PHN"
    path.write_text(f"0 800 h#\n{line}\n800 900 sh\n")
    with pytest.raises(ValueError, match=r"SX37.PHN, line 2 must be"):
        data.load("timit", corpus)
    path.unlink()
    with pytest.raises(ValueError, match=r"SX37.PHN must exist"):
        data.load("timit", corpus)


def test_sounds_too_short_or_of_another_rate_are_named(corpus):
    path = corpus / "timit/TRAIN/DR1/FCJF0/SX37.WAV"
    path.write_bytes(sphere(speech(n=100)))
    with pytest.raises(ValueError, match=r"SX37.WAV: samples must hold at least one window"):
        data.load("timit", corpus)
    path.write_bytes(sphere(speech()).replace(b"sample_rate -i 16000", b"sample_rate -i 00000"))
    with pytest.raises(ValueError, match=r"SX37.WAV must have 16000 samples per second, got 0"):
        data.load("timit", corpus)


def test_cepstra_match_their_definition_written_out():
    samples = speech(n=1000) / 32768
    found = mel_cepstra(samples, RATE)
    emphasized = [samples[0]] + [samples[i] - 0.97 * samples[i - 1] for i in range(1, 1000)]
    filters = mel_filters(512, RATE)
    for t in range(len(found)):
        frame = [
            x * (0.54 - 0.46 * np.cos(2 * np.pi * i / 399)) for i, x in enumerate(emphasized[160 * t : 160 * t + 400])
        ]
        power = [
            abs(sum(x * np.exp(-2j * np.pi * k * i / 512) for i, x in enumerate(frame))) ** 2 / 512 for k in range(257)
        ]
        energy = np.log(filters @ power)
        scale = [np.sqrt((1 if j == 0 else 2) / 26) for j in range(13)]
        expected = [
            scale[j] * sum(e * np.cos(np.pi * j * (2 * i + 1) / 52) for i, e in enumerate(energy)) for j in range(13)
        ]
        np.testing.assert_allclose(found[t], expected, rtol=1e-8, atol=1e-8)
    assert len(found) == 4


def test_loudness_is_in_the_first_number_alone_and_a_tone_in_its_own_filter():
    samples = speech() / 32768
    difference = mel_cepstra(0.1 * samples, RATE) - mel_cepstra(samples, RATE)
    np.testing.assert_allclose(difference[:, 0], np.sqrt(26) * np.log(0.01), rtol=1e-9)
    np.testing.assert_allclose(difference[:, 1:], 0, atol=1e-9)
    filters = mel_filters(512, RATE)
    assert filters.shape == (26, 257)
    inside = filters[:, (filters.argmax(1)[0] + 1) : filters.argmax(1)[-1]]
    np.testing.assert_allclose(inside.sum(0), 1)  # neighbours share every bin
    assert (np.diff(filters.argmax(1)) > 0).all()
    with pytest.raises(ValueError, match=r"samples must hold at least one window \(400\), got 100"):
        mel_cepstra(samples[:100], RATE)
    assert np.isfinite(mel_cepstra(np.zeros(500), RATE)).all()


STROKES = '<?xml version="1.0"?><WhiteboardCaptureSession><StrokeSet>{}</StrokeSet></WhiteboardCaptureSession>'


def strokes_of(*strokes):
    body = "".join(
        "<Stroke>" + "".join(f'<Point x="{x}" y="{y}" time="0.1"/>' for x, y in stroke) + "</Stroke>"
        for stroke in strokes
    )
    return STROKES.format(body)


@pytest.fixture
def whiteboard(tmp_path):
    folder = tmp_path / "iam_ondb"
    for name, form in (("trainset.txt", "a01-000u"), ("testset_v.txt", "b02-001"), ("testset_f.txt", "c03-002z")):
        writer, number = form.split("-")
        place = folder / "lineStrokes" / writer / f"{writer}-{number[:3]}"
        place.mkdir(parents=True)
        (folder / name).write_text(form + "\n")
        (place / f"{form}-01.xml").write_text(strokes_of([(5, 5), (8, 9), (8, 5)], [(18, 5)]))
        (place / f"{form}-02.xml").write_text(strokes_of([(0, 0), (3, -4)]))
    text = folder / "ascii/a01/a01-000/a01-000u.txt"
    text.parent.mkdir(parents=True)
    text.write_text("OCR:\n\nA MQVE\n\nCSR:\n\nA MOVE to stop\nMr. Gaitskell\n")
    return tmp_path


def test_handwriting_gives_steps_and_lifts(whiteboard):
    splits = data.load("iam_ondb", whiteboard)
    assert splits.titles["train"] == ["A MOVE to stop", "Mr. Gaitskell"]
    assert splits.titles["valid"] == ["b02-001-01", "b02-001-02"]
    steps = torch.tensor([[0.0, 0, 0], [3, 4, 0], [0, -4, 1], [10, 0, 1]])
    short = torch.tensor([[0.0, 0, 0], [3, -4, 1]])
    deviation = torch.cat([steps, short])[:, :2].std()
    for split in ("train", "valid", "test"):
        for found, expected in zip(getattr(splits, split), (steps, short), strict=True):
            torch.testing.assert_close(found[:, :2] * deviation, expected[:, :2])
            assert torch.equal(found[:, 2], expected[:, 2])


@pytest.mark.parametrize(
    ("place", "content", "message"),
    [
        ("lineStrokes/a01/a01-000/a01-000u-01.xml", "<Stroke", "a01-000u-01.xml must be a readable file of strokes"),
        ("lineStrokes/a01/a01-000/a01-000u-01.xml", strokes_of([]), "a01-000u-01.xml must hold at least one point"),
        ("lineStrokes/a01/a01-000/a01-000u-01.xml", STROKES.format("<Stroke><Point x='1'/></Stroke>"), "'y'"),
        ("lineStrokes/a01/a01-000/a01-000u-01.xml", strokes_of([("nan", 1)]), "must hold finite coordinates"),
        ("trainset.txt", "a01-000u nonsense", "must list forms such as a01-000u, got 'nonsense'"),
        ("trainset.txt", "a01-009u", "must hold the lines of form a01-009u, got none"),
        ("trainset.txt", "", "must list at least one form"),
    ],
)
def test_damaged_handwriting_is_named(whiteboard, place, content, message):
    (whiteboard / "iam_ondb" / place).write_text(content)
    with pytest.raises(ValueError, match=message):
        data.load("iam_ondb", whiteboard)


@pytest.mark.parametrize(("name", "source"), [("timit", timit.SOURCE), ("iam_ondb", handwriting.SOURCE)])
def test_a_missing_corpus_is_named_with_its_source_in_one_line(tmp_path, name, source):
    with pytest.raises(ValueError, match="LINMEM_DATA") as caught:
        data.load(name, tmp_path)
    assert source in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_synthetic_sphere_files_follow_the_format():
    """The magic string, the size of the header, and samples after it."""
    content = sphere(np.array([1, -2, 300]))
    assert content[:16] == b"NIST_1A\n   1024\n"
    assert struct.unpack("<3h", content[1024:]) == (1, -2, 300)
