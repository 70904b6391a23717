"""Validation data and metrics given to a `Trainer` are used, or refused before training."""

import sys
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset

from seqrec import SequentialTrainer, SequentialTrainingArguments
from seqrec.cli.command_line import main
from seqrec.evaluation.evaluator import rank_dataset
from seqrec.evaluation.metrics import RANKING_METRICS
from seqrec.search.scoring import NOT_RANKED

sys.path.insert(0, str(Path(__file__).parents[1] / "fixtures"))
from train_tiny import tiny_data, tiny_model


@pytest.fixture
def make(tmp_path):
    """Make a trainer on tiny data."""
    sequences, tokenizer = tiny_data()

    def trainer(eval_dataset=sequences["validation"], model=None, settings=None, **others):
        arguments = SequentialTrainingArguments(
            str(tmp_path), **{"disable_tqdm": True, "num_train_epochs": 2, **(settings or {})}
        )
        others.setdefault("train_dataset", sequences["train"])
        return SequentialTrainer(
            model or tiny_model(len(tokenizer)),
            arguments,
            processing_class=tokenizer,
            eval_dataset=eval_dataset,
            **others,
        )

    trainer.sequences = sequences
    return trainer


@pytest.mark.parametrize("metric", [*RANKING_METRICS])
@pytest.mark.parametrize("prefix", ["", "eval_"])
def test_any_ranking_metric_at_any_length_selects_the_best_checkpoint(metric, prefix, make):
    trainer = make(settings={"metric_for_best_model": f"{prefix}{metric}@7"})
    ranks_U = rank_dataset(trainer.model, make.sequences["validation"], max_length=12).ranks_U
    assert trainer.evaluate()[f"eval_{metric}@7"] == RANKING_METRICS[metric](ranks_U, 7).mean()


def test_the_chosen_metric_is_the_best_of_all_epochs(make):
    trainer = make(settings={"metric_for_best_model": "mrr@3", "learning_rate": 0.03, "num_train_epochs": 4})
    trainer.train()
    found = [entry["eval_mrr@3"] for entry in trainer.state.log_history if "eval_mrr@3" in entry]
    assert trainer.state.best_metric == max(found) == trainer.evaluate()["eval_mrr@3"]


@pytest.mark.parametrize("exclude_seen", [True, False])
def test_validation_leaves_out_seen_items_only_where_it_shall(make, exclude_seen):
    rows = Dataset.from_dict({"input_ids": [[5, 6], [7, 8, 9]], "target": [5, 8]})
    ranks_U = make(rows, settings={"exclude_seen": exclude_seen}).predict(rows).predictions
    assert (ranks_U == NOT_RANKED).all() if exclude_seen else (ranks_U <= 40).all()


def test_lists_are_as_long_as_is_asked_for(make):
    trainer = make()
    found = trainer.rank(make.sequences["validation"], 7)
    expected = rank_dataset(trainer.model, make.sequences["validation"], max_length=12, list_length=7)
    np.testing.assert_array_equal(found.top_UK, expected.top_UK)


@pytest.mark.parametrize("metric", ["ndcg", "ndcg@0", "ndcg@x", "accuracy", "loss", "coverage@10", "test_ndcg@10"])
def test_a_metric_that_is_not_measured_is_refused_at_the_start(metric, make):
    with pytest.raises(ValueError, match=r"is not computed in validation\. Give one of hr, ndcg"):
        make(settings={"metric_for_best_model": metric})


@pytest.mark.parametrize("metric", ["accuracy", "ndcg@0", "hr"])
def test_a_job_refuses_an_unknown_metric_before_it_reads_data(metric, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("seqrec.training.job.prepare", lambda *_, **__: pytest.fail("data were read"))
    folder = tmp_path / "model"
    flags = ["--dataset", "synthetic", "--output_dir", str(folder), "--metric_for_best_model", metric]
    assert main(["train", *flags]) == 2
    told = capsys.readouterr().err
    assert "is not computed in validation. Give one of hr, ndcg, mrr" in told
    assert told.count("\n") == 1
    assert not folder.exists()


def test_the_worst_checkpoint_is_never_selected(make):
    with pytest.raises(ValueError, match="would keep the checkpoint with the worst ndcg@10"):
        make(settings={"greater_is_better": False})


def test_several_validation_sets_are_measured_by_name(make):
    sets = {"early": make.sequences["validation"], "late": make.sequences["test"]}
    trainer = make(sets, settings={"metric_for_best_model": "late_ndcg@10"})
    trainer.train()
    metrics = trainer.evaluate()
    for name, rows in sets.items():
        expected = make(rows, model=trainer.model).evaluate()["eval_ndcg@10"]
        assert metrics[f"eval_{name}_ndcg@10"] == trainer.evaluate(name)[f"eval_{name}_ndcg@10"] == expected
    assert trainer.state.best_metric == metrics["eval_late_ndcg@10"]


def test_with_several_validation_sets_the_metric_must_name_one(make):
    with pytest.raises(ValueError, match=r"such as 'a_ndcg@10'"):
        make({"a": make.sequences["validation"]})


@pytest.mark.parametrize("several", [True, False])
def test_a_validation_set_of_an_unknown_name_is_told(several, make):
    sets = {"early": make.sequences["validation"]} if several else make.sequences["validation"]
    trainer = make(sets, settings={"metric_for_best_model": "early_ndcg@10" if several else "ndcg@10"})
    with pytest.raises(ValueError, match="There is no eval_dataset 'late' to evaluate on"):
        trainer.evaluate("late")


def test_own_metrics_are_computed_from_ranks_and_may_select_the_best(make):
    def median_rank(prediction):
        assert prediction.label_ids.tolist() == make.sequences["validation"]["target"].tolist()
        return {"median_rank": float(np.median(prediction.predictions))}

    settings = {"metric_for_best_model": "median_rank", "greater_is_better": False}
    trainer = make(compute_metrics=median_rank, settings=settings)
    trainer.train()
    found = [entry["eval_median_rank"] for entry in trainer.state.log_history if "eval_median_rank" in entry]
    assert trainer.state.best_metric == min(found)


def test_predictions_are_the_ranks_of_the_targets(make):
    trainer = make()
    found = trainer.predict(make.sequences["test"])
    ranks_U = rank_dataset(trainer.model, make.sequences["test"], max_length=12).ranks_U
    assert found.predictions.tolist() == ranks_U.tolist()
    assert found.label_ids.tolist() == make.sequences["test"]["target"].tolist()
    assert found.metrics["test_ndcg@10"] == RANKING_METRICS["ndcg"](ranks_U, 10).mean()


@pytest.mark.parametrize(
    ("settings", "others", "message"),
    [
        ({"label_smoothing_factor": 0.1}, {}, "label_smoothing_factor=0.1 cannot be used"),
        ({"batch_eval_metrics": True}, {}, "batch_eval_metrics has no effect"),
        ({"include_for_metrics": ["inputs"]}, {}, "include_for_metrics has no effect"),
        ({"prediction_loss_only": True}, {}, "prediction_loss_only has no effect"),
        ({"dataloader_drop_last": True, "per_device_train_batch_size": 100}, {}, "would drop the only batch"),
        ({}, {"train_dataset": Dataset.from_dict({"input_ids": []})}, "train_dataset has no rows"),
        ({"learning_rate": 0.0}, {}, "learning_rate=.* must be above 0"),
        ({"learning_rate": float("nan")}, {}, "learning_rate=.* must be above 0"),
        ({"num_train_epochs": 0}, {}, "num_train_epochs=0 must be above 0"),
        ({"early_stopping_patience": -1}, {}, "early_stopping_patience=-1 must be at least 0"),
        ({"weight_decay": -0.1}, {}, "weight_decay=-0.1 must be at least 0"),
        ({}, {"preprocess_logits_for_metrics": print}, "preprocess_logits_for_metrics has no effect"),
        ({}, {"model": tiny_model(20)}, "The model has 20 tokens"),
        ({}, {"train_dataset": Dataset.from_dict({"input_ids": [[3, 400]]})}, "token ids from 3 to 400"),
    ],
)
def test_what_would_have_no_effect_or_not_fit_is_refused_at_the_start(settings, others, message, make):
    with pytest.raises(ValueError, match=message):
        make(settings=settings, **others)


@pytest.mark.parametrize("patience", [0, 3])
def test_a_training_may_do_without_validation(patience, make):
    settings = {"eval_strategy": "no", "load_best_model_at_end": False, "early_stopping_patience": patience}
    make(settings=settings).train()


def test_bfloat16_becomes_float32_on_a_processor_without_it(tmp_path, monkeypatch):
    monkeypatch.setattr("torch.accelerator.is_available", lambda: False)
    monkeypatch.setattr("seqrec.training.arguments.multiplies_bfloat16", lambda: False)
    with pytest.warns(UserWarning, match="no instructions for bfloat16"):
        assert not SequentialTrainingArguments(str(tmp_path), bf16=True).bf16
    monkeypatch.setattr("seqrec.training.arguments.multiplies_bfloat16", lambda: True)
    assert SequentialTrainingArguments(str(tmp_path), bf16=True).bf16
