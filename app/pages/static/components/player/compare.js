/** Whether a browser shows the picture that it should: its brightness is compared with that of the service's own. */

const WIDTH = 160; // pixels to which both are reduced, so that JPEG's noise is not seen
const MOST_NOISE = 32; // of 255: the same pictures differ by up to 15, measured with H.264, HEVC and VP9
const MOST_SHARE = 0.001; // of the pixels
const ENOUGH = 3; // pictures, each unlike the one before
const MOST_TRIES = 20; // of a recording in which nothing moves

/** Return the brightness of each pixel of a picture, reduced to a width of 160 pixels. */
export function brightnessOf(source, aspect) {
  const height = Math.max(1, Math.round(WIDTH / aspect));
  const canvas = new OffscreenCanvas(WIDTH, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.drawImage(source, 0, 0, WIDTH, height);
  const { data } = context.getImageData(0, 0, WIDTH, height);
  return Float32Array.from({ length: WIDTH * height }, (_, n) => {
    const at = 4 * n;
    return 0.299 * data[at] + 0.587 * data[at + 1] + 0.114 * data[at + 2];
  });
}

/** Return whether two pictures are the same but for the noise of their compression. */
export function areSame(one, other) {
  let count = 0;
  for (let n = 0; n < one.length; n++) count += Math.abs(one[n] - other[n]) > MOST_NOISE;
  return count <= MOST_SHARE * one.length;
}

/** Counts how often a browser showed the picture that it should. */
export class Comparisons {
  constructor() {
    this.tries = 0;
    this.proofs = 0;
    this.last = null;
  }

  /** Whether enough pictures were compared. */
  get isOver() {
    return this.proofs >= ENOUGH || this.tries >= MOST_TRIES;
  }

  /** Note what the browser shows, and what it should show. Returns whether they are the same. */
  note(shown, wanted) {
    this.tries += 1;
    if (!areSame(shown, wanted)) return false;
    if (this.last === null || !areSame(shown, this.last)) this.proofs += 1;
    this.last = shown;
    return true;
  }
}
