"""The exceptions of mql4grec. Their messages are one line: the value or the file, its place, and what was expected."""


class Error(Exception):
    """The base of all exceptions of mql4grec."""


class InvalidArgument(Error, ValueError):
    """An argument is out of range, or the arguments don't fit together."""


class FileError(Error, OSError):
    """A file can't be read or written, or its content is invalid."""


class TrainingError(Error):
    """Training can't continue: the loss isn't finite. The last good state is intact."""
