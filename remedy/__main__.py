"""`python -m remedy`."""

from remedy.cli.main import main

if __name__ == "__main__":
    main()
