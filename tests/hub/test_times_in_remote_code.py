"""Saved models that read times answer requests with times by their own code alone: without seqrec and polars."""

import json
import os
import subprocess
import sys

import pytest
import torch

from seqrec import Recommender
from seqrec.modeling.modeling_auto import MODEL_TYPES, AutoModelForNextItem

REQUEST = {
    "history": ["item 5", "item 9", "item 7"],
    "timestamps": ["2024-05-31", "2024-05-31T12:00", "2024-05-31T12:00:01"],
}

# argv: a JSON file with folders and requests; where to write answers as JSON.
STRANGER = """
import json, sys, warnings
from pathlib import Path

for name in ("seqrec", "polars", "pyarrow", "datasets", "accelerate", "pandas"):
    sys.modules[name] = None  # importing it fails
from transformers import pipeline

folders, requests = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
answers = {}
for request_time, folder in folders.items():
    pipe = pipeline("next-item-recommendation", model=folder, trust_remote_code=True, device="cpu")
    try:
        pipe(requests[request_time]["history"])
    except ValueError as error:
        refusal = str(error)
    warnings.simplefilter("error")
    answers[request_time] = [pipe(requests[request_time], top_k=5), refusal]
Path(sys.argv[2]).write_text(json.dumps(answers), encoding="utf-8")
"""


def test_the_saved_code_reads_times(tokenizer, items, tmp_path):
    requests = {"last_event": REQUEST, "target": {**REQUEST, "at": "2024-06-01"}}
    folders, expected = {}, {}
    for request_time, request in requests.items():
        torch.manual_seed(0)
        fields = {"time_encoding": "relative", "request_time": request_time, "initializer_range": 0.5}
        config = MODEL_TYPES["sasrec"](vocab_size=43, hidden_size=16, intermediate_size=16, **fields)
        model = AutoModelForNextItem.from_config(config)
        recommender = Recommender(model, tokenizer, items)
        recommender.save_pretrained(tmp_path / request_time)
        folders[request_time] = str(tmp_path / request_time)
        expected[request_time] = recommender.recommend(k=5, **request)
    (tmp_path / "task.json").write_text(json.dumps([folders, requests]), encoding="utf-8")
    environment = {**os.environ, "HF_MODULES_CACHE": str(tmp_path / "modules"), "PYTHONPATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", STRANGER, tmp_path / "task.json", tmp_path / "answers.json"],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    for request_time, (found, refusal) in json.loads((tmp_path / "answers.json").read_text()).items():
        assert [one["item_id"] for one in found] == [one.item_id for one in expected[request_time]]
        assert [one["score"] for one in found] == pytest.approx([one.score for one in expected[request_time]], abs=1e-5)
        assert "no times were given. Pass `timestamps`, one for each item" in refusal
