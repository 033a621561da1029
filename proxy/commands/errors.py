"""What ends a command early: one sentence for the person, one code for the program.

CommandError
├── NotFound     1  what was asked for is not there
├── Refused      1  what was given is not taken
├── WrongUse     2  the command was written wrong
└── CannotStart  3  what the command works on cannot be had
"""


class CommandError(Exception):
    """The root; the text says what, where and what to do, a line for each thing."""

    exit_code = 1


class NotFound(CommandError):
    """What was asked for is not in the file."""


class Refused(CommandError):
    """What was given is not taken: it is broken, or out of its bounds."""


class WrongUse(CommandError):
    """A flag, a variable or the settings file says something that cannot be."""

    exit_code = 2


class CannotStart(CommandError):
    """What the command works on cannot be had."""

    exit_code = 3
