// One run, live: the stream says when something has changed.
import { api, Ask, Bars, before, clock, Command, count, Diff, duration, html, Line, Link, Loading, number, percent, post, query, Stale, State, Trouble, useData, useEffect, useRef, useState } from "/static/base.js";

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
      <div class="grid"><${Pools} run=${run} /><${Speed} run=${run} /><${Scores} run=${run} /><${Reasons} run=${run} records=${records} base=${base} /></div><${Latest} run=${run} records=${records} base=${base} />
      <div class="panel stack"><h2>The same from a shell</h2><${Command} text=${"evolve status " + place} /><${Command} text=${"evolve show " + place + " --rows 3"} /><${Command} text=${"evolve report " + place} /><span class="small quiet">All of this as JSON: <a href=${base}>${base}</a>. The report, once made: <a href=${base + "/report"}>report</a>.</span></div></div>`}`;
}
const LATEST = 3, LOOK_SECONDS = 10;
const STAGES = [["read", "could be read"], ["evolve", "evolved"], ["respond", "answered"], ["score", "scored"]];

// seeds to kept, left to right; below each step what fell there and why, which opens those records
function Funnel({ run, records }) {
  const all = run.records, ended = all.kept + all.rejected + all.failed, fallen = run.fallen || {};
  const known = STAGES.filter(([name]) => name !== "read" || fallen.read), extra = Object.keys(fallen).filter(name => !STAGES.some(([known]) => known === name));
  const box = (label, value, of, to, kind) => html`<${Link} to=${to}><span class=${kind || "quiet"}>${label}</span><strong>${count(value)}</strong><span class="small quiet">${of}</span><//>`;
  const fell = name => (fallen[name] || []).map(item => html`<${Link} class=${"small " + item.outcome} key=${item.outcome + item.reason} to=${records({ outcome: item.outcome, reason: item.reason })}>− ${count(item.count)} ${item.reason.replace(/_/g, " ")}<//>`);
  let left = ended;
  const steps = [...known, ...extra.map(name => [name, name])].map(([name, word]) => { const here = (fallen[name] || []).reduce((sum, item) => sum + item.count, 0); left -= here; return { name, word, left, here }; }).filter(step => run.fallen && (step.here || ["evolve", "respond"].includes(step.name)));
  return html`<div class="panel"><h2>From planned to kept</h2><div class="funnel"><div><span class="quiet">seeds</span><strong>${count(run.seeds.usable)}</strong><span class="small quiet">${count(run.seeds.duplicates)} duplicates left out</span></div><div><span class="quiet">planned records</span><strong>${count(all.planned)}</strong><span class="small quiet">${count(run.rows.planned)} rows</span></div>${box("finished", ended, percent(ended, all.planned) + " of planned", records())}
      ${steps.map(step => html`<div key=${step.name}><span class="quiet">${step.word}</span><strong>${count(step.left)}</strong><span class="fell">${fell(step.name)}</span></div>`)}${box("✓ kept", all.kept, percent(all.kept, ended) + " of finished", records({ outcome: "kept" }), "kept")}</div>
    <div class="facts outcomes"><${Link} class="rejected" to=${records({ outcome: "rejected" })}>✕ ${count(all.rejected)} rejected, ${percent(all.rejected, ended)}<//><${Link} class="failed" to=${records({ outcome: "failed" })}>! ${count(all.failed)} failed, ${percent(all.failed, ended)}<//></div>
    <p><progress max=${run.rows.planned || 1} value=${run.rows.done} aria-label="rows done" /></p><div class="facts"><span>${count(run.rows.done)} of ${count(run.rows.planned)} rows, ${percent(run.rows.done, run.rows.planned)}</span><span>${duration(run.seconds)} at work</span>${run.eta_seconds != null && html`<span>${duration(run.eta_seconds)} left at this speed</span>`}${run.spent.gpu_hours > 0 && html`<span>${number(run.spent.gpu_hours, 2)} GPU-hours</span>`}${run.spent.money > 0 && html`<span>${number(run.spent.money, 2)} spent${run.budget && run.budget.money ? " of " + run.budget.money : ""}</span>`}</div></div>`;
}
// what each pool has done, and while it runs how busy it is or what it waits for
function Pools({ run }) {
  const live = run.pools.some(pool => pool.now), busy = now => now.slots ? percent(Math.min(now.in_flight, now.slots), now.slots) + " busy" : count(now.in_flight) + " rows in flight";
  const stands = pool => !pool.now || run.state !== "running" ? "" : pool.waits_for ? html`<div class="small rejected">waits for ${pool.waits_for}</div>` : html`<div class="small quiet">${pool.now.ready} ready${pool.now.loading ? ", " + pool.now.loading + " loading" : ""}, ${busy(pool.now)}</div>`;
  return html`<div class="panel scroll"><h2>Pools</h2>${run.pools.length === 0 ? html`<span class="quiet">No pool has told of its work yet; they do so every half minute.</span>` : html`<table><thead><tr><th>pool</th><th class="right">rows</th><th class="right">tokens</th><th class="right">tokens/s an actor</th><th class="right">starts</th></tr></thead><tbody>${run.pools.map(pool => html`<tr key=${pool.name}><td>${pool.name}<div class="small quiet mono">${pool.model || ""}</div>${stands(pool)}</td><td class="right">${count(pool.rows)}</td><td class="right">${count(pool.prompt_tokens + pool.completion_tokens)}</td><td class="right">${count(pool.tokens_per_actor_second)}</td><td class="right">${count(pool.actor_starts)}</td></tr>`)}</tbody></table>`}${live && run.state === "running" && html`<p class="small quiet flat">Pools tell how they stand every half minute.</p>`}</div>`;
}
function Speed({ run }) {
  const points = run.speed && run.speed.map(item => ({ at: item.at, value: item.tokens_per_second }));
  return html`<div class="panel"><h2>Tokens/s of finished rows</h2>${points && points.length < 2 ? html`<span class="quiet">${points.length ? "All rows were finished within ten seconds." : "Nothing is finished yet."}</span>` : points ? html`<${Line} points=${points} label="Tokens a second over time" unit="tokens/s" />` : html`<${Loading} what=${"an index of the records: " + run.indexing.done + " of " + run.indexing.of + " files"} />`}</div>`;
}
function Scores({ run }) {
  return html`<div class="panel"><h2>Scores by evolver</h2>${!run.scores ? html`<${Loading} what="an index of the records" />` : html`<div class="columns">${Object.entries(run.scores).map(([name, dist]) => html`<div key=${name}><div class="small quiet">${dist.label}</div>${Object.keys(dist.evolvers).length === 0 ? html`<span class="quiet">no score yet</span>` : Object.entries(dist.evolvers).map(([evolver, bins]) => html`<div key=${evolver} class="small">${evolver || "pairs"}<${Bars} bins=${bins} low=${dist.low} high=${dist.high} label=${dist.label + " of " + evolver} /></div>`)}<div class="axis"><span>${number(dist.low, 2)}</span><span>${number(dist.high, 2)}</span></div></div>`)}</div>`}</div>`;
}
// the rows that were finished last, from seed to last round: whether it is any good is seen here first
function Latest({ run, records, base }) {
  const [rows, set] = useState(null), last = useRef(0), done = run.rows.done;
  useEffect(() => {
    let live = true, timer;
    const look = async () => {
      last.current = Date.now();
      try {
        const found = await api(base + "/records?sort=created_at");
        if (found.indexing) { timer = setTimeout(look, 2000); return; }
        const ids = [...new Set(found.records.map(item => item.row_id))].slice(0, LATEST);
        const read = await Promise.all(ids.map(id => api(base + "/records/" + encodeURIComponent(id))));
        if (live) set(read.filter(item => item.rounds).map(item => item.rounds));
      } catch { /* what is shown stays; the page says by itself that the service does not answer */ }
    };
    timer = setTimeout(look, Math.max(0, last.current + 1000 * LOOK_SECONDS - Date.now()));
    return () => { live = false; clearTimeout(timer); };
  }, [base, done]);
  if (!rows || !rows.length) return "";
  return html`<div class="panel"><div class="head"><h2>Finished last</h2><${Link} class="small push" to=${records({ sort: "created_at" })}>all, the latest first<//></div><div class="columns">${rows.map(rounds => html`<div class="cell" key=${rounds[0].row_id}><div class="facts"><strong>seed</strong><span>${rounds[0].evolver || "–"}</span></div><p class="pre clamp">${rounds[0].seed_instruction}</p>
    ${rounds.map((item, at) => html`<div key=${item.record_id}><div class="facts"><${Link} to=${records({ sort: "created_at", row: item.record_id })}>round ${item.round}<//><${State} of=${item.outcome} />${item.reason && html`<span>${item.reason.replace(/_/g, " ")}</span>`}${item.ic_ifd != null && html`<span>IC-IFD ${number(item.ic_ifd)}</span>`}</div><div class="clamp"><${Diff} before=${before(rounds, at)} after=${item.instruction || ""} /></div></div>`)}</div>`)}</div></div>`;
}
function Reasons({ run, records, base }) {
  return html`<div class="panel scroll"><h2>Why records were not kept</h2>${run.reasons.length === 0 ? html`<span class="quiet">Every record that has an outcome was kept.</span>` : run.reasons.map(item => html`<${Reason} key=${item.outcome + item.reason} item=${item} records=${records} base=${base} />`)}</div>`;
}
function Reason({ item, records, base }) {
  const [open, set] = useState(false), wanted = { outcome: item.outcome, reason: item.reason };
  const { data, error } = useData(open ? base + "/records" + query(wanted) : null);
  return html`<details class="reason" onToggle=${event => set(event.target.open)}><summary><span class="line"><span>${item.reason}</span><${State} of=${item.outcome} /><span class="right">${count(item.count)}</span></span></summary>
    ${open && (data && data.records ? html`${data.records.slice(0, 3).map(record => html`<p class="pre small example" key=${record.record_id}>${record.instruction || "(no text)"} <span class="quiet">${record.evolver || "–"}, round ${record.round}</span></p>`)}<${Link} class="small" to=${records(wanted)}>all ${count(item.count)}<//>` : error ? html`<${Trouble} error=${error} doing="No examples can be read." />` : html`<span class="quiet small">looking for examples…</span>`)}</details>`;
}
