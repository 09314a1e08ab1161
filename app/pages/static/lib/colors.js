/**
 * A colour for each label, derived from its name, so that "person" looks the same on every page and day. The API draws
 * with the same ones: app/video/labels.py.
 */

// Of Okabe and Ito's set for the colour-blind, and shades of it that are bright enough on video.
const COLORS = ["#e69f00", "#56b4e9", "#2fbf8f", "#f0e442", "#5b8def", "#f2713f", "#e58fc0", "#b9d44a", "#c58af9"];

/** The colours by which zones and lines are drawn. */
export const ZONE_COLOR = "#00c8ff";
export const IGNORED_COLOR = "#9a9a9a";
export const LINE_COLOR = "#ffdc00";

/** Return the colour of a label as "#rrggbb". Text on it is black. */
export function colorOf(label) {
  let hash = 2166136261; // FNV-1a
  for (const character of label) hash = Math.imul(hash ^ character.codePointAt(0), 16777619) >>> 0;
  return COLORS[((hash ^ (hash >>> 15)) >>> 0) % COLORS.length];
}
