"""The tests that the READMEs show, and others for runs of pytest within pytest."""

import re
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"## Network tests in ten lines\n.*?```python\n(.*?)```", re.DOTALL)
FIRST = re.compile(r"## Write network tests in ten lines\n\n((?: {4}.*\n)+)")


def read_first_test() -> str:
    """Return the file of the test that the first README shows."""
    found = FIRST.search((ROOT / "README.md").read_text(encoding="utf-8"))
    assert found is not None, "the README shows no test"
    return "import pytest\n\n" + textwrap.dedent(found[1])


def read_ten_lines() -> str:
    """Return the file of a test that the README of devnets shows."""
    found = BLOCK.search((ROOT / "devnet" / "README.md").read_text(encoding="utf-8"))
    assert found is not None, "the README shows no test"
    return found[1]


FAULTY = """
import pytest
from dataclasses import replace
from protocol.messages import GetSeals
from devnet.testing.faulty_peer import read_status

@pytest.mark.devnet(nodes=3)
async def test_faulty(devnet, node, faulty_peer):
    asked = []
    far = replace(await read_status(node), epoch=1000, seal_hash=bytes(32))
    liar = await faulty_peer(asked.append, status=far)
    await liar.dial(node)
    assert liar.peers == (node.spec.peer_id,)
    await liar.publish(b"no transaction at all")
    async with liar.talk_to(node) as messages:
        await messages.send(far)
        assert (await messages.receive(10)).epoch < 1000
    stream = await liar.open_stream(node)
    await stream.send_all(b"no message at all" * 9)
    await devnet.holds("epoch >= 3 and converged")
    assert any(isinstance(one, GetSeals) for one in asked), asked
    assert liar.requests == asked
"""


def plant_bug(text: str) -> str:
    """Return the test with a last line that cannot hold."""
    planted = text.replace("[task] == 4", "[task] == 99")
    assert planted != text
    return planted
