"""Files about the project agree with the package."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text())
REQUIRED = {"cff-version", "message", "title", "authors"}  # by the schema of version 1.2.0


def test_the_citation_names_this_version():
    assert CITATION["version"] == PROJECT["version"]
    assert CITATION["license"] == PROJECT["license"]
    assert CITATION["url"] == PROJECT["urls"]["Homepage"]


def test_the_citation_follows_its_schema():
    assert CITATION.keys() >= REQUIRED
    assert CITATION["cff-version"] == "1.2.0"
    assert CITATION["type"] == "software"
    assert CITATION["authors"] == [{"name": "The seqrec authors"}]
    assert all(isinstance(CITATION[name], str) for name in ("version", "message", "title", "abstract"))
    assert len(set(CITATION["keywords"])) == len(CITATION["keywords"])


def test_addresses_belong_to_one_repository():
    assert {"Homepage", "Documentation", "Issues", "Changelog"} <= PROJECT["urls"].keys()
    assert all(url.startswith("https://github.com/seqrec/seqrec") for url in PROJECT["urls"].values())
    files = [re.search(r"/blob/main/(.*)", url) for url in PROJECT["urls"].values()]
    assert all((ROOT / file[1]).is_file() for file in files if file)


def test_the_policy_says_where_to_report():
    policy = (ROOT / "SECURITY.md").read_text()
    assert f"{PROJECT['urls']['Homepage']}/security/advisories/new" in policy
