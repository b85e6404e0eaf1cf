"""Settings of the property tests of the pure core."""

from hypothesis import settings

# A busy machine makes an example slow, not wrong; pytest's own timeout ends what hangs.
settings.register_profile("core", deadline=None)
settings.load_profile("core")
