"""The command line from end to end, on made-up data."""

import json
import re
import shlex
import shutil
import warnings
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from seqrec import Recommender, SasRecConfig, SasRecForNextItem, SasRecModel
from seqrec.cli.command_line import main
from seqrec.cli.parsers import split_ids
from seqrec.hub.remote_code import flatten_modules
from seqrec.interactions.data_arguments import DataArguments
from seqrec.interactions.preparation import prepare
from seqrec.interactions.synthetic import synthetic_interactions

TINY = [
    "--hidden_size",
    "16",
    "--intermediate_size",
    "32",
    "--max_position_embeddings",
    "20",
    "--disable_tqdm",
    "true",
]


def train(folder, *flags):
    return main(["train", "--dataset", "synthetic", "--output_dir", str(folder), *TINY, *flags])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A trained model's folder."""
    folder = tmp_path_factory.mktemp("runs") / "model"
    assert train(folder, "--num_train_epochs", "3", "--learning_rate", "0.01") == 0
    return folder


def evaluate(folder, capsys, *flags):
    capsys.readouterr()
    assert main(["evaluate", "--model", str(folder), "--dataset", "synthetic", *flags]) == 0
    return capsys.readouterr().out


def test_train_leaves_everything_a_model_needs(trained):
    names = {path.name for path in trained.iterdir() if path.is_file()}
    assert names == {
        *("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "items.parquet", "items.json"),
        *("metrics.json", "training_curve.png", "slices.png", "item_map.png", "README.md"),
        *flatten_modules(class_.__module__ for class_ in (SasRecConfig, SasRecModel, SasRecForNextItem)),
    }


def test_the_model_beats_popularity(trained):
    metrics = json.loads((trained / "metrics.json").read_text())
    assert metrics["model"]["test"]["ndcg@10"] > 1.5 * metrics["popularity"]["test"]["ndcg@10"]
    assert metrics["protocol"]["dataset"] == "synthetic"
    assert metrics["protocol"]["split_method"] == "leave_one_out"
    assert metrics["training"]["arguments"]["learning_rate"] == 0.01
    assert metrics["training"]["estimated_energy"]["kwh"] > 0
    assert metrics["training"]["resumed"] is False


@pytest.mark.parametrize("split", ["validation", "test"])
def test_evaluate_repeats_training_s_figures_to_the_last_digit(trained, capsys, split):
    metrics = json.loads((trained / "metrics.json").read_text())
    found = json.loads(evaluate(trained, capsys, "--split", split, "--json"))
    for encoder in ("model", "popularity", "recent_popularity", "item_knn"):
        assert found[encoder] == {split: metrics[encoder][split]}
    assert found["protocol"] == metrics["protocol"]


def test_evaluate_splits_as_training_did_and_says_if_it_cannot(tmp_path, capsys):
    folder = tmp_path / "model"
    flags = ["--split_method", "temporal", "--test_fraction", "0.2", "--min_item_interactions", "5"]
    assert train(folder, "--num_train_epochs", "1", "--exclude_seen", "false", *flags) == 0
    metrics = json.loads((folder / "metrics.json").read_text())
    found = json.loads(evaluate(folder, capsys, "--json"))
    assert found["model"]["test"] == metrics["model"]["test"]
    assert found["protocol"] == metrics["protocol"]
    with pytest.warns(UserWarning, match="differ from those in training"):
        evaluate(folder, capsys, "--test_fraction", "0.3")
    with pytest.warns(UserWarning, match="differ from those in training"):
        found = json.loads(evaluate(folder, capsys, "--split_method", "leave_one_out", "--json"))
    assert found["protocol"]["split_method"] == "leave_one_out"


def test_recommend_hits_as_often_as_hr_says(trained):
    metrics = json.loads((trained / "metrics.json").read_text())
    data = prepare(DataArguments(dataset="synthetic"))
    recommender = Recommender.from_pretrained(trained)
    rows = data.sequences["test"]
    histories = [recommender.tokenizer.decode_item_ids(ids) for ids in rows["input_ids"]]
    targets = recommender.tokenizer.decode_item_ids(rows["target"])
    found = recommender.recommend(histories, k=10)
    hits = [target in [one.item_id for one in top] for target, top in zip(targets, found, strict=True)]
    assert np.mean(hits) == metrics["model"]["test"]["hr@10"]


def test_summary_shows_metrics_examples_and_where_it_lies(tmp_path, capsys):
    assert train(tmp_path / "model", "--num_train_epochs", "1") == 0
    printed = capsys.readouterr().out
    assert re.search(r"^model\s+test\s+0\.\d{4}", printed, re.MULTILINE)
    assert re.search(r"^popularity\s+validation\s+0\.\d{4}", printed, re.MULTILINE)
    assert re.search(r"^recent \(7 days\)\s+test\s+0\.\d{4}", printed, re.MULTILINE)
    assert re.search(r"^item-kNN\s+test\s+0\.\d{4}", printed, re.MULTILINE)
    assert printed.count("rank  item_id") == 3
    assert "(taste" in printed
    assert f"Saved to {tmp_path / 'model'}" in printed


def test_quiet_training_prints_nothing(tmp_path, capfd):
    capfd.readouterr()
    assert train(tmp_path / "model", "--num_train_epochs", "1", "--quiet") == 0
    assert capfd.readouterr() == ("", "")
    assert (tmp_path / "model" / "metrics.json").is_file()


def test_recommend_prints_a_table_or_json(trained, capsys):
    item_ids = pl.read_parquet(trained / "items.parquet")["item_id"].head(3).to_list()
    arguments = ["recommend", "--model", str(trained), "--history", ",".join(item_ids), "--k", "4"]
    assert main(arguments) == 0
    assert len(capsys.readouterr().out.splitlines()) == 5
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [sorted(one) for one in found] == [["item_id", "score", "title"]] * 4
    assert main([*arguments, "--json", "--deny", found[0]["item_id"]]) == 0
    assert json.loads(capsys.readouterr().out)[0] == found[1]


def test_new_items_are_added(trained, tmp_path, capsys):
    old = Recommender.from_pretrained(trained)
    first, second = old.item_ids[:2]
    (tmp_path / "new.csv").write_text(f"item_id,title,similar_to\nx,Xaver,{first}|{second}\n007,,{first}\n")
    folder = tmp_path / "grown"
    arguments = ["add-items", "--model", str(trained), "--items", str(tmp_path / "new.csv")]
    assert main([*arguments, "--output_dir", str(folder)]) == 0
    told = f"Added 2 items to the {len(old.items):,} of the model, and saved it to {folder}.\n"
    assert capsys.readouterr() == (told, "")
    grown = Recommender.from_pretrained(folder)
    assert grown.item_ids == [*old.item_ids, "x", "007"]
    before = old.recommend([second, first], k=len(old.items), exclude_seen=False)
    after = grown.recommend([second, first], k=len(grown.items), exclude_seen=False)
    assert [one for one in after if one.item_id not in ("x", "007")] == before
    assert grown.metrics["model"] == old.metrics["model"]
    assert grown.metrics["items_added"] == 2
    assert {path.name for path in folder.iterdir()} == {path.name for path in trained.iterdir() if path.is_file()}
    assert main(["recommend", "--model", str(folder), "--history", "007", "--allow", "x"]) == 0
    assert "Xaver" in capsys.readouterr().out
    assert evaluate(folder, capsys, "--json")


def test_items_are_hidden_and_shown(trained, tmp_path, capsys):
    old = Recommender.from_pretrained(trained)
    request = ["--history", old.item_ids[0], "--json"]
    best = [one.item_id for one in old.recommend(old.item_ids[:1], k=3)]
    pl.DataFrame({"item_id": best[:2]}).write_csv(tmp_path / "sold_out.csv")
    hidden, shown = tmp_path / "hidden", tmp_path / "shown"
    hide = ["hide-items", "--model", str(trained), "--items", str(tmp_path / "sold_out.csv")]
    assert main([*hide, "--output_dir", str(hidden)]) == 0
    told = f"2 of the {len(old.items):,} items are now hidden. Saved the model to {hidden}.\n"
    assert capsys.readouterr() == (told, "")
    assert main(["recommend", "--model", str(hidden), *request]) == 0
    assert json.loads(capsys.readouterr().out)[0]["item_id"] == best[2]
    show = ["show-items", "--model", str(hidden), "--items", best[0], "--output_dir", str(shown)]
    assert main([*show, "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")
    assert main(["recommend", "--model", str(shown), *request]) == 0
    assert [one["item_id"] for one in json.loads(capsys.readouterr().out)][:2] == [best[0], best[2]]
    assert (shown / "model.safetensors").read_bytes() == (trained / "model.safetensors").read_bytes()


def test_training_on_item_features_and_adding_items_by_them(tmp_path, capsys):
    taken = synthetic_interactions()["item_id"].unique().sort().cast(pl.String).to_list()
    colours = [("red", "green", "red|blue")[row % 3] for row in range(len(taken))]
    pl.DataFrame({"item_id": taken, "colour": colours, "size": range(len(taken))}).write_csv(tmp_path / "items.csv")
    table = ["--dataset", str(tmp_path / "log.csv"), "--items", str(tmp_path / "items.csv")]
    synthetic_interactions().write_csv(tmp_path / "log.csv")
    flags = ["--item_features", "colour,size", "--num_train_epochs", "1"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a table without titles
        assert main(["train", *table, *flags, *TINY, "--output_dir", str(tmp_path / "model")]) == 0
    (tmp_path / "new.csv").write_text("item_id,colour,size\nx,blue,3\ny,,5\n")
    new = ["--model", str(tmp_path / "model"), "--items", str(tmp_path / "new.csv")]
    assert main(["add-items", *new, "--output_dir", str(tmp_path / "grown")]) == 0
    history = ["--history", ",".join(taken[:3]), "--allow", "x,y"]
    capsys.readouterr()
    assert main(["recommend", "--model", str(tmp_path / "grown"), *history, "--json"]) == 0
    assert {one["item_id"] for one in json.loads(capsys.readouterr().out)} == {"x", "y"}
    assert main(["add-items", *new, "--output_dir", str(tmp_path / "grown")]) == 2
    assert "already exists and is not empty" in capsys.readouterr().err
    (tmp_path / "new.csv").write_text("item_id,color,size\nz,blue,3\n")
    assert main(["add-items", *new, "--output_dir", str(tmp_path / "other")]) == 2
    assert capsys.readouterr().err.startswith(
        "seqrec add-items: The items have no column colour, which the model reads"
    )
    assert not (tmp_path / "other").exists()


def test_items_that_cannot_be_added_leave_no_folder(trained, tmp_path, capsys):
    (tmp_path / "new.csv").write_text("item_id,similar_to\nx,nothing\n")
    arguments = ["add-items", "--model", str(trained), "--items", str(tmp_path / "new.csv")]
    assert main([*arguments, "--output_dir", str(tmp_path / "grown")]) == 2
    told = capsys.readouterr().err
    assert told.startswith("seqrec add-items: 1 of 1 ids in similar_to are of no known item (first: 'nothing', of item")
    assert told.count("\n") == 1
    assert not (tmp_path / "grown").exists()


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
def test_recommend_for_a_file(trained, tmp_path, suffix, capsys):
    synthetic_interactions().head(60).write_csv(tmp_path / "log.csv")
    output = tmp_path / f"out{suffix}"
    arguments = [
        "recommend",
        "--model",
        str(trained),
        "--input",
        str(tmp_path / "log.csv"),
        "--output",
        str(output),
    ]
    assert main(arguments) == 0
    reader = {".csv": pl.read_csv, ".parquet": pl.read_parquet, ".jsonl": pl.read_ndjson}[suffix]
    num_users = synthetic_interactions().head(60)["user_id"].n_unique()
    assert reader(output).height == 10 * num_users
    assert f"{10 * num_users} recommendations for {num_users} users" in capsys.readouterr().out


COLUMNS = ["--user_id_column", "customer", "--item_id_column", "sku", "--timestamp_column", "bought at"]


@pytest.mark.parametrize("name", ["shop", "a [b", "[1]", "what?", "*", "50%", "d'or"])
def test_a_table_with_its_own_columns_in_a_folder_of_any_name(tmp_path, name, capsys):
    folder = tmp_path / name
    folder.mkdir()
    table = synthetic_interactions().head(300)
    table = table.rename({"user_id": "customer", "item_id": "sku", "timestamp": "bought at"})
    table.write_parquet(folder / "log.parquet")
    where = ["--dataset", str(folder / "log.parquet"), *COLUMNS]
    output = ["--output_dir", str(folder / "model")]
    assert main(["train", *where, *output, *TINY, "--num_train_epochs", "1", "--device", "cpu"]) == 0
    assert shlex.quote(str(folder / "model")) in capsys.readouterr().out.splitlines()[-1]
    model = ["--model", str(folder / "model"), "--device", "cpu"]
    assert main(["evaluate", *model, *where]) == 0
    source = ["--input", str(folder / "log.parquet"), "--output", str(folder / "out.csv")]
    assert main(["recommend", *model, *source, *COLUMNS]) == 0
    assert (folder / "out.csv").is_file()


def test_columns_are_said_once(tmp_path, capsys):
    ours = synthetic_interactions().head(300)
    theirs = ours.rename({"user_id": "customer", "item_id": "sku", "timestamp": "bought at"})
    theirs.write_csv(tmp_path / "theirs.csv")
    ours.write_csv(tmp_path / "ours.csv")
    theirs.rename({"sku": "article"}).write_csv(tmp_path / "others.csv")
    model = str(tmp_path / "model")
    train = ["--dataset", str(tmp_path / "theirs.csv"), "--output_dir", model, *TINY, "--num_train_epochs", "1"]
    assert main(["train", *train, *COLUMNS]) == 0
    outputs, figures = [], []
    for file in ("theirs", "ours", "others"):
        article = ["--item_id_column", "article"] if file == "others" else []
        source, output = str(tmp_path / f"{file}.csv"), tmp_path / f"for {file}.csv"
        assert main(["recommend", "--model", model, "--input", source, "--output", str(output), *article]) == 0
        outputs.append(output.read_bytes())
        capsys.readouterr()
        assert main(["evaluate", "--model", model, "--dataset", source, "--json", *article]) == 0
        figures.append(json.loads(capsys.readouterr().out)["model"])
    assert outputs[0] == outputs[1] == outputs[2]
    assert figures[0] == figures[1] == figures[2]
    assert main(["evaluate", "--model", model, "--dataset", str(tmp_path / "others.csv")]) == 2
    assert "no column 'sku' (as in training) or 'item_id'" in capsys.readouterr().err


@pytest.mark.parametrize(("num_users", "num_items"), [(2, 3), (2, 40), (3, 4), (9, 3)])
def test_few_users_and_few_items_come_to_an_end(tmp_path, num_users, num_items, capsys):
    rows = [(f"u{user}", f"i{(user + step) % num_items}", step) for user in range(num_users) for step in range(5)]
    pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row").write_csv(tmp_path / "few.csv")
    output = ["--output_dir", str(tmp_path / "model"), "--num_train_epochs", "1"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about so few
        assert main(["train", "--dataset", str(tmp_path / "few.csv"), *output, *TINY]) == 0
    assert main(["recommend", "--model", str(tmp_path / "model"), "--history", "i0"]) == 0  # fewer than the usual 10
    printed = capsys.readouterr().out
    assert printed.count("User ") == min(3, num_users)
    assert ("no item is left" in printed) == (num_items <= 4)


def test_titles_and_ids_command_no_terminal(tmp_path, capsys):
    names = [f"i{number}\x1b[2J" for number in range(4)]  # no font has the first letter of the ending
    rows = [(f"u\x9b{user}", names[(user + step) % 4], step) for user in range(5) for step in range(3)]
    pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row").write_parquet(tmp_path / "t.parquet")
    output = ["--output_dir", str(tmp_path / "model"), "--num_train_epochs", "1"]
    with pytest.warns(UserWarning, match="letters that no installed font can draw"):
        assert main(["train", "--dataset", str(tmp_path / "t.parquet"), *output, *TINY]) == 0
    with pytest.warns(UserWarning, match="not in the vocabulary"):
        assert main(["recommend", "--model", str(tmp_path / "model"), "--history", f"{names[0]},\x1b[31mx"]) == 0
    assert main(["recommend", "--model", "\x1b[31m", "--history", "x"]) == 2
    printed = capsys.readouterr()
    assert all(line.isprintable() for line in (printed.out + printed.err).split("\n"))


def test_a_yaml_file_sets_flags_and_the_command_line_wins(tmp_path, capsys):
    config = tmp_path / "recipe.yaml"
    config.write_text("num_train_epochs: 1\nhidden_dropout: 0.3\nlearning_rate: 0.5\nduplicates: last\n")
    assert train(tmp_path / "model", "--config", str(config), "--learning_rate", "0.002") == 0
    metrics = json.loads((tmp_path / "model" / "metrics.json").read_text())
    assert metrics["training"]["arguments"]["learning_rate"] == 0.002
    assert metrics["protocol"]["duplicates"] == "last"
    assert json.loads((tmp_path / "model" / "config.json").read_text())["hidden_dropout"] == 0.3


def test_refuses_to_write_over_a_model(trained, tmp_path, capsys):
    folder = tmp_path / "model"
    shutil.copytree(trained, folder)
    before = (folder / "model.safetensors").read_bytes()
    assert train(folder, "--num_train_epochs", "1") == 2
    told = capsys.readouterr().err
    assert "already holds a model. Choose another --output_dir, or replace the old files with --overwrite.\n" in told
    assert (folder / "model.safetensors").read_bytes() == before
    assert train(folder, "--num_train_epochs", "1", "--overwrite") == 0
    assert (folder / "model.safetensors").read_bytes() != before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["dance"], "there is no command 'dance'"),
        (["train"], "No interactions were named. Pass --dataset"),
        (["train", "--dataset", "nowhere.csv"], "nowhere.csv"),
        (["recommend", "--model", "nowhere", "--history", "1"], "'nowhere' is not a folder here"),
        (["recommend", "--model", "nowhere"], "either --history or --input"),
        (["recommend", "--model", "nowhere", "--input", "a.csv"], "--input and --output go together"),
        (["train", "--config", "nowhere.yaml"], "cannot be read"),
    ],
)
def test_mistakes_are_told_without_a_traceback(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert "Traceback" not in printed


def test_help_tells_the_common_flags_and_hides_the_rare(capsys):
    assert main([]) == 0
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    short = capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["train", "--help_all"])
    full = capsys.readouterr().out
    assert "--hidden_size" in short
    assert "Transformer blocks." in short
    assert "--neftune_noise_alpha" not in short
    assert "--neftune_noise_alpha" in full


def test_ids_are_split_at_commas():
    assert split_ids('50, 181,"a, b",c d') == ["50", "181", "a, b", "c d"]


def test_an_access_token_is_not_saved(tmp_path):
    folder = tmp_path / "model"
    assert train(folder, "--num_train_epochs", "1", "--hub_token", "hf_secret") == 0
    for path in folder.iterdir():
        if path.is_file():
            assert b"hf_secret" not in path.read_bytes(), path.name


def test_paths_of_the_machine_are_not_saved(trained):
    for path in trained.iterdir():
        if path.is_file() and path.suffix != ".png":
            assert str(Path(trained).parent).encode() not in path.read_bytes(), path.name
