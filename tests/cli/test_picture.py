"""`seqrec picture`."""

import json

import polars as pl
import pytest
from matplotlib.image import imread
from PIL import Image

from seqrec.cli.command_line import main
from seqrec.cli.picture_command import DRAWERS, KINDS

HISTORY = "item 5,item 9,item 7"
SLICES = {"slices": {"model": {"test": {"history_length": {"1-10": {"num_users": 7, "ndcg@10": 0.25}}}}}}


@pytest.fixture
def model_type():
    return "sasrec"


@pytest.fixture
def table(tmp_path):
    """Interactions of 9 users."""
    rows = [(user, f"item {(3 * user + step) % 40}", step) for user in range(9) for step in range(20)]
    pl.DataFrame(rows, schema=["customer", "item_id", "timestamp"], orient="row").write_csv(tmp_path / "table.csv")
    return tmp_path / "table.csv"


def refusal(capsys, *argv):
    capsys.readouterr()
    assert main([str(word) for word in argv]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1, message
    return message


def test_every_kind_is_drawn(folder, table, tmp_path, capsys):
    (folder / "metrics.json").write_text(json.dumps(SLICES))
    flags = {
        "attention": ["--history", HISTORY],
        "contributions": ["--history", HISTORY, "--k", "4", "--method", "integrated_gradients"],
        "item_map": ["--colour_by", "popularity"],
        "popularity": ["--dataset", table, "--user_id_column", "customer"],
        "slices": [],
    }
    assert flags.keys() == KINDS.keys() == DRAWERS.keys()
    titles = set()
    for kind, own in flags.items():
        output = tmp_path / f"{kind}.png"
        argv = ["picture", "--model", folder, "--kind", kind, "--output", output, "--device", "cpu", *own]
        assert main([str(word) for word in argv]) == 0, capsys.readouterr().err
        assert capsys.readouterr().out == f"Drew {output}.\n"
        assert 400 < imread(output).shape[1] < 1000
        assert output.stat().st_size < 150_000
        titles.add(Image.open(output).text["Title"])
    assert len(titles) == len(flags)


def test_quiet_drawing_prints_nothing(folder, tmp_path, capfd):
    capfd.readouterr()
    argv = ["picture", "--model", str(folder), "--kind", "item_map", "--output", str(tmp_path / "map.png"), "--quiet"]
    assert main(argv) == 0
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(
    ("kind", "flags", "message"),
    [
        ("atention", [], "Did you mean attention?"),
        ("attention", [], "--kind attention needs --history. Give it."),
        ("popularity", [], "--kind popularity needs --dataset. Give it."),
        ("item_map", ["--history", HISTORY], "--history has no effect on --kind item_map. Leave it out."),
        ("slices", ["--k", "3"], "--k has no effect on --kind slices. Leave it out."),
        ("attention", ["--history", HISTORY, "--method", "x"], "--method has no effect on --kind attention"),
        ("popularity", ["--dataset", "nowhere.csv"], "nowhere.csv"),
        ("item_map", ["--colour_by", "genres"], "The items have no column 'genres'"),
        ("attention", ["--history", ""], "The history holds no known item"),
        ("attention", ["--history", "x", "--unknown", "error"], "1 of 1 items in this history are not in the vocab"),
        ("contributions", ["--history", HISTORY, "--k", "16"], "--k 16 is more columns than a heat map can show"),
        ("contributions", ["--history", HISTORY, "--method", "guess"], "guess"),
        ("slices", [], "holds no accuracy by slice in its metrics.json"),
    ],
)
def test_what_cannot_be_drawn_is_refused(folder, tmp_path, capsys, kind, flags, message):
    output = tmp_path / "picture.png"
    assert message in refusal(capsys, "picture", "--model", folder, "--kind", kind, "--output", output, *flags)
    assert not output.exists()


def test_other_files_than_png_are_refused(folder, tmp_path, capsys):
    start = ["picture", "--model", folder, "--kind", "item_map", "--output"]
    assert "must end in .png" in refusal(capsys, *start, tmp_path / "map.jpg")
    (folder / "slices.png").touch()
    assert "would replace a file of the model" in refusal(capsys, *start, folder / "slices.png")
