"""The shell around the pure parts: collecting readings and applying plans, with everything handed in."""
