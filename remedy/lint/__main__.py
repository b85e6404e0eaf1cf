"""The child of `remedy lint`, which looks at scripts; not meant to be called by people."""

import sys

from remedy.lint.isolated import serve

if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)
