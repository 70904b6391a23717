"""Sequential recommenders for the Hugging Face ecosystem.

Importing this package imports nothing that takes long: public names load on first use. From then on, the Auto classes
and pipelines of `transformers` know its models, whichever of the two packages is imported first.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from seqrec.registration import register_with_transformers

if TYPE_CHECKING:
    from seqrec.configuration.configuration_bert4rec import Bert4RecConfig
    from seqrec.configuration.configuration_esasrec import ESasRecConfig
    from seqrec.configuration.configuration_hstu import HstuConfig
    from seqrec.configuration.configuration_sasrec import SasRecConfig
    from seqrec.inference.recommendations import Recommendation
    from seqrec.inference.recommender import Recommender
    from seqrec.interactions.catalogue import Catalogue
    from seqrec.interactions.collators import MaskedItemCollator, NextItemCollator
    from seqrec.interactions.data_arguments import DataArguments
    from seqrec.interactions.events import CategoricalColumn, EventColumn
    from seqrec.interactions.histories import Histories
    from seqrec.interactions.preparation import prepare
    from seqrec.interactions.sequences import build_sequences
    from seqrec.interactions.sources import load_interactions
    from seqrec.interactions.splitting import leave_one_out, temporal
    from seqrec.interactions.tokenization_items import ItemTokenizer
    from seqrec.modeling.event_parts import EventPart, register_event_part
    from seqrec.modeling.item_encoder import ItemPart, register_item_part
    from seqrec.modeling.modeling_auto import AutoModelForNextItem, register_architecture
    from seqrec.modeling.modeling_bert4rec import Bert4RecForNextItem, Bert4RecModel
    from seqrec.modeling.modeling_esasrec import ESasRecForNextItem, ESasRecModel
    from seqrec.modeling.modeling_hstu import HstuForNextItem, HstuModel
    from seqrec.modeling.modeling_sasrec import SasRecForNextItem, SasRecModel
    from seqrec.modeling.objectives import training_collator
    from seqrec.training.accelerate_loop import train_with_accelerate
    from seqrec.training.arguments import SequentialTrainingArguments
    from seqrec.training.train import train
    from seqrec.training.trainer import SequentialTrainer
    from seqrec.training.tune import tune

    __version__: str

HOMES = {
    "AutoModelForNextItem": "seqrec.modeling.modeling_auto",
    "Bert4RecConfig": "seqrec.configuration.configuration_bert4rec",
    "Bert4RecForNextItem": "seqrec.modeling.modeling_bert4rec",
    "Bert4RecModel": "seqrec.modeling.modeling_bert4rec",
    "Catalogue": "seqrec.interactions.catalogue",
    "CategoricalColumn": "seqrec.interactions.events",
    "DataArguments": "seqrec.interactions.data_arguments",
    "ESasRecConfig": "seqrec.configuration.configuration_esasrec",
    "ESasRecForNextItem": "seqrec.modeling.modeling_esasrec",
    "ESasRecModel": "seqrec.modeling.modeling_esasrec",
    "EventColumn": "seqrec.interactions.events",
    "EventPart": "seqrec.modeling.event_parts",
    "Histories": "seqrec.interactions.histories",
    "HstuConfig": "seqrec.configuration.configuration_hstu",
    "HstuForNextItem": "seqrec.modeling.modeling_hstu",
    "HstuModel": "seqrec.modeling.modeling_hstu",
    "ItemPart": "seqrec.modeling.item_encoder",
    "ItemTokenizer": "seqrec.interactions.tokenization_items",
    "MaskedItemCollator": "seqrec.interactions.collators",
    "NextItemCollator": "seqrec.interactions.collators",
    "Recommendation": "seqrec.inference.recommendations",
    "Recommender": "seqrec.inference.recommender",
    "SasRecConfig": "seqrec.configuration.configuration_sasrec",
    "SasRecForNextItem": "seqrec.modeling.modeling_sasrec",
    "SasRecModel": "seqrec.modeling.modeling_sasrec",
    "SequentialTrainer": "seqrec.training.trainer",
    "SequentialTrainingArguments": "seqrec.training.arguments",
    "build_sequences": "seqrec.interactions.sequences",
    "leave_one_out": "seqrec.interactions.splitting",
    "load_interactions": "seqrec.interactions.sources",
    "prepare": "seqrec.interactions.preparation",
    "register_architecture": "seqrec.modeling.modeling_auto",
    "register_event_part": "seqrec.modeling.event_parts",
    "register_item_part": "seqrec.modeling.item_encoder",
    "temporal": "seqrec.interactions.splitting",
    "train": "seqrec.training.train",
    "train_with_accelerate": "seqrec.training.accelerate_loop",
    "training_collator": "seqrec.modeling.objectives",
    "tune": "seqrec.training.tune",
}

__all__ = [
    "AutoModelForNextItem",
    "Bert4RecConfig",
    "Bert4RecForNextItem",
    "Bert4RecModel",
    "Catalogue",
    "CategoricalColumn",
    "DataArguments",
    "ESasRecConfig",
    "ESasRecForNextItem",
    "ESasRecModel",
    "EventColumn",
    "EventPart",
    "Histories",
    "HstuConfig",
    "HstuForNextItem",
    "HstuModel",
    "ItemPart",
    "ItemTokenizer",
    "MaskedItemCollator",
    "NextItemCollator",
    "Recommendation",
    "Recommender",
    "SasRecConfig",
    "SasRecForNextItem",
    "SasRecModel",
    "SequentialTrainer",
    "SequentialTrainingArguments",
    "__version__",
    "build_sequences",
    "leave_one_out",
    "load_interactions",
    "prepare",
    "register_architecture",
    "register_event_part",
    "register_item_part",
    "temporal",
    "train",
    "train_with_accelerate",
    "training_collator",
    "tune",
]


def __getattr__(name: str) -> object:
    """Load a public name from its module on first use."""
    if name == "__version__":
        return import_module("importlib.metadata").version("seqrec")
    if name not in HOMES:
        raise AttributeError(f"module 'seqrec' has no attribute {name!r}")
    return getattr(import_module(HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__


register_with_transformers()
