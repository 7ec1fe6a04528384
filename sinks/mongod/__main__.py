"""Runs the bundled MongoDB server, with the log of the settings: `python -m sinks.mongod`."""

import sys

from flows.process.exit_codes import refuse_to_run
from flows.process.gc import keep_loaded
from flows.process.logs import set_up_logs
from flows.settings import SettingsError, load_settings
from sinks.mongod.server import main, parse_arguments

options = parse_arguments()
try:
    set_up_logs(load_settings().log)
except SettingsError as error:
    refuse_to_run(error)
keep_loaded()
sys.exit(main(options))
