"""The node's own key, and the rules of every private file."""

import os
from pathlib import Path

import pytest

from node.exits import Exit, find_exit
from node.identity import compute_peer_id, create_identity, load_identity
from node.private_files import (
    KeyFileError,
    create_private,
    make_private_folder,
    read_private,
    replace_private,
)


def test_a_created_identity_is_read_back_and_only_its_owner_can(tmp_path: Path) -> None:
    path = tmp_path / "home" / "identity.key"
    seed = create_identity(path)
    assert load_identity(path) == seed
    assert len(seed) == 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [entry.name for entry in path.parent.iterdir()] == ["identity.key"]


def test_an_identity_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "home" / "identity.key"
    seed = create_identity(path)
    with pytest.raises(KeyFileError) as caught:
        create_identity(path)
    assert caught.value.code == "key_exists"
    assert load_identity(path) == seed


def break_identity(path: Path, how: str) -> None:
    match how:
        case "missing":
            path.unlink()
        case "group readable":
            path.chmod(0o640)
        case "world readable":
            path.chmod(0o604)
        case "short":
            path.write_bytes(b"\x01" * 31)
        case "long":
            path.write_bytes(b"\x01" * 33)
        case "folder":
            path.unlink()
            path.mkdir()
        case "pipe":
            path.unlink()
            os.mkfifo(path, 0o600)
        case "link":
            path.rename(path.with_name("elsewhere"))
            path.symlink_to(path.with_name("elsewhere"))
        case "open folder":
            path.parent.chmod(0o755)


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ("missing", "key_missing"),
        ("group readable", "key_readable_by_others"),
        ("world readable", "key_readable_by_others"),
        ("short", "key_malformed"),
        ("long", "key_malformed"),
        ("folder", "key_unreadable"),
        ("pipe", "key_unreadable"),
        ("link", "key_unreadable"),
        ("open folder", "folder_open"),
    ],
)
def test_a_bad_identity_is_one_clear_line(tmp_path: Path, how: str, code: str) -> None:
    path = tmp_path / "home" / "identity.key"
    create_identity(path)
    break_identity(path, how)
    with pytest.raises(KeyFileError) as caught:
        load_identity(path)
    assert caught.value.code == code
    assert find_exit(caught.value) is Exit.KEY
    assert str(path.parent) in caught.value.found
    assert caught.value.wanted
    assert "\n" not in str(caught.value)


def test_the_peer_id_is_the_one_that_libp2p_derives() -> None:
    # The first key pair of RFC 8032; the peer id was computed by libp2p 0.8.1.
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    assert compute_peer_id(seed) == "12D3KooWQK1wnefoLrcVHbbnf5tLzbopUd3K3bFAoJpA7YJgL5pV"


def test_a_private_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "home" / "token"
    replace_private(path, b"one")
    replace_private(path, b"two")
    assert read_private(path, 10) == b"two"
    assert [entry.name for entry in path.parent.iterdir()] == ["token"]


def test_a_private_file_that_is_too_long_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "home" / "token"
    create_private(path, b"x" * 11)
    with pytest.raises(KeyFileError) as caught:
        read_private(path, 10)
    assert caught.value.code == "key_malformed"


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(KeyFileError) as caught:
        make_private_folder(tmp_path / "file" / "folder")
    assert caught.value.code == "folder_unusable"
