"""Tests for architectures that other packages add: subclass `ModelContract`. They need `seqrec[test]`."""

import pytest

pytest.register_assert_rewrite(
    *(f"seqrec.testing.{name}_contract" for name in ("attention", "feature", "model", "product", "task", "time"))
)

from seqrec.testing.model_contract import ModelContract  # noqa: E402, after its assertions are to be rewritten

__all__ = ["ModelContract"]
