// The zones, lines and alerts of a scenario: draw, test against what is stored, and use from now on.

import { html, useMemo, useRef, useState } from "../lib/preact.js";
import { post } from "../lib/api.js";
import { go, link } from "../lib/router.js";
import { can } from "../lib/session.js";
import { useKeys } from "../lib/keys.js";
import { useGet } from "../lib/use_get.js";
import { Empty, ProblemSentence, useTitle } from "../components/basics.js";
import { Confirm } from "../components/dialog.js";
import { idsOfBodies } from "../components/creation/request.js";
import { bodyOf } from "../components/results/request.js";
import { draftOf } from "../components/zones/draft.js";
import { ZoneEditor } from "../components/zones/editor.js";
import { PictureChoice, useSourcePicture } from "../components/zones/source_picture.js";
import { TestPanel } from "../components/zones/test_panel.js";
import { trackingOf } from "../components/zones/test_run.js";

const REPLACED =
  "A new scenario takes the place of this one, which is stopped. Name, tags and the list of events are carried on;" +
  " what is stored stays.";
/** What `?` lists. */
const KEYS = [
  ["← ↑ → ↓", "Move a shape, a corner or the cross"],
  ["Space", "Add a point"],
  ["Enter", "Close a zone"],
  ["Del", "Remove a shape or a corner"],
  ["Ctrl+Z", "Undo"],
];
/** Return the body of POST /scenarios for the same scenario with this draft. */
function bodyWith(scenario, draft) {
  const body = { ...bodyOf(scenario), ...draft, tracking: trackingOf(scenario, draft) };
  return replaces(scenario) ? { ...body, replaces: scenario.id } : body;
}

/** A live source goes on with the new one. So does one with a login, which nobody is shown again. */
function replaces({ media, source }) {
  return source.includes("***") || (media ? media.live : /^(rtsp|http)s?:/i.test(source));
}

/** A draft that survives a reload and another page, until it is used. */
function useDraft(scenario) {
  const key = `videoanalysis.draft.${scenario.id}`;
  const stored = useMemo(() => {
    try {
      return JSON.parse(sessionStorage.getItem(key));
    } catch {
      return null;
    }
  }, [key]);
  const [draft, setDraft] = useState(stored ?? draftOf(scenario));
  const keep = (next) => {
    setDraft(next);
    try {
      if (next) sessionStorage.setItem(key, JSON.stringify(next));
      else sessionStorage.removeItem(key);
    } catch {
      // Without storage, the draft ends with the page.
    }
  };
  const discard = () => {
    keep(null);
    setDraft(draftOf(scenario));
  };
  return { draft, setDraft: keep, discard, wasStored: stored !== null };
}

function Editor({ scenario }) {
  useKeys({}, KEYS);
  const { draft, setDraft, discard, wasStored } = useDraft(scenario);
  const [time, setTime] = useState(scenario.media?.live ? null : 0);
  const [problem, setProblem] = useState(null);
  const [isAsking, setAsking] = useState(false);
  const idOf = useRef(null);
  idOf.current ??= idsOfBodies();
  const picture = useSourcePicture(scenario.id, time);
  const { data: timeline } = useGet(`scenarios/${scenario.id}/timeline`);
  const labels = timeline?.labels.length ? timeline.labels.map(({ label }) => label) : undefined;
  const { media } = scenario;
  const aspect = media?.display_aspect ?? (media ? media.width / media.height : 16 / 9);
  const isReplaced = replaces(scenario);
  const isChanged = JSON.stringify(draft) !== JSON.stringify(draftOf(scenario));
  const create = async () => {
    const body = bodyWith(scenario, draft);
    try {
      const { id } = await post("scenarios", { ...body, id: idOf.current(body) });
      discard();
      go(link(`scenarios/${id}`));
    } catch (failed) {
      setProblem(failed);
      throw failed;
    }
  };
  const show = (seconds) => {
    setTime(seconds);
    scrollTo({ top: 0 });
  };
  const change = (next) => {
    setProblem(null);
    setDraft(next);
  };
  const trial = html`<${TestPanel}
      scenario=${scenario}
      draft=${draft}
      onProblem=${setProblem}
      onTime=${media && !media.live ? show : null}
    />
    <div class="actions begin">
      <button
        type="button"
        class="primary"
        disabled=${!isChanged}
        onClick=${() => setAsking(true)}
      >Use from now on</button>
      <span class="quiet">${isChanged ? "" : "Nothing has changed."}</span>
    </div>`;
  return html`
    ${wasStored && isChanged && html`<p class="note">This is your draft from before. <button
      type="button"
      class="link"
      onClick=${discard}
    >Show what the scenario has</button></p>`}
    <${ZoneEditor}
      src=${picture.src}
      aspect=${aspect}
      draft=${draft}
      onChange=${change}
      problem=${problem}
      labels=${labels}
      trial=${trial}
    >
      <${PictureChoice} media=${media} time=${time} onTime=${setTime} picture=${picture} />
    <//>
    ${isAsking &&
    html`<${Confirm}
      title="Use this from now on?"
      verb="Use from now on"
      action=${create}
      onClose=${() => setAsking(false)}
    >
      <p>
        ${isReplaced
          ? REPLACED
          : "A new scenario analyses the recording from its beginning. This one stays as it is."}
      </p>
      ${scenario.tracking === null &&
      trackingOf(scenario, draft) &&
      html`<p>Objects will be followed from frame to frame, because zones and lines need it.</p>`}
    <//>`}
  `;
}

export default function ZonesPage({ params }) {
  const { data: scenario, problem } = useGet(`scenarios/${params.id}`);
  useTitle(scenario ? `Zones of ${scenario.name || scenario.source}` : "Zones");
  if (!can.write)
    return html`<${Empty} title="Zones and lines">
      <p>Only those who may create scenarios can draw zones and lines. Log in with a key that may.</p>
    <//>`;
  if (problem && !scenario) return html`<${ProblemSentence} problem=${problem} />`;
  if (!scenario) return html`<p class="quiet">Reading the scenario.</p>`;
  return html`<div class="stack">
    <header class="page-head">
      <h1>Zones and lines</h1>
      <p><a href=${link(`scenarios/${scenario.id}`)}>${scenario.name || scenario.source}</a></p>
    </header>
    ${scenario.replaced_by &&
    html`<p class="note">
      Another scenario has replaced this one.${" "}
      <a href=${link(`scenarios/${scenario.replaced_by}/zones`)}>Draw on that one</a>.
    </p>`}
    <${Editor} key=${scenario.id} scenario=${scenario} />
  </div>`;
}
