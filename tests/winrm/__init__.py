"""A loopback WinRM server that speaks MS-WSMV for real, and what is tested against it."""
