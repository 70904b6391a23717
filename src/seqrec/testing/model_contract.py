"""Contract tests for architectures, run by pytest.

Shape suffixes: B batch, L length, V vocabulary.
"""

import numpy as np
import pytest
import torch

from seqrec.configuration.config_fields import own_fields
from seqrec.interactions.tokenization_items import ItemTokenizer
from seqrec.modeling.modeling_auto import HEADS, AutoModelForNextItem
from seqrec.modeling.objectives import training_collator
from seqrec.testing.attention_contract import AttentionContract
from seqrec.testing.cache_contract import CacheContract
from seqrec.testing.feature_contract import FeatureContract, feature_values
from seqrec.testing.popularity_contract import PopularityContract
from seqrec.testing.product_contract import ProductContract
from seqrec.testing.task_contract import TaskContract
from seqrec.testing.time_contract import TimeContract
from seqrec.testing.tiny_inputs import (
    HISTORIES,
    NUM_ITEMS,
    TINY,
    every_encoding,
    every_loss,
    exported_encoder,
    few_encodings,
    gradients,
    inputs_of,
    rows_of,
    skip_unless,
    users_one_by_one,
    with_numbers,
    without_dropout,
)

__all__ = ["NUM_ITEMS", "TINY", "ModelContract"]


class ModelContract(
    AttentionContract,
    CacheContract,
    TimeContract,
    PopularityContract,
    FeatureContract,
    TaskContract,
    ProductContract,
):
    """Tests that every architecture must pass.

    Name a subclass `Test…`, and override `config_class` with the architecture's configuration:

        class TestMyModel(ModelContract):
            @pytest.fixture
            def config_class(self):
                return MyConfig

    The architecture must be registered. If it has its own kinds of positions, these are tested.

    Tests of a capability are skipped if the backbone's class declares that it is missing: `uses_attention = False`,
    `position_classes = {}`, `supports_gradient_checkpointing = False`, or `_can_compile_fullgraph = False` for
    `torch.export`.

    Most tests vary one or two fields of the configuration. Exporting, which is slow, takes a selection: each kind of
    positions, each kind of times and each `request_time`, but not all pairs of the latter two; and of item features,
    the two configurations whose computations include those of the others.
    """

    @pytest.fixture
    def config_class(self):
        """The configuration class of the architecture."""
        raise NotImplementedError("Override the fixture config_class.")

    @pytest.fixture
    def choices(self):
        """Configuration fields that a test varies."""
        return {}

    @pytest.fixture
    def tiny_config(self, config_class, choices):
        """A tiny configuration."""
        model_class = HEADS[config_class.model_type].backbone_class
        position = choices.get("position_embedding_type", "learned")
        if position not in model_class.position_classes:
            if position != "learned":
                pytest.skip(f"{model_class.__name__} declares no {position} positions")
            choices = {name: choice for name, choice in choices.items() if name != "position_embedding_type"}
            # … and thus the architecture's own positions, if it has any
        encoding = choices.get("time_encoding", "none")
        if encoding != "none" and encoding not in getattr(model_class, "time_classes", {}):
            pytest.skip(f"{model_class.__name__} declares no {encoding} times")
        names = {field.name for field in own_fields(config_class)}
        sizes = {name: size for name, size in TINY.items() if name in names}
        return config_class(vocab_size=NUM_ITEMS + 3, **sizes, **choices)

    @pytest.fixture
    def tiny_model(self, tiny_config):
        """A tiny model, with wide initialisation and without zeros, so that its outputs differ from one another."""
        torch.manual_seed(0)
        tiny_config.initializer_range = 0.5
        model = with_numbers(AutoModelForNextItem.from_config(tiny_config)).eval()
        if tiny_config.item_features:
            model.set_feature_values(feature_values())
        return model

    @pytest.fixture
    def tokenizer(self):
        """A vocabulary of `NUM_ITEMS` items."""
        return ItemTokenizer.from_item_ids([f"item {index}" for index in range(NUM_ITEMS)])

    @pytest.fixture
    def batch(self, tiny_model, tokenizer):
        """A packed training batch."""
        torch.manual_seed(0)
        return training_collator(tiny_model, tokenizer)(rows_of(tiny_model, HISTORIES))

    @every_encoding
    @pytest.mark.parametrize("side", ["left", "right"])
    def test_padding_changes_no_user(self, tiny_model, side):
        torch.testing.assert_close(
            tiny_model.encode_users(**inputs_of(tiny_model, HISTORIES, side)),
            users_one_by_one(tiny_model),
            atol=1e-5,
            rtol=1e-5,
        )

    @pytest.mark.parametrize("side", ["left", "right"])
    def test_an_empty_row_gives_numbers_and_disturbs_no_other(self, tiny_model, side):
        users = tiny_model.encode_users(**inputs_of(tiny_model, [*HISTORIES, []], side))
        assert users.isfinite().all()
        torch.testing.assert_close(users[:-1], users_one_by_one(tiny_model), atol=1e-5, rtol=1e-5)

    def test_causal_models_do_not_look_ahead(self, tiny_model):
        if not tiny_model.objective.is_causal:
            pytest.skip("a bidirectional model looks ahead by design")
        # Positions count back from the newest item, so the two histories must be of one length.
        before = tiny_model(**inputs_of(tiny_model, [[5, 6, 7, 8, 9]])).logits
        after = tiny_model(**inputs_of(tiny_model, [[5, 6, 7, 30, 31]])).logits
        torch.testing.assert_close(after[:, :3], before[:, :3])
        assert not torch.allclose(after[:, 3:, 3:], before[:, 3:, 3:])

    @every_encoding
    def test_order_matters(self, tiny_model):
        forward, backward = (
            tiny_model.encode_users(**inputs_of(tiny_model, [ids])) for ids in ([5, 6, 7, 8], [7, 6, 5, 8])
        )
        assert not torch.allclose(forward, backward, atol=1e-3)

    @every_loss
    def test_packing_gives_the_loss_and_gradients_of_padding(self, tiny_model, tokenizer):
        without_dropout(tiny_model)
        rows = rows_of(tiny_model, [np.random.default_rng(seed).integers(3, 43, size=seed) for seed in range(1, 40)])
        batches = []
        for packing in (True, False):
            torch.manual_seed(1)  # the same masks, if the objective masks items
            batches.append(training_collator(tiny_model, tokenizer, packing=packing)(rows))
        packed, unpacked = (gradients(tiny_model, batch) for batch in batches)
        torch.testing.assert_close(packed, unpacked, atol=1e-5, rtol=1e-5)

    def test_cross_entropy_is_that_of_the_logits(self, tiny_model, batch):
        tiny_model.config.loss = "cross_entropy"
        logits = tiny_model(**{name: values for name, values in batch.items() if name != "labels"}).logits
        expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch["labels"].flatten())
        torch.testing.assert_close(tiny_model(**batch).loss, expected)

    @every_loss
    def test_loss_divides_by_the_labels_of_the_whole_step(self, tiny_model, batch):
        count = int((batch["labels"] != -100).sum())
        whole, _ = gradients(tiny_model, batch)
        half, _ = gradients(tiny_model, {**batch, "num_items_in_batch": 2 * count})
        torch.testing.assert_close(half, whole / 2)

    def test_special_tokens_are_never_likely(self, tiny_model):
        logits_BLV = tiny_model(**inputs_of(tiny_model, [[5, 6]])).logits
        assert torch.isinf(logits_BLV[..., :3]).all()
        assert torch.isfinite(logits_BLV[..., 3:]).all()

    def test_logits_to_keep(self, tiny_model):
        inputs = inputs_of(tiny_model, HISTORIES[1:2])
        torch.testing.assert_close(tiny_model(**inputs, logits_to_keep=1).logits, tiny_model(**inputs).logits[:, -1:])

    @every_loss
    def test_special_tokens_take_no_gradient(self, tiny_model, batch):
        batch["input_ids"][batch["input_ids"] == 3] = 4
        _, grads = gradients(tiny_model, batch)
        unread = [0, 1, 2] if tiny_model.objective.is_causal else [0, 2]  # a mask is read, though never predicted
        assert not grads["model.item_embedding.weight"][unread].any()

    @every_loss
    def test_gradient_checkpointing_changes_no_gradient(self, tiny_model, batch):
        skip_unless(tiny_model, "supports_gradient_checkpointing")
        expected = gradients(tiny_model, batch)
        is_renamed = hasattr(tiny_model, "activation_checkpointing_enable")  # later than transformers 5.20
        (tiny_model.activation_checkpointing_enable if is_renamed else tiny_model.gradient_checkpointing_enable)()
        without_dropout(tiny_model)
        torch.testing.assert_close(gradients(tiny_model, batch), expected)

    def test_runs_in_bfloat16(self, tiny_model, tmp_path):
        tiny_model.save_pretrained(tmp_path)
        half = AutoModelForNextItem.from_pretrained(tmp_path, dtype=torch.bfloat16).eval()
        users = half.encode_users(**inputs_of(half, HISTORIES, "right"))
        assert users.dtype == torch.bfloat16
        torch.testing.assert_close(users.float(), users_one_by_one(tiny_model), atol=0.1, rtol=0.1)

    @every_loss
    def test_bfloat16_autocast_keeps_the_loss(self, tiny_model, batch):
        expected, _ = gradients(tiny_model, batch)
        torch.manual_seed(0)  # the same negatives again
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = tiny_model(**batch).loss
        loss.backward()
        assert loss.dtype == torch.float32
        torch.testing.assert_close(loss, expected, atol=0.05, rtol=0.05)
        assert torch.isfinite(tiny_model.model.item_embedding.weight.grad).all()

    def test_compiles_without_graph_breaks_unless_it_declares_them(self, tiny_model):
        fullgraph = tiny_model._can_compile_fullgraph
        compiled = torch.compile(tiny_model.model, fullgraph=fullgraph, backend="aot_eager")
        inputs = inputs_of(tiny_model, HISTORIES, "right")
        with torch.no_grad():
            torch.testing.assert_close(
                compiled(**inputs).last_hidden_state, tiny_model.model(**inputs).last_hidden_state
            )

    @few_encodings
    def test_exports_with_dynamic_shapes(self, tiny_model):
        skip_unless(tiny_model, "_can_compile_fullgraph")

        exported, inputs = exported_encoder(tiny_model)
        torch.testing.assert_close(exported(inputs), tiny_model.encode_users(**inputs))

    def test_vocabulary_grows_and_keeps_what_was_learnt(self, tiny_model):
        before = users_one_by_one(tiny_model)
        tiny_model.resize_token_embeddings(60, mean_resizing=False)
        assert tiny_model.config.vocab_size == 60
        assert tiny_model(**inputs_of(tiny_model, [[5, 59]])).logits.shape == (1, 2, 60)
        torch.testing.assert_close(users_one_by_one(tiny_model), before)

    @every_loss
    def test_lora_trains_only_the_adapter_and_loads_again(self, tiny_model, batch, tmp_path):
        peft = pytest.importorskip("peft")
        tiny_model.save_pretrained(tmp_path / "base")
        has_linear = any(isinstance(module, torch.nn.Linear) for module in tiny_model.modules())
        targets = "all-linear" if has_linear else ["item_embedding"]
        lora = peft.LoraConfig(r=4, target_modules=targets, init_lora_weights=False)
        adapted = peft.get_peft_model(tiny_model, lora)
        adapted(**batch).loss.backward()
        with_gradient = [name for name, parameter in adapted.named_parameters() if parameter.grad is not None]
        assert with_gradient
        assert all("lora_" in name for name in with_gradient)
        adapted.save_pretrained(tmp_path / "adapter")
        base = AutoModelForNextItem.from_pretrained(tmp_path / "base").eval()
        loaded = peft.PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
        torch.testing.assert_close(users_one_by_one(loaded), users_one_by_one(adapted.eval()))

    def test_refuses_a_history_that_is_too_long(self, tiny_model):
        with pytest.raises(ValueError, match="positions was given, but this model reads at most 12"):
            tiny_model.encode_users(**inputs_of(tiny_model, [[5] * 13]))

    def test_takes_ids_or_embeddings_but_not_both(self, tiny_model):
        inputs = inputs_of(tiny_model, HISTORIES[1:2])
        embeds = tiny_model.get_input_embeddings()(inputs["input_ids"])
        without_ids = {name: values for name, values in inputs.items() if name != "input_ids"}
        torch.testing.assert_close(tiny_model(**without_ids, inputs_embeds=embeds).logits, tiny_model(**inputs).logits)
        with pytest.raises(ValueError, match="exactly one of input_ids and inputs_embeds"):
            tiny_model(**inputs, inputs_embeds=embeds)
