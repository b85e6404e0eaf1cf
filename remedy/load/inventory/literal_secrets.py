"""Secrets that stand in an inventory in clear text, whether anything would use them or not."""

from collections.abc import Iterator

from remedy.errors import Problem
from remedy.load.inventory.graph import LITERAL_VARIABLES, Graph, Group, Variable
from remedy.load.inventory.references import is_reference, is_template
from remedy.load.nodes import ScalarNode

__all__ = ["literal_secrets"]

_MESSAGE = "a secret stands in the inventory in clear text"
_CURE = "keep it out of the file, and change it"


def literal_secrets(graph: Graph) -> tuple[Problem, ...]:
    """Return a problem for each, at its place, in no order; none of them shows it."""
    return tuple(
        variable.problem(_MESSAGE, _CURE)
        for owner in (*graph.groups.values(), *graph.hosts.values())
        for variable in _secret_variables(owner)
        if _is_literal(variable)
    )


def _secret_variables(owner: Group) -> Iterator[Variable]:
    for variables in (owner.inline, owner.filed):
        for name in LITERAL_VARIABLES & variables.keys():
            yield variables[name]


def _is_literal(variable: Variable) -> bool:
    node = variable.node
    if not isinstance(node, ScalarNode) or node.value in {None, ""}:
        return False
    return not isinstance(node.value, str) or not (is_reference(node.value) or is_template(node.value))
