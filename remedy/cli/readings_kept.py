"""Leaves readings in the state directory, the newest per host and signal, for `why --stored`."""

from remedy.cli.composition import Loaded
from remedy.cli.console import Talk
from remedy.errors import StateError
from remedy.run.collect import Collection

__all__ = ["keep_readings"]


def keep_readings(loaded: Loaded, collection: Collection, talk: Talk) -> None:
    """Store the readings; a state directory that cannot be written is said, and is no failure of a scan."""
    from remedy.state.readings_store import store_readings

    digests = {name: signal.digest for name, signal in loaded.repository.signals.items()}
    try:
        loaded.state.prepare()
        store_readings(
            loaded.state.readings, collection.readings, collected_at=collection.collected_at, digests=digests
        )
    except StateError as exc:
        talk.say(f"readings are not kept: {exc}")
