"""Checkpoints in `tests/fixtures/golden` give the same scores as when they were written."""

import json
from pathlib import Path

import pytest
import torch

from seqrec import AutoModelForNextItem
from seqrec.modeling.modeling_auto import MODEL_TYPES

GOLDEN = Path(__file__).parent.parent / "fixtures" / "golden"


def test_every_architecture_has_its_checkpoints():
    assert {folder.name for folder in GOLDEN.iterdir()} == {
        "hstu-relative",  # its default
        *(f"{model_type}-{position}" for model_type in MODEL_TYPES for position in ("learned", "rotary")),
    }


@pytest.mark.parametrize("folder", sorted(GOLDEN.iterdir()), ids=lambda folder: folder.name)
@torch.no_grad()
def test_scores_are_the_golden_ones(folder):
    model = AutoModelForNextItem.from_pretrained(folder).eval()
    cases = json.loads((folder / "golden.json").read_text(encoding="utf-8"))
    assert len(cases) == 3
    for case in cases:
        ids = torch.tensor([case["history"]])
        expected = torch.tensor(case["logits"])
        assert expected.std() > 1  # scores that differ, or nothing would be tested
        torch.testing.assert_close(model(ids).logits[0, :, 3:], expected, atol=1e-4, rtol=1e-4)
        scores = (model.encode_users(ids) @ model.encode_items().T)[0]
        torch.testing.assert_close(scores, torch.tensor(case["scores"]), atol=1e-4, rtol=1e-4)
