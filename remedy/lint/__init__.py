"""Lint: what goes wrong with scripts of rules and signals, seen before a host does."""
