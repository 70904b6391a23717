"""The map of the items: neighbours stay neighbours, names neither overlap nor are cut."""

from itertools import combinations

import numpy as np
import polars as pl
import pytest
import torch
from matplotlib.image import imread
from PIL import Image

from seqrec.errors import InputError
from seqrec.evaluation.picture_style import new_figure
from seqrec.inference import item_map_picture
from seqrec.inference.item_map_picture import colour, save_item_map
from seqrec.inference.neighbour_layout import divergence_gradient, neighbour_shares, place_neighbours
from seqrec.inference.placed_labels import place_labels
from seqrec.interactions.catalogue import Catalogue


@pytest.fixture
def model_type():
    return "sasrec"


def clusters(num_clusters, size):
    """Return well-separated groups of vectors."""
    generator = torch.Generator().manual_seed(0)
    centres = 10 * torch.eye(num_clusters, 8)
    return (centres[:, None] + torch.randn(num_clusters, size, 8, generator=generator)).flatten(0, 1)


def described(items, **columns):
    return Catalogue(items.with_columns(**columns))


def test_groups_of_similar_vectors_stay_together():
    places = place_neighbours(clusters(4, 30))
    nearest = torch.cdist(places, places).fill_diagonal_(torch.inf).argmin(dim=1)
    assert (nearest // 30 == torch.arange(120) // 30).all()


def test_places_are_the_same_each_time():
    vectors = clusters(3, 20)
    assert torch.equal(place_neighbours(vectors), place_neighbours(vectors))


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 40])
@pytest.mark.parametrize("kind", ["random", "equal", "one number"])
def test_any_vectors_have_places(number, kind):
    vectors = torch.randn(number, 1 if kind == "one number" else 8, generator=torch.Generator().manual_seed(1))
    places = place_neighbours(torch.ones(number, 8) if kind == "equal" else vectors)
    assert places.shape == (number, 2)
    assert places.isfinite().all()


def test_shares_have_the_perplexity_asked_for():
    vectors = clusters(3, 30).double().float()
    shares = neighbour_shares(vectors, 10)
    assert shares.sum().item() == pytest.approx(1, abs=1e-4)
    assert torch.equal(shares, shares.T)
    single = torch.tensor([[0.0], [1.0], [2.0], [3.0], [1e4]])
    assert neighbour_shares(single, 1.5)[0, 1] > neighbour_shares(single, 1.5)[0, 3]


def test_the_gradient_is_that_of_the_divergence():
    shares = neighbour_shares(clusters(2, 6), 3).double()
    places = torch.randn(12, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64, requires_grad=True)
    near = 1 / (1 + torch.cdist(places, places).square())
    near = near * (1 - torch.eye(12))
    positive = shares > 0
    divergence = (shares[positive] * (shares[positive] / (near / near.sum())[positive]).log()).sum()
    (expected,) = torch.autograd.grad(divergence, places)
    torch.testing.assert_close(divergence_gradient(places.detach(), shares, 1.0), expected, atol=1e-6, rtol=1e-4)


def test_names_neither_overlap_nor_are_cut():
    figure = new_figure(4, 3)
    axis = figure.add_subplot()
    places = np.random.default_rng(0).normal(size=(60, 2))
    axis.scatter(*places.T)
    place_labels(axis, places, [f"a rather long name {index}" for index in range(60)])
    boxes = [text.get_window_extent() for text in axis.texts]
    assert 5 < len(boxes) < 60
    assert axis.texts[0].get_text() == "a rather long name 0"
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    whole = axis.get_window_extent()
    assert all(box.x0 >= whole.x0 and box.x1 <= whole.x1 for box in boxes)
    assert all(box.y0 >= whole.y0 and box.y1 <= whole.y1 for box in boxes)


@pytest.mark.parametrize("colour_by", [None, "popularity", "genres", "year"])
def test_a_map_is_drawn(recommender, items, tmp_path, colour_by):
    genres = [f"genre {index % 12}|more" if index % 5 else None for index in range(40)]
    catalogue = described(items, genres=pl.Series(genres), year=pl.Series([None, *range(1960, 1999)]))
    for name in ("one.png", "two.png"):
        save_item_map(recommender.model, catalogue, tmp_path / name, colour_by=colour_by)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    assert (tmp_path / "one.png").stat().st_size < 150_000
    assert imread(tmp_path / "one.png").shape[:2] == (744, 864)
    assert Image.open(tmp_path / "one.png").text["Title"] == "Map of the items: similar ones lie together"


def test_equal_counts_and_missing_titles_are_drawn(recommender, items, tmp_path):
    unknown = Catalogue(items.drop("title").with_columns(count=pl.lit(0)))
    save_item_map(recommender.model, unknown, tmp_path / "map.png")
    assert (tmp_path / "map.png").stat().st_size > 5000


def test_only_the_most_popular_items_are_on_a_map_of_many(recommender, items, tmp_path, monkeypatch):
    monkeypatch.setattr(item_map_picture, "MOST_ITEMS", 10)
    asked = []
    monkeypatch.setattr(
        item_map_picture, "place_neighbours", lambda vectors: asked.append(vectors) or place_neighbours(vectors)
    )
    save_item_map(recommender.model, Catalogue(items), tmp_path / "map.png")
    expected = torch.nn.functional.normalize(recommender.model.item_vectors(torch.arange(3, 13)))
    torch.testing.assert_close(asked[0], expected)


def test_colours_are_an_item_s_first_category(items):
    catalogue = described(items, genres=pl.Series([f"genre {min(index, 10)}|genre 0" for index in range(40)]))
    found = colour(catalogue, catalogue.token_ids, "genres")
    assert found.title == "genres (first)"
    assert found.categories[0] == "genre 0"
    assert found.categories[10:] == ["genre 10"] * 30
    assert found.categories.count("other") == 3  # of eleven genres, eight have a colour


def test_without_a_column_the_first_of_few_categories_is_taken(items):
    plain = Catalogue(items)
    assert colour(plain, plain.token_ids, None).title == "training interactions"
    names = described(items, year=pl.Series(range(40)), maker=pl.Series([f"maker {index}" for index in range(40)]))
    assert colour(names, names.token_ids, None).title == "training interactions"
    genres = described(items, year=pl.Series(range(40)), genre=pl.Series(["a", "b"] * 20))
    assert colour(genres, genres.token_ids, None).title == "genre"


def test_a_column_that_does_not_exist_is_refused(recommender, items, tmp_path):
    with pytest.raises(InputError, match="The items have no column 'genre'"):
        save_item_map(recommender.model, Catalogue(items), tmp_path / "map.png", colour_by="genre")
    assert not list(tmp_path.iterdir())
