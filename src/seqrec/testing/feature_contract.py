"""Contract tests of item features (`item_features`).

Shape suffixes: B batch, L length, V vocabulary, D hidden size.
"""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from seqrec.interactions.category_codes import NO_VALUE, UNKNOWN
from seqrec.modeling.modeling_auto import AutoModelForNextItem
from seqrec.modeling.objectives import training_collator
from seqrec.testing.tiny_inputs import (
    HISTORIES,
    LOSSES,
    NUM_ITEMS,
    exported_encoder,
    gradients,
    rows_of,
    skip_unless,
    users_one_by_one,
    without_dropout,
)

__all__ = ["FEATURES", "FeatureContract", "feature_values"]

CLOSE = {"atol": 1e-5, "rtol": 1e-5}
NUM_COLD = 6  # items without a training interaction, which come last
ENTRIES = {
    "title": {"kind": "vector", "size": 5},
    "genres": {"kind": "category", "size": 9, "per_item": 3},
    "type": {"kind": "category", "size": 6, "per_item": 1},
    "year": {"kind": "number"},
}
FEATURES: dict[str, dict[str, Any]] = {
    "free": {"item_features": ENTRIES},
    "bounded": {"item_features": ENTRIES, "item_id_embedding": "bounded", "item_id_bound": 0.3},
    "none": {"item_features": ENTRIES, "item_id_embedding": "none"},
    "cosine": {"item_features": ENTRIES, "item_id_embedding": "bounded", "logit_scale": 5.0},
}

every_embedding = pytest.mark.parametrize("choices", FEATURES.values(), ids=FEATURES)
# For slow tests: cosine adds to bounded, which adds to free.
few_embeddings = pytest.mark.parametrize("choices", [FEATURES["none"], FEATURES["cosine"]], ids=["none", "cosine"])
bounded_embedding = pytest.mark.parametrize("choices", [FEATURES["bounded"]], ids=["bounded"])


def feature_values(num_items=NUM_ITEMS, seed=0):
    """Return made-up values of the features in `ENTRIES`; the first item has none of them."""
    random = np.random.default_rng(seed)
    genres = random.integers(2, 9, (num_items, 3))
    genres[1::2, 1:] = 0
    types, years = random.integers(1, 6, (num_items, 1)), random.normal(size=num_items)
    titles = random.normal(size=(num_items, 5))
    genres[0], types[0], years[0], titles[0] = [1, 0, 0], 1, np.nan, np.nan
    return {"genres": genres, "type": types, "year": years, "title": titles}


def vectors_one_by_one(model, values):
    """Return the vectors (V, D) of all token ids, each computed alone from its values, with their gradient."""
    config, encoder = model.config, model.model.item_encoder
    parts = dict(zip(sorted(ENTRIES), encoder.features, strict=True))
    zero_D = torch.zeros(config.hidden_size)
    titles_IF = whitened(values["title"])
    vectors = []
    for token_id in range(NUM_ITEMS + 3):
        row, content_D = token_id - 3, zero_D
        if row >= 0:
            for name in ("genres", "type"):
                known = [
                    parts[name].embedding.weight[code] for code in values[name][row] if code not in (NO_VALUE, UNKNOWN)
                ]
                content_D = content_D + (torch.stack(known).mean(dim=0) if known else zero_D)
            title, weight_DF = titles_IF[row], parts["title"].projection.weight
            if np.isnan(title).all():
                content_D = content_D + weight_DF[:, -1]
            else:
                content_D = content_D + weight_DF[:, :-1] @ torch.tensor(title, dtype=torch.float32)
            year, (slope_D, shift_D, missing_D) = values["year"][row], parts["year"].projection.weight.T
            content_D = content_D + (missing_D if np.isnan(year) else slope_D * year + shift_D)
        own_D = encoder.weight[token_id]
        if config.item_id_embedding == "none":
            own_D = zero_D + own_D.sum() if row >= 0 else encoder.special_tokens.weight[token_id]
        if config.item_id_embedding == "bounded":
            own_D = bounded(own_D, config.item_id_bound)
            content_D = content_D / content_D.norm() if row >= 0 else content_D
        vectors.append(own_D + content_D)
    return torch.stack(vectors)


def whitened(vectors_IF):
    """Return vectors of length 1, whitened and of length 1 again; rows of NaN stay."""
    known_IF = vectors_IF[~np.isnan(vectors_IF).all(axis=1)]
    unit_IF = known_IF / np.sqrt((known_IF**2).sum(axis=1))[:, None]
    centred_IF = unit_IF - unit_IF.mean(axis=0)
    left_II, scales_F, right_FF = np.linalg.svd(centred_IF, full_matrices=False)
    variances_F = scales_F**2 / len(unit_IF)
    new_IF = left_II * scales_F / np.sqrt(variances_F + 0.01 * variances_F.mean()) @ right_FF
    result_IF = vectors_IF.copy()
    result_IF[~np.isnan(vectors_IF).all(axis=1)] = new_IF / np.sqrt((new_IF**2).sum(axis=1))[:, None]
    return result_IF


def bounded(vector_D, bound):
    """Return a vector, shortened to a length if it is longer."""
    length = vector_D.norm()
    return vector_D * (bound / length) if length > bound else vector_D


class FeatureContract:
    """Items are sums of their features in training, evaluation and serving alike; see `ModelContract`."""

    @pytest.fixture
    def featured_batch(self, tiny_model, tokenizer):
        """A packed training batch without the last items, as in training."""
        torch.manual_seed(0)
        histories = [[min(item, NUM_ITEMS + 2 - NUM_COLD) for item in history] for history in HISTORIES]
        return training_collator(tiny_model, tokenizer)(rows_of(tiny_model, histories))

    @every_embedding
    def test_vectors_are_those_of_the_formula(self, tiny_model):
        expected_VD = tiny_model.model.as_items(vectors_one_by_one(tiny_model, feature_values()))
        ids = torch.tensor([[5, 3, 42], [0, 1, 2]])
        torch.testing.assert_close(tiny_model.encode_items(), expected_VD, **CLOSE)
        torch.testing.assert_close(tiny_model.encode_items(ids), expected_VD[ids], **CLOSE)
        with torch.no_grad():  # kept from here on
            for _ in range(2):
                torch.testing.assert_close(tiny_model.encode_items(), expected_VD, **CLOSE)
                torch.testing.assert_close(tiny_model.encode_items(ids), expected_VD[ids], **CLOSE)

    @every_embedding
    def test_cross_entropy_and_its_gradients_are_those_of_the_formula(self, tiny_model, featured_batch):
        without_dropout(tiny_model)
        vectors_VD = vectors_one_by_one(tiny_model, feature_values())
        inputs = {name: values for name, values in featured_batch.items() if name not in ("labels", "input_ids")}
        hidden_BLD = tiny_model.model(inputs_embeds=vectors_VD[featured_batch["input_ids"]], **inputs).last_hidden_state
        logits_BLV = tiny_model.model.as_users(hidden_BLD) @ tiny_model.model.as_items(vectors_VD).T
        labels = featured_batch["labels"].flatten() - 3
        expected = functional.cross_entropy(logits_BLV[..., 3:].flatten(0, 1), labels, ignore_index=-103)
        expected.backward()
        wanted = {name: parameter.grad for name, parameter in tiny_model.named_parameters()}
        loss, found = gradients(tiny_model, featured_batch)
        torch.testing.assert_close(loss, expected.detach(), **CLOSE)
        torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)

    @pytest.mark.parametrize("loss", LOSSES)
    @bounded_embedding
    def test_packing_gives_the_loss_and_gradients_of_padding_with_features(self, tiny_model, tokenizer, loss):
        without_dropout(tiny_model).config.loss = loss
        rows = rows_of(tiny_model, [*HISTORIES, HISTORIES[1] * 3])
        found = []
        for packing in (True, False):
            torch.manual_seed(1)  # the same masks, if the objective masks items
            found.append(gradients(tiny_model, training_collator(tiny_model, tokenizer, packing=packing)(rows)))
        torch.testing.assert_close(*found, **CLOSE)
        for name, gradient in found[0][1].items():
            if "features" in name:
                assert gradient.any(), name

    @pytest.mark.parametrize("loss", LOSSES)
    @pytest.mark.parametrize("choices", [FEATURES["free"]], ids=["free"])
    def test_items_without_an_interaction_are_no_negatives(self, tiny_model, featured_batch, loss):
        without_dropout(tiny_model).config.loss = loss
        with_all, _ = gradients(tiny_model, featured_batch)
        tiny_model.set_item_counts(np.array([0] * 3 + [5] * (NUM_ITEMS - NUM_COLD) + [0] * NUM_COLD))
        found, by_name = gradients(tiny_model, featured_batch)
        assert not by_name["model.item_embedding.weight"][-NUM_COLD:].any()
        assert found != with_all
        torch.testing.assert_close(gradients(tiny_model.eval(), featured_batch)[0], with_all)
        if loss == "cross_entropy":
            labels = featured_batch.pop("labels")
            logits = tiny_model(**featured_batch).logits[..., :-NUM_COLD].flatten(0, 1)
            torch.testing.assert_close(found, functional.cross_entropy(logits, labels.flatten()).detach())

    @every_embedding
    def test_features_are_saved_with_the_weights(self, tiny_model, tmp_path):
        tiny_model.save_pretrained(tmp_path)
        loaded = AutoModelForNextItem.from_pretrained(tmp_path).eval()
        with torch.no_grad():
            assert torch.equal(loaded.encode_items(), tiny_model.encode_items())
            assert torch.equal(users_one_by_one(loaded), users_one_by_one(tiny_model))

    @torch.no_grad()
    @every_embedding
    def test_new_items_leave_all_others_as_they_were(self, tiny_model):
        users, items_VD = users_one_by_one(tiny_model), tiny_model.encode_items()
        tiny_model.resize_token_embeddings(NUM_ITEMS + 3 + 5, mean_resizing=False)
        assert torch.equal(tiny_model.encode_items()[: NUM_ITEMS + 3], items_VD)
        new = {name: array[:5] for name, array in feature_values().items()}
        tiny_model.set_feature_values(new, first_row=NUM_ITEMS)
        assert torch.equal(tiny_model.encode_items()[: NUM_ITEMS + 3], items_VD)
        assert torch.equal(users_one_by_one(tiny_model), users)
        differences = tiny_model.item_vectors()[NUM_ITEMS + 3 :] - tiny_model.item_vectors()[3:8]
        lengths_of_ids = tiny_model.model.item_encoder.weight[3:8].norm(dim=-1)
        assert (differences.norm(dim=-1) <= lengths_of_ids + 1e-5).all()

    @bounded_embedding
    def test_kept_vectors_follow_the_weights_and_values(self, tiny_model, featured_batch):
        kept = []
        optimizer = torch.optim.AdamW(tiny_model.parameters(), lr=0.1, fused=True)

        def step():
            tiny_model(**featured_batch).loss.backward()
            optimizer.step()

        changes = [
            lambda: None,
            lambda: tiny_model.model.item_encoder.weight.neg_(),
            lambda: tiny_model.set_feature_values(feature_values(seed=1)),
            lambda: tiny_model.load_state_dict({"model.item_embedding.weight": torch.ones(43, 16)}, strict=False),
            torch.enable_grad()(step),
        ]
        for change in changes:
            with torch.no_grad():
                change()
                kept.append(tiny_model.encode_items())
                assert tiny_model.encode_items() is kept[-1]
            torch.testing.assert_close(tiny_model.encode_items(), kept[-1], **CLOSE)
        for earlier, later in pairwise(kept):
            assert not torch.allclose(earlier, later)

    @pytest.mark.parametrize("loss", ["cross_entropy", "gbce"])
    @bounded_embedding
    def test_lora_works_with_features(self, tiny_model, featured_batch, loss, tmp_path):
        peft = pytest.importorskip("peft")
        tiny_model.config.loss = loss
        tiny_model.save_pretrained(tmp_path / "base")
        adapted = peft.get_peft_model(
            tiny_model, peft.LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False)
        )
        adapted(**featured_batch).loss.backward()
        with_gradient = {name for name, parameter in adapted.named_parameters() if parameter.grad is not None}
        assert all("lora_" in name for name in with_gradient)
        assert any("features" in name for name in with_gradient)
        adapted.save_pretrained(tmp_path / "adapter")
        base = AutoModelForNextItem.from_pretrained(tmp_path / "base").eval()
        loaded = peft.PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
        with torch.no_grad():
            torch.testing.assert_close(users_one_by_one(loaded), users_one_by_one(adapted.eval()))

    @bounded_embedding
    def test_features_work_in_bfloat16(self, tiny_model, featured_batch, tmp_path):
        tiny_model.save_pretrained(tmp_path)
        half = AutoModelForNextItem.from_pretrained(tmp_path, dtype=torch.bfloat16).eval()
        with torch.no_grad():
            torch.testing.assert_close(half.encode_items().float(), tiny_model.encode_items(), atol=0.1, rtol=0.1)
        expected, _ = gradients(tiny_model, featured_batch)
        torch.manual_seed(0)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = tiny_model(**featured_batch).loss
        loss.backward()
        torch.testing.assert_close(loss, expected, atol=0.05, rtol=0.05)

    @few_embeddings
    def test_exports_with_features(self, tiny_model):
        skip_unless(tiny_model, "_can_compile_fullgraph")

        exported, inputs = exported_encoder(tiny_model)
        torch.testing.assert_close(exported(inputs), tiny_model.encode_users(**inputs), **CLOSE)

    @pytest.mark.parametrize(
        "choices", [{**FEATURES["bounded"], "popularity_windows": [3], "request_time": "target"}], ids=["popularity"]
    )
    def test_recent_counts_come_after_the_features(self, tiny_model):
        times = np.arange(500) * 3600 + 1_600_000_000
        tiny_model.set_events(np.random.default_rng(0).integers(3, NUM_ITEMS + 3, 500), times)
        expected_VD = vectors_one_by_one(tiny_model, feature_values())
        with torch.no_grad():
            for ids in (None, torch.tensor([5, 9])):
                found = tiny_model.encode_items(ids)
                torch.testing.assert_close(found[:, :-1], expected_VD if ids is None else expected_VD[ids], **CLOSE)
                assert torch.equal(found[:, -1:], tiny_model.model.recent_counts.latest(ids))
