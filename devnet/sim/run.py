"""One plan, one run, one report: whatever breaks in it is a finding, with a class of its own."""

import traceback
from collections import Counter
from dataclasses import dataclass

from devnet.sim.cast import make_cast
from devnet.sim.core_world import CoreWorld
from devnet.sim.fates import Fates
from devnet.sim.memo import remembering
from devnet.sim.node_world import NodeWorld
from devnet.sim.plan import CORE, Plan
from devnet.sim.witness import PropertyBroken, Witness
from node.buggify import Chooser, buggified
from protocol.errors import BlamedError

FRAMES_SHOWN = 6


@dataclass(frozen=True, slots=True)
class Failure:
    """How a run failed.

    Attributes:
        prop: the property, P1 to P16.
        code: what kind of breach.
        text: what was found.
        where: the innermost frames of an error nobody expected.
    """

    prop: str
    code: str
    text: str
    where: str = ""

    @property
    def class_(self) -> str:
        """What a shrunk plan must keep."""
        return f"{self.prop} {self.code}"


@dataclass(frozen=True, slots=True)
class Report:
    """What came of a run.

    Attributes:
        trace: the hash of all its steps; the same for the same plan and code.
        reached: how often each rare thing happened.
        counts: of messages, crashes, virtual milliseconds and the like.
    """

    plan: Plan
    failure: Failure | None
    trace: str
    reached: Counter[str]
    counts: Counter[str]


def run_plan(plan: Plan) -> Report:
    """Run a plan to its end or to the first thing that does not hold."""
    witness = Witness(plan, make_cast(plan.peers, plan.late_epochs, plan.sealers))
    fates = Fates(plan.seed, plan.weather)
    failure: Failure | None = None
    try:
        world = CoreWorld if plan.layer == CORE else NodeWorld
        with remembering(), buggified(_make_chooser(plan, fates)):
            world(plan, witness, fates).run()
    except Exception as error:
        failure = _describe(error)
    return Report(plan, failure, witness.trace, witness.reached, witness.counts)


def _make_chooser(plan: Plan, fates: Fates) -> Chooser:
    """Return what makes rare things happen in the product, each place with draws of its own."""
    asked: Counter[str] = Counter()

    def choose(name: str) -> bool:
        asked[name] += 1
        return not fates.is_calm and fates.is_chosen(plan.buggify, name, asked[name])

    return choose


def _describe(error: BaseException) -> Failure:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, PropertyBroken):
        return Failure(error.prop, error.code, str(error))
    code = type(error).__name__
    if isinstance(error, BlamedError):
        code += f" {error.code}"
    elif error.args:
        # The rule that an invariant names stands first; ids and numbers would split one class.
        code += " " + str(error).split(":")[0][:40]
    frames = traceback.extract_tb(error.__traceback__)[-FRAMES_SHOWN:]
    where = " < ".join(f"{frame.name}:{frame.lineno}" for frame in reversed(frames))
    return Failure("P10", code, str(error)[:400], where)
