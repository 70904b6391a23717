"""Relative positions agree with loops over queries and keys, and their gradient with that of an embedding."""

import pytest
import torch

from seqrec import Bert4RecConfig, Bert4RecForNextItem, SasRecConfig, SasRecForNextItem
from seqrec.modeling.attention import AttentionContext
from seqrec.modeling.relative_bias import BiasTable
from seqrec.testing.tiny_inputs import HISTORIES, NUM_ITEMS, TINY, padded, users_one_by_one

MODELS = {"sasrec": (SasRecConfig, SasRecForNextItem), "bert4rec": (Bert4RecConfig, Bert4RecForNextItem)}
every_model = pytest.mark.parametrize("name", MODELS)


def make_model(name):
    config_class, model_class = MODELS[name]
    torch.manual_seed(0)
    sizes = {"vocab_size": NUM_ITEMS + 3, "initializer_range": 0.5, "hidden_dropout": 0.0}
    return model_class(config_class(**sizes, **TINY, position_embedding_type="relative")).eval()


def naive_attention(attention, inputs_LD, bias, *, is_causal):
    """softmax(QKᵀ/√E + bias)V, with loops over heads, queries and keys."""
    width, size = inputs_LD.shape[1], attention.head_dim
    queries, keys, values = attention.query_key_value(inputs_LD).split(width, dim=1)
    rows = []
    for query_at in range(len(inputs_LD)):
        heads = []
        for head in range(width // size):
            own = slice(head * size, (head + 1) * size)
            seen = range(query_at + 1) if is_causal else range(len(inputs_LD))
            scores = [queries[query_at, own] @ keys[at, own] / size**0.5 + bias(head, query_at, at) for at in seen]
            weights = torch.stack(scores).softmax(dim=0)
            heads.append(sum(weight * values[at, own] for weight, at in zip(weights, seen, strict=True)))
        rows.append(torch.cat(heads))
    return attention.output(torch.stack(rows))


def naive_hidden(backbone, ids_L, bias):
    """The hidden states of one history, from the formulas of pre-norm Transformer blocks."""
    hidden_LD = backbone.item_embedding(ids_L) * backbone.config.hidden_size**0.5
    for block in backbone.layers:
        normed_LD = block.attention_norm(hidden_LD)
        hidden_LD = hidden_LD + naive_attention(
            block.attention, normed_LD, bias, is_causal=backbone.objective.is_causal
        )
        hidden_LD = hidden_LD + block.feed_forward(block.feed_forward_norm(hidden_LD))
    return backbone.final_norm(hidden_LD)


@every_model
def test_relative_positions_are_their_formula(name):
    backbone = make_model(name).model
    table = backbone.position_embedding.bias.weight
    back_to_row = 0 if name == "sasrec" else TINY["max_position_embeddings"] - 1

    def bias(head, query_at, key_at):
        return table[query_at - key_at + back_to_row, head]

    for history in HISTORIES:
        found = backbone(torch.tensor([history])).last_hidden_state[0]
        torch.testing.assert_close(found, naive_hidden(backbone, torch.tensor(history), bias), atol=1e-5, rtol=1e-5)


@every_model
@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_packed_padded_and_single_histories_have_the_same_hidden_states(name, implementation):
    backbone = make_model(name).model
    backbone.set_attn_implementation(implementation)
    packed = {
        "input_ids": torch.tensor([HISTORIES[0] + HISTORIES[1], HISTORIES[3] + HISTORIES[2] + [17] * 5]),
        "position_ids": torch.tensor([[*range(3), *range(8)], [*range(5), 0, *range(5)]]),
    }
    found = backbone(**packed).last_hidden_state
    places = [(0, 0, 3), (0, 3, 11), (1, 5, 6), (1, 0, 5)]
    for history, (row, start, end) in zip(HISTORIES, places, strict=True):
        alone = backbone(torch.tensor([history])).last_hidden_state[0]
        torch.testing.assert_close(found[row, start:end], alone, atol=1e-5, rtol=1e-5)
    for side in ("left", "right"):
        ids, mask = padded(HISTORIES, side)
        hidden = backbone(ids, attention_mask=mask).last_hidden_state
        for row, history in enumerate(HISTORIES):
            alone = backbone(torch.tensor([history])).last_hidden_state[0]
            torch.testing.assert_close(hidden[row, mask[row] == 1], alone, atol=1e-5, rtol=1e-5)


@every_model
def test_the_longest_row_has_a_number_for_each_distance(name):
    model = make_model(name)
    longest = model.config.max_history_length
    assert model.encode_users(torch.full((1, longest), 5)).isfinite().all()
    num_rows = len(model.model.position_embedding.bias.weight)
    assert num_rows == TINY["max_position_embeddings"] * (1 if name == "sasrec" else 2) - (name == "bert4rec")


def test_one_query_of_each_row_is_that_of_all_queries():
    model = make_model("sasrec")
    ids, mask = padded(HISTORIES, "right")
    newest = mask.sum(dim=1) - 1
    every = model.model(ids, attention_mask=mask).last_hidden_state
    one = model.model(ids, attention_mask=mask, query_position=newest).last_hidden_state
    torch.testing.assert_close(one[:, 0], every[torch.arange(len(ids)), newest], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(model.encode_users(ids, mask), users_one_by_one(model), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("batch", "length"), [(1, 7), (3, 1), (5, 11)])
def test_a_table_has_the_values_and_gradients_of_an_embedding(batch, length):
    torch.manual_seed(0)
    table = BiasTable(9, 2)
    plain = torch.nn.Embedding(9, 2, _weight=table.weight.detach().clone())
    rows = torch.randint(9, (batch, length, length))
    upstream = torch.randn(batch, 2, length, length)
    table(rows).backward(upstream)
    plain(rows).permute(0, 3, 1, 2).backward(upstream)
    torch.testing.assert_close(table(rows), plain(rows).permute(0, 3, 1, 2))
    torch.testing.assert_close(table.weight.grad, plain.weight.grad)


def test_a_table_passes_a_gradient_check():
    table = BiasTable(4, 2).double()
    rows = torch.randint(4, (2, 3, 3), generator=torch.Generator().manual_seed(0))

    def look_up(weight):
        return torch.func.functional_call(table, {"weight": weight}, (rows,))

    assert torch.autograd.gradcheck(look_up, (table.weight,))


@pytest.mark.parametrize("is_causal", [True, False])
def test_a_bias_enters_the_mask_once_for_all_layers(is_causal):
    bias = torch.randn(1, 2, 4, 4)
    context = AttentionContext(bias_BHLL=bias, is_causal=is_causal).with_biased_mask(torch.bfloat16)
    assert context.bias_BHLL is None
    assert context.mask.dtype == torch.bfloat16
    seen = torch.ones(4, 4, dtype=torch.bool).tril() if is_causal else torch.ones(4, 4, dtype=torch.bool)
    assert torch.equal(context.mask[..., seen], bias.bfloat16()[..., seen])
    assert (context.mask[..., ~seen] < -1e30).all()
    assert AttentionContext().with_biased_mask(torch.bfloat16) == AttentionContext()
