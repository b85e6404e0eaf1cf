"""A deterministic simulator: the production code over a simulated fleet, disk, store, clock and operators."""
