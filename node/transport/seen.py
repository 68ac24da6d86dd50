"""Which messages were heard already: ids with an age limit and a bound."""

import hashlib

import trio


def compute_gossip_id(data: bytes) -> bytes:
    """Return the id of a message: the hash of its content, so one content has one id."""
    return hashlib.sha256(data).digest()


class SeenIds:
    """Ids of the last `ttl_s` seconds, at most `ids_max` of them; the oldest go first."""

    def __init__(self, *, ttl_s: float, ids_max: int) -> None:
        self.ttl_s = ttl_s
        self._ids_max = ids_max
        # Insertion order is order of expiry: an id is never refreshed.
        self._expiry_s: dict[bytes, float] = {}

    def __len__(self) -> int:
        return len(self._expiry_s)

    def has(self, message_id: bytes) -> bool:
        """Whether `message_id` was added within the age limit."""
        expiry_s = self._expiry_s.get(message_id)
        return expiry_s is not None and expiry_s > trio.current_time()

    def add(self, message_id: bytes) -> bool:
        """Remember `message_id`; return whether it was new."""
        now_s = trio.current_time()
        while self._expiry_s:
            oldest, expiry_s = next(iter(self._expiry_s.items()))
            if expiry_s > now_s and len(self._expiry_s) < self._ids_max:
                break
            del self._expiry_s[oldest]
        if message_id in self._expiry_s:
            return False
        self._expiry_s[message_id] = now_s + self.ttl_s
        return True
