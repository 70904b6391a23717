"""An architecture that is no Transformer, from outside the package, passes the contract, which notices when it breaks.

It is `examples/gru4rec.py`, imported as any module of another package.
"""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from seqrec import Recommender, SasRecConfig, SasRecForNextItem
from seqrec.cli.train_flags import config_flags
from seqrec.modeling.modeling_auto import AutoModelForNextItem
from seqrec.modeling.objectives import training_collator
from seqrec.testing.model_contract import NUM_ITEMS, TINY, ModelContract
from seqrec.testing.tiny_inputs import HISTORIES

EXAMPLES = Path(__file__).parents[2] / "examples"

# Runs where neither seqrec nor gru4rec can be imported: loads the folder argv[1], and
# writes to argv[2] what it recommends.
STRANGER = """
import json, sys

class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("seqrec", "gru4rec"):
            raise ImportError(f"{name} is not installed here")

sys.meta_path.insert(0, NotInstalled())

from transformers import pipeline

pipe = pipeline("next-item-recommendation", model=sys.argv[1], trust_remote_code=True, device="cpu")
found = [one["item_id"] for one in pipe(["item 2", "item 0", "item 6"], top_k=5)]
assert not [name for name in sys.modules if name.partition(".")[0] in ("seqrec", "gru4rec")]
json.dump(found, open(sys.argv[2], "w"))
"""


@pytest.fixture(scope="module")
def gru4rec(forgets_what_is_registered):
    """The example, which registers itself when it is imported."""
    sys.path.insert(0, str(EXAMPLES))
    yield importlib.import_module("gru4rec")
    sys.path.remove(str(EXAMPLES))


@pytest.fixture
def model(gru4rec):
    torch.manual_seed(0)
    config = gru4rec.Gru4RecConfig(
        vocab_size=NUM_ITEMS + 3, hidden_size=16, max_position_embeddings=12, initializer_range=0.5
    )
    return AutoModelForNextItem.from_config(config).eval()


class TestGru4Rec(ModelContract):
    @pytest.fixture
    def config_class(self, gru4rec):
        return gru4rec.Gru4RecConfig


def reads_rows_as_they_are(self, events_BLD, layout):
    """Encode rows without their layout: a packed history continues from the previous one's state."""
    return self.gru(self.embedding_dropout(events_BLD))[0]


def test_a_state_that_leaks_between_packed_histories_fails(gru4rec, model, tokenizer, monkeypatch):
    ModelContract().test_packing_gives_the_loss_and_gradients_of_padding(model, tokenizer)
    monkeypatch.setattr(gru4rec.Gru4RecModel, "encode_sequences", reads_rows_as_they_are)
    with pytest.raises(AssertionError):
        ModelContract().test_packing_gives_the_loss_and_gradients_of_padding(model, tokenizer)


def test_padding_that_changes_a_result_fails(gru4rec, model, monkeypatch):
    ModelContract().test_padding_changes_no_user(model, "left")
    monkeypatch.setattr(gru4rec.Gru4RecModel, "encode_sequences", reads_rows_as_they_are)
    with pytest.raises(AssertionError):
        ModelContract().test_padding_changes_no_user(model, "left")


def test_shifted_labels_fail(gru4rec, model, tokenizer, monkeypatch):
    batch = training_collator(model, tokenizer)([{"input_ids": history} for history in HISTORIES])
    ModelContract().test_cross_entropy_is_that_of_the_logits(model, batch)
    measure_loss = gru4rec.Gru4RecForNextItem.measure_loss
    monkeypatch.setattr(
        gru4rec.Gru4RecForNextItem,
        "measure_loss",
        lambda self, hidden, labels, *others: measure_loss(self, hidden, labels.roll(1, dims=-1), *others),
    )
    with pytest.raises(AssertionError):
        ModelContract().test_cross_entropy_is_that_of_the_logits(model, batch)


def test_a_transformer_skips_nothing_of_attention(monkeypatch):
    torch.manual_seed(0)
    config = SasRecConfig(vocab_size=NUM_ITEMS + 3, **TINY, initializer_range=0.5)
    model = AutoModelForNextItem.from_config(config).eval()
    ModelContract().test_attention_implementations_agree(model, "eager")
    model.set_attn_implementation("sdpa")
    monkeypatch.setattr(
        "seqrec.modeling.attention.eager_attention", lambda module, query, key, value, *_, **__: (value, None)
    )
    with pytest.raises((AssertionError, RuntimeError)):
        ModelContract().test_attention_implementations_agree(model, "eager")


def test_fields_that_mean_nothing_to_it_are_neither_fields_nor_flags(gru4rec):
    for name in ("num_attention_heads", "intermediate_size", "position_embedding_type", "attention_dropout"):
        assert name in config_flags("sasrec")
        assert name not in config_flags("gru4rec")
        with pytest.raises(ValueError, match=f"Gru4RecConfig has no field '{name}'"):
            gru4rec.Gru4RecConfig(**{name: 1})
    assert config_flags("gru4rec")["num_hidden_layers"] == (1, "GRU layers. One is best in the paper.")


def test_it_recommends_where_neither_seqrec_nor_the_example_can_be_imported(model, tokenizer, items, tmp_path):
    recommender = Recommender(model, tokenizer, items)
    recommender.save_pretrained(tmp_path / "saved")
    code = (tmp_path / "saved" / "gru4rec.py").read_text(encoding="utf-8")
    assert "register_architecture" not in code
    assert "__main__" not in code
    done = subprocess.run(
        [sys.executable, "-c", STRANGER, tmp_path / "saved", tmp_path / "found.json"],
        cwd=tmp_path,
        env=os.environ | {"HF_HUB_OFFLINE": "1", "HF_MODULES_CACHE": str(tmp_path / "modules"), "PYTHONPATH": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    expected = [one.item_id for one in recommender.recommend(["item 2", "item 0", "item 6"], k=5)]
    assert json.loads((tmp_path / "found.json").read_text()) == expected


def test_a_head_declares_the_capabilities_of_its_backbone_except_its_own(gru4rec):
    class OwnHead(gru4rec.Gru4RecForNextItem):
        backbone_class = gru4rec.Gru4RecModel
        _no_split_modules = ["GRU"]  # noqa: RUF012, as the library declares it

    assert OwnHead._no_split_modules == ["GRU"]
    assert not OwnHead._can_compile_fullgraph
    assert not OwnHead.uses_attention
    assert SasRecForNextItem.uses_attention
