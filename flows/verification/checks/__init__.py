"""The checks of a verification. Pure: they know the model and the operators."""
