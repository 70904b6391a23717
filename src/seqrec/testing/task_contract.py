"""Contract tests of several tasks in one model.

Shape suffixes: B batch, L length, C candidates.
"""

import numpy as np
import pytest
import torch
from transformers import AutoModel

from seqrec.configuration.task_entries import NEXT_ITEM_TASK
from seqrec.interactions.label_names import labels_key
from seqrec.modeling.modeling_auto import AutoModelForNextItem
from seqrec.modeling.objectives import training_collator
from seqrec.modeling.task_losses import IMPRESSION_IDS, IMPRESSION_POSITIONS, count_labels
from seqrec.testing.tiny_inputs import (
    HISTORIES,
    LOSSES,
    NUM_ITEMS,
    gradients,
    inputs_of,
    rows_of,
    users_one_by_one,
    with_numbers,
    without_dropout,
)

__all__ = ["TaskContract"]

CLOSE = {"atol": 1e-5, "rtol": 1e-5}
TASKS = {"tasks": ["rating", NEXT_ITEM_TASK, "like", "click"], "rating_scale": [1, 5]}
READING = {**TASKS, "past_labels": ["like", "rating"]}
OTHERS = {
    "cosines": {**TASKS, "logit_scale": 20},
    "popularity": {**TASKS, "popularity_windows": [7], "request_time": "target"},
    "learned weights": {**TASKS, "task_weighting": "learned"},
}
CANDIDATES = torch.tensor([[3, 17, 42]]).expand(len(HISTORIES), -1)

with_tasks = pytest.mark.parametrize("choices", [TASKS], ids=["tasks"])
with_past_labels = pytest.mark.parametrize("choices", [READING], ids=["past labels"])
every_kind = pytest.mark.parametrize(
    "choices", [TASKS, READING, *OTHERS.values()], ids=["tasks", "past labels", *OTHERS]
)


def labelled_rows(model, histories=HISTORIES, **changed):
    """Return histories as rows with labels, a quarter of which are missing.

    Args:
        model: The model.
        histories: Token ids of each history.
        **changed: Labels of all events of a task, in place of the drawn ones.
    """
    rows = rows_of(model, histories)
    random = np.random.default_rng(0)
    for row in rows:
        length = len(row["input_ids"])
        values = {"rating": random.integers(2, 11, length) / 2}  # from 1 to 5
        values |= {task: random.integers(0, 2, length) for task in ("like", "click")}
        row |= {task: np.where(random.random(length) < 0.25, np.nan, found).tolist() for task, found in values.items()}
        row |= {task: [value] * length for task, value in changed.items()}
    return rows


def batch_of(model, tokenizer, rows, packing=True):
    """Collate rows; masks, if the objective has any, are always the same."""
    if model.recent_counts is not None:
        random = np.random.default_rng(0)
        model.set_events(random.integers(3, NUM_ITEMS + 3, 500), random.integers(1.59e9, 1.61e9, 500))
    torch.manual_seed(1)
    return training_collator(model, tokenizer, packing=packing)(rows)


def hidden_states(model, batch):
    """Return the states before the items to predict: (B, L, D)."""
    labels = {"labels", *(labels_key(task) for task in model.config.label_tasks)}
    return model.model(**{name: values for name, values in batch.items() if name not in labels}).last_hidden_state


def naive_losses(model, batch):
    """Compute the mean loss of each label task with a loop over the positions."""
    hidden_BLD = hidden_states(model, batch)
    found = {task: [] for task in model.config.label_tasks}
    for row, position in (batch["labels"] != -100).nonzero().tolist():
        user = model.model.as_users(hidden_BLD[row, position])[None]
        item = batch["labels"][row, position].view(1, 1)
        logits, predictions = model.task_logits(user, item), model.predict_tasks(user, item)
        for task, errors in found.items():
            label = batch[labels_key(task)][row, position]
            if label.isnan():
                continue
            if task == "rating":
                errors.append(((predictions[task] - label) / 4) ** 2)
            else:
                share = logits[task].double().sigmoid()
                errors.append(-(share if label == 1 else 1 - share).log())
    return {task: torch.cat(errors).mean().float() for task, errors in found.items()}


class TaskContract:
    """Models learn and predict outcomes such as ratings, next to the next item; see `ModelContract`."""

    @every_kind
    def test_losses_are_those_of_the_predictions(self, tiny_model, tokenizer):
        without_dropout(tiny_model)
        batch = batch_of(tiny_model, tokenizer, labelled_rows(tiny_model))
        torch.manual_seed(0)
        found = tiny_model(**batch)
        expected = naive_losses(tiny_model, batch)
        assert found.losses.keys() == {NEXT_ITEM_TASK, *expected}
        for task, loss in expected.items():
            torch.testing.assert_close(found.losses[task], loss.detach(), **CLOSE)
            assert found.num_labels[task] == (~batch[labels_key(task)].isnan()).sum()
        if tiny_model.config.task_weighting == "fixed":
            torch.testing.assert_close(found.loss.detach(), sum(found.losses.values()), **CLOSE)

    @every_kind
    def test_every_weight_learns_and_none_becomes_nan(self, tiny_model, tokenizer):
        batch = batch_of(tiny_model, tokenizer, labelled_rows(tiny_model))
        _, found = gradients(tiny_model, batch)
        for name, gradient in found.items():
            assert gradient.isfinite().all(), name
            assert gradient.any() or "task_heads" not in name, name

    @pytest.mark.parametrize("loss", LOSSES)
    @with_past_labels
    def test_packing_gives_the_loss_and_gradients_of_padding_with_tasks(self, tiny_model, tokenizer, loss):
        tiny_model.config.loss = loss
        without_dropout(tiny_model)
        rows = labelled_rows(tiny_model, [*HISTORIES, HISTORIES[1] * 3])
        packed, unpacked = (
            gradients(tiny_model, batch_of(tiny_model, tokenizer, rows, packing)) for packing in (True, False)
        )
        torch.testing.assert_close(packed, unpacked, **CLOSE)

    @every_kind
    def test_predictions_of_a_batch_are_those_of_each_user_alone(self, tiny_model):
        inputs = inputs_of(tiny_model, HISTORIES, "left")
        together = tiny_model.predict_tasks(tiny_model.encode_users(**inputs), CANDIDATES)
        users = users_one_by_one(tiny_model)
        assert list(together) == ["rating", "like", "click"]
        for row in range(len(HISTORIES)):
            for place, item in enumerate(CANDIDATES[row].tolist()):
                alone = tiny_model.predict_tasks(users[row : row + 1], torch.tensor([[item]]))
                for task, values in together.items():
                    torch.testing.assert_close(values[row, place], alone[task][0, 0], **CLOSE)

    @with_tasks
    def test_predictions_stay_in_their_range(self, tiny_model):
        for parameter in tiny_model.task_heads.parameters():
            torch.nn.init.normal_(parameter, std=100)
        found = tiny_model.predict_tasks(users_one_by_one(tiny_model), CANDIDATES)
        assert found["rating"].min() >= 1
        assert found["rating"].max() <= 5
        assert found["rating"].std() > 1
        for task in ("like", "click"):
            assert ((found[task] >= 0) & (found[task] <= 1)).all()

    @with_past_labels
    def test_the_label_of_an_event_does_not_change_its_own_prediction_in_training(self, tiny_model, tokenizer):
        without_dropout(tiny_model)
        rows = labelled_rows(tiny_model)
        batch = batch_of(tiny_model, tokenizer, rows, packing=False)
        before = hidden_states(tiny_model, batch)
        for task in ("rating", "like"):
            for place in range(len(HISTORIES[1])):
                changed = [row | {task: list(row[task])} for row in rows]
                changed[1][task][place] = 1.0 if changed[1][task][place] != 1.0 else 0.0 if task == "like" else 5.0
                other = batch_of(tiny_model, tokenizer, changed, packing=False)
                after = hidden_states(tiny_model, other)
                row = self.row_of(batch, HISTORIES[1])
                labels = batch[labels_key(task)][row]
                is_own = ~torch.isclose(labels, other[labels_key(task)][row], equal_nan=True)
                if is_own.any():  # the event is predicted
                    torch.testing.assert_close(after[row][is_own], before[row][is_own])
                if tiny_model.objective.is_causal:  # nor of those before
                    torch.testing.assert_close(after[row][:place], before[row][:place])
                    assert torch.allclose(after[row], before[row]) == (place == len(HISTORIES[1]) - 1)

    @staticmethod
    def row_of(batch, history):
        """Return the row of a padded batch that holds a history."""
        items = torch.where(batch["labels"] == -100, batch["input_ids"], batch["labels"])
        if not (batch["input_ids"] == 1).any():  # of a causal model, whose inputs lack the last item
            return next(row for row, ids in enumerate(batch["input_ids"]) if ids[:7].tolist() == history[:7])
        return next(row for row, ids in enumerate(items) if ids[: len(history)].tolist() == history)

    @with_past_labels
    def test_requests_read_the_labels_of_the_past_and_missing_ones_add_nothing(self, tiny_model):
        ids = torch.tensor([HISTORIES[1]])
        none = torch.full(ids.shape, torch.nan)
        some = none.clone()
        some[0, 3] = 1.0
        without = tiny_model.encode_users(ids, rating=none, like=none)
        assert without.isfinite().all()
        for task in ("rating", "like"):
            labels = {"rating": none, "like": none}
            assert not torch.allclose(tiny_model.encode_users(ids, **{**labels, task: some}), without, atol=1e-3)
        plain = AutoModelForNextItem.from_config(type(tiny_model.config)(**self.without_past(tiny_model))).eval()
        plain.load_state_dict(tiny_model.state_dict(), strict=False)
        torch.testing.assert_close(plain.encode_users(ids), without)

    @staticmethod
    def without_past(model):
        """Return the fields of a model's configuration, but without past labels."""
        config = model.config
        return {**config.scoring_fields(), "past_labels": [], "hidden_dropout": 0.0}

    @every_kind
    def test_a_task_without_labels_costs_nothing(self, tiny_model, tokenizer):
        rows = labelled_rows(tiny_model, rating=torch.nan)
        batch = batch_of(tiny_model, tokenizer, rows)
        tiny_model.zero_grad()
        torch.manual_seed(0)
        found = tiny_model(**batch)
        found.loss.backward()
        assert found.loss.isfinite()
        assert found.losses["rating"] == found.num_labels["rating"] == 0
        for name, parameter in tiny_model.named_parameters():
            assert (parameter.grad is None) == name.startswith("task_heads.heads.rating"), name

    @with_tasks
    def test_no_labels_at_all_give_the_loss_0(self, tiny_model, tokenizer):
        batch = batch_of(tiny_model, tokenizer, labelled_rows(tiny_model, [[2, 2]]))
        loss = tiny_model(**batch).loss
        loss.backward()
        assert loss == 0
        assert all(parameter.grad is None for parameter in tiny_model.parameters())

    @with_tasks
    def test_missing_columns_of_labels_are_refused(self, tiny_model, tokenizer):
        batch = batch_of(tiny_model, tokenizer, labelled_rows(tiny_model))
        del batch["like_labels"]
        with pytest.raises(ValueError, match=r"predicts 'like', but its labels were not given. Pass like_labels="):
            tiny_model(**batch)

    @pytest.mark.parametrize("choices", [TASKS, OTHERS["learned weights"]], ids=["fixed", "learned"])
    def test_losses_of_parts_sum_to_that_of_the_whole(self, tiny_model, tokenizer):
        without_dropout(tiny_model)
        rows = labelled_rows(tiny_model)
        rows[0]["rating"] = [torch.nan] * len(rows[0]["rating"])  # so that the parts have different shares of labels
        parts = [batch_of(tiny_model, tokenizer, some) for some in (rows[:2], rows[2:])]
        counts = count_labels(parts, tiny_model.config.label_tasks)
        tiny_model.zero_grad()
        outputs = [tiny_model(**part, num_items_by_task=counts) for part in parts]
        loss = sum(one.loss for one in outputs)
        expected = {
            task: sum(one.losses[task] * one.num_labels[task] for one in outputs) / counts[task] for task in counts
        }
        if tiny_model.config.task_weighting == "fixed":
            torch.testing.assert_close(loss.detach(), sum(expected.values()), **CLOSE)
        else:
            variances = dict(zip(tiny_model.config.tasks, tiny_model.task_heads.log_variances_T.detach(), strict=True))
            factors = {"rating": 0.5}
            terms = [
                factors.get(task, 1) * torch.exp(-variances[task]) * mean + variances[task] / 2
                for task, mean in expected.items()
            ]
            torch.testing.assert_close(loss.detach(), sum(terms), **CLOSE)

    @with_tasks
    def test_weights_multiply_the_losses(self, tiny_model, tokenizer):
        batch = batch_of(tiny_model, tokenizer, labelled_rows(tiny_model))
        tiny_model.config.task_weights = {"like": 0, "rating": 3}
        found = tiny_model(**batch)
        losses = found.losses
        torch.testing.assert_close(found.loss, losses[NEXT_ITEM_TASK] + 3 * losses["rating"] + losses["click"])

    @with_tasks
    def test_impressions_are_clicks_of_0(self, tiny_model, tokenizer):
        without_dropout(tiny_model)
        batch = batch_of(tiny_model, tokenizer, labelled_rows(tiny_model), packing=False)
        plain = tiny_model(**batch)
        row, position = (batch["labels"] != -100).nonzero()[0].tolist()
        shown = torch.zeros(len(batch["labels"]), 2, dtype=torch.long)
        places = shown.clone()
        shown[row], places[row] = torch.tensor([7, 0]), torch.tensor([position, 0])
        found = tiny_model(**batch, **{IMPRESSION_IDS: shown, IMPRESSION_POSITIONS: places})
        user = tiny_model.model.as_users(hidden_states(tiny_model, batch)[row, position])[None]
        loss = torch.nn.functional.softplus(tiny_model.task_logits(user, torch.tensor([[7]]))["click"]).sum()
        count = plain.num_labels["click"]
        torch.testing.assert_close(
            found.losses["click"], (plain.losses["click"] * count + loss.detach()) / (count + 1), **CLOSE
        )
        for task in ("rating", "like", NEXT_ITEM_TASK):
            torch.testing.assert_close(found.losses[task], plain.losses[task])
        batches = [{**batch, IMPRESSION_IDS: shown}]
        assert count_labels(batches, tiny_model.config.label_tasks) == found.num_labels

    @every_kind
    def test_saving_keeps_predictions_and_calibration(self, tiny_model, tmp_path):
        tiny_model.set_calibration("like", 0.5, -0.25)
        users = torch.randn(len(HISTORIES), tiny_model.encode_items().shape[1])
        tiny_model.save_pretrained(tmp_path)
        loaded = AutoModelForNextItem.from_pretrained(tmp_path).eval()
        found, logits = loaded.predict_tasks(users, CANDIDATES), loaded.task_logits(users, CANDIDATES)
        torch.testing.assert_close(found, tiny_model.predict_tasks(users, CANDIDATES), atol=0, rtol=0)
        torch.testing.assert_close(found["like"], (0.5 * logits["like"] - 0.25).sigmoid())
        torch.testing.assert_close(found["click"], logits["click"].sigmoid())

    @with_past_labels
    def test_the_backbone_is_loaded_without_the_heads(self, tiny_model, tmp_path):
        tiny_model.save_pretrained(tmp_path)
        backbone = AutoModel.from_pretrained(tmp_path).eval()
        weights = tiny_model.model.state_dict()
        assert all(torch.equal(tensor, weights[name]) for name, tensor in backbone.state_dict().items())
        torch.testing.assert_close(users_one_by_one(backbone), users_one_by_one(tiny_model))

    @with_tasks
    def test_more_items_leave_predictions_as_they_were(self, tiny_model):
        users = users_one_by_one(tiny_model)
        before = tiny_model.predict_tasks(users, CANDIDATES)
        tiny_model.resize_token_embeddings(60, mean_resizing=False)
        torch.testing.assert_close(tiny_model.predict_tasks(users, CANDIDATES), before)
        for head in tiny_model.task_heads.heads.values():
            assert head.id_bias.weight.shape == (60, 1)
            assert not head.id_bias.weight[NUM_ITEMS + 3 :].any()
        assert tiny_model.predict_tasks(users, torch.full_like(CANDIDATES, 59))["like"].isfinite().all()

    @with_past_labels
    def test_an_untrained_model_predicts_the_mean_labels_and_reads_no_labels(self, tiny_config):
        model = AutoModelForNextItem.from_config(tiny_config).eval()
        model.set_label_means({"rating": 3.75, "like": 0.125})
        ids = torch.tensor([HISTORIES[1]])
        labels = torch.ones(ids.shape)
        users = model.encode_users(ids, rating=labels, like=labels)
        found = model.predict_tasks(users, CANDIDATES[:1])
        torch.testing.assert_close(found["rating"], torch.full((1, 3), 3.75))
        torch.testing.assert_close(found["like"], torch.full((1, 3), 0.125))
        torch.testing.assert_close(found["click"], torch.full((1, 3), 0.5))
        torch.testing.assert_close(model.encode_users(ids, rating=labels * torch.nan, like=labels * torch.nan), users)

    @with_tasks
    def test_runs_in_bfloat16_with_tasks(self, tiny_model, tokenizer):
        batch = batch_of(tiny_model, tokenizer, labelled_rows(tiny_model))
        expected, _ = gradients(without_dropout(tiny_model), batch)
        torch.manual_seed(0)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = tiny_model(**batch).loss
        assert loss.dtype == torch.float32
        torch.testing.assert_close(loss.detach(), expected, atol=0.05, rtol=0.05)

    def test_models_of_the_next_item_alone_have_no_heads(self, tiny_model):
        assert tiny_model.task_heads is None
        assert not [name for name in tiny_model.state_dict() if "task" in name]
        with pytest.raises(ValueError, match=r"predicts only the next item"):
            tiny_model.predict_tasks(users_one_by_one(tiny_model), CANDIDATES)

    @pytest.mark.parametrize("choices", [{"tasks": [NEXT_ITEM_TASK, "rating"]}], ids=["no scale"])
    def test_ratings_need_a_scale(self, tiny_config):
        with pytest.raises(ValueError, match=r"The task 'rating' needs a scale. Set rating_scale"):
            with_numbers(AutoModelForNextItem.from_config(tiny_config))
