"""The stories: each file under tests/stories is played, and must end as it says.

REWRITE=1 writes the endings anew; then read the difference.
"""

import os
from pathlib import Path

import pytest

from tests.support.stories import Player, read_story, write_story

STORIES = sorted((Path(__file__).parents[1] / "stories").glob("*.txt"))


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
def test_a_story_ends_as_it_says(path: Path) -> None:
    story = read_story(path)
    outcome = Player().play(story)
    if os.environ.get("REWRITE") == "1":
        write_story(path, story, outcome)
    else:
        assert outcome == story.expected


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
def test_a_story_has_a_moral_and_an_ending(path: Path) -> None:
    story = read_story(path)
    assert story.told.startswith("# ")
    assert "together" in story.expected


def test_there_are_stories() -> None:
    assert len(STORIES) >= 8
