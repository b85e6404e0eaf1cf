"""Runners: they carry out what remedy decided, over one transport each, behind `remedy.port`."""

__all__: list[str] = []
