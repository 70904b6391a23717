"""The training job passes its arguments on: which rows are used for training and model selection, and how."""

import pytest
import torch

from seqrec.interactions.collators import MaskedItemCollator
from seqrec.interactions.data_arguments import DataArguments
from seqrec.interactions.synthetic import synthetic_interactions
from seqrec.training.arguments import SequentialTrainingArguments
from seqrec.training.job import run_job

pytestmark = pytest.mark.filterwarnings("ignore:.* targets are in their users' own histories")

FIELDS = {"hidden_size": 8, "num_attention_heads": 1, "num_hidden_layers": 1, "max_position_embeddings": 12}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A table in which users take some of their items once more, at the end."""
    path = tmp_path_factory.mktemp("data") / "interactions.csv"
    once = synthetic_interactions(num_users=60, num_items=40, num_tastes=2, mean_length=8)
    again = once.with_columns(once["timestamp"] + once["timestamp"].max())[::6]
    once.vstack(again).write_csv(path)
    return path


@pytest.fixture
def job(table, tmp_path):
    """Train for a few epochs; return the trainer, the data and the metrics."""

    def run(folder="model", fields=None, **settings):
        settings = {"num_train_epochs": 3, "learning_rate": 0.03, "disable_tqdm": True, **settings}
        arguments = SequentialTrainingArguments(output_dir=str(tmp_path / folder), **settings)
        return run_job(
            DataArguments(dataset=str(table)),
            arguments,
            model_type="bert4rec",
            config_fields={**FIELDS, **(fields or {})},
        )

    return run


@pytest.fixture
def _no_measuring(monkeypatch):
    """End with the training, which is all that some tests look at."""
    monkeypatch.setattr("seqrec.training.job.measure", lambda *args, **kwargs: {})
    monkeypatch.setattr("seqrec.training.job.save", lambda *args: None)


@pytest.mark.parametrize("exclude_seen", [True, False])
def test_the_best_epoch_by_validation_is_what_is_measured_and_saved(job, exclude_seen):
    done = job(exclude_seen=exclude_seen)
    logged = [entry["eval_ndcg@10"] for entry in done.trainer.state.log_history if "eval_ndcg@10" in entry]
    validation, test = (done.metrics["model"][split]["ndcg@10"] for split in ("validation", "test"))
    assert validation == pytest.approx(max(logged), abs=1e-6)
    assert validation != pytest.approx(test, abs=1e-6)
    assert done.metrics["training"]["best_epoch"] == 1 + logged.index(max(logged))
    assert done.metrics["protocol"]["exclude_seen"] is exclude_seen


@pytest.mark.usefixtures("_no_measuring")
def test_it_learns_from_the_training_part_with_the_fields_given(job):
    fields = {"masking_probability": 0.7, "last_item_share": 0.4}
    done = job(fields=fields, num_train_epochs=1, packing=False, data_seed=5)
    rows = done.trainer.train_dataset
    learned_from = [row["input_ids"].tolist() for row in rows.__getitems__(range(len(rows)))]
    assert learned_from == [token_ids.tolist() for token_ids in done.data.sequences["train"]["input_ids"]]
    collator = done.trainer.data_collator
    assert (collator.masking_probability, collator.last_item_share) == (0.7, 0.4)
    assert (collator.max_length, collator.packing, collator.seed) == (12, False, 5)
    assert done.trainer.model.config.hidden_size == 8


@pytest.mark.usefixtures("_no_measuring")
def test_every_epoch_hides_items_anew(job, monkeypatch):
    epochs = []
    monkeypatch.setattr(MaskedItemCollator, "set_epoch", lambda self, epoch: epochs.append(epoch))
    job(num_train_epochs=3)
    assert epochs == [0, 1, 2]


@pytest.mark.usefixtures("_no_measuring")
def test_the_seed_decides_the_weights(job):
    def weights(folder, seed):
        return job(folder, num_train_epochs=1, seed=seed).trainer.model.get_input_embeddings().weight

    first, again, other = (weights(folder, seed) for folder, seed in (("a", 1), ("b", 1), ("c", 2)))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other, atol=0.01)
