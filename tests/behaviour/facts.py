"""All facts about transport, by name."""

from importlib import import_module

from tests.behaviour import FACT_MODULES
from tests.behaviour.asking import facts_of

__all__ = ["FACTS"]

FACTS = facts_of(*(import_module(f"tests.behaviour.{name}") for name in FACT_MODULES))
