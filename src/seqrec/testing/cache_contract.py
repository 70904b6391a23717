"""Contract tests of caches, for models that support them (`supports_cache`)."""

import pytest
import torch
from transformers import DynamicCache

from seqrec.testing.tiny_inputs import HISTORIES, TIMES, inputs_of

__all__ = ["CacheContract"]

CLOSE = {"atol": 1e-5, "rtol": 1e-5}
LATER = [[8, 6], [11], [21, 22, 23], [14]]  # events that follow those of HISTORIES
GROWN = [[*known, *new] for known, new in zip(HISTORIES, LATER, strict=True)]
PAST_LABELS = {"tasks": ["next_item", "rating"], "past_labels": ["rating"], "rating_scale": [1, 5]}
COUNTS = {"popularity_windows": [1, 7]}
ROTARY, RELATIVE = ({"position_embedding_type": name} for name in ("rotary", "relative"))

lasting = pytest.mark.parametrize(
    "choices",
    [ROTARY, RELATIVE, *({**ROTARY, **times} for times in TIMES.values())],
    ids=["rotary", "relative", *TIMES],
)


def prefix(model, history, length):
    """Return the inputs of the first events of a history; the request after them comes with the next event."""
    return {name: values[:, :length] for name, values in inputs_of(model, [history]).items()}


def known_states(model, histories, lengths):
    """Return a cache for each history that knows its first events, in the way that sessions learn them."""
    caches = [DynamicCache() for _ in histories]
    for cache, history, length in zip(caches, histories, lengths, strict=True):
        if length:
            model.encode_users_with_cache([cache], **prefix(model, history, length))
    return caches


class CacheContract:
    """Histories that grow are encoded as if they were new; see `ModelContract`."""

    @pytest.fixture
    def caching_model(self, tiny_model):
        """A model that supports caches."""
        if not tiny_model.supports_cache:
            pytest.skip("each event changes the states of the others")
        return tiny_model

    @lasting
    def test_events_one_by_one_give_the_users_of_whole_histories(self, caching_model):
        for history in GROWN:
            cache = DynamicCache()
            for length in range(1, len(history) + 1):
                inputs = prefix(caching_model, history, length)
                users = caching_model.encode_users_with_cache([cache], **inputs)
                torch.testing.assert_close(users, caching_model.encode_users(**inputs), **CLOSE)
                assert cache.get_seq_length() == length

    @lasting
    @pytest.mark.parametrize("known", [[3, 8, 1, 5], [3, 0, 2, 4], [0, 0, 0, 0]], ids=str)
    def test_histories_of_any_length_grow_in_one_batch(self, caching_model, known):
        caches = known_states(caching_model, GROWN, known)
        for _ in range(2):  # once more after removing the newest event
            users = caching_model.encode_users_with_cache(caches, **inputs_of(caching_model, GROWN, "right"))
            whole = torch.cat([caching_model.encode_users(**inputs_of(caching_model, [one])) for one in GROWN])
            torch.testing.assert_close(users, whole, **CLOSE)
            assert [cache.get_seq_length() for cache in caches] == [len(history) for history in GROWN]
            for cache in caches:
                cache.crop(-1)

    @pytest.mark.parametrize(
        "choices",
        [{**ROTARY, **more} for more in (PAST_LABELS, COUNTS)],
        ids=["past_labels", "popularity_windows"],
    )
    def test_further_columns_of_events_are_read(self, caching_model):
        caches = known_states(caching_model, GROWN, [3, 8, 1, 5])
        users = caching_model.encode_users_with_cache(caches, **inputs_of(caching_model, GROWN, "right"))
        whole = torch.cat([caching_model.encode_users(**inputs_of(caching_model, [one])) for one in GROWN])
        torch.testing.assert_close(users, whole, **CLOSE)

    @pytest.mark.parametrize("choices", [ROTARY], ids=["rotary"])
    def test_every_attention_implementation_with_a_matrix_as_mask_reads_caches(self, caching_model):
        if not caching_model.uses_attention:
            pytest.skip("the implementation cannot be chosen")
        whole = torch.cat([caching_model.encode_users(**inputs_of(caching_model, [one])) for one in GROWN])
        caching_model.set_attn_implementation("eager")
        caches = known_states(caching_model, GROWN, [3, 0, 2, 5])
        users = caching_model.encode_users_with_cache(caches, **inputs_of(caching_model, GROWN, "right"))
        torch.testing.assert_close(users, whole, **CLOSE)

    def test_a_cache_is_refused_by_models_whose_states_change(self, tiny_model):
        positions = getattr(tiny_model.config, "position_embedding_type", "learned")
        if tiny_model.objective.is_causal and positions != "learned":
            pytest.skip("supports caches")
        assert not tiny_model.supports_cache
        with pytest.raises(ValueError, match=r"no use for a cache: each new event changes .* Call encode_users"):
            tiny_model.encode_users_with_cache([DynamicCache()], **inputs_of(tiny_model, [HISTORIES[0]]))

    @pytest.mark.parametrize("choices", [RELATIVE], ids=["relative"])
    def test_causal_models_with_relative_positions_support_caches(self, tiny_model, config_class):
        relative = "relative" in type(tiny_model.model).position_classes
        assert tiny_model.supports_cache == (tiny_model.objective.is_causal and relative)
