/** A scenario: its video with what was found, when, and what happened. */
import { ProblemSentence, useTitle } from "../components/basics.js";
import { Player, toggleFullScreen } from "../components/player/player.js";
import { WHOLE, askedScenario, domainOf, makePlayback } from "../components/player/prepare.js";
import { Actions } from "../components/results/actions.js";
import { RecordedAt } from "../components/results/date.js";
import { EventList } from "../components/results/events.js";
import { History, useHistory } from "../components/results/history.js";
import { PredictionTable } from "../components/results/predictions.js";
import { RequestText } from "../components/results/request.js";
import { Summary } from "../components/results/summary.js";
import { outagesOf, rankLabels } from "../components/timeline/lanes.js";
import { Timeline } from "../components/timeline/timeline.js";
import { get } from "../lib/api.js";
import { useKeys } from "../lib/keys.js";
import { html, useEffect, useMemo, useRef, useState } from "../lib/preact.js";
import { go, link, setQuery } from "../lib/router.js";
import { useGet } from "../lib/use_get.js";

export const styles = ["scenario"];

const KEYS = [
  ["Space", "Play or pause; of a live source, follow"],
  ["← →", "Previous and next stored frame"],
  ["Shift ← →", "Previous and next event"],
  ["+ −", "Zoom the timeline"],
  ["f", "Full screen"],
];
const TABS = ["Events", "Predictions", "History", "Request"];
const EVENTS_EVERY = 5000; // milliseconds after which events are read again
const STEPS = 500; // of what is shown: the timeline is read again when it has grown by one, at least each minute
const ADDRESS_EVERY = 500; // milliseconds after which the address has the moment that is shown

export default function ScenarioPage({ params, query }) {
  const { id } = params;
  const path = `scenarios/${id}`;
  const isOwn = (_kind, data) => data?.scenario_id === id;
  const { data: scenario, problem, reload } = useGet(path, {}, { on: isOwn });
  const past = useHistory(id);
  const asked = scenario ? askedScenario(scenario) : null;
  const footage = useGet(asked === null ? null : `scenarios/${asked}`);
  useTitle(scenario ? scenario.name || scenario.source : "Scenario");

  const isReady = asked === null || footage.data !== null || footage.problem !== null;
  if (problem && !scenario) return html`<${ProblemSentence} problem=${problem} retry=${reload} />`;
  if (!scenario || !isReady) return html`<p class="quiet late">Reading the scenario.</p>`;
  return html`
    <${ProblemSentence} problem=${problem} />
    <${Results}
      key=${scenario.media === null}
      scenario=${scenario}
      footage=${footage.data}
      past=${past}
      query=${query}
      reload=${reload}
    />
  `;
}

function Results({ scenario, footage, past, query, reload }) {
  const path = `scenarios/${scenario.id}`;
  const [tab, setTab] = useState(TABS[0]);
  const [chosen, setChosen] = useState(query.event ? Number(query.event) : null);
  const [problem, setProblem] = useState(null);
  const { frames_sampled: sampled } = scenario.progress;
  const isOver = scenario.state === "inactive"; // then what it stored is shown at once
  const news = useSlow(sampled, isOver ? 0 : EVENTS_EVERY);
  const playback = useMemo(() => (scenario.media ? makePlayback(scenario, footage) : null), []);
  const [start] = useState(startOf(query));
  const event = useRef(null);
  const stage = useRef(null);
  const timeline = useRef({});

  // What is stored is counted again as it grows, and how often it is depends on how much there is.
  const [growsEvery, setGrowsEvery] = useState(EVENTS_EVERY);
  const version = useSlow(sampled, isOver ? 0 : growsEvery);
  const { data: whole } = useGet(`${path}/timeline`, { bucket: WHOLE }, { version });
  const { data: happened } = useGet(`${path}/events/counts`, {}, { version });
  const domain = playback ? domainOf(scenario, playback, whole) : { from: 0, to: 1 };
  const step = Math.min(60_000, Math.max(EVENTS_EVERY, Math.round((domain.to - domain.from) / STEPS) * 1000));
  useEffect(() => setGrowsEvery(step), [step]);
  const shownTo = useSlow(domain.to, playback?.isLive && !isOver ? growsEvery : 0);
  const shownDomain = { from: domain.from, to: Math.max(shownTo, domain.from + 0.1) };

  const isRunning = scenario.state !== "inactive" && askedScenario(scenario) === null;
  if (playback) {
    playback.domain = domain;
    playback.isRunning = isRunning;
    playback.frames.setStoredUntil(scenario.state === "inactive" ? Infinity : scenario.progress.position_seconds);
  }
  const choose = (found) => {
    if (found.scenario_id !== scenario.id) {
      go(link(`scenarios/${found.scenario_id}`, { event: found.event_id }));
      return;
    }
    event.current = found;
    setChosen(found.event_id);
    playback?.showEvent(found);
  };
  const goTo = async (number) => {
    try {
      choose(await get(`${path}/events/${number}`));
    } catch (error) {
      setProblem(error);
    }
  };
  const stepEvent = async (direction) => {
    const from = event.current?.start_time ?? playback.moment;
    const next = direction > 0 ? { from_time: from + 0.001, order: "asc" } : { to_time: from, order: "desc" };
    try {
      const page = await get(`${path}/events`, { ...next, limit: 1 });
      if (page.items.length) choose(page.items[0]);
    } catch (error) {
      setProblem(error);
    }
  };
  if (playback) {
    playback.onMoved = () => {
      event.current = null;
      setChosen(null);
    };
  }
  useEffect(() => {
    if (isRunning) playback?.resume();
  }, [isRunning]);
  useAddress(playback, chosen, query, goTo);
  useEffect(() => {
    if (chosen !== null && playback) goTo(chosen);
  }, [playback]);

  useKeys(playback ? keysOf(playback, stage, timeline, stepEvent) : {}, KEYS);
  const labels = rankLabels(whole?.labels ?? []);
  const isDated = playback?.isLive ?? false;
  const isRecording = playback !== null && !isDated && askedScenario(scenario) === null;
  return html`
    <div class="scenario-page">
      <div class="scenario-video">
        ${playback
          ? html`
              <${Player} ...${{ playback, scenario, start, stepEvent, stage }} />
              <${Timeline}
                path=${path}
                domain=${shownDomain}
                isDated=${isDated}
                playback=${playback}
                outages=${isDated ? outagesOf(past.changes ?? []) : [unread(scenario)]}
                version=${version}
                rate=${rateOf(scenario)}
                progress=${scenario.progress}
                expose=${(actions) => (timeline.current = actions)}
              />
            `
          : html`<p class="player-stage player-none">${notOpenedText(scenario)}</p>`}
      </div>
      <div class="scenario-side">
        <${Summary} scenario=${scenario} labels=${labels} happened=${happened?.items ?? []}>
          ${isRecording && html`<${RecordedAt} ...${{ scenario, path, reload }} />`}
          <${Actions} scenario=${scenario} path=${path} playback=${playback} reload=${reload} />
        <//>
        <${ProblemSentence} problem=${problem} />
        <div class="row scenario-tabs" role="group" aria-label="Results">
          ${TABS.map(
            (name) => html`<button type="button" aria-pressed=${name === tab} onClick=${() => setTab(name)}>
              ${name}
            </button>`,
          )}
        </div>
        ${tab === "Events" &&
        html`<${EventList} ...${{ path, scenario, isDated, chosen, version: news }} onChoose=${choose} />`}
        ${tab === "Predictions" &&
        html`<${PredictionTable}
          path=${path}
          isDated=${isDated}
          from=${() => playback?.moment ?? 0}
          onChoose=${(frame) => playback?.seek(frame.time, true)}
        />`}
        ${tab === "History" && html`<${History} ...${past} />`}
        ${tab === "Request" && html`<${RequestText} scenario=${scenario} />`}
      </div>
    </div>
  `;
}

function startOf({ t, event }) {
  const time = Number(t);
  return t !== undefined && event === undefined && Number.isFinite(time) && time >= 0 ? time : null;
}

function keysOf(playback, stage, timeline, stepEvent) {
  const arrow = (direction) => (event) => (event.shiftKey ? stepEvent(direction) : playback.step(direction));
  return {
    // A focused button is pressed by Space as everywhere.
    " ": ({ target }) => (target instanceof HTMLButtonElement ? target.click() : playback.toggle()),
    ArrowLeft: arrow(-1),
    ArrowRight: arrow(1),
    "+": () => timeline.current.zoom?.(0.5),
    "=": () => timeline.current.zoom?.(0.5),
    "-": () => timeline.current.zoom?.(2),
    f: () => toggleFullScreen(stage.current),
  };
}

/** Keep the moment in the address, and go to the moment of an address that is opened. */
function useAddress(playback, chosen, query, goTo) {
  const written = useRef({ t: query.t, event: query.event });
  useEffect(() => {
    if (!playback) return undefined;
    const timer = setInterval(() => {
      const isMoment = !playback.isFollowing.value && chosen === null;
      const t = isMoment ? playback.moment.toFixed(3) : undefined;
      const event = chosen === null ? undefined : String(chosen);
      if (t === written.current.t && event === written.current.event) return;
      written.current = { t, event };
      setQuery({ t, event });
    }, ADDRESS_EVERY);
    return () => clearInterval(timer);
  }, [playback, chosen]);
  useEffect(() => {
    if (!playback || (query.t === written.current.t && query.event === written.current.event)) return;
    written.current = { t: query.t, event: query.event };
    if (query.event !== undefined) goTo(Number(query.event));
    else if (startOf(query) !== null) playback.seek(startOf(query));
  }, [query.t, query.event]);
}

/** Return how many frames are sampled each second; null if that is not known. */
function rateOf({ sampling, media }) {
  const rates = [sampling?.mode === "fps" ? sampling.fps : null, media?.fps].filter(Boolean);
  return rates.length && sampling?.mode !== "keyframes" ? Math.min(...rates) : null;
}

/** Return a value that follows another one, at most once in a while. */
function useSlow(value, milliseconds) {
  const [slow, setSlow] = useState(value);
  const changedAt = useRef(0);
  useEffect(() => {
    if (slow === value) return undefined;
    const timer = setTimeout(
      () => {
        changedAt.current = Date.now();
        setSlow(value);
      },
      Math.max(0, changedAt.current + milliseconds - Date.now()),
    );
    return () => clearTimeout(timer);
  }, [value, slow, milliseconds]);
  return slow;
}

/** Return the part of a recording that is not analysed, and why. */
function unread({ state, outcome, error, progress }) {
  const reason = state === "inactive" ? (error ?? `The run was ${outcome} before it came here.`) : "Not analysed yet.";
  return { from: progress.position_seconds, to: Infinity, reason };
}

function notOpenedText({ state, outcome, error }) {
  if (error) return "There is nothing to show: the source was not opened.";
  if (state === "inactive") return `There is nothing to show: it was ${outcome} before the source was opened.`;
  return "The video appears here once a runner has opened the source.";
}
