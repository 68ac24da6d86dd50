"""What the shared secret of an epoch costs one sealer among 4, 7 and 31: to deal, check and open.

An epoch is one deal made and f + 1 checked, one opening made and f + 1 checked, and the secret
computed. The limit is the multiplications of points alone, which nobody does without.
"""

from collections.abc import Callable, Sequence
from time import perf_counter_ns

from protocol.group import multiply, multiply_base
from protocol.keys import Signer
from protocol.sharing import (
    Deal,
    H,
    Opening,
    build_deal,
    build_opening,
    check_deal,
    check_opening,
    count_deals,
    recover_secret,
)
from tests.benchmarks.common import report
from tests.support.builders import a_signer

COUNTS = (4, 7, 31)
NETWORK = b"network!"
EPOCH = 9
FACTOR = (1 << 252) - 1
REPEATS = 500


def measure_ms(work: Callable[[], object], repeats: int) -> float:
    """Return the milliseconds of one go."""
    began_ns = perf_counter_ns()
    for _ in range(repeats):
        work()
    return (perf_counter_ns() - began_ns) / 1e6 / repeats


class Circle:
    """Sealers with everything that they say in one epoch."""

    def __init__(self, count: int) -> None:
        self.signers = sorted((a_signer(f"sealer {n}") for n in range(count)), key=_address_of)
        self.sealers = [one.address for one in self.signers]
        self.repeats = max(2, 200 // count)
        self.deals: Sequence[Deal] = [self.deal(one) for one in self.signers[: count_deals(count)]]
        found = [self.open(one) for one in self.signers]
        self.openings: Sequence[Opening] = [one for one in found if one is not None]

    def deal(self, signer: Signer) -> Deal:
        return build_deal(NETWORK, EPOCH, self.sealers, signer)

    def open(self, signer: Signer) -> Opening | None:
        return build_opening(NETWORK, EPOCH, self.deals, self.sealers, signer)

    def check(self) -> None:
        check_deal(NETWORK, self.deals[0], EPOCH, self.sealers)

    def check_opened(self) -> None:
        opening = self.openings[0]
        check_opening(NETWORK, opening, EPOCH, self.deals, self.sealers)

    def recover(self) -> None:
        recover_secret(NETWORK, EPOCH, self.deals, self.openings, self.sealers)


def _address_of(signer: Signer) -> bytes:
    return signer.address


def main() -> None:
    for count in COUNTS:
        circle, some = Circle(count), count_deals(count)
        first, repeats = circle.signers[0], circle.repeats
        deal_ms = measure_ms(lambda circle=circle, first=first: circle.deal(first), repeats)  # type: ignore[misc]
        check_ms = measure_ms(circle.check, repeats)
        open_ms = measure_ms(lambda circle=circle, first=first: circle.open(first), repeats)  # type: ignore[misc]
        check_opened_ms = measure_ms(circle.check_opened, repeats)
        recover_ms = measure_ms(circle.recover, repeats)
        times_ms = measure_ms(lambda: multiply(FACTOR, H), REPEATS)
        base_ms = measure_ms(lambda: multiply_base(FACTOR), REPEATS)
        # For each share of a deal 4 to make and 5 to check, of an opening 2 and 2.
        products = 4 * count + 2 * some + some * (5 * count + 2 * some + 1) + some * some
        report(
            f"beacon_{count}_sealers",
            deal_ms + some * (check_ms + check_opened_ms) + open_ms + recover_ms,
            "ms",
            products * times_ms + (1 + some) * base_ms,
            f"{products} multiplications of a point, {1 + some} of the base point",
            deal_ms=deal_ms,
            check_deal_ms=check_ms,
            open_ms=open_ms,
            check_opening_ms=check_opened_ms,
            recover_ms=recover_ms,
        )


if __name__ == "__main__":
    main()
