// Runs: the list, one run, and a new one.
import { ago, api, Ask, Bars, clock, Command, count, duration, go, html, Line, Link, Loading, number, percent, post, query, Stale, State, Trouble, useData, useEffect, useState } from "/static/base.js";

export function RunsView() {
  const { data, error, at } = useData("/v1/runs", 3);
  if (!data) return error ? html`<${Trouble} error=${error} doing="The runs cannot be listed." />` : html`<${Loading} what="the runs" />`;
  return html`<div class="head"><h1>Runs</h1><span class="quiet">${count(data.runs.length)} below ${data.roots.join(", ")}</span><${Link} class="button primary push" to="/new">New run<//></div>
    ${error && html`<${Stale} since=${at} error=${error} />`}
    ${data.runs.length === 0 ? html`<div class="panel note"><p><b>No run lies here yet.</b></p><p class="quiet">Try seeds on the <${Link} to="/workbench">workbench<//> first, begin a run with “New run”, or from a shell:</p><${Command} text=${"evolve run examples/quickstart.yaml --output " + data.roots[0] + "/first"} /></div>`
    : html`<div class="runs">${data.runs.map(run => html`<${RunLine} key=${run.id} run=${run} />`)}</div>`}`;
}
function RunLine({ run }) {
  const rows = run.rows || { done: 0, planned: 0 }, records = run.records || {};
  return html`<${Link} class="panel run" to=${"/runs/" + encodeURIComponent(run.id)}><span><b>${run.id}</b><br /><span class="small quiet">${run.started_at ? ago(run.started_at) : "not begun"}</span></span><${State} of=${run.state} />
    <span class="wide"><progress max=${rows.planned || 1} value=${rows.done} aria-label="rows done" /><span class="small quiet">${count(rows.done)} of ${count(rows.planned)} rows${run.eta_seconds ? ", " + duration(run.eta_seconds) + " left" : ""}</span></span>
    <span class="wide small">${run.why && run.state !== "running" ? html`<span class="quiet">${run.why}</span>` : html`<span class="kept">✓ ${count(records.kept)} kept</span> · <span class="rejected">✕ ${count(records.rejected)} rejected</span> · <span class="failed">! ${count(records.failed)} failed</span>`}</span>
    <span class="right small">${run.means ? html`IC-IFD ${number(run.means.ic_ifd)}<br />` : ""}<span class="quiet">${run.spent && run.spent.money ? run.spent.money.toFixed(2) + " spent" : duration(run.seconds)}</span></span><//>`;
}

// one run, live: the stream says when something has changed
function useRun(id) {
  const [state, set] = useState({ run: null, error: null, lost: null });
  useEffect(() => {
    let source, timer, live = true;
    const listen = () => {
      source = new EventSource("/v1/runs/" + encodeURIComponent(id) + "/events");
      source.addEventListener("run", event => set({ run: JSON.parse(event.data), error: null, lost: null }));
      source.onerror = async () => {
        source.close();
        try { const run = await api("/v1/runs/" + encodeURIComponent(id)); if (live) set({ run, error: null, lost: null }); }
        catch (error) { if (live) set(old => ({ ...old, error, lost: old.lost || Date.now() })); }
        if (live) timer = setTimeout(listen, 3000);
      };
    };
    listen();
    return () => { live = false; source.close(); clearTimeout(timer); };
  }, [id]);
  return state;
}

export function Run({ id }) {
  const { run, error, lost } = useRun(id), [ask, setAsk] = useState(null), [verdict, setVerdict] = useState(null);
  if (!run) return error ? html`<${Trouble} error=${error} doing=${"Run " + id + " cannot be shown."} />` : html`<${Loading} what=${"run " + id} />`;
  const base = "/v1/runs/" + encodeURIComponent(id), records = to => "/records/" + encodeURIComponent(id) + query(to || {}), place = run.place || id;
  const left = run.rows ? run.rows.planned - run.rows.done : 0, failed = run.records ? run.records.failed : 0, running = ["running", "silent", "waiting"].includes(run.state);
  const verify = async () => { setVerdict({}); try { setVerdict(await post(base + "/verify")); } catch (error) { setVerdict({ error }); } };
  return html`<div class="head"><h1>${id}</h1><${State} of=${run.state} /><span class="quiet">${run.state === "silent" ? "since " + clock(run.heard_at * 1000) + ". " : ""}${run.why || ""}</span><span class="push"></span>
      ${running && html`<button onClick=${() => setAsk({ title: "Stop " + id + "?", text: "Rows in flight finish and are committed. " + count(left) + " rows stay to do; resuming goes on with them.", command: run.job ? "evolve stop " + run.job + " --address ADDRESS" : "kill -TERM PID", word: "Stop " + id, act: () => post(base + "/stop") })}>Stop</button>`}
      ${!running && run.rows && left > 0 && html`<button class="primary" onClick=${() => setAsk({ title: "Resume " + id + "?", text: count(left) + " of " + count(run.rows.planned) + " rows are left to do, under the settings the run was begun with.", command: "evolve run CONFIG --output " + place, word: "Resume " + id, act: () => post(base + "/resume") })}>Resume</button>`}
      ${!running && failed > 0 && html`<button onClick=${() => setAsk({ title: "Retry failed rows of " + id + "?", text: count(failed) + " failed records: their rows are taken out and run again.", command: "evolve retry-failed " + place, word: "Retry", act: () => post(base + "/retry-failed") })}>Retry failed</button>`}
      ${run.rows && html`<button onClick=${verify}>Verify</button><${Link} class="button" to=${records()}>Records<//>`}</div>
    <${Ask} ask=${ask} close=${() => setAsk(null)} />${lost && html`<${Stale} since=${lost} error=${error} />`}
    ${verdict && (verdict.error ? html`<${Trouble} error=${verdict.error} doing="It could not be verified." />` : html`<div class="panel stale" role="status">${verdict.rows == null ? "Recounting the whole output…" : verdict.problems.length ? verdict.problems.join("; ") : count(verdict.done) + " of " + count(verdict.rows) + " rows have an outcome, " + count(verdict.records) + " records in " + count(verdict.parts) + " parts. No problem found."}</div>`)}
    ${!run.rows ? html`<div class="panel note">Nothing of this run is written yet. It shows here as soon as its rows are planned.</div>` : html`<div class="stack"><${Funnel} run=${run} records=${records} />
      <div class="grid"><${Pools} run=${run} /><${Speed} run=${run} /><${Scores} run=${run} /><${Reasons} run=${run} records=${records} /></div>
      <div class="panel stack"><h2>The same from a shell</h2><${Command} text=${"evolve status " + place} /><${Command} text=${"evolve show " + place + " --rows 3"} /><${Command} text=${"evolve report " + place} /><span class="small quiet">All of this as JSON: <a href=${base}>${base}</a>. The report, once made: <a href=${base + "/report"}>report</a>.</span></div></div>`}`;
}
function Funnel({ run, records }) {
  const all = run.records, ended = all.kept + all.rejected + all.failed;
  const box = (label, value, of, to, kind) => html`<${Link} to=${to}><span class=${kind || "quiet"}>${label}</span><strong>${count(value)}</strong><span class="small quiet">${of}</span><//>`;
  return html`<div class="panel"><h2>From planned to kept</h2><div class="funnel"><div><span class="quiet">seeds</span><strong>${count(run.seeds.usable)}</strong><span class="small quiet">${count(run.seeds.duplicates)} duplicates left out</span></div><div><span class="quiet">planned records</span><strong>${count(all.planned)}</strong><span class="small quiet">${count(run.rows.planned)} rows</span></div>${box("finished", ended, percent(ended, all.planned) + " of planned", records())}${box("✓ kept", all.kept, percent(all.kept, ended) + " of finished", records({ outcome: "kept" }), "kept")}${box("✕ rejected", all.rejected, percent(all.rejected, ended) + " of finished", records({ outcome: "rejected" }), "rejected")}${box("! failed", all.failed, percent(all.failed, ended) + " of finished", records({ outcome: "failed" }), "failed")}</div>
    <p><progress max=${run.rows.planned || 1} value=${run.rows.done} aria-label="rows done" /></p><div class="facts"><span>${count(run.rows.done)} of ${count(run.rows.planned)} rows, ${percent(run.rows.done, run.rows.planned)}</span><span>${duration(run.seconds)} at work</span>${run.eta_seconds != null && html`<span>${duration(run.eta_seconds)} left at this speed</span>`}${run.spent.gpu_hours > 0 && html`<span>${number(run.spent.gpu_hours, 2)} GPU-hours</span>`}${run.spent.money > 0 && html`<span>${number(run.spent.money, 2)} spent</span>`}</div></div>`;
}
const Pools = ({ run }) => html`<div class="panel scroll"><h2>Pools</h2>${run.pools.length === 0 ? html`<span class="quiet">No pool has told of its work yet; they do so every half minute.</span>` : html`<table><thead><tr><th>pool</th><th class="right">rows</th><th class="right">tokens</th><th class="right">tokens/s an actor</th><th class="right">starts</th></tr></thead><tbody>${run.pools.map(pool => html`<tr key=${pool.name}><td>${pool.name}<div class="small quiet mono">${pool.model || ""}</div></td><td class="right">${count(pool.rows)}</td><td class="right">${count(pool.prompt_tokens + pool.completion_tokens)}</td><td class="right">${count(pool.tokens_per_actor_second)}</td><td class="right">${count(pool.actor_starts)}</td></tr>`)}</tbody></table>`}</div>`;
function Speed({ run }) {
  const points = run.speed && run.speed.map(item => ({ at: item.at, value: item.tokens_per_second }));
  return html`<div class="panel"><h2>Tokens/s of finished rows</h2>${points && points.length < 2 ? html`<span class="quiet">${points.length ? "All rows were finished within ten seconds." : "Nothing is finished yet."}</span>` : points ? html`<${Line} points=${points} label="Tokens a second over time" unit="tokens/s" />` : html`<${Loading} what=${"an index of the records: " + run.indexing.done + " of " + run.indexing.of + " files"} />`}</div>`;
}
function Scores({ run }) {
  return html`<div class="panel"><h2>Scores by evolver</h2>${!run.scores ? html`<${Loading} what="an index of the records" />` : html`<div class="columns">${Object.entries(run.scores).map(([name, dist]) => html`<div key=${name}><div class="small quiet">${dist.label}</div>${Object.keys(dist.evolvers).length === 0 ? html`<span class="quiet">no score yet</span>` : Object.entries(dist.evolvers).map(([evolver, bins]) => html`<div key=${evolver} class="small">${evolver || "pairs"}<${Bars} bins=${bins} low=${dist.low} high=${dist.high} label=${dist.label + " of " + evolver} /></div>`)}<div class="axis"><span>${number(dist.low, 2)}</span><span>${number(dist.high, 2)}</span></div></div>`)}</div>`}</div>`;
}
const Reasons = ({ run, records }) => html`<div class="panel scroll"><h2>Why records were not kept</h2>${run.reasons.length === 0 ? html`<span class="quiet">Every record that has an outcome was kept.</span>` : html`<table><thead><tr><th>reason</th><th>outcome</th><th class="right">records</th><th></th></tr></thead><tbody>${run.reasons.map(item => html`<tr key=${item.outcome + item.reason}><td>${item.reason}</td><td><${State} of=${item.outcome} /></td><td class="right">${count(item.count)}</td><td class="right"><${Link} to=${records({ outcome: item.outcome, reason: item.reason })}>examples<//></td></tr>`)}</tbody></table>`}</div>`;

export function NewRun() {
  const [text, set] = useState(sessionStorage.getItem("new-run") || "id: my-run\n# what is not said here is as the service was started with\nseeds:\n  - instruction: Explain why the sky is blue.\nstrategy:\n  kind: evol_instruct\n  rounds: 2\n"), [error, setError] = useState(null), [said, say] = useState(null);
  const send = async (path, then) => { setError(null); say(null); try { then(await api(path, { method: "POST", headers: { "Content-Type": "application/yaml" }, body: text })); } catch (error) { setError(error); } };
  return html`<div class="head"><h1>New run</h1></div><div class="grid"><div class="panel stack"><label><span>Settings, as YAML or JSON</span><textarea class="code" rows="24" spellcheck=${false} value=${text} onInput=${event => { set(event.target.value); sessionStorage.setItem("new-run", event.target.value); }} /></label><div class="acts"><button onClick=${() => send("/v1/validate", answer => say(answer))}>Check</button><button class="primary" onClick=${() => send("/v1/runs", answer => go("/runs/" + answer.id))}>Start run</button></div></div>
    <div class="stack">${error && html`<${Trouble} error=${error} doing="Nothing was started." />`}${said && html`<div class="panel stack"><h2 class="kept">✓ These settings are valid</h2><pre class="pre mono">${JSON.stringify(said.settings, null, 1)}</pre></div>`}<div class="panel stack"><h2>The same from a shell</h2><${Command} text="evolve run CONFIG.yaml --output OUTPUT" /><${Command} text="evolve plan CONFIG.yaml" /><span class="small quiet">All settings with their meaning: <a href="/v1/schema">JSON schema</a>.</span></div></div></div>`;
}
