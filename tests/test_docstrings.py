"""The examples in the package's docstrings are true."""

import doctest
import importlib
import pkgutil

import pytest

import seqrec

MODULES = sorted(module.name for module in pkgutil.walk_packages(seqrec.__path__, "seqrec."))


def test_every_room_is_walked_through():
    rooms = {name.split(".")[1] for name in MODULES if name.count(".") > 1}
    assert {
        "configuration",
        "evaluation",
        "hub",
        "inference",
        "interactions",
        "modeling",
        "search",
        "training",
    } <= rooms


@pytest.mark.parametrize("name", ["seqrec", *MODULES])
def test_examples_in_docstrings_are_true(name):
    module = importlib.import_module(name)
    examples = [example for test in doctest.DocTestFinder().find(module) for example in test.examples]
    failed, tried = doctest.testmod(module)
    assert failed == 0
    assert tried == sum(not example.options.get(doctest.SKIP) for example in examples)
