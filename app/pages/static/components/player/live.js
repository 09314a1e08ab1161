/** The newest picture of a live source, with what was found in it; earlier moments by the pictures of events. */
import { fetchPicture, paint } from "./fetching.js";

const STORED_WITHIN = 2000; // milliseconds for which a picture waits for its predictions
const POLL = 100;
const AGAIN = 2000; // milliseconds after a refusal

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

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
    let after;
    while (isWanted()) {
      if (document.hidden) {
        await pause(POLL);
        continue;
      }
      try {
        const picture = await fetchPicture(`${this.path}/frame.jpg`, { after }, abort.signal);
        if (!isWanted()) return;
        if (!picture) continue;
        const prediction = await this.predictionOf(picture.frame, isWanted);
        if (!isWanted()) return;
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
        await pause(AGAIN);
      }
    }
  }

  async predictionOf(frame, isWanted) {
    const until = Date.now() + STORED_WITHIN;
    for (;;) {
      const found = await this.readFrame(frame).catch(() => null);
      if (found || !isWanted() || Date.now() > until) return found;
      await pause(POLL);
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
