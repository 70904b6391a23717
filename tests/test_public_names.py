"""The public names of `seqrec`, on which other code relies."""

import pytest

import seqrec

NAMES = {
    *("ItemTokenizer", "SasRecConfig", "SasRecModel", "SasRecForNextItem", "AutoModelForNextItem"),
    *("ESasRecConfig", "ESasRecModel", "ESasRecForNextItem"),
    *("Bert4RecConfig", "Bert4RecModel", "Bert4RecForNextItem"),
    *("HstuConfig", "HstuModel", "HstuForNextItem"),
    *("SequentialTrainer", "SequentialTrainingArguments", "NextItemCollator", "MaskedItemCollator"),
    *("Recommender", "Recommendation", "__version__"),
    *("load_interactions", "leave_one_out", "temporal", "build_sequences", "prepare", "DataArguments"),
    *("Histories", "Catalogue", "training_collator", "train_with_accelerate", "train", "tune"),
    *("EventColumn", "CategoricalColumn", "EventPart", "ItemPart"),
    *("register_event_part", "register_item_part", "register_architecture"),
}


def test_public_names_are_these_and_load():
    assert set(seqrec.__all__) == NAMES
    assert set(dir(seqrec)) == NAMES
    for name in NAMES:
        assert getattr(seqrec, name) is not None


def test_a_name_that_is_not_there():
    with pytest.raises(AttributeError, match="no attribute 'SasRec'"):
        _ = seqrec.SasRec
