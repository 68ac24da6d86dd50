"""The sealer: this node's part in ending epochs, by this machine's monotonic clock.

Rules:
1. An epoch lasts at least `epoch_ms` from the moment the last seal was known here. After a pause
   one seal is made, not all that were missed: nothing is gained by empty epochs in a burst.
2. What it says is on disk before it is sent (`node.diary_file`), and so is the highest epoch of
   which it ever said anything: neither a database restored from yesterday nor a lost diary may
   make it contradict itself. It waits until its peers have brought it past that epoch.
3. It says yes only to a set that it has and may be sealed, and signs only what it folded itself.
   Whoever honest sees another root over an equal set has found a bug, of his or of ours: folding
   stops, and it says no to all.
4. While the disk is full nothing is said. What was said before is said again from the diary, and a
   seal that was signed and could not be written is the next to be written, as it was.
5. The clock moves when a seal comes, never what it means.
6. It takes part in the epochs whose sealers it is one of, and in no others: it begins by itself,
   with a deal for the first of them, and once it is dismissed its node goes on as any other.
7. It deals for the next epoch when half of this one is over: all others know by then that it began,
   and hear the deal before somebody proposes.
"""

from collections.abc import Iterable
from enum import Enum
from typing import Protocol

import structlog

from node.clock import Clock
from node.diary_file import DiaryFile
from node.events import Listener
from node.high_water import HighWater
from node.state_manager import StateManager
from protocol.agreement import Agreement
from protocol.agreement_effects import (
    Build,
    Diary,
    Dissent,
    Effect,
    Examine,
    Finish,
    Fold,
    Schedule,
    Tell,
    Verdict,
)
from protocol.ballots import Word
from protocol.errors import Rejected
from protocol.keys import Signer
from protocol.messages import SealedIds, pack_ids
from protocol.plan import Plan
from protocol.seals import Seal
from storage.errors import Full

log = structlog.get_logger("sealer")

PATIENCE_PARTS = 2
"""The first time-out of a step is an epoch cut in so many parts, within the bounds below."""
PATIENCE_S_LEAST, PATIENCE_S_MOST = 0.25, 5.0
ROUND_S_MOST = 60.0
"""Time-outs grow by one length a round, so that slow sealers meet in the end, up to this."""
ASK_AGAIN_S = 0.2
"""Before what lacks for a set is asked of everybody."""
LOOK_AGAIN_S = 0.02
"""Before a set that lacked something is looked at again."""
LOOK_PART = 10
"""Nor sooner than so many times what the last look took: sets may be large, and news frequent."""
DEAL_PART = 2
"""An epoch is over by one so-many-th when this sealer deals for the next."""


class Due(Enum):
    """Among the timers: what is due once in an epoch, or again and again."""

    DEAL = "deal"
    START = "start"
    """It has lasted long enough."""
    ASK = "ask"
    """The plan is decided, and still there is no seal: perhaps an opening or a vote got lost."""


Timer = Schedule | Plan | Due


class Peers(Protocol):
    """What a sealer asks of those around it."""

    def tell_word_nowait(self, word: Word) -> None:
        """Tell everybody what this sealer says."""
        ...

    def tell_seal_nowait(self, sealed: SealedIds) -> None:
        """Tell everybody of a seal that is on disk."""
        ...

    def ask_for_set(self, plan: Plan, *, of_all: bool) -> None:
        """Ask for what lacks of a proposed set."""
        ...

    def ask_for_ballots(self) -> None:
        """Ask everybody what he heard."""
        ...


class Sealer:
    """Ends epochs together with the other sealers of the network; alone, if there are none.

    Args:
        state: what is sealed.
        signer: the sealer's key.
        clock: of this machine.
        mark: the highest epoch of which this sealer ever said anything, under its address.
        diary: what it said.
        peers: to whom it speaks.
    """

    def __init__(
        self,
        state: StateManager,
        signer: Signer,
        clock: Clock,
        mark: HighWater,
        diary: DiaryFile,
        peers: Peers,
    ) -> None:
        self._state = state
        self._signer = signer
        self._clock = clock
        self._mark = mark
        self._file = diary
        self._peers = peers
        self._is_seated: bool | None = None
        self._begin()

    async def run(self) -> None:
        """Seal epoch after epoch; return only when an alarm forbids it and nobody asks our vote."""
        was_behind = False
        with self._state.broadcast.listen() as listener:
            while self._state.alarm is None or self._state.ballots.is_needed:
                self._look_for_seat()
                is_behind = self._is_behind()
                if is_behind and not was_behind:
                    self._warn_behind()
                was_behind = is_behind
                if is_behind or not self._is_seated:
                    await listener.wait(self._epoch_s)
                else:
                    await self._sit(listener)
        log.error("sealer_stopped", reason=self._state.alarm)

    def end_epoch(self) -> None:
        """Do now what is done when the epoch has lasted long enough; alone, this seals it."""
        self._look_for_seat()
        if self._is_seated and not self._is_behind():
            self._begin()
            self._timers[Due.START] = self._now_s()
            self._look()

    def resume(self) -> None:
        """After a full disk: go on from what is on disk, before any peer hears of it."""
        if self._agreement.diary.epoch == self._state.epoch + 1:
            if Due.START in self._timers:
                self._begin()
            else:
                self.end_epoch()

    def _is_behind(self) -> bool:
        """Tell whether more was said than this database, or this diary, knows of."""
        if self._state.store.needs_repair is not None:
            return True
        mark = self._mark.get(self._signer.address)
        epoch = self._state.epoch + 1
        if mark is None or epoch > mark:
            return False
        saved = self._file.read()
        return saved is None or saved[0].epoch != epoch

    def _look_for_seat(self) -> None:
        """Find out whether this account has a part in the next seal: sealing, or dealing for it."""
        box = self._state.ballots.box
        is_seated = self._signer.address in (*box.sealers, *box.sealers_next)
        if is_seated is not self._is_seated:
            log.info("sealer_seated" if is_seated else "sealer_unseated", epoch=self._state.epoch)
        self._is_seated = is_seated

    def _warn_behind(self) -> None:
        mark = self._mark.get(self._signer.address)
        log.warning("sealer_behind", epoch=self._state.epoch, sealed_before=mark)

    # ------------------------------------------------------------------------------ one epoch

    async def _sit(self, listener: Listener) -> None:
        """Take part in the agreement on the next seal until it is there, from wherever."""
        epoch = self._state.epoch + 1
        self._begin()
        while self._state.epoch + 1 == epoch:
            due_s = min(
                (*self._timers.values(), *self._unjudged.values()),
                default=self._now_s() + self._epoch_s,
            )
            wait_s = due_s - self._now_s()
            if self._state.store.gate.fault is not None:
                wait_s = self._epoch_s
            await listener.wait(max(0.0, wait_s))
            if self._state.epoch + 1 == epoch:
                if self._state.alarm is not None and not self._state.ballots.is_needed:
                    return
                self._look()

    def _begin(self) -> None:
        self._epoch_s = self._state.params.epoch_ms / 1_000
        patience_s = self._epoch_s / PATIENCE_PARTS
        self._patience_s = min(max(patience_s, PATIENCE_S_LEAST), PATIENCE_S_MOST)
        ballots, diary = self._state.ballots, None
        saved = self._file.read()
        if saved is not None and saved[0].epoch == ballots.box.epoch:
            diary, sets = saved
            for set_root, ids in sets.items():
                ballots.put_set(set_root, ids)
        elif saved is not None and saved[0].decided is not None:
            # Of the epoch before: with its seal in the journal the deals of this one are left.
            ballots.box.secrets.recall(saved[0].decided.deals)
        self._agreement = Agreement(ballots.box, self._signer, diary)
        # When to look at it again.
        self._unjudged: dict[Plan, float] = {}
        self._awaiting: Fold | None = None
        now_s = self._now_s()
        self._timers: dict[Timer, float] = {Due.START: now_s + self._epoch_s}
        if ballots.box.secrets.wanted:
            self._timers[Due.DEAL] = now_s + self._epoch_s / DEAL_PART

    def _look(self) -> None:
        """Do whatever the time and the box ask for; on a full disk nothing, until `resume`."""
        if self._state.store.gate.fault is None:
            try:
                self._act()
            except Full as error:
                self._state.store.gate.shut(error)
                # A word that is not on disk must not be shown; those of others come again.
                self._state.ballots.restart()

    def _act(self) -> None:
        # No await in here: a word follows its diary.
        now_s = self._now_s()
        if self._state.alarm is not None:
            self._perform(self._agreement.renounce())
        for timer in [timer for timer, due_s in self._timers.items() if due_s <= now_s]:
            del self._timers[timer]
            if isinstance(timer, Schedule):
                self._perform(self._agreement.expire(timer.step, timer.round))
                self._peers.ask_for_ballots()
            elif timer is Due.DEAL:
                self._perform(self._agreement.deal())
            elif timer is Due.START:
                self._perform(self._agreement.start())
                if self._state.ballots.box.secrets.choose_deals() is None:
                    self._peers.ask_for_ballots()
            elif timer is Due.ASK:
                self._peers.ask_for_ballots()
            elif timer in self._unjudged:
                self._ask_for(timer, of_all=True)
        for plan in [one for one, due_s in self._unjudged.items() if due_s <= now_s]:
            self._judge(plan)
        self._perform(self._agreement.advance())
        if self._agreement.decided is not None and self._state.ballots.is_needed:
            self._timers.setdefault(Due.ASK, self._now_s() + self._patience_s)

    def _perform(self, effects: Iterable[Effect]) -> None:
        effects = list(effects)
        if any(isinstance(effect, Tell) for effect in effects):
            self._write_diary(self._agreement.diary)
        for effect in effects:
            match effect:
                case Tell():
                    if self._state.ballots.is_needed:
                        self._peers.tell_word_nowait(effect.message)
                case Schedule():
                    self._timers[effect] = self._now_s() + self._choose_patience(effect)
                case Build():
                    self._build(effect.round)
                case Examine():
                    self._judge(effect.plan)
                case Fold():
                    self._fold(effect)
                case Dissent():
                    self._state.raise_alarm(effect.content, effect.state_root)
                    self._perform(self._agreement.renounce())
                case Finish():
                    self._finish(effect.seal)

    def _write_diary(self, diary: Diary) -> None:
        sets = {}
        for plan in diary.list_plans():
            ids = self._state.find_set(plan)
            if ids is not None:
                sets[plan.set_root] = ids
        self._file.write(diary, sets)
        mark = self._mark.get(self._signer.address)
        if mark is None or diary.epoch > mark:
            self._mark.raise_to(self._signer.address, diary.epoch)

    def _build(self, round_number: int) -> None:
        deals = self._state.ballots.box.secrets.choose_deals()
        if self._state.alarm is not None or deals is None:
            return
        plan = self._state.draft(self._clock.now_ms(), deals)
        ids = self._state.find_set(plan)
        if ids is not None:
            self._state.ballots.put_set(plan.set_root, ids)
        self._perform(self._agreement.offer(round_number, plan))

    def _judge(self, plan: Plan) -> None:
        """Look at a proposed set if all of it is here, else ask for what lacks."""
        verdict = self._look_at(plan)
        if verdict is None:
            return
        if verdict is not Verdict.SOUND:
            log.warning("proposal_refused", epoch=plan.epoch, verdict=verdict.value)
        self._perform(self._agreement.judge(plan, verdict))
        if self._awaiting is not None:
            self._fold(self._awaiting)

    def _fold(self, effect: Fold) -> None:
        """Fold the decided set; after many other proposals it may have to be asked for again."""
        plan = effect.plan
        self._awaiting = effect
        if self._look_at(plan) is Verdict.SOUND:
            self._awaiting = None
            folded = self._state.fold(plan.set_root, effect.secret)
            self._perform(self._agreement.conclude(plan, folded.state_root))

    def _look_at(self, plan: Plan) -> Verdict | None:
        """Return what is found of a proposed set; None if something lacks, which is asked for."""
        if plan.epoch != self._state.epoch + 1:
            # The seal came meanwhile.
            return None
        begun_s = self._now_s()
        verdict = self._find_verdict(plan)
        if verdict is None:
            now_s = self._now_s()
            self._unjudged[plan] = now_s + max(LOOK_AGAIN_S, LOOK_PART * (now_s - begun_s))
            is_decided = self._agreement.decided == plan
            if self._state.ballots.wanted.get(plan.set_root) != (plan, is_decided):
                self._state.ballots.wanted[plan.set_root] = (plan, is_decided)
                self._ask_for(plan, of_all=False)
            return None
        self._unjudged.pop(plan, None)
        self._state.ballots.wanted.pop(plan.set_root, None)
        return verdict

    def _find_verdict(self, plan: Plan) -> Verdict | None:
        if self._state.alarm is not None:
            return Verdict.ILLEGAL
        ids = self._state.find_set(plan)
        if ids is None:
            return None
        try:
            lacking = self._state.examine(plan, ids)
        except Rejected as error:
            log.info("proposal_illegal", code=error.code, found=error.found)
            return Verdict.ILLEGAL
        return Verdict.SOUND if lacking is None else None

    def _ask_for(self, plan: Plan, *, of_all: bool) -> None:
        self._peers.ask_for_set(plan, of_all=of_all)
        self._timers[plan] = self._now_s() + ASK_AGAIN_S

    def _finish(self, seal: Seal) -> None:
        ids = self._state.find_set(seal.content)
        try:
            # Whoever lacks something of it gets it with the seal, from those who signed.
            if ids is None or not self._state.apply_seal(seal, ids).applied:
                return
        except Rejected as error:
            # A quorum signed what must not be sealed: a matter for people.
            log.critical("seal_refused", code=error.code, found=error.found)
            return
        epoch = self._state.epoch
        self._peers.tell_seal_nowait(SealedIds(seal.to_bytes(), pack_ids(ids)))
        log.debug("epoch_sealed", epoch=epoch, items=len(ids), root=self._state.state_root[:8])

    def _choose_patience(self, timer: Schedule) -> float:
        return min(self._patience_s * (1 + timer.round), ROUND_S_MOST)

    def _now_s(self) -> float:
        return self._clock.monotonic_s()
