"""The errors of storage. All of them blame this machine; each says what a person can do."""

from protocol.errors import BlamedError


class StorageError(BlamedError):
    """This machine's disk, files or database are at fault."""


class Corrupt(StorageError):
    """Bytes at rest are not what was written; repair and refill from peers."""


class Full(StorageError):
    """The disk or a quota has no room; make room, then reopen."""


class InUse(StorageError):
    """Another process, or another handle in this one, holds the database."""


class FormatTooNew(StorageError):
    """The database was written by a later release; a downgrade is refused."""


class WrongNetwork(StorageError):
    """The database belongs to another network, or is no database of ours at all."""


class Closed(StorageError):
    """A call on a handle after its close."""
