"""Settings left alone are chosen for the data, told, recorded, and used; given ones and models made by hand are not."""

import json

import numpy as np
import polars as pl
import pytest
import yaml

import seqrec
from seqrec.cli.command_line import main
from seqrec.hub.model_card import save_model_card
from seqrec.interactions.data_arguments import DataArguments
from seqrec.interactions.preparation import prepare
from seqrec.training import chosen_defaults, default_rule
from seqrec.training.arguments import SequentialTrainingArguments
from seqrec.training.chosen_defaults import ChosenDefaults, choose_defaults, circumstances_of
from seqrec.training.default_rule import CHOSEN_ARGUMENTS, CHOSEN_FIELDS, Choice, Row
from seqrec.training.job import run_job

TINY = {"hidden_size": 8, "num_hidden_layers": 1, "intermediate_size": 16}
SHORT = {"num_train_epochs": 1, "quiet": True}
HISTORIES = "19 of 20 training histories have at most"


def interactions(num_users=60, length=30, repeats=0):
    """Users who each take `length` of 40 items, and some of these again."""
    random = np.random.default_rng(0)
    taken = [random.permutation(40)[:length] for _ in range(num_users)]
    rows = [
        (f"u{user}", f"i{item}", 1e9 + 60 * place)
        for user, items in enumerate(taken)
        for place, item in enumerate([*items, *items[:repeats]])
    ]
    return pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")


@pytest.fixture(scope="module")
def frame():
    return interactions()


@pytest.fixture
def new_rule(monkeypatch):
    """Let the rule choose something that differs from the plain defaults, in all of its kinds."""
    settings = {"hidden_size": 12, "logit_scale": 20.0, "per_device_train_batch_size": 16, "learning_rate": 0.01}
    rule = (Row("the data are few", lambda one: one.num_users < 1_000, settings),)
    choose = default_rule.choose_settings
    monkeypatch.setattr(chosen_defaults, "choose_settings", lambda *a, **k: choose(*a, **{**k, "rule": rule}))


def test_the_data_are_described():
    data = prepare(DataArguments(), interactions=interactions(repeats=6))
    found = circumstances_of(data, SequentialTrainingArguments(use_cpu=True))
    assert (found.num_users, found.num_items, found.num_interactions) == (60, 40, 60 * 36)
    assert found.catalogue_size == 40
    assert found.density == pytest.approx(30 / 40)
    assert found.repeat_share == pytest.approx(6 / 36)
    assert found.mean_length == found.median_length == found.length_90 == found.length_95 == 34  # two are held out
    assert found.has_times
    assert not found.has_item_features
    assert not found.has_accelerator
    assert found.memory_gib > 0.1


def test_unless_settings_are_left_to_the_rule_nothing_is_chosen(frame, tmp_path):
    arguments = SequentialTrainingArguments(output_dir=str(tmp_path), num_train_epochs=1, quiet=True)
    trained = run_job(DataArguments(), arguments, interactions=frame, config_fields=TINY)
    assert trained.trainer.args is arguments
    assert trained.trainer.model.config.max_position_embeddings == 200
    assert "defaults" not in trained.metrics
    assert seqrec.SasRecConfig().max_position_embeddings == 200
    assert "left to seqrec" not in (tmp_path / "README.md").read_text()


def test_python_uses_the_rule(frame, new_rule, tmp_path):
    trained = seqrec.train(frame, output_dir=tmp_path, num_hidden_layers=1, learning_rate=0.02, **SHORT)
    config = trained.model.config
    assert (config.hidden_size, config.intermediate_size, config.logit_scale) == (12, 48, 20.0)
    assert config.max_position_embeddings == 30  # 28 events of training
    found = json.loads((tmp_path / "metrics.json").read_text())
    assert found["defaults"]["settings"].keys() >= {"hidden_size", "early_stopping_patience", "bf16"}
    assert not {"learning_rate", "num_hidden_layers", "num_train_epochs"} & found["defaults"]["settings"].keys()
    assert found["defaults"]["reasons"]["hidden_size"] == "the data are few"
    assert found["defaults"]["circumstances"]["num_users"] == 60
    arguments = found["training"]["arguments"]
    assert (arguments["learning_rate"], arguments["per_device_train_batch_size"]) == (0.02, 16)
    card = (tmp_path / "README.md").read_text()
    assert "Settings that were left to seqrec" in card
    chosen = ("hidden_size 12", "logit_scale 20.0", "intermediate_size 48", "per_device_train_batch_size 16")
    assert f"- {', '.join(f'`{one}`' for one in chosen)}: the data are few" in card
    assert f"- `max_position_embeddings 30`: {HISTORIES} 28 items" in card


def test_the_command_line_uses_the_rule_and_says_so(frame, new_rule, tmp_path, capsys):
    frame.write_csv(tmp_path / "table.csv")
    (tmp_path / "settings.yaml").write_text("num_hidden_layers: 1\nlearning_rate: 0.001\nlogit_scale: none\n")
    flags = ["--dataset", str(tmp_path / "table.csv"), "--output_dir", str(tmp_path / "m"), "--num_train_epochs", "1"]
    assert main(["train", *flags, "--config", str(tmp_path / "settings.yaml"), "--hidden_size", "64"]) == 0
    told = " ".join(capsys.readouterr().err.split())
    assert "Chosen for these data and this machine (flags take precedence):" in told
    assert f"max_position_embeddings 30: {HISTORIES} 28 items per_device_train_batch_size 16: the data are few" in told
    config = seqrec.Recommender.from_pretrained(tmp_path / "m").model.config
    assert (config.hidden_size, config.intermediate_size, config.logit_scale) == (64, 256, None)
    metrics = json.loads((tmp_path / "m" / "metrics.json").read_text())
    assert metrics["training"]["arguments"]["learning_rate"] == 0.001  # given, though it is the plain default
    assert not {"logit_scale", "hidden_size", "learning_rate"} & metrics["defaults"]["settings"].keys()


def test_the_help_says_which_settings_are_chosen(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert "Passes over the training histories. (default: chosen for the data)" in told
    assert told.count("(default: chosen for the data)") == len((*CHOSEN_FIELDS, *CHOSEN_ARGUMENTS))
    assert "--logit_scale FLOAT|none" in told


def test_a_trained_model_keeps_its_configuration(frame, new_rule, tmp_path):
    seqrec.train(frame, output_dir=tmp_path / "first", max_position_embeddings=50, hidden_dropout=0.3, **TINY, **SHORT)
    for start in ("model_name_or_path", "init_from"):
        tuned = seqrec.train(frame, output_dir=tmp_path / start, **{start: tmp_path / "first"}, **SHORT)
        config = tuned.model.config
        assert (config.hidden_size, config.max_position_embeddings, config.hidden_dropout) == (8, 50, 0.3)
        chosen = tuned.metrics["defaults"]["settings"]
        assert chosen.keys() == {"learning_rate", "per_device_train_batch_size", "early_stopping_patience", "bf16"}
        assert tuned.metrics["training"]["arguments"]["per_device_train_batch_size"] == 16


def test_a_search_begins_with_the_rule(new_rule, tmp_path):
    frame = interactions(num_users=110)
    call = {"search": ["hidden_dropout", "learning_rate"], "num_hidden_layers": 1, "output_dir": tmp_path, **SHORT}
    tuned = seqrec.tune(frame, trials=2, **call)
    table = pl.read_parquet(tmp_path / "trials.parquet")
    assert table["learning_rate"][0] == 0.01
    assert (tuned.model.config.hidden_size, tuned.model.config.max_position_embeddings) == (12, 30)
    recipe = yaml.safe_load((tmp_path / "recipe.yaml").read_text())
    assert (recipe["hidden_size"], recipe["logit_scale"], recipe["max_position_embeddings"]) == (12, 20, 30)
    chosen = tuned.metrics["defaults"]["settings"]
    assert chosen["hidden_size"] == 12
    best = tuned.metrics["tuning"]["settings"]
    assert ("learning_rate" in chosen) == (best["learning_rate"] == 0.01)


def test_a_value_that_an_architecture_does_not_know_is_not_chosen(frame, monkeypatch):
    rule = (Row("any data", lambda one: True, {"position_embedding_type": "spiral", "hidden_dropout": 0.3}),)
    choose = default_rule.choose_settings
    monkeypatch.setattr(chosen_defaults, "choose_settings", lambda *a, **k: choose(*a, **{**k, "rule": rule}))
    data = prepare(DataArguments(), interactions=frame)
    chosen = choose_defaults(data, "hstu", SequentialTrainingArguments(), {})
    assert chosen.settings["position_embedding_type"] == "relative"
    assert chosen.settings["hidden_dropout"] == 0.3


def test_nothing_chosen_for_a_reason_is_not_told():
    assert ChosenDefaults([Choice("hidden_size", 64)]).describe() == ""
    assert ChosenDefaults([Choice("bf16", True, "it is fast")]).describe().endswith("\n  bf16 true: it is fast")


@pytest.mark.parametrize("broken", [[], {"reasons": {"a": 3}}, {"reasons": {"a": "b"}, "settings": {"a": [1]}}])
def test_a_card_leaves_out_defaults_of_wrong_types(broken, tmp_path, frame):
    model = seqrec.AutoModelForNextItem.from_config(seqrec.SasRecConfig(vocab_size=20, **TINY))
    model.save_pretrained(tmp_path)
    (tmp_path / "metrics.json").write_text(json.dumps({"defaults": broken, "training": {"num_epochs": 3}}))
    assert "left to seqrec" not in save_model_card(tmp_path).read_text()
