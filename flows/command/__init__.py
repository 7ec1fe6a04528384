"""The command `marketflow`: one word for all that can be started, asked or checked. Nothing imports it.

Its modules import only typer at their top, and everything else inside the functions, so that help comes at once.
"""
