"""The picture of predicted probabilities and of how often they came true."""

from copy import deepcopy

import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from seqrec.training.reliability_picture import draw_numbers, draw_shares, save_reliability_picture

BINS = {"num_rows": [1500, 20], "predicted": [0.03, 0.99], "observed": [0.05, 1.0]}
LIKE = {"model": {"test": {"ece": 0.0213}}, "reliability": {"test": BINS}}
METRICS = {"tasks": {"rating": {"model": {"test": {"rmse": 0.9}}}, "like": LIKE}}


def test_points_are_the_bins():
    axis = Figure().add_subplot()
    draw_shares(axis, BINS)
    lines = {line.get_label(): line.get_xydata().tolist() for line in axis.lines}
    assert lines == {"perfect": [[0, 0], [1, 1]], "this model": [[0.03, 0.05], [0.99, 1.0]]}


def test_bars_are_the_numbers_of_rows():
    axis = Figure().add_subplot()
    draw_numbers(axis, BINS)
    bars = [(round(bar.get_x() * 15), bar.get_height()) for bar in axis.patches]
    assert bars == [(0, 1500), (14, 20)]


def panels(monkeypatch, metrics, path):
    """Return the titles of the panels, and the labels of their x axes."""
    figures = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, path, **options: figures.append(figure))
    save_reliability_picture(metrics, path)
    axes = [axis for figure in figures for axis in figure.axes]
    return [axis.get_title() or axis.get_xlabel() for axis in axes]


def test_each_binary_task_has_a_panel(monkeypatch, tmp_path):
    metrics = deepcopy(METRICS)
    metrics["tasks"]["click"] = {"reliability": {"test": {**BINS, "num_rows": [1, 2]}}}
    assert panels(monkeypatch, metrics, tmp_path / "picture.png") == [
        "like: n = 1,520, ECE 0.021",
        "predicted probability of like",
        "click: n = 3",
        "predicted probability of click",
    ]


@pytest.mark.parametrize("num_tasks", [1, 2, 4])
def test_the_picture_is_opaque_and_as_wide_as_its_panels(tmp_path, num_tasks):
    metrics = {"tasks": {f"task{index}": LIKE for index in range(num_tasks)}}
    save_reliability_picture(metrics, tmp_path / "reliability.png")
    pixels = imread(tmp_path / "reliability.png")
    assert (pixels[..., 3] == 1).all()
    assert (pixels[0, 0, :3] == 1).all()
    assert 400 * min(num_tasks, 3) < pixels.shape[1] < 600 * min(num_tasks, 3)


@pytest.mark.parametrize(
    "bins",
    [
        {},
        None,
        {"num_rows": [], "predicted": [], "observed": []},
        {**BINS, "observed": [0.5]},
        {**BINS, "num_rows": [1.5, 2]},
        {**BINS, "predicted": [0.5, "0.5"]},
        {**BINS, "observed": [0.5, float("nan")]},
    ],
)
def test_without_usable_bins_nothing_is_written(tmp_path, bins):
    save_reliability_picture({"tasks": {"like": {"reliability": {"test": bins}}}}, tmp_path / "reliability.png")
    assert list(tmp_path.iterdir()) == []


def test_models_without_tasks_have_no_picture(tmp_path):
    for metrics in ({}, {"tasks": None}, {"tasks": {"rating": {}}}):
        save_reliability_picture(metrics, tmp_path / "reliability.png")
    assert list(tmp_path.iterdir()) == []
