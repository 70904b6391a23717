"""Relative positions and times agree with loops over queries and keys, and their gradients with those of embeddings."""

import math

import pytest
import torch

from seqrec import Bert4RecConfig, Bert4RecForNextItem, SasRecConfig, SasRecForNextItem
from seqrec.modeling.attention import AttentionContext, learned_mask_attention
from seqrec.modeling.relative_bias import BiasTable
from seqrec.testing.tiny_inputs import HISTORIES, NUM_ITEMS, TINY, padded

MODELS = {"sasrec": (SasRecConfig, SasRecForNextItem), "bert4rec": (Bert4RecConfig, Bert4RecForNextItem)}
every_model = pytest.mark.parametrize("name", MODELS)
POSITIONS = {"position_embedding_type": "relative"}
TIMES = {**POSITIONS, "time_encoding": "relative"}
CHOICES = {"positions": POSITIONS, "last_event": TIMES, "target": {**TIMES, "request_time": "target"}}
every_bias = pytest.mark.parametrize("choices", CHOICES.values(), ids=CHOICES)

START = 1_700_000_000
HAPPENED = [[0, 1, 90_000], [0, 2, 3, 500, 501, 40_000_000, 40_000_000, 900_000_000], [7], [0, 60, 3600, 86400, 604800]]
ASKED_LATER = [5, 1_000_000, 0, 80_000]


def times(index):
    """When the events of a history happened, and when the items after them are asked for."""
    happened = [START + seconds for seconds in HAPPENED[index]]
    return torch.tensor(happened), torch.tensor([*happened[1:], happened[-1] + ASKED_LATER[index]])


def columns_of(model, index):
    """The columns that a model reads of a history, as one row."""
    happened_L, asked_L = times(index)
    every = {"input_ids": torch.tensor(HISTORIES[index]), "timestamps": happened_L, "request_times": asked_L}
    return {name: every[name][None] for name in model.config.event_columns}


def padded_columns(model, side):
    """The columns of all histories, and their attention mask."""
    ids, mask = padded(HISTORIES, side)
    rows = [columns_of(model, index) for index in range(len(HISTORIES))]
    columns = {}
    for name in model.config.event_columns:
        columns[name] = torch.zeros_like(ids)
        columns[name][mask == 1] = torch.cat([row[name][0] for row in rows])
    return columns, mask


def packed_columns(model):
    """The columns of all histories in two rows, with filler at the end, and the place of each history."""
    order, filler = [[0, 1], [3, 2]], 5
    columns = {}
    for name in model.config.event_columns:
        parts = [torch.cat([columns_of(model, index)[name][0] for index in row]) for row in order]
        parts[1] = torch.cat([parts[1], torch.full((filler,), 17)])
        columns[name] = torch.stack(parts)
    columns["position_ids"] = torch.tensor([[*range(3), *range(8)], [*range(5), 0, *[0] * filler]])
    return columns, [(0, 0, 3), (0, 3, 11), (1, 5, 6), (1, 0, 5)]


def make_model(name, choices=POSITIONS):
    config_class, model_class = MODELS[name]
    torch.manual_seed(0)
    sizes = {"vocab_size": NUM_ITEMS + 3, "initializer_range": 0.5, "hidden_dropout": 0.0}
    return model_class(config_class(**sizes, **TINY, **choices)).eval()


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


def naive_bias(backbone, index):
    """Return a function that computes the bias of one head for one query and key from the papers' formulas."""
    config = backbone.config
    positions = backbone.position_embedding.bias.weight
    first_row = 0 if backbone.objective.is_causal else config.max_position_embeddings - 1
    happened, asked = (column.tolist() for column in times(index))
    if config.request_time == "last_event":
        asked = happened

    def bias(head, query_at, key_at):
        found = positions[query_at - key_at + first_row, head]
        if config.time_encoding == "relative":
            bucket = math.floor(math.log(max(abs(asked[query_at] - happened[key_at]), 1)) / 0.301)
            found = found + backbone.time_encoding.bias.weight[min(bucket, 63), head]
        return found

    return bias


@every_model
@every_bias
@pytest.mark.parametrize("training", [True, False])
def test_biases_are_their_formulas(name, choices, training):
    backbone = make_model(name, choices).model.train(training)
    for index, history in enumerate(HISTORIES):
        found = backbone(**columns_of(backbone, index)).last_hidden_state[0]
        expected = naive_hidden(backbone, torch.tensor(history), naive_bias(backbone, index))
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@every_model
@every_bias
@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("has_gradient", [True, False])
def test_packed_padded_and_single_histories_have_the_same_hidden_states(name, choices, implementation, has_gradient):
    backbone = make_model(name, choices).model.train().requires_grad_(has_gradient)
    backbone.set_attn_implementation(implementation)
    alone = [backbone(**columns_of(backbone, index)).last_hidden_state[0] for index in range(len(HISTORIES))]
    columns, places = packed_columns(backbone)
    found = backbone(**columns).last_hidden_state
    for expected, (row, start, end) in zip(alone, places, strict=True):
        torch.testing.assert_close(found[row, start:end], expected, atol=1e-5, rtol=1e-5)
    for side in ("left", "right"):
        columns, mask = padded_columns(backbone, side)
        found = backbone(**columns, attention_mask=mask).last_hidden_state
        for row, expected in enumerate(alone):
            torch.testing.assert_close(found[row, mask[row] == 1], expected, atol=1e-5, rtol=1e-5)


@every_model
@every_bias
@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_packing_keeps_the_gradients(name, choices, implementation):
    backbone = make_model(name, choices).model.train()
    backbone.set_attn_implementation(implementation)
    upstream = torch.randn(sum(map(len, HISTORIES)), TINY["hidden_size"])
    gradients = {}
    columns, places = packed_columns(backbone)
    packed = backbone(**columns).last_hidden_state
    single = [backbone(**columns_of(backbone, index)).last_hidden_state[0] for index in range(len(HISTORIES))]
    for layout, hidden_ND in {
        "packed": torch.cat([packed[row, start:end] for row, start, end in places]),
        "alone": torch.cat(single),
    }.items():
        gradients[layout] = torch.autograd.grad((hidden_ND * upstream).sum(), list(backbone.parameters()))
    torch.testing.assert_close(gradients["packed"], gradients["alone"], atol=1e-4, rtol=1e-4)


def test_dropped_weights_keep_their_expectation():
    backbone = make_model("sasrec").model.train()
    attention = backbone.layers[0].attention
    attention.attention_dropout = 0.5
    queries, keys, values = (torch.randn(1, 2, 6, 8), torch.randn(1, 2, 6, 8), torch.ones(1, 2, 6, 8))
    mask = torch.zeros(1, 2, 6, 6, requires_grad=True)
    mixed = [
        learned_mask_attention(attention, queries, keys, values, mask, scaling=1.0, dropout=0.5)[0] for _ in range(300)
    ]
    assert torch.stack(mixed).mean().item() == pytest.approx(1, abs=0.05)
    assert not torch.allclose(mixed[0], mixed[1])


@every_model
def test_the_longest_row_has_a_number_for_each_distance(name):
    model = make_model(name)
    longest = model.config.max_history_length
    assert model.encode_users(torch.full((1, longest), 5)).isfinite().all()
    num_rows = len(model.model.position_embedding.bias.weight)
    assert num_rows == TINY["max_position_embeddings"] * (1 if name == "sasrec" else 2) - (name == "bert4rec")


@every_model
@every_bias
def test_one_query_of_each_row_is_that_of_all_queries(name, choices):
    backbone = make_model(name, choices).model
    columns, mask = padded_columns(backbone, "right")
    newest = mask.sum(dim=1) - 1
    every = backbone(**columns, attention_mask=mask).last_hidden_state
    one = backbone(**columns, attention_mask=mask, query_position=newest).last_hidden_state
    torch.testing.assert_close(one[:, 0], every[torch.arange(len(mask)), newest], atol=1e-5, rtol=1e-5)


@every_model
@every_bias
def test_a_request_in_a_batch_is_that_of_a_single_user(name, choices):
    model = make_model(name, choices)
    columns, mask = padded_columns(model, "left")
    found = model.encode_users(attention_mask=mask, **columns)
    alone = [model.encode_users(**columns_of(model, index)) for index in range(len(HISTORIES))]
    torch.testing.assert_close(found, torch.cat(alone), atol=1e-5, rtol=1e-5)


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
