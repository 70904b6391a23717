"""Exported graphs give the answers of their models."""

import json
import shutil

import numpy as np
import polars as pl
import pytest
import torch

from seqrec import Recommender
from seqrec.errors import InputError, SavedFolderError
from seqrec.inference import export, export_parity, graph_files
from seqrec.inference.export import HeldOut, export_model
from seqrec.inference.export_parity import ParityError, made_up_histories
from seqrec.inference.exported_graph import OUTPUTS, ExportedGraph, graph_inputs
from seqrec.inference.graph_sessions import open_session
from seqrec.interactions.histories import Histories
from seqrec.interactions.item_features import ItemFeatures
from seqrec.interactions.tokenization_items import ItemTokenizer
from seqrec.modeling.modeling_auto import MODEL_TYPES, AutoModelForNextItem
from seqrec.testing.popularity_contract import set_some_events
from seqrec.testing.tiny_inputs import NUM_ITEMS, TINY

RATINGS = {"tasks": ["next_item", "rating"], "rating_scale": [1, 5], "past_labels": ["rating"]}
TIMED = {"time_encoding": "relative", "popularity_windows": [3, 30], "request_time": "target"}
HISTORY = ["item 5", "item 9", "item 7"]
LONG = [f"item {index}" for index in range(14)]  # longer than the model reads
HISTORIES = [HISTORY, LONG, [], ["item 1"], LONG[:5]]
TIMES = [[1_600_000_000 + 7_000 * index for index in range(len(history))] for history in HISTORIES]
NAMES = [f"item {index}" for index in range(NUM_ITEMS)]

pytestmark = pytest.mark.filterwarnings("ignore:1 of 5 histories hold no known item")


def make(model_type, folder, *, hidden=(), features=None, **choices):
    """Save a model with random weights, and return its recommender."""
    config = MODEL_TYPES[model_type](vocab_size=NUM_ITEMS + 3, initializer_range=0.5, **TINY, **choices)
    torch.manual_seed(0)
    model = AutoModelForNextItem.from_config(config).eval()
    for name, parameter in model.named_parameters():
        if "event_parts" in name or "task_heads" in name:  # 0 at first
            torch.nn.init.normal_(parameter)
    set_some_events(model)
    items = pl.DataFrame({"item_id": NAMES, "count": range(NUM_ITEMS, 0, -1)})
    recommender = Recommender(model, ItemTokenizer.from_item_ids(NAMES), items)
    if hidden:
        recommender.hide_items(hidden)
    recommender.save_pretrained(folder)
    return recommender


@pytest.fixture(scope="module")
def rated(tmp_path_factory):
    """The folder of a model that predicts and reads ratings, with a hidden item and an ONNX graph."""
    pytest.importorskip("onnxruntime", reason="the extra [onnx] is not installed")
    folder = tmp_path_factory.mktemp("rated")
    make("sasrec", folder, hidden=["item 30"], **RATINGS)
    export_model(folder, "onnx")
    return folder


@pytest.fixture(scope="module")
def timed(tmp_path_factory):
    """The folder of a model that reads times and recent popularity, with an ONNX graph with weights in another file."""
    pytest.importorskip("onnxruntime", reason="the extra [onnx] is not installed")
    folder = tmp_path_factory.mktemp("timed")
    make("hstu", folder, **TIMED)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graph_files, "LARGEST_FILE", 0)
        export_model(folder, "onnx")
    return folder


def both(folder, **options):
    """Load a model and its graph."""
    return [Recommender.from_pretrained(folder, backend=backend, **options) for backend in ("torch", "onnx")]


def same(found, expected):
    """Compare lists, or lists of lists, of recommendations."""
    if expected and not hasattr(expected[0], "item_id"):
        return len(found) == len(expected) and all(map(same, found, expected))
    ids = [one.item_id for one in found], [one.item_id for one in expected]
    return ids[0] == ids[1] and [one.score for one in found] == pytest.approx([one.score for one in expected], abs=1e-4)


@pytest.mark.parametrize(
    "options",
    [
        *({}, {"k": 1}, {"k": 40}, {"deny": ["item 1", "item 2"]}, {"deny": [[], ["item 3"], [], ["item 4"], []]}),
        *({"exclude_seen": False}, {"allow": ["item 3", "item 4", "item 30"]}),
        {"rank_by": {"next_item": 1, "rating": 2}, "rerank_from": 20},
    ],
    ids=str,
)
def test_lists_are_those_of_the_model(rated, options):
    torch_one, onnx_one = both(rated)
    ratings = [[None if place % 3 else 5 - place % 5 for place in range(len(history))] for history in HISTORIES]
    expected = torch_one.recommend(HISTORIES, rating=ratings, **options)
    assert same(onnx_one.recommend(HISTORIES, rating=ratings, **options), expected)
    if "rank_by" not in options and not isinstance(options.get("deny", [""])[0], list):
        alone = [
            onnx_one.recommend(one, rating=two, **options) for one, two in zip(HISTORIES, ratings, strict=True) if one
        ]
        assert same(alone, [one for one, history in zip(expected, HISTORIES, strict=True) if history])
    assert not any(one.item_id == "item 30" for found in expected for one in found)


def test_the_graph_answers_where_it_can(rated, monkeypatch):
    _, onnx_one = both(rated)
    monkeypatch.setattr(type(onnx_one.model), "encode_users", None)
    monkeypatch.setattr(type(onnx_one.retriever.index), "search", None)
    assert len(onnx_one.recommend(HISTORY, rating=[1, 2, 3])) == 10


def test_frames_predictions_and_similar_items_are_those_of_the_model(rated):
    torch_one, onnx_one = both(rated)
    frame = pl.DataFrame({"user_id": [1, 1, 2], "item_id": HISTORY, "timestamp": range(3), "rating": [5, None, 1]})
    expected, found = torch_one.recommend_frame(frame, 5), onnx_one.recommend_frame(frame, 5)
    assert found.drop("score").equals(expected.drop("score"))
    assert found["score"].to_list() == pytest.approx(expected["score"].to_list(), abs=1e-4)
    expected, found = (one.predict(HISTORIES, ["item 4", "item 30"], rating=None) for one in (torch_one, onnx_one))
    assert found["rating"].to_list() == pytest.approx(expected["rating"].to_list(), abs=1e-4)
    assert expected["rating"].n_unique() > 5
    assert onnx_one.similar_items("item 3") == torch_one.similar_items("item 3")


@pytest.mark.parametrize("method", ["attention_rollout", "integrated_gradients", "leave_one_out"])
def test_reasons_are_those_of_the_model(rated, method):
    expected, found = (one.explain(HISTORY, "item 3", method=method, rating=[1, 2, 3]) for one in both(rated))
    assert str(found) == str(expected)


def test_hidden_items_of_later_are_left_out(rated):
    torch_one, onnx_one = both(rated)
    for one in (torch_one, onnx_one):
        first = one.recommend(HISTORY)[0].item_id
        one.hide_items([first])
        one.show_items(["item 30"])
    assert same(onnx_one.recommend(HISTORIES, 40), torch_one.recommend(HISTORIES, 40))
    assert any(one.item_id == "item 30" for one in onnx_one.recommend(HISTORY, 40))


def test_times_and_recent_popularity_are_read(timed):
    torch_one, onnx_one = both(timed)
    assert {path.name for path in (timed / "onnx").iterdir()} == {"model.onnx", "model.onnx.data", "seqrec_export.json"}
    assert onnx_one.retriever.lists_items
    for at in (1_600_200_000, 1_600_900_000):
        expected = torch_one.recommend(HISTORIES, timestamps=TIMES, at=at)
        assert same(onnx_one.recommend(HISTORIES, timestamps=TIMES, at=at), expected)
    recent = pl.DataFrame({"user_id": range(9), "item_id": ["item 39"] * 9, "timestamp": [1_600_100_000] * 9})
    for one in (torch_one, onnx_one):
        one.update_popularity(recent)
    newer = torch_one.recommend(HISTORIES, timestamps=TIMES, at=at)
    assert not same(newer, expected)
    assert same(onnx_one.recommend(HISTORIES, timestamps=TIMES, at=at), newer)


def test_other_indexes_search_with_the_user_vectors_of_the_graph(rated):
    pytest.importorskip("faiss")
    torch_one, onnx_one = both(rated, index="hnsw")
    assert not onnx_one.retriever.lists_items
    assert same(onnx_one.recommend(HISTORY, rating=None), torch_one.recommend(HISTORY, rating=None))


def test_the_record_describes_the_graph(rated):
    record = json.loads((rated / "onnx" / "seqrec_export.json").read_text())
    assert list(record["inputs"]) == ["input_ids", "excluded_ids", "k", "rating"]
    assert record["inputs"]["rating"] == {
        "dtype": "float32",
        "axes": ["batch", "length"],
        "description": "column of the events, padded with nan",
    }
    assert list(record["outputs"]) == list(OUTPUTS)
    assert record["opset"] == 20
    assert record["files"] == ["model.onnx"]
    assert record["parity"]["histories"] == 64
    assert record["parity"]["max_score_difference"] < 1e-5
    assert record["versions"]["onnxruntime"]
    assert record["quantised"] is None


KINDS = {
    "sasrec": {"position_embedding_type": "rotary", "logit_scale": 5.0},
    "esasrec": {"time_encoding": "embedding", "request_time": "target"},
    "bert4rec": {"position_embedding_type": "relative", "time_encoding": "embedding", **RATINGS},
    "hstu": TIMED,
}


@pytest.mark.parametrize("model_type", KINDS)
def test_the_graph_of_every_architecture_computes_what_the_model_does(model_type, tmp_path):
    recommender = make(model_type, tmp_path, hidden=["item 3"], **KINDS[model_type])
    config = recommender.model.config
    graph = ExportedGraph(recommender.model, recommender.items.hidden_token_ids)
    histories = made_up_histories(config)
    batch = recommender.retriever.collate(histories)
    columns = {one.name: batch[one.name] for one in graph_inputs(config.event_columns)[3:]}
    none = torch.zeros(len(histories), 0, dtype=torch.long)
    with torch.no_grad():
        users, scores, token_ids = graph(batch["input_ids"], none, torch.tensor(5), columns)
    torch.testing.assert_close(users, recommender.retriever.encode(histories), atol=1e-5, rtol=1e-5)
    read = histories.newest(config.max_history_length)
    expected_scores, expected_ids = recommender.retriever.retrieve(read, 5)
    assert np.array_equal(token_ids.numpy(), expected_ids)
    np.testing.assert_allclose(scores.numpy(), expected_scores, atol=1e-5, rtol=1e-5)


def test_features_of_items_are_computed_at_export(tmp_path):
    table = pl.DataFrame({"item_id": NAMES, "genre": [str(index % 5) for index in range(NUM_ITEMS)]})
    features = ItemFeatures.fit(table, "genre")
    choices = {"item_features": features.config_entry(), "item_id_embedding": "none"}
    config = MODEL_TYPES["sasrec"](vocab_size=NUM_ITEMS + 3, initializer_range=0.5, **TINY, **choices)
    model = AutoModelForNextItem.from_config(config).eval()
    model.set_feature_values(features.values(table))
    items = pl.DataFrame({"item_id": NAMES, "count": [1] * NUM_ITEMS})
    Recommender(model, ItemTokenizer.from_item_ids(NAMES), items, features=features).save_pretrained(tmp_path)
    record = export_model(tmp_path, "torch-export")  # which compares it with the model
    assert record["parity"]["max_user_vector_difference"] < 1e-5
    (path,) = (tmp_path / "torch-export").glob("*.pt2")
    graph = ExportedGraph(model, np.array([], dtype=np.int64))
    ids, columns = np.array([[5, 6]]), {}
    inputs = {"input_ids": ids, "excluded_ids": np.array([[8]]), "k": np.array(3)}
    found = open_session("torch-export", path).run(inputs)
    expected = graph(torch.from_numpy(ids), torch.tensor([[8]]), torch.tensor(3), columns)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_openvino_gives_the_same_answers(tmp_path):
    pytest.importorskip("openvino", reason="the extra [openvino] is not installed")
    torch_one = make("bert4rec", tmp_path, time_encoding="relative", request_time="target")
    export_model(tmp_path, "openvino")
    other = Recommender.from_pretrained(tmp_path, backend="openvino")
    for options in ({}, {"exclude_seen": False}, {"deny": ["item 1"]}):
        expected = torch_one.recommend(HISTORIES, timestamps=TIMES, at=1_600_900_000, **options)
        assert same(other.recommend(HISTORIES, timestamps=TIMES, at=1_600_900_000, **options), expected)


def test_int8_is_measured(tmp_path):
    pytest.importorskip("onnxruntime", reason="the extra [onnx] is not installed")
    recommender = make("sasrec", tmp_path)
    drawn = made_up_histories(recommender.model.config, num_histories=50)
    (_, ids) = recommender.retriever.retrieve(drawn, 3)
    held_out = HeldOut(
        Histories(drawn.columns, drawn.starts_R, drawn.lengths_R, {"target": ids[:, 1]}), {"dataset": "made up"}
    )
    record = export_model(tmp_path, "onnx", quantise="int8", held_out=lambda _: held_out)
    assert record["quantised"] == "int8"
    assert record["compared_with"] == {"dataset": "made up"}
    assert 0.5 < record["quantised_overlap@10"] < 1
    assert record["accuracy"]["model"] == {"hr@10": 1.0, "ndcg@10": pytest.approx(1 / np.log2(3))}
    assert 0.5 < record["accuracy"]["quantised"]["ndcg@10"] < 1
    onnx_one = Recommender.from_pretrained(tmp_path, backend="onnx")
    lists = [[one.item_id for one in each.recommend(HISTORY)] for each in (recommender, onnx_one)]
    assert len(set(lists[0]) & set(lists[1])) >= 7


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_graph_that_differs_is_not_saved(tmp_path, monkeypatch):
    make("sasrec", tmp_path)
    export_model(tmp_path, "torch-export")
    before = files(tmp_path)
    forward = ExportedGraph.forward
    monkeypatch.setattr(
        ExportedGraph, "forward", lambda self, ids, others, k, columns: forward(self, ids.flip(1), others, k, columns)
    )
    with pytest.raises(
        ParityError, match=r"The exported graph computes other scores than the model: by .* Nothing was"
    ):
        export_model(tmp_path, "torch-export")
    assert files(tmp_path) == before


def test_a_full_disk_is_told_and_changes_nothing(tmp_path, monkeypatch):
    make("sasrec", tmp_path)
    export_model(tmp_path, "torch-export")
    before = files(tmp_path)

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(export, "write_graph", full)
        with pytest.raises(InputError, match=r"torch-export' could not be written: .*No space left on device"):
            export_model(tmp_path, "torch-export")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=2**20))
    with pytest.raises(InputError, match=r"The export needs 2 MB of disk, but only 1 MB are free where the model is"):
        export_model(tmp_path, "torch-export")
    assert files(tmp_path) == before


def test_a_network_that_is_no_graph_is_refused_in_one_line(tmp_path, monkeypatch, capfd):
    make("sasrec", tmp_path)
    before, forward = files(tmp_path), ExportedGraph.forward

    def by_value(self, ids, others, k, columns):
        return forward(self, ids, others, k, columns) if ids.sum() > 5 else ids

    monkeypatch.setattr(ExportedGraph, "forward", by_value)
    capfd.readouterr()
    with pytest.raises(InputError, match=r"This sasrec model cannot be exported: its computation cannot be traced by"):
        export_model(tmp_path, "torch-export")
    assert "def forward" not in capfd.readouterr().err
    assert files(tmp_path) == before


def test_parity_allows_no_more_than_other_orders_of_equal_scores(rated, monkeypatch):
    monkeypatch.setattr(export_parity, "LIST_LENGTH", 12)
    torch_one, onnx_one = both(rated)
    histories = made_up_histories(torch_one.model.config)
    with torch.no_grad():
        torch_one.model.model.item_embedding.weight[10] = torch_one.model.model.item_embedding.weight[11]
    with pytest.raises(ParityError):
        export_parity.measure_parity(torch_one.retriever, onnx_one.retriever, histories)


def test_a_changed_model_is_refused_with_its_old_graph(rated, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(rated, folder)
    recommender = Recommender.from_pretrained(folder)
    with torch.no_grad():
        recommender.model.model.final_norm.bias += 1
    recommender.save_pretrained(folder)
    with pytest.raises(SavedFolderError, match=r"is of other weights .* `seqrec export --model .* --format onnx`"):
        Recommender.from_pretrained(folder, backend="onnx")
    Recommender.from_pretrained(folder)


def test_wrong_requests_are_refused(folder, rated, tmp_path):
    with pytest.raises(SavedFolderError, match=r"has no export for backend='onnx'. Make one with `seqrec export"):
        Recommender.from_pretrained(folder, backend="onnx")
    with pytest.raises(InputError, match="backend must be one of torch, onnx, openvino, got 'onx'"):
        Recommender.from_pretrained(folder, backend="onx")
    with pytest.raises(InputError, match="format must be one of onnx, openvino, torch-export, got 'tf'"):
        export_model(folder, "tf")
    with pytest.raises(InputError, match="Only the format onnx can be quantised, got torch-export"):
        export_model(folder, "torch-export", quantise="int8")
    with pytest.raises(InputError, match=r"is not a folder. Give that of a saved model"):
        export_model(tmp_path / "none")
    broken = tmp_path / "broken"
    shutil.copytree(rated, broken)
    (broken / "onnx" / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(SavedFolderError, match=r"model.onnx cannot be loaded .* Export the model again"):
        Recommender.from_pretrained(broken, backend="onnx").recommend(HISTORY, rating=None)
    (broken / "onnx" / "model.onnx").unlink()
    with pytest.raises(SavedFolderError, match=r"lacks onnx/model.onnx. Make a new export"):
        Recommender.from_pretrained(broken, backend="onnx")
    with pytest.raises(InputError, match=r"runs a graph \(backend='onnx'\), which cannot have new items"):
        both(rated)[1].add_items(pl.DataFrame({"item_id": ["x"], "similar_to": ["item 3"]}))


def test_a_missing_extra_is_named(folder, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(InputError, match=r'needs onnxruntime. Install it with: pip install "seqrec\[onnx\]"'):
        Recommender.from_pretrained(folder, backend="onnx")
    with pytest.raises(InputError, match=r'needs onnx.* pip install "seqrec\[onnx\]"'):
        export_model(folder, "onnx")


@pytest.fixture
def model_type():
    return "sasrec"
