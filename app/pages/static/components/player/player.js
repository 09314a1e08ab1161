/** The picture with what was found in it, and the controls below it. */
import { count, duration } from "../../lib/format.js";
import { marked, sentence } from "../../lib/marked.js";
import { html, useEffect, useLayoutEffect, useRef, useState } from "../../lib/preact.js";
import { momentText } from "../timeline/texts.js";
import { Icon } from "./icons.js";
import { drawOverlay } from "./overlay.js";
import { RATES } from "./playback.js";

/**
 * @param {object} props
 * @param {import("./playback.js").Playback} props.playback
 * @param {object} props.scenario as the API returns it
 * @param {number|null} props.start the time at which it begins
 * @param {(direction: 1|-1) => void} props.stepEvent goes to the next event, or to the one before
 * @param {{current: HTMLElement|null}} props.stage is given the element that fills the screen
 */
export function Player({ playback, scenario, start, stepEvent, stage }) {
  const video = useRef(null);
  const picture = useRef(null);
  const media = (playback.isLive && scenario.media) || playback.media; // a camera's can change
  const isVideo = playback.mode.value === "video";

  useEffect(() => {
    playback.open(video.current, picture.current, start);
    return () => playback.close();
  }, [playback]);

  const aspect = media.display_aspect ?? (media.height ? media.width / media.height : 16 / 9);
  return html`
    <figure class="player" ref=${stage}>
      <div class="player-stage" style=${{ "--aspect": aspect }} onClick=${() => playback.toggle()}>
        <video ref=${video} playsinline tabindex="-1" hidden=${!isVideo}></video>
        <canvas ref=${picture} hidden=${isVideo}></canvas>
        <${Overlay} playback=${playback} scenario=${scenario} />
      </div>
      <${Controls} playback=${playback} stepEvent=${stepEvent} stage=${stage} />
      ${playback.note.value && html`<figcaption class="quiet small player-note">${marked(playback.note.value)}</figcaption>`}
    </figure>
  `;
}

/** What was found, drawn over the picture; or why there is none. It is drawn again for each picture. */
function Overlay({ playback, scenario }) {
  const { zones, lines, reason } = scenario;
  const canvas = useRef(null);
  const [size, setSize] = useState({ width: 0, height: 0 });
  const prediction = playback.prediction.value;
  const isHeld = playback.isHeld.value;

  useLayoutEffect(() => {
    const observer = new ResizeObserver(([{ contentRect }]) => {
      setSize({ width: contentRect.width, height: contentRect.height });
    });
    observer.observe(canvas.current);
    return () => observer.disconnect();
  }, []);
  useLayoutEffect(() => {
    const scale = devicePixelRatio;
    const [width, height] = [Math.round(size.width * scale), Math.round(size.height * scale)];
    if (canvas.current.width !== width || canvas.current.height !== height) {
      Object.assign(canvas.current, { width, height });
    }
    const fallback = playback.media.width ? playback.media : null;
    const more = { zones, lines, fallback, isHeld };
    drawOverlay(canvas.current.getContext("2d"), { width, height, scale }, prediction, more);
  }, [size, prediction, isHeld, zones, lines]);

  // The last picture of a camera that is away must not be taken for the newest one.
  const away = playback.isFollowing.value ? (reason?.text ?? null) : null;
  const message = playback.refusal.value ?? away ?? frameProblem(prediction) ?? emptyText(playback);
  return html`
    <canvas ref=${canvas} class="player-overlay" role="img" aria-label=${description(prediction)}></canvas>
    ${message && html`<p class="player-message" role="status">${marked(sentence(message))}</p>`}
    ${!message &&
    (playback.isWaiting.value || (playback.isFollowing.value && prediction === undefined)) &&
    html`<p class="player-message late">The picture is on its way.</p>`}
  `;
}

function Controls({ playback, stepEvent, stage }) {
  const isPlaying = playback.isPlaying.value;
  const isLive = playback.isLive;
  const button = (icon, name, key, act) =>
    html`<button type="button" class="icon" aria-label=${name} title=${`${name} (${key})`} onClick=${act}>
      <${Icon} name=${icon} />
    </button>`;
  return html`
    <div class="player-controls">
      ${button("previousEvent", "Previous event", "Shift ←", () => stepEvent(-1))}
      ${button("previousFrame", "Previous frame", "←", () => playback.step(-1))}
      ${!isLive && button(isPlaying ? "pause" : "play", isPlaying ? "Pause" : "Play", "Space", () => playback.toggle())}
      ${button("nextFrame", "Next frame", "→", () => playback.step(1))}
      ${button("nextEvent", "Next event", "Shift →", () => stepEvent(1))}
      ${isLive &&
      html`<button
        type="button"
        title="Space"
        aria-pressed=${playback.isFollowing.value}
        onClick=${() => playback.toggle()}
      >
        Follow
      </button>`}
      <${Position} playback=${playback} />
      ${!isLive &&
      html`<select
        aria-label="Speed"
        value=${playback.rate.value}
        onChange=${(event) => playback.setRate(Number(event.target.value))}
      >
        ${RATES.map((rate) => html`<option value=${rate} selected=${rate === playback.rate.value}>${rate}×</option>`)}
      </select>`}
      ${button("fullScreen", "Full screen", "f", () => toggleFullScreen(stage.current))}
    </div>
  `;
}

/** The time of the picture and its frame, or how much older the boxes are than it. */
function Position({ playback }) {
  const time = playback.time.value;
  const prediction = playback.prediction.value;
  let frame = prediction === null ? "no frame stored here" : "";
  if (prediction) {
    frame = `frame ${count(prediction.frame)}`;
    if (playback.isHeld.value) frame += `, ${duration(time - prediction.time, 3)} before`;
  }
  return html`<span class="player-position numbers">
    <span>${time || !playback.isLive ? momentText(time, playback.isLive) : ""}</span>${" "}<span class="quiet">${frame}</span>
  </span>`;
}

/** Fill the screen with an element, or leave that again. */
export function toggleFullScreen(element) {
  if (document.fullscreenElement) document.exitFullscreen();
  else element?.requestFullscreen?.().catch(() => {});
}

function frameProblem(prediction) {
  return prediction?.error === undefined ? null : `Frame ${count(prediction.frame)}: ${prediction.error}`;
}

function emptyText(playback) {
  if (playback.mode.value === "live" && playback.isLookingBack.value) {
    return "No video of a live source is kept: these are the boxes that are stored. Events show their pictures.";
  }
  return null;
}

/** Return what is found in a frame, for those who do not see it. */
function description(prediction) {
  if (!prediction) return prediction === null ? "No stored frame" : "Not known yet";
  const counts = new Map();
  for (const { label } of prediction.detections) counts.set(label, (counts.get(label) ?? 0) + 1);
  const found = [...counts].map(([label, number]) => `${count(number)} ${label}`);
  return `Frame ${count(prediction.frame)}: ${found.join(", ") || "nothing found"}`;
}
