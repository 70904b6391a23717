"""Folders saved by version 0.1 give the same scores as then, to the bit, with seqrec and as remote code.

`code.zip` holds the code from each of these folders. The tests run it in processes that cannot import seqrec, and
compare with its results rather than with stored scores, whose last bits depend on the processor.
"""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

from seqrec import AutoModelForNextItem, Recommender
from seqrec.search.scoring import rank_targets

FIXTURES = Path(__file__).parent.parent / "fixtures"
FOLDERS = sorted(path for path in (FIXTURES / "saved_0_1").iterdir() if path.is_dir())
REQUESTS = {"k": 7, "histories": [["3", "item 5", "item 2"], ["9"], ["item 1", "item 2", "3", "item 4", "item 5", "6"]]}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The folders as version 0.1 wrote them, code included, by name; and what today's code saves after loading them."""
    saved, resaved = (tmp_path_factory.mktemp(name) for name in ("saved", "resaved"))
    for folder in FOLDERS:
        shutil.copytree(folder, saved / folder.name)
        with zipfile.ZipFile(FIXTURES / "saved_0_1" / "code.zip") as archive:
            archive.extractall(saved / folder.name)
        Recommender.from_pretrained(saved / folder.name, device="cpu").save_pretrained(resaved / f"new-{folder.name}")
    return {name: (saved / name, resaved / f"new-{name}") for name in (folder.name for folder in FOLDERS)}


@pytest.fixture(scope="module")
def computed(folders, tmp_path_factory):
    """What each folder's own code computes, without seqrec: version 0.1's, and today's."""
    place = tmp_path_factory.mktemp("computed")
    (place / "requests.json").write_text(json.dumps(REQUESTS))
    paths = [str(path) for pair in folders.values() for path in pair]
    done = subprocess.run(
        [sys.executable, FIXTURES / "old_code.py", place / "requests.json", place / "results.pt", *paths],
        env=os.environ | {"HF_HUB_OFFLINE": "1", "HF_MODULES_CACHE": str(place / "modules")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return torch.load(place / "results.pt", weights_only=True)


@pytest.fixture(params=FOLDERS, ids=lambda folder: folder.name)
def saved(request, folders):
    """A folder as version 0.1 wrote it, code included."""
    return folders[request.param.name][0]


def test_there_is_one_for_each_architecture_and_kind_of_positions():
    kinds = {f"{model}-{kind}" for model in ("sasrec", "esasrec", "bert4rec") for kind in ("learned", "rotary")}
    assert {folder.name for folder in FOLDERS} == kinds | {"sasrec-learned-cosine"}


@torch.no_grad()
def test_scores_and_lists_are_those_of_its_own_code_to_the_bit(saved, folders, computed):
    expected, found = (computed[str(path)] for path in folders[saved.name])
    recommender = Recommender.from_pretrained(saved, device="cpu")
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        if name == "recommendations":
            titled = [[one | {"title": recommender.name_item(one["item_id"])} for one in best] for best in value]
            assert found[name] == titled  # its own code gave no titles
        else:
            assert torch.equal(found[name], value), name
    model, tokenizer = recommender.model, recommender.tokenizer
    for number, history in enumerate(REQUESTS["histories"]):
        ids = torch.tensor([tokenizer.convert_tokens_to_ids(history)])
        assert torch.equal(model(ids).logits, expected[f"logits {number}"])
        assert torch.equal(model.encode_users(ids), expected[f"user {number}"])
        listed = [{"item_id": one.item_id, "score": one.score} for one in recommender.recommend(history, k=7)]
        assert listed == expected["recommendations"][number]
    padded = torch.tensor([[5, 9, 7, 4, 0], [8, 0, 0, 0, 0]])
    users = model.encode_users(padded, attention_mask=(padded > 0).long())
    assert torch.equal(users, expected["users of a padded batch"])
    assert torch.equal(model.encode_items(), expected["items"])


@pytest.mark.filterwarnings("ignore:1 of 4 histories hold no known item")
@torch.no_grad()
def test_lists_and_ranks_are_those_that_were_written_down(saved):
    expected = json.loads((saved / "expected.json").read_text())
    recommender = Recommender.from_pretrained(saved, device="cpu")
    for found, listed in zip(recommender.recommend(expected["histories"], 5), expected["recommendations"], strict=True):
        assert [one.item_id for one in found] == [item_id for item_id, _ in listed]
        if found.is_popularity:
            continue  # 0.1 gave ranks as scores; they are logarithms of shares now
        assert [one.score for one in found] == pytest.approx([score for _, score in listed], rel=1e-5, abs=1e-5)
    model = AutoModelForNextItem.from_pretrained(saved).eval()
    for history, target, rank in zip(expected["histories"][:3], expected["targets"], expected["ranks"], strict=True):
        seen = torch.tensor([recommender.tokenizer.convert_tokens_to_ids(history)])
        users = model.encode_users(seen[:, -model.config.max_history_length :])
        assert rank_targets(users, model.encode_items(), torch.tensor([target]), excluded_BS=seen).item() == rank
