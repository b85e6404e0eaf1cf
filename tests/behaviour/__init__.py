"""The facts about transport, written once and asked of every way to a host; and by name those about the loader."""

import pytest

__all__ = ["FACT_MODULES"]

FACT_MODULES = ("streams", "endings", "sizes", "links", "at_once")
"""The modules that hold facts about transport; test modules of other folders take them as their own."""

pytest.register_assert_rewrite(*(f"tests.behaviour.{name}" for name in FACT_MODULES))
