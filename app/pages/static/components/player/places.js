/** Where the texts of boxes stand. The API draws by the same rules: app/video/labels.py. No DOM. */

const MOST_TAKEN = 100; // texts that later ones keep clear of: more would cost more than they help

const overlap = (one, other) => one[0] < other[2] && other[0] < one[2] && one[1] < other[3] && other[1] < one[3];

/**
 * Return where the text of a box stands: above it, inside, or below, clear of those that are `taken`. All are
 * rectangles: left, top, right, bottom.
 *
 * @param {number[]} box
 * @param {[number, number]} size width and height of the text; if no place is free, it is the first
 * @param {[number, number]} picture its width and height
 * @param {number[][]} taken
 */
export function placeText([x1, y1, x2, y2], [width, height], picture, taken) {
  const lefts = [x1, x2 - width].map((left) => Math.max(0, Math.min(left, picture[0] - width)));
  const tops = [y1 - height, y1, y2, y2 - height].filter((top) => 0 <= top && top <= picture[1] - height);
  const places = tops.flatMap((top) => lefts.map((left) => [left, top, left + width, top + height]));
  const others = taken.slice(0, MOST_TAKEN);
  const free = places.find((place) => !others.some((other) => overlap(place, other)));
  const top = Math.max(0, Math.min(y1 - height, picture[1] - height));
  return free ?? places[0] ?? [lefts[0], top, lefts[0] + width, top + height];
}
