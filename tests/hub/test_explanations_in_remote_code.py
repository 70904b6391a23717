"""Saved models explain their recommendations by their own code alone: without seqrec and polars."""

import json
import os
import subprocess
import sys

import pytest
import torch

from seqrec import Recommender
from seqrec.modeling.modeling_auto import MODEL_TYPES, AutoModelForNextItem

HISTORY = ["item 5", "item 9", "item 7"]
METHODS = ["leave_one_out", "integrated_gradients", "attention_rollout"]

# argv: the folder of a model; a history as JSON; where to write answers as JSON.
STRANGER = """
import json, sys
from pathlib import Path

for name in ("seqrec", "polars", "pyarrow", "datasets", "accelerate", "pandas"):
    sys.modules[name] = None  # importing it fails
from transformers import pipeline

pipe = pipeline("next-item-recommendation", model=sys.argv[1], trust_remote_code=True, device="cpu")
history = json.loads(sys.argv[2])
methods = ("leave_one_out", "integrated_gradients", "attention_rollout")
answers = [pipe([history, history[:2]], top_k=2, explain=method) for method in methods]
answers.append(pipe(history, top_k=2, explain=True))
Path(sys.argv[3]).write_text(json.dumps(answers), encoding="utf-8")
"""


def test_the_saved_code_explains(tokenizer, items, tmp_path):
    torch.manual_seed(0)
    config = MODEL_TYPES["sasrec"](vocab_size=43, hidden_size=16, intermediate_size=16, initializer_range=0.5)
    recommender = Recommender(AutoModelForNextItem.from_config(config), tokenizer, items)
    recommender.save_pretrained(tmp_path / "model")
    done = subprocess.run(
        [sys.executable, "-c", STRANGER, tmp_path / "model", json.dumps(HISTORY), tmp_path / "answers.json"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "HF_MODULES_CACHE": str(tmp_path / "modules"), "PYTHONPATH": ""},
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    *by_method, by_default = json.loads((tmp_path / "answers.json").read_text())
    for method, lists in zip(METHODS, by_method, strict=True):
        for history, listed in zip([HISTORY, HISTORY[:2]], lists, strict=True):
            assert_explained(recommender, history, listed, method)
    assert_explained(recommender, HISTORY, by_default, "leave_one_out")


def assert_explained(recommender, history, listed, method):
    """Compare the reasons of a list with the recommender's."""
    assert len(listed) == 2
    for one in listed:
        expected = recommender.explain(history, one["item_id"], method=method).to_dicts()
        values = [reason.pop("contribution") for reason in one["reasons"]]
        assert values == pytest.approx([row.pop("contribution") for row in expected], abs=1e-5)
        assert one["reasons"] == expected
