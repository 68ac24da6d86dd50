"""Answers that are committed to and not yet settled: what a miner must not lose before he reveals.

DATA/answers/<task id>.cbor   [version, task id, salt, content]   private, written once
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from node.roles.box import Box
from protocol.kinds.reveal_answer import CONTENT_BYTES_MAX
from protocol.schema import AtMost, Between
from protocol.task_types import Id

VERSION = 1
FILE_BYTES_MAX = CONTENT_BYTES_MAX + 256


@dataclass(frozen=True, slots=True)
class BoxedAnswer:
    """One answer with what opens its commitment."""

    version: Annotated[int, Between(VERSION, VERSION)]
    task_id: Id
    salt: Id
    content: Annotated[bytes, AtMost(CONTENT_BYTES_MAX)]


AnswerBox = Box[BoxedAnswer]


def open_answer_box(folder: Path | None) -> AnswerBox:
    """Return the answers of one account on one network, by task.

    Raises:
        KeyFileError: the folder is open to others or cannot be made.
    """
    return Box(folder, BoxedAnswer, lambda answer: answer.task_id, FILE_BYTES_MAX)
