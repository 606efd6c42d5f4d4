"""SIGKILL at random moments: every command ends with the bits of an uninterrupted run; `make crash` does more."""

from tests.crash.random_kills import kill_and_compare


def test_killed_commands_end_with_the_same_bits(tmp_path):
    names, save = ("train", "encode"), tmp_path / "attempts.jsonl"
    save.touch()
    counts, problems = kill_and_compare(3, 0, tmp_path, names=names, fresh=False, report=lambda line: None, save=save)
    assert problems == []
    assert sum(counts[name] for name in names) == 3
    assert len(save.read_text().splitlines()) == counts["compared"]
