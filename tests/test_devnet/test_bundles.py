"""Bundles: what is in one, what a hostile one may not do, and a run that comes out as it did."""

import gzip
import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from devnet.bundles import archive
from devnet.bundles.archive import read_archive, write_archive
from devnet.bundles.bundle import find_limit, read_bundle, write_bundle
from devnet.bundles.replay import check_harmless, compare_verdicts, describe_roots
from devnet.checks import Verdict
from devnet.cluster import ProcessCluster
from devnet.errors import DevnetError
from devnet.founding import found_devnet
from devnet.layout import Devnet
from devnet.manifests.reader import read_manifest
from devnet.outcome import Outcome, read_outcome, write_outcome
from node.cli import run_command
from node.exits import Exit
from protocol.errors import BlamedError

SEED = 7
MIB = 1 << 20


@pytest.fixture
def devnet(tmp_path: Path) -> Devnet:
    """A devnet at rest, with some past."""
    devnet = found_devnet(tmp_path / "net", 2, SEED)
    devnet.data_paths("n1").rpc_token.write_text("a token\n")
    devnet.log_path("n1").write_text("".join(f"line {number}\n" for number in range(200_000)))
    devnet.log_path("n2").write_text("")
    devnet.note_event("kill", peer="n1")
    verdicts = (Verdict("sound", True, "well"), Verdict("paid", False, "nothing"))
    write_outcome(devnet, Outcome(verdicts, {"1": {"ab": ("n1", "n2")}}))
    return devnet


async def bundle_of(devnet: Devnet, **options: Any) -> Path:
    path = devnet.root.parent / "b.tar.gz"
    await write_bundle(ProcessCluster(devnet), path, **options)
    return path


def unpack(path: Path) -> dict[str, bytes]:
    return dict(read_archive(path, find_limit))


async def test_a_bundle_holds_what_a_report_needs_and_reads_back(devnet: Devnet) -> None:
    bundle = read_bundle(await bundle_of(devnet, again="again"))
    summary = bundle.summary
    assert (summary.seed, summary.provider, summary.again) == (SEED, "process", "again")
    assert summary.network == devnet.roster.network
    assert {name: note.role for name, note in summary.peers.items()} == {
        "n1": "validator",
        "n2": "validator",
    }
    assert "trio" in summary.libraries
    assert bundle.manifest == devnet.read_manifest()
    assert bundle.outcome == read_outcome(devnet)
    assert set(bundle.sizes) == {
        "bundle.json",
        "configs/n1.toml",
        "configs/n2.toml",
        "events.jsonl",
        "logs/n1.log",
        "logs/n2.log",
        "manifest.toml",
        "outcome.json",
        "published.jsonl",
    }


async def test_of_a_long_log_the_end_is_there_in_whole_lines(devnet: Devnet) -> None:
    path = await bundle_of(devnet, log_mib=1)
    log = unpack(path)["logs/n1.log"]
    assert MIB - 16 < len(log) <= MIB
    assert log.startswith(b"line ")
    assert log.endswith(b"line 199999\n")
    assert read_bundle(path).summary.cut == ("logs/n1.log",)


async def test_no_secret_is_in_a_bundle(devnet: Devnet) -> None:
    content = b"".join(unpack(await bundle_of(devnet)).values())
    for name in devnet.names:
        paths = devnet.data_paths(name)
        key = json.loads(next(paths.keys.glob("*.json")).read_text())
        secrets = [paths.identity.read_bytes(), paths.identity.read_bytes().hex().encode()]
        secrets.append(key["crypto"]["cipher"]["message"].encode())
        assert [secret for secret in secrets if secret in content] == []
    assert b"a token" not in content


async def test_the_same_devnet_makes_the_same_bundle(devnet: Devnet) -> None:
    first = (await bundle_of(devnet)).read_bytes()
    assert (await bundle_of(devnet)).read_bytes() == first
    names = list(unpack(devnet.root.parent / "b.tar.gz"))
    assert names == sorted(names)


@pytest.mark.parametrize("log_mib", [-1, 9])
async def test_a_log_of_any_length_is_not_taken(devnet: Devnet, log_mib: int) -> None:
    with pytest.raises(DevnetError, match="bad_value"):
        await bundle_of(devnet, log_mib=log_mib)


# ---------------------------------------------------------------------------- hostile archives


def pack(*entries: tuple[tarfile.TarInfo, bytes], form: int = tarfile.USTAR_FORMAT) -> bytes:
    """Return a tar.gz of anything."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz", format=form) as tar:
        for header, data in entries:
            header.size = len(data)
            tar.addfile(header, io.BytesIO(data))
    return made.getvalue()


def plain(name: str, data: bytes = b"x") -> tuple[tarfile.TarInfo, bytes]:
    return tarfile.TarInfo(name), data


def special(kind: bytes, name: str = "manifest.toml", target: str = "") -> bytes:
    header = tarfile.TarInfo(name)
    header.type, header.linkname = kind, target
    return pack((header, b""))


def make_sparse() -> bytes:
    header = tarfile.TarInfo("logs/n1.log")
    header.type = tarfile.GNUTYPE_SPARSE
    return pack((header, b"x"), form=tarfile.GNU_FORMAT)


def make_bomb() -> bytes:
    # Each file is short enough by itself.
    return pack(*(plain(f"logs/n{number}.log", bytes(8 * MIB)) for number in range(1, 3)))


def spoil_header() -> bytes:
    data = bytearray(gzip.decompress(pack(plain("manifest.toml"))))
    data[0] ^= 1
    return gzip.compress(bytes(data))


def make_huge_size() -> bytes:
    """A header that promises eight exbibytes."""
    header = tarfile.TarInfo("logs/n1.log")
    header.size = 1 << 62
    return gzip.compress(header.tobuf(tarfile.GNU_FORMAT))


WHOLE = pack(plain("manifest.toml", os.urandom(4_096)))

HOSTILE: dict[str, bytes] = {
    "a path that climbs": pack(plain("../../manifest.toml")),
    "a path that climbs within": pack(plain("logs/../../n1.log")),
    "a path from the root": pack(plain("/etc/passwd")),
    "a name that nobody knows": pack(plain("logs/n1.log.exe")),
    "a name of other letters": pack(plain("logs/ñ1.log")),
    "a symbolic link": special(tarfile.SYMTYPE, target="/etc/passwd"),
    "a hard link": special(tarfile.LNKTYPE, target="bundle.json"),
    "a device": special(tarfile.CHRTYPE),
    "a pipe": special(tarfile.FIFOTYPE),
    "a folder": special(tarfile.DIRTYPE, "logs"),
    "a sparse file": make_sparse(),
    "headers of pax": pack(plain("logs/" + "n" * 200), form=tarfile.PAX_FORMAT),
    "a file twice": pack(plain("manifest.toml"), plain("manifest.toml")),
    "a file too long": pack(plain("manifest.toml", bytes(300 * 1024))),
    "a size of another world": make_huge_size(),
    "a bomb": make_bomb(),
    "too many files": pack(
        *(plain(f"logs/n{number}.log") for number in range(archive.FILES_MAX + 1))
    ),
    "a header with a wrong check": spoil_header(),
    "cut in the middle": WHOLE[: len(WHOLE) // 2],
    "cut at the end": WHOLE[:-4],
    "cut within the tar": gzip.compress(gzip.decompress(WHOLE)[:700]),
    "no end": gzip.compress(gzip.decompress(WHOLE)[:4_608]),
    "bytes after the end": gzip.compress(gzip.decompress(WHOLE) + b"more"),
    "another archive after it": WHOLE + WHOLE,
    "zeros without end": gzip.compress(gzip.decompress(WHOLE) + bytes(MIB)),
    "no gzip": b"PK\x03\x04" + bytes(100),
    "nothing": b"",
}


def test_as_many_files_as_the_largest_devnet_has_are_read(tmp_path: Path) -> None:
    path = tmp_path / "b.tar.gz"
    files = {f"logs/n{number}.log": b"x" for number in range(archive.FILES_MAX)}
    write_archive(path, files)
    assert dict(read_archive(path, find_limit)) == files


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_is_refused_with_what_was_found_and_wanted(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / "b.tar.gz"
    path.write_bytes(HOSTILE[name])
    with pytest.raises(DevnetError) as caught:
        read_bundle(path)
    assert caught.value.code == "bad_bundle"
    assert str(caught.value).isprintable()
    assert [one.name for one in tmp_path.iterdir()] == ["b.tar.gz"]


def test_a_bomb_is_noticed_before_it_has_burst(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "b.tar.gz"
    path.write_bytes(make_bomb())
    monkeypatch.setattr(archive, "RATIO_MAX", 10**9)
    assert len(dict(read_archive(path, find_limit))) == 2
    monkeypatch.setattr(archive, "BYTES_MAX", MIB)
    with pytest.raises(DevnetError, match=f"more than {MIB} bytes in all"):
        dict(read_archive(path, find_limit))


@pytest.mark.parametrize("cut", range(0, 700, 23))
def test_a_bundle_cut_anywhere_is_refused(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "b.tar.gz"
    write_archive(path, {"manifest.toml": os.urandom(600)})
    data = path.read_bytes()
    assert cut < len(data)
    path.write_bytes(data[:cut])
    with pytest.raises(DevnetError, match="bad_bundle"):
        dict(read_archive(path, find_limit))


def change_summary(files: dict[str, bytes], change: Callable[[dict[str, Any]], None]) -> None:
    document = json.loads(files["bundle.json"])
    change(document)
    files["bundle.json"] = json.dumps(document).encode()


def set_field(name: str, value: Any) -> Callable[[dict[str, bytes]], None]:
    return lambda files: change_summary(files, lambda document: document.update({name: value}))


def set_file(name: str, data: bytes) -> Callable[[dict[str, bytes]], None]:
    return lambda files: files.update({name: data})


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (set_field("format", "minesync-bundle/2"), "unknown_format"),
        (set_field("format", None), "unknown_format"),
        (set_field("seed", "7"), "bad_record"),
        (set_field("seed", True), "bad_record"),
        (set_field("seed", 7.0), "bad_record"),
        (set_field("peers", []), "bad_record"),
        (set_field("peers", {"n1": {"role": "x"}}), "bad_record"),
        (set_field("more", 1), "bad_record"),
        (set_field("cut", [1]), "bad_record"),
        (lambda files: change_summary(files, lambda one: one.pop("network")), "bad_record"),
        (set_file("bundle.json", b'{"format": 1, "format": 2}'), "bad_record"),
        (set_file("bundle.json", b"[" * 100_000), "bad_record"),
        (set_file("bundle.json", b"\xff"), "bad_record"),
        (set_file("bundle.json", b"NaN"), "bad_record"),
        (set_file("bundle.json", b"7"), "unknown_format"),
        (set_file("outcome.json", b"{}"), "unknown_format"),
        (set_file("manifest.toml", b"\xff"), "bad_bundle"),
        (set_file("manifest.toml", b"[devnet"), "manifest_syntax"),
        (set_file("manifest.toml", b"[kingdom]"), "unknown_table"),
        (set_file("manifest.toml", b"[node.n1]"), "bad_bundle"),
        (set_field("seed", 8), "bad_bundle"),
        (lambda files: files.pop("bundle.json"), "bad_bundle"),
        (lambda files: files.pop("outcome.json"), "bad_bundle"),
    ],
)
async def test_content_of_another_shape_is_refused(
    devnet: Devnet, change: Callable[[dict[str, bytes]], None], code: str
) -> None:
    path = await bundle_of(devnet, log_mib=0)
    files = unpack(path)
    change(files)
    write_archive(path, files)
    with pytest.raises(BlamedError) as caught:
        read_bundle(path)
    assert caught.value.code == code


# ------------------------------------------------------------------------------------ once more


@pytest.mark.parametrize(
    "line",
    [
        'exe = "/tmp/python"',
        'env = { LD_PRELOAD = "/tmp/x.so" }',
        'config.worker.command = "rm -r x"',
        'config.worker.scorer_command = "rm -r x"',
        'config.rpc.allowed_hosts = ["evil"]',
    ],
)
@pytest.mark.parametrize("table", ["[defaults]", "[node.n1]", "[group.g]\ncount = 1"])
def test_programs_that_a_stranger_chose_do_not_run(table: str, line: str) -> None:
    with pytest.raises(DevnetError, match="not_trusted"):
        check_harmless(read_manifest(f"{table}\n{line}\n", "manifest.toml"))


@pytest.mark.parametrize("line", ["exe = '/tmp/python'", "env.LD_PRELOAD = '/tmp/x.so'"])
def test_a_release_that_a_stranger_chose_is_no_upgrade(line: str) -> None:
    text = f"[[event]]\ndo = 'upgrade'\nat = '1s'\ntarget = ['n1']\n{line}\n"
    with pytest.raises(DevnetError, match=r"not_trusted: found \[\[event\]\] 1"):
        check_harmless(read_manifest(text, "manifest.toml"))


def test_numbers_and_known_words_are_harmless() -> None:
    text = '[node.n1]\nconfig.sync.sessions_max = 2\nconfig.store.engine = "memory"\n'
    check_harmless(read_manifest(text, "manifest.toml"))


def test_two_outcomes_are_compared_check_by_check_and_root_by_root() -> None:
    then = Outcome((Verdict("a", True, ""), Verdict("b", False, "")), {"2": {"x": ("n1",)}})
    now = Outcome((Verdict("b", True, ""), Verdict("c", True, "")), {"2": {"y": ("n1",)}})
    found = [(one.name, one.then, one.now, one.is_same) for one in compare_verdicts(then, now)]
    assert found == [
        ("a", True, None, False),
        ("b", False, True, False),
        ("c", None, True, False),
    ]
    assert describe_roots(then, now) == "state roots: the first that differ are of epoch 2"
    assert describe_roots(then, then) == "state roots: the same in all 1 epochs"
    assert describe_roots(then, Outcome()) == "state roots: no epoch in common"


def test_a_run_in_virtual_time_comes_out_the_same_to_the_last_root(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where, again = ["--dir", str(tmp_path / "net")], ["--dir", str(tmp_path / "again")]
    path = str(tmp_path / "b.tar.gz")
    run = ["run", "solo", "--provider", "sim", "--seed", "5"]
    assert run_command(["devnet", *run, *where]) == Exit.OK
    assert run_command(["devnet", "bundle", path, *where]) == Exit.OK
    assert run_command(["devnet", "reproduce", path, *again]) == Exit.OK
    shown = capsys.readouterr().out
    assert "state roots: the same in all" in shown
    assert "the checks came out the same" in shown
    # It says so when they do not.
    files = unpack(Path(path))
    document = json.loads(files["outcome.json"])
    document["verdicts"][0]["ok"] = False
    files["outcome.json"] = json.dumps(document).encode()
    write_archive(Path(path), files)
    again.append("--reset")
    assert run_command(["devnet", "reproduce", path, "--json", *again]) == Exit.FAILED
    found = json.loads(capsys.readouterr().out)
    assert found["same"] is False
    assert found["checks"][0]["then"] is False
    assert found["checks"][0]["now"] is True


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["bundle", "/no/such/folder/b.tar.gz"], "no_bundle"),
        (["bundle", "b.tar.gz", "--log-mib", "99"], "bad_value"),
        (["reproduce", "/no/such/file"], "no_bundle"),
    ],
)
def test_a_command_that_cannot_be_done_says_why(
    devnet: Devnet, capsys: pytest.CaptureFixture[str], words: list[str], code: str
) -> None:
    assert run_command(["devnet", *words, "--dir", str(devnet.root)]) == Exit.FAILED
    line = capsys.readouterr().err
    assert line.startswith(f"minesync: {code}")
    assert line.count("\n") == 1
