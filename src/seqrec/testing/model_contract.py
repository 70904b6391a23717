"""Contract tests for every architecture, to run under pytest.

Shape suffixes: B batch, L length, V vocabulary.
"""

import json
from contextlib import contextmanager
from typing import get_args

import numpy as np
import pytest
import torch
from transformers import (
    AttentionInterface,
    AttentionMaskInterface,
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
)
from transformers.masking_utils import flash_attention_mask

from seqrec.configuration.configuration_next_item import NextItemConfig
from seqrec.errors import InputError
from seqrec.interactions.tokenization_items import ItemTokenizer
from seqrec.modeling.modeling_auto import AutoModelForNextItem
from seqrec.modeling.objectives import training_collator

NUM_ITEMS = 40
TINY = {
    "hidden_size": 16,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 12,
}
HISTORIES = [[5, 9, 7], [3, 4, 5, 6, 7, 8, 9, 10], [20], [11, 30, 12, 31, 13]]


LOSSES = get_args(NextItemConfig.__annotations__["loss"])
every_loss = pytest.mark.parametrize("choices", [{"loss": loss} for loss in LOSSES], ids=LOSSES)
every_position = pytest.mark.parametrize(
    "choices", [{"position_embedding_type": name} for name in ("learned", "rotary")], ids=["learned", "rotary"]
)


has_avx512 = torch.backends.cpu.get_cpu_capability().startswith("AVX512")
flex = pytest.param(
    "flex_attention", marks=pytest.mark.skipif(not has_avx512, reason="torch's flex attention is wrong without AVX-512")
)


def padded(histories, side):
    """Pad histories to one length; return ids and mask."""
    length = max(map(len, histories))
    ids, mask = [], []
    for history in histories:
        fill = [0] * (length - len(history))
        ids.append(history + fill if side == "right" else fill + history)
        mask.append([1] * len(history) + fill if side == "right" else fill + [1] * len(history))
    return torch.tensor(ids), torch.tensor(mask)


def users_one_by_one(model):
    """Encode each history alone, without padding or mask."""
    return torch.cat([model.encode_users(torch.tensor([history])) for history in HISTORIES])


def gradients(model, batch):
    """Return the loss and gradients of one batch; sampled negatives are seeded."""
    torch.manual_seed(0)
    model.zero_grad()
    loss = model(**batch).loss
    loss.backward()
    return loss.detach(), {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


@contextmanager
def skip_where_bias_is_refused():
    """Skip a test if the attention implementation cannot add the bias of a model's positions."""
    try:
        yield
    except InputError as error:
        if "add a bias" not in str(error):
            raise
        pytest.skip(str(error))


def varlen_attention(
    module, query, key, value, attention_mask, *, scaling, is_causal, cu_seq_lens_q, max_length_q, **kwargs
):
    """Attend within each packed sequence, with the arguments of flash attention and without a mask."""
    assert attention_mask is None
    assert module.config._attn_implementation == "flash_reference"  # transformers reads this and layer_idx too
    assert 0 <= module.layer_idx < module.config.num_hidden_layers
    lengths = cu_seq_lens_q.diff().tolist()
    assert max(lengths) == max_length_q
    rows, heads, length, width = query.shape
    in_rows = (part.transpose(1, 2) for part in (query, key, value))
    flat = [part.reshape(1, rows * length, heads, width).transpose(1, 2) for part in in_rows]
    mixed = [
        torch.nn.functional.scaled_dot_product_attention(*parts, scale=scaling, is_causal=is_causal)
        for parts in zip(*(part.split(lengths, dim=2) for part in flat), strict=True)
    ]
    return torch.cat(mixed, dim=2).transpose(1, 2).reshape(rows, length, heads, width), None


AttentionInterface.register("flash_reference", varlen_attention)
AttentionMaskInterface.register("flash_reference", flash_attention_mask)


class ModelContract:
    """Tests that a model of every architecture passes.

    Name a subclass `Test…`, and override `config_class` with the architecture's configuration:

        class TestMyModel(ModelContract):
            @pytest.fixture
            def config_class(self):
                return MyConfig

    The architecture must be registered. If it has its own kinds of positions, these are tested.
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
        positions = get_args(config_class.__dataclass_fields__["position_embedding_type"].type)
        if choices.get("position_embedding_type") == "rotary" and "rotary" not in positions:
            pytest.skip(f"{config_class.__name__} has no rotary positions")
        if choices.get("position_embedding_type") == "learned" and "learned" not in positions:
            choices = {}  # use the architecture's own positions instead
        return config_class(vocab_size=NUM_ITEMS + 3, **TINY, **choices)

    @pytest.fixture
    def tiny_model(self, tiny_config):
        """A tiny model, with wide initialisation so that its outputs differ from one another."""
        torch.manual_seed(0)
        tiny_config.initializer_range = 0.5
        return AutoModelForNextItem.from_config(tiny_config).eval()

    @pytest.fixture
    def tokenizer(self):
        """A vocabulary of `NUM_ITEMS` items."""
        return ItemTokenizer.from_item_ids([f"item {index}" for index in range(NUM_ITEMS)])

    @pytest.fixture
    def batch(self, tiny_model, tokenizer):
        """A packed training batch."""
        torch.manual_seed(0)
        return training_collator(tiny_model, tokenizer)([{"input_ids": history} for history in HISTORIES])

    def test_config_survives_saving(self, tiny_config, tmp_path):
        tiny_config.save_pretrained(tmp_path)
        loaded = AutoConfig.from_pretrained(tmp_path)
        assert type(loaded) is type(tiny_config)
        loaded._name_or_path = ""
        assert loaded.to_dict() == tiny_config.to_dict()

    def test_config_refuses_a_misspelt_field(self, tiny_config):
        with pytest.raises(ValueError, match="Did you mean 'hidden_size'"):
            type(tiny_config)(hiden_size=8)

    @every_position
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

    @every_position
    @pytest.mark.parametrize("side", ["left", "right"])
    def test_padding_changes_no_user(self, tiny_model, side):
        torch.testing.assert_close(
            tiny_model.encode_users(*padded(HISTORIES, side)), users_one_by_one(tiny_model), atol=1e-5, rtol=1e-5
        )

    def test_causal_models_do_not_look_ahead(self, tiny_model):
        if not tiny_model.objective.is_causal:
            pytest.skip("a bidirectional model looks ahead by design")
        # Positions count back from the newest item, so the two histories must be of one length.
        before = tiny_model(torch.tensor([[5, 6, 7, 8, 9]])).logits
        after = tiny_model(torch.tensor([[5, 6, 7, 30, 31]])).logits
        torch.testing.assert_close(after[:, :3], before[:, :3])
        assert not torch.allclose(after[:, 3:, 3:], before[:, 3:, 3:])

    @every_position
    def test_order_matters(self, tiny_model):
        forward, backward = (tiny_model.encode_users(torch.tensor([ids])) for ids in ([5, 6, 7, 8], [7, 6, 5, 8]))
        assert not torch.allclose(forward, backward, atol=1e-3)

    @every_loss
    def test_packing_gives_the_loss_and_gradients_of_padding(self, tiny_model, tokenizer):
        tiny_model.train()
        for module in tiny_model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        rows = [{"input_ids": np.random.default_rng(seed).integers(3, 43, size=seed)} for seed in range(1, 40)]
        batches = []
        for packing in (True, False):
            torch.manual_seed(1)  # the same masks, if the objective masks items
            batches.append(training_collator(tiny_model, tokenizer, packing=packing)(rows))
        packed, unpacked = (gradients(tiny_model, batch) for batch in batches)
        torch.testing.assert_close(packed, unpacked, atol=1e-5, rtol=1e-5)

    def test_cross_entropy_is_that_of_the_logits(self, tiny_model, batch):
        tiny_model.config.loss = "cross_entropy"
        logits = tiny_model(batch["input_ids"], position_ids=batch["position_ids"]).logits
        expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch["labels"].flatten())
        torch.testing.assert_close(tiny_model(**batch).loss, expected)

    @every_loss
    def test_loss_divides_by_the_labels_of_the_whole_step(self, tiny_model, batch):
        count = int((batch["labels"] != -100).sum())
        whole, _ = gradients(tiny_model, batch)
        half, _ = gradients(tiny_model, {**batch, "num_items_in_batch": 2 * count})
        torch.testing.assert_close(half, whole / 2)

    def test_special_tokens_are_never_likely(self, tiny_model):
        logits_BLV = tiny_model(torch.tensor([[5, 6]])).logits
        assert torch.isinf(logits_BLV[..., :3]).all()
        assert torch.isfinite(logits_BLV[..., 3:]).all()

    def test_logits_to_keep(self, tiny_model):
        ids = torch.tensor(HISTORIES[1:2])
        torch.testing.assert_close(tiny_model(ids, logits_to_keep=1).logits, tiny_model(ids).logits[:, -1:])

    @every_loss
    def test_special_tokens_take_no_gradient(self, tiny_model, batch):
        batch["input_ids"][batch["input_ids"] == 3] = 4
        _, grads = gradients(tiny_model, batch)
        unread = [0, 1, 2] if tiny_model.objective.is_causal else [0, 2]  # a mask is read, though never predicted
        assert not grads["model.item_embedding.weight"][unread].any()

    @pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, from flex attention
    @every_position
    @pytest.mark.parametrize("implementation", ["eager", flex])
    def test_attention_implementations_agree(self, tiny_model, implementation):
        ids, mask = padded(HISTORIES, "right")
        with torch.no_grad(), skip_where_bias_is_refused():
            expected = tiny_model.encode_users(ids, mask)
            tiny_model.set_attn_implementation(implementation)
            torch.testing.assert_close(tiny_model.encode_users(ids, mask), expected, atol=1e-5, rtol=1e-5)

    def test_flex_attention_is_refused_where_torch_computes_it_wrongly(self, tiny_model, monkeypatch):
        monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda: "AVX2")
        tiny_model.set_attn_implementation("flex_attention")
        with pytest.raises(
            ValueError, match=r"flex_attention(' does not support| computes wrong results on this processor .AVX2)"
        ):
            tiny_model.encode_users(torch.tensor(HISTORIES[1:2]))

    @pytest.mark.filterwarnings("ignore::DeprecationWarning")
    @every_position
    @pytest.mark.parametrize("implementation", ["eager", flex, "flash_reference"])
    def test_attention_implementations_agree_on_packed_rows(self, tiny_model, batch, implementation):
        inputs = {"input_ids": batch["input_ids"], "position_ids": batch["position_ids"]}
        assert len(inputs["input_ids"]) > 1
        assert (inputs["position_ids"] == 0).sum() > len(inputs["input_ids"])
        with torch.no_grad(), skip_where_bias_is_refused():
            expected = tiny_model.model(**inputs).last_hidden_state
            tiny_model.config._attn_implementation = implementation
            found = tiny_model.model(**inputs).last_hidden_state
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)

    def test_records_hidden_states_and_attentions(self, tiny_model):
        tiny_model.set_attn_implementation("eager")
        outputs = tiny_model(torch.tensor(HISTORIES[1:2]), output_hidden_states=True, output_attentions=True)
        assert len(outputs.hidden_states) == tiny_model.config.num_hidden_layers + 1
        assert [weights.shape for weights in outputs.attentions] == [(1, 2, 8, 8)] * tiny_model.config.num_hidden_layers
        torch.testing.assert_close(outputs.attentions[0].sum(-1), torch.ones(1, 2, 8))

    @every_loss
    def test_gradient_checkpointing_changes_no_gradient(self, tiny_model, batch):
        expected = gradients(tiny_model, batch)
        is_renamed = hasattr(tiny_model, "activation_checkpointing_enable")  # later than transformers 5.20
        (tiny_model.activation_checkpointing_enable if is_renamed else tiny_model.gradient_checkpointing_enable)()
        tiny_model.train()
        for module in tiny_model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        torch.testing.assert_close(gradients(tiny_model, batch), expected)

    def test_runs_in_bfloat16(self, tiny_model, tmp_path):
        tiny_model.save_pretrained(tmp_path)
        half = AutoModelForNextItem.from_pretrained(tmp_path, dtype=torch.bfloat16).eval()
        users = half.encode_users(*padded(HISTORIES, "right"))
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

    def test_compiles_without_graph_breaks(self, tiny_model):
        compiled = torch.compile(tiny_model.model, fullgraph=True, backend="aot_eager")
        ids, mask = padded(HISTORIES, "right")
        with torch.no_grad():
            torch.testing.assert_close(
                compiled(ids, attention_mask=mask).last_hidden_state,
                tiny_model.model(ids, attention_mask=mask).last_hidden_state,
            )

    @every_position
    def test_exports_with_dynamic_shapes(self, tiny_model):
        class Encoder(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.model = tiny_model

            def forward(self, input_ids, attention_mask):
                return self.model.encode_users(input_ids, attention_mask)

        batch, length = torch.export.Dim("batch", min=2), torch.export.Dim("length", min=2, max=11)
        shapes = {"input_ids": {0: batch, 1: length}, "attention_mask": {0: batch, 1: length}}
        exported = torch.export.export(Encoder(), padded(HISTORIES[:2], "right"), dynamic_shapes=shapes).module()
        inputs = padded(HISTORIES, "right")
        torch.testing.assert_close(exported(*inputs), tiny_model.encode_users(*inputs))

    def test_vocabulary_grows_and_keeps_what_was_learnt(self, tiny_model):
        before = users_one_by_one(tiny_model)
        tiny_model.resize_token_embeddings(60, mean_resizing=False)
        assert tiny_model.config.vocab_size == 60
        assert tiny_model(torch.tensor([[5, 59]])).logits.shape == (1, 2, 60)
        torch.testing.assert_close(users_one_by_one(tiny_model), before)

    def test_loads_onto_a_device_map(self, tiny_model, tmp_path):
        tiny_model.save_pretrained(tmp_path)
        loaded = AutoModelForNextItem.from_pretrained(tmp_path, device_map={"": "cpu"}).eval()
        assert torch.equal(users_one_by_one(loaded), users_one_by_one(tiny_model))

    @every_loss
    def test_lora_trains_only_the_adapter_and_loads_again(self, tiny_model, batch, tmp_path):
        peft = pytest.importorskip("peft")
        tiny_model.save_pretrained(tmp_path / "base")
        lora = peft.LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)
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
            tiny_model.encode_users(torch.full((1, 13), 5))

    def test_takes_ids_or_embeddings_but_not_both(self, tiny_model):
        ids = torch.tensor(HISTORIES[1:2])
        embeds = tiny_model.get_input_embeddings()(ids)
        torch.testing.assert_close(tiny_model(inputs_embeds=embeds).logits, tiny_model(ids).logits)
        with pytest.raises(ValueError, match="exactly one of input_ids and inputs_embeds"):
            tiny_model(ids, inputs_embeds=embeds)
