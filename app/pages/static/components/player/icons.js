/** The signs of the player's buttons, drawn because fonts do not have all of them. */
import { html } from "../../lib/preact.js";

const PATHS = {
  previousEvent: "M3 3h2v10H3zM14 3v10L6 8z",
  previousFrame: "M11 3v10L4 8z",
  play: "M4 2.5v11L13.5 8z",
  pause: "M4 3h3v10H4zM9 3h3v10H9z",
  nextFrame: "M5 3v10l7-5z",
  nextEvent: "M11 3h2v10h-2zM2 3v10l8-5z",
  fullScreen: "M2 2h5v2H4v3H2zM9 2h5v5h-2V4H9zM2 9h2v3h3v2H2zM12 9h2v5H9v-2h3z",
};

/** `<${Icon} name="play" />` of the size of a letter; the button says what it does. */
export function Icon({ name }) {
  return html`<svg width="16" height="16" viewBox="0 0 16 16" fill="currentColor" aria-hidden="true">
    <path d=${PATHS[name]} />
  </svg>`;
}
