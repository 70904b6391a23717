"""Names of public data sets that are downloaded, such as `ml-20m`, `yambda-50m:likes` and `amazon-2023:Video_Games`.

Nothing here imports anything heavy.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from seqrec.errors import InputError
from seqrec.interactions.one_line import one_line

__all__ = [
    "AMAZON",
    "CATEGORIES",
    "LISTEN_PLUS",
    "MOVIELENS",
    "PUBLIC_SETS",
    "YAMBDA",
    "PublicName",
    "parse_public_name",
]

MOVIELENS = ("ml-1m", "ml-20m", "ml-25m", "ml-32m")
YAMBDA = ("yambda-50m", "yambda-500m", "yambda-5b")
AMAZON = "amazon-2023"
AMAZON_ON_HUB = "McAuley-Lab/Amazon-Reviews-2023"
PUBLIC_SETS = (*MOVIELENS, *YAMBDA, AMAZON)

LISTEN_PLUS = "listen_plus"  # listens to at least half of a track
EVENTS = (LISTEN_PLUS, "listens", "likes", "dislikes", "unlikes", "undislikes", "multi_event")

FIVE_CORE = "5core_rating_only"
TABLES = (FIVE_CORE, "0core_rating_only", "raw_review")  # begin the names of the Hub's configurations
AMAZON_PART = re.compile(r"(?:(?P<table>raw_review|[05]core_[a-z_]+?)_)?(?P<category>[A-Z]\w*)", re.ASCII)
NOT_IN_FIVE_CORE = {
    "Amazon_Fashion",
    "Appliances",
    "Digital_Music",
    "Handmade_Products",
    "Health_and_Personal_Care",
    "Subscription_Boxes",
}
CATEGORIES = sorted(
    NOT_IN_FIVE_CORE
    | {
        "All_Beauty",
        "Arts_Crafts_and_Sewing",
        "Automotive",
        "Baby_Products",
        "Beauty_and_Personal_Care",
        "Books",
        "CDs_and_Vinyl",
        "Cell_Phones_and_Accessories",
        "Clothing_Shoes_and_Jewelry",
        "Electronics",
        "Gift_Cards",
        "Grocery_and_Gourmet_Food",
        "Health_and_Household",
        "Home_and_Kitchen",
        "Industrial_and_Scientific",
        "Kindle_Store",
        "Magazine_Subscriptions",
        "Movies_and_TV",
        "Musical_Instruments",
        "Office_Products",
        "Patio_Lawn_and_Garden",
        "Pet_Supplies",
        "Software",
        "Sports_and_Outdoors",
        "Tools_and_Home_Improvement",
        "Toys_and_Games",
        "Unknown",
        "Video_Games",
    }
)
FORM = re.compile(r"(?P<set>[^:@]+)(?::(?P<part>[^@]*))?(?:@(?P<revision>.*))?")
REVISION = re.compile(r"\w[\w./-]*", re.ASCII)


@dataclass(frozen=True)
class PublicName:
    """The parts of a public data set's name.

    Attributes:
        set: One of `PUBLIC_SETS`.
        table: Which of its tables: the events of Yambda (`likes`), or `5core_rating_only`, `0core_rating_only` or
            `raw_review` of the Amazon reviews; empty for MovieLens.
        category: The category of the Amazon reviews; empty for the others.
        revision: Branch or commit of its repository on the Hub; None for the newest.
    """

    set: str
    table: str = ""
    category: str = ""
    revision: str | None = None

    def __str__(self) -> str:
        """Return the name in its shortest form, without defaults."""
        table = "" if self.table in (LISTEN_PLUS, FIVE_CORE) else self.table
        part = "_".join(filter(None, (table, self.category)))
        return self.set + (f":{part}" if part else "") + (f"@{self.revision}" if self.revision else "")

    @property
    def folder(self) -> str:
        """Name of the folder that it is kept in."""
        return re.sub(r"[:/]", "-", str(self))


def parse_public_name(name: object) -> PublicName | None:
    """Interpret the name of a public data set; None if it begins with no such set.

    Raises:
        InputError: If it has no such part; the message names those that exist.
    """
    found = FORM.fullmatch(name) if isinstance(name, str) else None
    if found is None:
        return None
    given = AMAZON if found["set"] == AMAZON_ON_HUB else found["set"]
    if given not in PUBLIC_SETS:
        return None
    revision = found["revision"]
    if given in MOVIELENS:
        if found["part"] is not None or revision is not None:
            raise InputError(f"'{one_line(name)}' is no data set: {given} has no parts or revisions. Give {given}.")
        return PublicName(given)
    if "@" in str(name) and (revision is None or not REVISION.fullmatch(revision)):
        raise InputError(f"'{one_line(name)}' ends in no revision. Give a branch or a commit, as in {given}@main.")
    if given in YAMBDA:
        return PublicName(given, yambda_events(given, found["part"]), revision=revision)
    return PublicName(given, *amazon_table(found["part"]), revision=revision)


def yambda_events(given: str, part: str | None) -> str:
    """Return which events of Yambda are meant; by default, listens to at least half of a track."""
    if part is None:
        return LISTEN_PLUS
    if part not in EVENTS:
        raise InputError(
            f"{given} has no events '{one_line(part)}'. It has: {', '.join(EVENTS)}.{nearest(part, EVENTS)}"
        )
    return part


def amazon_table(part: str | None) -> tuple[str, str]:
    """Return which table of the Amazon reviews is meant, and of which category.

    Raises:
        InputError: If there is no such table, or it is one that is split already.
    """
    example = f"{AMAZON}:Video_Games"
    found = AMAZON_PART.fullmatch(part or "")
    if found is None or (category := found["category"]) not in CATEGORIES:
        given = "names no category" if not part else f"has no category '{one_line(part)}'"
        near = nearest(found["category"] if found else part or "", CATEGORIES)
        raise InputError(f"{AMAZON} {given}. Give one, such as {example}: {', '.join(CATEGORIES)}.{near}")
    table = found["table"] or FIVE_CORE
    if table not in TABLES:
        core = table.partition("_")[0]
        raise InputError(
            f"{AMAZON} has no table '{table}' here, only {', '.join(TABLES)}. Give {AMAZON}:{core}_rating_only_"
            f"{category}, which holds the same reviews, and split_method='leave_one_out' (their last_out) or "
            "'official' (their timestamp)."
        )
    if table == FIVE_CORE and category in NOT_IN_FIVE_CORE:
        raise InputError(
            f"{AMAZON} has no 5-core table of {category}. Give {AMAZON}:0core_rating_only_{category}, and filter "
            "by min_user_interactions and min_item_interactions."
        )
    return table, category


def nearest(name: str, names: Sequence[str]) -> str:
    """Return a sentence that suggests the most similar name; empty without any."""
    near = get_close_matches(name, names, n=1)
    return f" Did you mean {near[0]}?" if near else ""
