"""Extensions of another package train, save, load as remote code and recommend, like those of seqrec.

`tests/fixtures/outside` is such a package: an event column, an item part, positions and an architecture.
"""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from transformers import Trainer, TrainingArguments

from seqrec import Recommender, SasRecConfig, SasRecForNextItem, SequentialTrainer, SequentialTrainingArguments
from seqrec.hub import remote_code
from seqrec.interactions.histories import Histories
from seqrec.modeling.event_parts import EVENT_PARTS
from seqrec.modeling.item_encoder import ITEM_PARTS
from seqrec.modeling.modeling_auto import register_architecture
from seqrec.modeling.objectives import training_collator
from seqrec.testing.model_contract import ModelContract
from seqrec.training.accelerate_loop import train_with_accelerate

OUTSIDE = Path(__file__).parent.parent / "fixtures" / "outside"
SIZES = {"vocab_size": 43, "hidden_size": 16, "intermediate_size": 32, "max_position_embeddings": 12}

REQUEST = {"history": ["item 2", "item 0", "item 6"], "device": ["tv", "car", "phone"]}

# Runs where neither package can be imported: loads the folder argv[1] and saves it to argv[2], and writes to argv[3]
# what both compute and recommend.
STRANGER = """
import sys

class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("seqrec", "outside_recsys"):
            raise ImportError(f"{name} is not installed here")

sys.meta_path.insert(0, NotInstalled())

import torch
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer, pipeline

found = {}
ids, device = torch.tensor([[5, 3, 9, 4, 30]]), torch.tensor([[1, 2, 0, 3, 1]])
with torch.no_grad():
    for name, folder in zip(("saved", "resaved"), sys.argv[1:3]):
        backbone = AutoModel.from_pretrained(folder, trust_remote_code=True).eval()
        model = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True).eval()
        columns = {"device": device} if model.config.context_columns else {}
        found[name] = {
            "users": model.encode_users(ids, **columns),
            "users of the backbone": backbone.encode_users(ids, **columns),
            "items": model.encode_items(),
            "some items": model.encode_items(ids),
            "logits": model(ids, **columns).logits,
        }
        pipe = pipeline("next-item-recommendation", model=folder, trust_remote_code=True, device="cpu")
        found[name]["recommended"] = pipe({request}, top_k=5)
        model.save_pretrained(sys.argv[2])
        AutoTokenizer.from_pretrained(folder).save_pretrained(sys.argv[2])
assert not [name for name in sys.modules if name.partition(".")[0] in ("seqrec", "outside_recsys")]
torch.save(found, sys.argv[3])
"""


@pytest.fixture(scope="module")
def outside(forgets_what_is_registered):
    """Import the other package, and forget it afterwards."""
    sys.path.insert(0, str(OUTSIDE))
    for name in ("device_part", "description_part"):
        importlib.import_module(f"outside_recsys.{name}")
    module = importlib.import_module("outside_recsys.modeling_alibirec")
    register_architecture(module.AlibiRecConfig, module.AlibiRecModel, module.AlibiRecForNextItem)
    yield module
    sys.path.remove(str(OUTSIDE))


@pytest.fixture(params=["their architecture", "ours"])
def model(request, outside):
    """A model that reads the column and the part: of their architecture, or of one of ours."""
    torch.manual_seed(0)
    parts = {"context_columns": ["device"], "item_parts": ["description"], "initializer_range": 0.5}
    if request.param == "ours":
        model = SasRecForNextItem(SasRecConfig(**SIZES, **parts))
    else:
        model = outside.AlibiRecForNextItem(outside.AlibiRecConfig(**SIZES, **parts))
    model.model.item_encoder.parts["description"].vectors.normal_()
    return model.eval()


IDS, DEVICE = torch.tensor([[5, 3, 9, 4, 30]]), torch.tensor([[1, 2, 0, 3, 1]])


@torch.no_grad()
def computed(model):
    """What a model makes of one history."""
    return {
        "users": model.encode_users(IDS, device=DEVICE),
        "users of the backbone": model.model.encode_users(IDS, device=DEVICE),
        "items": model.encode_items(),
        "some items": model.encode_items(IDS),
        "logits": model(IDS, device=DEVICE).logits,
    }


@torch.no_grad()
def test_vectors_are_the_sums_of_their_parts(model):
    encoder, device = model.model.item_encoder, model.model.event_parts["device"]
    expected_VD = (
        encoder.weight + encoder.parts["description"].vectors @ encoder.parts["description"].projection.weight.T
    )
    torch.testing.assert_close(model.encode_items(), expected_VD)
    torch.testing.assert_close(model.encode_items(IDS), expected_VD[IDS])
    embeds = expected_VD[IDS] + device.embedding.weight[DEVICE]
    without = model(inputs_embeds=embeds, device=torch.zeros_like(DEVICE)).logits  # code 0 is the zero vector
    torch.testing.assert_close(without, model(IDS, device=DEVICE).logits)


def test_a_missing_and_an_unread_column_are_named(model):
    with pytest.raises(ValueError, match="reads the event column 'device', which was not given"):
        model.encode_users(IDS)
    with pytest.raises(ValueError, match="reads the event column 'device', which was not given"):
        model(IDS)
    with pytest.raises(ValueError, match="does not read the event column 'rating', only input_ids, device"):
        model.encode_users(IDS, device=DEVICE, rating=DEVICE)


@torch.no_grad()
@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_a_bias_of_positions_reaches_attention(outside, implementation):
    """Against rotary-free attention written out; batches, padding and packing see the same distances."""
    model = outside.AlibiRecForNextItem(outside.AlibiRecConfig(**SIZES, initializer_range=0.5)).eval()
    model.set_attn_implementation(implementation)
    block = model.model.layers[0]
    hidden_LD = model.model.item_embedding(IDS)[0] * 4
    query, key, value = block.attention.query_key_value(block.attention_norm(hidden_LD)).view(5, 3, 2, 8).unbind(1)
    heads = []
    for head, slope in enumerate((2**-4, 2**-8)):
        scores_LL = query[:, head] @ key[:, head].T / 8**0.5
        for one in range(5):
            for other in range(5):
                scores_LL[one, other] -= slope * (one - other) if other <= one else torch.inf
        heads.append(scores_LL.softmax(-1) @ value[:, head])
    mixed_LD = hidden_LD + block.attention.output(torch.cat(heads, dim=1))
    expected = mixed_LD + block.feed_forward(block.feed_forward_norm(mixed_LD))
    found = model(IDS, output_hidden_states=True).hidden_states
    torch.testing.assert_close(found[1][0], expected, atol=1e-4, rtol=1e-4)

    user = model.encode_users(IDS)
    left = torch.nn.functional.pad(IDS, (2, 0)), torch.tensor([[0, 0, 1, 1, 1, 1, 1]])
    right = torch.nn.functional.pad(IDS, (0, 2)), torch.tensor([[1, 1, 1, 1, 1, 0, 0]])
    for padded in (left, right):
        torch.testing.assert_close(model.encode_users(*padded), user, atol=1e-4, rtol=1e-4)
    packed = model.model(torch.cat([IDS, IDS], dim=1), position_ids=torch.arange(5).repeat(2)[None]).last_hidden_state
    torch.testing.assert_close(packed[:, [4, 9]], user.expand(1, 2, 16), atol=1e-4, rtol=1e-4)


def test_a_bias_is_refused_where_attention_cannot_add_it(outside):
    model = outside.AlibiRecForNextItem(outside.AlibiRecConfig(**SIZES)).eval()
    model.set_attn_implementation("flex_attention")
    with pytest.raises(ValueError, match="add a bias to attention scores, which 'flex_attention' does not support"):
        model.encode_users(IDS)


def test_the_vocabulary_grows_with_its_parts(model):
    before = computed(model)
    model.resize_token_embeddings(50, mean_resizing=False)
    assert len(model.encode_items()) == 50
    torch.testing.assert_close(model.encode_items()[:43], before["items"])
    torch.testing.assert_close(model.encode_users(IDS, device=DEVICE), before["users"])


def histories():
    """Histories in which the device decides the next item: on each, a chain of its own."""
    generator, rows = np.random.default_rng(0), []
    for _ in range(60):
        device, item = generator.integers(1, 3), generator.integers(0, 40)
        steps = np.arange(generator.integers(3, 20)) * (1 if device == 1 else 7)
        rows.append({"input_ids": (item + steps) % 40 + 3, "device": np.full(len(steps), device)})
    return Histories.from_rows(rows)


def train_by_accelerate(model, tokenizer, rows, packing):
    """Train by the bare loop; return the mean loss of each epoch."""
    losses = []
    train_with_accelerate(
        model,
        rows,
        training_collator(model, tokenizer, packing=packing),
        num_epochs=2,
        batch_size=8,
        learning_rate=0.01,
        accelerator=Accelerator(cpu=True),
        after_epoch=lambda _, loss: losses.append(loss),
    )
    return losses


@pytest.mark.parametrize("packing", [True, False])
@pytest.mark.parametrize("loop", ["SequentialTrainer", "Trainer", "Accelerate"])
def test_it_is_trained_with_its_columns(model, tokenizer, loop, packing, tmp_path):
    rows = histories()
    settings = {"num_train_epochs": 2, "per_device_train_batch_size": 8, "learning_rate": 0.01, "report_to": "none"}
    settings |= {"save_strategy": "no", "disable_tqdm": True, "use_cpu": True, "logging_steps": 1}
    settings |= {"dataloader_pin_memory": False}
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    if loop == "SequentialTrainer":
        arguments = SequentialTrainingArguments(
            str(tmp_path), packing=packing, eval_strategy="no", load_best_model_at_end=False, **settings
        )
        train_dataset = rows if packing else rows.to_dataset()
        trainer = SequentialTrainer(model, arguments, processing_class=tokenizer, train_dataset=train_dataset)
    elif loop == "Trainer":
        arguments = TrainingArguments(str(tmp_path), remove_unused_columns=False, **settings)
        collator = training_collator(model, tokenizer, packing=packing)
        trainer = Trainer(model, arguments, data_collator=collator, train_dataset=rows.to_dataset())
    if loop == "Accelerate":
        losses = train_by_accelerate(model, tokenizer, rows.to_dataset(), packing)
    else:
        trainer.train()
        losses = [log["loss"] for log in trainer.state.log_history if "loss" in log]
    assert losses[-1] < losses[0]
    unmoved = {name for name, weight in model.state_dict().items() if torch.equal(weight, before[name])}
    assert unmoved == {"model.item_embedding.parts.description.vectors"}


@torch.no_grad()
def test_it_is_validated_with_its_columns(model, tokenizer, tmp_path):
    rows = histories().newest(8).select(range(20))
    rows.rows["target"] = np.arange(3, 23)
    settings = {"eval_strategy": "no", "load_best_model_at_end": False, "use_cpu": True, "disable_tqdm": True}
    arguments = SequentialTrainingArguments(str(tmp_path), exclude_seen=False, **settings)
    trainer = SequentialTrainer(model, arguments, processing_class=tokenizer)
    expected = []
    for row in rows:
        ids, device = (torch.from_numpy(row[name][None].astype(np.int64)) for name in ("input_ids", "device"))
        scores = (model.encode_users(ids, device=device) @ model.encode_items().T)[0, 3:]
        expected.append(int((scores >= scores[row["target"] - 3]).sum()))
    for form in (rows, rows.to_dataset()):
        assert trainer.predict(form).predictions.tolist() == expected


def test_it_recommends_where_neither_package_can_be_imported(model, tokenizer, items, tmp_path):
    recommender = Recommender(model, tokenizer, items)
    recommender.save_pretrained(tmp_path / "saved")
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            STRANGER.replace("{request}", repr(REQUEST)),
            tmp_path / "saved",
            tmp_path / "resaved",
            tmp_path / "found.pt",
        ],
        cwd=tmp_path,
        env=os.environ | {"HF_HUB_OFFLINE": "1", "HF_MODULES_CACHE": str(tmp_path / "modules"), "PYTHONPATH": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = torch.load(tmp_path / "found.pt", weights_only=True)
    expected = computed(model)
    listed = recommender.recommend(REQUEST["history"], k=5, device=REQUEST["device"])
    for name in ("saved", "resaved"):
        recommended = found[name].pop("recommended")
        assert [one["item_id"] for one in recommended] == [one.item_id for one in listed]
        assert [one["score"] for one in recommended] == pytest.approx([one.score for one in listed], abs=1e-4)
        for key, value in expected.items():
            torch.testing.assert_close(found[name][key], value, atol=1e-5, rtol=1e-5)  # memory decides the last bit


def test_it_loads_and_recommends_where_both_are_installed(model, tokenizer, items, tmp_path):
    Recommender(model, tokenizer, items).save_pretrained(tmp_path)
    loaded = Recommender.from_pretrained(tmp_path, device="cpu").model
    assert type(loaded) is type(model)
    torch.testing.assert_close(computed(loaded), computed(model), atol=1e-5, rtol=1e-5)


def test_a_class_that_was_not_registered_is_saved_without_code(outside, model, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(remote_code.logger, "warning_once", said.append)
    subclass = type("Mine", (type(model),), {"__module__": "mine.modeling"})
    subclass(model.config).save_pretrained(tmp_path)
    assert not list(tmp_path.glob("*.py"))
    assert "Mine is not a class of seqrec and was not registered. Call register_architecture()" in said[0]


def test_a_part_of_no_module_is_saved_without_code(model, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(remote_code.logger, "warning_once", said.append)
    monkeypatch.setattr(type(model.model.event_parts["device"]), "__module__", "__main__")
    model.save_pretrained(tmp_path)
    assert not list(tmp_path.glob("*.py"))
    assert "DevicePart is defined in a script or function. Move it to the top level of a module" in said[0]


def test_a_trained_model_has_a_card(model, tokenizer, items, tmp_path):
    arguments = SequentialTrainingArguments(
        str(tmp_path), eval_strategy="no", load_best_model_at_end=False, max_steps=1, use_cpu=True, disable_tqdm=True
    )
    trainer = SequentialTrainer(model, arguments, processing_class=tokenizer, train_dataset=histories(), items=items)
    trainer.train()
    trainer.save_model()
    trainer.create_model_card()
    assert "`context_columns`" in (tmp_path / "README.md").read_text(encoding="utf-8")


def test_parts_that_nobody_registered_are_named():
    for fields, part in (
        ({"context_columns": ["mood"]}, "event part is registered for 'mood'"),
        ({"item_parts": ["mood"]}, "item part 'mood' is registered"),
    ):
        with pytest.raises(ValueError, match=rf"No {part} .*Import the module that"):
            SasRecForNextItem(SasRecConfig(**SIZES, **fields))


def test_names_are_taken_once(outside, model):
    with pytest.raises(ValueError, match="model_type 'alibirec' is already registered, for"):
        register_architecture(outside.AlibiRecConfig, outside.AlibiRecModel, outside.AlibiRecForNextItem)
    for registry, register in (
        (EVENT_PARTS, "seqrec.modeling.event_parts.register_event_part"),
        (ITEM_PARTS, "seqrec.modeling.item_encoder.register_item_part"),
    ):
        module, _, name = register.rpartition(".")
        ((_, part),) = registry.items()
        same = type(part.__name__, (part,), {})
        with pytest.raises(ValueError, match=r"^Another (event|item) part, .*, (already reads|is already named) "):
            getattr(importlib.import_module(module), name)(same)


class TestTheirArchitecture(ModelContract):
    @pytest.fixture
    def config_class(self, outside):
        return outside.AlibiRecConfig
