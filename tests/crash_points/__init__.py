"""Crash points: a real `remedy apply` over real SSH daemons, killed at every step of a run, then resumed."""
