"""The commands' arguments and help; each command imports what it needs only when it runs."""
