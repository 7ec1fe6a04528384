"""`marketflow doctor`: what is wrong with the machine, the installation, the settings or the stores, and what to do."""
