"""Contract tests of recent popularity (`popularity_windows`).

Shape suffixes: V vocabulary.
"""

import numpy as np
import pytest
import torch

from seqrec.evaluation.evaluator import rank_dataset
from seqrec.interactions.histories import Histories
from seqrec.modeling.modeling_auto import AutoModelForNextItem
from seqrec.modeling.objectives import training_collator
from seqrec.testing.tiny_inputs import (
    HISTORIES,
    LOSSES,
    NUM_ITEMS,
    gradients,
    inputs_of,
    rows_of,
    times_of,
    with_numbers,
    without_dropout,
)

__all__ = ["PopularityContract"]

CLOSE = {"atol": 1e-5, "rtol": 1e-5}
DAY = 86_400
WINDOWS = [3, 30]
POPULARITY = {
    request_time: {"popularity_windows": WINDOWS, "request_time": request_time}
    for request_time in ("last_event", "target")
}

every_request_time = pytest.mark.parametrize("choices", POPULARITY.values(), ids=POPULARITY)


def set_some_events(model):
    """Let a model count made-up interactions in the days around the histories; return them."""
    random = np.random.default_rng(0)
    times = [time for history in HISTORIES for time in times_of(history)]
    items = random.integers(3, NUM_ITEMS + 3, 500)
    times = random.integers(min(times) - 30 * DAY, max(times), 500)
    model.set_events(items, times)
    return items, times


def logs_of_counts(events, day):
    """Return ln(1 + count) of each item and window before a day, counted one by one: (V, W)."""
    counts = np.zeros((NUM_ITEMS + 3, len(WINDOWS)))
    for item, time in zip(*events, strict=True):
        for place, window in enumerate(WINDOWS):
            counts[item, place] += day - window <= time // DAY < day
    return torch.tensor(np.log1p(counts), dtype=torch.float32)


class PopularityContract:
    """Models score items by recent popularity too, in training, evaluation and serving alike; see `ModelContract`."""

    @every_request_time
    def test_scores_are_those_of_the_formula(self, tiny_model):
        events = set_some_events(tiny_model)
        for history in HISTORIES:
            inputs = inputs_of(tiny_model, [history])
            logits = tiny_model(**inputs).logits[0, -1]
            hidden = tiny_model.model(**inputs).last_hidden_state[0, -1]
            asked = inputs.get("request_times", inputs["timestamps"])[0, -1]
            weights = tiny_model.model.popularity_weights(hidden)
            expected = tiny_model.item_vectors() @ hidden + logs_of_counts(events, asked // DAY) @ weights
            torch.testing.assert_close(logits[3:], expected[3:], **CLOSE)

    @pytest.mark.parametrize("loss", LOSSES)
    @pytest.mark.parametrize("shared_by", ["batch", "sequence"])
    @pytest.mark.parametrize("choices", [POPULARITY["target"]], ids=["target"])
    def test_packing_gives_the_loss_and_gradients_of_padding_with_counts(self, tiny_model, tokenizer, loss, shared_by):
        tiny_model.config.loss, tiny_model.config.negatives_shared_by = loss, shared_by
        if loss == "cross_entropy" and shared_by == "sequence":
            pytest.skip("no negatives are drawn")
        if loss != "cross_entropy" and shared_by == "sequence":
            tiny_model.config.num_negatives = 8
        set_some_events(without_dropout(tiny_model))
        rows = rows_of(tiny_model, [*HISTORIES, HISTORIES[1] * 3])
        found = []
        for packing in (True, False):
            torch.manual_seed(1)  # the same masks, if the objective masks items
            found.append(gradients(tiny_model, training_collator(tiny_model, tokenizer, packing=packing)(rows)))
        if shared_by == "batch":
            torch.testing.assert_close(*found, **CLOSE)
        for _, by_name in found:
            assert by_name["model.popularity_weights.weight"].any()

    @every_request_time
    def test_cross_entropy_is_that_of_the_logits_with_counts(self, tiny_model, tokenizer):
        set_some_events(without_dropout(tiny_model))
        batch = training_collator(tiny_model, tokenizer, seed=1)(rows_of(tiny_model, HISTORIES))
        labels = batch.pop("labels")
        has_label = labels != -100
        expected = torch.nn.functional.cross_entropy(tiny_model(**batch).logits[has_label], labels[has_label])
        expected.backward()
        wanted = {name: parameter.grad for name, parameter in tiny_model.named_parameters()}
        loss, found = gradients(tiny_model, batch | {"labels": labels})
        torch.testing.assert_close(loss, expected.detach(), **CLOSE)
        torch.testing.assert_close(found, wanted, **CLOSE)

    @every_request_time
    def test_evaluation_ranks_each_request_as_of_its_day(self, tiny_model):
        events = set_some_events(tiny_model)
        rows = [row | {"target": 3 + 7 * place} for place, row in enumerate(rows_of(tiny_model, HISTORIES))]
        ranks = rank_dataset(tiny_model, Histories.from_rows(rows), max_length=12, exclude_seen=False).ranks_U
        for row, rank in zip(rows, ranks, strict=True):
            inputs = inputs_of(tiny_model, [row["input_ids"]])
            user = tiny_model.encode_users(**inputs)[0]
            asked = inputs.get("request_times", inputs["timestamps"])[0, -1]
            items = torch.cat([tiny_model.item_vectors(), logs_of_counts(events, asked // DAY)], dim=1)
            scores = items[3:] @ user
            assert rank == (scores >= scores[row["target"] - 3]).sum()

    @every_request_time
    def test_saving_keeps_the_latest_counts(self, tiny_model, tmp_path):
        events = set_some_events(tiny_model)
        latest = logs_of_counts(events, max(events[1]) // DAY + 1)
        tiny_model.save_pretrained(tmp_path)
        loaded = AutoModelForNextItem.from_pretrained(tmp_path).eval()
        torch.testing.assert_close(loaded.encode_items()[:, -2:], latest)
        inputs = inputs_of(tiny_model, [HISTORIES[1]])
        users = tiny_model.encode_users(**inputs)
        torch.testing.assert_close(loaded.encode_users(**inputs), users, **CLOSE)
        if tiny_model.objective.is_causal:  # others put a mask after the history first
            logits = loaded(**inputs).logits[0, -1, 3:]
            torch.testing.assert_close(logits, (users @ tiny_model.encode_items().T)[0, 3:], **CLOSE)

    @every_request_time
    def test_initial_weights_are_even(self, tiny_config):
        model = with_numbers(AutoModelForNextItem.from_config(tiny_config))
        assert model.model.popularity_weights.bias.tolist() == [0.5, 0.5]
