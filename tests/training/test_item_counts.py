"""The counts of the catalogue reach the model, whose negatives follow them."""

import polars as pl
import pytest

from seqrec import Recommender, SequentialTrainer, SequentialTrainingArguments
from seqrec.interactions.histories import Histories
from seqrec.training.starting_point import load_starting_point

COUNTS = [(row * 7) % 40 for row in range(40)]
BEST_FIRST = sorted(range(40), key=lambda row: -COUNTS[row])


@pytest.fixture
def model_type():
    return "sasrec"


@pytest.fixture
def items(items):
    return items.with_columns(pl.Series("count", COUNTS))


@pytest.mark.parametrize("take", [lambda frame: frame, pl.DataFrame.to_pandas, pl.DataFrame.to_arrow])
def test_the_trainer_hands_them_to_the_model_and_saves_them(tiny_model, tokenizer, items, tmp_path, take):
    trainer = SequentialTrainer(
        tiny_model,
        SequentialTrainingArguments(
            output_dir=tmp_path, eval_strategy="no", save_strategy="no", load_best_model_at_end=False
        ),
        processing_class=tokenizer,
        train_dataset=Histories.from_lists({"input_ids": [[3, 4, 5]]}),
        items=take(items),
    )
    assert tiny_model.items_by_count_I.tolist() == BEST_FIRST
    trainer.save_model()
    assert pl.read_parquet(tmp_path / "items.parquet").rows() == items.rows()


def test_a_saved_model_knows_them(recommender, tmp_path):
    recommender.save_pretrained(tmp_path)
    for loaded in (Recommender.from_pretrained(tmp_path, device="cpu"), load_starting_point(str(tmp_path))):
        assert loaded.model.items_by_count_I.tolist() == BEST_FIRST
