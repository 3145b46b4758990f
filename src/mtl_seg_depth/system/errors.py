"""The exceptions for what the person at the keyboard can mend."""


class UserError(Exception):
    """A mistake in a command, a config or a file; its message says what is wrong, where, and what would be right.

    Entry points print the message alone, without a stack trace, and exit with code 2.
    """


class OutOfMemoryError(UserError):
    """The device or the machine has too little memory for what the config asks."""
