"""Start a model of another catalogue with the weights of a trained model.

Shape suffixes: D hidden size, C codes of a category.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from seqrec.configuration.config_fields import SCORING, TRAINING, names_for
from seqrec.errors import InputError
from seqrec.hub.saved_folder import SavedModel, load_saved
from seqrec.interactions.category_codes import FIRST_VALUE
from seqrec.interactions.category_features import CategoryFeature
from seqrec.interactions.data_arguments import DataArguments
from seqrec.interactions.item_feature_spec import FeatureSpec
from seqrec.interactions.item_features import ITEM_FEATURES, ItemFeatures
from seqrec.interactions.special_tokens import NUM_SPECIAL_TOKENS
from seqrec.modeling.feature_parts import FeaturePart
from seqrec.modeling.item_encoder import ItemEncoder
from seqrec.modeling.modeling_next_item import NextItemHead

__all__ = ["Source", "load_source"]

OF_THE_CATALOGUE = ("vocab_size", "item_features")
CHANGEABLE = {  # fields that affect scores; weights that depend on them are reused only if both models have them
    *("item_id_embedding", "item_id_bound", "item_parts", "context_columns", "logit_scale"),
    *("popularity_windows", "request_time", "time_encoding", "tasks", "past_labels", "rating_scale"),
}
# Beginnings of the names of weights that belong to a catalogue; features are treated one by one.
OF_ITEMS = ("model.item_embedding.", "model.recent_counts.")
OF_LABELS = (".id_bias.weight", ".item_means_V")  # the ends of the names of what tasks know of items

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """A trained model with which a model of another catalogue starts.

    Attributes:
        name: Its folder or repository.
        saved: The model, and how tables become its features.
    """

    name: str
    saved: SavedModel

    @property
    def model_type(self) -> str:
        """Its architecture."""
        return self.saved.model.config.model_type

    @property
    def changeable(self) -> frozenset[str]:
        """The names of the fields of the configuration on which its weights do not depend."""
        return names_for(self.saved.model.config, (*TRAINING, "initialization")) | CHANGEABLE

    def config_fields(self, chosen: Mapping[str, Any]) -> dict[str, Any]:
        """Return the configuration of the new model, without what its catalogue determines.

        Raises:
            InputError: If a chosen field differs from the source's, and the weights depend on it.
        """
        config = self.saved.model.config
        own = {name: getattr(config, name) for name in names_for(config, (*SCORING, *TRAINING, "initialization"))}
        if not config.item_features:
            del own["item_id_embedding"]  # which is a choice only next to features
        for name in sorted((own.keys() - self.changeable) & chosen.keys()):
            if chosen[name] != own[name]:
                raise InputError(
                    f"{name}={chosen[name]!r} does not fit the weights of {self.name}, which has {name}={own[name]!r}. "
                    "Leave it out, or train without init_from."
                )
        return {name: value for name, value in {**own, **chosen}.items() if name not in OF_THE_CATALOGUE}

    def data_arguments(self, arguments: DataArguments) -> DataArguments:
        """Return arguments in which item features of the same name have the source's kinds, unless they say others."""
        features = self.saved.features
        if features is None or arguments.item_features is None:
            return arguments
        return replace(arguments, item_features=features.kinds_of(arguments.item_features))

    @torch.no_grad()
    def give_weights(self, model: NextItemHead, features: ItemFeatures | None) -> None:
        """Copy all weights that also make sense in a new model, and log which these are.

        Args:
            model: The new model, before its features' values are set.
            features: How tables become its features.
        """
        network = copy_network(self.saved.model, model)
        old, new = (one.model.item_encoder for one in (self.saved.model, model))
        vectors_of_special_tokens(new).copy_(vectors_of_special_tokens(old))
        reused, fresh = copy_features(old, new, self.saved.features, features)
        # As warnings, so that they are always shown.
        logger.warning("Reused from %s: %s, and the vectors of special tokens.", self.name, network)
        if reused:
            logger.warning("Reused item features: %s.", "; ".join(reused))
        if model.config.item_id_embedding != "none":
            fresh.insert(0, "the embeddings of item ids (another catalogue)")
        if fresh:
            logger.warning("Fresh: %s.", "; ".join([*fresh, *map("the item part {}".format, new.parts)]))


def load_source(name: str, revision: str | None = None) -> Source:
    """Load a trained model with which another one is to start; for errors, see `load_starting_point`."""
    saved = load_saved(name, revision=revision)
    if getattr(saved.model, "_hf_peft_config_loaded", False):
        raise InputError(
            f"{name} is an adapter of a model, whose weights cannot be given to another one. Merge it first "
            "(merge_and_unload()), and save the result."
        )
    return Source(name, saved)


def copy_network(source: NextItemHead, model: NextItemHead) -> str:
    """Copy the weights that do not belong to a catalogue, where both models have them; describe them."""
    old, new = (
        {name: tensor for name, tensor in one.state_dict().items() if belongs_to_network(name)}
        for one in (source, model)
    )
    shared = [name for name in new if name in old and old[name].shape == new[name].shape]
    if source.config.popularity_windows != model.config.popularity_windows:
        shared = [name for name in shared if not name.startswith("model.popularity_weights.")]
    for name in shared:
        new[name].copy_(old[name])
    numbers = [sum(new[name].numel() for name in names) for names in (shared, new)]
    left = sorted({name.removeprefix("model.").partition(".")[0] for name in new.keys() - {*shared}})
    if not left:
        return f"all {numbers[0]:,} weights of the network"
    return f"{numbers[0]:,} of {numbers[1]:,} weights of the network (not {', '.join(left)}, which it does not have)"


def belongs_to_network(name: str) -> bool:
    """Return whether a weight does not belong to a catalogue."""
    return not name.startswith(OF_ITEMS) and not name.endswith(OF_LABELS)


def vectors_of_special_tokens(encoder: ItemEncoder) -> Tensor:
    """Return the vectors of padding, mask and unknown items, a view of the encoder's weights."""
    table = encoder.weight if encoder.special_tokens is None else encoder.special_tokens.weight
    return table[:NUM_SPECIAL_TOKENS]


def copy_features(
    source: ItemEncoder, encoder: ItemEncoder, earlier: ItemFeatures | None, features: ItemFeatures | None
) -> tuple[list[str], list[str]]:
    """Copy the weights of features that both models read in the same way.

    Returns:
        Descriptions of the features that were copied, and of those that were not.
    """
    old_parts, new_parts = parts_of(source), parts_of(encoder)
    old_specs = {spec.name: spec for spec in earlier.specs} if earlier is not None else {}
    reused, fresh = [], []
    for spec in features.specs if features is not None else ():
        obstacle = why_fresh(spec, old_specs.get(spec.name), is_read=spec.name in old_parts)
        if obstacle is not None:
            fresh.append(f"{spec.name} ({obstacle})")
            continue
        reused.append(copy_feature(old_parts[spec.name], new_parts[spec.name], old_specs[spec.name], spec))
    return reused, fresh


def parts_of(encoder: ItemEncoder) -> dict[str, FeaturePart]:
    """Return the parts of an encoder's features by name."""
    return {} if encoder.features is None else {part.name: part for part in encoder.features.parts}


def why_fresh(spec: FeatureSpec, earlier: FeatureSpec | None, *, is_read: bool) -> str | None:
    """Return why the weights of an earlier feature cannot be used for a new one; None if they can."""
    if not is_read:
        return "not read by that model"
    if earlier is None:
        return f"that model was saved without {ITEM_FEATURES}"
    if spec.kind != earlier.kind:
        return f"a {spec.kind} here, a {earlier.kind} there"
    if spec.kind == "category" or spec == earlier:
        return None
    return {
        "number": "prepared with another mean or standard deviation",
        "vector": "vectors of another width",
        "text": "read by another text model",
    }[spec.kind]


def copy_feature(old: FeaturePart, new: FeaturePart, earlier: FeatureSpec, spec: FeatureSpec) -> str:
    """Copy the weights of a feature, those of categories value by value; describe it."""
    if not (isinstance(spec, CategoryFeature) and isinstance(earlier, CategoryFeature)):
        held = dict(old.named_parameters()) | dict(old.named_buffers())
        for name, tensor in (*new.named_parameters(), *new.named_buffers()):
            if name != "values_VF":
                tensor.copy_(held[name])
        return spec.name
    rows = {value: row for row, value in enumerate(earlier.categories, start=FIRST_VALUE)}
    known = [(row, rows[value]) for row, value in enumerate(spec.categories, start=FIRST_VALUE) if value in rows]
    places = torch.tensor([*((row, row) for row in range(FIRST_VALUE)), *known])
    old_CD, new_CD = (dict(part.named_parameters())["embedding.weight"] for part in (old, new))
    new_CD[places[:, 0]] = old_CD[places[:, 1]]
    added = len(spec.categories) - len(known)
    return f"{spec.name} ({len(known):,} values{f'; {added:,} new ones are fresh' if added else ''})"
