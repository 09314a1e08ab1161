/** The newest picture of a live source, with what was found in it; earlier moments by the pictures of events. */
import { Backoff } from "../../lib/reading.js";
import { fetchPicture, paint } from "./fetching.js";

const STORED_WITHIN = 2000; // milliseconds for which a picture waits for its predictions
const LEAST_POLL = 100; // milliseconds; each poll for one prediction waits twice as long as the one before
const LEAST_FRUITLESS = 2000; // milliseconds that a request takes which brings no picture

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Return when the page is visible. */
function visible() {
  if (!document.hidden) return Promise.resolve();
  return new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
}

/**
 * Follows a live source by long poll, or shows what is stored of an earlier moment.
 *
 * `readFrame(frame)` returns the stored prediction of a frame, null if there is none yet. `tell` is that of
 * VideoScreen, and has `live(prediction, time)` for a new picture, `following(isFollowing)`, and `empty(isEmpty)` if
 * a moment has no picture.
 */
export class LiveScreen {
  constructor(canvas, path, readFrame, tell) {
    this.canvas = canvas;
    this.path = path;
    this.readFrame = readFrame;
    this.tell = tell;
    this.turn = 0; // counts what is asked for: an answer to an earlier wish is dropped
    this.isClosed = false;
  }

  open() {
    this.tell.ready();
  }

  /** Show the newest pictures as they come. */
  async play() {
    const turn = ++this.turn;
    const isWanted = () => turn === this.turn && !this.isClosed;
    this.abort?.abort();
    const abort = (this.abort = new AbortController());
    this.tell.following(true);
    const backoff = new Backoff();
    let after;
    while (isWanted()) {
      await visible();
      const began = Date.now();
      try {
        const picture = await fetchPicture(`${this.path}/frame.jpg`, { after }, abort.signal);
        if (!isWanted()) return;
        if (!picture || picture.frame === after) {
          picture?.bitmap.close();
          // The service waits for a picture before it says that there is none; a proxy may not.
          await pause(Math.max(0, LEAST_FRUITLESS - (Date.now() - began)));
          continue;
        }
        const prediction = await this.predictionOf(picture.frame, isWanted);
        if (!isWanted()) return;
        backoff.reset();
        after = picture.frame;
        paint(this.canvas, picture.bitmap);
        picture.bitmap.close();
        this.tell.refused(null);
        this.tell.empty(false);
        this.tell.live(prediction, picture.time);
      } catch (problem) {
        if (!isWanted()) return;
        this.tell.refused(problem);
        if (problem.status === 409) this.stop(); // the scenario does not run any more
        after = undefined;
        await pause(backoff.next());
      }
    }
  }

  async predictionOf(frame, isWanted) {
    const until = Date.now() + STORED_WITHIN;
    for (let delay = LEAST_POLL; ; delay *= 2) {
      const found = await this.readFrame(frame).catch(() => null);
      if (found || !isWanted() || Date.now() > until) return found;
      await pause(delay);
    }
  }

  /** Show an earlier moment: the boxes that are stored, and no picture, because no video is kept. */
  seek(time) {
    this.stop();
    paint(this.canvas, null);
    this.tell.refused(null);
    this.tell.empty(true);
    this.tell.shown(time);
  }

  /** Show the picture that is kept of an event. */
  async showEvent(event) {
    this.stop();
    const { turn } = this;
    this.tell.waiting(true);
    try {
      const { bitmap } = await fetchPicture(`${this.path}/events/${event.event_id}/picture.jpg`);
      if (turn !== this.turn) return;
      paint(this.canvas, bitmap);
      bitmap.close();
      this.tell.refused(null);
      this.tell.empty(false);
    } catch (problem) {
      if (turn !== this.turn) return;
      paint(this.canvas, null);
      this.tell.refused(problem);
    }
    this.tell.waiting(false);
    this.tell.shown(event.picture?.time ?? event.start_time);
  }

  stop() {
    this.turn += 1;
    this.abort?.abort();
    this.tell.following(false);
  }

  pause() {
    this.stop();
  }

  setRate() {}

  close() {
    this.isClosed = true;
    this.abort?.abort();
  }
}
