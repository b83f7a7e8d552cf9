"""Every exception that hfplugin raises on purpose, one tree by remedy.

HFPluginError                 its text is a sentence for an administrator; a verb answers it as `message`
├── InputError                the call is wrong: correct what was sent
├── ConfigurationError        a file or the environment is wrong: correct what the message names
├── RefusedError              the call is right but cannot be granted now: the message says why
├── StateError                the state directory failed: make room, mend the permission, restore it
│   ├── BusyError             another call holds the record: try again later
│   ├── ConflictError         another call wrote the record first: load it again
│   └── DamagedError          a record cannot be read: it has been set aside
└── ProviderError             the cloud said no; its `kind` decides what happens next
"""

from enum import StrEnum


class HFPluginError(Exception):
    """Base of the tree; `str(error)` is one line that says what, which and what to do."""


class InputError(HFPluginError):
    """The caller's input cannot be understood."""


class ConfigurationError(HFPluginError):
    """A configuration file, template file or environment variable is wrong."""


class RefusedError(HFPluginError):
    """A well-formed call that cannot be granted."""


class StateError(HFPluginError):
    """The state directory cannot be read or written."""


class BusyError(StateError):
    """A record stayed locked by another call for longer than this one may wait."""


class ConflictError(StateError):
    """A record changed on disk between its load and its save: a lock was lost."""


class DamagedError(StateError):
    """A record could not be decoded; the file was set aside under another name."""


class ErrorKind(StrEnum):
    """What a provider's failure means for the next step, whatever the cloud calls it."""

    THROTTLED = "throttled"  # wait, then the same place
    TRANSIENT = "transient"  # the outcome is not known: settle, then the same token again
    CAPACITY = "capacity"  # not here for now; elsewhere
    QUOTA = "quota"  # the account's limit: another purchase type or region
    NOT_FOUND = "not_found"  # create: not yet; release: done
    AUTH = "auth"  # stop; an administrator grants it
    INVALID = "invalid"  # stop; an administrator corrects it
    UNKNOWN = "unknown"  # as INVALID, and logged whole

    @property
    def is_permanent(self) -> bool:
        """True when asking again, anywhere, cannot help until somebody changes something."""
        return self in (ErrorKind.AUTH, ErrorKind.INVALID, ErrorKind.UNKNOWN)


class ProviderError(HFPluginError):
    """The cloud refused or failed; `code` is the cloud's own word for it."""

    def __init__(self, kind: ErrorKind, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}" if code else message)
        self.kind = kind
        self.code = code
        self.message = message
