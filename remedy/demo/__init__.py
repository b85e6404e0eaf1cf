"""A fleet of real OpenSSH daemons on loopback, and the story that remedy tells on it."""
