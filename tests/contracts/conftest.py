"""What the tests of other packages' extensions share."""

import copy

import pytest

from seqrec.interactions.events import EVENT_COLUMNS
from seqrec.modeling.event_parts import EVENT_PARTS
from seqrec.modeling.item_encoder import ITEM_PARTS
from seqrec.modeling.modeling_auto import ARCHITECTURES, HEADS, MODEL_TYPES

REGISTRIES = (EVENT_COLUMNS, EVENT_PARTS, ITEM_PARTS, ARCHITECTURES, HEADS, MODEL_TYPES)


@pytest.fixture(scope="module")
def forgets_what_is_registered():
    """Forget afterwards what a test module registers."""
    before = [copy.copy(registry) for registry in REGISTRIES]
    yield
    for registry, earlier in zip(REGISTRIES, before, strict=True):
        registry.clear()
        (registry.extend if isinstance(registry, list) else registry.update)(earlier)
