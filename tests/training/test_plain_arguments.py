"""The library's own TrainingArguments: kept as given, completed by our defaults, refused where they mean nothing."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import EarlyStoppingCallback, Trainer, TrainingArguments

from seqrec import NextItemCollator, Recommender, SequentialTrainer, SequentialTrainingArguments
from seqrec.errors import InputError, SavedFolderError

sys.path.insert(0, str(Path(__file__).parents[1] / "fixtures"))
from train_tiny import tiny_data, tiny_model

SEQUENCES, TOKENIZER = tiny_data()
BEST = {"eval_strategy": "epoch", "save_strategy": "epoch", "load_best_model_at_end": True}


@pytest.fixture
def make(tmp_path):
    """Make a trainer with plain arguments."""

    def trainer(*, kind=TrainingArguments, compute_metrics=None, eval_dataset=SEQUENCES["validation"], **settings):
        own = {"num_train_epochs": 2, "disable_tqdm": True, "report_to": "none", "save_strategy": "no"}
        return SequentialTrainer(
            tiny_model(len(TOKENIZER)),
            kind(str(tmp_path), **own | settings),
            processing_class=TOKENIZER,
            train_dataset=SEQUENCES["train"],
            eval_dataset=eval_dataset,
            compute_metrics=compute_metrics,
        )

    return trainer


def test_they_are_kept_and_completed(make, tmp_path):
    given = TrainingArguments(str(tmp_path), learning_rate=3e-4, weight_decay=0.2, report_to="none")
    before = given.to_dict()
    trainer = SequentialTrainer(tiny_model(len(TOKENIZER)), given, processing_class=TOKENIZER)
    assert trainer.args is given
    assert given.to_dict() | {"dataloader_pin_memory": None} == before | {"dataloader_pin_memory": None}
    own = SequentialTrainingArguments(str(tmp_path))
    for name in ("packing", "exclude_seen", "sparse_item_updates", "license", "quiet"):
        assert getattr(given, name) == getattr(own, name)
    assert given.early_stopping_patience is None
    assert isinstance(trainer.data_collator, NextItemCollator)
    assert trainer.data_collator.packing


def test_fields_of_ours_may_be_set_on_them(tmp_path):
    given = TrainingArguments(str(tmp_path), report_to="none")
    given.packing, given.exclude_seen = False, False
    trainer = SequentialTrainer(tiny_model(len(TOKENIZER)), given, processing_class=TOKENIZER)
    assert not trainer.data_collator.packing
    assert not trainer.args.exclude_seen


def test_plain_and_own_arguments_train_the_same_model(make):
    same = {"learning_rate": 1e-2, "adam_beta2": 0.9, "per_device_train_batch_size": 16, "use_cpu": True}
    off = {"eval_strategy": "no", "load_best_model_at_end": False}
    states = []
    for kind in (TrainingArguments, SequentialTrainingArguments):
        trainer = make(kind=kind, **same, **off)
        trainer.train()
        states.append(trainer.model.state_dict())
    torch.testing.assert_close(*states, rtol=0, atol=0)


@pytest.mark.parametrize(
    "settings",
    [
        {"eval_strategy": "steps", "eval_steps": 1},
        {"fp16": True},
        {"bf16": True, "use_cpu": True},
        {"train_sampling_strategy": "group_by_length"},
        {"remove_unused_columns": False},
        {"remove_unused_columns": True},
        {"label_names": ["labels"]},
        {"dataloader_num_workers": 1},
        {"auto_find_batch_size": True},
        {"gradient_accumulation_steps": 2, "include_num_input_tokens_seen": "all"},
        {"eval_strategy": "epoch", "lr_scheduler_type": "reduce_lr_on_plateau"},
        {"eval_strategy": "epoch", "eval_on_start": True, "metric_for_best_model": "mrr@3"},
        {"activation_checkpointing": True},
    ],
)
def test_they_train(settings, make):
    trainer = make(**settings)
    before = trainer.evaluate()["eval_ndcg@10"]
    trainer.train()
    assert trainer.state.global_step == trainer.state.max_steps > 0
    assert trainer.evaluate()["eval_ndcg@10"] != before


@pytest.mark.parametrize("settings", [BEST, {"eval_strategy": "epoch", "save_strategy": "best"}])
def test_without_a_metric_the_best_checkpoint_is_that_of_ndcg(settings, make):
    trainer = make(**settings, learning_rate=0.05, num_train_epochs=4)
    trainer.train()
    found = [entry["eval_ndcg@10"] for entry in trainer.state.log_history if "eval_ndcg@10" in entry]
    assert trainer.state.best_metric == max(found)
    assert Path(trainer.state.best_model_checkpoint).name == f"checkpoint-{8 * (1 + int(np.argmax(found)))}"


def test_a_loss_of_compute_metrics_selects_the_best_checkpoint(make):
    losses = iter([0.5, 0.1, 0.3])
    trainer = make(**BEST, num_train_epochs=3, compute_metrics=lambda prediction: {"loss": next(losses)})
    trainer.train()
    assert trainer.state.best_metric == 0.1


def test_a_metric_that_compute_metrics_does_not_return_is_told(make):
    trainer = make(**BEST, metric_for_best_model="accuracy", compute_metrics=lambda prediction: {"other": 1.0})
    with pytest.raises(InputError, match=r"'accuracy' is not computed in validation, which gives ndcg@10, .*other\."):
        trainer.train()


def test_their_own_early_stopping_callback_stops(make):
    trainer = make(**BEST, learning_rate=1e-12, num_train_epochs=9)
    trainer.add_callback(EarlyStoppingCallback(2))
    trainer.train()
    assert trainer.state.epoch == 3


def test_the_learning_rate_falls_when_the_metric_does_not_rise(make):
    scores = iter([0.1, 0.2, 0.3, 0.3, 0.3])
    trainer = make(
        eval_strategy="epoch",
        lr_scheduler_type="reduce_lr_on_plateau",
        lr_scheduler_kwargs={"patience": 0},
        metric_for_best_model="score",
        compute_metrics=lambda prediction: {"score": next(scores)},
        num_train_epochs=5,
        logging_strategy="epoch",
        learning_rate=1e-3,
    )
    trainer.train()
    rates = [entry["learning_rate"] for entry in trainer.state.log_history if "learning_rate" in entry]
    assert rates == pytest.approx([1e-3, 1e-3, 1e-3, 1e-3, 1e-4])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"label_smoothing_factor": 0.1}, "label_smoothing_factor=0.1 cannot be used"),
        ({"include_for_metrics": ["loss"]}, "include_for_metrics has no effect"),
        ({"label_names": ["start"]}, "label_names has no effect"),
        ({"eval_accumulation_steps": 2}, "eval_accumulation_steps has no effect"),
        ({"fp16_full_eval": True}, "fp16_full_eval has no effect"),
        ({"learning_rate": 0.0}, "learning_rate=0.0 must be above 0"),
        ({"metric_for_best_model": "accuracy", "eval_strategy": "epoch"}, "Give one of hr, ndcg, mrr, recall"),
        ({**BEST, "metric_for_best_model": "eval_loss"}, "metric_for_best_model='loss' is not computed in validation"),
        ({"metric_for_best_model": "hr@40", "eval_strategy": "epoch"}, "'hr@40' is the same for every model, because"),
        ({**BEST, "eval_dataset": {"a": SEQUENCES["test"]}}, "such as 'a_ndcg@10'"),
    ],
)
def test_options_that_mean_nothing_are_refused(settings, message, make):
    with pytest.raises(InputError, match=message) as raised:
        make(**settings)
    assert "\n" not in str(raised.value)


def test_lists_as_long_as_the_catalogue_are_measured_but_select_only_by_rank(make):
    trainer = make(metric_for_best_model="ndcg@100", eval_strategy="epoch")
    ranks_U = trainer.predict(SEQUENCES["validation"]).predictions
    assert trainer.evaluate()["eval_ndcg@100"] == pytest.approx((1 / np.log2(1 + ranks_U)).mean())
    make(metric_for_best_model="hr@39", eval_strategy="epoch")


def test_a_model_saved_without_items_recommends(make, tmp_path):
    trainer = make()
    trainer.save_model(tmp_path / "model")
    recommender = Recommender.from_pretrained(tmp_path / "model", device="cpu")
    assert recommender.items.item_ids == TOKENIZER.item_ids
    counts = dict.fromkeys(TOKENIZER.item_ids, 0)
    for row in SEQUENCES["train"]:
        for item_id in TOKENIZER.decode_item_ids(row["input_ids"]):
            counts[item_id] += 1
    assert recommender.items.counts.tolist() == list(counts.values())
    assert len(recommender.recommend(TOKENIZER.item_ids[:2], k=5)) == 5


def test_without_histories_a_catalogue_in_the_folder_stays(make, tmp_path):
    trainer = make()
    trainer.save_model(tmp_path)
    before = (tmp_path / "items.parquet").read_bytes()
    settings = TrainingArguments(str(tmp_path), report_to="none")
    SequentialTrainer(tiny_model(len(TOKENIZER)), settings, processing_class=TOKENIZER).save_model()
    assert (tmp_path / "items.parquet").read_bytes() == before


def test_a_folder_of_the_plain_trainer_lacks_a_catalogue(tmp_path):
    settings = TrainingArguments(str(tmp_path), report_to="none")
    Trainer(tiny_model(len(TOKENIZER)), settings, processing_class=TOKENIZER).save_model()
    with pytest.raises(SavedFolderError, match=r"has no catalogue \(items\.parquet\)") as raised:
        Recommender.from_pretrained(tmp_path, device="cpu")
    assert "\n" not in str(raised.value)
