"""The two errors that a caller can act on; anything else that is raised is a defect."""


class InputError(ValueError):
    """The request cannot be carried out as it stands: a bad file, size, name or combination.

    Raised before heavy work starts. The message is one line that says what was expected, what was
    received and what to do. At a shell it ends the program with exit code 2.
    """


class TransferError(RuntimeError):
    """The request was sound, but the run failed: a full disk, say, or numbers out of range.

    At a shell it ends the program with exit code 1.
    """
