// Records: filters with counts, the list, one row whole. The address bar holds all of it.
import { Bars, before, count, Diff, go, html, Link, Loading, number, query, Stale, State, Trouble, useData, useEffect, useRef, useState } from "/static/base.js";
import { Approved, Marks } from "/static/marks.js";

const FIELDS = { outcome: "Outcome", evolver: "Evolver", round: "Round", reason: "Reason" };
const SORTS = { "": "as written", ic_ifd: "IC-IFD", ifd: "IFD", loss_q: "L(Q)", prompt_tokens: "prompt tokens", completion_tokens: "completion tokens", instruction_characters: "length", created_at: "time" };

export function RecordsView({ id, values }) {
  const { row, q, ...asked } = values, base = "/v1/runs/" + encodeURIComponent(id), here = "/records/" + encodeURIComponent(id);
  const { data: fresh, error, at } = useData(base + "/records" + query(asked)), held = useRef(null), found = useSearch(base, asked, q), box = useRef(null), wide = useWide();
  // what was asked before stays until the answer to a new filter is there
  if (fresh) held.current = fresh;
  const data = fresh || (error ? null : held.current);
  const set = (changes, replace) => go(here + query({ ...values, ...changes }), replace);
  const narrow = changes => set({ ...changes, page: null, row: null });
  const records = q ? found.hits : (data && data.records) || [];
  // a key acts on what is shown when it is pressed
  const keys = useRef(null);
  keys.current = event => {
    if (event.target.closest("input, textarea, select, dialog")) return;
    const place = records.findIndex(item => item.record_id === row), step = { j: 1, k: -1 }[event.key];
    if (step && records.length) { const next = records[Math.min(Math.max(place + step, 0), records.length - 1)]; set({ row: next.record_id }, true); const element = document.getElementById("r" + next.record_id); if (element) element.scrollIntoView({ block: "nearest" }); }
    if (event.key === "/" && box.current) { event.preventDefault(); box.current.focus(); }
    if (event.key === "c" && !event.ctrlKey && !event.metaKey && navigator.clipboard) navigator.clipboard.writeText(location.href);
  };
  useEffect(() => {
    const press = event => keys.current(event);
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, []);
  if (!data) return error ? html`<${Trouble} error=${error} doing="The records cannot be read." />` : html`<${Loading} what=${"the records of " + id} />`;
  const pages = data.total != null ? Math.max(1, Math.ceil(data.total / data.size)) : 1, page = +(values.page || 1);
  const chosen = row && records.find(item => item.record_id === row), whole = row && row.replace(/-\d+$/, "");
  return html`<div class="head"><h1>Records of <${Link} to=${"/runs/" + encodeURIComponent(id)}>${id}<//></h1><span class="quiet">${q ? count(found.hits.length) + " hits for “" + q + "”" + (found.done ? "" : ", looked through " + count(found.looked)) : data.total != null ? count(data.total) + " records" : ""}</span>
    <form class="push cmd" role="search" onSubmit=${event => { event.preventDefault(); narrow({ q: box.current.value }); }}><input ref=${box} type="search" placeholder="Search texts ( / )" defaultValue=${q || ""} aria-label="Search texts" /><button>Search</button>${q && html`<button type="button" onClick=${() => { box.current.value = ""; narrow({ q: null }); }}>${found.done ? "Clear" : "Stop"}</button>`}</form></div>
    ${error && html`<${Stale} since=${at} error=${error} />`}<p class="flat"><${Approved} /></p>
    <div class="records"><aside class="panel" aria-label="Filters"><details class="facets" open=${wide}><summary>Filters</summary>${Object.entries(FIELDS).map(([name, title]) => (data.facets[name].length > 0 || values[name]) && html`<h2>${title}</h2>${data.facets[name].map(item => html`<button key=${item.value} class="facet" aria-pressed=${String(values[name]) === String(item.value)} onClick=${() => narrow({ [name]: String(values[name]) === String(item.value) ? null : item.value })}><span>${name === "outcome" ? html`<${State} of=${item.value} />` : item.value}</span><span class="quiet">${count(item.count)}</span></button>`)}`)}
      ${["ic_ifd", "ifd"].map(name => html`<${Range} key=${name} name=${name} dist=${data.distributions && data.distributions[name]} values=${values} narrow=${narrow} />`)}</details></aside>
    <section class="panel list" aria-label="Records"><div class="bar"><select aria-label="Sort by" value=${values.sort || ""} onChange=${event => narrow({ sort: event.target.value })}>${Object.entries(SORTS).map(([value, name]) => html`<option value=${value} selected=${(values.sort || "") === value}>${name}</option>`)}</select>${values.sort && html`<button onClick=${() => narrow({ order: values.order === "asc" ? null : "asc" })}>${values.order === "asc" ? "↑ lowest first" : "↓ highest first"}</button>`}</div>
      ${data.indexing ? html`<${Loading} what=${"an index, made once: " + data.indexing.done + " of " + data.indexing.of + " files"} />` : records.length === 0 ? html`<div class="note">${q && !found.done ? "Looking…" : html`No record passes these filters. <button class="link" onClick=${() => go(here)}>Show all</button>`}</div>` : records.map(item => html`<button key=${item.record_id} id=${"r" + item.record_id} class="row" aria-selected=${item.record_id === row} onClick=${() => set({ row: item.record_id }, true)}><span class="text">${item.instruction || "(no text)"}</span><span class="facts"><${State} of=${item.outcome} />${item.reason && html`<span>${item.reason}</span>`}<span>${item.evolver || "–"}, round ${item.round}</span>${item.ic_ifd != null && html`<span>IC-IFD ${number(item.ic_ifd)}</span>`}</span></button>`)}
      ${!q && pages > 1 && html`<div class="bar"><button disabled=${page <= 1} onClick=${() => set({ page: page - 1, row: null })}>Back</button><span class="quiet">page ${count(page)} of ${count(pages)}</span><button disabled=${page >= pages} onClick=${() => set({ page: page + 1, row: null })}>Next</button></div>`}</section>
    <section class=${row ? "panel one" : "panel"} aria-label="One row">${row ? html`<${Row} key=${whole} base=${base} id=${whole} round=${chosen ? chosen.round : null} />` : html`<div class="note quiet">Choose a record. j and k move, c copies a link to this view.</div>`}</section></div>`;
}

// a score's least and greatest: in numbers, or drawn over where the scores lie
function Range({ name, dist, values, narrow }) {
  const [drawn, draw] = useState(null), least = "min_" + name, most = "max_" + name, label = name === "ic_ifd" ? "IC-IFD" : "IFD";
  const bins = dist ? Object.values(dist.evolvers).reduce((sum, of) => of.map((value, at) => value + (sum[at] || 0)), []) : [];
  const field = (key, word, short) => html`<input type="number" step="any" aria-label=${word + " " + label} placeholder=${short} value=${values[key] || ""} onChange=${event => narrow({ [key]: event.target.value })} />`;
  const picture = () => {
    const span = dist.high - dist.low || 1, share = value => Math.min(Math.max((value - dist.low) / span, 0), 1);
    const at = event => { const box = event.currentTarget.getBoundingClientRect(); return Math.min(Math.max((event.clientX - box.x) / box.width, 0), 1); };
    const end = () => { if (!drawn) return; const [from, to] = [...drawn].sort((a, b) => a - b), told = part => (dist.low + part * span).toFixed(3); draw(null); narrow(to - from < 0.02 ? { [least]: null, [most]: null } : { [least]: told(from), [most]: told(to) }); };
    const chosen = drawn ? [...drawn].sort((a, b) => a - b) : values[least] || values[most] ? [values[least] ? share(+values[least]) : 0, values[most] ? share(+values[most]) : 1] : null;
    return html`<div class="draw" title="Draw over the scores that are wanted; a click shows all" onPointerDown=${event => { event.currentTarget.setPointerCapture(event.pointerId); draw([at(event), at(event)]); }} onPointerMove=${event => drawn && draw([drawn[0], at(event)])} onPointerUp=${end} onPointerCancel=${() => draw(null)}><${Bars} bins=${bins} low=${dist.low} high=${dist.high} label=${label} chosen=${chosen} /></div>`;
  };
  return html`<h2>${label}</h2>${bins.length > 0 && picture()}<div class="cmd">${field(least, "least", "least")}${field(most, "greatest", "most")}</div>`;
}

// whether there is room for the filters beside the list; where there is not they fold
function useWide() {
  const media = matchMedia("(min-width: 1024px)"), [wide, set] = useState(media.matches);
  useEffect(() => { const change = () => set(media.matches); media.addEventListener("change", change); return () => media.removeEventListener("change", change); }, []);
  return wide;
}

function useSearch(base, asked, q) {
  const [state, set] = useState({ hits: [], looked: 0, done: true }), address = base + "/search" + query({ ...asked, sort: null, order: null, page: null, q });
  useEffect(() => {
    if (!q) return;
    let hits = [], looked = 0, shown = 0;
    set({ hits, looked, done: false });
    const source = new EventSource(address), show = done => { shown = Date.now(); set({ hits, looked, done }); };
    source.addEventListener("hit", event => { hits = [...hits, JSON.parse(event.data)]; if (Date.now() - shown > 300) show(false); });
    source.addEventListener("looked", event => { looked = JSON.parse(event.data).looked; if (Date.now() - shown > 300) show(false); });
    source.addEventListener("done", () => { source.close(); show(true); });
    source.onerror = () => { source.close(); show(true); };
    return () => source.close();
  }, [address]);
  return state;
}

function Row({ base, id, round }) {
  const { data, error } = useData(base + "/records/" + encodeURIComponent(id));
  if (!data) return error ? html`<${Trouble} error=${error} doing="The row cannot be read." />` : html`<${Loading} what="the row" />`;
  if (data.indexing) return html`<${Loading} what="an index" />`;
  const rounds = data.rounds, first = rounds[0];
  return html`<div class="head"><h2>Seed</h2><${Link} class="small push" to=${"/workbench" + query({ seed: first.seed_instruction, input: first.input })}>try it on the workbench<//></div><p class="pre">${first.seed_instruction}</p>${first.input && html`<p class="pre quiet">${first.input}</p>`}<div class="facts"><span>${first.evolver} ${first.evolver_model ? "(" + first.evolver_model + ")" : ""}</span><span class="mono">${id}</span></div>
    ${rounds.map((item, index) => html`<article class="round" key=${item.record_id}><div class="facts"><strong>Round ${item.round}${item.operator ? ", " + item.operator.replace(/_/g, " ") : ""}</strong><${State} of=${item.outcome} />${item.reason && html`<span>${item.stage}: ${item.reason}</span>`}</div>
      <${Diff} before=${before(rounds, index)} after=${item.instruction || ""} />${item.error && html`<p class="pre failed small">${item.error}</p>`}
      ${item.output && html`<details open=${item.round === round || rounds.length === 1}><summary>Response</summary><p class="pre">${item.output}</p></details>`}${item.reasoning && html`<details><summary>Reasoning, ${count(item.reasoning_tokens)} tokens</summary><p class="pre quiet">${item.reasoning}</p></details>`}
      <div class="pair">${["ic_ifd", "ifd"].map(name => item[name] != null && html`<div key=${name}><div class="facts"><span>${data.distributions[name].label} ${number(item[name], 4)}</span></div>${data.distributions[name].evolvers[item.evolver] && html`<${Bars} bins=${data.distributions[name].evolvers[item.evolver]} low=${data.distributions[name].low} high=${data.distributions[name].high} mark=${item[name]} label=${data.distributions[name].label} />`}</div>`)}</div>
      <${Marks} id=${"r" + base + "/" + item.record_id} item=${{ seed_instruction: first.seed_instruction, instruction: item.instruction, input: first.input || "", output: item.output || "", evolver: item.evolver, outcome: item.outcome, scores: { ic_ifd: item.ic_ifd, ifd: item.ifd }, source: item.record_id }} /></article>`)}`;
}
