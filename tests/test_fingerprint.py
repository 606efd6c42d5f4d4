"""The fingerprint of an experiment's code: it covers what a measurement depends on, and a stale run is refused."""

import ast
import json
import shutil

import pytest

from linmem.experiments.harness import equal_code, fingerprint, reproduce
from linmem.experiments.harness.fingerprint import ROOT, code_fingerprint, sources
from linmem.experiments.harness.records import require_records, write_records
from linmem.runs.options import ESTIMATOR
from linmem.storage.atomic import read_lines

TRIALS = sorted((ROOT.parent / "results" / "trials").glob("runs-*.jsonl"))


def names(module):
    return {path.relative_to(ROOT).as_posix() for path in sources(module)}


def test_the_sources_are_those_that_are_imported_and_no_tables():
    found = names("linmem.experiments.table2_paper")
    assert {"experiments/table2/as_published.py", "runs/runner.py", "nn/lmn.py"} <= found
    assert not {"experiments/table2/summary.py", "reporting/tables.py", "cli/main.py", "experiments/time.py"} & found
    assert "training/loop.py" not in names("linmem.experiments.capacity")


def test_no_experiment_trains_the_estimators_that_the_fingerprint_leaves_out():
    assert not {"runs/fitted_estimator.py", "estimators/classifier.py"} & names("linmem.experiments.table2_paper")
    trained = {row["options"]["model"]["model"] for path in TRIALS for row in read_lines(path)}
    assert {"lmn-b", "lstm"} <= trained
    assert ESTIMATOR not in trained
    for path in (ROOT / "experiments").rglob("*.py"):
        strings = [x.value for x in ast.walk(ast.parse(path.read_text())) if isinstance(x, ast.Constant)]
        assert ESTIMATOR not in strings, path


def test_docstrings_comments_and_blank_lines_are_no_part_of_the_code(tmp_path):
    first, second, third = (tmp_path / f"{name}.py" for name in "abc")
    first.write_text(
        '"""Words."""\n\nX = "#1"  # why\n\n\ndef f():\n    """Say x.\n\n    More.\n    """\n    return X\n'
    )
    second.write_text('X = "#1"\ndef f():\n    return X\n')
    third.write_text('X = "#2"\ndef f():\n    return X\n')
    assert fingerprint._statements(first) == fingerprint._statements(second) == second.read_text().rstrip()
    assert fingerprint._statements(first) != fingerprint._statements(third)


def test_a_changed_source_changes_the_fingerprint_of_those_that_import_it(tmp_path, monkeypatch):
    copied = tmp_path / "linmem"
    shutil.copytree(ROOT, copied, ignore=shutil.ignore_patterns("__pycache__"))
    before = {name: code_fingerprint(f"linmem.experiments.{name}") for name in ("capacity", "table1")}
    with (copied / "data" / "poly_music.py").open("a") as file:
        file.write("ANOTHER_VERSION = True\n")
    with (copied / "analysis" / "memory_capacity.py").open("a") as file:
        file.write("\n\n# a comment\n")
    layer = copied / "experiments" / "capacity.py"
    layer.write_text(layer.read_text().replace('"""', '"""In other words: ', 1))
    monkeypatch.setattr(fingerprint, "ROOT", copied)
    code_fingerprint.cache_clear()
    after = {name: code_fingerprint(f"linmem.experiments.{name}") for name in before}
    code_fingerprint.cache_clear()
    assert after["table1"] != before["table1"]
    assert after["capacity"] == before["capacity"]


def test_a_stale_run_is_refused_and_stale_records_are_named(tmp_path, monkeypatch):
    text = reproduce.reproduce("parameters", tmp_path, grid="smoke")
    assert reproduce.OTHER_CODE not in text
    records = require_records("parameters", tmp_path)
    assert {record["code"] for record in records} == {code_fingerprint("linmem.experiments.parameters")}
    stale = [record | {"code": "0" * 16} for record in records]
    write_records("parameters", tmp_path, stale)
    assert reproduce.reproduce("parameters", tmp_path) == f"{text}\n\n{reproduce.OTHER_CODE}"
    assert "measured by other code" in reproduce.list_experiments(tmp_path, check_code=True)
    write_records("parameters", tmp_path, [{k: v for k, v in stale[0].items() if k != "last"}])
    with pytest.raises(ValueError, match="must be continued by the code that began it"):
        reproduce.reproduce("parameters", tmp_path)


def test_records_of_a_version_with_equal_results_are_said_to_be_so(tmp_path):
    text = reproduce.reproduce("table1", tmp_path, grid="smoke")
    present = code_fingerprint("linmem.experiments.table1")
    write_records("table1", tmp_path, [one | {"code": "a" * 16} for one in require_records("table1", tmp_path)])

    def compared(*lines):
        rows = [{"experiment": name, "earlier": earlier, "code": code} for name, earlier, code in lines]
        (tmp_path / equal_code.FILE).write_text("".join(json.dumps(row) + "\n" for row in rows))
        return reproduce.reproduce("table1", tmp_path)

    chain = [("table1", "a" * 16, "b" * 16), ("table1", "b" * 16, present)]
    assert compared(*chain) == f"{text}\n\n{reproduce.EQUAL_CODE}"
    assert reproduce.SHORT[reproduce.EQUAL_CODE] in reproduce.list_experiments(tmp_path, check_code=True)
    for lines in (chain[:1], [("capacity", "a" * 16, present)], [("table1", present, "a" * 16)]):
        assert compared(*lines) == f"{text}\n\n{reproduce.OTHER_CODE}"


def test_comparisons_leave_out_times_alone(tmp_path):
    reproduce.reproduce("parameters", tmp_path, grid="smoke")
    results = [record["result"] for record in require_records("parameters", tmp_path)]
    kept = [equal_code.without_times(one) for one in results]
    assert kept != results
    for one, other in zip(results, kept, strict=True):
        assert set(one) - set(other) <= {"seconds", "cpu_seconds"}
        assert all(one[key] == other[key] for key in other if not isinstance(one[key], dict | list))
