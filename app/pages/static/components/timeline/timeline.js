/** What was found over the time of a scenario: a lane for each label, which zooms from all of it to a second. */
import { get } from "../../lib/api.js";
import { count, duration, plural, range as rangeOf } from "../../lib/format.js";
import {
  html,
  useEffect,
  useLayoutEffect,
  useMemo,
  useReducer,
  useRef,
  useSignalEffect,
  useState,
} from "../../lib/preact.js";
import { marked } from "../../lib/marked.js";
import { theme } from "../../lib/theme.js";
import { useRepeater } from "../../lib/use_get.js";
import { TOLERANCE } from "../player/frames.js";
import { drawTimeline, heightOf } from "./draw.js";
import { listenForGestures } from "./gestures.js";
import { findFailed } from "./failed.js";
import { gapsOf, keepOrder, reasonOf, thinOf } from "./lanes.js";
import { Legend } from "./legend.js";
import { clampView, followView, isEnough, panView, placeOf, ticksOf, timeAt, wishOf, zoomView } from "./scale.js";
import { momentText, tickTextOf } from "./texts.js";

const FEW = 5; // labels that are shown at first
const SETTLE = 150; // milliseconds without a change of the view before it is read
const MOST_ALERTS = 1000;
const COUNTED = 15; // seconds of a bucket that was counted while predictions were stored
const MOST_BUCKET = 7 * 86_400; // seconds
const STILL_COUNTED = "Predictions of an earlier version are still counted.";

/**
 * @param {object} props
 * @param {string} props.path of the scenario in the API
 * @param {{from: number, to: number}} props.domain all of it
 * @param {boolean} props.isDated whether times are Unix time
 * @param {import("../player/playback.js").Playback} props.playback
 * @param {{from: number, to: number, reason: string}[]} props.outages when a live source gave nothing
 * @param {number} props.version changes if more is stored
 * @param {number|null} props.rate frames that are sampled each second, as far as it is known
 * @param {{frames_failed: number, frames_dropped: number}} props.progress of the scenario
 * @param {(actions: {zoom: (factor: number) => void}) => void} props.expose is given what keys do
 */
export function Timeline({ path, domain, isDated, playback, outages, version, rate, progress, expose }) {
  const shortest = rate ? 2 / rate : 0; // seconds of a bucket: shorter ones would show gaps between frames
  const [view, setView] = useState(domain);
  const [isFit, setFit] = useState(true);
  const [read, setRead] = useState(null);
  const [least, setLeast] = useState(shortest); // seconds of a bucket
  const [problem, setProblem] = useState(null);
  const [isLong, setLong] = useState(false);
  const [hover, setHover] = useState(null);
  const [width, setWidth] = useState(0);
  const [redraws, redraw] = useReducer((old) => old + 1, 0);
  const box = useRef(null);
  const head = useRef(null);
  const order = useRef([]);
  const shown = isFit ? domain : clampView(view, domain);

  const change = (next) => {
    setView(next);
    setFit(next.to - next.from >= domain.to - domain.from);
  };
  const zoom = (factor, x = null) => {
    const time = playback.time.peek();
    const isVisible = time >= shown.from && time <= shown.to;
    const middle = isVisible ? time : (shown.from + shown.to) / 2;
    change(zoomView(shown, domain, factor, x === null ? middle : timeAt(x, shown, width)));
  };
  const calls = useRef({});
  calls.current = {
    zoom,
    pan: (pixels) => change(panView(shown, domain, (pixels / width) * (shown.to - shown.from))),
    seek: (x) => playback.seek(timeAt(x, shown, width)),
    fit: () => setFit(true),
    hover: setHover,
  };
  expose?.({ zoom });

  useLayoutEffect(() => {
    const observer = new ResizeObserver(() => setWidth(box.current?.clientWidth ?? 0));
    observer.observe(box.current);
    const names = ["zoom", "pan", "seek", "fit", "hover"];
    const late = Object.fromEntries(names.map((name) => [name, (...values) => calls.current[name](...values)]));
    const end = listenForGestures(box.current, late);
    const colors = matchMedia("(prefers-color-scheme: dark)");
    colors.addEventListener("change", redraw);
    return () => {
      observer.disconnect();
      end();
      colors.removeEventListener("change", redraw);
    };
  }, []);

  /** Show which moment the picture has; not by rendering, because it changes with each picture. */
  const moment = useRef(() => {});
  moment.current = (time) => {
    const place = placeOf(playback.isFollowing.peek() ? Math.min(time, domain.to) : time, shown, width);
    head.current.hidden = place < 0 || place > width;
    head.current.style.transform = `translateX(${Math.round(Math.min(place, width - 2))}px)`;
    box.current.setAttribute("aria-valuenow", Math.round(time));
    box.current.setAttribute("aria-valuetext", momentText(time, isDated));
    if (isFit || !playback.isPlaying.peek()) return;
    const next = followView(shown, domain, time);
    if (next !== shown) setView(next);
  };
  useLayoutEffect(() => moment.current(playback.time.peek()));
  useSignalEffect(() => moment.current(playback.time.value));

  const load = async (signal) => {
    if (read?.version === version && isEnough(read, shown, domain, least)) return;
    const wish = wishOf(shown, domain, least);
    const range = { from_time: wish.from, to_time: wish.to };
    try {
      const [timeline, alerts] = await Promise.all([
        get(`${path}/timeline`, { bucket: wish.bucket, ...range }, { signal }),
        get(`${path}/events`, { kind: "alert", limit: MOST_ALERTS, ...range }, { signal }),
      ]);
      if (!order.current.length || isFit) order.current = keepOrder(timeline.labels, []).map((each) => each.label);
      setRead({ ...wish, version, timeline, alerts: alerts.items });
      setProblem(null);
    } catch (error) {
      if (error.name === "AbortError") throw error;
      if (error.status === 400 && wish.bucket < MOST_BUCKET) setLeast(Math.max(COUNTED, 4 * wish.bucket));
      else setProblem(error.sentence ?? String(error));
      throw error;
    }
  };
  // Another view is read at once when it has settled; what is stored during a read, after it.
  const settled = useSettled(isFit ? "all" : `${view.from} ${view.to}`, SETTLE);
  useRepeater(load, `${settled} ${least}`, { version: `${domain.from} ${domain.to} ${version}` });
  const magnitude = Math.round(Math.log2(Math.max(1, shown.to - shown.from)));
  useEffect(() => setLeast(shortest), [magnitude, shortest]);

  const all = useMemo(() => (read ? keepOrder(read.timeline.labels, order.current) : []), [read]);
  const lanes = isLong ? all : all.slice(0, FEW);
  const gaps = useMemo(() => {
    if (!read) return [];
    const { bucket_seconds: seconds, all: buckets } = read.timeline;
    return gapsOf(buckets, seconds, playback.interval, read.from, read.to);
  }, [read]);
  const { frames_failed: failed, frames_dropped: dropped } = progress;
  const thin = useMemo(() => {
    if (!read || !dropped) return [];
    const { bucket_seconds: seconds, all: buckets } = read.timeline;
    return thinOf(buckets, seconds, rate, read.timeline.from_time, read.timeline.to_time);
  }, [read, dropped > 0]);
  const showFailed = async () => {
    try {
      const { time } = playback;
      const next =
        (await findFailed(path, time.value + 2 * TOLERANCE, domain.to + 1)) ??
        (await findFailed(path, domain.from, time.value + 2 * TOLERANCE));
      if (next) playback.seek(next.time, true);
    } catch (error) {
      setProblem(error.sentence ?? String(error));
    }
  };
  const height = heightOf(lanes.length);

  useLayoutEffect(() => {
    const canvas = box.current.querySelector("canvas");
    const scale = devicePixelRatio;
    const [wide, high] = [Math.round(width * scale), Math.round(height * scale)];
    if (canvas.width !== wide || canvas.height !== high) Object.assign(canvas, { width: wide, height: high });
    canvas.style.height = `${height}px`;
    if (!width) return;
    const context = canvas.getContext("2d");
    context.setTransform(scale, 0, 0, scale, 0, 0);
    const offset = isDated ? -60 * new Date(shown.from * 1000).getTimezoneOffset() : 0;
    const { step, times } = ticksOf(shown, width, offset);
    const what = {
      view: shown,
      lanes,
      seconds: read?.timeline.bucket_seconds ?? 1,
      all: new Map((read?.timeline.all ?? []).map((each) => [each.time, each.frames])),
      gaps,
      alerts: (read?.alerts ?? []).map((each) => each.start_time),
      failed: (read?.timeline.all ?? []).filter((each) => each.failed).map((each) => each.time),
      thin: thin.map((each) => each.time),
      ticks: times,
      tickText: tickTextOf(isDated, step),
    };
    drawTimeline(context, { width, height }, what, colorsOf(box.current.querySelector(".timeline-probe"), context));
  }, [shown.from, shown.to, read, lanes.length, width, theme.value, redraws]);

  const known = { isDated, lanes: all, gaps, thin, rate, read, outages };
  const tip = hover === null ? null : hoverText(timeAt(hover, shown, width), known);
  const tipLeft = Math.min(hover ?? 0, Math.max(0, width - 220));
  return html`
    <section class="timeline" aria-label="Timeline">
      <div class="timeline-labels" style=${{ height: `${height}px` }}>
        ${lanes.map(
          ({ label, frames }) =>
            html`<span key=${label} title=${`${label}: in ${plural(frames, "frame")}`}><bdi>${label}</bdi></span>`,
        )}
      </div>
      <div
        class="timeline-box"
        ref=${box}
        role="slider"
        tabindex="0"
        aria-label="Moment of the video"
        aria-valuemin=${Math.floor(domain.from)}
        aria-valuemax=${Math.ceil(domain.to)}
        onKeyDown=${(event) => slide(event, shown, domain, playback)}
      >
        <canvas></canvas>
        <span class="timeline-probe" hidden></span>
        <span class="timeline-head" ref=${head} hidden></span>
        ${tip && html`<p class="timeline-tip" style=${{ left: `${tipLeft}px` }}>${marked(tip)}</p>`}
      </div>
      <${Legend}
        counts=${{ alerts: read?.alerts.length ?? 0, failed, dropped, gaps: gaps.length }}
        onFailed=${showFailed}
      />
      <div class="timeline-foot">
        <span class="quiet" role=${problem ? "alert" : null}>
          ${marked(problem) ?? (read?.timeline.is_complete === false ? STILL_COUNTED : rangeText(shown, isDated))}
        </span>
        ${all.length > FEW &&
        html`<button onClick=${() => setLong(!isLong)}>
          ${isLong ? `Show the ${FEW} most frequent labels` : `Show all ${count(all.length)} labels`}
        </button>`}
        <button aria-label="Zoom out" title="Zoom out (−)" onClick=${() => zoom(2)}>−</button>
        <button aria-label="Zoom in" title="Zoom in (+)" onClick=${() => zoom(0.5)}>+</button>
        <button onClick=${() => setFit(true)} disabled=${isFit}>Show all</button>
      </div>
    </section>
  `;
}

/** Return a value once it has not changed for so many milliseconds. */
function useSettled(value, milliseconds) {
  const [settled, settle] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => settle(value), milliseconds);
    return () => clearTimeout(timer);
  }, [value]);
  return settled;
}

function slide(event, view, domain, playback) {
  const page = (view.to - view.from) / 10;
  const to = {
    Home: domain.from,
    End: domain.to,
    PageUp: playback.time.value - page,
    PageDown: playback.time.value + page,
  }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  playback.seek(to);
}

function rangeText({ from, to }, isDated) {
  return isDated ? rangeOf(from, to) : `${duration(from)} to ${duration(to)}`;
}

function hoverText(time, { isDated, lanes, gaps, thin, rate, read, outages }) {
  const when = momentText(time, isDated);
  const gap = gaps.find((each) => time >= each.from && time <= each.to);
  if (gap) return `${when}: nothing is stored here. ${reasonOf(gap, outages) ?? ""}`;
  if (!read) return when;
  const seconds = read.timeline.bucket_seconds;
  const found = lanes.flatMap(({ label, buckets }) => {
    const bucket = buckets.find((each) => time >= each.time && time < each.time + seconds);
    return bucket ? [`${label} in ${plural(bucket.frames, "frame")}`] : [];
  });
  const isHere = (each) => time >= each.time && time < each.time + seconds;
  const lost = read.timeline.all.filter((each) => isHere(each) && each.failed);
  const few = thin.filter(isHere);
  const texts = [
    ...lost.map((each) => `${count(each.failed)} of ${plural(each.frames, "frame")} failed`),
    ...few.map((each) => `${count(each.frames)} of about ${plural(Math.round(seconds * rate), "frame")}: the others were dropped, or not sent`),
    ...found.slice(0, 4),
  ];
  return `${when}${texts.length ? `: ${texts.join(", ")}` : ""}`;
}

function colorsOf(probe, context) {
  const color = (name) => {
    probe.style.color = `var(${name})`; // computed, because a canvas does not know of themes
    return getComputedStyle(probe).color;
  };
  return {
    quiet: color("--quiet"),
    grid: color("--line"),
    bad: color("--bad"),
    gap: hatched(context, color("--line")),
    thin: hatched(context, color("--quiet"), 4),
  };
}

/** Return diagonal lines, by which gaps are told from empty lanes without colour. */
function hatched(context, color, size = 8) {
  const tile = new OffscreenCanvas(size, size);
  const lines = tile.getContext("2d");
  lines.strokeStyle = color;
  for (const at of [-size, 0, size]) {
    lines.moveTo(at, size);
    lines.lineTo(at + size, 0);
  }
  lines.stroke();
  return context.createPattern(tile, "repeat");
}
