"""Questions to a store drawn at random: every list, in pages that go on later."""

import random
from collections.abc import Callable, Sequence
from typing import Any

from protocol.phases import TaskStatus
from protocol.records import ROLE_SOLVER, ROLE_VALIDATOR
from protocol.tables import ALL
from storage.queries import Page
from storage.store import Store
from tests.support.builders import CAST, SLUG, a_hash, an_address

Question = Callable[[Store], Any]
Ask = Callable[[Store, int, bytes | None], Page[Any]]

ROLES = (ROLE_SOLVER, ROLE_VALIDATOR)


class Questions:
    """Draws questions; remembers where each list was left, and goes on from there."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._left: list[tuple[Ask, bytes]] = []
        self._asked: Ask | None = None

    def draw(self, known: Sequence[bytes], epoch: int) -> Question:
        """Return a question about one of the keys that are known, or about none."""
        chance = self._chance
        key = chance.choice(known) if known and chance.random() < 0.9 else a_hash("nothing")
        number = chance.randrange(epoch + 2)
        self._asked = None
        if chance.random() < 0.5:
            return chance.choice(self._single(key, number))
        limit = chance.choice((1, 2, 5, 100))
        if self._left and chance.random() < 0.5:
            ask, cursor = self._left.pop(chance.randrange(len(self._left)))
            self._asked = ask
            return lambda store: ask(store, limit, cursor)
        ask = self._asked = chance.choice(self._lists(key, number))
        return lambda store: ask(store, limit, None)

    def learn(self, answer: Any) -> None:
        """Note where a page ended."""
        if self._asked is not None and answer.cursor is not None:
            self._left.append((self._asked, answer.cursor))

    def _single(self, key: bytes, number: int) -> list[Question]:
        chance = self._chance
        who = an_address(chance.choice(CAST))
        table = chance.choice(ALL)
        first, last = sorted((chance.random(), chance.random()))
        start, size = chance.randrange(0, 100_000), chance.randrange(100_000)

        def fingerprint(store: Store) -> Any:
            view = store.range_view()
            begin, end = int(first * view.size()), int(last * view.size())
            return view.size(), view.fingerprint(begin, end), list(view.iterate(begin, end))

        return [
            lambda store: store.view.get(table, key),
            lambda store: store.view.due_tasks(number + 5),
            lambda store: store.view.validators(),
            lambda store: list(store.queries.active_tasks()),
            lambda store: store.queries.account(who),
            lambda store: store.queries.miner(who),
            lambda store: store.queries.ledger(),
            lambda store: store.queries.dispute(key),
            lambda store: (store.journal.has(key), store.journal.wire(key), store.journal.get(key)),
            lambda store: store.journal.at(who, number),
            lambda store: store.journal.author_head(who),
            lambda store: store.journal.is_open(key),
            lambda store: list(store.journal.open_items()),
            lambda store: [tx.tx_id for tx in store.journal.open_transactions()],
            lambda store: (store.journal.evidence(key), store.journal.sealed_epoch(key)),
            lambda store: list(store.journal.all_evidence()),
            lambda store: (store.journal.seal(number), store.journal.sealed_ids(number)),
            lambda store: store.journal.read_sealed_ids(number, start % 5, 1 + size % 5),
            lambda store: store.journal.blob(key),
            lambda store: store.journal.blobs.read(key, start, size),
            lambda store: (store.totals, store.head.state_root, store.needs_repair),
            lambda store: store.meta_get(f"name {number % 3}"),
            lambda store: store.local.analysis(a_hash(f"answer {number % 3}")),
            lambda store: (store.local.behavior(who), store.local.analytics(who)),
            lambda store: (store.local.metrics(number), store.local.metrics_latest()),
            lambda store: list(store.local.tasks_moved_after(number)),
            lambda store: store.local.latest_answers(who, 3),
            lambda store: store.local.latest_votes(who, number, 3),
            fingerprint,
        ]

    def _lists(self, key: bytes, number: int) -> list[Ask]:
        chance = self._chance
        who = an_address(chance.choice(CAST))
        status, role = chance.choice(list(TaskStatus)), chance.choice(ROLES)
        return [
            lambda store, n, c: store.queries.tasks(n, c),
            lambda store, n, c: store.queries.tasks_active(n, c),
            lambda store, n, c: store.queries.tasks_by_status(status, n, c),
            lambda store, n, c: store.queries.tasks_by_publisher(who, n, c),
            lambda store, n, c: store.queries.tasks_by_type(SLUG, n, c),
            lambda store, n, c: store.queries.miners(n, c),
            lambda store, n, c: store.queries.miners_by_role(role, n, c),
            lambda store, n, c: store.queries.miners_by_specialization(SLUG, n, c),
            lambda store, n, c: store.queries.top_miners(n, c),
            lambda store, n, c: store.queries.accounts(n, c),
            lambda store, n, c: store.queries.submissions_of_task(key, n, c),
            lambda store, n, c: store.queries.submissions_of_miner(who, n, c),
            lambda store, n, c: store.queries.validations_of_submission(key, n, c),
            lambda store, n, c: store.queries.validations_of_validator(who, n, c),
            lambda store, n, c: store.queries.distributions_of_task(key, n, c),
            lambda store, n, c: store.queries.unclaimed_rewards(who, n, c),
            lambda store, n, c: store.queries.disputes(n, c),
            lambda store, n, c: store.queries.disputes_pending(n, c),
            lambda store, n, c: store.queries.disputes_of_task(key, n, c),
            lambda store, n, c: store.queries.rulings(n, c),
            lambda store, n, c: store.queries.rulings_of_epoch(number, n, c),
            lambda store, n, c: store.queries.rulings_of_subject(key, n, c),
            lambda store, n, c: store.local.flagged(n, c),
            lambda store, n, c: store.local.analyses(n, c),
            lambda store, n, c: store.local.behaviors(n, c),
            lambda store, n, c: store.local.all_analytics(n, c),
            lambda store, n, c: store.local.all_metrics(n, c),
        ]
