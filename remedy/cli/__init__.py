"""The command line: arguments in, values rendered, errors said; the composition root of remedy."""
