"""From data to recommendations on MovieLens 100K, from the folder SEQREC_DATA_DIR or downloaded once."""

import json

import numpy as np
import pytest

from seqrec import Recommender
from seqrec.cli.command_line import main
from seqrec.interactions.data_arguments import DataArguments
from seqrec.interactions.preparation import prepare

SPLIT_SHA256 = "9ecb72db3d1fdd9895d60fbc331447423b6a7f9a436b2580e80e47a00f882a7b"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A model trained for three epochs."""
    folder = tmp_path_factory.mktemp("runs") / "ml-100k"
    flags = ["--num_train_epochs", "3", "--learning_rate", "3e-3", "--disable_tqdm", "true"]
    assert main(["train", "--dataset", "ml-100k", "--output_dir", str(folder), *flags]) == 0
    return folder


def test_the_split_is_the_published_one(trained):
    protocol = json.loads((trained / "metrics.json").read_text())["protocol"]
    assert (protocol["num_users"], protocol["num_items"], protocol["num_interactions"]) == (943, 1682, 100_000)
    assert protocol["split_sha256"] == SPLIT_SHA256
    assert protocol["density"] == pytest.approx(0.0630467)
    assert protocol["period"] == ["1997-09-20", "1998-04-22"]
    assert "GroupLens" in protocol["dataset_terms"]


def test_three_epochs_beat_popularity(trained):
    metrics = json.loads((trained / "metrics.json").read_text())
    assert metrics["popularity"]["test"]["ndcg@10"] == pytest.approx(0.0432, abs=1e-4)
    assert metrics["recent_popularity"]["test"]["ndcg@10"] == pytest.approx(0.0464, abs=1e-4)
    assert metrics["item_knn"]["test"]["ndcg@10"] == pytest.approx(0.0545, abs=1e-4)
    assert metrics["model"]["test"]["ndcg@10"] > 1.3 * metrics["popularity"]["test"]["ndcg@10"]


def test_recommendations_hit_as_often_as_hr_says(trained):
    metrics = json.loads((trained / "metrics.json").read_text())
    recommender = Recommender.from_pretrained(trained)
    rows = prepare(DataArguments(dataset="ml-100k"), recommender.tokenizer).sequences["test"]
    histories = [recommender.tokenizer.decode_item_ids(ids) for ids in rows["input_ids"]]
    targets = recommender.tokenizer.decode_item_ids(rows["target"])
    found = recommender.recommend(histories, k=10)
    hits = [target in [one.item_id for one in top] for target, top in zip(targets, found, strict=True)]
    assert np.mean(hits) == metrics["model"]["test"]["hr@10"]
