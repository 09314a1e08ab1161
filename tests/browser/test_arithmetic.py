"""The modules of pages that know nothing of a page: what they compute, and how often they ask."""

import json
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from playwright.async_api import Page, Route

from app.pages.files import STATIC
from app.video import labels

_MORNING = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
_PLACE = "http://pages.example/"
_MODULES = """
const root = new URL("components/", location.href);
const names = [
  "player/frames.js", "player/clock.js", "timeline/scale.js", "timeline/lanes.js", "../lib/reading.js",
];
const [frames, clock, scale, lanes, reading] =
  await Promise.all(names.map((each) => import(root + each)));
"""
_ASKED = """
const calls = [];
const asks = (answer) => (...values) => (calls.push(Date.now()), answer(...values));
const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
const gaps = () => calls.slice(1).map((time, n) => Math.round((time - calls[n]) / 1000));
const nothing = () => {};
const tell = Object.fromEntries(
  ["ready", "shown", "playing", "waiting", "refused", "empty", "following", "live"].map(
    (name) => [name, nothing]));
const canvas = document.createElement("canvas");
"""
_STORE = """
const asked = [];
const stored = times.map((time, frame) => ({frame, time}));
const read = async (query) => {
  asked.push(query);
  const first = query.cursor ?? query.from_frame ?? 0;
  const isIn = (time) => time >= query.from_time && time < (query.to_time ?? Infinity);
  const fits = ({frame, time}) => frame >= first && isIn(time);
  const items = stored.filter(fits);
  const page = items.slice(0, Math.min(query.limit, 3));
  return {items: page, next_cursor: items.length > page.length && page.length ? page.at(-1).frame + 1 : null};
};
const last = async (time) => stored.filter((each) => each.time < time).at(-1)?.time ?? null;
const store = new frames.StoredFrames(read, last, 2);
const number = (found) => found?.frame ?? null;
"""


async def evaluate(page: Page, code: str) -> Any:
    """Run code with the modules by name, and return what it returns. They need no service."""

    async def answer(route: Route) -> None:
        if path := route.request.url.removeprefix(_PLACE):
            await route.fulfill(path=STATIC / path)
        else:
            await route.fulfill(body="<!doctype html>", content_type="text/html")

    await page.route(f"{_PLACE}**", answer)
    await page.goto(_PLACE)
    return await page.evaluate(f"(async () => {{ {_MODULES} {code} }})()")


async def test_pictures_are_matched_with_stored_frames(page: Page) -> None:
    found = await evaluate(
        page,
        f"""
        const times = [0, 1 / 3, 2 / 3, 1, 1.99999, 2.5, 9, 30];
        {_STORE}
        store.setStoredUntil(Infinity);
        const before = [];
        for (const time of [0, 0.332, 0.3333333, 1.2, 1.9999999, 2, 8.9, 29]) {{
          before.push(number(await store.findBefore(time)));
        }}
        const after = [];
        for (const time of [0, 0.3333333, 1.5, 2.5, 9, 30]) after.push(number(await store.findAfter(time)));
        const calls = asked.length;
        await store.load(0.5);
        return {{
          before, after, first: number(await store.findBefore(-1)), again: asked.length - calls,
          exact: [0.333333, 0.334].map((time) => frames.isExact({{time: 1 / 3}}, time)),
          offsets: [[0, 0], [5, 5], [0, 5], [0.04, 0]].map((each) => clock.offsetOf(...each)),
          turned: [[240, 320, null], [320, 240, 4 / 3], [426, 240, 16 / 9]].map(
            ([width, height, aspect]) => clock.isTurned(width, height, 320, 240, aspect)),
        }};
        """,
    )
    assert found["before"] == [0, 0, 1, 3, 4, 4, 5, 6]
    assert found["after"] == [1, 2, 4, 6, 7, None]
    assert (found["first"], found["again"]) == (None, 0)
    assert found["exact"] == [True, False]
    assert found["offsets"] == [0, 5, 0, None]  # the last one's first picture is not that of the recording
    assert found["turned"] == [True, False, False]


async def test_a_view_stays_within_its_domain_and_around_the_pointer(page: Page) -> None:
    found = await evaluate(
        page,
        """
        const week = {from: 1000, to: 1000 + 604800};
        let view = week;
        for (let n = 0; n < 40; n++) view = scale.zoomView(view, week, 0.5, 5000);
        const place = scale.placeOf(5000, view, 1);
        const near = [view.to - view.from, place > 0, place < 1];
        for (let n = 0; n < 40; n++) view = scale.zoomView(view, week, 2, 5000);
        const wish = scale.wishOf({from: 2000, to: 2100}, week);
        return {
          near, far: view, left: scale.panView({from: 1100, to: 1200}, week, -500),
          short: scale.zoomView({from: 0, to: 0.4}, {from: 0, to: 0.4}, 0.5, 0.2),
          wish, dense: scale.wishOf({from: 2000, to: 2100}, week, 15).bucket,
          enough: scale.isEnough(wish, {from: 2050, to: 2150}, week),
          lacking: scale.isEnough(wish, {from: 2150, to: 2250}, week),
          ticks: scale.ticksOf({from: 0, to: 60}, 900).times,
          midnight: scale.ticksOf({from: 0, to: 3 * 86400}, 400, 3600).times,
        };
        """,
    )
    assert found["near"] == [1, True, True]
    assert found["far"] == {"from": 1000, "to": 605800}
    assert found["left"] == {"from": 1000, "to": 1100}
    assert found["short"] == {"from": 0, "to": 0.4}
    assert found["wish"] == {"from": 1900, "to": 2200, "bucket": 0.5}
    assert (found["dense"], found["enough"], found["lacking"]) == (15, True, False)
    assert found["ticks"] == [0, 10, 20, 30, 40, 50, 60]
    assert found["midnight"] == [82800, 169200, 255600]  # 00:00 in a zone one hour before UTC


async def test_labels_are_ranked_and_gaps_have_reasons(page: Page) -> None:
    found = await evaluate(
        page,
        """
        const label = (name, ...counts) => ({label: name, buckets: counts.map((frames) => ({frames}))});
        const found = [label("b10", 1), label("a", 2, 3), label("b9", 1)];
        const gaps = lanes.gapsOf([0, 1, 2, 8, 9].map((time) => ({time})), 1, 0.5, -4, 20);
        const counted = [2, 30, 24, 25, 3, 1].map((frames, time) => ({time, frames}));
        const thin = lanes.thinOf(counted, 1, 30, 0.1, 5.9);
        const state = (at, from, to, reason) => ({kind: "state", at: new Date(at * 1000), from, to, reason});
        const source = (at, to, reason) => ({kind: "source", at: new Date(at * 1000), state: to, reason});
        const outages = lanes.outagesOf([
          state(0, null, "init_startup", "asked"), state(1, "init_startup", "active", "first frame"),
          source(3, "reconnecting", "unplugged"), source(8, "open", "came back"),
          state(10, "active", "inactive", "stopped by request"),
        ]);
        return {
          ranked: lanes.rankLabels(found).map((each) => each.label),
          kept: lanes.keepOrder(found, ["b9", "a"]).map((each) => each.label),
          thin: thin.map(({time}) => time),
          unknown: lanes.thinOf(counted, 1, null, 0.1, 5.9),
          gaps: gaps.map(({from, to}) => [from, to]),
          reasons: gaps.map((gap) => lanes.reasonOf(gap, outages)),
        };
        """,
    )
    assert found["ranked"] == ["a", "b9", "b10"]
    assert found["kept"] == ["b9", "a", "b10"]
    assert (found["thin"], found["unknown"]) == ([2], [])  # the ends are counted in part
    assert found["gaps"] == [[-4, 0], [3, 8], [10, 20]]
    assert found["reasons"] == [None, "unplugged", "stopped by request"]


async def during(page: Page, seconds: int, code: str) -> Any:
    """Run code with the names of _ASKED for so long, and return the seconds between the calls of `asks`."""
    await page.clock.install(time=_MORNING)
    await page.clock.pause_at(_MORNING + timedelta(hours=1))
    await evaluate(page, f"{_ASKED} window.gaps = gaps; {code}")
    await page.clock.run_for(1000 * seconds)
    return await page.evaluate("gaps()")


@pytest.mark.parametrize(
    ("read", "gaps"),
    [
        ("() => Promise.reject({status: 503})", [2, 4, 8, 16, 30, 30]),
        ("() => pause(20_000)", [40, 40, 40]),  # it rests as long as a read takes
        ("() => Promise.resolve()", [1] * 130),
    ],
)
async def test_what_is_slow_or_fails_is_read_more_seldom(page: Page, read: str, gaps: list[int]) -> None:
    repeated = f"""
        const repeater = new reading.Repeater(asks({read}));
        setInterval(() => repeater.ask(), 100);  // a page that is told of changes all the time
        repeater.now();
    """
    assert (await during(page, 131, repeated))[: len(gaps)] == gaps


@pytest.mark.parametrize(("status", "gaps"), [(204, [2] * 30), (500, [2, 4, 8, 16, 30])])
async def test_a_player_is_patient_with_a_live_source(page: Page, status: int, gaps: list[int]) -> None:
    """Also if a proxy answers at once that there is no later picture, as the service does after a while."""
    follow = f"""
        const {{LiveScreen}} = await import(root + "player/live.js");
        window.fetch = asks(() => Promise.resolve(new Response(null, {{status: {status}}})));
        new LiveScreen(canvas, "scenarios/1", null, tell).play();
    """
    assert await during(page, 61, follow) == gaps


async def test_a_tile_is_patient_with_a_live_source(page: Page) -> None:
    show = """
        const {Tiles} = await import(root + "tiles.js");
        const {html, render} = await import(root + "../lib/preact.js");
        window.IntersectionObserver = class {
          constructor(seen) { this.seen = seen; }
          observe() { this.seen([{isIntersecting: true}]); }
          disconnect() {}
        };
        window.fetch = asks(() => Promise.resolve(new Response(null, {status: 503})));
        const scenario = {id: "1", name: "door", state: "active", source_state: "open"};
        let sampled = 0;
        setInterval(() => {
          const now = {...scenario, progress: {frames_sampled: ++sampled, detections: 0}};
          render(html`<${Tiles} scenarios=${[now]} />`, document.body);
        }, 100);  // which is often: the stream tells of progress once a second
    """
    assert await during(page, 62, show) == [2, 4, 8, 16, 30]


async def test_pictures_are_played_in_order_and_wait_for_the_service(page: Page) -> None:
    """After a seek to an earlier frame, too. The service is away from the third picture on."""
    play = """
        const {PictureScreen} = await import(root + "player/pictures.js");
        const stored = [0, 1, 2, 3, 4].map((time) => ({frame: time, time}));
        const between = {
          findBefore: async (time) => stored.findLast((each) => each.time <= time),
          findAfter: async (time) => stored.find((each) => each.time > time) ?? null,
        };
        const screen = new PictureScreen(canvas, between, "scenarios/1/frame.jpg", tell);
        window.shown = [];
        screen.prefetch = nothing;
        screen.picture = async (frame) => {
          window.shown.push(frame);
          if (frame !== 3) return null;
          calls.push(Date.now());
          throw {status: 503, sentence: "away"};
        };
        screen.play();
        setTimeout(() => screen.seek(0), 2500);
    """
    assert await during(page, 70, play) == [2, 4, 8, 16, 30]
    assert await page.evaluate("shown") == [1, 2, 0, 1, 2, *[3] * 6]


async def test_pages_draw_boxes_as_the_api_does(page: Page) -> None:
    """The same colours of labels, zones and lines, and texts at the same places, clear of each other."""
    names = ["", "person", "car", "aruco:7", "Fußgänger", "漢字", "🚗", *map(str, range(40))]
    chance = Random(16)
    boxes: list[labels.Rectangle] = []
    for _ in range(150):
        x, y = chance.randrange(600), chance.randrange(440)
        boxes.append((x, y, min(640, x + chance.randrange(90)), min(480, y + chance.randrange(90))))
    found = await evaluate(
        page,
        f"""
        const {{placeText}} = await import(root + "player/places.js");
        const {{colorOf, ...fixed}} = await import(root + "../lib/colors.js");
        const places = [];
        for (const box of {json.dumps(boxes)}) places.push(placeText(box, [60, 18], [640, 480], places));
        return {{places, colors: {json.dumps(names)}.map(colorOf), fixed}};
        """,
    )
    assert found["colors"] == [f"#{labels.colour_of(name):06x}" for name in names]
    assert found["fixed"] == {
        "ZONE_COLOR": f"#{labels.ZONE_COLOUR:06x}",
        "IGNORED_COLOR": f"#{labels.IGNORED_COLOUR:06x}",
        "LINE_COLOR": f"#{labels.LINE_COLOUR:06x}",
    }
    places: list[labels.Rectangle] = []
    for box in boxes:
        places.append(labels.place_text(box, (60, 18), (640, 480), places))
    assert found["places"] == [list(place) for place in places]


LOGINS = {
    "rtsp://admin:secret@cam/live": ("rtsp://cam/live", "admin", "secret"),
    "rtsp://admin:p@ss:w%rd@192.168.1.5:554/live": ("rtsp://192.168.1.5:554/live", "admin", "p@ss:w%rd"),
    "rtsp://admin:p%40s%2Fs@cam/live": ("rtsp://cam/live", "admin", "p@s/s"),
    "rtsp://admin:a/b?c#d@192.168.1.5/live?x=1": ("rtsp://192.168.1.5/live?x=1", "admin", "a/b?c#d"),
    "rtsp://admin:a1/2@3@[fe80::1%25eth0]:554/live": ("rtsp://[fe80::1%25eth0]:554/live", "admin", "a1/2@3"),
    "rtsp://cam:80/2@3@[fe80::1]/live": None,  # perhaps a host with a port
    "rtsp://admin:x#y@cam": ("rtsp://cam", "admin", "x#y"),
    "https://viewer@cam/a@b.jpg": ("https://cam/a@b.jpg", "viewer", ""),
    "rtsp://cam:554/stream@main": None,
    "rtsp://cam/user@home": None,
    "rtsp://[fe80::1]:554/a@b": None,
    "admin:secret": None,
}


async def test_a_pasted_address_of_a_camera_is_taken_apart(page: Page) -> None:
    """Also with a password that is not encoded, as cameras' manuals write it; the request has it encoded."""
    found = await evaluate(
        page,
        f"""
        const {{splitLogin, sourceOf}} = await import(root + "creation/address.js");
        return {json.dumps(list(LOGINS))}.map((text) => {{
          const parts = splitLogin(text);
          return [parts, parts && sourceOf({{...parts, fingerprint: ""}})];
        }});
        """,
    )
    for (text, parts), (split, source) in zip(LOGINS.items(), found, strict=True):
        assert split == (parts and dict(zip(("address", "user", "password"), parts, strict=True))), text
        if parts is not None:
            address = urlsplit(source)
            assert (unquote(address.username or ""), unquote(address.password or "")) == parts[1:]
            assert f"{address.scheme}://{source.rpartition('@')[2]}" == parts[0] or "a@b" in text


async def test_names_between_backticks_are_code(page: Page) -> None:
    found = await evaluate(
        page,
        """
        const {marked, plain} = await import(root + "../lib/marked.js");
        const parts = marked("Use `<a>` or `b`, not `c.");
        return [parts.map((each) => each.props?.children ?? each), parts[1].type, plain("Use `a`, not `b.")];
        """,
    )
    assert found == [["Use ", "<a>", " or ", "b", ", not `c."], "code", "Use a, not `b."]
