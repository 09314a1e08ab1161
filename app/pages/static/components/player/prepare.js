/** What a scenario's player needs, from what the API tells of the scenario. */
import { get } from "../../lib/api.js";
import { StoredFrames, sampleInterval, windowSeconds } from "./frames.js";
import { Playback } from "./playback.js";

/** Seconds of a bucket that holds everything. */
export const WHOLE = 31_536_000;

/** Return the id of the scenario whose footage this one asks, or null if it has its own source. */
export function askedScenario({ source }) {
  return /^scenario:(.+)$/i.exec(source)?.[1] ?? null;
}

/**
 * Return the playback of a scenario whose source was opened.
 *
 * @param {object} scenario
 * @param {object|null} footage the scenario whose footage it asks, if it does and that one still exists
 */
export function makePlayback(scenario, footage) {
  const path = `scenarios/${scenario.id}`;
  const media = footage?.media ?? scenario.media;
  const sampling = footage?.sampling ?? scenario.sampling;
  const interval = sampleInterval(sampling, media.fps);
  const readPage = (query) => get(`${path}/predictions`, query);
  const readLast = async (time) => {
    const query = { to_time: time, bucket: WHOLE, label: "-" }; // of one label, because counts are not needed
    return (await get(`${path}/timeline`, query)).to_time;
  };
  const readFrame = async (frame) => {
    const page = await readPage({ from_frame: frame, to_frame: frame + 1 });
    return page.items[0] ?? null;
  };
  const frames = new StoredFrames(readPage, readLast, windowSeconds(interval));
  return new Playback({ path, media, sampling, interval, frames, readFrame, isRunning: false });
}

/** Return the times between which a scenario has, or will have, something to show. */
export function domainOf(scenario, playback, whole) {
  const { duration_seconds: duration } = playback.media;
  const { position_seconds: position } = scenario.progress;
  if (playback.isLive) {
    const last = Math.max(whole?.to_time ?? 0, askedScenario(scenario) ? 0 : position) || Date.now() / 1000;
    return { from: Math.min(whole?.from_time ?? last - 60, last - 1), to: last };
  }
  return { from: 0, to: Math.max(duration ?? 0, whole?.to_time ?? 0, 0.1) };
}
