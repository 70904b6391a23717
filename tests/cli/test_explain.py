"""`seqrec recommend --explain` and `seqrec evaluate --faithfulness`."""

import json

import pytest

from seqrec import Recommender
from seqrec.cli.command_line import main
from seqrec.interactions.synthetic import synthetic_interactions


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A model, and the table that it was trained on."""
    folder = tmp_path_factory.mktemp("runs")
    synthetic_interactions(num_users=60, num_items=60).write_csv(folder / "log.csv")
    tiny = ["--hidden_size", "16", "--intermediate_size", "32", "--max_position_embeddings", "20"]
    flags = ["--dataset", str(folder / "log.csv"), "--output_dir", str(folder / "model"), "--num_train_epochs", "2"]
    assert main(["train", *flags, *tiny, "--disable_tqdm", "true"]) == 0
    return folder


def run(capsys, *flags):
    capsys.readouterr()
    status = main([*map(str, flags)])
    out, err = capsys.readouterr()
    return status, out, err


@pytest.fixture
def asked(trained):
    history = Recommender.from_pretrained(trained / "model", device="cpu").item_ids[:4]
    return history, ["recommend", "--model", trained / "model", "--history", ",".join(history), "--k", "3"]


@pytest.mark.parametrize("method", [None, "integrated_gradients", "attention_rollout"])
def test_reasons_are_those_of_the_recommender(trained, asked, capsys, method):
    history, command = asked
    recommender = Recommender.from_pretrained(trained / "model", device="cpu")
    flags = ["--explain", *([method] if method else [])]
    status, out, _ = run(capsys, *command, "--json", *flags)
    assert status == 0
    for one in json.loads(out):
        expected = recommender.explain(history, one["item_id"], method=method or "leave_one_out").to_dicts()
        assert [reason["item_id"] for reason in one["reasons"]] == [reason["item_id"] for reason in expected]
        told = [reason["contribution"] for reason in one["reasons"]]
        assert told == pytest.approx([reason["contribution"] for reason in expected], abs=1e-5)


def test_the_table_shows_the_most_important_past_items(trained, asked, capsys):
    history, command = asked
    recommender = Recommender.from_pretrained(trained / "model", device="cpu")
    _, plain, _ = run(capsys, *command)
    status, out, _ = run(capsys, *command, "--explain")
    assert status == 0
    lines = out.rstrip("\n").split("\n")
    reasons = [line for line in lines if line.startswith("      because of ")]
    assert [line for line in lines if line not in reasons] == plain.rstrip("\n").split("\n")
    listed = recommender.recommend(history, 3)
    expected = []
    for one in listed:
        found = recommender.explain(history, one.item_id).head(3).to_dicts()
        positive = [row for row in found if row["contribution"] > 0]
        shown = [f"{row['title'] or row['item_id']} ({row['contribution']:+.3f})" for row in positive]
        expected.append("      because of " + "; ".join(shown))
    assert reasons == [line for line in expected if not line.endswith("of ")]
    assert reasons


@pytest.mark.filterwarnings("ignore:1 of 1 items", "ignore:1 of 1 histories")
def test_a_list_by_popularity_has_no_reasons(trained, capsys):
    status, out, _ = run(capsys, "recommend", "--model", trained / "model", "--history", "x9", "--explain")
    assert status == 0
    assert "because of" not in out
    assert len(out.splitlines()) == 11


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--history", "1", "--explain", "shap"], "--explain"),
        (["--input", "log.csv", "--output", "out.csv", "--explain"], "--explain goes with --history"),
    ],
)
def test_wrong_flags_of_recommend(trained, capsys, flags, message):
    status, _, err = run(capsys, "recommend", "--model", trained / "model", *flags)
    assert status == 2
    assert message in err
    assert err.count("\n") == 1


def test_faithfulness_is_printed_and_written(trained, tmp_path, capsys):
    command = ["evaluate", "--model", trained / "model", "--dataset", trained / "log.csv", "--users", "8"]
    path = tmp_path / "faithfulness.json"
    status, out, _ = run(capsys, *command, "--faithfulness", path)
    assert status == 0
    found = json.loads(path.read_text())
    methods = ["leave_one_out", "integrated_gradients", "attention_rollout", "last_attention", "random"]
    assert list(found["methods"]) == methods
    assert found["num_users"] == 8
    assert [line.split()[0] for line in out.partition("drop_ratio")[2].split("\n")[1:6]] == methods
    status, out, _ = run(capsys, *command, "--json", "--faithfulness")
    assert status == 0
    assert json.loads(out)["faithfulness"] == found


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--users", "8"], "--users has no effect without --faithfulness"),
        (["--faithfulness", "table.csv"], "--faithfulness 'table.csv' must end in .json"),
        (["--faithfulness", "no/such.json"], "is in a folder that does not exist"),
        (["--faithfulness", "--users", "0"], "--users"),
    ],
)
def test_wrong_flags_of_evaluate(trained, capsys, flags, message):
    status, _, err = run(capsys, "evaluate", "--model", trained / "model", "--dataset", trained / "log.csv", *flags)
    assert status == 2
    assert message in err
    assert err.count("\n") == 1
