"""Decisions and errors of a trainer that depend only on its arguments."""

from types import SimpleNamespace

import pytest

from seqrec import SasRecConfig, SequentialTrainingArguments
from seqrec.errors import InputError
from seqrec.training.trainer import SequentialTrainer
from seqrec.training.trainer_checks import updates_sparsely


@pytest.mark.parametrize(
    ("loss", "vocab_size", "asked", "max_norm", "expected"),
    [
        ("sampled_softmax", 100_001, None, 1.0, True),
        ("bce", 100_001, None, 1.0, True),
        ("gbce", 100_000, None, 1.0, False),
        ("cross_entropy", 100_001, None, 1.0, False),
        ("gbce", 100_001, None, 0.0, False),
        ("bce", 100_001, False, 1.0, False),
        ("bce", 50, True, 1.0, True),
        ("bce", 50, False, 0.0, False),
    ],
)
def test_sparse_updates_are_chosen_for_large_catalogues_of_which_a_loss_samples(
    loss, vocab_size, asked, max_norm, expected, tmp_path
):
    model = SimpleNamespace(config=SasRecConfig(vocab_size=vocab_size, loss=loss))
    arguments = SequentialTrainingArguments(str(tmp_path), sparse_item_updates=asked, max_grad_norm=max_norm)
    assert updates_sparsely(model.config, arguments) is expected


def test_sparse_updates_need_gradients_that_are_clipped(tmp_path):
    model = SimpleNamespace(config=SasRecConfig(vocab_size=50, loss="bce"))
    arguments = SequentialTrainingArguments(str(tmp_path), sparse_item_updates=True, max_grad_norm=0)
    with pytest.raises(ValueError, match="sparse_item_updates needs max_grad_norm above 0"):
        updates_sparsely(model.config, arguments)


def test_arguments_that_are_none_are_refused():
    with pytest.raises(InputError, match=r"^args is of type str\. Pass SequentialTrainingArguments"):
        SequentialTrainer(args="runs/model", model_init=lambda: None, processing_class=None)
