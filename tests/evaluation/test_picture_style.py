"""The look that all pictures share."""

from contextlib import nullcontext

import pytest
from matplotlib import font_manager
from matplotlib.image import imread
from PIL import Image

from seqrec.evaluation import picture_style
from seqrec.evaluation.picture_style import picture, readable_names, shorten


@pytest.fixture
def only_latin(monkeypatch):
    """Fonts that have Latin letters alone."""
    monkeypatch.setattr(picture_style, "known_letters", lambda: frozenset(range(32, 400)) | {ord("…")})


def test_a_picture_says_what_it_shows_and_is_the_same_each_time(tmp_path):
    for name in ("one.png", "two.png"):
        with picture(tmp_path / name, 2, 1, title="A line") as figure:
            figure.add_subplot().plot([1, 2])
    told = Image.open(tmp_path / "one.png").text
    assert told["Title"] == "A line"
    assert told["Software"].startswith("seqrec ")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    assert imread(tmp_path / "one.png").shape[:2] == (120, 240)


def test_dollars_are_no_formula(tmp_path):
    with picture(tmp_path / "dollars.png", 2, 1, title="Prices") as figure:
        text = figure.text(0, 0, "$1 \\frac $2")
        figure.canvas.draw()
    assert text.get_text() == "$1 \\frac $2"


@pytest.mark.parametrize(
    ("text", "short"),
    [("Fargo", "Fargo"), ("Star Trek: First Contact", "Star Trek:…"), ("千と千尋の神隠し", "千と千尋の…"), ("", "")],
)
def test_long_names_are_cut(text, short):
    assert shorten(text, 12) == short


def test_items_are_named_by_titles_or_ids():
    names = readable_names(["A  long\ntitle", None, "", "$5"], ["1", "2", "3", "4"], 20)
    assert names == ["A long title", "2", "3", "$5"]


def test_letters_that_no_font_has_are_left_out_with_a_warning(only_latin):
    with pytest.warns(UserWarning, match="2 of 4 names have letters that no installed font can draw"):
        names = readable_names(["Amélie", "千と千尋", "WALL·E 🤖", None], ["1", "2", "3", "4"], 20)
    assert names == ["Amélie", "2", "WALL·E", "4"]


def test_what_is_drawn_has_no_missing_letters(tmp_path):
    """Matplotlib warns of each letter that its fonts lack, and warnings are errors here."""
    titles = ["Амели", "Ταξίδι", "千と千尋の神隠し", "🤖", "ﷺ\u200b"]
    with nullcontext() if has_fonts(titles) else pytest.warns(UserWarning, match="no installed font"):
        names = readable_names(titles, list("abcde"), 30)
    with picture(tmp_path / "names.png", 4, 3, title="Names") as figure:
        for place, name in enumerate(names):
            figure.text(0.1, 0.1 + 0.2 * place, name)


def has_fonts(titles):
    """Return whether the installed fonts have all letters."""
    return {ord(letter) for letter in "".join(titles)} <= picture_style.known_letters()


def test_installed_fonts_are_found():
    files = {font.fname for font in font_manager.fontManager.ttflist}
    assert "DejaVu Sans" in picture_style.font_files()
    assert set(picture_style.font_files().values()) <= files
    assert set(map(ord, "Aé–…Ямت")) <= picture_style.known_letters()  # those of the upright regular font
