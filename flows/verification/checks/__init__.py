"""The checks of a verification. Pure: they only import the model and the operators."""
