"""The log: one line an event, JSON for machines or columns for a person.

Rules:
1. An event is a stable name in the code, `peer_connected`; what varies are its values.
2. Values are escaped and cut, whoever they come from; those named like secrets are not written.
3. A log that cannot be written is lost; it never stops the node.

    log = get_logger("sync")
    log.info("session_done", peer=peer, missing=12, ms=4)

Other libraries speak through the standard library's logging: from WARNING on they are passed on as
`foreign_log`, at most 20 lines a second, because a peer may be able to make them speak.
"""

import contextlib
import json
import logging
import logging.handlers
import sys
import traceback
from collections.abc import Callable, Mapping, MutableMapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import structlog
from structlog.typing import FilteringBoundLogger

from node.log_levels import LEVELS, Levels, parse_levels
from node.text import clean_text

TRACEBACK_CHARACTERS_MAX = 16_384
LIST_ENTRIES_MAX = 16
FOREIGN_LINES_PER_S_MAX = 20
LOG_FILE_NAME = "minesync.log"
LOG_FILE_BYTES_MAX = 16 << 20
LOG_FILES_OLD_MAX = 3

_AREA_BY_PACKAGE = {
    "devnet": "devnet",
    "node.roles": "roles",
    "node.rpc": "rpc",
    "node.sync": "sync",
    "node.transport": "p2p",
    "node.workers": "workers",
    "storage": "store",
}
_SECRETS = ("password", "secret", "seed", "token", "private")
_COLORS = {"debug": "2", "info": "32", "warning": "33", "error": "31", "critical": "1;31"}

Event = MutableMapping[str, Any]


def get_logger(area: str) -> FilteringBoundLogger:
    """Return the logger of an area: p2p, sync, rpc, store, workers, roles, or another name."""
    logger: FilteringBoundLogger = structlog.get_logger(area)
    return logger


class LogControl:
    """The log of this process while it runs.

    Args:
        level: as in `log.level`.
        is_json: JSON lines rather than columns.
        stream: where lines go; None: nowhere but the file.
        folder: where `minesync.log` is written as JSON lines; None: nowhere.
        read_wall_ms: the wall clock, milliseconds since 1970.

    Raises:
        LevelError: `bad_log_level`.
        OSError: the file cannot be opened.
    """

    def __init__(
        self,
        level: str,
        *,
        is_json: bool,
        stream: TextIO | None,
        read_wall_ms: Callable[[], int],
        folder: Path | None = None,
    ) -> None:
        self.levels = parse_levels(level)
        self._is_json = is_json
        self._stream = stream
        self._has_color = not is_json and stream is not None and stream.isatty()
        self._read_wall_ms = read_wall_ms
        self._file = _open_file(folder) if folder else None
        self._foreign = _ForeignHandler(read_wall_ms)
        root = logging.getLogger()
        root.handlers = [handler for handler in root.handlers if not _is_ours(handler)]
        root.addHandler(self._foreign)
        root.setLevel(logging.WARNING)
        self._install(self.levels)

    def set_level(self, level: str) -> None:
        """Change the least level, in effect at once.

        Raises:
            LevelError: `bad_log_level`; nothing has changed.
        """
        self.levels = parse_levels(level)
        self._install(self.levels)

    def close(self) -> None:
        """Stop writing; what is logged afterwards goes to stderr from WARNING on."""
        logging.getLogger().removeHandler(self._foreign)
        if self._file is not None:
            self._file.close()
        configure_quietly()

    def write(self, event: Event) -> None:
        """Write one finished event."""
        stamp = _format_time(self._read_wall_ms())
        if self._stream is not None:
            if self._is_json:
                line = render_json(event, stamp)
            else:
                line = render_console(event, stamp, has_color=self._has_color)
            # A reader that went away, or a terminal that was closed, is no reason to stop.
            with contextlib.suppress(OSError, ValueError):
                self._stream.write(line + "\n")
                self._stream.flush()
        if self._file is not None:
            self._file.handle(logging.makeLogRecord({"msg": render_json(event, stamp)}))

    def _install(self, levels: Levels) -> None:
        _install(levels, self.write)


def configure_logging(
    level: str,
    log_format: str,
    *,
    read_wall_ms: Callable[[], int],
    stream: TextIO | None = None,
    folder: Path | None = None,
) -> LogControl:
    """Send the log to `stream` (stderr), as `log_format` says: auto, console or json.

    Raises:
        LevelError: `bad_log_level`.
    """
    stream = sys.stderr if stream is None else stream
    is_json = log_format == "json" or (log_format == "auto" and not stream.isatty())
    return LogControl(
        level, is_json=is_json, stream=stream, folder=folder, read_wall_ms=read_wall_ms
    )


def configure_quietly() -> None:
    """Log warnings and worse to stderr, without a clock: the state before anybody configures."""

    def write(event: Event) -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(render_console(event, "", has_color=False) + "\n")

    _install(parse_levels("warning"), write)


def configure_silently() -> None:
    """Log nothing: for many peers in one process, each of which may say that all is lost."""
    _install(Levels(LEVELS["critical"], {}), lambda event: None)


def render_json(event: Event, stamp: str) -> str:
    """Return an event as one line of JSON."""
    head = {name: event[name] for name in ("level", "area", "event")}
    return json.dumps({"time": stamp, **head, **event}, ensure_ascii=False)


def render_console(event: Event, stamp: str, *, has_color: bool) -> str:
    """Return an event as columns, and a traceback below that no value can imitate."""
    level, area, name = (str(event[key]) for key in ("level", "area", "event"))
    pairs = [
        f"{key}={_quote(value)}"
        for key, value in event.items()
        if key not in ("level", "area", "event", "exception")
    ]
    padded = f"{level:<8}"
    if has_color:
        padded = f"\x1b[{_COLORS.get(level, '0')}m{padded}\x1b[0m"
    line = " ".join([stamp[11:23], padded, f"{area:<7}", name, *pairs]).strip()
    trace = str(event.get("exception", ""))
    return line + "".join(f"\n    | {part}" for part in trace.split("\\n") if part)


class _Sink:
    """What structlog calls with a finished event; carries the area of its logger."""

    def __init__(self, area: str, write: Callable[[Event], None]) -> None:
        self.area = area
        self._write = write

    def msg(self, **event: Any) -> None:
        self._write(event)

    debug = info = warning = error = critical = msg


class _ForeignHandler(logging.Handler):
    """Passes records of other libraries on, as slowly as a person can read."""

    def __init__(self, read_wall_ms: Callable[[], int]) -> None:
        super().__init__(logging.WARNING)
        self._read_wall_ms = read_wall_ms
        self._log = get_logger("foreign")
        self._second = 0
        self._lines = 0
        self._dropped = 0

    def emit(self, record: logging.LogRecord) -> None:
        second = self._read_wall_ms() // 1_000
        if second != self._second:
            dropped, self._second, self._lines, self._dropped = self._dropped, second, 0, 0
            if dropped:
                self._log.warning("foreign_log_dropped", lines=dropped)
        if self._lines >= FOREIGN_LINES_PER_S_MAX:
            self._dropped += 1
            return
        self._lines += 1
        try:
            message = record.getMessage()
        except (TypeError, ValueError):
            message = str(record.msg)
        number = min(max(record.levelno, logging.WARNING), logging.CRITICAL)
        self._log.log(number, "foreign_log", logger=record.name, message=message)


def _install(levels: Levels, write: Callable[[Event], None]) -> None:
    def build(*args: Any) -> _Sink:
        return _Sink(_name_area(str(args[0])) if args else "main", write)

    def keep(sink: _Sink, method: str, event: Event) -> Event:
        level = "error" if method == "exception" else method
        if LEVELS.get(level, LEVELS["info"]) < levels.get_least(sink.area):
            raise structlog.DropEvent
        return {"level": level, "area": sink.area, **event}

    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, keep, _finish],
        wrapper_class=structlog.make_filtering_bound_logger(levels.lowest),
        logger_factory=build,
        # The level can change while the node runs; a filtered call costs 2 µs this way.
        cache_logger_on_first_use=False,
    )


def _finish(sink: _Sink, method: str, event: Event) -> Mapping[str, Any]:
    trace = event.pop("exc_info", None)
    finished = {key: _clean_value(key, value) for key, value in event.items()}
    if trace:
        finished["exception"] = _format_trace(trace)
    return finished


def _clean_value(key: str, value: Any) -> Any:
    if any(secret in key for secret in _SECRETS):
        return "[not written]"
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return clean_text(bytes(value[:64]).hex(), 64)
    if isinstance(value, list | tuple | set | frozenset):
        shown = [_clean_value("", entry) for entry in list(value)[:LIST_ENTRIES_MAX]]
        return shown if len(value) <= LIST_ENTRIES_MAX else [*shown, f"… {len(value)} in all"]
    return clean_text(str(value))


def _format_trace(trace: Any) -> str:
    if isinstance(trace, BaseException):
        lines = traceback.format_exception(trace)
    elif isinstance(trace, tuple):
        lines = traceback.format_exception(*trace)
    else:
        lines = traceback.format_exc().splitlines(keepends=True)
    return clean_text("".join(lines).strip(), TRACEBACK_CHARACTERS_MAX)


def _quote(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    plain = text and not any(char in text for char in ' "=')
    return text if plain else json.dumps(text, ensure_ascii=False)


def _name_area(name: str) -> str:
    for package, area in _AREA_BY_PACKAGE.items():
        if name == package or name.startswith(package + "."):
            return area
    return name.rpartition(".")[2]


def _format_time(wall_ms: int) -> str:
    moment = datetime.fromtimestamp(wall_ms / 1_000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _open_file(folder: Path) -> logging.handlers.RotatingFileHandler:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return logging.handlers.RotatingFileHandler(
        folder / LOG_FILE_NAME,
        maxBytes=LOG_FILE_BYTES_MAX,
        backupCount=LOG_FILES_OLD_MAX,
        encoding="utf-8",
        errors="backslashreplace",
    )


def _is_ours(handler: logging.Handler) -> bool:
    return isinstance(handler, _ForeignHandler)


configure_quietly()
