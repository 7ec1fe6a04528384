"""Runs the bundled MongoDB server: `python -m sinks.mongod`."""

import sys

from sinks.mongod.server import main

sys.exit(main())
