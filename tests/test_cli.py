"""The command line: all commands on small data, their help, and bad input, which gives one line."""

import json
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

import linmem
from linmem import cli
from linmem.analysis import layer_speed
from linmem.autoencoder.estimator import LinearAutoencoder
from linmem.autoencoder.solvers import SOLVERS
from linmem.cli.commands import COMMANDS
from linmem.cli.main import parser
from linmem.data import midi
from linmem.experiments.harness.catalog import EXPERIMENTS
from linmem.runs import confusion, runner
from linmem.runs.directory import load_run
from linmem.runs.options import FIELDS, RunOptions, with_options

SMALL = ["--hidden_size=6", "--memory_size=8", "--max_epochs=2", "--batch_size=4"]


def run(capsys, *arguments):
    """Run the command line; returns status, standard output and standard error."""
    try:
        status = cli.main([str(argument) for argument in arguments])
    except SystemExit as leaving:
        status = leaving.code
    printed = capsys.readouterr()
    return status, printed.out, printed.err


@pytest.fixture(scope="session")
def pieces(tmp_path_factory):
    """A folder of small piano rolls as NPY files."""
    folder, random = tmp_path_factory.mktemp("pieces"), np.random.default_rng(0)
    for index in range(8):
        np.save(folder / f"{index}.npy", (random.random((20, 88)) < 0.05).astype(np.float32))
    return folder


@pytest.fixture(scope="session")
def trained(pieces, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "pretrained"
    command = ["train", str(pieces), "--out", str(folder), *SMALL, "--pretrain=unfolded", "--pretrain_epochs=1"]
    assert cli.main([*command, "--lags=2"]) == 0
    return folder


def test_train_writes_a_run_directory(trained):
    assert {"config.json", "history.jsonl", "state.safetensors", "scores.json"} <= {f.name for f in trained.iterdir()}
    config = json.loads((trained / "config.json").read_text())
    assert config["model"]["hidden_size"] == 6
    assert config["versions"]["torch"] == torch.__version__
    epochs = [json.loads(line) for line in (trained / "history.jsonl").read_text().splitlines()]
    assert [epoch["epoch"] for epoch in epochs] == [1, 2]
    assert json.loads((trained / "scores.json").read_text())["baseline"]["nll"] > 0


def test_train_prints_task_splits_and_baseline_in_one_line(pieces, tmp_path, capsys):
    status, out, _ = run(capsys, "train", pieces, *SMALL, "--out", tmp_path / "run")
    first = out.splitlines()[0]
    assert status == 0
    assert first.startswith(
        "predicts: next frame of a piano roll (inputs 88, outputs 88); train: 6 sequences, 120 steps;"
    )
    assert re.search(r"; baseline on valid: persistence, accuracy % [\d.]+, NLL [\d.]+$", first)
    assert out.count("predicts") == 1


def test_evaluate_prints_the_baseline_first(trained, capsys):
    status, out, _ = run(capsys, "evaluate", trained)
    assert status == 0
    rows = [line.split("|")[1].strip() for line in out.splitlines()]
    assert rows[0] == "model"
    assert rows[2:] == ["persistence", "lmn-b, unfolded"]


def test_generate_writes_midi_and_a_picture(trained, tmp_path, capsys):
    status, out, _ = run(
        capsys, "generate", trained, "--out", tmp_path / "a", "--prompt_length=5", "--steps=12", "--voices=3"
    )
    assert status == 0
    sound, audio, picture = out.split()
    assert Path(audio).read_bytes()[:4] == b"RIFF"
    roll = midi.piano_roll(sound)
    assert roll.shape == (17, 88)
    assert roll[5:].sum(1).max() <= 3
    assert Path(picture).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    run(capsys, "generate", trained, "--out", tmp_path / "b", "--prompt_length=5", "--steps=12", "--voices=3")
    assert torch.equal(midi.piano_roll(tmp_path / "b" / "continuation.mid"), roll)
    status, _, err = run(capsys, "generate", trained, "--out", tmp_path / "a", "--prompt_length=5")
    assert status == 2
    assert "must not hold earlier output" in err
    status, _, _ = run(
        capsys, "generate", trained, "--out", tmp_path / "c", "--piece", sound, "--prompt_length=5", "--steps=3"
    )
    assert status == 0


def test_fit_writes_an_autoencoder_that_load_reads(pieces, tmp_path, capsys):
    status, out, _ = run(capsys, "fit", pieces, "--out", tmp_path / "fit", "--memory_size=12")
    assert status == 0
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in out.splitlines() if line.startswith("|")]
    assert rows[0][:3] == ["memory units", "bound", "ours, train"]
    assert [int(row[0]) for row in rows[2:]] == [1, 3, 6, 12]
    assert all(float(row[1]) <= float(row[2]) for row in rows[2:])
    fitted = LinearAutoencoder.load(tmp_path / "fit" / "autoencoder.safetensors")
    assert fitted.training_error_ == pytest.approx(float(rows[-1][2]), abs=1e-4)
    with pytest.raises(ValueError, match="of `linmem fit`. Use LinearAutoencoder.load") as caught:
        linmem.load(tmp_path / "fit")
    assert str(tmp_path / "fit" / "autoencoder.safetensors") in str(caught.value)
    status, _, _ = run(capsys, "fit", pieces, "--out", tmp_path / "none", "--memory_size=2", "--refine=None")
    assert status == 0
    status, _, err = run(capsys, "fit", pieces, "--out", tmp_path / "fit", "--memory_size=12")
    assert status == 2
    assert "replace it (--force)" in err


@pytest.mark.parametrize("package", ["matplotlib", "mido"])
def test_a_missing_package_is_named_before_anything_is_computed(
    package, trained, pieces, tmp_path, capsys, monkeypatch
):
    def fail(*arguments, **options):
        raise AssertionError("computed before the check")

    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setattr("linmem.autoencoder.estimator.LinearAutoencoder.fit", fail)
    monkeypatch.setattr("linmem.music.generate.load_run", fail)
    monkeypatch.setattr("linmem.music.harmonize.load_run", fail)
    monkeypatch.setattr("linmem.runs.forecast.forecast", fail)
    monkeypatch.setattr("linmem.experiments.demo.runner.run", fail)
    extra = {"matplotlib": "plots", "mido": "music"}[package]
    commands = [("generate", trained), ("harmonize", trained, "melody.mid"), ("demo", "--quick")]
    if package == "matplotlib":
        commands += [("fit", pieces), ("forecast", trained)]
    for command in commands:
        status, out, err = run(capsys, *command, "--out", tmp_path / "out")
        assert (status, out) == (2, ""), command
        assert f"linmem {command[0]}: {package} must be installed for" in err
        assert f"Run pip install 'linear-memory-networks[{extra}]'." in err
        assert err.count("\n") == 1
        assert not (tmp_path / "out").exists()


def test_a_run_that_is_extended_equals_an_uninterrupted_run(pieces, tmp_path, capsys):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    short = [option for option in SMALL if "max_epochs" not in option]
    for command in (
        ["--out", whole, "--max_epochs=4"],
        ["--out", cut, "--max_epochs=2"],
        ["--out", cut, "--max_epochs=4", "--resume"],
    ):
        assert run(capsys, "train", pieces, *short, "--input_dropout=0.2", *command)[0] == 0
    first, second = (load_run(folder)[1].state_dict() for folder in (whole, cut))
    assert all(torch.equal(first[name], second[name]) for name in first)
    lengths = [len((folder / "history.jsonl").read_text().splitlines()) for folder in (whole, cut)]
    assert lengths == [4, 4]


def test_options_from_a_file(pieces, tmp_path, capsys):
    file = tmp_path / "options.yaml"
    file.write_text("model: gru\nhidden_size: 5\nmax_epochs: 1\n")
    assert run(capsys, "train", pieces, "--config", file, "--out", tmp_path / "run")[0] == 0
    assert json.loads((tmp_path / "run" / "config.json").read_text())["model"]["model"] == "gru"


def altered(run_folder, tmp_path):
    import shutil

    folder = tmp_path / "altered"
    shutil.copytree(run_folder, folder)
    state = folder / "state.safetensors"
    content = bytearray(state.read_bytes())
    content[-3] ^= 255
    state.write_bytes(content)
    return folder


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fit", "no_such_set"], "Known: chorales, jsb_chorales"),
        (["fit", "{pieces}", "--memory_size=5000"], "memory_size must be at most the rank of the history matrix"),
        (["fit", "{pieces}", "--solver=magic"], "solver must be one of 'auto', 'exact'"),
        (["train", "{pieces}", "--model=transformer"], "model must be one of lmn-a, lmn-b"),
        (["train", "{pieces}", "--model=estimate"], "got 'estimate'. Did you mean estimator?"),
        (["train", "{pieces}", "--out={pieces}/0.npy"], "0.npy, which is a file. Use another path"),
        (["fit", "{pieces}", "--out={pieces}/0.npy"], "0.npy, which is a file. Use another path"),
        (["fit", "{pieces}", "--out="], "out must be a path, got ''. Leave it out"),
        (["fit", "{pieces}", "--seed=-1"], "seed must be at least 0, got -1"),
        (["evaluate", "{trained}", "--out={pieces}/0.npy"], "0.npy, which is a file. Use another path"),
        (["predict", "{trained}", "{pieces}", "--out={pieces}"], "out must not be a folder, got"),
        (
            ["train", "{pieces}", "--pretrain=wishes"],
            "pretrain must be one of none, unfolded, inputs, incremental, got 'wishes'",
        ),
        (
            ["train", "{pieces}", "--output_bias_init=zero"],
            "output_bias_init must be one of marginal, default, got 'zero'",
        ),
        (
            ["train", "{pieces}", "--model=lstm", "--pretrain=unfolded"],
            "model must be one of lmn-b with pretrain=unfolded, got 'lstm'",
        ),
        (["train", "{pieces}", "--pretrain=inputs", *SMALL], "hidden_size must be 8, got 6"),
        (["train", "digits", "--transpose=2"], "transpose must be 0 for data that are not piano rolls, got 2"),
        (["train", "{pieces}", "--transpose=-1"], "transpose must be at least 0, got -1"),
        (["train", "{pieces}", "--transpose=1.5"], "transpose"),
        (
            ["train", "{pieces}", "--skip_connection", "--skip_init=one"],
            "skip_init must be one of zero, persistence",
        ),
        (["train", "{pieces}", "--skip_init=persistence"], "skip_init must be zero without skip_connection"),
        (
            ["train", "{pieces}", "--skip_connection", "--skip_init=persistence", "--pretrain=unfolded"],
            "skip_init must be zero with pretrain=unfolded",
        ),
        (
            ["train", "digits", "--model=lstm", "--skip_connection", "--skip_init=persistence"],
            "skip_init must be zero for data that are not piano rolls",
        ),
        (["train", "{pieces}", "--learning_rate=0"], "learning_rate must be above 0, got 0"),
        (["train", "{pieces}", "--learning_rate=fast"], "train: learning_rate must be a number, got 'fast'."),
        (["generate", "{trained}", "--voices=many"], "voices must be an integer, got 'many'."),
        (["train", "{pieces}", "--hiden_size=3"], "got --hiden_size=3. Did you mean --hidden_size?"),
        (["train", "{pieces}", "--limit_norms=3"], "limit_norms must be given without a value, true or false, got '3'"),
        (["train"], "linmem train: data must be given, got nothing. (see linmem train --help)"),
        (["trian"], "command must be one that the help lists, got 'trian'. Did you mean train?"),
        (
            ["train", "{pieces}", "--epochs=3"],
            "options must be those of the command, got --epochs=3. Did you mean --max_epochs?",
        ),
        (["train", "{pieces}", "--model=lmu", "--channels=0"], "channels must be greater than 0, got 0"),
        (
            ["train", "{pieces}", "--model=gru", "--nonlinearity=relu"],
            "must be 'tanh' for gru, got 'relu'. Omit the option",
        ),
        (
            ["train", "{pieces}", "--model=unfolded", "--input_dropout=0.2"],
            "must be 0.0 for unfolded, got 0.2",
        ),
        (["train", "{pieces}", "--config=none.yaml"], "none.yaml"),
        (
            ["train", "{pieces}", "--out", "{trained}", "--resume", "--nonlinearity=relu"],
            "nonlinearity must be tanh as in",
        ),
        (
            ["fit", "{pieces}", "--device=toaster"],
            "device must be one that this machine has, as cpu or cuda, got 'toaster'",
        ),
        (["fit", "{pieces}", "--device=meta"], "device must be one that this machine has"),
        (["fit", "{pieces}", "--threads=0"], "threads must be at least 1, got 0"),
        (["train", "{pieces}", "--config={broken}/broken.npy"], "must be YAML or JSON in UTF-8"),
        (["train", "{pieces}", "--config={nested}"], "linmem train"),
        (["train", "{pieces}", "--config={digits}"], "linmem train"),
        (["fit", "{pieces}", "--memory_size=1.0"], "memory_size must be a positive integer"),
        (["generate", "{trained}", "--voices=-2"], "voices must be from 1 to the number of notes (88), got -2"),
        (["generate", "{trained}", "--piece=²"], "piece must be the index of a test piece or a MIDI file, got '²'"),
        (
            ["generate", "{trained}", "--prompt_length=2", "--steps_per_quarter=0"],
            "steps_per_quarter must be a whole number from 1 to 960, got 0",
        ),
        (["train", "{pieces}", "--out", "{trained}"], "with state.safetensors. Continue it (--resume)"),
        (
            ["train", "{pieces}", "--out", "{trained}", "--resume", "--model=lstm"],
            "model must be lmn-b as in",
        ),
        (["train", "{broken}"], "broken.npy"),
        (["evaluate", "{pieces}"], "run must be a folder that `linmem train` wrote"),
        (["evaluate", "{trained}", "--split=dev"], "split must be one of train, valid, test, got 'dev'"),
        (["evaluate", "{altered}"], "must have the SHA-256"),
        (["bench", "--rounds=0"], "rounds and the number of sizes must be at least 1, got 0 and 3"),
        (["bench", "--clock=sun"], "clock must be one of 'wall', 'cpu', got 'sun'"),
        (["generate", "{trained}", "--piece=99"], "has pieces 0 to"),
        (["generate", "{trained}", "--prompt_length=500"], "prompt_length must be at most"),
        (["generate", "{trained}", "--temperature=0"], "temperature must be above 0, got 0.0"),
        (["reproduce", "table9"], "name must be one of table1, "),
        (["reproduce", "parameters", "--grid=huge"], "grid must be one of smoke, small, paper, got 'huge'"),
        (["sweep", "{pieces}"], "either --space FILE or --grid NAME must be given"),
        (["sweep", "{pieces}", "--grid=huge"], "grid must be one of smoke, small, paper, got 'huge'"),
        (["sweep", "{pieces}", "--space=nowhere.yaml"], "nowhere.yaml"),
        (["sweep", "{pieces}", "--space={pieces}/0.npy"], "must be YAML or JSON"),
        (["sweep", "{broken}", "--grid=smoke"], "broken.npy"),
        (["sweep", "{pieces}", "--grid=smoke", "--trials=0"], "trials must be at least 1, got 0"),
    ],
)
def test_bad_input_gives_one_line_and_status_2(arguments, message, pieces, trained, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    broken = tmp_path / "pieces"
    broken.mkdir()
    for index in range(3):
        np.save(broken / f"{index}.npy", np.ones((4, 88)))
    (broken / "broken.npy").write_bytes(b"\x93NUMPY not really")
    (tmp_path / "nested.yaml").write_text("[" * 20_000)
    (tmp_path / "digits.yaml").write_text(f"hidden_size: {'9' * 5001}\n")
    places = {"pieces": pieces, "trained": trained, "broken": broken, "altered": altered(trained, tmp_path)}
    places |= {name: tmp_path / f"{name}.yaml" for name in ("nested", "digits")}
    before = {path: path.stat().st_mtime_ns for path in trained.rglob("*")}
    status, out, err = run(capsys, *(argument.format(**places) for argument in arguments))
    assert status == 2
    assert out == ""
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert len(err) < 400
    assert not (tmp_path / "runs").exists()  # options and data are checked before anything is written
    assert {path: path.stat().st_mtime_ns for path in trained.rglob("*")} == before


def test_transposed_files_give_one_line_in_every_command(tmp_path, capsys):
    """Commands that read and check the same files several times name file, shape and option once."""
    for name in ("a", "b"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for i in range(5):
            np.save(tmp_path / "data" / name / f"{i}.npy", np.random.default_rng(i).standard_normal((1, 40)))
    out = tmp_path / "run"
    for command in (
        ("train", tmp_path / "data", "--n_projections=50", "--out", out),
        ("evaluate", out),
        ("predict", out, tmp_path / "data"),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            status, _, error = run(capsys, *command)
        (line,) = error.strip().splitlines()
        assert status == 0
        assert line.startswith(f"linmem {command[0]}: warning: ")
        assert "such as (1, 40) in a/0.npy" in line
        assert line.endswith("(linmem train --layout ct).")


def test_sweep_does_each_run_of_a_space_once(pieces, tmp_path, capsys):
    pytest.importorskip("optuna")
    (tmp_path / "space.yaml").write_text("model: [gru, lstm]\nhidden_size: 3\nmax_epochs: 1\n")
    command = ["sweep", pieces, "--space", tmp_path / "space.yaml", "--out", tmp_path / "out"]
    status, out, _ = run(capsys, *command)
    assert status == 0
    assert "2 runs: 2 complete" in out
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("state.safetensors")}
    assert len(files) == 2
    assert run(capsys, *command)[1] == out
    assert {path: path.stat().st_mtime_ns for path in files} == files


def test_evaluate_writes_table_and_scores_with_out(trained, tmp_path, capsys):
    command = ["evaluate", trained, "--split=valid"]
    status, out, _ = run(capsys, *command, "--out", tmp_path)
    assert status == 0
    assert (tmp_path / "scores-valid.md").read_text() == out == run(capsys, *command)[1]
    kept = json.loads((tmp_path / "scores-valid.json").read_text())
    assert kept["split"] == "valid"
    known = json.loads((trained / "scores.json").read_text())["scores"]
    assert kept["scores"]["lmn-b, unfolded"] == pytest.approx(known)
    status, _, err = run(capsys, *command, "--out", tmp_path)
    assert status == 2
    assert "must not hold earlier output" in err
    assert run(capsys, *command, "--out", tmp_path, "--force")[0] == 0


def test_earlier_output_is_noticed_before_anything_is_computed(trained, tmp_path, capsys, monkeypatch):
    for name in ("bench.md", "confusion-test.csv"):
        (tmp_path / name).write_text("mine")
    monkeypatch.setattr(layer_speed, "measure", lambda *_, **__: pytest.fail("measured"))
    monkeypatch.setattr(runner, "evaluate_run", lambda *_: pytest.fail("evaluated"))
    monkeypatch.setattr(confusion, "has_classes", lambda _: True)
    for command in (["bench", "--sizes=1"], ["evaluate", trained]):
        status, out, err = run(capsys, *command, "--out", tmp_path)
        assert (status, out) == (2, "")
        assert "must not hold earlier output" in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bench.md", "confusion-test.csv"]


def test_a_command_whose_reader_has_gone_does_not_succeed():
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "linmem", "reproduce"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False, timeout=300)
    os.close(writer)
    assert done.returncode == 141
    assert done.stderr == ""


def test_bench_prints_ratios_and_writes_its_numbers(tmp_path, capsys):
    status, out, _ = run(capsys, "bench", "--sizes=1", "--rounds=1", "--clock=cpu", "--out", tmp_path)
    assert status == 0
    assert "LSTM(f+p) / LMN" in out
    assert (tmp_path / "bench.md").read_text() == out
    training, inference = json.loads((tmp_path / "bench.json").read_text())["rows"]
    for row, scale in ((training, 1), (inference, 1e3)):
        line = next(line for line in out.splitlines() if f"| {scale * row['LMN']:.1f} |" in line.replace("  ", " "))
        assert f"{row['LSTM(f+p)'] / row['LMN']:.2f}" in line


def test_reproduce_lists_and_runs(tmp_path, capsys):
    command = ["reproduce", "--out", tmp_path, "--grid=smoke"]
    assert run(capsys, *command)[1].count("not run") == len(EXPERIMENTS)
    status, out, _ = run(capsys, *command[:1], "parameters", *command[1:])
    assert status == 0
    assert "LSTM / LMN" in out
    assert run(capsys, *command)[1].count("not run") == len(EXPERIMENTS) - 1


def test_resume_takes_options_that_are_not_given_from_the_run(pieces, tmp_path, capsys):
    unusual = [
        "--nonlinearity=relu",
        "--input_dropout=0.3",
        "--learning_rate=0.01",
        "--hidden_size=6",
        "--memory_size=8",
    ]
    for out, epochs in (("whole", 3), ("cut", 1)):
        assert run(capsys, "train", pieces, *unusual, f"--max_epochs={epochs}", "--out", tmp_path / out)[0] == 0
    assert run(capsys, "train", pieces, "--resume", "--max_epochs=3", "--out", tmp_path / "cut")[0] == 0
    first, second = (load_run(tmp_path / out)[1].state_dict() for out in ("whole", "cut"))
    assert all(torch.equal(first[name], second[name]) for name in first)
    configs = [json.loads((tmp_path / out / "config.json").read_text()) for out in ("whole", "cut")]
    assert configs[0]["model"] == configs[1]["model"]
    assert configs[0]["training"] == configs[1]["training"]
    status, _, err = run(capsys, "train", pieces, "--resume", "--nonlinearity=tanh", "--out", tmp_path / "cut")
    assert status == 2  # a default, but given
    assert "nonlinearity must be relu as in" in err


def test_a_run_on_a_folder_can_be_evaluated_from_anywhere(pieces, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(pieces.parent)
    assert run(capsys, "train", pieces.name, *SMALL, "--out", tmp_path / "run")[0] == 0
    monkeypatch.chdir(tmp_path)
    assert run(capsys, "evaluate", "run")[0] == 0


def test_a_failure_before_anything_was_trained_leaves_the_folder_free(pieces, tmp_path, capsys):
    command = ["train", pieces, *SMALL, "--out", tmp_path / "run", "--pretrain=inputs"]
    assert run(capsys, *command)[0] == 2
    assert run(capsys, *command, "--hidden_size=8")[0] == 0


def test_help_lists_all_commands_with_examples(capsys):
    listing = run(capsys, "--help")[1]
    assert set(listing.split()) >= set(COMMANDS)
    for name in COMMANDS:
        status, out, _ = run(capsys, name, "--help")
        assert status == 0
        examples = [line.strip() for line in out.splitlines() if line.startswith(f"  linmem {name}")]
        assert examples, name
        for example in examples:
            assert parser(name).parse_args(example.split()[1:], defaults=False).command == name
        for option in ("--config", "--seed", "--device", "--out", "--threads"):
            assert option in out


def test_every_option_is_documented_and_has_the_default_of_its_dataclass(capsys):
    for name in COMMANDS:
        for action in parser(name)._subcommands_action._name_parser_map[name]._actions:
            assert action.help, f"{name} {action.dest}"
    defaults = parser("train").parse_args(["train", "chorales"]).train
    assert with_options(RunOptions("chorales"), {name: defaults[name] for name in FIELDS}) == RunOptions("chorales")


def test_help_names_every_solver(capsys):
    out = run(capsys, "fit", "--help")[1]
    assert all(name in out for name in SOLVERS)


def test_flags_may_precede_the_data(pieces, tmp_path, capsys):
    command = ["train", "--resume", "--skip_connection", pieces, *SMALL, "--out", tmp_path / "run"]
    assert run(capsys, *command)[0] == 0
    assert json.loads((tmp_path / "run" / "config.json").read_text())["model"]["skip_connection"] is True


FULL_DISK = """
import resource, sys
from linmem import cli
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
sys.exit(cli.main(sys.argv[2:]))
"""


@pytest.mark.parametrize("command", ["fit", "train"])
def test_a_full_disk_gives_one_line_no_partial_files_and_a_run_that_resumes(pieces, tmp_path, command):
    options = ["--memory_size=8", *(["--hidden_size=6", "--max_epochs=2"] if command == "train" else [])]
    arguments = [command, str(pieces), *options, "--out", str(tmp_path / "out")]
    full = subprocess.run([sys.executable, "-c", FULL_DISK, "2000", *arguments], capture_output=True, text=True)
    assert full.returncode == 2, full.stderr
    assert len(full.stderr.strip().splitlines()) == 1
    assert "File too large" in full.stderr
    assert not [path for path in (tmp_path / "out").iterdir() if path.suffix in (".partial", ".mid")]
    assert cli.main([*arguments, "--resume" if command == "train" else "--force"]) == 0
