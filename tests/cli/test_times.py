"""Models that read times, on the command line from end to end."""

import json
import shlex

import polars as pl
import pytest

from seqrec import Recommender
from seqrec.cli.command_line import main
from seqrec.interactions.synthetic import synthetic_interactions

TINY = ["--hidden_size", "16", "--intermediate_size", "32", "--max_position_embeddings", "20", "--disable_tqdm", "true"]
TIMED = ["--time_encoding", "relative", "--num_train_epochs", "1"]


@pytest.fixture(scope="module", params=["last_event", "target"])
def request_time(request):
    return request.param


@pytest.fixture(scope="module")
def trained(tmp_path_factory, request_time):
    """A trained model's folder; its summary, which recommends for users of the test set, was printed."""
    folder = tmp_path_factory.mktemp("runs") / "model"
    flags = [*TINY, *TIMED, "--request_time", request_time]
    assert main(["train", "--dataset", "synthetic", "--output_dir", str(folder), *flags]) == 0
    return folder


def test_the_command_of_the_summary_works(tmp_path, request_time, capsys):
    folder = tmp_path / "model"
    flags = [*TINY, *TIMED, "--request_time", request_time]
    assert main(["train", "--dataset", "synthetic", "--output_dir", str(folder), *flags]) == 0
    printed = capsys.readouterr().out
    command = shlex.split(printed[printed.index("seqrec recommend") :].replace("\\\n", " "))
    assert ("--at" in command) == (request_time == "target")
    assert main(command[1:]) == 0
    assert "rank" in capsys.readouterr().out


def test_evaluation_repeats_the_figures_of_training(trained, request_time, capsys):
    assert main(["evaluate", "--model", str(trained), "--dataset", "synthetic", "--split", "test", "--json"]) == 0
    measured = json.loads((trained / "metrics.json").read_text())["model"]["test"]
    assert json.loads(capsys.readouterr().out)["model"]["test"]["ndcg@10"] == measured["ndcg@10"]


def test_times_are_given_by_flags(trained, request_time, capsys):
    recommender = Recommender.from_pretrained(trained, device="cpu")
    history, times = recommender.item_ids[:2], ["2024-05-31T12:00", "2024-06-01"]
    at = "2024-06-02T10:00" if request_time == "target" else None
    command = ["recommend", "--model", str(trained), "--history", ",".join(history), "--device", "cpu", "--json"]
    asked = [] if at is None else ["--at", at]
    assert main([*command, "--timestamps", ",".join(times), *asked]) == 0
    found = json.loads(capsys.readouterr().out)
    expected = recommender.recommend(history, timestamps=times, at=at)
    assert [one["item_id"] for one in found] == [one.item_id for one in expected]
    assert main([*command, "--timestamps", "1717156800,1717200000", *(asked and ["--at", "1717322400"])]) == 0
    assert json.loads(capsys.readouterr().out) == found

    for flags, message in (
        ([], "no times were given. Pass --timestamps, one for each item"),
        (["--timestamps", "2024-05-31"], "--timestamps has 1 values for a history of 2 items"),
        (["--timestamps", "0,1"], "--timestamps holds no times: they are numbers from 0 to 1"),
        *(
            [(["--timestamps", ",".join(times), "--at", "2024-05-31"], "--at is before the last event")]
            if at
            else [(["--timestamps", ",".join(times), "--at", "now"], "--at now has no effect: the model is not told")]
        ),
    ):
        assert main([*command, *flags]) == 2
        assert message in capsys.readouterr().err


def test_times_of_a_file_are_in_its_column(trained, request_time, tmp_path, capsys):
    table = synthetic_interactions().head(60)
    table.write_csv(tmp_path / "log.csv")
    output = tmp_path / "out.parquet"
    command = ["recommend", "--model", str(trained), "--input", str(tmp_path / "log.csv"), "--output", str(output)]
    at = int(table["timestamp"].max()) + 3600 if request_time == "target" else None
    assert main([*command, *([] if at is None else ["--at", str(at)])]) == 0
    expected = Recommender.from_pretrained(trained).recommend_frame(table, at=at)
    assert pl.read_parquet(output)["item_id"].equals(expected["item_id"])
    assert main([*command, "--timestamps", "2024-05-31"]) == 2
    assert "--timestamps goes with --history" in capsys.readouterr().err


def test_data_without_times_are_refused(tmp_path, capsys):
    path = tmp_path / "log.csv"
    synthetic_interactions().with_columns(timestamp=pl.int_range(pl.len())).write_csv(path)
    assert main(["train", "--dataset", str(path), "--output_dir", str(tmp_path / "model"), *TINY, *TIMED]) == 2
    assert "are no times: they are numbers from 0 to" in capsys.readouterr().err
