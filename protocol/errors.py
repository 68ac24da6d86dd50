"""The errors of the protocol, sorted by who is to blame.

A `Rejected` blames the author of a transaction, a `PeerFault` the peer that sent the bytes, an
`InvariantBroken` ourselves. Each carries a stable `code`, which is the contract, and one line that
says what was found and what was wanted, which is for people.
"""


class BlamedError(Exception):
    """An error with a stable code and one line for people.

    Attributes:
        code: lower_case_with_underscores, stable over releases.
        found: what was seen.
        wanted: what would have been accepted.
    """

    def __init__(self, code: str, found: object = "", wanted: object = "") -> None:
        self.code = code
        self.found = str(found)
        self.wanted = str(wanted)
        super().__init__(code, self.found, self.wanted)

    def __str__(self) -> str:
        parts = [self.code]
        if self.found:
            parts.append(f"found {self.found}")
        if self.wanted:
            parts.append(f"wanted {self.wanted}")
        return parts[0] + (": " + ", ".join(parts[1:]) if len(parts) > 1 else "")


class Rejected(BlamedError):
    """The author of a transaction broke a rule of the codec or of the life cycle."""


class PeerFault(BlamedError):
    """A peer sent bytes that no honest peer sends."""


class InvariantBroken(AssertionError):
    """We are wrong: a state that must not exist. Nobody catches it; the node stops, data kept."""
