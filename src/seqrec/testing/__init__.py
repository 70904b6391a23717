"""Tests for architectures that other packages add: subclass `ModelContract`. They need `seqrec[test]`."""

import pytest

pytest.register_assert_rewrite("seqrec.testing.model_contract")
