"""Register the architectures with the library's Auto classes, and choose among them by `model_type`."""

from collections import OrderedDict

from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoModelForMaskedLM
from transformers.models.auto.auto_factory import _BaseAutoModelClass, _LazyAutoMapping
from transformers.pipelines import PIPELINE_REGISTRY

from seqrec.configuration.configuration_bert4rec import Bert4RecConfig
from seqrec.configuration.configuration_esasrec import ESasRecConfig
from seqrec.configuration.configuration_next_item import NextItemConfig
from seqrec.configuration.configuration_sasrec import SasRecConfig
from seqrec.modeling.backbone import NextItemBackbone
from seqrec.modeling.modeling_bert4rec import Bert4RecForNextItem, Bert4RecModel
from seqrec.modeling.modeling_esasrec import ESasRecForNextItem, ESasRecModel
from seqrec.modeling.modeling_next_item import NextItemHead
from seqrec.modeling.modeling_sasrec import SasRecForNextItem, SasRecModel
from seqrec.modeling.pipeline_next_item import TASK, NextItemRecommendationPipeline

ARCHITECTURES: tuple[tuple[type[NextItemConfig], type[NextItemBackbone], type[NextItemHead]], ...] = (
    (SasRecConfig, SasRecModel, SasRecForNextItem),
    (ESasRecConfig, ESasRecModel, ESasRecForNextItem),
    (Bert4RecConfig, Bert4RecModel, Bert4RecForNextItem),
)
MODEL_TYPES = {config_class.model_type: config_class for config_class, _, _ in ARCHITECTURES}


class AutoModelForNextItem(_BaseAutoModelClass):
    """Load or build whichever next-item model a configuration's `model_type` names.

    Example:
        >>> from seqrec import AutoModelForNextItem, SasRecConfig
        >>> type(AutoModelForNextItem.from_config(SasRecConfig(vocab_size=103))).__name__
        'SasRecForNextItem'
    """

    _model_mapping = _LazyAutoMapping(OrderedDict(), OrderedDict())


def register_architectures() -> None:
    """Make the library know every architecture, as a causal or a masked language model of items, and their pipeline."""
    for config_class, backbone_class, head_class in ARCHITECTURES:
        AutoConfig.register(config_class.model_type, config_class)
        AutoModel.register(config_class, backbone_class)
        auto_head = AutoModelForCausalLM if config_class.is_causal else AutoModelForMaskedLM
        auto_head.register(config_class, head_class)
        AutoModelForNextItem.register(config_class, head_class)
    PIPELINE_REGISTRY.register_pipeline(TASK, NextItemRecommendationPipeline, pt_model=AutoModelForNextItem)


register_architectures()
