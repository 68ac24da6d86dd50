"""The law of sync: whoever saw the same holds the same, in whatever order, with whatever loss."""

from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.state_manager import StateManager
from protocol.seals import Seal
from protocol.tables import ACCOUNTS, RULINGS, TASKS
from protocol.transactions import SignedTransaction, sign_transaction
from tests.support.chains import a_state, apply_from, cancel, exchange, publish, seal
from tests.support.peers import a_genesis, a_signer, some_terms

AUTHORS = ("bob", "carol")
PEERS = 3
ROUNDS_MAX = 6

peer = st.integers(0, PEERS - 1)
author = st.sampled_from(AUTHORS)
place = st.integers(0, 1_000)
places = st.lists(st.integers(0, 12), min_size=1, max_size=8)
OPERATIONS = st.one_of(
    st.tuples(st.just("sign"), peer, author, place),
    st.tuples(st.just("sign"), peer, author, place),
    st.tuples(st.just("fork"), peer, place),
    st.tuples(st.just("deliver"), peer, places),
    st.tuples(st.just("deliver"), peer, places),
    st.tuples(st.just("deliver"), st.just(0), places),
    st.tuples(st.just("tell evidence"), peer, peer, place),
    st.tuples(st.just("seal")),
    st.tuples(st.just("seal")),
    st.tuples(st.just("follow"), peer),
    st.tuples(st.just("restart"), peer),
)


class Net:
    """Three peers without a network: what travels, and when, is up to the test."""

    def __init__(self) -> None:
        genesis = a_genesis()
        self.genesis = replace(genesis, params=replace(genesis.params, late_epochs=1))
        self.states = [a_state(self.genesis) for _ in range(PEERS)]
        self.signed: list[SignedTransaction] = []
        self.seals: list[tuple[Seal, list[bytes]]] = []

    def run(self, operation: tuple[object, ...]) -> None:
        match operation:
            case ("sign", int(i), str(name), int(which)):
                self.sign(self.states[i], name, which)
            case ("fork", int(i), int(which)):
                self.fork(self.states[i], which)
            case ("deliver", int(i), list(places)) if self.signed:
                found = [self.signed[-1 - which % len(self.signed)] for which in places]
                self.states[i].accept(found, "somebody")
            case ("tell evidence", int(i), int(j), int(which)):
                self.tell_evidence(self.states[i], self.states[j], which)
            case ("seal",):
                self.seals.append(seal(self.states[0]))
            case ("follow", int(i)):
                self.follow(self.states[i])
            case ("restart", int(i)):
                self.restart(i)

    def sign(self, state: StateManager, name: str, which: int) -> None:
        """Sign the author's next link, now and then on a peer that does not know the last ones."""
        signer = a_signer(name)
        mine = [tx for tx in self.signed if tx.header.author == signer.address]
        prev: bytes | None
        if mine and which % 5:
            seq, prev = mine[-1].header.seq + 1, mine[-1].tx_id
        else:
            seq, prev = state.next_link(signer.address)
        if which % 3:
            tx = publish(state, signer, seq=seq, prev=prev, title=f"Task {len(self.signed)}")
        else:
            subject = self.signed[which % len(self.signed)].header.subject if self.signed else None
            tx = cancel(state, signer, seq=seq, prev=prev, subject=subject or bytes(32))
        self.signed.append(tx)
        if which % 2:
            state.accept([tx], None)

    def fork(self, state: StateManager, which: int) -> None:
        """Sign another transaction for a place that is taken, dated anew or as before."""
        published = [tx for tx in self.signed if tx.header.kind == 0]
        if not published:
            return
        tx = published[which % len(published)]
        name = next(name for name in AUTHORS if a_signer(name).address == tx.header.author)
        header = tx.header
        if which % 2:
            fresh = publish(state, a_signer(name), seq=header.seq, prev=header.prev)
            header = fresh.header
        terms = some_terms(title=f"Fork {len(self.signed)}")
        self.signed.append(sign_transaction(header, terms, a_signer(name)))

    def tell_evidence(self, giver: StateManager, taker: StateManager, which: int) -> None:
        known = [row.proof for _, row in giver.store.journal.all_evidence()]
        if known:
            taker.accept_evidence(known[which % len(known)])

    def follow(self, state: StateManager) -> None:
        if state.epoch < len(self.seals):
            apply_from(state, self.states[0], *self.seals[state.epoch])

    def restart(self, i: int) -> None:
        """Open a peer's store again; what it holds in memory must be what it holds on disk."""
        state = self.states[i]
        again = a_state(self.genesis, state.store)
        assert again.status() == state.status()
        assert again.open.effective.keys() == state.open.effective.keys()
        assert again.open.rulings() == state.open.rulings()
        self.states[i] = again

    def exchange_all(self) -> None:
        for _ in range(ROUNDS_MAX):
            if len({state.status() for state in self.states}) == 1:
                return
            for taker in self.states:
                for giver in self.states:
                    exchange(taker, giver)
        raise AssertionError([state.status() for state in self.states])


def read_rows(state: StateManager) -> dict[str, list[tuple[bytes, bytes]]]:
    """Return all that seals left of tasks, accounts and rulings."""
    engine = state.store.engine
    return {table.name: list(engine.scan(table.name)) for table in (TASKS, ACCOUNTS, RULINGS)}


@settings(
    deadline=None,
    max_examples=300,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(st.lists(OPERATIONS, min_size=20, max_size=60))
def test_whoever_saw_the_same_holds_the_same(operations: list[tuple[object, ...]]) -> None:
    net = Net()
    for operation in operations:
        net.run(operation)
    net.exchange_all()
    # Sealed twice: what waits for a link or dies must do so everywhere.
    for _ in range(2):
        net.seals.append(seal(net.states[0]))
        for state in net.states[1:]:
            net.follow(state)
        assert len({state.status() for state in net.states}) == 1
    rows = read_rows(net.states[0])
    assert all(read_rows(state) == rows for state in net.states)
    assert all(state.alarm is None for state in net.states)
