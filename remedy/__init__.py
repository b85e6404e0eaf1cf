"""
Proactive remediation: rules in git, health signals of machines, careful fixes.

The package is read from the bottom up: errors, text, limits, model and port
are the words; conditions, readings, verdicts, gate, rollout, plan and summary
decide without touching the world; load, state and run touch it; render and
cli talk to people. docs/architecture.md follows one `remedy apply` through.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
