// Two runs, or two evolvers of one, side by side: figures, and the seeds that both have.
import { count, Diff, go, html, Link, Loading, number, percent, query, Stale, Trouble, useData } from "/static/base.js";

const SIDES = ["a", "b"];
const SCORES = { ic_ifd: "IC-IFD", ifd: "IFD" };
const ORDERS = { difference: "those that differ most", a: "where A leads by most", b: "where B leads by most" };
const nameOf = side => side.id + (side.evolver ? ", " + side.evolver : "");

export function Compare({ values }) {
  const runs = useData("/v1/runs"), ready = values.a && values.b;
  const { data, error, at } = useData(ready ? "/v1/compare" + query(values) : null);
  const set = changes => go("/compare" + query({ ...values, ...changes }), true);
  if (!runs.data) return runs.error ? html`<${Trouble} error=${runs.error} doing="The runs cannot be listed." />` : html`<${Loading} what="the runs" />`;
  const known = runs.data.runs.filter(run => run.rows).map(run => run.id);
  const pick = side => html`<div class="cmd"><strong class=${"side " + side}>${side.toUpperCase()}</strong><select aria-label=${"Run " + side.toUpperCase()} value=${values[side] || ""} onChange=${event => set({ [side]: event.target.value, [side + "_evolver"]: null })}><option value="">choose a run…</option>${known.map(id => html`<option value=${id} selected=${values[side] === id}>${id}</option>`)}</select>
    <select aria-label=${"Evolver of " + side.toUpperCase()} value=${values[side + "_evolver"] || ""} onChange=${event => set({ [side + "_evolver"]: event.target.value })}><option value="">all evolvers</option>${(data && data[side] ? data[side].evolvers : []).map(name => html`<option value=${name} selected=${values[side + "_evolver"] === name}>${name}</option>`)}</select></div>`;
  return html`<div class="head"><h1>Compare</h1><span class="quiet">Two runs, or two evolvers of one run, paired by seed</span></div><div class="panel head sides">${SIDES.map(pick)}</div>
    ${!ready ? html`<div class="panel note"><p><b>${known.length ? "Choose two runs." : "No run lies here yet."}</b></p><p class="quiet">The same run twice, with an evolver each, compares the evolvers.</p></div>`
    : !data ? error ? html`<${Trouble} error=${error} doing="These cannot be compared." />` : html`<${Loading} what="both runs" />`
    : html`${error && html`<${Stale} since=${at} error=${error} />`}<div class="stack"><div class="grid"><${Whole} data=${data} /><${Reasons} data=${data} /><${Groups} data=${data} /><${Paired} data=${data} values=${values} set=${set} /></div>${data.pairs && html`<${Pairs} data=${data} values=${values} set=${set} />`}</div>`}`;
}

const Head = ({ data, first }) => html`<thead><tr><th>${first}</th>${SIDES.map(side => html`<th class="right wrap"><span class=${"side " + side}>${side.toUpperCase()}</span> ${nameOf(data[side])}</th>`)}</tr></thead>`;
function Whole({ data }) {
  const ended = side => side.records.kept + side.records.rejected + side.records.failed;
  const records = (side, outcome) => "/records/" + encodeURIComponent(side.id) + query({ outcome, evolver: side.evolver });
  const line = (name, cell) => html`<tr><td>${name}</td>${SIDES.map(side => html`<td class="right">${cell(data[side])}</td>`)}</tr>`;
  return html`<div class="panel scroll"><h2>From finished to kept</h2><table><${Head} data=${data} first="" /><tbody>
    ${line("finished records", side => count(ended(side)))}${["kept", "rejected", "failed"].map(outcome => line(outcome, side => html`<${Link} to=${records(side, outcome)}>${count(side.records[outcome])}<//> <span class="quiet">${percent(side.records[outcome], ended(side))}</span>`))}
    ${line("tokens, whole run", side => count(side.tokens))}${line("tokens a kept record", side => side.evolver ? "–" : count(side.records.kept ? side.tokens / side.records.kept : null))}${line("GPU-hours", side => number(side.spent && side.spent.gpu_hours, 2))}${line("paid", side => number(side.spent && side.spent.money, 2))}</tbody></table></div>`;
}
function Reasons({ data }) {
  const names = [...new Set(SIDES.flatMap(side => data[side].reasons.map(item => item.outcome + ": " + item.reason)))];
  const of = (side, name) => data[side].reasons.find(item => item.outcome + ": " + item.reason === name);
  const ended = side => data[side].records.kept + data[side].records.rejected + data[side].records.failed;
  return html`<div class="panel scroll"><h2>Why records were not kept</h2>${names.length === 0 ? html`<span class="quiet">Every record was kept, on both sides.</span>` : html`<table><${Head} data=${data} first="reason" /><tbody>${names.map(name => html`<tr key=${name}><td>${name.replace(/_/g, " ")}</td>${SIDES.map(side => { const found = of(side, name); return html`<td class="right">${found ? html`<${Link} to=${"/records/" + encodeURIComponent(data[side].id) + query({ outcome: found.outcome, reason: found.reason, evolver: data[side].evolver })}>${count(found.count)}<//> <span class="quiet">${percent(found.count, ended(side))}</span>` : "–"}</td>`; })}</tr>`)}</tbody></table>`}</div>`;
}
const Groups = ({ data }) => html`<div class="panel scroll"><h2>By evolver and round</h2><table><thead><tr><th></th><th>evolver</th><th class="right">round</th><th class="right">kept</th><th class="right">IC-IFD</th><th class="right">IFD</th></tr></thead><tbody>${SIDES.flatMap(side => data[side].groups.map(group => html`<tr key=${side + group.evolver + group.round}><td><span class=${"side " + side}>${side.toUpperCase()}</span></td><td>${group.evolver || "–"}</td><td class="right">${group.round}</td><td class="right">${percent(group.kept, group.kept + group.rejected + group.failed)}</td><td class="right">${number(group.means.ic_ifd)}</td><td class="right">${number(group.means.ifd)}</td></tr>`))}</tbody></table></div>`;
function Paired({ data, values, set }) {
  if (!data.pairs) return html`<div class="panel"><h2>Seed by seed</h2><${Loading} what=${"an index, made once: " + data.indexing.done + " of " + data.indexing.of + " files"} /></div>`;
  const score = SCORES[data.score], wins = data.wins, scored = data.seeds.scored, sure = data.difference && (data.difference.low > 0 || data.difference.high < 0);
  const share = (side, word) => html`<span class=${"win " + side} style=${{ flexGrow: wins[side] || 0.001 }} title=${word}></span>`;
  return html`<div class="panel stack"><div class="head"><h2>Seed by seed</h2><select aria-label="Score" value=${data.score} onChange=${event => set({ score: event.target.value })}>${Object.entries(SCORES).map(([name, word]) => html`<option value=${name} selected=${name === data.score}>${word}</option>`)}</select></div>
    ${scored === 0 ? html`<span class="quiet">${data.seeds.both ? "No seed has a kept record with this score on both sides." : "They share no seed with kept records; compare runs over the same seeds."}</span>` : html`<div class="wins" role="img" aria-label=${"A is higher on " + wins.a + ", B on " + wins.b + ", equal on " + wins.ties}>${share("a", "A is higher")}${share("ties", "equal")}${share("b", "B is higher")}</div>
      <div class="facts"><span><span class="side a">A</span> higher on ${percent(wins.a, scored)}</span><span>equal on ${percent(wins.ties, scored)}</span><span><span class="side b">B</span> higher on ${percent(wins.b, scored)}</span></div>
      ${data.difference && html`<p class="flat">${score} of B less that of A: <strong>${number(data.difference.mean, 4)}</strong>, with 95 % certainty between ${number(data.difference.low, 4)} and ${number(data.difference.high, 4)}${sure ? "." : ", so it may be chance."}</p>`}`}
    <div class="facts"><span>${count(data.seeds.both)} seeds in both</span><span>${count(data.seeds.a)} in A, ${count(data.seeds.b)} in B</span><span>the last kept round of each, of the first ${count(data.looked_at)} kept records</span></div></div>`;
}
function Pairs({ data, values, set }) {
  if (!data.pairs.length) return null;
  const cell = (side, pair) => { const item = pair[side]; return html`<div><div class="facts"><span class=${"side " + side}>${side.toUpperCase()}</span><span>${item.evolver}, round ${item.round}</span><span>IC-IFD ${number(item.ic_ifd)}</span><span>IFD ${number(item.ifd)}</span><${Link} to=${"/records/" + encodeURIComponent(data[side].id) + query({ row: item.record_id })}>whole row<//></div><${Diff} before=${pair.seed} after=${item.instruction || ""} /><details><summary>Response</summary><p class="pre">${item.output}</p></details></div>`; };
  return html`<div class="panel"><div class="head"><h2>The same seeds on both sides</h2><select aria-label="Which pairs first" value=${values.order || "difference"} onChange=${event => set({ order: event.target.value })}>${Object.entries(ORDERS).map(([name, word]) => html`<option value=${name} selected=${(values.order || "difference") === name}>${word}</option>`)}</select></div>
    ${data.pairs.map(pair => html`<section class="result" key=${pair.seed_id}><p class="pre"><strong>${pair.seed}</strong></p><div class="pair">${SIDES.map(side => cell(side, pair))}</div></section>`)}</div>`;
}
