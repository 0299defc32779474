// The console: which view the address asks for, the way between them, and keys that work everywhere.
import { render } from "/static/vendor/htm-preact.js";
import { go, html, Link, post, Trouble, useEffect, useState } from "/static/base.js";
import { RunsView } from "/static/runs.js";
import { Run } from "/static/run.js";
import { NewRun } from "/static/new.js";
import { Compare } from "/static/compare.js";
import { RecordsView } from "/static/records.js";
import { Workbench } from "/static/workbench.js";
import { Engines } from "/static/engines.js";
import { Api } from "/static/api.js";

const VIEWS = [["/", "Runs"], ["/workbench", "Workbench"], ["/compare", "Compare"], ["/engines", "Engines"], ["/api", "API"]];
const LOGGED = "logged-in";
const leave = async () => { try { await post("/v1/logout"); } finally { localStorage.removeItem(LOGGED); go("/login"); } };
const THEMES = { auto: "dark", dark: "light", light: "auto" };

function App() {
  const [, moved] = useState(0), [theme, setTheme] = useState(localStorage.getItem("theme") || "auto"), [keys, setKeys] = useState(false);
  useEffect(() => {
    const move = () => { moved(tick => tick + 1); scrollTo(0, 0); };
    const press = event => {
      if (event.target.closest("input, textarea, select, dialog") || event.metaKey || event.ctrlKey || event.altKey) return;
      if (event.key === "?") setKeys(shown => !shown);
      const to = { r: "/", w: "/workbench", v: "/compare", e: "/engines", a: "/api", n: "/new" }[event.key];
      if (to) go(to);
    };
    addEventListener("moved", move); addEventListener("popstate", move); addEventListener("keydown", press);
    return () => { removeEventListener("moved", move); removeEventListener("popstate", move); removeEventListener("keydown", press); };
  }, []);
  useEffect(() => { localStorage.setItem("theme", theme); if (theme === "auto") delete document.documentElement.dataset.theme; else document.documentElement.dataset.theme = theme; }, [theme]);
  const path = location.pathname, [, first, id] = path.split("/"), values = Object.fromEntries(new URLSearchParams(location.search));
  const view = first === "runs" && id ? html`<${Run} key=${id} id=${decodeURIComponent(id)} />` : first === "records" && id ? html`<${RecordsView} key=${id} id=${decodeURIComponent(id)} values=${values} />`
    : first === "workbench" ? html`<${Workbench} values=${values} />` : first === "compare" ? html`<${Compare} values=${values} />` : first === "engines" ? html`<${Engines} />` : first === "api" ? html`<${Api} />` : first === "login" ? html`<${Login} to=${values.to} />` : first === "new" ? html`<${NewRun} />` : html`<${RunsView} />`;
  const here = to => to === "/" ? ["", "runs", "records", "new"].includes(first) : path.startsWith(to);
  return html`<header class="top"><span class="name">slm-evolve</span><nav aria-label="Views">${VIEWS.map(([to, name]) => html`<${Link} to=${to} aria-current=${here(to) ? "page" : null}>${name}<//>`)}</nav>
    ${localStorage.getItem(LOGGED) && html`<button onClick=${leave}>Log out</button>`}<button onClick=${() => setTheme(THEMES[theme])} title="Colours: as the system has them, dark, light">◐ ${theme}</button></header>
    <main>${keys && html`<div class="panel stale">Keys: r runs, n new run, w workbench, v compare, e engines, a API; in records j and k move, / searches, c copies a link to this view; ? hides this.</div>`}${view}</main>`;
}

function Login({ to }) {
  const [token, set] = useState(""), [error, setError] = useState(null);
  const enter = async event => { event.preventDefault(); try { await post("/v1/login", { token }); localStorage.setItem(LOGGED, "1"); go(to && to.startsWith("/") && !to.startsWith("//") ? to : "/"); } catch (error) { setError(error); } };
  return html`<form class="panel login stack" onSubmit=${enter}><h1>Log in</h1><p class="quiet">The service printed a token when it was started.</p><input class="hidden" type="text" autocomplete="username" value="slm-evolve" tabindex="-1" aria-hidden="true" readonly /><label><span>Token</span><input type="password" autocomplete="current-password" value=${token} onInput=${event => set(event.target.value)} required /></label>${error && html`<${Trouble} error=${error} doing="The token was not taken." />`}<button class="primary">Log in</button></form>`;
}
render(html`<${App} />`, document.getElementById("app"));
