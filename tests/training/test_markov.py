"""Models learn a Markov source almost to its best possible hit rate, which is known."""

import numpy as np
import pytest
import torch
from transformers import set_seed

from seqrec import SequentialTrainer, SequentialTrainingArguments
from seqrec.evaluation.evaluator import rank_dataset
from seqrec.interactions.sequences import build_sequences
from seqrec.interactions.splitting import leave_one_out
from seqrec.interactions.synthetic import MarkovSource
from seqrec.interactions.tokenization_items import ItemTokenizer
from seqrec.modeling.modeling_auto import MODEL_TYPES, AutoModelForNextItem

FULL = {"loss": "cross_entropy"}
SAMPLED = {"loss": "sampled_softmax", "num_negatives": 16}
# To know what follows, BERT4Rec must be asked for just that: other masks show it both neighbours. Each history then
# teaches it little, so that its source is a smaller one.
MASKED = {**FULL, "last_item_share": 0.9, "num_hidden_layers": 1, "hidden_dropout": 0.0}
LONG, SHORT = {"num_users": 1000, "length": 20}, {"num_users": 2000, "length": 10}


@pytest.mark.parametrize(
    ("model_type", "fields", "num_items", "sizes", "settings"),
    [
        ("sasrec", FULL, 50, LONG, {"num_train_epochs": 6}),
        ("sasrec", SAMPLED, 50, LONG, {"num_train_epochs": 10}),
        ("sasrec", SAMPLED, 50, LONG, {"num_train_epochs": 10, "sparse_item_updates": True}),
        ("esasrec", FULL, 50, LONG, {"num_train_epochs": 6}),
        ("hstu", FULL, 50, LONG, {"num_train_epochs": 6}),
        ("bert4rec", MASKED, 25, SHORT, {"num_train_epochs": 12, "per_device_train_batch_size": 64}),
    ],
    ids=["sasrec", "sampled", "sparse", "esasrec", "hstu", "bert4rec"],
)
def test_learns_a_markov_source_to_within_five_percent_of_the_best(
    model_type, fields, num_items, sizes, settings, tmp_path
):
    source = MarkovSource.random(num_items=num_items, num_successors=5, seed=0)
    split = leave_one_out(source.interactions(**sizes, seed=1))
    tokenizer = ItemTokenizer.from_interactions(split.train)
    sequences = build_sequences(split, tokenizer)
    set_seed(0)
    config = MODEL_TYPES[model_type](
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        max_position_embeddings=20,
        **{"hidden_dropout": 0.1, **fields},
    )
    trainer = SequentialTrainer(
        AutoModelForNextItem.from_config(config),
        SequentialTrainingArguments(
            output_dir=str(tmp_path),
            learning_rate=1e-2,
            exclude_seen=False,
            disable_tqdm=True,
            **{"sparse_item_updates": False, **settings},
        ),
        processing_class=tokenizer,
        train_dataset=sequences["train"],
        eval_dataset=sequences["validation"],
    )
    trainer.train()
    ranking = rank_dataset(trainer.model, sequences["test"], max_length=config.max_history_length, exclude_seen=False)
    last_items = split.validation["item_id"]
    listed_UK = np.array(tokenizer.decode_item_ids(ranking.top_UK[:, :3].flatten()), dtype=int).reshape(-1, 3)
    # How probably each listed item comes next, rather than whether it did, which is left to chance.
    hits_UK = source.transitions_VV[last_items.cast(int).to_numpy()[:, None], listed_UK].cumsum(axis=1)
    for k in (1, 3):
        assert hits_UK[:, k - 1].mean() > 0.95 * source.best_hit_rate(k, last_items)
    assert torch.isfinite(trainer.model.encode_items()).all()
