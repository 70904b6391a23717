"""Models whose tables are drawn in part have the weights of models that are drawn whole."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from seqrec.training import lean_tables
from seqrec.training.lean_tables import drawing_own_rows

sys.path.insert(0, str(Path(__file__).parents[1] / "fixtures"))
from train_tiny import tiny_model


def arguments(process, num_processes):
    return SimpleNamespace(shard_items=True, world_size=num_processes, process_index=process)


@pytest.mark.parametrize("piece_rows", [16, 2**16])
@pytest.mark.parametrize(("vocab_size", "num_processes"), [(43, 1), (43, 2), (64, 3), (101, 4), (96, 2)])
def test_own_rows_and_other_weights_are_the_same(vocab_size, num_processes, piece_rows, monkeypatch):
    monkeypatch.setattr(lean_tables, "PIECE_ROWS", piece_rows)
    whole = tiny_model(vocab_size)
    after = torch.rand(3)
    rows = -(-vocab_size // num_processes)
    for process in range(num_processes):
        with drawing_own_rows(vocab_size, arguments(process, num_processes)):
            model = tiny_model(vocab_size)
        assert torch.equal(torch.rand(3), after)
        for (name, one), other in zip(model.named_parameters(), whole.parameters(), strict=True):
            own = slice(process * rows, (process + 1) * rows) if name == "model.item_embedding.weight" else slice(None)
            assert torch.equal(one[own], other[own]), name


def test_only_own_rows_are_written(monkeypatch):
    empty = torch.empty
    monkeypatch.setattr(torch, "empty", lambda *size, **kwargs: empty(*size, **kwargs).fill_(7))
    with drawing_own_rows(400, arguments(1, 4)):
        table = tiny_model(400).get_input_embeddings().weight
    is_written = (table != 7).any(dim=1)
    assert is_written.nonzero().flatten().tolist() == [0, *range(100, 200)]  # that of the padding token is 0 everywhere
