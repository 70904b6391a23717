"""HSTU agrees with the formulas of its paper (Zhai et al., ICML 2024, equations 1 to 3), computed by loops."""

import math
from itertools import chain

import pytest
import torch

from seqrec import AutoModelForNextItem, HstuConfig, HstuModel
from seqrec.modeling.attention import AttentionContext
from seqrec.modeling.modeling_hstu import HstuBlock
from seqrec.modeling.positions import PositionTerms

CONFIG = {
    "vocab_size": 43,
    "hidden_size": 8,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "max_position_embeddings": 10,
    "hidden_dropout": 0.0,
    "initializer_range": 0.5,
}
NUM_HEADS = 2


def silu(values):
    return values / (1 + (-values).exp())


def normed(norm, row_D):
    centred = row_D - row_D.mean()
    return centred / ((centred**2).mean() + norm.eps).sqrt() * norm.weight + norm.bias


def naive_block(block, x_LD, bias_HLL, longest):
    """Compute a layer by loops over queries, heads and keys."""
    width, inner = x_LD.shape[1], block.mixed_norm.weight.shape[0]
    projected = torch.stack([silu(block.projection(normed(block.input_norm, row))) for row in x_LD])
    gates, values, queries, keys = projected.split([inner, inner, width, width], dim=1)
    rows = []
    for query_at, x_D in enumerate(x_LD):
        mixed = []
        for head in range(NUM_HEADS):
            own = slice(head * width // NUM_HEADS, (head + 1) * width // NUM_HEADS)
            own_value = slice(head * inner // NUM_HEADS, (head + 1) * inner // NUM_HEADS)
            total = torch.zeros(inner // NUM_HEADS)
            for key_at in range(query_at + 1):
                score = queries[query_at, own] @ keys[key_at, own] + bias_HLL[head, query_at, key_at]
                total = total + silu(score) / longest * values[key_at, own_value]
            mixed.append(total)
        rows.append(x_D + block.output(normed(block.mixed_norm, torch.cat(mixed)) * gates[query_at]))
    return torch.stack(rows)


def randomised(module):
    """Make norms and biases matter too."""
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return module


@pytest.fixture
def bias():
    return torch.randn(NUM_HEADS, 6, 6, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_a_block_is_its_formula(bias):
    torch.manual_seed(0)
    block = randomised(HstuBlock(HstuConfig(**CONFIG), 0))
    x = torch.randn(1, 6, 8)
    mask = torch.full((6, 6), -30_000.0).triu(1) + bias[None]
    expected = naive_block(block, x[0], bias, longest=10)
    torch.testing.assert_close(block(x, AttentionContext(mask=mask))[0], expected, atol=1e-5, rtol=1e-5)
    one = block(x, AttentionContext(mask=mask).at(4))
    torch.testing.assert_close(one[0], expected[4:5], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_model_adds_the_bias_of_its_positions(bias):
    class BiasedModel(HstuModel):
        def locate(self, events_BLD, layout):
            return PositionTerms(bias_BHLL=bias[None])

    torch.manual_seed(0)
    model = randomised(BiasedModel(HstuConfig(**CONFIG))).eval()
    x = torch.randn(1, 6, 8)
    expected = x[0] * 8**0.5
    for block in model.layers:
        expected = naive_block(block, expected, bias, longest=10)
    found = model(inputs_embeds=x).last_hidden_state[0]
    torch.testing.assert_close(found, model.final_norm(expected), atol=1e-5, rtol=1e-5)


HISTORIES = [[5, 9, 7, 30, 12], [20], [11, 30, 12]]
TIMES = [[0.0, 0.0, 40.0, 3_000.0, 9e7], [5e8], [1e9, 1e9 + 86_400, 1e9 + 86_403]]
ASKED = [[0.0, 40.0, 3_000.0, 9e7, 2e8], [6e8], [1e9 + 86_400, 1e9 + 86_403, 1e9 + 10**6]]


def naive_model(model, history, times, asked):
    """Compute the hidden states of one history, with biases looked up by loops."""
    [positions_NH], [gaps_TH] = model.position_embedding.parameters(), model.time_encoding.parameters()
    bias_HLL = torch.zeros(NUM_HEADS, len(history), len(history))
    for query_at, request in enumerate(asked):
        for key_at, time in enumerate(times[: query_at + 1]):
            bucket = min(int(math.log(max(abs(request - time), 1)) / 0.301), len(gaps_TH) - 1)
            bias_HLL[:, query_at, key_at] = positions_NH[query_at - key_at] + gaps_TH[bucket]
    x_LD = model.item_embedding.weight[history] * 8**0.5
    for block in model.layers:
        x_LD = naive_block(block, x_LD, bias_HLL, longest=10)
    return model.final_norm(x_LD)


@torch.no_grad()
@pytest.mark.parametrize("request_time", ["last_event", "target"])
def test_positions_and_times_enter_alone_padded_and_packed(request_time):
    torch.manual_seed(0)
    model = randomised(HstuModel(HstuConfig(**CONFIG, time_encoding="relative", request_time=request_time))).eval()
    columns = {"input_ids": HISTORIES, "timestamps": TIMES}
    if request_time == "target":
        columns["request_times"] = ASKED
    expected = [
        naive_model(model, history, times, asked)
        for history, times, asked in zip(HISTORIES, TIMES, columns.get("request_times", TIMES), strict=True)
    ]

    def agrees(found_LD, expected_LD):
        torch.testing.assert_close(found_LD, expected_LD, atol=1e-5, rtol=1e-5)

    alone = [{name: rows[at : at + 1] for name, rows in columns.items()} for at in range(len(HISTORIES))]
    for row, states in zip(alone, expected, strict=True):
        agrees(model(**tensors(row)).last_hidden_state[0], states)

    packed = {name: [list(chain.from_iterable(rows))] for name, rows in columns.items()}
    packed["position_ids"] = [[*range(5), *range(1), *range(3)]]
    agrees(model(**tensors(packed)).last_hidden_state[0], torch.cat(expected))

    padded = {name: [row + [0] * (5 - len(row)) for row in rows] for name, rows in columns.items()}
    padded["attention_mask"] = [[1] * len(row) + [0] * (5 - len(row)) for row in HISTORIES]
    found_BLD = model(**tensors(padded)).last_hidden_state
    for row_LD, states in zip(found_BLD, expected, strict=True):
        agrees(row_LD[: len(states)], states)
    newest = torch.tensor([len(row) - 1 for row in HISTORIES])
    users_BD = model(**tensors(padded), query_position=newest).last_hidden_state[:, 0]
    agrees(users_BD, torch.stack([states[-1] for states in expected]))


def tensors(columns):
    """Turn columns into tensors, times into seconds as float64."""
    return {
        name: torch.tensor(rows, dtype=torch.float64 if "time" in name else torch.int64)
        for name, rows in columns.items()
    }


@pytest.mark.filterwarnings("error")
def test_its_attention_is_eager_unless_another_is_asked_for(tmp_path):
    AutoModelForNextItem.from_config(HstuConfig(**CONFIG)).save_pretrained(tmp_path)
    assert AutoModelForNextItem.from_pretrained(tmp_path).config._attn_implementation == "eager"
    with pytest.raises(ValueError, match="does not support"):
        AutoModelForNextItem.from_pretrained(tmp_path, attn_implementation="sdpa")


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_unseen_keys_have_no_weight_in_any_type(dtype):
    model = randomised(HstuModel(HstuConfig(**CONFIG))).eval().to(dtype)
    ids, mask = torch.tensor([[7, 8, 9, 0, 0]]), torch.tensor([[1, 1, 1, 0, 0]])
    other = torch.tensor([[7, 8, 9, 30, 31]])
    found, expected = (model(one, attention_mask=mask).last_hidden_state[:, :3] for one in (ids, other))
    torch.testing.assert_close(found, expected, atol=0, rtol=0)
    assert found.isfinite().all()


def test_a_width_that_the_heads_cannot_share_is_refused():
    with pytest.raises(ValueError, match="intermediate_size=7 cannot be split into num_attention_heads=2 equal heads"):
        HstuConfig(**{**CONFIG, "intermediate_size": 7})
