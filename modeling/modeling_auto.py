"""Register the architectures with the Auto classes of transformers, and choose among them by `model_type`."""

from collections import OrderedDict
from os import PathLike
from typing import Any

from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoModelForMaskedLM
from transformers.models.auto.auto_factory import _BaseAutoModelClass, _LazyAutoMapping

from seqrec.configuration.configuration_bert4rec import Bert4RecConfig
from seqrec.configuration.configuration_esasrec import ESasRecConfig
from seqrec.configuration.configuration_hstu import HstuConfig
from seqrec.configuration.configuration_next_item import NextItemConfig
from seqrec.configuration.configuration_sasrec import SasRecConfig
from seqrec.errors import InputError
from seqrec.interactions.locations import require_model_name
from seqrec.modeling.backbone import NextItemBackbone
from seqrec.modeling.modeling_bert4rec import Bert4RecForNextItem, Bert4RecModel
from seqrec.modeling.modeling_esasrec import ESasRecForNextItem, ESasRecModel
from seqrec.modeling.modeling_hstu import HstuForNextItem, HstuModel
from seqrec.modeling.modeling_next_item import NextItemHead
from seqrec.modeling.modeling_sasrec import SasRecForNextItem, SasRecModel

__all__ = ["ARCHITECTURES", "HEADS", "MODEL_TYPES", "AutoModelForNextItem", "register_architecture"]

ARCHITECTURES: list[tuple[type[NextItemConfig], type[NextItemBackbone], type[NextItemHead]]] = []
MODEL_TYPES: dict[str, type[NextItemConfig]] = {}
HEADS: dict[str, type[NextItemHead]] = {}
AUTO_HEADS = {"AutoModelForCausalLM": AutoModelForCausalLM, "AutoModelForMaskedLM": AutoModelForMaskedLM}


class AutoModelForNextItem(_BaseAutoModelClass):
    """Load or build the next-item model that a configuration's `model_type` names.

    Example:
        >>> from seqrec import AutoModelForNextItem, SasRecConfig
        >>> type(AutoModelForNextItem.from_config(SasRecConfig(vocab_size=103))).__name__
        'SasRecForNextItem'
    """

    _model_mapping = _LazyAutoMapping(OrderedDict(), OrderedDict())

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | PathLike[str], *args: Any, **kwargs: Any) -> Any:
        """Load a model; for arguments and errors, see `NextItemPreTrainedModel.from_pretrained`.

        Raises:
            InputError: Also if the name is a mistyped path.
        """
        require_model_name(pretrained_model_name_or_path)
        return super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)


def register_architecture(
    config_class: type[NextItemConfig], model_class: type[NextItemBackbone], head_class: type[NextItemHead]
) -> None:
    """Register an architecture with transformers by its configuration's `model_type`.

    The Auto classes then load it, as a causal or masked language model of items. Its models are saved with their code,
    even if the classes are defined outside `seqrec`. The modules of these classes must be importable and have names
    that `seqrec` does not use. They may import from `seqrec` and from their own package only at the top level, as
    `from package.module import name`.

    Args:
        config_class: Its configuration, with a unique `model_type`.
        model_class: Its backbone.
        head_class: Its head, whose `backbone_class` is `model_class`.

    Raises:
        InputError: If another architecture has the `model_type`.
    """
    known = MODEL_TYPES.get(config_class.model_type)
    if known is not None:
        raise InputError(
            f"The model_type {config_class.model_type!r} is already registered, for {known.__qualname__}. Give "
            f"{config_class.__qualname__} another model_type."
        )
    AutoConfig.register(config_class.model_type, config_class)
    AutoModel.register(config_class, model_class)
    AUTO_HEADS[model_class.objective.auto_class].register(config_class, head_class)
    AutoModelForNextItem.register(config_class, head_class)
    MODEL_TYPES[config_class.model_type] = config_class
    HEADS[config_class.model_type] = head_class
    ARCHITECTURES.append((config_class, model_class, head_class))


register_architecture(SasRecConfig, SasRecModel, SasRecForNextItem)
register_architecture(ESasRecConfig, ESasRecModel, ESasRecForNextItem)
register_architecture(Bert4RecConfig, Bert4RecModel, Bert4RecForNextItem)
register_architecture(HstuConfig, HstuModel, HstuForNextItem)
