// A recording as the source: chosen from the media folder, or uploaded into it.

import { html, useEffect, useId, useState } from "../../lib/preact.js";
import { get } from "../../lib/api.js";
import { bytes, fullTime, plural } from "../../lib/format.js";
import { marked } from "../../lib/marked.js";
import { link } from "../../lib/router.js";
import { isAbout } from "./fields.js";
import { Upload } from "./upload.js";

const EMPTY =
  "No recording is here. Upload one, or copy files into the media folder of the service (VA_MEDIA_ROOT).";

/** Return a path without the "./" that sources may begin with. */
const plain = (path) => path.replace(/^\.\//, "");

/** Return the folder of a recording, "" for the media folder. */
const folderOf = (path) => plain(path).split("/").slice(0, -1).join("/");

/** Return the folders above `folder`, and itself: [["yard", "yard"], ["2026", "yard/2026"]]. */
function partsOf(folder) {
  const names = folder.split("/").filter(Boolean);
  return names.map((name, index) => [name, names.slice(0, index + 1).join("/")]);
}

/** Read the pages of a folder, one by one. `most`: bytes that an upload may have, null if none is taken. */
function useFolder(folder, version) {
  const nothing = { items: [], leftOut: 0, next: null, problem: null, isBusy: true, most: undefined };
  const [state, setState] = useState(nothing);
  const read = async (cursor, known, signal) => {
    setState((old) => ({ ...old, isBusy: true, problem: null }));
    try {
      const page = await get("media", { folder, cursor }, { signal });
      const items = [...known.items, ...page.items];
      const leftOut = known.leftOut + page.left_out;
      const most = page.max_upload_bytes;
      setState({ items, leftOut, next: page.next_cursor, problem: null, isBusy: false, most });
    } catch (problem) {
      if (problem.name === "AbortError") return;
      setState((old) => ({ ...old, items: [], leftOut: 0, next: null, problem, isBusy: false }));
    }
  };
  useEffect(() => {
    const abort = new AbortController();
    read(null, { items: [], leftOut: 0 }, abort.signal);
    return () => abort.abort();
  }, [folder, version]);
  return { ...state, readMore: () => read(state.next, state) };
}

function factsOf({ size, modified }) {
  return [size !== null && bytes(size), modified && fullTime(modified)].filter(Boolean).join(" · ");
}

function Uses({ item }) {
  if (!item.scenarios.length) return null;
  return html`<span class="quiet">
    used by ${item.scenarios.map(
      (use, index) => html`${index ? ", " : ""}<a
        key=${use.id}
        href=${link(`scenarios/${use.id}`)}
      >${use.name || "a scenario without a name"}</a>`,
    )}${item.has_more_scenarios ? " and others" : ""}
  </span>`;
}

function Folder({ folder, onFolder, chosen, onChoose, listed }) {
  const { items, leftOut, next, problem, isBusy, readMore } = listed;
  const group = useId();
  return html`<div class="media-folder">
    <nav aria-label="Folders" class="crumbs">
      <button type="button" class="link" onClick=${() => onFolder("")}>Media folder</button>
      ${partsOf(folder).map(
        ([name, path]) => html`<span key=${path} aria-hidden="true">/</span>
          <button type="button" class="link" onClick=${() => onFolder(path)}>${name}</button>`,
      )}
    </nav>
    ${problem && html`<p class="field-problem">${marked(problem.sentence)}</p>`}
    <ul class="media-items" aria-busy=${isBusy}>
      ${items.map((item) =>
        item.kind === "folder"
          ? html`<li key=${item.path}>
              <button type="button" class="link folder" onClick=${() => onFolder(item.path)}>${item.name}/</button>
            </li>`
          : html`<li key=${item.path}>
              <label>
                <input
                  type="radio"
                  name=${group}
                  checked=${plain(chosen) === plain(item.path)}
                  onChange=${() => onChoose(item.path)}
                />
                <span class="name">${item.name}</span>
                <span class="quiet">${factsOf(item)}</span>
              </label>
              <${Uses} item=${item} />
            </li>`,
      )}
    </ul>
    ${isBusy && html`<p class="quiet">Reading the folder.</p>`}
    ${!isBusy && !problem && items.length === 0 && html`<p class="quiet">${EMPTY}</p>`}
    ${leftOut > 0 &&
    html`<p class="quiet">
      ${plural(leftOut, "name")} cannot be a source and ${leftOut === 1 ? "is" : "are"} not shown.
    </p>`}
    ${next && html`<button type="button" onClick=${readMore} disabled=${isBusy}>Show more</button>`}
  </div>`;
}

/**
 * @param {{value: string, onChange: (path: string) => void, problem: any}} props
 */
export function RecordingForm({ value, onChange, problem }) {
  const [folder, setFolder] = useState(folderOf(value));
  const [version, setVersion] = useState(0);
  const listed = useFolder(folder, version);
  const take = (source) => {
    setFolder(folderOf(source));
    setVersion(version + 1);
    onChange(source);
  };
  return html`<div class="fields">
    <${Upload} most=${listed.most} onDone=${take} />
    <${Folder} folder=${folder} onFolder=${setFolder} chosen=${value} onChoose=${onChange} listed=${listed} />
    ${value && html`<p data-field="source" tabindex="-1">Chosen: <strong class="break">${plain(value)}</strong></p>`}
    ${isAbout(problem, "source") && html`<p class="field-problem">${marked(problem.sentence)}</p>`}
  </div>`;
}
