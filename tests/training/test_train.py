"""`seqrec.train`: from a frame, or the name of a data set, to a recommender in one call."""

import json
import os

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from datasets import Dataset
from transformers.utils import logging

import seqrec
from seqrec.errors import InputError, NonFiniteError
from seqrec.interactions.synthetic import synthetic_interactions

pytestmark = pytest.mark.filterwarnings("ignore:.* targets are in their users' own histories")

TINY = {"hidden_size": 8, "num_attention_heads": 1, "num_hidden_layers": 1, "max_position_embeddings": 12}
QUICK = {**TINY, "num_train_epochs": 1, "disable_tqdm": True}
COLUMNS = {"user_id": "userId", "item_id": "movieId", "timestamp": "ts"}


@pytest.fixture(scope="module")
def log():
    """Interactions with integer item ids, by our names."""
    log = synthetic_interactions(num_users=60, num_items=40, num_tastes=2, mean_length=8)
    return log.with_columns(pl.col("item_id").cast(pl.Int64), pl.col("user_id").cast(pl.Int64))


@pytest.fixture(scope="module")
def ratings(log):
    """The same, as people have it: pandas, other names, a further column."""
    return log.rename(COLUMNS).with_columns(pl.lit(4.5).alias("stars")).to_pandas()


@pytest.fixture(scope="module")
def movies(log):
    """Titles of the items, with the id under the table's own name."""
    ids = log["item_id"].unique().sort()
    return pd.DataFrame({"movieId": ids.to_list(), "title": [f"Film {number}" for number in ids]})


@pytest.fixture(scope="module")
def trained(ratings, movies):
    """A recommender trained from frames, without a folder."""
    return seqrec.train(ratings, columns=COLUMNS, items=movies, seed=3, **QUICK)


def weights(recommender):
    return recommender.model.get_input_embeddings().weight.detach().cpu()


def test_a_frame_becomes_a_recommender_with_titles_and_metrics(trained):
    found = trained.recommend([1, 2, 3], k=10)
    assert len(found) == 10
    assert all(one.title == f"Film {one.item_id}" for one in found)
    assert 0 < trained.metrics["model"]["test"]["ndcg@10"] < 1
    assert trained.metrics["training"]["best_epoch"] == 1
    assert trained.columns == COLUMNS


def test_nothing_is_left_on_disk(ratings, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "temporary").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    seqrec.train(ratings, columns=COLUMNS, **QUICK)
    assert not list((tmp_path / "here").iterdir())
    assert not [path for path in (tmp_path / "temporary").iterdir() if path.name.startswith("seqrec-")]


def test_the_record_and_the_card_are_saved_later(trained, tmp_path):
    trained.save_pretrained(tmp_path / "films")
    assert json.loads((tmp_path / "films" / "metrics.json").read_text()) == trained.metrics
    for picture in ("training_curve.png", "slices.png", "item_map.png"):
        assert (tmp_path / "films" / picture).stat().st_size > 1000
    card = (tmp_path / "films" / "README.md").read_text()
    assert "## Results" in card
    assert "Data set:" not in card  # a frame has no name
    assert "```python\nseqrec.train(\n    interactions,\n" in card
    assert "    items=items,\n" in card
    again = seqrec.Recommender.from_pretrained(tmp_path / "films")
    assert again.metrics == trained.metrics
    assert again.columns == COLUMNS
    assert again.recommend([[1, 2], [5]], k=5) == trained.recommend([[1, 2], [5]], k=5)


def test_it_does_as_the_command_line_does(log, movies, tmp_path):
    from seqrec.cli.command_line import main

    log.write_parquet(tmp_path / "log.parquet")
    movies.to_csv(tmp_path / "movies.csv", index=False)
    flags = {"dataset": tmp_path / "log.parquet", "output_dir": tmp_path / "shell", "seed": 3, **QUICK}
    assert main(["train", *(f"--{name}={value}" for name, value in flags.items())]) == 0
    by_shell = seqrec.Recommender.from_pretrained(tmp_path / "shell")
    by_python = seqrec.train(log, output_dir=tmp_path / "python", seed=3, **QUICK)
    assert weights(by_python).equal(weights(by_shell))
    assert by_python.metrics["model"] == by_shell.metrics["model"]
    told = {name: value for name, value in by_shell.metrics["protocol"].items() if name != "dataset"}
    assert by_python.metrics["protocol"] == told
    assert sorted(os.listdir(tmp_path / "python")) == sorted(os.listdir(tmp_path / "shell"))
    with pytest.raises(InputError, match=r"python already holds a model. Choose another"):
        seqrec.train(log, output_dir=tmp_path / "python", **QUICK)
    assert seqrec.train(log, output_dir=tmp_path / "python", overwrite=True, seed=4, **QUICK).metrics


def pandas_with_an_index(frame):
    return frame.to_pandas().set_index("user_id")


def pandas_of_odd_types(frame):
    return frame.to_pandas().astype({"item_id": "category", "user_id": "Int64"}).sample(frac=1, random_state=0)


@pytest.mark.parametrize(
    "convert",
    [
        pl.DataFrame.to_pandas,
        pandas_with_an_index,
        lambda frame: frame.to_pandas().astype({"item_id": "str"}),
        lambda frame: frame.to_pandas().astype({"item_id": "string[pyarrow]"}),
        pandas_of_odd_types,
        pl.DataFrame.lazy,
        pl.DataFrame.to_arrow,
        lambda frame: Dataset.from_polars(frame),
        lambda frame: pa.RecordBatchReader.from_batches(frame.to_arrow().schema, frame.to_arrow().to_batches()),
    ],
)
def test_any_library_s_frame(convert, log, trained):
    frame = convert(log.sort("timestamp"))
    found = seqrec.train(frame, seed=3, **QUICK)
    assert found.columns == {}
    assert found.metrics["model"] == trained.metrics["model"]


def test_every_architecture(model_type, ratings):
    found = seqrec.train(ratings, columns=COLUMNS, model_type=model_type, **QUICK)
    assert found.model.config.model_type == model_type
    assert f"model_type='{model_type}'" in found.metrics["training"]["command"]


def test_settings_reach_their_places(ratings):
    found = seqrec.train(
        ratings,
        columns=COLUMNS,
        model_type="bert4rec",
        split_method="temporal",
        test_fraction=0.2,
        masking_probability=0.4,
        exclude_seen=False,
        learning_rate=pl.Series([0.01]).to_numpy()[0],  # a number of NumPy
        **QUICK,
    )
    assert found.model.config.masking_probability == 0.4
    assert found.metrics["protocol"]["test_fraction"] == 0.2
    assert found.metrics["protocol"]["exclude_seen"] is False
    assert found.metrics["training"]["arguments"]["learning_rate"] == 0.01


def test_fine_tuning_remembers_the_columns(trained, ratings, tmp_path):
    trained.save_pretrained(tmp_path / "first")
    later = ratings[ratings["userId"] % 2 == 0]
    tuned = seqrec.train(later, model_name_or_path=tmp_path / "first", num_train_epochs=1, disable_tqdm=True)
    assert tuned.model.config.hidden_size == 8
    assert tuned.columns == COLUMNS
    assert tuned.recommend(["1"], k=1)[0].title.startswith("Film")  # kept from the model
    assert not weights(tuned).equal(weights(trained))
    named = later.rename(columns={"movieId": "item_id"})
    assert seqrec.train(
        named, model_name_or_path=tmp_path / "first", num_train_epochs=1, disable_tqdm=True
    ).columns == {"user_id": "userId", "timestamp": "ts"}
    with pytest.raises(InputError, match=r"no column 'ts' \(as in training\) or 'timestamp'"):
        seqrec.train(later.drop(columns="ts"), model_name_or_path=tmp_path / "first", disable_tqdm=True)
    with pytest.raises(InputError, match=r"model_type='bert4rec' was given, but .* is a sasrec"):
        seqrec.train(later, model_type="bert4rec", model_name_or_path=tmp_path / "first")


def test_a_prepared_folder_remembers_the_columns(ratings, movies, tmp_path):
    arguments = seqrec.DataArguments(user_id_column="userId", item_id_column="movieId", timestamp_column="ts")
    seqrec.prepare(arguments, interactions=ratings, items=movies).save(tmp_path / "set")
    found = seqrec.train(tmp_path / "set", **QUICK)
    assert found.columns == COLUMNS
    assert "dataset" not in found.metrics["protocol"]
    assert "from the interactions" not in (tmp_path / "set" / "README.md").read_text()
    with pytest.raises(InputError, match=r"is a prepared set, which has its own items. Leave items out"):
        seqrec.train(tmp_path / "set", items=movies, **QUICK)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"columns": None},
            r"no column 'user_id' and 'item_id' and 'timestamp'. It has: userId, movieId",
        ),
        ({"columns": {**COLUMNS, "user_id": "who"}}, r"no column 'who' \(for user_id\). It has: userId.* `columns`"),
        (
            {"columns": {"user": "userId"}},
            r"`columns` maps 'user' to 'userId'. Map user_id, item_id, timestamp",
        ),
        ({"columns": "userId"}, r"`columns` is a str. Map user_id, item_id, timestamp"),
        ({"user_id_column": "userId"}, r"`columns` maps user_id, which user_id_column names too. Leave one out"),
        ({"learning_rat": 1}, r"There is no setting 'learning_rat'. Did you mean 'learning_rate'\?"),
        ({"hiden_size": 1}, r"There is no setting 'hiden_size'. Did you mean 'hidden_size'\?"),
        ({"qqqq": 1}, r"There is no setting 'qqqq'. `seqrec train --help_all` lists them"),
        ({"vocab_size": 9}, r"There is no setting 'vocab_size'."),
        ({"dataset": "x.csv"}, r"There is no setting 'dataset': it is the argument `interactions`"),
        ({"masking_probability": 0.2}, r"'masking_probability' is a setting of bert4rec, not of sasrec"),
        ({"num_train_epochs": "five"}, r"num_train_epochs='five' is not a number"),
        ({"seed": 1.5}, r"seed=1.5 is not a whole number"),
        ({"packing": "yes"}, r"packing='yes' is not True or False"),
        ({"validation_users": True}, r"validation_users=True is not a whole number or None"),
        ({"duplicates": "some"}, r"duplicates='some' is not one of: keep, first, last"),
        ({"hidden_size": "large"}, r"hidden_size"),
        ({"learning_rate": -1.0}, r"learning_rate=-1.0 must be above 0"),
        ({"model_type": "sasrecc"}, r"There is no model_type 'sasrecc'. Choose one of: bert4rec"),
        ({"model_revision": "v1"}, r"model_revision='v1' has no effect without a model to start from"),
        ({"resume_from_checkpoint": True}, r"resume_from_checkpoint needs the folder .* Give output_dir"),
        ({"push_to_hub": True}, r"push_to_hub needs a folder. Give output_dir, or push the recommender"),
        ({"streaming": True}, r"streaming=True has no effect on a frame"),
        ({"device": "gpu"}, r"device='gpu' is not the name of a device"),
        ({"device": "cpu", "use_cpu": False}, r"use_cpu=False contradicts device='cpu'. Leave out use_cpu"),
        ({"context_columns": ["mood"]}, r"mood"),
        ({"eval_strategy": "epok"}, r"^eval_strategy='epok' is unknown. Did you mean 'epoch'\?$"),
        ({"save_strategy": "x"}, r"^save_strategy='x' is unknown. Choose one of: no, steps, epoch, best\.$"),
        ({"optim": "adamw_torc"}, r"^optim='adamw_torc' is unknown. Did you mean 'adamw_torch'\?$"),
        ({"items": 5}, r"This int is not a table"),
    ],
)
def test_mistakes_are_one_line(changes, message, ratings):
    with pytest.raises(InputError, match=message) as caught:
        seqrec.train(ratings, **{"columns": COLUMNS, **QUICK, **changes})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("interactions", [None, {"user_id": [1]}, 5])
def test_what_is_no_frame(interactions):
    with pytest.raises(InputError, match=r"No interactions were given|is not a table"):
        seqrec.train(interactions)


def test_files_and_where_to_train(log, movies, tmp_path, trained):
    log.write_parquet(tmp_path / "log.parquet")
    movies.rename(columns={"movieId": "item_id"}).to_csv(tmp_path / "movies.csv", index=False)
    found = seqrec.train(tmp_path / "log.parquet", items=str(tmp_path / "movies.csv"), device="cpu", seed=3, **QUICK)
    assert found.recommend([[1], [2, 3]], k=10) == trained.recommend([[1], [2, 3]], k=10)
    assert found.model.device.type == "cpu"
    told = found.metrics["training"]["command"]
    assert told.startswith("seqrec.train(\n    'log.parquet',\n    items='movies.csv',\n")


def test_it_shows_its_progress_on_standard_error_unless_quiet(ratings, capfd):
    seqrec.train(ratings, columns=COLUMNS, **QUICK)
    shown = capfd.readouterr()
    assert "60 users, 40 items" in shown.err
    assert shown.out == ""
    seqrec.train(ratings, columns=COLUMNS, quiet=True, **QUICK)
    assert capfd.readouterr() == ("", "")


def test_a_training_that_diverges_names_no_checkpoint_that_is_gone(ratings):
    with pytest.raises(NonFiniteError, match=r"\. Give output_dir to keep the last good checkpoint\.$") as caught:
        seqrec.train(ratings, columns=COLUMNS, learning_rate=1e30, max_grad_norm=0.0, **QUICK)
    assert "seqrec-" not in str(caught.value)


def test_several_processes_need_a_folder(ratings, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match=r"need a folder that they share. Give output_dir"):
        seqrec.train(ratings, columns=COLUMNS, **QUICK)


def test_the_bars_of_loading_come_back(ratings):
    logging.enable_progress_bar()
    with pytest.raises(InputError):
        seqrec.train(ratings)
    assert logging.is_progress_bar_enabled()
