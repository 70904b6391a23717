"""Every architecture of the package passes the contract tests for models."""

import pytest

from seqrec.modeling.modeling_auto import ARCHITECTURES
from seqrec.testing.model_contract import ModelContract

CONFIG_CLASSES = [config_class for config_class, *_ in ARCHITECTURES]


class TestOurModels(ModelContract):
    @pytest.fixture(params=CONFIG_CLASSES, ids=lambda config_class: config_class.model_type)
    def config_class(self, request):
        return request.param
