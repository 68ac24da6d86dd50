"""What can be wrong with a devnet, blamed on whoever typed the command."""

from protocol.errors import BlamedError


class DevnetError(BlamedError):
    """A devnet cannot do what was asked; the line says what it found and what it wanted."""
