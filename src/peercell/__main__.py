"""`python -m peercell` is the same as the `peercell` command."""

from peercell.broker.cli import main

if __name__ == "__main__":
    main()
