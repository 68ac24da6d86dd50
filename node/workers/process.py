"""One life of a worker program: a subprocess in a session of its own, from hello to its end.

    live()   owns the process
      ├ _write          queue -> stdin
      ├ _read           stdout -> replies to flights
      ├ _log            stderr -> the node's log
      ├ _watch          tells when the program ends by itself
      ├ _keep_alive     awaits the hello, then pings while nothing is running
      └ _enforce        ends a life whose worker ignores a cancel

Rule 1: whatever goes wrong ends the life with one `WorkerFault`; the first one counts.
Rule 2: every request is closed exactly once: by its reply, or by the fault that ended the life.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf

import structlog
import trio

from node.workers.fields import IDENTITY_MAX, show
from node.workers.lines import LineSplitter, RateWindow
from node.workers.messages import (
    CONCURRENCY_MAX,
    LINE_FROM_WORKER_BYTES_MAX,
    PROTO,
    Answer,
    Cancel,
    Hello,
    Ping,
    Pong,
    Progress,
    Reply,
    Request,
    Scores,
    TaskError,
    TaskRequest,
    WorkerFault,
    decode_line,
    encode_line,
)
from node.workers.program import Program, WorkerSpec

CHUNK_BYTES = 1 << 16
LINES_PER_S_MAX = 1_000
"""From stdout. Progress once a second for each open task is far below; a loop gone wild is not."""
STDERR_LINES_PER_S_MAX = 50
STDERR_LINE_BYTES_MAX = 4_096
TASKS_LOGGED_MAX = 4
OUTBOX_MAX = 2 * CONCURRENCY_MAX + 2
"""A request and a cancel for each place there can be, and a ping."""

_log = structlog.get_logger("minesync.workers")


@dataclass(frozen=True, slots=True)
class WorkerTimes:
    """How long each thing may take, in seconds."""

    hello_s: float = 60.0
    """From the start of the program; it may load a model first."""
    ping_s: float = 30.0
    """Between pings of an idle worker."""
    pong_s: float = 10.0
    cancel_s: float = 5.0
    """From a cancel to the reply that closes the task."""
    exit_s: float = 5.0
    """From the end of its stdin to its own end."""
    term_s: float = 3.0
    """From SIGTERM to SIGKILL."""
    drain_s: float = 0.5
    """For what a dead worker left in its pipes."""


class Flight:
    """One request on its way.

    Attributes:
        done: set once `outcome` is there.
        outcome: the reply, or the fault that ended the life before it.
        spared: the life ended for another request's sake, or before this one was handed over; it
            may simply be sent again.
    """

    def __init__(self, request: Request, on_progress: Callable[[Progress], None] | None) -> None:
        self.request = request
        self.on_progress = on_progress
        self.done = trio.Event()
        self.outcome: Reply | WorkerFault | None = None
        self.spared = False
        self.is_handed_over = False
        self.kill_at = inf

    @property
    def is_abandoned(self) -> bool:
        """Whether nobody waits for it any more and the worker was told so."""
        return self.kill_at < inf


class WorkerProcess:
    """Runs the program of a spec once.

    `flights` are the requests it has open. `on_change` is called, synchronously, whenever these or
    `is_up` change.
    """

    def __init__(
        self, spec: WorkerSpec, times: WorkerTimes, on_change: Callable[[], None] = lambda: None
    ) -> None:
        self.spec = spec
        self.times = times
        self.hello: Hello | None = None
        self.pid: int | None = None
        self.flights: dict[str, Flight] = {}
        self.farewell = ""
        """How the program ended: `exited`, `terminated` or `killed`, and with which status."""
        self._on_change = on_change
        self._cause: WorkerFault | None = None
        self._scope = trio.CancelScope()
        self._outbox_send, self._outbox = trio.open_memory_channel[Request | Cancel | Ping](
            OUTBOX_MAX
        )
        self._up = trio.Event()
        self._exited = trio.Event()
        self._abandoned = trio.Event()
        self._stdout_ended = trio.Event()
        self._stderr_ended = trio.Event()
        self._pongs: dict[int, trio.Event] = {}
        self._pings = 0
        self._crossed: deque[str] = deque(maxlen=CONCURRENCY_MAX)
        self._renamed = 0
        self._lines = RateWindow(LINES_PER_S_MAX)
        self._last_task = ""
        self._last_words = ""

    async def live(self) -> WorkerFault:
        """Start the program, serve it to its end, leave nothing of it behind; return why it ended.

        Cancelled: closes its stdin and gives it `exit_s` to end by itself first.
        """
        try:
            program = await Program.start(self.spec)
        except WorkerFault as not_started:
            return self._close(not_started)
        self.pid = program.pid
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write, program)
                    nursery.start_soon(self._read, program)
                    nursery.start_soon(self._log_stderr, program)
                    nursery.start_soon(self._watch, program)
                    nursery.start_soon(self._keep_alive)
                    nursery.start_soon(self._enforce)
        finally:
            # Shielded, also when cancelled: a program that outlives its node would be nobody's.
            with trio.CancelScope(shield=True):
                gently = self._cause is None or self._exited.is_set()
                self.farewell = await program.put_down(
                    exit_s=self.times.exit_s if gently else 0, term_s=self.times.term_s
                )
            fault = self._close(self._cause or WorkerFault("worker_stopped"))
        return fault

    @property
    def is_up(self) -> bool:
        """Whether it has said a fitting hello and is not ending."""
        return self.hello is not None and self._cause is None

    @property
    def cause(self) -> WorkerFault | None:
        """Why it ended or is ending; None until then."""
        return self._cause

    async def wait_settled(self) -> None:
        """Wait until it is up or has ended."""
        await self._up.wait()

    def launch(
        self, request: Request, on_progress: Callable[[Progress], None] | None = None
    ) -> Flight:
        """Hand a request to a worker that is up and has a place free; return its flight."""
        if request.id in self._crossed:
            # The second reply to the last one of this id may still come: it must not close this.
            self._renamed += 1
            request = replace(request, id=f"{self._renamed}:{request.id}"[:IDENTITY_MAX])
        flight = Flight(request, on_progress)
        self.flights[request.id] = flight
        self._post(request)
        self._on_change()
        return flight

    def abandon(self, flight: Flight) -> None:
        """Cancel a request. The worker closes it within `cancel_s`, or its life ends."""
        if self.flights.get(flight.request.id) is flight and not flight.is_abandoned:
            flight.kill_at = trio.current_time() + self.times.cancel_s
            self._post(Cancel(id=flight.request.id))
            self._abandoned.set()

    def end(self, fault: WorkerFault) -> None:
        """End this life for the reason given, unless it is ending already."""
        if self._cause is None:
            self._cause = fault
            self._scope.cancel()

    async def ping(self) -> bool:
        """Tell whether an idle worker answers within `pong_s`."""
        self._pings += 1
        answered = self._pongs[self._pings] = trio.Event()
        self._post(Ping(id=self._pings))
        with trio.move_on_after(self.times.pong_s):
            await answered.wait()
        return answered.is_set()

    def _post(self, message: Request | Cancel | Ping) -> None:
        try:
            self._outbox_send.send_nowait(message)
        except trio.WouldBlock:
            # It answers without having read what it was asked.
            self.end(WorkerFault("worker_closed_stdin", "", "one that reads on"))

    # The tasks of a life.

    async def _write(self, program: Program) -> None:
        async for message in self._outbox:
            try:
                # Encoded only now, so that what waits costs no memory of its own.
                await program.stdin.send_all(encode_line(message))
                if message.id in self.flights:
                    self.flights[message.id].is_handed_over = True
            except trio.BrokenResourceError:
                with trio.move_on_after(self.times.drain_s):
                    await self._exited.wait()
                if not self._exited.is_set():
                    self.end(WorkerFault("worker_closed_stdin", "", "one that reads on"))
                return

    async def _read(self, program: Program) -> None:
        splitter = LineSplitter(LINE_FROM_WORKER_BYTES_MAX)
        while chunk := await program.stdout.receive_some(CHUNK_BYTES):
            for line in splitter.feed(chunk):
                try:
                    self._on_line(line)
                except WorkerFault as fault:
                    self.end(fault)
                    return
        self._stdout_ended.set()
        with trio.move_on_after(self.times.drain_s):
            await self._exited.wait()
        if not self._exited.is_set():
            self.end(WorkerFault("worker_closed_stdout", "", "one that goes on writing"))

    async def _log_stderr(self, program: Program) -> None:
        splitter = LineSplitter(STDERR_LINE_BYTES_MAX)
        window = RateWindow(STDERR_LINES_PER_S_MAX)
        while chunk := await program.stderr.receive_some(CHUNK_BYTES):
            for line in splitter.feed(chunk):
                self._log_line(line, window)
        for line in splitter.end():
            self._log_line(line, window)
        self._stderr_ended.set()

    async def _watch(self, program: Program) -> None:
        await program.wait_exit()
        self._exited.set()
        # A grandchild may hold the pipes open for ever.
        with trio.move_on_after(self.times.drain_s):
            await self._stdout_ended.wait()
            await self._stderr_ended.wait()
        self.end(WorkerFault("worker_died"))

    async def _keep_alive(self) -> None:
        with trio.move_on_after(self.times.hello_s):
            await self._up.wait()
        if self.hello is None:
            self.end(WorkerFault("hello_late", "nothing", f"a hello in {self.times.hello_s:g} s"))
        while True:
            await trio.sleep(self.times.ping_s)
            # One that does one thing at a time reads no ping while it works.
            if not self.flights and not await self.ping():
                self.end(WorkerFault("worker_silent", "", f"a pong in {self.times.pong_s:g} s"))

    async def _enforce(self) -> None:
        late: list[Flight] = []
        while not late:
            kill_at = min((flight.kill_at for flight in self.flights.values()), default=inf)
            with trio.move_on_at(kill_at):
                await self._abandoned.wait()
                self._abandoned = trio.Event()
            now = trio.current_time()
            late = [flight for flight in self.flights.values() if flight.kill_at <= now]
        for flight in self.flights.values():
            flight.spared = not flight.is_abandoned
        wanted = f"an answer or error in {self.times.cancel_s:g} s"
        self.end(WorkerFault("worker_ignored_cancel", late[0].request.id, wanted))

    # What a line means.

    def _on_line(self, line: bytes) -> None:
        if len(line) > LINE_FROM_WORKER_BYTES_MAX:
            raise WorkerFault(
                "line_too_long", show(line), f"at most {LINE_FROM_WORKER_BYTES_MAX} bytes"
            )
        if self._lines.is_excess(trio.current_time()):
            raise WorkerFault("worker_flood", show(line), f"at most {LINES_PER_S_MAX} lines/s")
        message = decode_line(line)
        if self.hello is None:
            if not isinstance(message, Hello):
                raise WorkerFault("hello_missing", show(line), "a hello first")
            check_hello(message, self.spec)
            self.hello = message
            _log.info("worker_up", role=self.spec.role, worker=message.worker, pid=self.pid)
            self._up.set()
            self._on_change()
            return
        match message:
            case Pong() if message.id in self._pongs:
                self._pongs.pop(message.id).set()
            case Progress() if message.id in self.flights:
                flight = self.flights[message.id]
                if flight.on_progress is not None and not flight.is_abandoned:
                    flight.on_progress(message)
            case Answer() | Scores() | TaskError() if message.id in self.flights:
                self._on_reply(self.flights[message.id], message, line)
            case TaskError() if message.id in self._crossed:
                # The reply to a cancel that crossed the reply to its task.
                return
            case _:
                raise WorkerFault("message_unexpected", show(line), "a message on an open task")

    def _on_reply(self, flight: Flight, reply: Reply, line: bytes) -> None:
        request = flight.request
        if isinstance(reply, Answer) and not isinstance(request, TaskRequest):
            raise WorkerFault("message_unexpected", show(line), "scores or an error")
        if isinstance(reply, Scores):
            if isinstance(request, TaskRequest):
                raise WorkerFault("message_unexpected", show(line), "an answer or an error")
            wanted = [one.id for one in request.answers]
            if [one.id for one in reply.scores] != wanted:
                raise WorkerFault(
                    "message_field_bad", show(line), f"scores of {show(', '.join(wanted))}"
                )
        if flight.is_abandoned:
            self._crossed.append(request.id)
        flight.outcome = reply
        del self.flights[request.id]
        self._last_task = request.id
        flight.done.set()
        self._on_change()

    def _log_line(self, line: bytes, window: RateWindow) -> None:
        self._last_words = show(line)
        if window.is_excess(trio.current_time()):
            return
        # What a worker writes just before it answers is often read just after its answer.
        tasks = ",".join([*self.flights][:TASKS_LOGGED_MAX]) or self._last_task
        _log.info(
            "worker_stderr",
            role=self.spec.role,
            task=tasks,
            text=self._last_words,
            dropped=window.excess,
        )

    # The end.

    def _close(self, fault: WorkerFault) -> WorkerFault:
        """Close what is open with the fault, once it can be told in full; return it."""
        if fault.code == "worker_died":
            words = f", last words: {self._last_words}" if self._last_words else ""
            fault = WorkerFault("worker_died", self.farewell + words, "one that goes on reading")
        self._cause = fault
        self.hello = None
        for flight in self.flights.values():
            flight.spared |= not flight.is_handed_over
            flight.outcome = fault
            flight.done.set()
        self.flights.clear()
        self._up.set()
        self._on_change()
        return fault


def check_hello(hello: Hello, spec: WorkerSpec) -> None:
    """Check that a worker is one for this node.

    Raises:
        WorkerFault: `hello_proto`, `hello_role`, `hello_kinds` or `hello_network`.
    """
    if hello.proto != PROTO:
        raise WorkerFault("hello_proto", hello.proto, PROTO)
    if spec.role not in hello.roles:
        raise WorkerFault("hello_role", ", ".join(hello.roles), spec.role)
    unknown = sorted(set(hello.kinds) - set(spec.kinds))
    if unknown:
        raise WorkerFault("hello_kinds", ", ".join(unknown), f"some of {', '.join(spec.kinds)}")
    if hello.network_id not in (None, spec.network_id):
        raise WorkerFault("hello_network", hello.network_id, spec.network_id)
