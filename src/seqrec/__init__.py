"""Sequential recommenders for the Hugging Face ecosystem.

Importing it registers the models with the Auto classes of `transformers`, and lets them save their code. Other public
names load on first use.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING

from seqrec.hub.remote_code import write_remote_code
from seqrec.modeling.modeling_auto import AutoModelForNextItem
from seqrec.modeling.pretrained import NextItemPreTrainedModel

if TYPE_CHECKING:
    from seqrec.configuration.configuration_bert4rec import Bert4RecConfig
    from seqrec.configuration.configuration_esasrec import ESasRecConfig
    from seqrec.configuration.configuration_sasrec import SasRecConfig
    from seqrec.inference.recommendations import Recommendation
    from seqrec.inference.recommender import Recommender
    from seqrec.interactions.collators import MaskedItemCollator, NextItemCollator
    from seqrec.interactions.tokenization_items import ItemTokenizer
    from seqrec.modeling.modeling_bert4rec import Bert4RecForNextItem, Bert4RecModel
    from seqrec.modeling.modeling_esasrec import ESasRecForNextItem, ESasRecModel
    from seqrec.modeling.modeling_sasrec import SasRecForNextItem, SasRecModel
    from seqrec.training.arguments import SequentialTrainingArguments
    from seqrec.training.trainer import SequentialTrainer

__version__ = version("seqrec")

NextItemPreTrainedModel.write_code = staticmethod(write_remote_code)  # modeling may not import hub

HOMES = {
    "Bert4RecConfig": "seqrec.configuration.configuration_bert4rec",
    "Bert4RecForNextItem": "seqrec.modeling.modeling_bert4rec",
    "Bert4RecModel": "seqrec.modeling.modeling_bert4rec",
    "ESasRecConfig": "seqrec.configuration.configuration_esasrec",
    "ESasRecForNextItem": "seqrec.modeling.modeling_esasrec",
    "ESasRecModel": "seqrec.modeling.modeling_esasrec",
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
}

__all__ = [
    "AutoModelForNextItem",
    "Bert4RecConfig",
    "Bert4RecForNextItem",
    "Bert4RecModel",
    "ESasRecConfig",
    "ESasRecForNextItem",
    "ESasRecModel",
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
]


def __getattr__(name: str) -> object:
    """Load a public name from its home on first use."""
    if name not in HOMES:
        raise AttributeError(f"module 'seqrec' has no attribute {name!r}")
    return getattr(import_module(HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
