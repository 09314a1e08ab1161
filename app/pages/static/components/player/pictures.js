/** Pictures of stored frames, one by one, for recordings that the browser cannot play. */
import { fetchPicture, paint } from "./fetching.js";

const KEPT = 40; // decoded pictures
const AHEAD = 3; // frames that are fetched before they are played

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
    this.playing = null; // {from, since}: the time at which playing began, on both clocks
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
    if (this.playing) this.playing = { from: time, since: performance.now() };
    await this.show(time);
  }

  /** Show the last stored frame at a time or before it. Returns the frame. */
  async show(time) {
    const turn = ++this.turn;
    this.time = time;
    this.tell.waiting(true);
    let frame = null;
    try {
      frame = await this.frames.findBefore(time) ?? (await this.frames.findAfter(time));
      const bitmap = frame ? await this.picture(frame.frame) : null;
      if (turn !== this.turn || this.isClosed) return frame;
      paint(this.canvas, bitmap);
      this.tell.refused(null);
    } catch (problem) {
      if (turn !== this.turn || this.isClosed) return frame;
      paint(this.canvas, null);
      this.tell.refused(problem);
    }
    this.time = frame ? frame.time : time;
    this.tell.waiting(false);
    this.tell.shown(this.time);
    return frame;
  }

  async play() {
    if (this.playing) return;
    this.playing = { from: this.time, since: performance.now() };
    this.tell.playing(true);
    let shown = null;
    while (this.playing && !this.isClosed) {
      const { from, since } = this.playing;
      const time = from + ((performance.now() - since) / 1000) * this.rate;
      const next = await this.frames.findAfter(shown?.time ?? from).catch(() => null);
      if (!next) break;
      if (next.time > time) {
        this.prefetch(next);
        await new Promise((resolve) => setTimeout(resolve, Math.min(200, ((next.time - time) * 1000) / this.rate)));
        continue;
      }
      shown = await this.show(time);
      // Fetching takes longer than the pictures last: go on from here, so that each is seen.
      if (shown && time - shown.time > 1) this.playing &&= { from: shown.time, since: performance.now() };
    }
    this.pause();
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
    if (this.playing) this.playing = { from: this.time, since: performance.now() };
    this.rate = rate;
  }

  close() {
    this.isClosed = true;
    this.playing = null;
    for (const each of this.kept.values()) each.then((bitmap) => bitmap.close(), () => {});
    this.kept.clear();
  }
}
