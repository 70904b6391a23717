"""The look of all pictures: colours, fonts, sizes, names of items, and saving as PNG."""

import unicodedata
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from io import BytesIO
from pathlib import Path

import matplotlib
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from PIL.PngImagePlugin import PngInfo

__all__ = [
    "BLUE",
    "CATEGORY_COLOURS",
    "DARK_GREY",
    "GREY",
    "LIGHT_GREY",
    "TEXT_GREY",
    "WIDTH",
    "new_figure",
    "picture",
    "readable_names",
    "save_picture",
    "shorten",
]

BLUE = "#1f6feb"  # of the model
TEXT_GREY, DARK_GREY, GREY, LIGHT_GREY = "#57606a", "#7a7a7a", "#a8a8a8", "#d6d6d6"
# Distinct for colour-blind people too: Okabe & Ito 2008, without black and the pale yellow; two are ours.
CATEGORY_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#8c6bb1", "#a6761d")
DPI = 120
WIDTH = 7.2  # inches of pictures that are shown about 800 pixels wide
# Tried in this order for letters that the first lacks; those that are not installed are left out.
FONTS = (
    *("DejaVu Sans", "Noto Sans", "Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans JP", "Noto Sans SC"),
    *("Hiragino Sans", "PingFang SC", "Yu Gothic", "Microsoft YaHei", "Malgun Gothic", "WenQuanYi Zen Hei"),
    *("IPAexGothic", "Arial Unicode MS", "Noto Sans Arabic", "Noto Sans Hebrew", "Noto Sans Devanagari"),
)


def new_figure(width: float, height: float, *, dpi: int = DPI) -> Figure:
    """Return an empty white figure.

    Args:
        width: Inches.
        height: Inches.
        dpi: Pixels per inch.
    """
    figure = Figure(figsize=(width, height), dpi=dpi, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def save_picture(figure: Figure, path: str | Path, *, title: str, num_colours: int | None = None) -> None:
    """Write a PNG that says in its metadata what it shows, and that seqrec drew it.

    Args:
        figure: What to write.
        path: The file.
        title: Says what the picture shows.
        num_colours: Reduce the picture to so many colours, at most 256: pictures of many points are then a third as
            large. None for all.
    """
    told = {"Title": title, "Software": f"seqrec {version('seqrec')}"}
    if num_colours is None:
        figure.savefig(path, format="png", metadata=told)
        return
    figure.savefig(buffer := BytesIO(), format="png")
    info = PngInfo()
    for name, text in told.items():
        info.add_text(name, text)
    reduced = Image.open(buffer).convert("RGB").quantize(num_colours, dither=Image.Dither.NONE)
    reduced.save(path, format="png", pnginfo=info, optimize=True)


@contextmanager
def picture(
    path: str | Path, width: float, height: float, *, title: str, dpi: int = DPI, num_colours: int | None = None
) -> Iterator[Figure]:
    """Provide a figure to draw on, and save it; "$" in texts is no formula, and letters come from several fonts.

    Args:
        path: The PNG to write.
        width: Inches.
        height: Inches.
        title: Says what the picture shows, in its metadata.
        dpi: Pixels per inch.
        num_colours: See `save_picture`.
    """
    with matplotlib.rc_context({"text.parse_math": False, "font.family": list(font_files())}):
        figure = new_figure(width, height, dpi=dpi)
        yield figure
        save_picture(figure, path, title=title, num_colours=num_colours)


def readable_names(titles: Sequence[str | None], item_ids: Sequence[str], width: int) -> list[str]:
    """Return short names of items: titles, or ids where there is no title or no font can draw it.

    Letters that no installed font has are left out, with a warning.

    Args:
        titles: Titles, None for items without one.
        item_ids: The ids of the same items.
        width: Most letters of a name; wide letters count as two.
    """
    names, num_undrawn = [], 0
    for title, item_id in zip(titles, item_ids, strict=True):
        whole = " ".join((title or item_id).split())
        drawn = " ".join(drawable(whole).split())
        num_undrawn += drawn != whole
        names.append(shorten(drawn if any(map(str.isalnum, drawn)) else drawable(item_id) or "?", width))
    if num_undrawn:
        warnings.warn(
            f"{num_undrawn} of {len(names)} names have letters that no installed font can draw, which are left out. "
            "Install a font that has them, such as Noto Sans CJK.",
            stacklevel=2,
        )
    return names


def shorten(text: str, width: int) -> str:
    """Cut a text to a width in letters, of which wide ones count as two.

    >>> shorten("The Silence of the Lambs", 12)
    'The Silence…'
    """
    sizes = [2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text]
    if sum(sizes) <= width:
        return text
    kept = 0
    while sum(sizes[: kept + 1]) < width:
        kept += 1
    return f"{text[:kept].rstrip()}…"


def drawable(text: str) -> str:
    """Leave out letters that no installed font has."""
    return "".join(letter for letter in text if ord(letter) in known_letters() and letter.isprintable())


@cache
def font_files() -> dict[str, str]:
    """Return those of `FONTS` that are installed: family → file."""
    installed = set(font_manager.fontManager.get_font_names())
    return {family: str(font_manager.findfont(family)) for family in FONTS if family in installed}


@cache
def known_letters() -> frozenset[int]:
    """Return the code points that the installed fonts can draw."""
    charmaps = (font_manager.get_font(file).get_charmap() for file in font_files().values())
    return frozenset(code for charmap in charmaps for code in charmap)
