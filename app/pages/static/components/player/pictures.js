/** Pictures of stored frames, one by one, for recordings that the browser cannot play. */
import { Backoff, isPassing } from "../../lib/reading.js";
import { fetchPicture, paint } from "./fetching.js";

const KEPT = 40; // decoded pictures
const AHEAD = 3; // frames that are fetched before they are played
const MOST_WAIT = 200; // milliseconds after which a pause or another speed is seen

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/**
 * Return the state of playing from a time: when it began on both clocks, the time of the last frame that was shown, and
 * the frame after it: undefined if it is not looked for yet, null if there is none.
 */
const playingFrom = (time) => ({ from: time, since: performance.now(), last: time, next: undefined });

/** Shows stored frames by `frame.jpg`. The times and `tell` are those of VideoScreen. */
export class PictureScreen {
  constructor(canvas, frames, path, tell) {
    this.canvas = canvas;
    this.frames = frames;
    this.path = path;
    this.tell = tell;
    this.rate = 1;
    this.width = 1280;
    this.kept = new Map(); // frame → Promise of an ImageBitmap
    this.turn = 0; // counts what is shown, so that a late answer is dropped
    this.playing = null; // while it plays, what playingFrom returns
    this.time = 0;
    this.isClosed = false;
  }

  open() {
    this.tell.ready();
  }

  picture(frame) {
    let promise = this.kept.get(frame);
    if (promise) this.kept.delete(frame);
    else {
      promise = fetchPicture(this.path, { frame, width: this.width }).then(({ bitmap }) => bitmap);
      promise.catch(() => this.kept.delete(frame));
    }
    this.kept.set(frame, promise);
    while (this.kept.size > KEPT) {
      const [oldest, old] = this.kept.entries().next().value;
      this.kept.delete(oldest);
      old.then((bitmap) => bitmap.close(), () => {});
    }
    return promise;
  }

  async seek(time) {
    if (this.playing) this.playing = playingFrom(time);
    await this.show(time);
  }

  /** Show the last stored frame at a time or before it. Returns `{frame, problem}`, each null if there is none. */
  async show(time) {
    const turn = ++this.turn;
    this.time = time;
    this.tell.waiting(true);
    let frame = null;
    let fault = null;
    try {
      frame = await this.frames.findBefore(time) ?? (await this.frames.findAfter(time));
      const bitmap = frame ? await this.picture(frame.frame) : null;
      if (turn !== this.turn || this.isClosed) return { frame, problem: null };
      paint(this.canvas, bitmap);
      this.tell.refused(null);
    } catch (problem) {
      fault = problem;
      if (turn !== this.turn || this.isClosed) return { frame, problem };
      paint(this.canvas, null);
      this.tell.refused(problem);
    }
    this.time = frame ? frame.time : time;
    this.tell.waiting(false);
    this.tell.shown(this.time);
    return { frame, problem: fault };
  }

  async play() {
    if (this.playing) return;
    const run = (this.run = Symbol("play")); // of which a later one ends this loop
    const backoff = new Backoff();
    this.playing = playingFrom(this.time);
    this.tell.playing(true);
    while (this.playing && this.run === run && !this.isClosed) {
      const now = this.playing;
      const time = now.from + ((performance.now() - now.since) / 1000) * this.rate;
      if (now.next === undefined) {
        now.next = await this.frames.findAfter(now.last).catch(() => null);
        if (now.next && now.next.time > time) this.prefetch(now.next);
      }
      if (now !== this.playing) continue; // it was moved or paused
      if (now.next === null) break;
      if (now.next.time > time) {
        await pause(Math.min(MOST_WAIT, ((now.next.time - time) * 1000) / this.rate));
        continue;
      }
      const { frame, problem } = await this.show(time);
      if (now !== this.playing) continue;
      if (problem !== null && isPassing(problem)) {
        await pause(backoff.next());
        if (now === this.playing) this.playing = { ...playingFrom(now.last), from: now.next.time };
        continue;
      }
      backoff.reset();
      now.last = Math.max(frame?.time ?? 0, now.next.time);
      now.next = undefined;
      // Fetching takes longer than the pictures last: go on from here, so that each is seen.
      if (time - now.last > 1) this.playing = playingFrom(now.last);
    }
    if (this.run === run) this.pause();
  }

  async prefetch(frame) {
    let { time } = frame;
    for (let n = 0; n < AHEAD; n++) {
      const next = await this.frames.findAfter(time).catch(() => null);
      if (!next || this.isClosed) return;
      this.picture(next.frame).catch(() => {});
      ({ time } = next);
    }
  }

  pause() {
    this.playing = null;
    this.tell.playing(false);
  }

  setRate(rate) {
    if (this.playing) this.playing = playingFrom(this.time);
    this.rate = rate;
  }

  close() {
    this.isClosed = true;
    this.playing = null;
    for (const each of this.kept.values()) each.then((bitmap) => bitmap.close(), () => {});
    this.kept.clear();
  }
}
