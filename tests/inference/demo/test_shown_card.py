"""The page tells of the model, and links its card."""

from demo_models import make_recommender

from seqrec.inference.demo.shown_card import card_of


def test_the_card_of_a_folder_is_shown(tmp_path):
    recommender = make_recommender(record={"metrics.json": b'{"model": {"test": {"ndcg@10": 0.12345}}}'})
    (tmp_path / "README.md").write_text(
        "---\ntags: [x]\n---\n# Title\n\n![Curve](curve.png)\n\nText <img src=x>[![a](b)](c)\n"
    )
    card = card_of(str(tmp_path), recommender)
    assert card.text == "# Title\n\n\n\nText [](c)"
    assert card.address == "#model-card"
    assert card.facts == ("SASRec", "test NDCG@10 0.123")


def test_the_card_of_a_repository_is_linked(tmp_path):
    card = card_of("org/name", make_recommender())
    assert (card.address, card.text, card.facts) == ("https://huggingface.co/org/name", "", ("SASRec",))
    assert card_of(str(tmp_path), make_recommender()).address == ""
