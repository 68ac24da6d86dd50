"""How this process does: the lag of its event loop, its memory, for how long it has run."""

import psutil
import trio

from node.clock import Clock

SAMPLE_S = 0.5
WINDOW_SAMPLES = 20
"""The worst lag of the last ten seconds counts."""
LAG_MS_MAX = 2_000
"""Above this the node is alive in name only: whoever supervises it should know."""


class Monitor:
    """Samples the event loop while `run` runs."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._started_s = clock.monotonic_s()
        self.started_ms = clock.now_ms()
        self._lags: list[float] = []
        self._process = psutil.Process()

    async def run(self) -> None:
        """Measure how late a sleep ends, again and again; never returns."""
        while True:
            due_s = trio.current_time() + SAMPLE_S
            await trio.sleep_until(due_s)
            self._lags.append(trio.current_time() - due_s)
            del self._lags[:-WINDOW_SAMPLES]

    @property
    def uptime_ms(self) -> int:
        """Milliseconds since the start."""
        return int(1_000 * (self._clock.monotonic_s() - self._started_s))

    @property
    def lag_ms(self) -> int:
        """The worst lag lately, in milliseconds."""
        return int(1_000 * max(self._lags, default=0.0))

    @property
    def memory_bytes(self) -> int:
        """Resident memory of the process."""
        return int(self._process.memory_info().rss)

    @property
    def is_alive(self) -> bool:
        """Whether the loop turns."""
        return self.lag_ms <= LAG_MS_MAX
