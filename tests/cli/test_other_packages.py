"""`--import` lets the command line run another package's model, and `--quiet` shows the result alone."""

import json
import shutil
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "gru4rec.py"
TINY = ["--hidden_size", "8", "--num_train_epochs", "1"]


@pytest.fixture(scope="module")
def seqrec(forks):
    """Runs a command in a folder, in a process of its own."""
    return lambda folder, *argv, **options: forks.run("-m", "seqrec.cli", *argv, cwd=folder, **options)


@pytest.fixture(scope="module")
def place(seqrec, tmp_path_factory):
    """A folder with a module that registers an architecture, and a model of it."""
    folder = tmp_path_factory.mktemp("work")
    shutil.copy(EXAMPLE, folder)
    flags = ["--import", "gru4rec", "--model_type", "gru4rec", "--dataset", "synthetic", "--output_dir", "model"]
    run = seqrec(folder, "train", *flags, *TINY, "--quiet")
    assert (run.returncode, run.stdout) == (0, "")
    assert "have a better NDCG@10 than the model" in run.stderr  # after one epoch
    assert run.stderr.count("\n") == 1
    return folder


def test_commands_run_the_model_of_a_module_that_is_imported(seqrec, place):
    model = ["--import", "gru4rec", "--model", "model", "--quiet"]
    run = seqrec(place, "evaluate", *model, "--dataset", "synthetic", "--json")
    assert (run.returncode, run.stderr) == (0, "")
    assert 0 <= json.loads(run.stdout)["model"]["test"]["ndcg@10"] <= 1
    run = seqrec(place, "recommend", *model, "--history", "3,4", "--k", "2")
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.count("\n") == 3


def test_without_the_import_its_model_is_unknown(seqrec, place):
    run = seqrec(place, "recommend", "--model", "model", "--history", "3,4")
    assert run.returncode == 2
    assert "names the model_type 'gru4rec', but seqrec knows bert4rec, esasrec, hstu, sasrec" in run.stderr
    assert run.stderr.count("\n") == 1


def test_a_module_that_fails_takes_one_line(seqrec, tmp_path):
    (tmp_path / "broken.py").write_text("raise KeyError('x')")
    run = seqrec(tmp_path, "train", "--import", "broken", "--dataset", "synthetic")
    assert (run.returncode, run.stderr) == (2, "seqrec train: --import broken failed: KeyError: 'x'.\n")


@pytest.mark.parametrize(
    "argv", [["--help"], ["--import", "gru4rec", "--model", "model", "--history", "3"]], ids=["help", "table"]
)
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_went_away_ends_any_command_quietly(seqrec, place, argv, unbuffered):
    run = seqrec(place, "recommend", *argv, has_reader=False, PYTHONUNBUFFERED=unbuffered)
    assert (run.returncode, run.stderr) == (141, "")
