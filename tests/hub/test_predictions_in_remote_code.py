"""Saved models predict labels for candidates by their own code alone: without seqrec and polars."""

import json
import os
import subprocess
import sys

import pytest
import torch

from seqrec import Recommender
from seqrec.modeling.modeling_auto import MODEL_TYPES, AutoModelForNextItem
from seqrec.testing.tiny_inputs import with_numbers

REQUEST = {
    "history": [["item 5", "item 9", "item 7"], ["item 1"]],
    "rating": [[5, None, 2], [3]],
    "candidates": [["item 2", "item 3", "item 2"], ["item 9"]],
}

# argv: the folder of a model; a JSON file with requests; where to write answers as JSON.
STRANGER = """
import json, sys
from pathlib import Path

for name in ("seqrec", "polars", "pyarrow", "datasets", "accelerate", "pandas"):
    sys.modules[name] = None  # importing it fails
from transformers import pipeline

pipe = pipeline("next-item-recommendation", model=sys.argv[1], trust_remote_code=True, device="cpu")
answers = [pipe(request) for request in json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))]
try:
    pipe({"history": ["item 5"], "candidates": ["x9"]})
except ValueError as error:
    answers.append(str(error))
Path(sys.argv[3]).write_text(json.dumps(answers), encoding="utf-8")
"""


def test_the_saved_code_predicts(tokenizer, items, tmp_path):
    torch.manual_seed(0)
    tasks = {"tasks": ["next_item", "rating", "click"], "rating_scale": [1, 5], "past_labels": ["rating"]}
    config = MODEL_TYPES["sasrec"](vocab_size=43, hidden_size=16, intermediate_size=16, initializer_range=0.5, **tasks)
    model = with_numbers(AutoModelForNextItem.from_config(config))
    model.set_calibration("click", 0.5, -1.0)
    recommender = Recommender(model, tokenizer, items)
    recommender.save_pretrained(tmp_path / "model")
    single = {name: lists[0] for name, lists in REQUEST.items()}
    (tmp_path / "requests.json").write_text(json.dumps([REQUEST, single]), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", STRANGER, tmp_path / "model", tmp_path / "requests.json", tmp_path / "answers.json"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "HF_MODULES_CACHE": str(tmp_path / "modules"), "PYTHONPATH": ""},
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    several, one, refusal = json.loads((tmp_path / "answers.json").read_text())
    expected = recommender.predict(**REQUEST)
    for found, table in zip([*several, one], [*expected.partition_by("history"), expected[:3]], strict=True):
        assert [row["item_id"] for row in found] == table["item_id"].to_list()
        for task in ("rating", "click"):
            assert [row[task] for row in found] == pytest.approx(table[task].to_list(), abs=1e-5)
    assert refusal.startswith("1 of 1 candidates are not in the vocabulary (first: 'x9')")
