"""A page on this machine to try networks on."""
