"""The sealer's diary: whole or not at all, private, and never taken for another."""

from dataclasses import replace
from pathlib import Path

import pytest

from node.diary_file import DiaryFile
from node.high_water import SigningError
from node.private_files import KeyFileError
from protocol.agreement_effects import Diary
from protocol.ballots import Proposal, Step
from protocol.seals import compute_set_root
from tests.support.agreeing import EPOCH, VALUES, Member, a_ballot, a_content, a_proposal
from tests.support.builders import a_hash
from tests.support.exploring import back


def a_diary() -> Diary:
    """Return one in which everything that can be said was said."""
    member = Member(0, VALUES[0])
    member.hear(a_proposal(1, 0, VALUES[0]))
    for step in (Step.PREVOTE, Step.PRECOMMIT):
        for place in (1, 2, 3):
            member.hear(a_ballot(place, 0, step, VALUES[0]))
    diary = member.agreement.diary
    assert diary.locked is not None
    assert diary.decision is not None
    assert diary.sealed is not None
    return diary


def test_what_was_written_is_read_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "own" / "diary"
    diary = a_diary()
    file = DiaryFile(path)
    assert file.read() is None
    file.write(diary, {})
    again = DiaryFile(path).read()
    assert again == (diary, {})
    assert path.stat().st_mode & 0o777 == 0o600
    later = Diary(EPOCH + 1, 0)
    file.write(later, {})
    assert DiaryFile(path).read() == (later, {})
    assert [one.name for one in path.parent.iterdir()] == ["diary"], "no draft is left"


def test_sets_that_the_diary_names_come_back_by_their_roots(tmp_path: Path) -> None:
    ids = sorted(a_hash(str(number)) for number in range(3))
    root = compute_set_root(ids)
    content = replace(a_content(VALUES[0]), set_root=root, count=3)
    backed = back((0, VALUES[0]))
    assert backed is not None
    diary = Diary(EPOCH, 1, locked=replace(backed, content=content))
    file = DiaryFile(tmp_path / "own" / "diary")
    file.write(diary, {root: ids, a_hash("another"): [a_hash("x")]})
    assert DiaryFile(tmp_path / "own" / "diary").read() == (diary, {root: ids})


@pytest.mark.parametrize("place", [0, 40, -1])
def test_a_damaged_diary_is_refused(tmp_path: Path, place: int) -> None:
    path = tmp_path / "own" / "diary"
    DiaryFile(path).write(a_diary(), {})
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(SigningError, match="diary_damaged"):
        DiaryFile(path)


def test_a_diary_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "own" / "diary"
    DiaryFile(path).write(a_diary(), {})
    path.chmod(0o644)
    with pytest.raises(KeyFileError, match="key_readable_by_others"):
        DiaryFile(path)


def test_a_disk_that_cannot_be_written_is_told_before_anything_is_sent(tmp_path: Path) -> None:
    file = DiaryFile(tmp_path / "a file" / "diary")
    (tmp_path / "a file").write_text("no folder")
    with pytest.raises(SigningError, match="diary_unwritable"):
        file.write(Diary(EPOCH, 0), {})
    assert file.read() is None


def test_the_largest_diary_can_be_read(tmp_path: Path) -> None:
    words = [word for word in Member(1, VALUES[0]).sent if isinstance(word, Proposal)]
    backed = back((0, VALUES[0]))
    diary = Diary(EPOCH, 3, words[0], locked=backed, valid=back((2, VALUES[1])), decision=backed)
    DiaryFile(tmp_path / "own" / "diary").write(diary, {})
    assert DiaryFile(tmp_path / "own" / "diary").read() == (diary, {})
