"""What remedy remembers: the state directory with its stop file, locks, ledger and audit log."""
