"""Complete the description of the API: the bodies of requests, with examples that the present model answers."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from pydantic.json_schema import models_json_schema

from seqrec.inference.service.loaded_model import LoadedModel
from seqrec.inference.service.operations import Operation

__all__ = ["describe_requests"]

REFERENCE = "#/components/schemas/{model}"


def describe_requests(document: dict[str, Any], operations: Sequence[Operation], model: LoadedModel) -> dict[str, Any]:
    """Return a copy of an OpenAPI document with the bodies of requests, which are read without FastAPI."""
    document = deepcopy(document)
    models = [(operation.request, "validation") for operation in operations]
    references, schemas = models_json_schema(models, ref_template=REFERENCE)
    document["components"]["schemas"].update(schemas["$defs"])
    for operation in operations:
        document["paths"][operation.path]["post"]["requestBody"] = {
            "required": True,
            "content": {
                "application/json": {
                    "schema": references[operation.request, "validation"],
                    "example": operation.example(model),
                }
            },
        }
    return document
