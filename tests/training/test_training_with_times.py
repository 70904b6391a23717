"""Models with times train by every means on the same batches, refuse what are no times, and say what they know."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Trainer, TrainingArguments

from seqrec import AutoModelForNextItem, SequentialTrainer, SequentialTrainingArguments, training_collator
from seqrec.errors import InputError
from seqrec.evaluation.evaluator import rank_dataset
from seqrec.evaluation.tables import metrics_table
from seqrec.hub.model_card import save_model_card
from seqrec.interactions.data_arguments import DataArguments
from seqrec.interactions.synthetic import synthetic_interactions
from seqrec.modeling.modeling_auto import MODEL_TYPES
from seqrec.training.accelerate_loop import train_with_accelerate
from seqrec.training.job import run_job

sys.path.insert(0, str(Path(__file__).parents[1] / "fixtures"))
from train_tiny import tiny_data

SEQUENCES, TOKENIZER = tiny_data()
FIELDS = {"hidden_size": 16, "intermediate_size": 32, "max_position_embeddings": 12, "hidden_dropout": 0.0}
UNSAVED = {"eval_strategy": "no", "save_strategy": "no", "disable_tqdm": True, "use_cpu": True, "report_to": "none"}


def make(request_time="last_event", model_type="sasrec"):
    torch.manual_seed(0)
    chosen = {"time_encoding": "relative", "request_time": request_time}
    config = MODEL_TYPES[model_type](vocab_size=len(TOKENIZER), **FIELDS, **chosen)
    return AutoModelForNextItem.from_config(config)


TRAIN, VALIDATION = SEQUENCES["train"], SEQUENCES["validation"]


def trainer_of(model, rows, folder, **settings):
    arguments = {"num_train_epochs": 1, "load_best_model_at_end": False, **UNSAVED, **settings}
    return SequentialTrainer(
        model,
        SequentialTrainingArguments(str(folder), **arguments),
        processing_class=TOKENIZER,
        train_dataset=rows,
        eval_dataset=VALIDATION,
    )


@pytest.mark.parametrize("request_time", ["last_event", "target"])
@pytest.mark.parametrize("kind", ["dataset", "stream"])
def test_rows_of_every_kind_train_the_same_model(kind, request_time, tmp_path):
    rows = TRAIN.to_dataset()
    if kind == "stream":
        rows = rows.to_iterable_dataset()
    found = trainer_of(make(request_time), rows, tmp_path, max_steps=4, per_device_train_batch_size=len(TRAIN))
    found.train()
    expected = trainer_of(make(request_time), TRAIN, tmp_path, max_steps=4, per_device_train_batch_size=len(TRAIN))
    expected.train()
    torch.testing.assert_close(found.model.state_dict(), expected.model.state_dict(), rtol=1e-4, atol=1e-5)
    assert found.model.model.time_encoding.state_dict() != {}
    assert all(weight.any() for weight in found.model.model.time_encoding.state_dict().values())
    assert 0 < found.evaluate()["eval_ndcg@10"] < 1


@pytest.mark.parametrize("request_time", ["last_event", "target"])
def test_the_trainer_of_the_library_passes_times_on(request_time, tmp_path):
    model = make(request_time)
    arguments = TrainingArguments(str(tmp_path), remove_unused_columns=False, max_steps=2, **UNSAVED)
    Trainer(model, arguments, data_collator=training_collator(model, TOKENIZER), train_dataset=TRAIN).train()
    assert all(weight.any() for weight in model.model.time_encoding.state_dict().values())


NUMBERED = replace(TRAIN, columns=TRAIN.columns | {"timestamps": np.arange(len(TRAIN.columns["input_ids"]))})
NO_TIMES = r"reads `timestamps` as seconds since 1970, but .* numbers from 0 to \d+\. Expected times"


@pytest.mark.parametrize("kind", ["histories", "stream"])
def test_a_trainer_refuses_positions_as_times(kind, tmp_path):
    rows = NUMBERED.to_dataset().to_iterable_dataset() if kind == "stream" else NUMBERED

    def train():
        trainer_of(make(), rows, tmp_path, max_steps=1).train()

    with pytest.raises(InputError, match=NO_TIMES):
        train()


def test_the_bare_loop_and_the_ranking_refuse_positions_as_times():
    model = make()
    with pytest.raises(InputError, match=NO_TIMES):
        train_with_accelerate(model, NUMBERED, training_collator(model, TOKENIZER), num_epochs=1)
    held_out = replace(VALIDATION, columns=VALIDATION.columns | NUMBERED.columns)
    with pytest.raises(InputError, match=NO_TIMES):
        rank_dataset(model, held_out, max_length=12)


def test_histories_without_times_are_refused(tmp_path):
    untimed = replace(TRAIN, columns={"input_ids": TRAIN.columns["input_ids"]})
    with pytest.raises(InputError, match="The histories have no timestamps; their columns are input_ids"):
        trainer_of(make(), untimed, tmp_path)


def test_a_target_without_the_time_of_its_request_is_refused():
    rows = {name: values for name, values in VALIDATION.rows.items() if name != "target_timestamp"}
    untimed = replace(VALIDATION, rows=rows)
    assert rank_dataset(make(), untimed, max_length=12).ranks_U.min() >= 1
    with pytest.raises(InputError, match=r"request_time='target'.*, but the rows have no target_timestamp\. Add it"):
        rank_dataset(make("target"), untimed, max_length=12)


@pytest.mark.parametrize("sets", [lambda rows: rows, lambda rows: {"other": rows}, lambda rows: rows.to_dataset()])
def test_a_trainer_refuses_targets_without_times_at_once(sets, tmp_path):
    rows = {name: values for name, values in VALIDATION.rows.items() if name != "target_timestamp"}
    with pytest.raises(InputError, match="but the rows have no target_timestamp"):
        SequentialTrainer(
            make("target"),
            SequentialTrainingArguments(str(tmp_path), num_train_epochs=1, use_cpu=True),
            processing_class=TOKENIZER,
            train_dataset=TRAIN,
            eval_dataset=sets(replace(VALIDATION, rows=rows)),
        )


@pytest.mark.parametrize("request_time", ["last_event", "target", None])
def test_figures_and_card_name_what_is_known_of_a_request(request_time, tmp_path):
    log = synthetic_interactions(num_users=40, num_items=30, num_tastes=2, mean_length=8)
    log.write_csv(tmp_path / "log.csv")
    chosen = {"time_encoding": "relative", "request_time": request_time} if request_time else {}
    trained = run_job(
        DataArguments(dataset=str(tmp_path / "log.csv")),
        SequentialTrainingArguments(str(tmp_path / "model"), num_train_epochs=1, disable_tqdm=True, quiet=True),
        model_type="sasrec",
        config_fields={**FIELDS, **chosen},
    )
    card = save_model_card(tmp_path / "model").read_text(encoding="utf-8")
    assert trained.metrics["protocol"].get("request_time") == request_time
    assert (f"request_time={request_time}" in metrics_table(trained.metrics)) == (request_time is not None)
    assert (f"(`request_time`: `{request_time}`)" in card) == (request_time is not None)
    assert ("request_time" in card) == (request_time is not None)
