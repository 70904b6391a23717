"""Where only the gaps between events decide what comes next, models learn it with times, and not without."""

import numpy as np
import polars as pl
import pytest
from transformers import set_seed

from seqrec import AutoModelForNextItem, SequentialTrainer, SequentialTrainingArguments
from seqrec.evaluation.evaluator import rank_dataset
from seqrec.evaluation.metrics import ranking_metrics
from seqrec.interactions.sequences import build_sequences
from seqrec.interactions.splitting import leave_one_out
from seqrec.interactions.tokenization_items import ItemTokenizer
from seqrec.modeling.modeling_auto import MODEL_TYPES

NUM_SHELVES, SHELF = 8, 3
HOUR, DAY = 3600, 86_400
RELATIVE = {"time_encoding": "relative"}


def shop_visits(*, lag, num_users=500, length=20):
    """Draw interactions: within an hour, a user takes an item of the same shelf, and after a day one of the next shelf.

    Items of a shelf are alike, so the best lists of `SHELF` items hold every next item. Without times, the best ones
    hold half.

    Args:
        lag: 0 if the gap right before an item decides its shelf, 1 if the one before that does.
        num_users: Number of users.
        length: Interactions of each.
    """
    generator = np.random.default_rng(0)
    is_long_UL = generator.random((num_users, length + 1)) < 0.5
    short_UL, long_UL = generator.uniform((60, DAY), (HOUR, 3 * DAY), (*is_long_UL.shape, 2)).transpose(2, 0, 1)
    gaps_UL = np.where(is_long_UL, long_UL, short_UL)
    moves_UL = is_long_UL[:, 1 - lag : length + 1 - lag]
    shelves_UL = (generator.integers(NUM_SHELVES, size=(num_users, 1)) + moves_UL.cumsum(axis=1)) % NUM_SHELVES
    items_UL = shelves_UL * SHELF + generator.integers(SHELF, size=shelves_UL.shape)
    times_UL = 1_600_000_000 + gaps_UL[:, 1:].cumsum(axis=1).astype(np.int64)
    users_UL = np.broadcast_to(np.arange(num_users)[:, None], items_UL.shape)
    return pl.DataFrame({"user_id": users_UL.ravel(), "item_id": items_UL.ravel(), "timestamp": times_UL.ravel()})


@pytest.mark.parametrize(
    ("lag", "fields", "learns"),
    [
        (0, {**RELATIVE, "request_time": "target"}, True),
        (0, RELATIVE, False),
        (1, RELATIVE, True),
        (1, {}, False),
    ],
    ids=["request known", "request unknown", "last gap known", "no times"],
)
def test_learns_what_gaps_decide_to_within_five_percent_of_the_best(lag, fields, learns, tmp_path):
    split = leave_one_out(shop_visits(lag=lag))
    tokenizer = ItemTokenizer.from_interactions(split.train)
    sequences = build_sequences(split, tokenizer)
    set_seed(0)
    config = MODEL_TYPES["sasrec"](
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        max_position_embeddings=20,
        hidden_dropout=0.0,
        **fields,
    )
    trainer = SequentialTrainer(
        AutoModelForNextItem.from_config(config),
        SequentialTrainingArguments(
            output_dir=str(tmp_path),
            num_train_epochs=24 if learns else 8,  # at which those that learn are well above 0.6
            learning_rate=1e-2,
            per_device_train_batch_size=32,
            eval_strategy="no",
            save_strategy="no",
            load_best_model_at_end=False,
            disable_tqdm=True,
            use_cpu=True,
        ),
        processing_class=tokenizer,
        train_dataset=sequences["train"],
    )
    trainer.train()
    ranking = rank_dataset(trainer.model, sequences["test"], max_length=20, exclude_seen=False)
    rate = ranking_metrics(ranking.ranks_U, (SHELF,))[f"hr@{SHELF}"]
    assert rate > 0.95 if learns else rate < 0.6
