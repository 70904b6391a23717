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
# To know what follows, BERT4Rec must often be asked for just that: other masks show it both neighbours.
MASKED = {**FULL, "last_item_share": 0.7, "num_hidden_layers": 1, "hidden_dropout": 0.0}


@pytest.mark.parametrize(
    ("model_type", "fields", "sparse_item_updates", "num_users", "num_epochs"),
    [
        ("sasrec", FULL, False, 1500, 15),
        ("sasrec", SAMPLED, False, 1500, 15),
        ("sasrec", SAMPLED, True, 1500, 15),
        ("esasrec", FULL, False, 1500, 15),
        ("hstu", FULL, False, 1500, 15),
        ("bert4rec", MASKED, False, 3000, 22),
    ],
)
def test_learns_a_markov_source_to_within_five_percent_of_the_best(
    model_type, fields, sparse_item_updates, num_users, num_epochs, tmp_path
):
    source = MarkovSource.random(num_items=50, num_successors=5, seed=0)
    split = leave_one_out(source.interactions(num_users=num_users, length=20, seed=1))
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
            num_train_epochs=num_epochs,
            learning_rate=5e-3,
            exclude_seen=False,
            sparse_item_updates=sparse_item_updates,
            disable_tqdm=True,
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
