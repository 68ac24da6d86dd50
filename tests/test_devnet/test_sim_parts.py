"""The parts of a simulation, each by itself: fates, plans, the disk, links, rare places."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devnet.errors import DevnetError
from devnet.sim.disk import CrashEngine
from devnet.sim.fates import CALM, Fates, Weather
from devnet.sim.generate import make_plan
from devnet.sim.links import choose_links
from devnet.sim.plan import CORE, LAYERS, Event, Plan, parse_plan, read_plan, write_plan
from node.buggify import buggified, buggify
from storage.engine import Batch, Engine
from storage.errors import Closed, StorageError
from tests.support.engine_contract import CONTRACT

STORM = Weather(loss=3_000, duplication=5_000, reordering=5_000, delay_ms_max=100, stragglers=True)


def put(engine: CrashEngine, key: bytes, *, sync: bool) -> None:
    batch = Batch()
    batch.put("meta", key, key)
    engine.write(batch, sync=sync)


# ------------------------------------------------------------------------------------------ fates


def test_a_fate_depends_on_seed_link_and_place_and_on_no_other_message() -> None:
    one, other = Fates(7, STORM), Fates(7, STORM)
    alone = [one.draw_message(0, 1, is_gossip=True) for _ in range(50)]
    among = []
    for _ in range(50):
        other.draw_message(1, 0, is_gossip=True)
        among.append(other.draw_message(0, 1, is_gossip=True))
        other.draw("something else")
    assert alone == among
    assert alone != [Fates(8, STORM).draw_message(0, 1, is_gossip=True) for _ in range(50)]


def test_weather_does_what_it_says() -> None:
    fates = Fates(1, STORM)
    drawn = [fates.draw_message(0, 1, is_gossip=True) for _ in range(4_000)]
    lost = sum(one.is_lost for one in drawn)
    twice = sum(len(one.delays_ms) == 2 for one in drawn)
    late = sum(one.delays_ms[0] > 100 for one in drawn if not one.is_lost)
    assert 1_000 < lost < 1_400
    assert 1_200 < twice < 1_600
    assert late > 1_000


def test_a_message_of_a_stream_comes_once_or_not_at_all() -> None:
    fates = Fates(1, STORM)
    drawn = [fates.draw_message(0, 1, is_gossip=False) for _ in range(500)]
    assert {len(one.delays_ms) for one in drawn} == {0, 1}


def test_calm_weather_loses_nothing() -> None:
    fates = Fates(1, STORM)
    fates.calm_down()
    assert fates.weather == CALM
    assert all(len(fates.draw_message(0, 1, is_gossip=True).delays_ms) == 1 for _ in range(500))


# ------------------------------------------------------------------------------------------ plans


@given(st.sampled_from(LAYERS), st.integers(0, 1 << 40))
def test_a_plan_is_the_same_when_it_is_made_or_read_again(layer: str, seed: int) -> None:
    plan = make_plan(layer, seed)
    assert plan == make_plan(layer, seed)
    assert parse_plan(json.loads(write_plan(plan))) == plan
    assert 0 in plan.core
    assert len(plan.core) >= 2 or plan.peers == 2


def test_each_feature_is_off_in_about_half_of_the_plans() -> None:
    plans = [make_plan(CORE, seed) for seed in range(400)]
    shares = {
        "loss": sum(plan.weather.loss > 0 for plan in plans),
        "duplication": sum(plan.weather.duplication > 0 for plan in plans),
        "rare places": sum(plan.buggify > 0 for plan in plans),
        "liars": sum(any(plan.habits) for plan in plans),
        **{
            kind: sum(any(one.kind == kind for one in plan.events) for plan in plans)
            for kind in ("crash", "pause", "wipe", "disk", "cut", "cancel")
        },
    }
    assert {name: n for name, n in shares.items() if not 100 <= n <= 300} == {}


def test_a_plan_that_makes_no_sense_is_refused_with_a_reason(tmp_path: Path) -> None:
    good = json.loads(write_plan(replace(make_plan(CORE, 1), events=(Event(5, "crash", 1, (1,)),))))
    wrong = [
        {**good, "peers": 1},
        {**good, "peers": 10**9},
        {**good, "layer": "moon"},
        {**good, "habits": ["liar"] * good["peers"]},
        {**good, "events": [[1, "explode", 0]]},
        {**good, "events": [[1, "crash"]]},
        {**good, "events": [[-1, "crash", 0]]},
        {**good, "events": [[1, "crash", 0, 1, 2, 3, 4]]},
        {**good, "weather": {**good["weather"], "loss": 10_001}},
        {**good, "more": 1},
        {name: value for name, value in good.items() if name != "seed"},
        [],
    ]
    for plain in wrong:
        with pytest.raises(DevnetError, match="bad_plan"):
            parse_plan(plain)
    path = tmp_path / "plan.json"
    path.write_text("{")
    with pytest.raises(DevnetError, match="plan_unreadable"):
        read_plan(path)


def test_the_honest_core_is_connected_without_liars() -> None:
    for seed in range(100):
        plan = make_plan(CORE, seed)
        links = choose_links(plan, Fates(plan.seed, plan.weather))
        core = set(plan.core)
        reached, fresh = {0}, [0]
        while fresh:
            near = [other for other in links[fresh.pop()] if other in core - reached]
            reached.update(near)
            fresh += near
        assert reached == core


# --------------------------------------------------------------------------------------- the disk


@pytest.mark.parametrize("promise", CONTRACT, ids=lambda promise: promise.__name__)
def test_the_disk_of_a_simulation_is_an_engine(promise: object) -> None:
    engine: Engine = CrashEngine()
    promise(engine)  # type: ignore[operator]


def test_a_crash_takes_unsynced_batches_from_the_end_and_no_synced_one() -> None:
    engine = CrashEngine()
    put(engine, b"a", sync=False)
    put(engine, b"b", sync=True)
    put(engine, b"c", sync=False)
    put(engine, b"b", sync=False)
    put(engine, b"d", sync=False)
    left = engine.crash(kept=1)
    assert [key for key, _ in left.scan("meta")] == [b"a", b"b", b"c"]
    with pytest.raises(Closed):
        engine.get("meta", b"a")


@pytest.mark.parametrize(("when", "found"), [("before", []), ("after", [b"k"])])
def test_a_failing_write_is_on_disk_whole_or_not_at_all(when: str, found: list[bytes]) -> None:
    engine = CrashEngine()
    engine.fails_next = when
    with pytest.raises(StorageError, match="disk_failed"):
        put(engine, b"k", sync=True)
    assert [key for key, _ in engine.crash(kept=0).scan("meta")] == found


def test_a_backup_is_a_disk_of_its_own() -> None:
    engine = CrashEngine()
    put(engine, b"a", sync=True)
    image = engine.copy_image()
    put(engine, b"b", sync=True)
    assert [key for key, _ in CrashEngine.from_image(image).scan("meta")] == [b"a"]


# ------------------------------------------------------------------------------------ rare places


def test_rare_places_are_inert_outside_a_simulation() -> None:
    assert not any(buggify("anything") for _ in range(1_000))
    asked: list[str] = []

    def choose(name: str) -> bool:
        asked.append(name)
        return name == "here"

    with buggified(choose):
        assert buggify("here")
        assert not buggify("there")
    assert asked == ["here", "there"]
    assert not buggify("here")


def test_a_plan_without_events_is_the_smallest_there_is() -> None:
    assert Plan().core == (0, 1)
