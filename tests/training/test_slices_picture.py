"""The picture of the accuracy by slice."""

from collections import Counter
from itertools import pairwise

import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from seqrec.training.slices_picture import COLOURS, draw, save_slices_picture

PNG = b"\x89PNG"


METRICS = {
    "slices": {
        "model": {
            "test": {
                "history_length": {
                    "1-10": {"num_users": 1234, "ndcg@10": 0.25},
                    "11-50": {"num_users": 5, "ndcg@10": 0.5},
                },
                "target_popularity": {"head": {"num_users": 7, "ndcg@10": 0.125}},
            }
        },
        "popularity": {"test": {"history_length": {"1-10": {"num_users": 1234, "ndcg@10": 0.0625}}}},
        "recent_popularity": {"test": {"history_length": {"1-10": {"num_users": 1234, "ndcg@10": 0.125}}}},
    }
}


def test_bars_are_the_measured_values():
    axis = Figure().add_subplot()
    draw(axis, METRICS, "history_length")
    heights = {group.get_label(): [bar.get_height() for bar in group] for group in axis.containers}
    assert heights == {"this model": [0.25, 0.5], "recent (7 days)": [0.125, 0], "popularity": [0.0625, 0]}
    assert [label.get_text() for label in axis.get_xticklabels()] == ["1–10\nn = 1,234", "11–50\nn = 5"]
    assert {text.get_text() for text in axis.texts} == {"0.250", "0.500"}


def test_intervals_of_the_model_are_drawn():
    confidence = {"1-10": {"ndcg@10": [0.2, 0.35]}, "11-50": {"ndcg@10": [0.125, 0.75]}}
    metrics = {**METRICS, "slice_confidence": {"model": {"test": {"history_length": confidence}}}}
    axis = Figure().add_subplot()
    draw(axis, metrics, "history_length")
    (lines,) = [group for group in axis.collections if len(group.get_segments()) == 2]
    assert [[end[1] for end in segment] for segment in lines.get_segments()] == [
        pytest.approx([0.2, 0.35]),
        pytest.approx([0.125, 0.75]),
    ]
    assert [text.xy[1] for text in axis.texts] == pytest.approx([0.35, 0.75])  # the numbers stand above


@pytest.mark.parametrize("interval", [None, [], [0.1], ["a", "b"], [0.1, None], 0.2])
def test_unusable_intervals_are_left_out(interval):
    confidence = {"1-10": {"ndcg@10": [0.2, 0.35]}, "11-50": {"ndcg@10": interval}}
    metrics = {**METRICS, "slice_confidence": {"model": {"test": {"history_length": confidence}}}}
    axis = Figure().add_subplot()
    draw(axis, metrics, "history_length")
    assert not axis.collections


def test_bars_do_not_overlap():
    axis = Figure().add_subplot()
    draw(axis, METRICS, "history_length")
    edges = sorted((bar.get_x(), bar.get_x() + bar.get_width()) for bar in axis.patches)
    assert len(edges) == 6
    assert all(right <= left + 1e-9 for (_, right), (left, _) in pairwise(edges))


def test_the_picture_is_opaque_and_shows_all_rankers(tmp_path):
    save_slices_picture(METRICS, tmp_path / "slices.png")
    pixels = imread(tmp_path / "slices.png")
    assert (pixels[..., 3] == 1).all()
    assert (pixels[0, 0, :3] == 1).all()
    colours = Counter(map(tuple, (pixels[..., :3].reshape(-1, 3) * 255).round().astype(int).tolist()))
    areas = {name: colours[tuple(bytes.fromhex(colour[1:]))] for name, colour in COLOURS.items()}
    assert {name for name, area in areas.items() if area > 500} == {"model", "recent_popularity", "popularity"}


@pytest.mark.parametrize(
    "metrics",
    [
        {"slices": {"model": {"test": {"history_length": {"0": {"num_users": 1, "ndcg@10": 0.0}}}}}},
        {"slices": {"model": {"test": {"target_popularity": {"tail": {"ndcg@10": 1.0}}}}}},
    ],
)
def test_a_single_bar_is_drawn(tmp_path, metrics):
    save_slices_picture(metrics, tmp_path / "slices.png")
    assert (tmp_path / "slices.png").read_bytes().startswith(PNG)


@pytest.mark.parametrize("metrics", [{}, {"slices": None}, {"slices": {"popularity": METRICS["slices"]["model"]}}])
def test_without_slices_of_the_model_nothing_is_written(tmp_path, metrics):
    save_slices_picture(metrics, tmp_path / "slices.png")
    assert list(tmp_path.iterdir()) == []
