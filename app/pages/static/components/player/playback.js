/** What the player shows, and how it moves: one of three screens, and the stored frame of its picture. */
import { url } from "../../lib/api.js";
import { signal } from "../../lib/preact.js";
import { Comparisons, brightnessOf } from "./compare.js";
import { fetchPicture, refusalOf } from "./fetching.js";
import { TOLERANCE, isExact } from "./frames.js";
import { LiveScreen } from "./live.js";
import { PictureScreen } from "./pictures.js";
import { VideoScreen, canTellFrames } from "./video.js";

const MOST_STRAYS = 15; // pictures in a row that no stored frame has, though every frame is stored
const AT_THE_END = 2; // seconds before the newest picture of a live source that lead to it, at most

export const RATES = [0.25, 0.5, 1, 2, 4];

/** The state of a player. Times are in seconds, as in predictions. */
export class Playback {
  /** The time of the picture on screen. */
  time = signal(0);
  /** The stored frame of the picture, or the last one before it; null if there is none, undefined while that is not known. */
  prediction = signal(undefined);
  /** Whether the picture is a later one than the stored frame. */
  isHeld = signal(false);
  isPlaying = signal(false);
  isWaiting = signal(true);
  /** Whether the newest pictures of a live source are shown. */
  isFollowing = signal(false);
  /** Whether an earlier moment of a live source is shown, of which no picture is kept. */
  isLookingBack = signal(false);
  rate = signal(1);
  /** "video", "pictures" or "live". */
  mode = signal("video");
  /** Why it is not the video itself that is shown. */
  note = signal(null);
  /** Why there is no picture. */
  refusal = signal(null);

  /**
   * @param {object} options
   * @param {string} options.path of the scenario in the API
   * @param {object} options.media of the source that is shown
   * @param {object|null} options.sampling which frames are stored
   * @param {number} options.interval seconds between stored frames, about
   * @param {StoredFrames} options.frames
   * @param {(frame: number) => Promise<object|null>} options.readFrame returns a stored frame
   * @param {boolean} options.isRunning whether new pictures of a live source may come; it may be changed
   */
  constructor(options) {
    Object.assign(this, options);
    this.strays = 0;
    this.comparisons = new Comparisons();
    this.wished = null; // the time of a seek that goes on
    this.stepped = null; // the time of a step that goes on
    this.domain = { from: 0, to: Infinity };
    this.onMoved = () => {}; // called when the user leaves the moment that was shown
    this.isClosed = false;
  }

  get isLive() {
    return this.media.live;
  }

  /** The time of the picture that is shown or will be. */
  get moment() {
    return this.wished ?? this.time.value;
  }

  /** Begin to show pictures on these elements. `time`: null: the beginning, or the newest picture. */
  open(video, canvas, time = null) {
    this.video = video;
    this.canvas = canvas;
    if (this.isLive) this.showLive(time);
    else this.showVideo(time);
  }

  showLive(time) {
    this.mode.value = "live";
    this.screen = new LiveScreen(this.canvas, this.path, this.readFrame, this.tell());
    this.screen.open();
    if (time === null && this.isRunning) this.begin();
    else this.moveTo(time ?? this.domain.to);
  }

  showVideo(time) {
    const tracks = (this.media.tracks ?? []).filter((each) => !each.still);
    if (!canTellFrames()) this.showPictures("This browser does not tell which frame of a video it shows.");
    else if (tracks.length > 1) {
      this.showPictures("The recording has several video tracks, of which browsers play one.");
    } else {
      this.mode.value = "video";
      this.screen = new VideoScreen(this.video, this.media, this.tell());
      this.screen.open(url(`${this.path}/video`));
    }
    if (time !== null) this.moveTo(time);
    else if (this.mode.value === "pictures") this.moveTo(0);
  }

  showPictures(why) {
    this.note.value = `${why} Its stored frames are shown as pictures instead.`;
    this.mode.value = "pictures";
    this.screen = new PictureScreen(this.canvas, this.frames, `${this.path}/frame.jpg`, this.tell());
    this.screen.setRate(this.rate.value);
    this.screen.open();
  }

  /** The calls of a screen; those of one that was replaced do nothing. */
  tell() {
    const number = (this.screens = (this.screens ?? 0) + 1);
    const current = (handle) => (...values) => {
      if (!this.isClosed && number === this.screens) handle(...values);
    };
    return {
      ready: current(() => (this.isWaiting.value = false)),
      shown: current((time) => this.onShown(time)),
      placed: current((time, isFrame) => (isFrame ? this.compare(time) : this.moveToFrame(time))),
      playing: current((isPlaying) => (this.isPlaying.value = isPlaying)),
      waiting: current((isWaiting) => (this.isWaiting.value = isWaiting)),
      refused: current((problem) => (this.refusal.value = problem?.sentence ?? null)),
      empty: current((isEmpty) => (this.isLookingBack.value = isEmpty)),
      following: current((isFollowing) => {
        this.isFollowing.value = isFollowing;
        this.isPlaying.value = isFollowing;
      }),
      live: current((prediction, time) => {
        this.time.value = time;
        this.show(prediction, false);
      }),
      failed: current((sentence) => this.replaceVideo(sentence)),
    };
  }

  /** Show pictures, because the browser does not show the video or not its frames. */
  async replaceVideo(sentence) {
    const { wished } = this;
    this.mode.value = "pictures";
    this.isPlaying.value = false;
    const refusal = await refusalOf(`${this.path}/video`);
    if (this.isClosed) return;
    this.showPictures(refusal ?? sentence);
    this.moveTo(wished ?? this.time.value);
  }

  show(prediction, isHeld) {
    this.prediction.value = prediction;
    this.isHeld.value = isHeld;
  }

  onShown(time) {
    this.time.value = time;
    this.stepped = null;
    if (!this.screen.wanted && !this.screen.next) this.wished = null;
    if (this.frames.isLoaded(time)) this.resolve(time);
    this.frames
      .load(time)
      .then(() => {
        if (this.time.value === time) this.resolve(time);
        const ahead = time + this.frames.seconds / 2;
        if (ahead <= this.domain.to) return this.frames.load(ahead);
      })
      .catch((problem) => {
        if (problem.name !== "AbortError") this.refusal.value = problem.sentence ?? String(problem);
      });
  }

  /** Find the stored frame of the picture at a time. */
  resolve(time) {
    const frame = this.frames.find(time);
    const isHeld = frame !== null && !isExact(frame, time);
    if (frame && isHeld && time - frame.time > 1.5 * this.interval + TOLERANCE) {
      this.show(null, false);
      return;
    }
    this.show(frame, isHeld);
    if (this.mode.value !== "video" || this.sampling?.mode !== "all" || !frame) return;
    this.strays = isHeld ? this.strays + 1 : 0;
    if (this.strays >= MOST_STRAYS) {
      this.screen.fail("This browser shows the frames at other times than those that are stored");
    }
  }

  /** Show the stored frame at a time, if it is the picture at that time, in a browser that does not tell which it shows. */
  async moveToFrame(time) {
    const frame = await this.frames.findBefore(time).catch(() => null);
    if (!frame || this.isClosed || this.time.value !== time || this.isPlaying.value) return;
    const isPicture = this.sampling?.mode === "all" || time - frame.time < 1 / (this.media.fps || 1000);
    if (isPicture && !isExact(frame, time)) this.moveTo(frame.time, true);
  }

  /** Compare the picture of a frame with the service's own, in a browser that does not tell which it shows. */
  async compare(time) {
    if (this.comparisons.isOver || this.isComparing) return;
    const { videoWidth, videoHeight } = this.video;
    const aspect = videoWidth / videoHeight;
    const shown = brightnessOf(this.video, aspect);
    this.isComparing = true;
    const { screen } = this;
    try {
      const frame = await this.frames.findBefore(time);
      if (!frame || !isExact(frame, time)) return;
      const { bitmap } = await fetchPicture(`${this.path}/frame.jpg`, { frame: frame.frame });
      const isSame = this.comparisons.note(shown, brightnessOf(bitmap, aspect));
      bitmap.close();
      if (!isSame && !this.isClosed) screen.fail("This browser does not show exactly the frames that were analysed");
    } catch {
      // Without the service's picture nothing is known: the next frame is compared.
    } finally {
      this.isComparing = false;
    }
  }

  /** Show the picture at a time, as the user asks. `isFrame`: exactly the frame that is stored for it. */
  seek(time, isFrame = false) {
    this.onMoved();
    this.moveTo(time, isFrame);
  }

  moveTo(time, isFrame = false) {
    const wanted = isFrame ? time : Math.min(Math.max(time, this.domain.from), this.domain.to);
    this.wished = wanted;
    if (this.canFollow && !isFrame && this.isNewest(wanted)) this.begin();
    else this.screen?.seek(wanted, isFrame);
  }

  /** Show a moment at which an event is seen best, of a live source by the picture that is kept of it. */
  showEvent(event) {
    this.pause();
    if (this.isLive && event.picture) this.screen?.showEvent(event);
    else this.moveTo(event.best_time, true);
  }

  /** Follow a live source whose scenario runs again, unless an earlier moment is shown. */
  resume() {
    if (this.isLive && this.screen && !this.isFollowing.value && !this.isLookingBack.value) this.begin();
  }

  /** Show the next stored frame, or with -1 the one before. */
  async step(direction) {
    if (this.isStepping) return;
    this.isStepping = true;
    try {
      this.pause();
      const from = this.stepped ?? this.time.value;
      const frame =
        direction > 0 ? await this.frames.findAfter(from) : await this.frames.findBefore(from - 2 * TOLERANCE);
      if (!frame) return;
      this.stepped = frame.time;
      this.seek(frame.time, true);
    } catch (problem) {
      this.refusal.value = problem.sentence ?? String(problem);
    } finally {
      this.isStepping = false;
    }
  }

  isNewest(time) {
    const { from, to } = this.domain;
    return to - time <= Math.min(AT_THE_END, (to - from) / 50);
  }

  get canFollow() {
    return this.isLive && this.isRunning;
  }

  play() {
    this.onMoved();
    this.begin();
  }

  begin() {
    if (this.isLive && !this.isRunning) {
      this.refusal.value = "The scenario does not run: there are no new pictures of its live source. Start it to see them.";
      return;
    }
    this.screen?.play();
  }

  pause() {
    if (this.isPlaying.value) this.screen?.pause();
  }

  toggle() {
    if (this.isPlaying.value) this.pause();
    else this.play();
  }

  setRate(rate) {
    this.rate.value = rate;
    this.screen?.setRate(rate);
  }

  close() {
    this.isClosed = true;
    this.screen?.close();
  }
}
