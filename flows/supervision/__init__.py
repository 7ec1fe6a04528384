"""Starts the processes of a deployment, restarts what ends, and ends all of them."""
