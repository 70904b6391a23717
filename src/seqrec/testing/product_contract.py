"""Contract tests of saving, sharing, training and serving."""

import copy
import json
import sys

import polars as pl
import pytest
import torch
from accelerate import Accelerator
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoModelForMaskedLM, pipeline
from transformers.dynamic_module_utils import get_class_from_dynamic_module, get_imports

from seqrec.hub.model_card import save_model_card
from seqrec.inference.recommender import Recommender
from seqrec.interactions.histories import Histories
from seqrec.interactions.special_tokens import NUM_SPECIAL_TOKENS
from seqrec.modeling.modeling_auto import AutoModelForNextItem
from seqrec.modeling.objectives import training_collator
from seqrec.modeling.pipeline_next_item import TASK
from seqrec.testing.feature_contract import FEATURES
from seqrec.testing.popularity_contract import set_some_events
from seqrec.testing.tiny_inputs import (
    HISTORIES,
    NUM_ITEMS,
    every_encoding,
    inputs_of,
    rows_of,
    users_one_by_one,
    without_dropout,
)
from seqrec.training.accelerate_loop import train_with_accelerate
from seqrec.training.arguments import SequentialTrainingArguments
from seqrec.training.trainer import SequentialTrainer

__all__ = ["ProductContract"]

FEW_CHOICES = {
    "default": {},
    **{time: {"time_encoding": "relative", "request_time": time} for time in ("last_event", "target")},
    "features and popularity": {**FEATURES["free"], "popularity_windows": [7], "request_time": "target"},
}

WITH_TASKS = FEW_CHOICES | {
    "tasks": {"tasks": ["next_item", "rating", "like"], "rating_scale": [1, 5], "past_labels": ["rating"]}
}
EVERY_SCORE = FEW_CHOICES | {"cosine": {"logit_scale": 5.0}}


def train_by_trainer(model, rows, tokenizer, packing, folder):
    """Train by `SequentialTrainer`; return the loss of each epoch."""
    arguments = SequentialTrainingArguments(
        str(folder),
        packing=packing,
        num_train_epochs=3,
        per_device_train_batch_size=8,
        learning_rate=0.01,
        lr_scheduler_type="constant",
        logging_strategy="epoch",
        save_strategy="no",
        eval_strategy="no",
        load_best_model_at_end=False,
        use_cpu=True,
        disable_tqdm=True,
    )
    trainer = SequentialTrainer(model, arguments, processing_class=tokenizer, train_dataset=rows)
    trainer.train()
    return [log["loss"] for log in trainer.state.log_history if "loss" in log]


def train_by_accelerate(model, rows, tokenizer, packing, folder):
    """Train by the bare loop; return the loss of each epoch."""
    losses = []
    train_with_accelerate(
        model,
        rows,
        training_collator(model, tokenizer, packing=packing, seed=1),
        num_epochs=3,
        batch_size=8,
        learning_rate=0.01,
        accelerator=Accelerator(cpu=True),
        after_epoch=lambda _, loss: losses.append(loss),
    )
    return losses


class ProductContract:
    """Every model can be saved, shared, trained and served; `ModelContract` includes these tests."""

    def test_config_survives_saving(self, tiny_config, tmp_path):
        tiny_config.save_pretrained(tmp_path)
        loaded = AutoConfig.from_pretrained(tmp_path)
        assert type(loaded) is type(tiny_config)
        loaded._name_or_path = ""
        assert loaded.to_dict() == tiny_config.to_dict()

    def test_config_refuses_a_misspelt_field(self, tiny_config):
        with pytest.raises(ValueError, match="Did you mean 'hidden_size'"):
            type(tiny_config)(hiden_size=8)

    @every_encoding
    def test_weights_survive_saving_exactly(self, tiny_model, tmp_path):
        tiny_model.save_pretrained(tmp_path)
        loaded = AutoModelForNextItem.from_pretrained(tmp_path).eval()
        for name, tensor in tiny_model.state_dict().items():
            assert torch.equal(loaded.state_dict()[name], tensor), name
        assert torch.equal(users_one_by_one(loaded), users_one_by_one(tiny_model))

    def test_a_saved_model_has_its_code_beside_it_again_and_again(self, tiny_model, tmp_path):
        tiny_model.save_pretrained(tmp_path / "first")
        AutoModelForNextItem.from_pretrained(tmp_path / "first").save_pretrained(tmp_path / "second")
        first, second = (
            {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("first", "second")
        )
        assert first == second
        for reference in json.loads(first["config.json"])["auto_map"].values():
            assert f"{reference.split('.')[0]}.py" in first

    def test_a_loaded_model_names_no_code_that_is_not_beside_it(self, tiny_model, tmp_path):
        tiny_model.save_pretrained(tmp_path / "first")
        loaded = AutoModelForNextItem.from_pretrained(tmp_path / "first")
        loaded.write_code = None
        loaded.save_pretrained(tmp_path / "second")
        assert "auto_map" not in (tmp_path / "second" / "config.json").read_text()

    def test_auto_classes_load_backbone_and_head(self, tiny_model, tmp_path):
        tiny_model.save_pretrained(tmp_path)
        backbone = AutoModel.from_pretrained(tmp_path).eval()
        assert type(backbone) is type(tiny_model.model)
        assert torch.equal(users_one_by_one(backbone), users_one_by_one(tiny_model))
        auto_head = AutoModelForCausalLM if tiny_model.objective.is_causal else AutoModelForMaskedLM
        assert type(auto_head.from_pretrained(tmp_path)) is type(tiny_model)

    def test_loads_onto_a_device_map(self, tiny_model, tmp_path):
        tiny_model.save_pretrained(tmp_path)
        loaded = AutoModelForNextItem.from_pretrained(tmp_path, device_map={"": "cpu"}).eval()
        assert torch.equal(users_one_by_one(loaded), users_one_by_one(tiny_model))

    @pytest.mark.parametrize("choices", WITH_TASKS.values(), ids=WITH_TASKS)
    def test_its_code_loads_from_the_folder_alone(self, tiny_model, tmp_path, monkeypatch):
        """The saved modules are imported in place of the installed ones, as by `trust_remote_code=True`."""
        tiny_model.save_pretrained(tmp_path / "saved")
        packages = {"seqrec", type(tiny_model).__module__.partition(".")[0]}
        for path in (tmp_path / "saved").glob("*.py"):
            assert not packages & {*get_imports(path)}, f"{path.name} needs an installed package"
        monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
        monkeypatch.syspath_prepend(tmp_path / "modules")
        before = forget_remote_code()
        try:
            references = json.loads((tmp_path / "saved" / "config.json").read_text())["auto_map"]
            classes = {
                auto: get_class_from_dynamic_module(reference, tmp_path / "saved")
                for auto, reference in references.items()
            }
            head_class = classes[tiny_model.objective.auto_class]
            assert head_class is not type(tiny_model)
            assert head_class.__module__.startswith("transformers_modules.")
            for class_ in (classes["AutoModel"], head_class):
                loaded = class_.from_pretrained(tmp_path / "saved").eval()
                torch.testing.assert_close(users_one_by_one(loaded), users_one_by_one(tiny_model))
            if tiny_model.config.label_tasks:
                pairs = users_one_by_one(tiny_model), torch.tensor(HISTORIES[1]).expand(len(HISTORIES), -1)
                torch.testing.assert_close(loaded.predict_tasks(*pairs), tiny_model.predict_tasks(*pairs))
        finally:
            forget_remote_code()
            sys.modules.update(before)

    @pytest.mark.parametrize("choices", WITH_TASKS.values(), ids=WITH_TASKS)
    @pytest.mark.parametrize("train", [train_by_trainer, train_by_accelerate])
    def test_learns_the_same_from_packed_and_padded_batches(self, tiny_model, tokenizer, train, tmp_path):
        rows = rows_of(
            tiny_model, [[(start + step) % NUM_ITEMS + 3 for step in range(2 + start % 9)] for start in range(40)]
        )
        packed, unpacked = (
            train(
                without_dropout(copy.deepcopy(tiny_model)),
                Histories.from_rows(rows) if packing else Histories.from_rows(rows).to_dataset(),
                tokenizer,
                packing,
                tmp_path,
            )
            for packing in (True, False)
        )
        assert packed[-1] < 0.9 * packed[0]
        assert packed == pytest.approx(unpacked, rel=1e-2)

    @pytest.mark.parametrize("choices", EVERY_SCORE.values(), ids=EVERY_SCORE)
    def test_users_times_items_is_what_recommend_ranks_by(self, tiny_model, tokenizer):
        if tiny_model.recent_counts is not None:
            set_some_events(tiny_model)
        recommender = recommender_of(tiny_model, tokenizer)
        for history in HISTORIES:
            (row,) = rows_of(tiny_model, [history])
            times = {"timestamps": row["timestamps"]} if "timestamps" in row else {}
            if "request_times" in tiny_model.config.event_columns:
                times["at"] = row["target_timestamp"]
            users_1D = tiny_model.encode_users(**inputs_of(tiny_model, [history]))
            scores_I = (users_1D @ tiny_model.encode_items().T)[0, NUM_SPECIAL_TOKENS:]
            order_I = scores_I.argsort(descending=True, stable=True)
            found = recommender.recommend(names_of(history), k=NUM_ITEMS, exclude_seen=False, **times)
            assert [one.item_id for one in found] == [f"item {row}" for row in order_I.tolist()]
            assert [one.score for one in found] == pytest.approx(scores_I[order_I].tolist(), abs=1e-4)

    def test_pipeline_and_loaded_recommender_answer_as_before(self, tiny_model, tokenizer, tmp_path):
        recommender = recommender_of(tiny_model, tokenizer)
        recommender.save_pretrained(tmp_path)
        loaded, pipe = Recommender.from_pretrained(tmp_path, device="cpu"), pipeline(TASK, str(tmp_path), device="cpu")
        for history in (["item 2", "item 0", "item 6"], ["item 5"], [f"item {index}" for index in range(20)]):
            expected = {one.item_id: pytest.approx(one.score, abs=1e-5) for one in recommender.recommend(history, k=5)}
            assert {one.item_id: one.score for one in loaded.recommend(history, k=5)} == expected
            assert {one["item_id"]: one["score"] for one in pipe(history, top_k=5)} == expected

    def test_has_a_card(self, tiny_model, tokenizer, tmp_path):
        recommender_of(tiny_model, tokenizer).save_pretrained(tmp_path)
        card = save_model_card(tmp_path).read_text(encoding="utf-8")
        config = tiny_model.config
        assert (config.display_name or config.model_type) in card
        assert config.summary in card
        assert config.paper in card
        assert config.citation in card


def names_of(history):
    """Return the raw ids of token ids."""
    return [f"item {token_id - NUM_SPECIAL_TOKENS}" for token_id in history]


def recommender_of(model, tokenizer):
    """Make a recommender whose items have titles."""
    titles = [f"Title of {item_id}" for item_id in tokenizer.item_ids]
    counts = range(NUM_ITEMS, 0, -1)
    items = pl.DataFrame({"item_id": tokenizer.item_ids, "title": titles, "count": counts})
    return Recommender(model, tokenizer, items)


def forget_remote_code():
    """Remove imported modules of remote code from `sys.modules`, and return them."""
    names = [name for name in sys.modules if name.partition(".")[0] == "transformers_modules"]
    return {name: sys.modules.pop(name) for name in names}
