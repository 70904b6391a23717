import json
import math
import re

import numpy as np
import polars as pl
import pytest
import torch
from huggingface_hub import ModelCard, metadata_load
from huggingface_hub.repocard_data import model_index_to_eval_results
from safetensors.torch import save_file

from seqrec import Recommender, SasRecConfig, SasRecForNextItem
from seqrec.evaluation.tables import RANKERS
from seqrec.hub.card_tables import ACCURACY, MAIN, number, plain, table, without_folders
from seqrec.hub.model_card import BASELINES, build_model_card, count_parameters, energy, save_model_card
from seqrec.hub.portable_command import portable_command

SECTIONS = (
    "Use",
    "Sample recommendations",
    "Data",
    "Protocol",
    "Results",
    "What it recommends",
    "For whom",
    "Architecture",
    "Training",
    "Limits and risks",
    "License",
    "Citation",
)
WITH_MAP = (*SECTIONS[:6], "How it sees the items", *SECTIONS[6:])
WITHOUT_METRICS = ("Architecture", "Limits and risks", "Citation")
CONFIG = {"model_type": "sasrec", "vocab_size": 1685, "hidden_size": 64, "max_position_embeddings": 200}


def measured(seed):
    """Metrics of one encoder on one split, no two of them alike."""
    values = np.random.default_rng(seed).random(len(ACCURACY))
    lists = {"coverage@10": 0.4, "novelty@10": 9.5, "popularity@10": 1168.25, "gini@10": 0.8}
    return dict(zip(ACCURACY, values.tolist(), strict=True)) | lists


def sliced(seed):
    low, high = np.random.default_rng(seed).random(2).tolist()
    found = {"num_users": 1234, "hr@10": high, "ndcg@10": low}
    by_popularity = {"head": found, "tail": found}
    by_count = {"cold": {**found, "num_users": 56}}
    return {"test": {"history_length": {"1-10": found}, "target_popularity": by_popularity, "target_count": by_count}}


@pytest.fixture
def metrics():
    """What `metrics.json` may hold."""
    return {
        "protocol": {
            "dataset": "ml-100k",
            "split_method": "leave_one_out",
            "min_user_interactions": 5,
            "min_item_interactions": 1,
            "duplicates": "keep",
            "num_users": 943,
            "num_items": 1682,
            "num_interactions": 100000,
            "density": 0.0630467,
            "period": ["1997-09-20", "1998-04-22"],
            "dataset_terms": "for research",
            "split_sha256": "ab" * 32,
            "exclude_seen": True,
        },
        "model": {"validation": measured(0), "test": measured(1)},
        "popularity": {"validation": measured(2), "test": measured(3)},
        "recent_popularity": {"validation": measured(9), "test": measured(10)},
        "item_knn": {"validation": measured(6), "test": measured(7)},
        "confidence": {
            "model": {"test": {"ndcg@10": [0.0911, 0.1222]}},
            "item_knn": {"test": {"hr@10": [0.0822, 0.0833]}},
        },
        "samples": [
            {
                "history": [{"item_id": "50", "title": "Star Wars"}, {"item_id": "100", "title": None}],
                "recommended": [{"item_id": "1", "title": "Toy | Story"}, {"item_id": "2", "title": "A" * 200}],
            },
            {"history": [{"item_id": "9"}], "recommended": [{"item_id": "172", "title": "Empire"}]},
        ],
        "slices": {"model": sliced(4), "popularity": sliced(5), "recent_popularity": sliced(11), "item_knn": sliced(8)},
        "training": {
            "seconds": 100.34,
            "num_epochs": 23.0,
            "best_epoch": 13.0,
            "command": "seqrec train --dataset /home/someone/data/ratings.csv --output_dir runs/ml",
            "hardware": "1 process on 2 CPU cores (x86_64)",
            "estimated_energy": {"kwh": 0.00067, "assumption": "2 CPU cores at 12 W each"},
            "license": "apache-2.0",
            "base_model": None,
            "resumed": False,
            "versions": {"python": "3.11.7", "torch": "2.13.0"},
            "arguments": {
                "learning_rate": 0.001,
                "seed": 42,
                "warmup": None,
                "run": "None",
                "nested": {"a": 1},
            },
        },
    }


def build(metrics, **changes):
    given = {
        "config": CONFIG,
        "num_parameters": 207_936,
        "usage_items": ["50"],
        "curve": "training_curve.png",
    }
    return build_model_card(metrics, **{**given, "model_name": "ml", **changes})


def sections(card):
    headings = re.findall(r"^##+ (.*)$", card.text, flags=re.MULTILINE)
    return tuple(next(name for name in WITH_MAP if heading.startswith(name)) for heading in headings)


def test_metadata_survives_a_round_trip(metrics, tmp_path):
    card = build(metrics)
    card.save(tmp_path / "README.md")
    loaded = ModelCard.load(tmp_path / "README.md")
    assert loaded.data.to_dict() == card.data.to_dict()
    assert loaded.data.to_dict()["library_name"] == "seqrec"
    assert "sasrec" in loaded.data.tags
    assert loaded.data.model_name == "ml"
    assert loaded.text == card.text


def test_eval_results_are_the_measured_numbers(metrics):
    results = build(metrics).data.eval_results
    found = {(result.dataset_split, result.metric_type): result.metric_value for result in results}
    assert found == {
        (split, name): metrics["model"][split][name] for split in ("validation", "test") for name in ACCURACY
    }
    assert {result.dataset_type for result in results} == {"ml-100k"}


def test_the_hub_can_read_the_metadata(metrics, tmp_path):
    metrics["protocol"] |= {"dataset": "someone/ratings", "dataset_is_on_hub": True}
    metrics["training"]["base_model"] = "someone/sasrec"
    build(metrics).save(tmp_path / "README.md")
    metadata = metadata_load(tmp_path / "README.md")
    assert metadata["license"] == "apache-2.0"
    assert metadata["base_model"] == "someone/sasrec"
    assert metadata["datasets"] == ["someone/ratings"]
    assert "pipeline_tag" not in metadata
    name, results = model_index_to_eval_results(metadata["model-index"])
    assert name == "ml"
    found = {(result.dataset_split, result.metric_type): result.metric_value for result in results}
    assert found[("test", "ndcg@10")] == metrics["model"]["test"]["ndcg@10"]
    assert len(found) == 2 * len(ACCURACY)
    assert "Fine-tuned from `someone/sasrec`." in build(metrics).text


def test_only_a_data_set_of_the_hub_is_linked(metrics):
    metrics["protocol"]["dataset"] = "folder/ratings"
    card = build(metrics)
    assert card.data.datasets is None
    assert "huggingface.co" not in card.text
    metrics["protocol"]["dataset_is_on_hub"] = True
    assert "[`folder/ratings`](https://huggingface.co/datasets/folder/ratings)." in build(metrics).text


@pytest.mark.parametrize("name", ["a/b/c", "https://evil.example/x", "org/na me", "org/name)](x", "name"])
def test_what_cannot_be_a_repository_is_not_linked(metrics, name):
    metrics["protocol"] |= {"dataset": name, "dataset_is_on_hub": True}
    assert "huggingface.co" not in build(metrics).text


@pytest.mark.parametrize("model_type", ["sasrec", "esasrec", "bert4rec", "hstu"])
def test_the_package_and_the_paper_are_linked(model_type):
    text = build({}, config={**CONFIG, "model_type": model_type}).text
    assert "made with [**seqrec**](https://github.com/seqrec/seqrec)" in text
    assert re.search(
        r"^\[\w+\]\(https://arxiv\.org/abs/\d{4}\.\d{5}\), .* 20\d\d\), made with", text, flags=re.MULTILINE
    )


def test_the_card_opens_with_an_install_line_and_the_use(metrics):
    text = build(metrics).text
    first, second = re.findall(r"```(\w+)\n(.*?)```", text, flags=re.DOTALL)[:2]
    assert first == ("bash", "pip install seqrec\n")
    assert second[0] == "python"
    assert "Recommender.from_pretrained" in second[1]
    assert text.index("pip install") < text.index("## Sample recommendations") < text.index("## Data")


def test_samples_are_told(metrics):
    text = build(metrics).text
    assert "| Star Wars<br>`100` | Toy &#124; Story<br>" + "A" * 79 + "… |" in text
    assert "| `9` | Empire |" in text
    assert "These are not histories of users; they are made up of the most popular items." in text


@pytest.mark.parametrize(
    "samples",
    [
        *(None, 5, {}, [], [5], [{}], [{"history": [], "recommended": []}]),
        [{"history": [{"item_id": "1"}], "recommended": []}],
        [{"history": [{"item_id": 1}], "recommended": [{"item_id": "1"}]}],
        [{"history": [{"item_id": "1"}], "recommended": [5]}],
        [{"history": {"item_id": "1"}, "recommended": [{"item_id": "1"}]}],
        [{"history": [{"title": "\x1b"}], "recommended": [{"item_id": "1"}]}],
    ],
)
def test_samples_of_wrong_types_are_left_out(metrics, samples):
    metrics["samples"] = samples
    assert "Sample recommendations" not in sections(build(metrics))


def test_the_picture_of_slices_is_shown(metrics):
    text = build(metrics, slices_picture="slices.png").text
    (alternative,) = re.findall(r"!\[(.*)\]\(slices\.png\)", text)
    assert "NDCG@10" in alternative
    del metrics["slices"]
    assert "slices.png" not in build(metrics, slices_picture="slices.png").text


def test_options_of_other_losses_are_not_told(metrics):
    options = {"num_negatives": 256, "gbce_calibration": 0.75}
    for loss, told in (("cross_entropy", set()), ("bce", {"num_negatives"}), ("gbce", set(options))):
        text = build(metrics, config={**CONFIG, **options, "loss": loss}).text
        assert {name for name in options if name in text} == told


@pytest.mark.parametrize(
    ("kwh", "written"), [(None, ""), (1.7e-4, "0.17 Wh"), (0.0123, "12 Wh"), (0.15, "0.15 kWh"), (31.6, "32 kWh")]
)
def test_energy(kwh, written):
    assert energy({"kwh": kwh}) == written


def test_everything_measured_is_told(metrics):
    card = build(metrics, item_map="item_map.png")
    assert sections(card) == WITH_MAP
    text = card.text
    for ranker in ("model", "popularity", "recent_popularity", "item_knn"):
        for split, names in (("validation", MAIN), ("test", ACCURACY)):
            for name in names:
                assert f"{metrics[ranker][split][name]:.4f}" in text
        assert f"{metrics['slices'][ranker]['test']['target_popularity']['tail']['ndcg@10']:.4f}" in text
    for baseline, name in (
        ("popularity", "that of recommending the most popular items to everyone."),
        ("recent_popularity", "that of recommending what was most popular in the 7 days before the request, and"),
        ("item_knn", "that of item-kNN, "),
    ):
        ratio = metrics["model"]["test"]["ndcg@10"] / metrics[baseline]["test"]["ndcg@10"]
        assert f"**{ratio:.2f} times** {name}" in text
    for told in (
        f"{metrics['item_knn']['test']['hr@10']:.4f} (0.0822 to 0.0833)",
        "Density: 6.3% of all user-item pairs",
        "1997-09-20 to 1998-04-22",
        "Terms of the data: for research",
        "The model: `apache-2.0`.",
        "0.67 Wh (2 CPU cores at 12 W each)",
        "it knows the time of the request, and what other users did until then.",
        "| Training interactions of the held-out item |",
        "| 0 (cold) | 56 |",
        "| recent (7 days) |",
        "40.0%",
        "| tail (rarest) | 1,234 |",
        "| 1 to 10 items | 1,234 |",
        "59 interactions on average",
        f"{metrics['model']['test']['ndcg@10']:.4f} (0.0911 to 0.1222)",
        "1,168 |",
        "1,234",
        "100,000",
        "ab" * 32,
        "Users with fewer than 5",
        "the second-to-last the validation target",
        "are not recommended",
        "207,936 parameters",
        "0:01:40",
        "Epochs: 23; best on validation after epoch 13",
        "2 CPU cores",
        "torch 2.13.0",
        "| `learning_rate` | `0.001` |",
        "| `hidden_size` | `64` |",
        "(training_curve.png)",
        "Kang, Wang-Cheng",
    ):
        assert told in text, told


def test_nothing_unknown_is_told(metrics):
    metrics["model"]["test"]["novelty@10"] = math.nan
    for baseline in ("popularity", "recent_popularity", "item_knn"):
        metrics[baseline]["test"]["ndcg@10"] = math.nan
    metrics["model"]["validation"]["hr@10"] = math.nan
    metrics["training"] |= dict.fromkeys(("best_epoch", "command", "estimated_energy", "license"))
    for name in ("density", "period", "dataset_terms"):
        del metrics["protocol"][name]
    card = build(metrics, num_parameters=None, curve=None)
    assert not re.search(r"\b(none|nan|undefined)\b", card.content, flags=re.IGNORECASE)
    assert "times**" not in card.text
    assert "Items with fewer" not in card.text
    assert "parameters." not in card.text
    assert re.findall(r"```bash\n(.*?)```", card.text, flags=re.DOTALL) == ["pip install seqrec\n"]
    assert "![" not in card.text
    assert "nested" not in card.text
    for word in ("Density", "Period", "Terms", "energy", "License", "license", "base_model", "datasets:"):
        assert word not in card.content


@pytest.mark.parametrize(
    "gone",
    [
        *("protocol", "model", "popularity", "recent_popularity", "item_knn"),
        *("confidence", "slices", "training", "samples"),
    ],
)
def test_a_missing_part_of_the_metrics_leaves_no_trace(metrics, gone):
    del metrics[gone]
    card = build(metrics, curve=None)
    assert not re.search(r"\b(none|nan|undefined)\b", card.content, flags=re.IGNORECASE)
    vanished = {"protocol": {"Data", "Protocol"}, "slices": {"For whom"}, "training": {"Training", "License"}}
    vanished["samples"] = {"Sample recommendations"}
    if gone == "model":
        assert card.data.eval_results is None
    else:
        assert set(SECTIONS) - set(sections(card)) == vanished.get(gone, set())
    assert card.text.count(" times**") == {**dict.fromkeys(BASELINES, 2), "model": 0}.get(gone, 3)
    assert ("it knows the time of the request" in card.text) is (gone != "recent_popularity")
    name = {**RANKERS, "model": "**this model**"}.get(gone, gone)
    assert f"\n| {name} |" not in card.text
    assert ("Brackets show" in card.text) is (gone != "confidence")


def test_no_token_is_published(metrics):
    metrics["training"]["command"] = "seqrec train --hub_token hf_secret --dataset ml-100k"
    card = build(metrics)
    assert "hf_secret" not in card.content
    assert "seqrec train --dataset ml-100k" in card.text


def test_null_parts_of_the_metrics_are_as_good_as_missing(metrics):
    absent = build({}, curve=None).content
    assert build(dict.fromkeys(metrics), curve=None).content == absent
    metrics["training"] |= {"seconds": None, "arguments": None}
    assert "Wall time" not in build(metrics).text


def test_a_card_without_metrics():
    card = build({}, usage_items=[], curve=None)
    assert sections(card) == WITHOUT_METRICS
    assert card.data.to_dict() == {"library_name": "seqrec", "tags": card.data.tags}
    assert not re.search(r"\n{4,}", card.content)


def test_temporal_split_in_words(metrics):
    metrics["protocol"] |= {
        "split_method": "temporal",
        "validation_fraction": 0.07,
        "test_fraction": 0.1,
        "exclude_seen": False,
    }
    text = build(metrics).text
    assert "the latest 10% of interactions are for test, the 7% before them for validation." in text
    assert "may be recommended again" in text
    assert "Leave-one-out" not in text


def test_users_who_validate_in_words(metrics):
    assert "evenly spaced" not in build(metrics).text
    metrics["protocol"]["validation_users"] = 2048
    text = build(metrics).text
    assert "Only 2,048 users, evenly spaced among the sorted user ids, are used for validation" in text
    assert not re.search(r"\n{4,}", text)


@pytest.mark.parametrize(
    ("model_type", "length"), [("sasrec", 200), ("esasrec", 200), ("bert4rec", 199), ("hstu", 200)]
)
def test_the_history_is_as_long_as_the_model_reads(model_type, length):
    text = build({}, config={**CONFIG, "model_type": model_type}).text
    assert f"It reads the newest {length} items of a history" in text


@pytest.mark.parametrize("positions", [None, "200", -1, 10**9])
def test_a_history_of_unknown_length_is_not_told(positions):
    text = build({}, config={**CONFIG, "max_position_embeddings": positions}).text
    assert "It reads the newest items of a history" in text


def test_unknown_architecture_is_named_and_not_cited():
    card = build({}, config={**CONFIG, "model_type": "novel"})
    assert "A sequential recommender (`novel`) made with [**seqrec**](https://github.com/seqrec/seqrec)." in card.text
    assert "Citation" not in sections(card)
    assert "novel" in card.data.tags


def test_no_folder_of_this_machine(metrics):
    metrics["protocol"]["dataset"] = "/home/someone/data/ratings"
    metrics["training"]["arguments"]["deepspeed"] = "/home/someone/zero.json"
    card = build(metrics)
    assert "/home" not in card.content
    assert "seqrec train --dataset ratings.csv --output_dir runs/ml" in card.text
    assert "`zero.json`" in card.text
    assert card.data.eval_results[0].dataset_name == "ratings"


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("seqrec train --dataset ml-100k", "seqrec train --dataset ml-100k"),
        ("/opt/bin/seqrec train --dataset=/a/b.csv --x=y=z", "seqrec train --dataset=b.csv --x=y=z"),
        ("seqrec train --dataset '/my data/a b.csv'", "seqrec train --dataset 'a b.csv'"),
        ("seqrec train --dataset data/b.csv", "seqrec train --dataset data/b.csv"),
        ("seqrec train --hub_token hf_secret --seed 1", "seqrec train --seed 1"),
        ("seqrec train --seed 1 --hub-token=hf_secret", "seqrec train --seed 1"),
        ("seqrec train --hub_tok hf_secret --push_to_hub true", "seqrec train --push_to_hub true"),
        ("seqrec train --hub_token --hub_model_id me/ml", "seqrec train --hub_model_id me/ml"),
        ("an 'unfinished word", ""),
        ("", ""),
        ("seqrec.train(interactions, seed=1)", "seqrec.train(interactions, seed=1)"),
        ("seqrec.train('/my data/a b.csv', items='/b.csv')", "seqrec.train('a b.csv', items='b.csv')"),
        ("seqrec.train('x', hub_token='hf_secret', seed=1)", "seqrec.train('x', seed=1)"),
        ("seqrec.train('x', push_to_hub_token='hf_secret')", "seqrec.train('x')"),
        ("seqrec.train('x', report_to=<object>)", ""),
        ("seqrec.train('x'), exec('')", ""),
    ],
)
def test_portable_command(command, expected):
    assert portable_command(command) == expected


def test_a_long_call_has_a_line_for_each_argument(metrics):
    columns = {"user_id": "customer", "item_id": "article", "timestamp": "bought at"}
    metrics["training"]["command"] = f"seqrec.train(interactions, columns={columns}, num_train_epochs=5)"
    block = f"```python\nseqrec.train(\n    interactions,\n    columns={columns},\n    num_train_epochs=5,\n)\n```"
    assert block in build(metrics).text


def test_card_of_a_folder(recommender, items, metrics, tmp_path, monkeypatch):
    folder = tmp_path / "my recommender"
    recommender.save_pretrained(folder)
    (folder / "metrics.json").write_text(json.dumps(metrics))
    (folder / "training_curve.png").touch()
    (folder / "slices.png").touch()
    (folder / "item_map.png").touch()
    assert save_model_card(folder) == folder / "README.md"
    card = ModelCard.load(folder / "README.md")
    assert sections(card) == WITH_MAP
    assert card.data.model_name == "my recommender"
    assert f"{sum(weight.numel() for weight in recommender.model.parameters()):,} parameters" in card.text
    assert str(tmp_path) not in card.content

    monkeypatch.chdir(tmp_path)
    assert "(slices.png)" in card.text
    assert "![Map of the 40 items, on which those with similar vectors lie together" in card.text
    recommend, load, pipe, tokenize = re.findall(r"```python\n(.*?)```", card.text, flags=re.DOTALL)
    shown = []
    exec(recommend, {"print": shown.append})
    assert shown == [recommender.recommend(items["item_id"][:3].to_list(), k=10)]
    names = {}
    exec(load, names)
    assert torch.equal(names["model"].encode_items(), recommender.model.encode_items())
    exec(pipe, {"print": shown.append})
    exec(tokenize, {"print": shown.append})
    assert shown.pop() == [3, 4, 5]
    (expected, found) = shown
    assert found == [{"item_id": one.item_id, "score": one.score, "title": one.title} for one in expected]


def test_card_of_a_bare_model_replaces_an_earlier_one(tiny_model, tmp_path):
    tiny_model.save_pretrained(tmp_path)
    (tmp_path / "README.md").write_text("an earlier card")
    save_model_card(tmp_path)
    card = ModelCard.load(tmp_path / "README.md")
    assert sections(card) == ("Use", *WITHOUT_METRICS)
    assert "import Recommender" not in card.text


def test_a_bare_model_may_have_a_license_and_an_origin(tiny_model, tmp_path):
    tiny_model.save_pretrained(tmp_path)
    save_model_card(tmp_path, license="mit", base_model="someone/sasrec")
    card = ModelCard.load(tmp_path / "README.md")
    assert (card.data.license, card.data.base_model) == ("mit", "someone/sasrec")
    assert sections(card) == ("Use", "Architecture", "Limits and risks", "License", "Citation")


def test_card_of_a_pushed_model_loads_the_repository(tiny_model, tmp_path):
    tiny_model.save_pretrained(tmp_path)
    text = save_model_card(tmp_path, repo_id="org/films").read_text(encoding="utf-8")
    assert "# films\n" in text
    assert 'from_pretrained("org/films", trust_remote_code=True)' in text


def test_odd_item_ids_are_quoted(tiny_model, tmp_path):
    tiny_model.save_pretrained(tmp_path)
    odd = ['say "hi"', "café, ```\n{{ 7 * 6 }}", "back\\slash"]
    pl.DataFrame({"item_id": odd, "count": [3, 2, 1]}).write_parquet(tmp_path / "items.parquet")
    text = save_model_card(tmp_path).read_text(encoding="utf-8")
    (shown,) = re.findall(r"recommend\((\[.*\]), k=10\)", text)
    assert eval(shown) == odd


def test_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"holds no config\.json"):
        save_model_card(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_parameters_are_counted_from_the_weights(tmp_path):
    assert count_parameters(tmp_path) is None
    save_file({"a": torch.zeros(3, 4, dtype=torch.bfloat16)}, tmp_path / "model-00001-of-00002.safetensors")
    save_file({"b": torch.zeros(()), "c": torch.zeros(5)}, tmp_path / "model-00002-of-00002.safetensors")
    weight_map = {name: f"model-0000{shard}-of-00002.safetensors" for name, shard in (("a", 1), ("b", 2), ("c", 2))}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    assert count_parameters(tmp_path) == 12 + 1 + 5


def test_table_leaves_out_what_is_empty():
    rows = [["one", "1", "", "x|y"], ["two", "", "", ""], ["three", "", "", "z"]]
    assert table(["name", "a", "b", "c"], rows).splitlines() == [
        "| name | a | c |",
        "| --- | ---: | ---: |",
        "| one | 1 | x\\|y |",
        "| three |  | z |",
    ]
    assert table(["name", "a"], [["one", ""]]) == ""


@pytest.mark.parametrize(
    ("value", "written"),
    [(0.12345, "0.1235"), (0, "0.0000"), (None, ""), (math.nan, ""), (math.inf, "")],
)
def test_number(value, written):
    assert number(value) == written


@pytest.mark.parametrize(("value", "written"), [(5.0, "5"), (0.001, "0.001"), (True, "True"), (64, "64"), ("a", "a")])
def test_plain(value, written):
    assert plain(value) == written


def test_without_folders():
    assert without_folders("/home/someone/a.csv") == "a.csv"
    assert without_folders("org/name") == "org/name"


@pytest.mark.parametrize("request_time", ["last_event", "target"])
@pytest.mark.parametrize("period", [["2019-12-01", "2020-01-02"], None, ["yesterday"], ["0001-01-01"]])
@pytest.mark.filterwarnings("ignore:.*no class of seqrec")
def test_the_code_of_a_model_that_reads_times_gives_some(metrics, tokenizer, items, tmp_path, request_time, period):
    fields = {"time_encoding": "relative", "request_time": request_time}
    model = SasRecForNextItem(SasRecConfig(vocab_size=43, hidden_size=16, intermediate_size=16, **fields))
    folder = tmp_path / "timed"
    Recommender(model, tokenizer, items).save_pretrained(folder)
    metrics["protocol"]["period"] = period
    (folder / "metrics.json").write_text(json.dumps(metrics))
    card = ModelCard.load(save_model_card(folder)).text
    assert ('timestamps=["2019-12-31", "2020-01-01", "2020-01-02"]' in card) == (period == ["2019-12-01", "2020-01-02"])
    assert ('at="now"' in card) == (request_time == "target")
    recommend, _, pipe, _ = (
        code.replace('"timed"', repr(str(folder))) for code in re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL)
    )
    shown = []
    exec(recommend, {"print": shown.append})
    exec(pipe, {"print": shown.append})
    assert [one.item_id for one in shown[0]] == [one["item_id"] for one in shown[1]]
