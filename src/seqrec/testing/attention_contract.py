"""Contract tests of attention, for models that declare `uses_attention = True`."""

from contextlib import contextmanager

import pytest
import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import flash_attention_mask

from seqrec.errors import InputError
from seqrec.testing.tiny_inputs import HISTORIES, every_encoding, inputs_of, skip_unless

__all__ = ["AttentionContract"]

has_avx512 = torch.backends.cpu.get_cpu_capability().startswith("AVX512")
flex = pytest.param(
    "flex_attention", marks=pytest.mark.skipif(not has_avx512, reason="torch's flex attention is wrong without AVX-512")
)


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


class AttentionContract:
    """Every attention implementation gives the same result; `ModelContract` includes these tests."""

    @pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, from flex attention
    @every_encoding
    @pytest.mark.parametrize("implementation", ["eager", flex])
    def test_attention_implementations_agree(self, tiny_model, implementation):
        skip_unless(tiny_model, "uses_attention")
        inputs = inputs_of(tiny_model, HISTORIES, "right")
        with torch.no_grad(), skip_where_bias_is_refused():
            expected = tiny_model.encode_users(**inputs)
            tiny_model.set_attn_implementation(implementation)
            torch.testing.assert_close(tiny_model.encode_users(**inputs), expected, atol=1e-5, rtol=1e-5)

    def test_flex_attention_is_refused_where_torch_computes_it_wrongly(self, tiny_model, monkeypatch):
        skip_unless(tiny_model, "uses_attention")
        monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda: "AVX2")
        tiny_model.set_attn_implementation("flex_attention")
        with pytest.raises(
            ValueError, match=r"flex_attention(' does not support| computes wrong results on this processor .AVX2)"
        ):
            tiny_model.encode_users(**inputs_of(tiny_model, HISTORIES[1:2]))

    @pytest.mark.filterwarnings("ignore::DeprecationWarning")
    @every_encoding
    @pytest.mark.parametrize("implementation", ["eager", flex, "flash_reference"])
    def test_attention_implementations_agree_on_packed_rows(self, tiny_model, batch, implementation):
        skip_unless(tiny_model, "uses_attention")
        inputs = {name: values for name, values in batch.items() if name != "labels"}
        assert len(inputs["input_ids"]) > 1
        assert (inputs["position_ids"] == 0).sum() > len(inputs["input_ids"])
        with torch.no_grad(), skip_where_bias_is_refused():
            expected = tiny_model.model(**inputs).last_hidden_state
            tiny_model.config._attn_implementation = implementation
            found = tiny_model.model(**inputs).last_hidden_state
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)

    def test_records_hidden_states_and_attentions(self, tiny_model):
        skip_unless(tiny_model, "uses_attention")
        tiny_model.set_attn_implementation("eager")
        outputs = tiny_model(**inputs_of(tiny_model, HISTORIES[1:2]), output_hidden_states=True, output_attentions=True)
        assert len(outputs.hidden_states) == tiny_model.config.num_hidden_layers + 1
        assert [weights.shape for weights in outputs.attentions] == [(1, 2, 8, 8)] * tiny_model.config.num_hidden_layers
        torch.testing.assert_close(outputs.attentions[0].sum(-1), torch.ones(1, 2, 8))
