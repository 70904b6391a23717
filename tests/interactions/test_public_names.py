import pytest

from seqrec.errors import InputError
from seqrec.interactions.locations import require_dataset_name
from seqrec.interactions.public_names import CATEGORIES, PublicName, parse_public_name


@pytest.mark.parametrize(
    ("name", "expected", "shortest", "folder"),
    [
        ("ml-20m", PublicName("ml-20m"), "ml-20m", "ml-20m"),
        ("yambda-50m", PublicName("yambda-50m", "listen_plus"), "yambda-50m", "yambda-50m"),
        ("yambda-5b:listen_plus", PublicName("yambda-5b", "listen_plus"), "yambda-5b", "yambda-5b"),
        ("yambda-500m:likes", PublicName("yambda-500m", "likes"), "yambda-500m:likes", "yambda-500m-likes"),
        (
            "yambda-50m:likes@refs/pr/1",
            PublicName("yambda-50m", "likes", revision="refs/pr/1"),
            "yambda-50m:likes@refs/pr/1",
            "yambda-50m-likes@refs-pr-1",
        ),
        (
            "amazon-2023:Video_Games",
            PublicName("amazon-2023", "5core_rating_only", "Video_Games"),
            "amazon-2023:Video_Games",
            "amazon-2023-Video_Games",
        ),
        (
            "McAuley-Lab/Amazon-Reviews-2023:5core_rating_only_CDs_and_Vinyl",
            PublicName("amazon-2023", "5core_rating_only", "CDs_and_Vinyl"),
            "amazon-2023:CDs_and_Vinyl",
            "amazon-2023-CDs_and_Vinyl",
        ),
        (
            "amazon-2023:0core_rating_only_Appliances@abc1",
            PublicName("amazon-2023", "0core_rating_only", "Appliances", "abc1"),
            "amazon-2023:0core_rating_only_Appliances@abc1",
            "amazon-2023-0core_rating_only_Appliances@abc1",
        ),
        (
            "amazon-2023:raw_review_All_Beauty",
            PublicName("amazon-2023", "raw_review", "All_Beauty"),
            "amazon-2023:raw_review_All_Beauty",
            "amazon-2023-raw_review_All_Beauty",
        ),
    ],
)
def test_names(name, expected, shortest, folder):
    found = parse_public_name(name)
    assert found == expected
    assert str(found) == shortest
    assert parse_public_name(shortest) == expected
    assert found.folder == folder
    require_dataset_name(name)


@pytest.mark.parametrize(
    "name", ["ml-100k", "synthetic", "org/name", "org/name:train", "yambda", "shop.csv", "", None, 3]
)
def test_other_names(name):
    assert parse_public_name(name) is None


def test_every_category_has_a_table():
    assert len(CATEGORIES) == 34
    for category in CATEGORIES:
        assert parse_public_name(f"amazon-2023:0core_rating_only_{category}").category == category


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("yambda-50m:lisens", r"has no events 'lisens'. It has: listen_plus, listens, likes, .*Did you mean listens\?"),
        ("yambda-50m:", "has no events ''"),
        ("yambda-50m@", "ends in no revision"),
        ("ml-20m:train", "has no parts or revisions. Give ml-20m."),
        ("amazon-2023", "names no category. Give one, such as amazon-2023:Video_Games: All_Beauty, "),
        ("McAuley-Lab/Amazon-Reviews-2023", "names no category"),
        ("amazon-2023:Video_Game", r"has no category 'Video_Game'.*Did you mean Video_Games\?"),
        ("amazon-2023:5core_rating_only_Appliances", "Give amazon-2023:0core_rating_only_Appliances, and filter"),
        (
            "amazon-2023:5core_last_out_Books",
            "Give amazon-2023:5core_rating_only_Books, .*split_method='leave_one_out'",
        ),
        ("amazon-2023:0core_timestamp_w_his_Books", "Give amazon-2023:0core_rating_only_Books"),
    ],
)
def test_missing_parts(name, message):
    for refuse in (parse_public_name, require_dataset_name):
        with pytest.raises(InputError, match=message) as caught:
            refuse(name)
        assert "\n" not in str(caught.value)


def test_names_are_listed_if_none_is_similar(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"Known by name: ml-100k, synthetic, ml-1m, .*amazon-2023\."):
        require_dataset_name("netflix")


@pytest.mark.parametrize(
    ("name", "near"), [("ml-20n", "ml-20m"), ("yambda-50M", "yambda-50m"), ("amazon-23:Books", "amazon-2023")]
)
def test_similar_names_are_suggested(name, near):
    with pytest.raises(InputError, match=rf"Did you mean {near}\?"):
        require_dataset_name(name)
