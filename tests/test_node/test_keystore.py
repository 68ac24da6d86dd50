"""Account keys at rest: what opens them, and what is said of those that do not open."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from node.exits import Exit, find_exit
from node.keystore import (
    create_key,
    export_key,
    get_key_path,
    import_key,
    list_keys,
    normalise_password,
    read_key,
    unlock_key,
)
from node.private_files import KeyFileError, create_private
from protocol.keys import compute_address

SEED = bytes(range(32))
PASSWORD = "correct horse"


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One encrypted key for all tests: making one takes a fifth of a second on purpose."""
    folder = tmp_path_factory.mktemp("keys") / "keys"
    return create_key(folder, PASSWORD, seed=SEED, description="mine").path


def refuse(call: Callable[[], object]) -> KeyFileError:
    with pytest.raises(KeyFileError) as caught:
        call()
    assert find_exit(caught.value) is Exit.KEY
    assert "\n" not in str(caught.value)
    assert SEED.hex() not in str(caught.value)
    assert PASSWORD not in str(caught.value)
    return caught.value


def copy_changed(path: Path, folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    document = json.loads(path.read_bytes())
    change(document)
    target = folder / "keys" / path.name
    create_private(target, json.dumps(document).encode())
    return target


def test_a_key_opens_with_its_password_and_with_no_other(encrypted: Path) -> None:
    assert unlock_key(encrypted, PASSWORD) == SEED
    error = refuse(lambda: unlock_key(encrypted, PASSWORD + "!"))
    assert error.code == "wrong_password"
    assert error.wanted
    assert refuse(lambda: unlock_key(encrypted, None)).code == "password_required"


def test_a_key_file_shows_its_account_but_not_its_seed(encrypted: Path) -> None:
    found = read_key(encrypted)
    assert found.address == compute_address(SEED)
    assert found.description == "mine"
    assert found.is_encrypted
    assert SEED.hex() not in encrypted.read_text()
    assert encrypted.stat().st_mode & 0o777 == 0o600
    assert encrypted.parent.stat().st_mode & 0o777 == 0o700
    assert encrypted == get_key_path(encrypted.parent, found.address)


def test_equal_passwords_typed_on_different_keyboards_are_equal() -> None:
    assert normalise_password("caf\u00e9") == normalise_password("cafe\u0301")
    assert normalise_password("\ufb01ne") == b"fine"
    assert normalise_password("a\x00b\x7fc\x85d\n") == b"abcd"


@pytest.mark.parametrize("password", ["", "\n", "\x00"])
def test_an_empty_password_is_refused(tmp_path: Path, password: str) -> None:
    error = refuse(lambda: create_key(tmp_path / "keys", password))
    assert error.code == "password_empty"
    assert list_keys(tmp_path / "keys") == []


def test_a_key_is_kept_in_the_open_only_if_asked_for(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    assert refuse(lambda: create_key(folder, None)).code == "password_required"
    made = create_key(folder, None, seed=SEED, allow_unencrypted=True)
    assert not made.is_encrypted
    assert unlock_key(made.path, None) == SEED
    assert list_keys(folder) == [made]


def test_two_keys_of_one_account_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    create_key(folder, None, seed=SEED, allow_unencrypted=True)
    error = refuse(lambda: create_key(folder, None, seed=SEED, allow_unencrypted=True))
    assert error.code == "key_exists"


def test_an_exported_key_can_be_imported_elsewhere(encrypted: Path, tmp_path: Path) -> None:
    target = tmp_path / "away" / "key.json"
    export_key(encrypted, target)
    wrong = refuse(lambda: import_key(target, tmp_path / "keys", "wrong"))
    assert wrong.code == "wrong_password"
    assert not (tmp_path / "keys").exists()
    taken = import_key(target, tmp_path / "keys", PASSWORD)
    assert unlock_key(taken.path, PASSWORD) == SEED
    assert refuse(lambda: export_key(encrypted, target)).code == "key_exists"


def test_a_key_in_the_open_is_not_imported_unasked(tmp_path: Path) -> None:
    made = create_key(tmp_path / "a", None, allow_unencrypted=True)
    error = refuse(lambda: import_key(made.path, tmp_path / "b", None))
    assert error.code == "key_unencrypted"
    import_key(made.path, tmp_path / "b", None, allow_unencrypted=True)


def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    made = create_key(tmp_path / "keys", None, allow_unencrypted=True)
    made.path.chmod(0o644)
    for call in (lambda: unlock_key(made.path, None), lambda: list_keys(tmp_path / "keys")):
        error = refuse(call)
        assert error.code == "key_readable_by_others"
        assert "0644" in error.found
        assert "0600" in error.wanted
    assert made.path.stat().st_mode & 0o777 == 0o644


def test_a_missing_key_is_one_clear_line(tmp_path: Path) -> None:
    error = refuse(lambda: unlock_key(tmp_path / "none.json", PASSWORD))
    assert error.code == "key_missing"
    assert "none.json" in error.found


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document.update(version="EIP-2335"),
        lambda document: document.pop("pubkey"),
        lambda document: document.update(pubkey="00"),
        lambda document: document.update(crypto=[]),
        lambda document: document["crypto"].pop("kdf"),
        lambda document: document["crypto"]["kdf"].update(function="md5"),
        lambda document: document["crypto"]["cipher"].update(function="none"),
        lambda document: document["crypto"]["kdf"]["params"].update(m_kib=1 << 40),
        lambda document: document["crypto"]["kdf"]["params"].update(t=True),
        lambda document: document["crypto"]["kdf"]["params"].update(p=0),
        lambda document: document["crypto"]["kdf"]["params"].update(salt="zz"),
        lambda document: document["crypto"]["kdf"].update(params=None),
        lambda document: document["crypto"]["cipher"]["params"].update(nonce="00"),
        lambda document: document["crypto"]["cipher"].update(message=""),
        lambda document: document["crypto"]["cipher"].update(message="00" * 40),
    ],
)
def test_a_damaged_key_file_is_one_clear_line(
    encrypted: Path, tmp_path: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    path = copy_changed(encrypted, tmp_path, change)
    error = refuse(lambda: unlock_key(path, PASSWORD))
    assert error.code == "key_malformed"
    assert str(path) in error.found


def test_a_public_key_cannot_be_exchanged_for_another(encrypted: Path, tmp_path: Path) -> None:
    other = compute_address(bytes(32)).hex()
    path = copy_changed(encrypted, tmp_path, lambda document: document.update(pubkey=other))
    assert refuse(lambda: unlock_key(path, PASSWORD)).code == "wrong_password"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 5_000])
def test_a_file_that_is_no_keystore_is_one_clear_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "keys" / "a.json"
    create_private(path, content)
    assert refuse(lambda: list_keys(tmp_path / "keys")).code == "key_malformed"
