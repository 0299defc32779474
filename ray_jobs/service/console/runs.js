// Runs: the list.
import { ago, Command, count, duration, html, Link, Loading, number, Spark, Stale, State, Trouble, useData } from "/static/base.js";

export function RunsView() {
  const { data, error, at } = useData("/v1/runs", 3);
  if (!data) return error ? html`<${Trouble} error=${error} doing="The runs cannot be listed." />` : html`<${Loading} what="the runs" />`;
  return html`<div class="head"><h1>Runs</h1><span class="quiet">${count(data.runs.length)} below ${data.roots.join(", ")}</span><${Link} class="button push" to="/compare">Compare<//><${Link} class="button primary" to="/new">New run<//></div>
    ${error && html`<${Stale} since=${at} error=${error} />`}
    ${data.runs.length === 0 ? html`<div class="panel note"><p><b>No run lies here yet.</b></p><p class="quiet">Try seeds on the <${Link} to="/workbench">workbench<//> first, begin a run with “New run”, or from a shell:</p><${Command} text=${"evolve run examples/quickstart.yaml --output " + data.roots[0] + "/first"} /></div>`
    : html`<div class="runs">${data.runs.map(run => html`<${RunLine} key=${run.id} run=${run} />`)}</div>`}`;
}
function RunLine({ run }) {
  const rows = run.rows || { done: 0, planned: 0 }, records = run.records || {};
  return html`<${Link} class="panel run" to=${"/runs/" + encodeURIComponent(run.id)}><span><b>${run.id}</b><br /><span class="small quiet">${run.started_at ? ago(run.started_at) : "not begun"}</span></span><${State} of=${run.state} />
    <span class="wide"><progress max=${rows.planned || 1} value=${rows.done} aria-label="rows done" /><span class="small quiet">${count(rows.done)} of ${count(rows.planned)} rows${run.eta_seconds ? ", " + duration(run.eta_seconds) + " left" : ""}</span></span>
    <span class="wide small">${run.why && run.state !== "running" ? html`<span class="quiet">${run.why}</span>` : html`<span class="kept">✓ ${count(records.kept)} kept</span> · <span class="rejected">✕ ${count(records.rejected)} rejected</span> · <span class="failed">! ${count(records.failed)} failed</span>`}</span>
    <span class="right small">${run.means && run.means.ic_ifd != null ? html`${run.by_round.ic_ifd.length > 1 && html`<${Spark} values=${run.by_round.ic_ifd} label="IC-IFD by round" />`} IC-IFD ${number(run.means.ic_ifd)}<br />` : ""}<span class="quiet">${run.spent && run.spent.money ? run.spent.money.toFixed(2) + " spent" : duration(run.seconds)}</span></span><//>`;
}
