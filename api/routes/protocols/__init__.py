"""Routes by protocols of others, and the broadcast's at the address of the interface."""
