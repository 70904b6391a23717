"""The card shows text from any source literally, never as HTML, a link, an image or a control code."""

import json
import re

import polars as pl
import pytest
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt

from seqrec.hub.markdown import code, fenced, python, text
from seqrec.hub.model_card import save_model_card
from seqrec.hub.sharing import content_to_push

IMAGE = "<img src=x onerror=alert(1)>"
HOSTILE = [
    IMAGE,
    f"a` {IMAGE} `b",
    f"``a``` {IMAGE}",
    f"a\n\n{IMAGE}\n\n# Title",
    f"a\\|{IMAGE}",
    f"a|{IMAGE}|b",
    f"```\n{IMAGE}\n```",
    "[click](javascript:alert(1))",
    "![x](https://evil.example/x.png)",
    "<https://evil.example>",
    "[x]: https://evil.example",
    "a\n---\nlicense: mit",
    "\x1b[31mred\x07\u202eabc\u2028d",
    "{{ 7 * 6 }}{% raw %}",
    "**bold** _it_ ~~no~~ &lt;b&gt; $x^2$",
]
PLAIN_KINDS = {"link_open", "image", "html_inline", "html_block"}


@pytest.fixture
def model_type():
    return "sasrec"


def tokens(markdown):
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    return [token for block in parser.parse(markdown) for token in [block, *(block.children or [])]]


def markup(markdown):
    """Count what is more than text; `<code>` and its end are ours."""
    found = [token for token in tokens(markdown) if token.type in PLAIN_KINDS or token.type.startswith("heading")]
    return [(token.type, token.content) for token in found if token.content not in ("<code>", "</code>")]


def shown(markdown):
    """What a reader sees."""
    content = [token.content for token in tokens(markdown) if token.type in ("text", "text_special", "code_inline")]
    return "".join(content)


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("write", [text, code])
def test_a_text_shows_as_it_is(value, write):
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in value).split())
    table = f"| a | b |\n| --- | --- |\n| {write(value)} | end |"
    for markdown in (f"- x: {write(value)}", f"# {write(value)}", table):
        assert not [kind for kind, _ in markup(markdown) if not kind.startswith("heading")], markdown
        assert line in shown(markdown)
    assert shown(table).endswith("end")
    assert len([token for token in tokens(table) if token.type == "td_open"]) == 2


@pytest.mark.parametrize("value", HOSTILE)
def test_a_command_stays_in_its_block(value):
    blocks = [token for token in tokens(fenced(value, "bash") + "\n\nafter") if token.type == "fence"]
    assert len(blocks) == 1
    assert "\x1b" not in blocks[0].content
    assert "\u202e" not in blocks[0].content


@pytest.mark.parametrize("value", HOSTILE)
def test_python_source_means_what_was_given(value):
    source = python([value])
    assert source.isprintable()
    assert eval(source) == [value]


def metrics_with(value):
    return {
        "protocol": {
            **dict.fromkeys(("dataset", "dataset_terms", "split_sha256"), value),
            **{"num_interactions": 10, "num_items": 5, "period": [value, value], "dataset_is_on_hub": True},
        },
        "model": {"test": {"ndcg@10": 0.5}, "validation": {"ndcg@10": 0.5}},
        "samples": [
            {"history": [{"item_id": value}], "recommended": [{"item_id": value, "title": value}]},
            {"history": [{"item_id": "1", "title": value}], "recommended": [{"item_id": value, "title": None}]},
        ],
        "slices": {"model": {"test": {"history_length": {value: {"num_users": 5, "hr@10": 0.5}}}}},
        "training": {
            **dict.fromkeys(("hardware", "license", "base_model"), value),
            **{"versions": {value: value}, "arguments": {value: value}, "seconds": 5, "num_epochs": 1},
            "estimated_energy": {"kwh": 1, "assumption": value},
            "command": "seqrec train --dataset '" + value.replace("'", "") + "'",
        },
    }


@pytest.mark.parametrize("value", HOSTILE)
def test_a_card_of_hostile_values_has_no_markup_but_its_own(recommender, tmp_path, value):
    def card_of(value):
        folder = tmp_path / "model"
        recommender.save_pretrained(folder)
        items = pl.read_parquet(folder / "items.parquet")
        items.with_columns(item_id=pl.lit(value)).write_parquet(folder / "items.parquet")
        (folder / "metrics.json").write_text(json.dumps(metrics_with(value)))
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "model_type": value, value: value}))
        save_model_card(folder, repo_id="org/name")
        assert content_to_push(folder / "README.md", "org/name").decode() == (folder / "README.md").read_text()
        return ModelCard.load(folder / "README.md")

    harmless, card = card_of("harmless"), card_of(value)
    assert markup(card.text) == markup(harmless.text)
    fences = [token.content for token in tokens(card.text) if token.type == "fence"]
    assert len(fences) == len([token for token in tokens(harmless.text) if token.type == "fence"])
    assert all(letter.isprintable() or letter == "\n" for letter in card.content)
    assert set(card.data.to_dict()) == set(harmless.data.to_dict())


WILD = [None, -1, 1.5, 1e308, 10**400, "x", "", [], [1], {}, {"a": 1}, True, [[]], {"a": {"b": {"c": []}}}]


def paths_of(tree, path=()):
    for key, value in tree.items():
        yield (*path, key)
        if isinstance(value, dict):
            yield from paths_of(value, (*path, key))


def test_metrics_of_wrong_types_are_left_out(recommender, tmp_path):
    recommender.save_pretrained(tmp_path)
    whole = metrics_with("harmless") | {
        "confidence": {"model": {"test": {"ndcg@10": [0.1, 0.2]}}},
        "popularity": {"test": {"ndcg@10": 0.25, "coverage@10": 0.5}},
    }
    for path in paths_of(whole):
        for value in WILD:
            metrics = json.loads(json.dumps(whole))
            place = metrics
            for key in path[:-1]:
                place = place[key]
            place[path[-1]] = value
            (tmp_path / "metrics.json").write_text(json.dumps(metrics))
            card = save_model_card(tmp_path).read_text()
            assert "## Limits and risks" in card, (path, value)
            assert not re.search(r"\b(none|nan|inf|undefined)\b", card, flags=re.IGNORECASE), (path, value)


@pytest.mark.parametrize(("key", "value"), [("vocab_size", "x"), ("vocab_size", None), ("model_type", 5)])
def test_a_configuration_of_wrong_types_has_no_card(recommender, tmp_path, key, value):
    recommender.save_pretrained(tmp_path)
    before = (tmp_path / "README.md").read_text()
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, key: value}))
    with pytest.raises(ValueError, match=rf"config\.json has the invalid {key}"):
        save_model_card(tmp_path)
    assert (tmp_path / "README.md").read_text() == before


def test_a_broken_catalogue_is_told(recommender, tmp_path):
    recommender.save_pretrained(tmp_path)
    (tmp_path / "items.parquet").write_bytes(b"PAR1 nope")
    with pytest.raises(ValueError, match=r"items\.parquet cannot be read as a Parquet file"):
        save_model_card(tmp_path)
