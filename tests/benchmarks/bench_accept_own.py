"""Own transactions: tried out, signed, stored with a sync, marked and folded, by many callers."""

import sys
from time import perf_counter

import trio

from node.author import Author
from node.high_water import HighWater
from protocol.tables import TASKS
from tests.benchmarks.common import report
from tests.benchmarks.setting import (
    a_folder,
    a_rich_genesis,
    a_state,
    measure_put_rate,
    measure_sign_rate,
)
from tests.support.peers import a_signer, some_terms

TRANSACTIONS = 12_800
CALLERS = 64


async def run(count: int) -> None:
    genesis = a_rich_genesis()
    with a_folder() as folder, a_state(folder / "db", genesis) as state:
        mark = HighWater(folder / "mark")
        author = Author(state, a_signer("bob"), mark, lambda transactions: None)

        async def call(caller: int) -> None:
            for place in range(count // CALLERS):
                await author.submit("publish_task", some_terms(title=f"Task {caller} {place}"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(author.run)
            start = perf_counter()
            async with trio.open_nursery() as callers:
                for caller in range(CALLERS):
                    callers.start_soon(call, caller)
            folded = len(state.open.rows(TASKS))
            accepted = folded / (perf_counter() - start)
            start = perf_counter()
            state.seal(a_signer("alice"), 0)
            sealed = folded / (perf_counter() - start)
            nursery.cancel_scope.cancel()
        mark.close()
        sign_rate, put_rate = measure_sign_rate(), measure_put_rate(folder / "limit", genesis)
    report(
        "accept_own",
        accepted,
        "per_second",
        1 / (1 / sign_rate + 1 / put_rate),
        "one Ed25519 signature and three synced puts in batches of 256",
        transactions=folded,
        callers=CALLERS,
        sealed_per_second=sealed,
    )


if __name__ == "__main__":
    trio.run(run, int(sys.argv[1]) if len(sys.argv) > 1 else TRANSACTIONS)
