/** Pictures from the recording itself, which the browser plays. */
import { INTO_FRAME, Trust, isTurned, offsetOf } from "./clock.js";
import { TOLERANCE } from "./frames.js";

const END_TOLERANCE = 0.05; // seconds
const SAME_PLACE = 0.000002; // seconds: browsers round to microseconds
const SAME_PICTURE = 1000; // milliseconds after a seek without another picture: it led to the one that is shown

/** Return whether this browser tells which picture it shows. */
export function canTellFrames() {
  return "requestVideoFrameCallback" in HTMLVideoElement.prototype;
}

/**
 * Plays a recording in a `<video>` and tells which frame is on screen.
 *
 * Times are those of predictions. `tell` has `shown(time)`, `playing(isPlaying)`, `waiting(isWaiting)`,
 * `ready()` and `failed(sentence)`, after which something else must show the pictures.
 *
 * After a seek, Firefox tells the place to which it led as the time of the picture. Then `tell.placed(time, isFrame)`
 * is called: whether the picture is the one of the frame that was sought must be found out by other means.
 */
export class VideoScreen {
  constructor(video, media, tell) {
    this.video = video;
    this.media = media;
    this.tell = tell;
    this.offset = null;
    this.last = 0; // the time of the picture on screen
    this.trust = new Trust();
    this.wanted = null; // {time, isFrame, tries}: of the seek in progress
    this.place = null; // where that seek leads, by the browser's clock
    this.next = null; // the seek after it
    this.isClosed = false;
    this.listeners = new AbortController();
  }

  open(url) {
    const { video } = this;
    const on = (type, handle) => video.addEventListener(type, handle, { signal: this.listeners.signal });
    on("error", () => this.fail("This browser cannot play the recording"));
    on("loadeddata", () => this.checkSize());
    on("play", () => this.tell.playing(true));
    on("pause", () => this.tell.playing(false));
    on("ended", () => this.tell.playing(false));
    on("waiting", () => this.tell.waiting(true));
    on("seeked", () => {
      this.tell.waiting(false);
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.settleLate(), SAME_PICTURE);
    });
    on("playing", () => this.tell.waiting(false));
    video.muted = true;
    video.preload = "auto";
    video.src = url;
    this.follow();
  }

  follow() {
    this.callback = this.video.requestVideoFrameCallback((_now, { mediaTime }) => {
      if (this.isClosed) return;
      this.follow();
      this.onFrame(mediaTime);
    });
  }

  onFrame(mediaTime) {
    if (this.offset === null) {
      this.offset = offsetOf(mediaTime, this.media.first_timestamp);
      if (this.offset === null) {
        this.fail(`The first picture that this browser shows, at ${mediaTime.toFixed(3)} s, is not the first frame`);
        return;
      }
      this.tell.ready();
      this.tell.shown(0);
      // A seek to the picture that is shown finds out whether the browser tells places: others then tell nothing.
      this.next ??= { time: 0, isFrame: true, tries: 0 };
      this.goOn();
      return;
    }
    const { wanted } = this;
    const isPlace = this.place !== null && Math.abs(mediaTime - this.place) < SAME_PLACE;
    let time = Math.max(0, mediaTime - this.offset);
    if (isPlace && wanted?.isFrame) ({ time } = wanted);
    else if (isPlace && !wanted) time = this.last; // playing begins with the picture that is shown
    this.last = time;
    if (wanted) this.settle(time);
    if (this.isClosed) return;
    this.tell.shown(time);
    if (isPlace && wanted && !this.wanted && this.video.paused) this.tell.placed(time, wanted.isFrame);
  }

  /** Check the picture that a seek led to; a frame that was missed is sought once more. */
  settle(time) {
    const { wanted } = this;
    this.wanted = null;
    if (!this.video.paused || this.next) {
      this.goOn();
      return;
    }
    if (wanted.isFrame && Math.abs(time - wanted.time) > TOLERANCE) {
      if (wanted.tries === 0) {
        const half = 0.5 / (this.media.fps || 1000);
        this.start({ ...wanted, tries: 1, into: time > wanted.time ? TOLERANCE : half });
        return;
      }
      if (!this.trust.note(wanted.time, time)) {
        this.fail("This browser does not show exactly the frames that were analysed");
        return;
      }
    } else if (wanted.isFrame) this.trust.note(wanted.time, time);
    this.goOn();
  }

  /** Browsers tell nothing if a seek leads to the picture that is shown, nor while the tab is hidden. */
  settleLate() {
    if (this.isClosed || !this.wanted || this.video.seeking || document.hidden) return;
    this.settle(this.last);
    if (!this.isClosed) this.tell.shown(this.last);
  }

  goOn() {
    const { next } = this;
    this.next = null;
    if (next) this.start(next);
  }

  start(wanted) {
    this.wanted = wanted;
    this.place = Math.max(0, wanted.time + this.offset + (wanted.into ?? INTO_FRAME));
    this.video.currentTime = this.place;
  }

  /** Show the picture at a time. `isFrame`: it is the time of a frame, so exactly this one must be shown. */
  seek(time, isFrame = false) {
    const wanted = { time, isFrame, tries: 0 };
    if (this.offset === null || (this.wanted && this.video.seeking)) this.next = wanted;
    else this.start(wanted);
  }

  async play() {
    if (!this.video.seeking) this.wanted = null;
    if (this.video.duration - this.video.currentTime < END_TOLERANCE) this.seek(0);
    try {
      await this.video.play();
    } catch (error) {
      if (error.name !== "AbortError") this.fail("This browser cannot play the recording");
    }
  }

  pause() {
    this.video.pause();
  }

  setRate(rate) {
    this.video.playbackRate = rate;
  }

  checkSize() {
    const { videoWidth, videoHeight } = this.video;
    const { width, height, display_aspect: aspect } = this.media;
    if (!videoWidth) this.fail("This browser cannot decode the pictures of the recording");
    else if (width && isTurned(videoWidth, videoHeight, width, height, aspect)) {
      this.fail("This browser does not turn the picture upright");
    }
  }

  fail(sentence) {
    if (this.isClosed) return;
    this.close();
    const codec = this.media.codec ? ` (${this.media.codec})` : "";
    this.tell.failed(`${sentence}${codec}.`);
  }

  close() {
    this.isClosed = true;
    clearTimeout(this.timer);
    this.listeners.abort();
    this.video.cancelVideoFrameCallback?.(this.callback);
    this.video.pause();
    this.video.removeAttribute("src");
    this.video.load();
  }
}
