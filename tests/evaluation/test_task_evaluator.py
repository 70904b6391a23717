"""Predictions for held-out targets are those of serving, row by row; reports add metrics and baselines."""

import numpy as np
import polars as pl
import pytest
import torch

from seqrec.errors import InputError, NonFiniteError
from seqrec.evaluation.task_baselines import ItemMean, UserItemBias
from seqrec.evaluation.task_evaluator import calibrations, predict_targets, target_logits
from seqrec.evaluation.task_metrics import binary_metrics, rating_metrics
from seqrec.evaluation.task_report import measure_tasks, validation_task_metrics
from seqrec.evaluation.task_rows import held_out_pairs, rows_with_outcomes, training_pairs, users_of, with_shown
from seqrec.interactions.data_arguments import DataArguments
from seqrec.interactions.histories import Histories
from seqrec.interactions.label_columns import register_label_columns
from seqrec.interactions.preparation import prepare
from seqrec.interactions.prepared_sets import PreparedData
from seqrec.interactions.special_tokens import UNK_ID
from seqrec.testing.model_contract import NUM_ITEMS

TASKS = {"tasks": ["next_item", "rating", "like"], "rating_scale": [1, 5], "past_labels": ["rating"]}


@pytest.fixture
def choices():
    return TASKS


@pytest.fixture
def model(tiny_model):
    """A model whose heads are not those of before training, which predict the same for all pairs."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in tiny_model.task_heads.parameters():
            weight.normal_(0, 0.3, generator=generator)
    tiny_model.set_calibration("like", 0.5, -0.25)
    return tiny_model


def held_out_rows(num_rows=30, seed=0):
    """Histories of several lengths with a target and its labels, some of which are missing."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(1, 12, num_rows)
    items = [generator.integers(3, NUM_ITEMS + 3, length).astype(np.int32) for length in lengths]
    ratings = [generator.choice([1, 3, 5, np.nan], length).astype(np.float32) for length in lengths]
    rows = {
        "target": generator.integers(3, NUM_ITEMS + 3, num_rows).astype(np.int32),
        "user_id": np.array([f"user {index % 9}" for index in range(num_rows)]),
        "target_rating": generator.choice([1, 2, 3, 4, 5, np.nan], num_rows).astype(np.float32),
        "target_like": generator.choice([0, 1, np.nan], num_rows).astype(np.float32),
    }
    return Histories.from_lists({"input_ids": items, "rating": ratings}, rows)


def test_predictions_are_those_of_one_row_after_another(model):
    rows = held_out_rows()
    found = predict_targets(model, rows, max_length=8, batch_size=7)
    assert set(found) == {"rating", "like"}
    for row in range(len(rows)):
        inputs = {name: torch.from_numpy(rows[name][row][-8:])[None] for name in ("input_ids", "rating")}
        with torch.no_grad():
            users = model.encode_users(**inputs)
            expected = model.predict_tasks(users, torch.tensor([[rows.rows["target"][row]]]))
        for task, values in found.items():
            assert values[row] == pytest.approx(expected[task].item(), abs=1e-5), (task, row)
    assert found["rating"].min() >= 1
    assert found["rating"].max() <= 5
    assert np.ptp(found["like"]) > 0.01


def test_logits_are_those_before_calibration(model):
    rows = held_out_rows()
    logits = target_logits(model, rows, max_length=8)["like"]
    found = predict_targets(model, rows, max_length=8)["like"]
    assert calibrations(model) == {"like": (0.5, -0.25)}
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-(0.5 * logits - 0.25))), rtol=1e-5)


def test_batches_and_training_mode_make_no_difference(model):
    rows = held_out_rows()
    expected = predict_targets(model, rows, max_length=8)
    for batch_size in (1, 4):
        found = predict_targets(model.train(), rows, max_length=8, batch_size=batch_size)
        for task, values in found.items():
            np.testing.assert_allclose(values, expected[task], atol=1e-5)
    assert not model.training


def test_unknown_targets_have_no_prediction(model):
    rows = held_out_rows()
    rows.rows["target"][3] = UNK_ID
    with pytest.warns(UserWarning, match="1 of 30 targets are items that the model does not know"):
        found = predict_targets(model, rows, max_length=8)
    for values in found.values():
        assert np.isnan(values).nonzero()[0].tolist() == [3]


def test_damaged_weights_are_noticed(model):
    with torch.no_grad():
        model.task_heads.heads["like"].output.weight.fill_(torch.nan)
    with pytest.raises(NonFiniteError, match=r"predictions of like are not finite"):
        predict_targets(model, held_out_rows(), max_length=8)


def test_rows_without_the_columns_that_the_model_reads_are_refused(model):
    rows = held_out_rows()
    del rows.columns["rating"]
    with pytest.raises(InputError, match="no rating"):
        predict_targets(model, rows, max_length=8)


def test_validation_measures_the_rows_that_have_a_label():
    rows = held_out_rows()
    generator = np.random.default_rng(3)
    predicted = {"rating": generator.uniform(1, 5, 30), "like": generator.random(30)}
    found = validation_task_metrics(predicted, rows)
    has_rating, has_like = (~np.isnan(rows.rows[f"target_{task}"]) for task in ("rating", "like"))
    expected = rating_metrics(predicted["rating"][has_rating], rows.rows["target_rating"][has_rating])
    assert found["rating_rmse"] == expected["rmse"]
    users = rows.rows["user_id"][has_like]
    expected = binary_metrics(predicted["like"][has_like], rows.rows["target_like"][has_like], users)
    assert (found["like_auc"], found["like_grouped_auc"]) == (expected["auc"], expected["grouped_auc"])
    assert set(found) == {
        *("rating_rmse", "rating_mae"),
        *("like_auc", "like_grouped_auc", "like_log_loss", "like_ece"),
    }
    rows.rows["target_rating"][:] = np.nan
    del rows.rows["target_like"]
    assert validation_task_metrics(predicted, rows) == {}


def rated_table(num_users=60, num_items=12, seed=0):
    generator = np.random.default_rng(seed)
    user_bias, item_bias = generator.normal(0, 1, num_users), generator.normal(0, 1, num_items)
    rows = [
        (user, item, time, float(np.clip(round(3 + user_bias[user] + item_bias[item]), 1, 5)))
        for user in range(num_users)
        for time, item in enumerate(generator.permutation(num_items)[:8])
    ]
    table = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp", "rating"], orient="row")
    has_label = pl.int_range(pl.len()) % 7 != 3
    return table.with_columns(
        pl.when(has_label).then("rating"), like=pl.when(has_label).then((pl.col("rating") >= 4).cast(pl.Int8))
    )


@pytest.fixture(scope="module")
def data():
    register_label_columns(["rating", "like", "click"])
    return prepare(DataArguments(), interactions=rated_table(), event_columns=["rating", "like"])


def test_training_pairs_are_the_labelled_events_for_training(data):
    found = training_pairs(data.sequences["train"], "rating")
    table = rated_table()
    expected = []
    for _, rows in table.group_by("user_id"):
        expected += [row for row in rows.sort("timestamp").head(6).iter_rows() if row[3] is not None]
    token = dict(zip(data.tokenizer.item_ids, range(3, 99), strict=False))
    assert sorted(zip(found.users_N.tolist(), found.items_N.tolist(), found.labels_N.tolist(), strict=True)) == sorted(
        (user, token[str(item)], rating) for user, item, _, rating, _ in expected
    )


def test_held_out_pairs_are_the_labelled_targets_of_known_items(data):
    rows = data.sequences["test"]
    found = held_out_pairs(rows, "like")
    labels = rows.rows["target_like"]
    assert len(found) == np.isfinite(labels).sum() < len(rows)
    np.testing.assert_array_equal(found.items_N, rows.rows["target"][np.isfinite(labels)])
    unknown = Histories(rows.columns, rows.starts_R, rows.lengths_R, {**rows.rows, "target": np.full(60, UNK_ID)})
    assert len(held_out_pairs(unknown, "like")) == 0


def test_users_are_known_in_prepared_sets_without_user_ids(data, tmp_path):
    data.save(tmp_path / "set")
    loaded = PreparedData.load(tmp_path / "set")
    for part in ("train", "validation", "test"):
        ids, places = users_of(data.sequences[part]), users_of(loaded.sequences[part])
        assert len(set(zip(ids.tolist(), places.tolist(), strict=True))) == len(set(ids.tolist())) == 60
    train, test = (set(users_of(loaded.sequences[part]).tolist()) for part in ("train", "test"))
    assert train == test
    expected, found = (measure_tasks(fake_predictions, one, tasks=["rating"], calibration={}) for one in (data, loaded))
    assert found == expected


def fake_predictions(rows):
    """Predict ratings and probabilities from the target's token id."""
    values = (rows.rows["target"] - 3) / 12
    return {"rating": 1 + 4 * values, "like": values.astype(np.float32)}


def test_a_report_measures_the_model_and_the_baselines(data):
    found = measure_tasks(
        fake_predictions,
        data,
        tasks=["rating", "like"],
        calibration={"like": (2.0, 0.5)},
        rating_scale=[1, 5],
        past_labels=["rating"],
    )
    assert (found["rating"]["reads_past_labels"], found["like"]["reads_past_labels"]) == (True, False)
    rows = data.sequences["test"]
    pairs = held_out_pairs(rows, "rating")
    train, validation = (
        training_pairs(data.sequences["train"], "rating"),
        held_out_pairs(data.sequences["validation"], "rating"),
    )
    of_model = fake_predictions(rows)["rating"][~np.isnan(rows.rows["target_rating"])]
    rating = found["rating"]
    assert rating["model"]["test"] == rating_metrics(of_model, pairs.labels_N)
    assert rating["labels"]["test"] == {
        "num_rows": len(pairs),
        "num_users": len(pairs),
        "mean": pairs.labels_N.mean(),
    }
    assert rating["rating_scale"] == [1, 5]
    biases = min(
        (UserItemBias.fit(train, value) for value in (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)),
        key=lambda one: rating_metrics(one.predict(validation.users_N, validation.items_N), validation.labels_N)[
            "rmse"
        ],
    )
    expected = rating_metrics(biases.predict(pairs.users_N, pairs.items_N), pairs.labels_N)
    assert rating["user_item_bias"]["test"] == expected
    assert rating["user_item_bias"]["test"]["rmse"] < 0.7 * rating["training_mean"]["test"]["rmse"]
    assert rating["matrix_factorisation"]["test"]["rmse"] < rating["training_mean"]["test"]["rmse"]
    low, high = rating["confidence"]["user_item_bias"]["test"]["rmse"]
    assert low < expected["rmse"] < high

    like = found["like"]
    assert set(like) == {
        *("reads_past_labels", "labels", "model", "item_mean", "user_item_bias", "confidence"),
        *("calibration", "uncalibrated", "reliability"),
    }
    assert like["calibration"] == {"slope": 2.0, "shift": 0.5}
    assert sum(like["reliability"]["test"]["num_rows"]) == like["labels"]["test"]["num_rows"]
    assert like["uncalibrated"]["test"]["log_loss"] != like["model"]["test"]["log_loss"]
    train, pairs = training_pairs(data.sequences["train"], "like"), held_out_pairs(rows, "like")
    possible = []
    for strength in (1.0, 3.0, 10.0, 30.0, 100.0):
        predicted = ItemMean.fit(train, strength).predict(pairs.users_N, pairs.items_N)
        possible.append(binary_metrics(predicted, pairs.labels_N, pairs.users_N)["log_loss"])
    assert like["item_mean"]["test"]["log_loss"] in possible


def test_a_report_of_one_split_has_the_same_figures(data):
    options = {"tasks": ["rating", "like"], "calibration": {"like": (1.0, 0.0)}}
    whole = measure_tasks(fake_predictions, data, **options)
    part = measure_tasks(fake_predictions, data, **options, splits=["test"])
    for task, found in part.items():
        for ranker in ("model", "user_item_bias"):
            assert found[ranker] == {"test": whole[task][ranker]["test"]}
        assert found["confidence"]["model"]["test"] == whole[task]["confidence"]["model"]["test"]
    assert part["like"]["uncalibrated"]["test"]["log_loss"] == pytest.approx(part["like"]["model"]["test"]["log_loss"])


def test_splits_without_labels_have_no_figures(data):
    test = data.sequences["test"]
    bare = Histories(test.columns, test.starts_R, test.lengths_R, {**test.rows, "target_like": np.full(60, np.nan)})
    without = PreparedData({**data.sequences, "test": bare}, data.tokenizer, data.items, data.protocol)
    found = measure_tasks(fake_predictions, without, tasks=["like"], calibration={"like": (1.0, 0.0)})["like"]
    assert set(found["model"]) == set(found["labels"]) == set(found["item_mean"]) == {"validation"}


def test_undefined_metrics_are_none(data):
    test = data.sequences["test"]
    ones = Histories(test.columns, test.starts_R, test.lengths_R, {**test.rows, "target_like": np.ones(60)})
    alike = PreparedData({**data.sequences, "test": ones}, data.tokenizer, data.items, data.protocol)
    found = measure_tasks(fake_predictions, alike, tasks=["like"], calibration={"like": (1.0, 0.0)})["like"]
    assert found["model"]["test"]["auc"] is found["model"]["test"]["grouped_auc"] is None
    assert "auc" not in found["confidence"]["model"]["test"]


@pytest.fixture(scope="module")
def shown():
    """Data with impressions: users are shown items, and choose those of even number more often."""
    register_label_columns(["rating", "like", "click"])
    return prepare(DataArguments(), interactions=clicked_table(), event_columns=["click"])


def clicked_table():
    table = rated_table().select("user_id", "item_id", "timestamp")
    chance = np.where(table["item_id"].to_numpy() % 2 == 0, 0.9, 0.4)
    return table.with_columns(click=pl.Series((np.random.default_rng(0).random(len(table)) < chance).astype(np.int8)))


def test_impressions_are_rows_of_clicks(shown):
    rows = rows_with_outcomes(shown.sequences, "test")
    events, impressions = shown.sequences["test"], shown.sequences["test_impressions"]
    assert len(rows) == len(events) + len(impressions) > len(events)
    for row, expected in zip(rows, [*events, *impressions], strict=True):
        np.testing.assert_array_equal(row["input_ids"], expected["input_ids"])
        for name in ("user_id", "target", "target_click", "target_timestamp"):
            assert row[name] == expected[name]
    labels = held_out_pairs(rows, "click").labels_N
    assert labels.tolist() == [1.0] * len(events) + [0.0] * len(impressions)


def test_training_pairs_of_clicks_have_impressions(shown):
    found = training_pairs(shown.sequences["train"], "click")
    token = dict(zip(shown.tokenizer.item_ids, range(3, 99), strict=False))
    expected = set()
    for (user,), rows in clicked_table().sort("timestamp").group_by("user_id", maintain_order=True):
        chosen = rows.filter(click=1)["timestamp"].to_list()
        held_out = chosen[-2:] if len(chosen) >= 3 else []
        for item, time, click in rows.select("item_id", "timestamp", "click").iter_rows():
            trained = [one for one in chosen if one not in held_out]
            if time in trained if click else trained and trained[0] < time < trained[-1]:
                expected.add((user, token[str(item)], float(click)))
    assert set(zip(found.users_N.tolist(), found.items_N.tolist(), found.labels_N.tolist(), strict=True)) == expected


def test_other_labels_are_missing_in_impressions():
    rows = held_out_rows(4)
    shown = Histories(
        rows.columns, rows.starts_R[:2], rows.lengths_R[:2], {"target": np.array([5, 6]), "target_click": np.zeros(2)}
    )
    rows.rows["target_click"] = np.ones(4)
    found = with_shown(rows, shown)
    assert set(found.rows) == {"target", "target_rating", "target_like", "target_click"}
    assert np.isnan(found.rows["target_rating"][4:]).all()
    assert found.rows["target_click"].tolist() == [1, 1, 1, 1, 0, 0]
    assert with_shown(rows, None) is rows


def test_a_report_of_clicks_counts_impressions(shown):
    def predict(rows):
        return {"click": ((rows.rows["target"] - 3) % 5 / 5).astype(np.float32)}

    found = measure_tasks(predict, shown, tasks=["click"], calibration={"click": (1.0, 0.0)})["click"]
    rows = rows_with_outcomes(shown.sequences, "test")
    expected = binary_metrics(predict(rows)["click"], rows.rows["target_click"], rows.rows["user_id"])
    assert found["model"]["test"] == expected
    assert found["labels"]["test"]["num_rows"] == len(rows)
    assert found["item_mean"]["test"]["auc"] > 0.6
