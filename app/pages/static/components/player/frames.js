/** Stored frames around the play head: loaded in windows of time, found by bisection. No DOM. */

/** Seconds by which the time of a picture on screen may differ from the stored time of the same frame. */
export const TOLERANCE = 0.0005;

const MOST_WINDOWS = 24;
const FRAMES_IN_WINDOW = 200;
const PAGE = 1000;
const GROWS_EVERY = 1000; // milliseconds after which a window that may have grown is read again

/** Return the index of the last frame at `time` or before it, -1 if there is none. */
export function lastBefore(frames, time) {
  let low = 0;
  let high = frames.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (frames[middle].time <= time + TOLERANCE) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** Return whether `time` is that of the frame itself, and not of a later picture. */
export function isExact(frame, time) {
  return Math.abs(frame.time - time) <= TOLERANCE;
}

/**
 * Return the seconds from one sampled frame to the next, about.
 *
 * Of key frames only the encoder knows: 10 seconds are usual at most.
 */
export function sampleInterval(sampling, fps) {
  if (sampling?.mode === "fps") return Math.max(1 / sampling.fps, fps ? 1 / fps : 0);
  if (sampling?.mode === "keyframes") return 10;
  return fps ? 1 / fps : 0.5;
}

/** Return the length of a window in seconds: near 200 frames, between 2 seconds and an hour. */
export function windowSeconds(interval) {
  return Math.min(3600, Math.max(2, Math.ceil(FRAMES_IN_WINDOW * interval)));
}

/** The stored frames of a scenario, as far as they are loaded. */
export class StoredFrames {
  /**
   * @param {(query: object) => Promise<{items: object[], next_cursor: string|null}>} readPage
   * @param {(time: number) => Promise<number|null>} readLast returns the time of the last frame before a time
   * @param {number} seconds length of a window
   */
  constructor(readPage, readLast, seconds) {
    this.readPage = readPage;
    this.readLast = readLast;
    this.seconds = seconds;
    this.windows = new Map(); // number → {frames, isFinal, readAt}
    this.loading = new Map(); // number → Promise
    this.storedUntil = Infinity; // windows that end after it may still grow
  }

  /** Tell up to which time everything is stored; Infinity: nothing more will be. */
  setStoredUntil(time) {
    this.storedUntil = time;
  }

  /** Return the number of the window in which `time` is. */
  numberOf(time) {
    return Math.floor((time + TOLERANCE) / this.seconds);
  }

  /** Load the window of a time, unless it is there, and return its frames. */
  async load(time) {
    return this.loadWindow(this.numberOf(time));
  }

  async loadWindow(number) {
    const known = this.windows.get(number);
    if (known && (known.isFinal || Date.now() - known.readAt < GROWS_EVERY)) return known.frames;
    if (!this.loading.has(number)) {
      const promise = this.read(number, known?.frames ?? []).finally(() => this.loading.delete(number));
      this.loading.set(number, promise);
    }
    return this.loading.get(number);
  }

  async read(number, known) {
    const isFinal = (number + 1) * this.seconds <= this.storedUntil;
    // A window holds what is numbered as its own: a frame at its end may be TOLERANCE too early.
    const from = Math.max(0, number * this.seconds - TOLERANCE);
    const query = { from_time: from, to_time: (number + 1) * this.seconds - TOLERANCE, limit: PAGE };
    if (known.length) query.from_frame = known.at(-1).frame + 1;
    const frames = [...known];
    for (;;) {
      const page = await this.readPage(query);
      frames.push(...page.items);
      if (page.next_cursor === null) break;
      query.cursor = page.next_cursor;
    }
    this.windows.set(number, { frames, isFinal, readAt: Date.now() });
    this.evict(number);
    return frames;
  }

  evict(number) {
    const far = [...this.windows.keys()].sort((a, b) => Math.abs(b - number) - Math.abs(a - number));
    for (const each of far.slice(0, Math.max(0, far.length - MOST_WINDOWS))) this.windows.delete(each);
  }

  /** Return whether the frames around a time are loaded. */
  isLoaded(time) {
    return this.windows.has(this.numberOf(time));
  }

  /** Return the last loaded frame at `time` or before it, if no window between them is missing. */
  find(time) {
    for (let number = this.numberOf(time); number >= 0; number--) {
      const window = this.windows.get(number);
      if (!window) return null;
      const found = lastBefore(window.frames, time);
      if (found >= 0) return window.frames[found];
    }
    return null;
  }

  /** Return the last stored frame at `time` or before it, null if there is none; loads what it needs. */
  async findBefore(time) {
    if (time < 0) return null;
    for (let number = this.numberOf(time), tries = 0; number >= 0 && tries < 2; number--, tries++) {
      const frames = await this.loadWindow(number);
      const found = lastBefore(frames, time);
      if (found >= 0) return frames[found];
    }
    const last = await this.readLast(time);
    if (last === null) return null;
    const frames = await this.load(last);
    return frames[lastBefore(frames, last)] ?? null;
  }

  /** Return the first stored frame after `time`; asks for it if the next window has none. */
  async findAfter(time) {
    const first = this.numberOf(time);
    for (let number = first; number <= first + 1; number++) {
      const frames = await this.loadWindow(number);
      const found = frames[lastBefore(frames, time) + 1];
      if (found) return found;
    }
    const page = await this.readPage({ from_time: time + 2 * TOLERANCE, limit: 1 });
    return page.items[0] ?? null;
  }
}
