/** Live sources as tiles with their newest picture. They keep their place while they change. */
import { plural } from "../lib/format.js";
import { marked, plain, sentence } from "../lib/marked.js";
import { html, useEffect, useRef, useState } from "../lib/preact.js";
import { Backoff } from "../lib/reading.js";
import { link } from "../lib/router.js";
import { nameOf } from "../lib/scenarios.js";
import { StateBadge } from "./badge.js";
import { Since } from "./basics.js";
import { loadPicture, useVisible } from "./picture.js";

const MOST_A_SECOND = 6; // pictures of all tiles that are visible
const FEW = 4; // tiles that can be larger
const [SMALL, LARGE] = [320, 640]; // pixels: half of the stored picture and all of it are drawn fastest
const LEAST_INTERVAL = 900; // ms between two pictures of a tile

let visibleTiles = 0;

/** `<${Tiles} scenarios=${…} />`, each with its progress as it is now. */
export function Tiles({ scenarios }) {
  return html`<ul class=${scenarios.length > FEW ? "tiles" : "tiles few"}>
    ${scenarios.map((scenario) => html`<${Tile} key=${scenario.id} scenario=${scenario} />`)}
  </ul>`;
}

/** The room that so many tiles take, while they are read. */
export function TilePlaces({ number }) {
  return html`<ul class=${number > FEW ? "tiles" : "tiles few"} aria-hidden="true">
    ${Array.from(
      { length: number },
      () => html`<li class="tile">
        <div class="picture"></div>
        <div class="tile-line"><span class="badge">\u00a0</span></div>
        <div class="tile-line small">\u00a0</div>
      </li>`,
    )}
  </ul>`;
}

function Tile({ scenario }) {
  const { source, problem, element } = useLivePicture(scenario);
  const { reason, progress } = scenario;
  const name = nameOf(scenario);
  const isOpen = scenario.source_state === "open";
  const words = !isOpen || !source ? (sentence(reason?.text) ?? problem?.sentence ?? waitingText(scenario)) : null;
  return html`<li class="tile" ref=${element} data-id=${scenario.id}>
    <a href=${link(`scenarios/${scenario.id}`)} aria-label=${name}>
      <div class=${`picture ${isOpen ? "" : "stale"}`}>
        ${source && html`<img src=${source} alt=${`Newest picture of ${name}`} />`}
        ${words && html`<p class="picture-problem" title=${plain(words)}>${marked(words)}</p>`}
      </div>
    </a>
    <div class="tile-line">
      <span class="ellipsis" title=${name}>${name}</span>
      <${StateBadge} scenario=${scenario} />
    </div>
    <div class="tile-line quiet small numbers">
      ${reason
        ? html`<span>for <${Since} at=${reason.since} /></span>`
        : html`<span>${plural(progress.frames_sampled, "frame")}</span>`}
      <span>${plural(progress.detections, "detection")}</span>
    </div>
  </li>`;
}

function waitingText(scenario) {
  if (scenario.state === "active") return "The next picture comes with the next frame.";
  return scenario.state === "init_startup" ? "It waits for a runner." : "The source is being opened.";
}

/** Load the newest picture whenever the progress says that there is another, while the tile is visible. */
function useLivePicture(scenario) {
  const [element, isVisible] = useVisible();
  const [state, setState] = useState({ source: null, problem: null });
  const last = useRef({ source: null, notBefore: 0, isBusy: false });
  last.current.backoff ??= new Backoff();
  const { id, source_state, progress } = scenario;

  useEffect(() => {
    if (!isVisible) return undefined;
    visibleTiles += 1;
    return () => {
      visibleTiles -= 1;
    };
  }, [isVisible]);
  useEffect(() => {
    const { notBefore, isBusy } = last.current;
    if (!isVisible || document.hidden || isBusy || source_state !== "open" || Date.now() < notBefore) return;
    last.current.isBusy = true;
    const width = element.current.clientWidth * devicePixelRatio > 1.1 * SMALL ? LARGE : SMALL;
    loadPicture(`scenarios/${id}/frame.jpg`, { annotated: true, width })
      .then(
        ({ source }) => {
          if (last.current.source) URL.revokeObjectURL(last.current.source);
          last.current.source = source;
          last.current.backoff.reset();
          setState({ source, problem: null });
          return Math.max(LEAST_INTERVAL, (visibleTiles / MOST_A_SECOND) * 1_000);
        },
        (problem) => {
          setState({ source: last.current.source, problem });
          return last.current.backoff.next();
        },
      )
      .then((pause) => {
        last.current.isBusy = false;
        last.current.notBefore = Date.now() + pause;
      });
  }, [isVisible, source_state, progress.frames_sampled]);
  useEffect(() => () => last.current.source && URL.revokeObjectURL(last.current.source), []);
  return { ...state, element };
}
