"""`python -m flows`: the command `marketflow`."""

import sys

from flows.command.app import main

if __name__ == "__main__":
    sys.exit(main())
