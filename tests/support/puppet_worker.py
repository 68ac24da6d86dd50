"""A worker that does what the input of its task says: well-behaved, or every way it can go wrong.

Run by path with an isolated Python, so it uses the standard library only. Arguments of the form
`name=value` change its hello; `deaf` leaves pings unanswered, `stubborn` outlives everything short
of SIGKILL, `quiet` never says hello, `mute` dies before it does, `eager` says something else first.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

MET = threading.Barrier(2)
SPEAKING = threading.Lock()
CANCELLED: dict[str, threading.Event] = {}
DRAWN = os.urandom(4).hex()
ASKED_AGAIN = threading.Event()
CLOSED_TWICE = threading.Event()

Task = dict[str, Any]


def say(**message: Any) -> None:
    write(json.dumps(message) + "\n")


def write(text: str) -> None:
    with SPEAKING:
        sys.stdout.write(text)
        sys.stdout.flush()


def wait_for_ever() -> None:
    threading.Event().wait()


def answer(task: Task, output: str) -> None:
    say(type="answer", id=task["id"], output=output)


def die(task: Task) -> None:
    print("oh \x1b[31mno", file=sys.stderr, flush=True)
    os._exit(3)


def flood(task: Task) -> None:
    while True:
        say(type="progress", id=task["id"], fraction=0.5)


def wait(task: Task) -> None:
    CANCELLED[task["id"]].wait()
    say(type="error", id=task["id"], retryable=False, message="cancelled")


def close_twice(task: Task) -> None:
    CANCELLED[task["id"]].wait()
    answer(task, "in time")
    ASKED_AGAIN.wait()
    say(type="error", id=task["id"], retryable=False, message="cancelled")
    CLOSED_TWICE.set()


def close_the_one_before(task: Task) -> None:
    ASKED_AGAIN.set()
    CLOSED_TWICE.wait()
    answer(task, "echo")


def wait_once(task: Task) -> None:
    if task["attempt"] == 1:
        wait_for_ever()
    answer(task, f"attempt {task['attempt']}")


def meet(task: Task) -> None:
    MET.wait()
    answer(task, "met")


def beget(task: Task) -> None:
    child = subprocess.Popen([sys.executable, "-IS", "-c", "import signal; signal.pause()"])
    answer(task, str(child.pid))


def progress(task: Task) -> None:
    for fraction in (0, 0.5, 1):
        say(type="progress", id=task["id"], fraction=fraction, note="on my way")
    answer(task, "there")


def grumble(task: Task) -> None:
    print("a \x1b[31mred\x1b[0m line\x00", file=sys.stderr, flush=True)
    answer(task, "said")


def tell_environment(task: Task) -> None:
    answer(task, json.dumps(sorted(name for name in os.environ if name.startswith("MINESYNC_"))))


def close_stdin(task: Task) -> None:
    os.close(0)
    answer(task, "closed")
    wait_for_ever()


def close_stdout(task: Task) -> None:
    os.close(1)
    wait_for_ever()


def answer_twice(task: Task) -> None:
    answer(task, "one")
    answer(task, "two")


def score_backwards(task: Task) -> None:
    ids = [one["id"] for one in reversed(task["answers"])]
    say(type="scores", id=task["id"], scores=[{"id": one, "score": 1} for one in ids])


def score_kindly(task: Task) -> None:
    scores = [{"id": one["id"], "score": 85} for one in task["answers"]]
    say(type="scores", id=task["id"], scores=scores)


TRICKS: dict[str, Callable[[Task], None]] = {
    "echo": lambda task: answer(task, "echo"),
    "junk": lambda task: write("Loading \x1b[31mmodel...\n"),
    "die": die,
    "hang": lambda task: wait_for_ever(),
    "flood": flood,
    "overlong": lambda task: write("x" * (1 << 21)),
    "wait": wait,
    "wait once": wait_once,
    "close twice": close_twice,
    "close the one before": close_the_one_before,
    "score": lambda task: say(type="scores", id=task["id"], scores=[{"id": "a", "score": 1}]),
    "meet": meet,
    "beget": beget,
    "progress": progress,
    "grumble": grumble,
    "environment": tell_environment,
    "close stdout": close_stdout,
    "answer twice": answer_twice,
    "answer another": lambda task: say(type="answer", id="another", output=""),
    "too long an answer": lambda task: answer(task, "x" * 12_289),
    "draw": lambda task: answer(task, DRAWN),
    "fail": lambda task: say(type="error", id=task["id"], retryable=True, message="no GPU\n"),
    "refuse": lambda task: say(type="error", id=task["id"], retryable=False, message="bad input"),
}


def serve(message: Task) -> None:
    if message["type"] == "score" and message["task"]["input"] == "backwards":
        score_backwards(message)
    elif message["type"] == "score" and message["task"]["input"] == "kindly":
        score_kindly(message)
    elif message["type"] == "score":
        answer(message, "no scores")
    else:
        text = message["input"]
        # What is no trick is measured, so that a test sees that all of it arrived.
        if text in TRICKS:
            TRICKS[text](message)
        else:
            answer(message, f"{len(text)} characters")


def main(words: list[str]) -> None:
    hello: dict[str, Any] = {
        "type": "hello",
        "proto": 1,
        "worker": "puppet 1",
        "roles": ["solver"],
        "kinds": ["general_task"],
        "concurrency": 4,
    }
    hello.update((w.partition("=")[0], json.loads(w.partition("=")[2])) for w in words if "=" in w)
    if "mute" in words:
        sys.exit("nothing to say")
    if "stubborn" in words:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "eager" in words:
        say(type="pong", id=1)
    if "quiet" not in words:
        say(**hello)
    for line in sys.stdin.buffer:
        message = json.loads(line)
        if message["type"] in ("task", "score"):
            CANCELLED[message["id"]] = threading.Event()
            if message.get("input") == "close stdin":
                # In this thread, so that nothing is reading from it just then.
                close_stdin(message)
            threading.Thread(target=serve, args=(message,), daemon=True).start()
        elif message["type"] == "cancel":
            CANCELLED[message["id"]].set()
        elif "deaf" not in words:
            say(type="pong", id=message["id"])
    if "stubborn" in words:
        wait_for_ever()


if __name__ == "__main__":
    main(sys.argv[1:])
