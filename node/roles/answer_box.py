"""Answers that are committed to and not yet settled: what a miner must not lose before he reveals.

A commitment can be opened with its content and its salt only, and an answer that is not revealed
costs a part of the stake. So both are on disk before the commitment is signed. They lie beside the
database and not in it, like the signing marks: a database that is restored, or filled again from
peers, brings the commitment back, but no peer knows the salt.

    DATA/answers/<task id>.cbor   [version, task id, salt, content]   private, written once
"""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import structlog

from node.private_files import (
    KeyFileError,
    create_private,
    make_private_folder,
    read_private,
    sync_folder,
)
from protocol.errors import Rejected
from protocol.kinds.reveal_answer import CONTENT_BYTES_MAX
from protocol.schema import AtMost, Between, decode_record, encode_record
from protocol.task_types import Id

log = structlog.get_logger("roles")

VERSION = 1
ANSWERS_MAX = 4_096
"""Kept at one time; a miner with so many unsettled answers takes no further task."""
FILE_BYTES_MAX = CONTENT_BYTES_MAX + 256
_ENDING = ".cbor"


@dataclass(frozen=True, slots=True)
class BoxedAnswer:
    """One answer with what opens its commitment."""

    version: Annotated[int, Between(VERSION, VERSION)]
    task_id: Id
    salt: Id
    content: Annotated[bytes, AtMost(CONTENT_BYTES_MAX)]


class AnswerBox:
    """The answers of one account on one network.

    Args:
        folder: where they are kept; None: in memory, which a restart forgets.

    Raises:
        KeyFileError: the folder is open to others or cannot be made.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._answers: dict[bytes, BoxedAnswer] = {}
        if folder is None:
            return
        make_private_folder(folder)
        for path in sorted(folder.glob(f"*{_ENDING}")):
            answer = _read(path)
            if answer is not None:
                self._answers[answer.task_id] = answer

    def __len__(self) -> int:
        return len(self._answers)

    @property
    def is_full(self) -> bool:
        """Whether there is no room for a further answer."""
        return len(self._answers) >= ANSWERS_MAX

    def list_tasks(self) -> list[bytes]:
        """Return the tasks there is an answer to, sorted."""
        return sorted(self._answers)

    def get(self, task_id: bytes) -> BoxedAnswer | None:
        """Return the answer to a task, or None."""
        return self._answers.get(task_id)

    def put(self, task_id: bytes, salt: bytes, content: bytes) -> BoxedAnswer:
        """Keep an answer; it is on disk when this returns.

        Raises:
            KeyFileError: it cannot be written, or there is one already.
        """
        answer = BoxedAnswer(VERSION, task_id, salt, content)
        if self._folder is not None:
            create_private(self._path(task_id), encode_record(answer))
        self._answers[task_id] = answer
        return answer

    def remove(self, task_id: bytes) -> None:
        """Forget the answer to a task that is over."""
        if self._answers.pop(task_id, None) is not None and self._folder is not None:
            with contextlib.suppress(OSError):
                os.unlink(self._path(task_id))
                sync_folder(self._folder)

    def _path(self, task_id: bytes) -> Path:
        assert self._folder is not None
        return self._folder / f"{task_id.hex()}{_ENDING}"


def _read(path: Path) -> BoxedAnswer | None:
    """Return the answer in a file; one that cannot be read is left where it is, and told."""
    try:
        answer = decode_record(BoxedAnswer, read_private(path, FILE_BYTES_MAX))
    except (Rejected, KeyFileError) as error:
        log.error("answer_unreadable", file=path.name, code=error.code, found=error.found)
        return None
    return answer
