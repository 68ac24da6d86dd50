"""The sealer's diary: whole or not at all, private, and never taken for another."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from node.diary_file import DiaryFile
from node.high_water import SigningError
from node.private_files import KeyFileError
from protocol.agreement_effects import Diary
from protocol.ballots import Step
from protocol.seals import compute_set_root
from storage.errors import Full
from tests.support.agreeing import EPOCH, OPENINGS, VALUES, Member, a_ballot, a_plan, a_proposal
from tests.support.builders import a_hash
from tests.support.exploring import back


def a_diary() -> Diary:
    """Return one in which everything that can be said was said."""
    member = Member(0, VALUES[0])
    member.hear(a_proposal(1, 0, VALUES[0]))
    for step in (Step.PREVOTE, Step.PRECOMMIT):
        for place in (1, 2, 3):
            member.hear(a_ballot(place, 0, step, VALUES[0]))
    member.hear(OPENINGS[1])
    diary = member.agreement.diary
    assert diary.locked is not None
    assert diary.decision is not None
    assert diary.sealed is not None
    return diary


def read_again(path: Path) -> object:
    file = DiaryFile(path)
    found = file.read()
    file.close()
    return found


def test_what_was_written_last_is_read_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "own" / "diary"
    file = DiaryFile(path)
    assert file.read() is None
    assert read_again(path) is None
    diaries = [a_diary(), Diary(EPOCH + 1, 0), Diary(EPOCH + 1, 7), Diary(EPOCH + 2, 0)]
    for diary in diaries:
        file.write(diary, {})
        assert read_again(path) == (diary, {})
    assert {one.stat().st_mode & 0o777 for one in path.parent.iterdir()} == {0o600}
    assert len(list(path.parent.iterdir())) == 2


def test_sets_that_the_diary_names_come_back_by_their_roots(tmp_path: Path) -> None:
    ids = sorted(a_hash(str(number)) for number in range(3))
    root = compute_set_root(ids)
    plan = replace(a_plan(VALUES[0]), set_root=root, count=3)
    backed = back((0, VALUES[0]))
    assert backed is not None
    diary = Diary(EPOCH, 1, locked=replace(backed, plan=plan))
    file = DiaryFile(tmp_path / "own" / "diary")
    file.write(diary, {root: ids, a_hash("another"): [a_hash("x")]})
    assert read_again(tmp_path / "own" / "diary") == (diary, {root: ids})


@pytest.mark.parametrize("cut", range(0, 400, 13))
def test_a_page_that_a_power_cut_tore_leaves_the_one_before(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "own" / "diary"
    file = DiaryFile(path)
    file.write(a_diary(), {})
    file.write(Diary(EPOCH + 1, 0), {})
    newest = path.with_name("diary.0")
    before = newest.read_bytes()
    file.write(a_diary(), {})
    file.write(Diary(EPOCH + 2, 0), {})
    data = newest.read_bytes()
    torn = data[:cut] + bytes(max(0, len(data) - cut))
    newest.write_bytes(torn if torn != data else before[:5])
    assert read_again(path) == (a_diary(), {})


def test_two_damaged_pages_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "own" / "diary"
    file = DiaryFile(path)
    for number in range(2):
        file.write(Diary(EPOCH, number), {})
    for place in path.parent.iterdir():
        data = bytearray(place.read_bytes())
        data[40] ^= 1
        place.write_bytes(bytes(data))
    with pytest.raises(SigningError, match="diary_damaged"):
        DiaryFile(path)


def test_a_first_page_that_was_torn_said_nothing_yet(tmp_path: Path) -> None:
    path = tmp_path / "own" / "diary"
    DiaryFile(path).write(Diary(EPOCH, 0), {})
    path.with_name("diary.1").write_bytes(b"torn")
    assert read_again(path) is None


def test_a_diary_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "own" / "diary"
    DiaryFile(path).write(a_diary(), {})
    path.with_name("diary.1").chmod(0o644)
    with pytest.raises(KeyFileError, match="key_readable_by_others"):
        DiaryFile(path)


def test_a_disk_that_cannot_be_written_is_told_before_anything_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "own" / "diary"
    file = DiaryFile(path)
    file.write(Diary(EPOCH, 0), {})

    def fail(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fdatasync", fail)
    with pytest.raises(Full):
        file.write(Diary(EPOCH, 1), {})
    assert file.read() == (Diary(EPOCH, 0), {})


def test_a_diary_of_an_earlier_release_says_nothing_and_is_written_over(tmp_path: Path) -> None:
    path = tmp_path / "own" / "diary"
    DiaryFile(path).write(Diary(EPOCH, 0), {})
    written = path.with_name("diary.1")
    body = (7).to_bytes(8, "big") + b"what was a diary then"
    written.write_bytes(hashlib.sha256(b"minesync/diary/1" + body).digest() + body)
    assert read_again(path) is None
    file = DiaryFile(path)
    file.write(a_diary(), {})
    assert read_again(path) == (a_diary(), {})
    assert path.with_name("diary.0").stat().st_size > 0, "in the other place"
