"""Sparse updates against the dense ones they stand for. Shape suffixes: V rows, D width."""

import sys
from pathlib import Path

import pytest
import torch

from seqrec import SequentialTrainer, SequentialTrainingArguments
from seqrec.training import trainer_checks
from seqrec.training.lazy_adamw import LazyAdamW, clip_grad_norm

sys.path.insert(0, str(Path(__file__).parents[1] / "fixtures"))
from train_tiny import tiny_data, tiny_model

SETTINGS = {"lr": 0.01, "betas": (0.9, 0.98), "eps": 1e-8, "weight_decay": 0.1}


def embeddings():
    """One embedding twice, with sparse and with dense gradients."""
    torch.manual_seed(0)
    weight_VD = torch.randn(20, 4)
    return [torch.nn.Embedding.from_pretrained(weight_VD.clone(), freeze=False, sparse=one) for one in (True, False)]


def test_where_every_row_is_touched_it_is_adamw():
    sparse, dense = embeddings()
    lazy, adamw = LazyAdamW(sparse.parameters(), **SETTINGS), torch.optim.AdamW(dense.parameters(), **SETTINGS)
    for step in range(5):
        ids = torch.cat([torch.randperm(20), torch.randint(0, 20, (7,))])
        for embedding, optimizer in ((sparse, lazy), (dense, adamw)):
            (embedding(ids).sin() * (step + 1)).sum().backward()
            optimizer.step()
            optimizer.zero_grad()
    torch.testing.assert_close(sparse.weight, dense.weight)


def test_rows_that_were_not_touched_stay_as_they_are():
    sparse, _ = embeddings()
    before_VD = sparse.weight.detach().clone()
    optimizer = LazyAdamW(sparse.parameters(), **SETTINGS)
    for ids in ([3, 3, 5], [5, 7]):
        sparse(torch.tensor(ids)).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    changed_V = (sparse.weight != before_VD).any(dim=1)
    assert changed_V.nonzero().flatten().tolist() == [3, 5, 7]


def test_dense_parameters_beside_sparse_ones_are_plain_adamw():
    torch.manual_seed(0)
    sparse, _ = embeddings()
    layer = torch.nn.Linear(4, 1)
    twin = torch.nn.Linear(4, 1)
    twin.load_state_dict(layer.state_dict())
    lazy = LazyAdamW([*sparse.parameters(), *layer.parameters()], **SETTINGS)
    adamw = torch.optim.AdamW(twin.parameters(), **SETTINGS)
    for _ in range(3):
        vectors = sparse(torch.tensor([4, 9]))
        layer(vectors).sum().backward()
        twin(vectors.detach()).sum().backward()
        lazy.step(), adamw.step()
        lazy.zero_grad(), adamw.zero_grad()
    torch.testing.assert_close(layer.weight, twin.weight)


@pytest.mark.parametrize("max_norm", [0.5, 1e6])
def test_clipping_sees_a_row_that_was_touched_twice_once(max_norm):
    sparse, dense = embeddings()
    for embedding in (sparse, dense):
        embedding(torch.tensor([3, 3, 5])).square().sum().backward()
    norm = clip_grad_norm(sparse.parameters(), max_norm)
    wanted = torch.nn.utils.clip_grad_norm_(dense.parameters(), max_norm)
    torch.testing.assert_close(norm, wanted)
    torch.testing.assert_close(sparse.weight.grad.to_dense(), dense.weight.grad)


def test_its_state_survives_saving():
    sparse, _ = embeddings()
    optimizer = LazyAdamW(sparse.parameters(), **SETTINGS)
    sparse(torch.tensor([3])).sum().backward()
    optimizer.step()
    other = LazyAdamW(sparse.parameters(), **SETTINGS)
    other.load_state_dict(optimizer.state_dict())
    torch.testing.assert_close(other.state_dict()["state"], optimizer.state_dict()["state"])


def make_trainer(folder, **settings):
    """Make a trainer that takes three steps, each of all histories, which touch all items."""
    sequences, tokenizer = tiny_data()
    model = tiny_model(len(tokenizer))
    model.config.loss, model.config.num_negatives = "sampled_softmax", 500
    arguments = SequentialTrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=64,
        max_steps=3,
        eval_strategy="no",
        save_strategy="no",
        load_best_model_at_end=False,
        disable_tqdm=True,
        **settings,
    )
    return SequentialTrainer(model, arguments, processing_class=tokenizer, train_dataset=sequences["train"])


def test_a_trainer_chooses_sparse_updates_by_itself_and_takes_them(tmp_path, monkeypatch):
    assert not make_trainer(tmp_path).model.get_input_embeddings().sparse
    monkeypatch.setattr(trainer_checks, "MANY_ITEMS", 10)
    trainer = make_trainer(tmp_path)
    assert trainer.model.get_input_embeddings().sparse
    trainer.train()
    assert isinstance(trainer.optimizer.optimizer, LazyAdamW)


@pytest.mark.parametrize("max_norm", [1e-3, 1e6])
def test_a_trainer_clips_sparse_gradients_as_dense_ones(tmp_path, max_norm):
    """Adam with so large an epsilon notices how long gradients are; with a small one they might be of any length."""
    settings = {"learning_rate": 0.2, "adam_epsilon": 0.1, "adam_beta1": 0.5, "adam_beta2": 0.7}
    weights = {}
    for sparse in (True, False):
        trainer = make_trainer(tmp_path, sparse_item_updates=sparse, max_grad_norm=max_norm, **settings)
        before = trainer.model.get_input_embeddings().weight.detach().clone()
        trainer.train()
        weights[sparse] = trainer.model.state_dict()
    torch.testing.assert_close(weights[True], weights[False], atol=1e-6, rtol=1e-4)
    moved = (weights[True]["model.item_embedding.weight"] - before).abs().max()
    assert moved < 0.01 if max_norm < 1 else moved > 0.01
