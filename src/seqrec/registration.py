"""Register seqrec's models with transformers as soon as its Auto classes are imported, without importing them.

The hooks below often run while transformers is only half imported, when models cannot be imported yet. So they import
configurations, which need little of it, and register each model by a proxy that imports it on first use.
"""

from functools import partial
from importlib import import_module
from types import ModuleType
from typing import Any

from wrapt import LazyObjectProxy, register_post_import_hook

__all__ = ["MODELS", "register_with_transformers"]

# For each `model_type`: what the names of its classes begin with, and the mapping of transformers that its head is in.
MODELS = {
    "bert4rec": ("Bert4Rec", "MODEL_FOR_MASKED_LM_MAPPING"),
    "esasrec": ("ESasRec", "MODEL_FOR_CAUSAL_LM_MAPPING"),
    "hstu": ("Hstu", "MODEL_FOR_CAUSAL_LM_MAPPING"),
    "sasrec": ("SasRec", "MODEL_FOR_CAUSAL_LM_MAPPING"),
}


def register_with_transformers() -> None:
    """Register now with the modules that are already imported, and later with the others."""
    hooks = {
        "transformers.models.auto.configuration_auto": register_configurations,
        "transformers.models.auto.modeling_auto": register_models,
        "transformers.pipelines": import_pipeline,
        "seqrec.modeling.pipeline_next_item": register_pipeline,
        "seqrec.modeling.pretrained": write_code_with_models,
    }
    for name, hook in hooks.items():
        register_post_import_hook(hook, name)


def register_configurations(configuration_auto: ModuleType) -> None:
    """Let `AutoConfig` know the configurations."""
    for model_type in MODELS:
        configuration_auto.AutoConfig.register(model_type, config_class_of(model_type))


def register_models(modeling_auto: ModuleType) -> None:
    """Let the Auto classes know the models, which `register_architecture` replaces once they are imported."""
    for model_type, (prefix, head_mapping) in MODELS.items():
        config_class = config_class_of(model_type)
        modeling_auto.MODEL_MAPPING.register(config_class, lazy_model(f"{prefix}Model"))
        getattr(modeling_auto, head_mapping).register(config_class, lazy_model(f"{prefix}ForNextItem"))


def config_class_of(model_type: str) -> Any:
    """Import the configuration of an architecture."""
    prefix, _ = MODELS[model_type]
    return getattr(import_module(f"seqrec.configuration.configuration_{model_type}"), f"{prefix}Config")


def lazy_model(class_name: str) -> LazyObjectProxy:
    """Return a stand-in for a class of a model."""
    return LazyObjectProxy(partial(import_model, class_name))


def import_model(class_name: str) -> Any:
    """Import all models, which registers their classes, and return one of them."""
    return getattr(import_module("seqrec.modeling.modeling_auto"), class_name)


def import_pipeline(_: ModuleType) -> None:
    """Import the pipeline, which registers it; while that is what imports `transformers.pipelines`, do nothing."""
    import_module("seqrec.modeling.pipeline_next_item")


def register_pipeline(pipeline_next_item: ModuleType) -> None:
    """Let `transformers.pipeline` know the pipeline."""
    import_module("transformers.pipelines").PIPELINE_REGISTRY.register_pipeline(
        pipeline_next_item.TASK,
        pipeline_next_item.NextItemRecommendationPipeline,
        pt_model=(lazy_model("AutoModelForNextItem"),),  # models, which may be what imports the pipeline, come later
    )


def write_code_with_models(pretrained: ModuleType) -> None:
    """Make models save their code; the room of models may not import that of the Hub itself."""
    pretrained.NextItemPreTrainedModel.write_code = staticmethod(write_code)


def write_code(model: Any, folder: str) -> Any:
    """Write a model's code into a folder; see `write_remote_code`."""
    return import_module("seqrec.hub.remote_code").write_remote_code(model, folder)
