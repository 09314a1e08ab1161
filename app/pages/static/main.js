/** The frame of all pages: bar, page, status line. Each page is a module that is loaded when it is opened. */
import { Dialog } from "./components/dialog.js";
import { Empty, ProblemSentence } from "./components/basics.js";
import { StatusLine } from "./components/status.js";
import { startHealth } from "./lib/health.js";
import { pageKeys, useKeys } from "./lib/keys.js";
import { html, render, useComputed, useEffect, useErrorBoundary, useRef, useState } from "./lib/preact.js";
import { Backoff } from "./lib/reading.js";
import { go, link, route, setQuery } from "./lib/router.js";
import { can, loadSession, logOut, session } from "./lib/session.js";
import { connection, startStream, stopStream } from "./lib/stream.js";
import { loadStyle } from "./lib/styles.js";
import { nextTheme, theme } from "./lib/theme.js";

const SECTIONS = [
  ["", "Overview", ["overview", "scenario", "zones"]],
  ["events", "Events", ["events"]],
  ["batches", "Batches", ["batches", "batch"]],
  ["models", "Models", ["models"]],
  ["system", "System", ["system"]],
];
const TYPING = 300; // ms without a key after which a text is searched
const KEYS = [
  ["/", "Search"],
  ["n", "New scenario"],
  ["?", "Show this list"],
  ["Esc", "Close a dialog"],
];

function Shell() {
  const [hasKeys, setHasKeys] = useState(false);
  const search = useRef(null);
  const { page, query } = route.value;
  useKeys({
    "/": () => search.current?.focus(),
    n: () => can.write && go(link("new")),
    "?": () => setHasKeys(true),
  });
  const submit = (event) => {
    event.preventDefault();
    go(link("", { text: search.current.value.trim() }));
  };
  const typing = useRef(null);
  const typed = () => {
    clearTimeout(typing.current);
    // On the list itself it filters while one types: what is selected there must be what is seen.
    if (page === "overview") {
      typing.current = setTimeout(() => setQuery({ text: search.current?.value.trim() }), TYPING);
    }
  };
  if (page === "login") return html`<${Page} /><${StatusLine} />`;
  return html`
    <a class="skip" href="#main" onClick=${skip}>Skip to the page</a>
    <header class="top">
      <a class="brand" href=${link("")}><img src=${new URL("icon.svg", import.meta.url).href} alt="" />videoanalysis</a>
      <nav class="sections" aria-label="Pages">
        ${SECTIONS.map(
          ([path, name, pages]) =>
            html`<a href=${link(path)} aria-current=${pages.includes(page) ? "page" : null}>${name}</a>`,
        )}
      </nav>
      <form class="search" role="search" onSubmit=${submit}>
        <input
          ref=${search}
          type="search"
          aria-label="Search scenarios"
          onInput=${typed}
          placeholder="Search"
          value=${page === "overview" ? (query.text ?? "") : ""}
        />
      </form>
      ${can.write && html`<a class="button primary" href=${link("new")}>+ New</a>`}
      <${Menu} showKeys=${() => setHasKeys(true)} />
    </header>
    <${Page} />
    <${StatusLine} />
    ${hasKeys && html`<${Keys} onClose=${() => setHasKeys(false)} />`}
  `;
}

function skip(event) {
  event.preventDefault();
  document.getElementById("main").focus();
}

function Menu({ showKeys }) {
  const menu = useRef(null);
  const close = () => menu.current?.removeAttribute("open");
  useEffect(() => {
    const pressed = (event) => !menu.current?.contains(event.target) && close();
    addEventListener("pointerdown", pressed);
    return () => removeEventListener("pointerdown", pressed);
  }, []);
  const leave = async () => {
    close();
    stopStream();
    await logOut().catch(() => {});
    go(link("login"));
  };
  return html`<details class="menu" ref=${menu} onKeyDown=${(event) => event.key === "Escape" && close()}>
    <summary aria-label="Menu" title="Menu">☰</summary>
    <div class="menu-items">
      <button type="button" onClick=${nextTheme}>Theme: ${theme}</button>
      <button type="button" onClick=${() => (close(), showKeys())}>Keys</button>
      <a href=${new URL("../docs", import.meta.url).href}>HTTP API</a>
      ${session.value.hasCookie && html`<button type="button" onClick=${leave}>Log out</button>`}
    </div>
  </details>`;
}

function Keys({ onClose }) {
  return html`<${Dialog} title="Keys" onClose=${onClose}>
    <dl class="keys">
      ${[...KEYS, ...pageKeys.value].map(([key, text]) => html`<dt><kbd>${key}</kbd></dt><dd>${text}</dd>`)}
    </dl>
    <div class="actions"><button type="button" onClick=${onClose}>Close</button></div>
  <//>`;
}

/** The page of the present address. */
function Page() {
  const { page, params, query } = route.value;
  const [loaded, setLoaded] = useState({ page: null, component: null, problem: null });
  const [tries, setTries] = useState(0);
  const isOpen = useComputed(() => connection.value.state === "open").value; // not for each word of the stream
  const main = useRef(null);

  useEffect(() => {
    if (page === null) return undefined;
    let isPresent = true;
    // A module that failed to load is remembered as failed, so it is asked for by another address.
    import(`./pages/${page}.js${tries ? `?try=${tries}` : ""}`).then(
      async (module) => {
        await Promise.all((module.styles ?? []).map(loadStyle));
        if (isPresent) setLoaded({ page, component: module.default, problem: null });
      },
      (error) => isPresent && setLoaded({ page, component: null, problem: error }),
    );
    return () => {
      isPresent = false;
    };
  }, [page, tries]);
  useEffect(() => {
    if (loaded.problem && isOpen && tries < 3) setTries(tries + 1);
  }, [isOpen, loaded.problem]);
  useEffect(() => {
    if (loaded.page && document.activeElement === document.body) main.current?.focus({ preventScroll: true });
  }, [loaded.page]);

  const key = `${page}/${Object.values(params).join("/")}`;
  return html`<main id="main" tabindex="-1" ref=${main}>
    ${content(page, loaded, { params, query, key })}
  </main>`;
}

function content(page, loaded, { params, query, key }) {
  if (!session.value.isKnown) return null;
  if (page === null) {
    return html`<${Empty} title="There is no page at this address">
      <p><a href=${link("")}>Go to the overview</a>, which lists all scenarios.</p>
    <//>`;
  }
  if (loaded.page !== page) return html`<p class="quiet late">The page is on its way.</p>`;
  if (loaded.component === null) {
    return html`<${ProblemSentence}
      problem="This page cannot be loaded. Reload it; if that does not help, check that the service runs."
      retry=${() => location.reload()}
    />`;
  }
  return html`<${Guard} key=${key}><${loaded.component} params=${params} query=${query} /><//>`;
}

/** Keeps the frame if a page has a fault. */
function Guard({ children }) {
  const [error] = useErrorBoundary((fault) => reportError(fault));
  if (!error) return children;
  return html`<${ProblemSentence}
    problem=${`This page has a fault (${error.message}). Reload it, and report it if it comes back.`}
    retry=${() => location.reload()}
  />`;
}

/** Without a role the log-in page is shown; with one, the stream is open. */
function watchSession() {
  session.subscribe(({ role, isKnown }) => {
    if (!isKnown) return;
    const { page, hash } = route.peek();
    if (role !== null) {
      startStream();
    } else {
      stopStream();
      if (page !== "login") go(link("login", { next: hash }), { replace: true });
    }
  });
}

async function begin() {
  const backoff = new Backoff();
  for (;;) {
    try {
      await loadSession();
      break;
    } catch {
      connection.value = { ...connection.value, state: "lost" };
      await new Promise((resolve) => setTimeout(resolve, backoff.next()));
    }
  }
}

watchSession();
startHealth();
render(html`<${Shell} />`, document.getElementById("app"));
begin();
