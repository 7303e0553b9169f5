"""The one family of errors that Veriscope raises."""

from __future__ import annotations


class VeriscopeError(Exception):
    """Something the user can mend: the message names what, where and how."""


class PictureError(VeriscopeError):
    """A file that cannot be opened as a picture.

    Attributes:
        name: the file, as the user named it.
        reason: why it cannot be opened, in one sentence without the name.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason


class ModelError(VeriscopeError):
    """A model that is missing, damaged or of another version."""


class PluginError(VeriscopeError):
    """A detector of another package that cannot be loaded."""
