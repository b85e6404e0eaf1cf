"""Values become text and JSON for people and programs; pure, and nothing of a host's reaches them raw."""
