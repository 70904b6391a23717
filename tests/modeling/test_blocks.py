"""Attention, positions and blocks agree with the formulas of their papers, position by position."""

import math

import torch

from seqrec import ESasRecConfig, SasRecConfig
from seqrec.modeling.attention import AttentionContext, SelfAttention
from seqrec.modeling.ligr import LigrBlock
from seqrec.modeling.positions import rotary_table, rotate

CONFIG = {"vocab_size": 20, "hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 12, "hidden_dropout": 0.0}


def naive_attention(attention, inputs_LD, num_heads):
    """Causal multi-head attention with loops over heads, queries and keys."""
    width = inputs_LD.shape[1]
    size = width // num_heads
    queries, keys, values = attention.query_key_value(inputs_LD).split(width, dim=1)
    rows = []
    for query_at in range(len(inputs_LD)):
        parts = []
        for head in range(num_heads):
            own = slice(head * size, (head + 1) * size)
            scores = [queries[query_at, own] @ keys[key_at, own] / math.sqrt(size) for key_at in range(query_at + 1)]
            weights = torch.stack(scores).exp()
            weights = weights / weights.sum()
            parts.append(sum(weight * values[key_at, own] for key_at, weight in enumerate(weights)))
        rows.append(torch.cat(parts))
    return attention.output(torch.stack(rows))


def test_attention_is_its_formula():
    torch.manual_seed(0)
    config = SasRecConfig(**CONFIG)
    config._attn_implementation = "sdpa"
    attention = SelfAttention(config, 0)
    inputs = torch.randn(1, 6, 8)
    found, _ = attention(inputs, AttentionContext())
    torch.testing.assert_close(found[0], naive_attention(attention, inputs[0], 2))


def test_a_ligr_block_is_its_formula():
    torch.manual_seed(0)
    config = ESasRecConfig(**CONFIG)
    config._attn_implementation = "sdpa"
    block = LigrBlock(config, 0)
    x = torch.randn(1, 6, 8)
    found = block(x, AttentionContext())[0]

    mixed = naive_attention(block.attention, block.attention_norm(x[0]), 2)
    y = x[0] + mixed / (1 + (-block.attention_gate(x[0])).exp())
    gate_weight, up_weight = block.feed_forward.gate_up.weight.split(12)
    normed = block.feed_forward_norm(y)
    gate = normed @ gate_weight.T
    fed = (gate / (1 + (-gate).exp()) * (normed @ up_weight.T)) @ block.feed_forward.down.weight.T
    torch.testing.assert_close(found, y + fed / (1 + (-block.feed_forward_gate(y)).exp()))


def test_rotary_products_depend_on_the_distance_alone():
    torch.manual_seed(0)
    query, key = torch.randn(1, 1, 1, 8), torch.randn(1, 1, 1, 8)

    def product(query_at, key_at):
        turned = [rotate(one, rotary_table(torch.tensor([[at]]), 8)) for one, at in ((query, query_at), (key, key_at))]
        return (turned[0] * turned[1]).sum()

    torch.testing.assert_close(product(7, 3), product(104, 100))
    torch.testing.assert_close(product(5, 5), (query * key).sum())
    assert not torch.isclose(product(7, 3), product(7, 4))


def test_rotary_turns_each_pair_by_its_own_angle():
    """Dimensions i and i + E/2 are a pair, turned by position · 10000^(−2i/E)."""
    vector = torch.randn(1, 1, 1, 8)
    turned = rotate(vector, rotary_table(torch.tensor([[3]]), 8)).flatten()
    for i in range(4):
        angle = 3 * 10_000 ** (-2 * i / 8)
        pair = complex(vector[0, 0, 0, i], vector[0, 0, 0, i + 4]) * complex(math.cos(angle), math.sin(angle))
        torch.testing.assert_close(complex(turned[i], turned[i + 4]), pair)
