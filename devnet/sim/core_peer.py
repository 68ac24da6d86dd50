"""One peer of the core layer: the real door, fold and disk format, driven by calls.

What is real: `StateManager` with its open set, door and seals, `Author` with its signing marks,
`Server` for what peers ask, `Sealer` with its diary, the store over an engine whose crash loses
what was not synced. What is not: tasks, streams, the session and gossip of `node.sync`, the roles.
Those run in the node layer.
"""

from collections.abc import Coroutine
from typing import Any, TypeVar

from devnet.sim.cast import Cast
from devnet.sim.core_sealer import Bell, CoreSealer, LetterBox
from devnet.sim.core_talk import Talker
from devnet.sim.disk import CrashEngine, Image
from devnet.sim.fates import Fates
from devnet.sim.habits import Tongue, reconcile
from devnet.sim.hands import Hands
from devnet.sim.plan import Plan
from devnet.sim.sealer_lies import SEALER_HABITS, Said, SealerLies, tell_honestly
from devnet.sim.sealer_watch import SealerWatch
from devnet.sim.witness import Witness, WitnessedMarks
from node.author import Author
from node.clock import Clock
from node.diary_file import DiaryFile
from node.high_water import HighWater
from node.state_manager import StateManager
from node.sync.server import Server
from protocol.ballots import Proposal, Word
from protocol.closing import compute_archive_epochs
from protocol.errors import InvariantBroken
from protocol.messages import Ranges
from protocol.params import SCALE
from protocol.reconcile import ReconcileSession
from protocol.transactions import SignedTransaction
from storage.prune import Pruner
from storage.store import Store

T = TypeVar("T")


class CorePeer:
    """One peer, up or down.

    Args:
        number: the first ones seal.
        clock: of its machine.
        watch: hears what honest sealers say.

    Attributes:
        outbox, learnt, words: what the peer wants to be gossiped; the network takes it from here.
        letters: what its sealer wants of others; likewise.
        sealer: None for a peer that seals nothing.
        wakes: counts the appointments made with the sealer; the last one stands.
    """

    def __init__(
        self,
        plan: Plan,
        cast: Cast,
        witness: Witness,
        fates: Fates,
        number: int,
        clock: Clock,
        watch: SealerWatch,
    ) -> None:
        self.number = number
        self.habit = plan.habits[number] if number < len(plan.habits) else ""
        self.tongue = Tongue(self.habit, number, cast, fates)
        self.accounts = [cast.signers[one] for one in cast.accounts_of(number, plan.peers)]
        self.disk = CrashEngine()
        self.backup: Image | None = None
        self.lives = 0
        self.is_up = False
        self.resumes_ms = 0
        """Until then the process is stopped: it neither hears nor acts."""
        self.outbox: list[SignedTransaction] = []
        self.learnt: list[bytes] = []
        self.words: list[Said] = []
        self.letters: LetterBox
        self.sealer: CoreSealer | None = None
        self.bell: Bell
        self.wakes = 0
        self._clock = clock
        self._watch = watch
        self._sealed = HighWater(None)
        self._diary = DiaryFile(None)
        self._plan = plan
        self._cast = cast
        self._fates = fates
        self._witness = witness
        self._marks = WitnessedMarks(witness, number)
        self.state: StateManager
        self.talker: Talker
        self.hands: list[Hands] = []

    def start(self) -> None:
        """Open the disk and begin."""
        self.is_up = True
        self.lives += 1
        store = Store(self.disk, self._cast.genesis)
        self._marks.store = store
        self.bell = Bell()
        state = self.state = StateManager(self._cast.genesis, store, self.bell)
        self.outbox, self.learnt, self.words = [], [], []
        self.talker = Talker(
            state,
            self._cast.verifier,
            self.learnt.extend,
            lambda word: self.words.append(tell_honestly(word, state)),
            self._witness.reach,
        )
        self._start_sealer()
        self._server = Server(state, self._cast.verifier, self.learnt.extend)
        friends: frozenset[bytes] = frozenset()
        if self.habit == "partial":
            friends = frozenset(one.address for one in self.accounts)
        self.hands = [
            Hands(
                state,
                Author(state, signer, self._marks, self.outbox.extend),
                friends=friends,
                reveals=self.habit != "shy",
            )
            for signer in self.accounts
        ]

    def crash(self, kept_share: int) -> None:
        """End as in a power cut; `kept_share` basis points of the unsynced batches stay."""
        unsynced = len(self.disk.unsynced)
        kept = (unsynced + 1) * kept_share // (SCALE + 1)
        if kept < unsynced:
            self._witness.reach("a crash loses what was not synced")
        self.disk = self.disk.crash(kept)
        self.is_up = False

    def _start_sealer(self) -> None:
        signer, state = self.accounts[0], self.state
        self.letters = LetterBox(state, self._hear_own)
        self.bell.is_rung = True
        if signer.address in self._cast.genesis.sealers and self.habit != "silent":
            self.sealer = CoreSealer(
                state, signer, self._clock, self._sealed, self._diary, self.letters
            )
        self._lies = None
        if self.habit in SEALER_HABITS:
            self._lies = SealerLies(self.habit, state, signer, self._fates)

    def _hear_own(self, word: Word) -> None:
        if not self.habit:
            self._watch.hear(self.number, word, self.state.ballots.box)

    def take_word(self, said: Said, holders: tuple[str, ...]) -> bool:
        """Take in what a sealer says, with the ids of what he proposes; return whether it is news.

        Raises:
            Rejected: no sealer said it, or not of the next epoch.
        """
        ballots, word = self.state.ballots, said.word
        is_news = ballots.take(word)
        if isinstance(word, Proposal):
            root = word.plan.set_root
            ballots.note_holders(root, holders)
            if said.ids is not None and self.state.find_set(word.plan) is None:
                ballots.put_set(root, said.ids)
        if ballots.box.doubles:
            ballots.keep_proofs()
        return is_news

    def take_words(self) -> list[Said]:
        """Return what is to be told of what sealers said, our own first; it is told once."""
        if not self.words and not self.letters.words:
            return []
        told, self.words = self.words, []
        words, self.letters.words = self.letters.words, []
        for word in words:
            if self._lies is None:
                told.append(tell_honestly(word, self.state))
            else:
                told += self._lies.twist(word)
        return told

    def clean_up(self) -> None:
        """Drop the rows of all tasks that the rules let go.

        Raises:
            StorageError: the disk failed.
        """
        state = self.state
        retention = compute_archive_epochs(state.params)
        waiting = list(state.open.transactions.values())
        for _ in Pruner(state.store, retention, lambda: waiting).steps():
            continue

    def answer(self, request: Any, asker: int, sitting: list[ReconcileSession]) -> Any:
        """Return the reply to a request of a conversation; None: nothing is ever said.

        Args:
            request: as it travels.
            asker: number of the peer.
            sitting: the reconciliation of this conversation, if one has begun.
        """
        if isinstance(request, Ranges):
            reply = reconcile(self.state, request, sitting)
        else:
            reply = run_at_once(self._server.answer(request, str(asker)))
        return self.tongue.twist(reply, asker)


def run_at_once(work: Coroutine[Any, Any, T]) -> T:
    """Return the result of a coroutine that has nothing to wait for.

    Raises:
        InvariantBroken: it waits.
    """
    try:
        work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    work.close()
    raise InvariantBroken("an answer that waits, where nothing can be waited for")
