"""Trainers measure label tasks in validation, share the rows among processes, and calibrate."""

import numpy as np
import polars as pl
import pytest
import torch
from transformers import TrainingArguments

from seqrec import SasRecConfig, SasRecForNextItem, SequentialTrainer, SequentialTrainingArguments
from seqrec.evaluation.calibration import fit_calibration
from seqrec.evaluation.evaluator import rank_dataset
from seqrec.evaluation.task_evaluator import calibrations, predict_targets, target_logits
from seqrec.evaluation.task_report import validation_task_metrics
from seqrec.evaluation.task_rows import with_shown
from seqrec.interactions.data_arguments import DataArguments
from seqrec.interactions.label_columns import register_label_columns
from seqrec.interactions.preparation import prepare
from seqrec.interactions.synthetic import synthetic_interactions
from seqrec.training import row_sharing
from seqrec.training.row_sharing import compute_by_row

TASKS = ["next_item", "rating", "like", "click"]


@pytest.fixture(scope="module")
def data():
    """Interactions with ratings, likes, and clicks with impressions."""
    register_label_columns(TASKS[1:])
    table = synthetic_interactions(num_users=150, num_items=40, num_tastes=2, mean_length=12)
    generator = np.random.default_rng(0)
    table = table.with_columns(rating=pl.Series(generator.integers(1, 6, len(table)), dtype=pl.Float64))
    table = table.with_columns(
        like=(pl.col("rating") >= 4).cast(pl.Int8),
        click=pl.Series((generator.random(len(table)) < 0.8).astype(np.int8)),
    )
    return prepare(DataArguments(), interactions=table, event_columns=TASKS[1:])


@pytest.fixture
def model(data):
    """A model whose heads predict something."""
    torch.manual_seed(0)
    config = SasRecConfig(
        vocab_size=len(data.tokenizer),
        hidden_size=16,
        intermediate_size=32,
        max_position_embeddings=12,
        tasks=TASKS,
        rating_scale=[1, 5],
    )
    model = SasRecForNextItem(config)
    with torch.no_grad():
        for weight in model.task_heads.parameters():
            weight.normal_(0, 0.2)
    return model


@pytest.fixture
def make(data, model, tmp_path):
    def trainer(eval_dataset=data.sequences["validation"], **settings):
        return SequentialTrainer(
            model,
            SequentialTrainingArguments(str(tmp_path), disable_tqdm=True, **settings),
            processing_class=data.tokenizer,
            train_dataset=data.sequences["train"],
            eval_dataset=eval_dataset,
            eval_impressions=data.sequences["validation_impressions"],
        )

    return trainer


def expected_metrics(model, data):
    rows = with_shown(data.sequences["validation"], data.sequences["validation_impressions"])
    return validation_task_metrics(predict_targets(model, rows, max_length=12), rows)


def test_validation_logs_the_metrics_of_tasks(make, model, data):
    trainer = make()
    found = trainer.evaluate()
    expected = expected_metrics(model, data)
    assert set(expected) >= {"rating_rmse", "rating_mae", "like_auc", "like_log_loss", "click_auc", "click_ece"}
    assert "eval_like_grouped_auc" not in found  # undefined, as each user has one row
    assert "eval_click_grouped_auc" in found
    for name, value in expected.items():
        assert found[f"eval_{name}"] == pytest.approx(value, abs=1e-6), name
    assert trainer.state.log_history[-1]["eval_rating_rmse"] == found["eval_rating_rmse"]
    ranks_U = rank_dataset(model, data.sequences["validation"], max_length=12).ranks_U
    assert found["eval_hr@10"] == np.mean(ranks_U <= 10)


def test_other_rows_are_measured_without_impressions(make, data):
    trainer = make()
    assert "test_click_auc" not in trainer.evaluate(data.sequences["test"], metric_key_prefix="test")
    found = trainer.predict(data.sequences["test"]).metrics
    assert "test_rating_rmse" in found


def test_data_sets_and_several_sets_are_measured_too(make, data):
    rows = data.sequences["validation"]
    trainer = make({"early": rows, "late": data.sequences["test"].to_dataset()}, metric_for_best_model="early_like_auc")
    found = trainer.evaluate()
    assert {"eval_early_like_auc", "eval_late_rating_rmse"} <= set(found)
    alone = make().evaluate(data.sequences["test"])
    assert found["eval_late_rating_rmse"] == pytest.approx(alone["eval_rating_rmse"], abs=1e-6)


def test_rows_without_labels_are_only_ranked(make, data):
    rows = data.sequences["validation"].to_dataset().remove_columns([f"target_{task}" for task in TASKS[1:]])
    found = make().evaluate(rows)
    assert "eval_ndcg@10" in found
    assert not any("rating" in name or "like" in name for name in found)


@pytest.mark.parametrize(
    ("metric", "greater"), [("like_auc", True), ("rating_rmse", False), ("eval_like_log_loss", False)]
)
def test_a_metric_of_a_task_selects_the_best_checkpoint(make, metric, greater):
    trainer = make(metric_for_best_model=metric)
    assert trainer.args.greater_is_better is greater
    assert f"eval_{trainer.args.metric_for_best_model}" in trainer.evaluate()


@pytest.mark.parametrize("kind", [SequentialTrainingArguments, TrainingArguments])
def test_lower_errors_are_better_in_any_arguments(data, model, tmp_path, kind):
    arguments = kind(
        str(tmp_path),
        metric_for_best_model="rating_rmse",
        eval_strategy="epoch",
        save_strategy="epoch",
        load_best_model_at_end=True,
    )
    trainer = SequentialTrainer(
        model,
        arguments,
        processing_class=data.tokenizer,
        train_dataset=data.sequences["train"],
        eval_dataset=data.sequences["validation"],
    )
    assert trainer.args.greater_is_better is False


def test_metrics_of_tasks_that_the_model_lacks_are_refused(make):
    with pytest.raises(
        ValueError, match=r"'finished_auc' is not computed .* metric of a task: rating_rmse, rating_mae, like"
    ):
        make(metric_for_best_model="finished_auc")
    with pytest.raises(ValueError, match="'rating_auc' is not computed"):
        make(metric_for_best_model="rating_auc")


def test_the_worst_checkpoint_is_never_selected(make):
    with pytest.raises(ValueError, match="greater_is_better=False would keep the checkpoint with the worst like_auc"):
        make(metric_for_best_model="like_auc", greater_is_better=False)


def test_calibration_is_fitted_on_the_logits_and_set_in_the_model(make, model, data):
    rows = with_shown(data.sequences["validation"], data.sequences["validation_impressions"])
    logits = target_logits(model, rows, max_length=12)
    before = predict_targets(model, rows, max_length=12)
    model.set_calibration("like", 3.0, 2.0)  # an earlier one makes no difference
    with torch.no_grad():
        model.task_heads.heads["rating"].calibration.fill_(1)
    found = make().calibrate(rows)
    for task in ("like", "click"):
        assert found[task] == fit_calibration(logits[task], rows.rows[f"target_{task}"])
        assert calibrations(model)[task] == pytest.approx(found[task])
    after = predict_targets(model, rows, max_length=12)
    np.testing.assert_array_equal(after["rating"], before["rating"])


def test_models_without_label_tasks_need_no_calibration(data, tmp_path):
    config = SasRecConfig(vocab_size=len(data.tokenizer), hidden_size=16, intermediate_size=32)
    trainer = SequentialTrainer(
        SasRecForNextItem(config),
        SequentialTrainingArguments(str(tmp_path)),
        processing_class=data.tokenizer,
        eval_dataset=data.sequences["validation"],
    )
    assert trainer.calibrate(data.sequences["validation"]) == {}
    assert trainer.task_metrics(data.sequences["validation"]) == {}


class Process:
    """Arguments of one of several processes."""

    def __init__(self, world_size, process_index):
        self.world_size, self.process_index = world_size, process_index


@pytest.mark.parametrize("world_size", [1, 2, 3])
@pytest.mark.parametrize("num_rows", [1, 2, 7])
def test_processes_share_the_rows(data, monkeypatch, world_size, num_rows):
    rows = data.sequences["validation"].select(range(num_rows))

    def compute(part):
        numbers = part.rows["target"]
        return {"numbers": numbers, "pairs": np.stack([numbers, -numbers], axis=1)}

    sizes, gathered = [], []

    def keep(part):
        gathered.extend(part)
        return gathered if len(gathered) == world_size else []  # so that the last process has all

    monkeypatch.setattr(row_sharing, "gather_object", keep)
    for process in range(world_size - 1):
        with pytest.raises(IndexError):
            compute_by_row(lambda part: sizes.append(len(part)) or compute(part), rows, Process(world_size, process))
    found = compute_by_row(
        lambda part: sizes.append(len(part)) or compute(part), rows, Process(world_size, world_size - 1)
    )
    assert max(sizes) == -(-num_rows // world_size)
    for name, expected in compute(rows).items():
        np.testing.assert_array_equal(found[name], expected)
