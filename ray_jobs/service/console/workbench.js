// Workbench: seeds through evolvers that are warm, round by round as they are made; then the same as a run.
import { api, Ask, count, Diff, duration, go, html, Link, Loading, number, percent, plain, post, State, stream, Trouble, useData, useEffect, useRef, useState } from "/static/base.js";
import { Approved, keyOf, Marks } from "/static/marks.js";
import { Templates } from "/static/templates.js";

const MOST = 20, AT_ONCE = 4, STORE = "workbench";
const START = { text: "Explain why the sky is blue.", off: [], kind: "evol_instruct", rounds: 2, seed: 0, breadth: true, complicate_input: false, elimination: "", temperature: "", top_p: "", max_tokens: "", respond: true, score: true, templates: {}, live: true };

// the recipe survives a reload; what a field does not say is as the service was started with
function useRecipe() {
  const [recipe, set] = useState(() => { try { return { ...START, ...JSON.parse(localStorage.getItem(STORE)) }; } catch { return START; } });
  const change = changes => set(old => { const next = { ...old, ...changes }; try { localStorage.setItem(STORE, JSON.stringify(next)); } catch { /* a full storage keeps what it had */ } return next; });
  useEffect(() => {
    if (localStorage.getItem(STORE)) return;
    // at first as the service is configured
    post("/v1/validate", {}).then(({ settings: { strategy = {} } }) => {
      const own = ["kind", "rounds", "breadth", "complicate_input"].filter(name => strategy[name] != null);
      if (!strategy.kind || strategy.kind === "evol_instruct" || strategy.kind === "auto_evol") change(Object.fromEntries(own.map(name => [name, strategy[name]])));
    }, () => {});
  }, []);
  return [recipe, change];
}
// a seed a line; one with an input or lines of its own is a line of JSON
function seedOf(line) {
  if (line.startsWith("{")) try {
    const item = JSON.parse(line), instruction = item.instruction || item.prompt;
    if (typeof instruction === "string") return { instruction, input: typeof item.input === "string" ? item.input : "" };
  } catch { /* a text that looks like JSON */ }
  return { instruction: line, input: "" };
}
const lineOf = seed => seed.input || /[\n\r]|^[\s{]|\s$/.test(seed.instruction) ? JSON.stringify(seed) : seed.instruction;
const linesOf = text => text.split("\n").map(line => line.trim()).filter(Boolean);
const textOf = seeds => [...new Set(seeds.map(lineOf))].slice(0, MOST).join("\n");
function strategyOf(recipe) {
  const sampling = Object.fromEntries(["temperature", "top_p", "max_tokens"].filter(name => recipe[name] !== "").map(name => [name, +recipe[name]]));
  const own = Object.fromEntries(Object.entries(recipe.templates).filter(([name]) => !name.startsWith(recipe.kind === "evol_instruct" ? "auto_evol/" : "evol_instruct/")));
  return {
    kind: recipe.kind, rounds: +recipe.rounds,
    ...(recipe.kind === "evol_instruct" ? { breadth: recipe.breadth, complicate_input: recipe.complicate_input } : {}),
    ...(recipe.elimination ? { elimination: recipe.elimination } : {}),
    ...(Object.keys(sampling).length ? { sampling } : {}),
    ...(Object.keys(own).length ? { templates: own } : {}),
  };
}

// trials: a few seeds at once, each cell filled as its events come
function useTrials() {
  const [results, set] = useState([]), [busy, setBusy] = useState(false), [trouble, setTrouble] = useState(null), control = useRef(null);
  const cell = (place, name, change) => set(old => old.map((item, at) => at === place ? { ...item, cells: { ...item.cells, [name]: change(item.cells[name]) } } : item));
  const hear = place => (event, value) => {
    if (event === "round") cell(place, value.evolver, old => ({ ...old, rounds: [...old.rounds, value] }));
    if (event === "result") cell(place, value.evolver, () => ({ rounds: value.rounds, result: value }));
    if (event === "error") setTrouble(value.error || value);
  };
  const run = async (seeds, evolvers, body) => {
    control.current?.abort();
    const own = control.current = new AbortController();
    const queue = seeds.map((seed, place) => ({ seed, place }));
    set(seeds.map(seed => ({ seed, cells: Object.fromEntries(evolvers.map(name => [name, { rounds: [], result: null }])) })));
    setBusy(true); setTrouble(null);
    const work = async () => {
      for (let next = queue.shift(); next && !own.signal.aborted; next = queue.shift())
        await stream("/v1/evolve", { ...body, ...next.seed, index: next.place, evolvers, stream: true }, hear(next.place), own.signal);
    };
    try { await Promise.all(Array.from({ length: Math.min(AT_ONCE, seeds.length) }, work)); }
    catch (error) { if (error.name !== "AbortError") { own.abort(); setTrouble(error.message ? error : { message: String(error) }); } }
    if (control.current === own) setBusy(false);
  };
  useEffect(() => () => control.current?.abort(), []);
  return { results, busy, trouble, run, stop: () => { control.current?.abort(); setBusy(false); } };
}

export function Workbench({ values }) {
  const { data, error } = useData("/v1/engines", 5), [recipe, change] = useRecipe(), trials = useTrials(), tried = useRef(null), checked = useRef(null);
  const engines = data ? data.engines : [], evolvers = engines.filter(item => item.role === "evolver");
  const chosen = evolvers.filter(item => !recipe.off.includes(item.name)).map(item => item.name), seeds = linesOf(recipe.text).slice(0, MOST).map(seedOf);
  const scorer = engines.some(item => item.role === "scorer"), strategy = strategyOf(recipe);
  const edited = JSON.stringify(recipe.templates);
  useEffect(() => { if (values.seed) { change({ text: lineOf({ instruction: values.seed, input: values.input || "" }) }); go("/workbench", true); } }, [values.seed]);
  const run = () => { tried.current = edited; trials.run(seeds, chosen, { strategy, rounds: strategy.rounds, seed: +recipe.seed, respond: recipe.respond, score: scorer && recipe.respond && recipe.score }); };
  // an edited prompt is tried again once it is known to be right
  checked.current = () => { if (recipe.live && chosen.length && tried.current !== null && tried.current !== edited) run(); };
  if (!data) return error ? html`<${Trouble} error=${error} doing="The engines cannot be seen." />` : html`<${Loading} what="the engines" />`;
  return html`<div class="head"><h1>Workbench</h1><span class="quiet">Seeds through warm engines, as a run would take them</span></div>
    <div class="bench"><div class="stack">
      <${Seeds} recipe=${recipe} change=${change} from=${values.run} seeds=${seeds} />
      <${Recipe} recipe=${recipe} change=${change} evolvers=${evolvers} scorer=${scorer} />
      <div class="panel acts try">${trials.busy ? html`<button onClick=${trials.stop}>Stop</button>` : ""}<button class="primary" disabled=${!seeds.length || !chosen.length} onClick=${run}>Try ${seeds.length === 1 ? "the seed" : count(seeds.length) + " seeds"}</button></div></div>
    <div class="stack"><${Templates} kind=${recipe.kind} own=${recipe.templates} live=${recipe.live} change=${change} />
      ${trials.trouble && html`<${Trouble} error=${trials.trouble} doing="The engines did not take it." />`}
      <${Results} results=${trials.results} busy=${trials.busy} strategy=${strategy} />
      <${AsRun} seeds=${seeds} strategy=${strategy} seed=${+recipe.seed} chosen=${chosen} all=${evolvers.map(item => item.name)} checked=${checked} /></div></div>`;
}

function Seeds({ recipe, change, from, seeds }) {
  const runs = useData("/v1/runs"), [id, setId] = useState(from || ""), [error, setError] = useState(null), lines = linesOf(recipe.text).length;
  const take = async () => {
    setError(null);
    try {
      const page = await api("/v1/runs/" + encodeURIComponent(id) + "/records?round=1");
      if (page.indexing) throw { message: "An index of this run is being made; try again in a moment." };
      const rows = await Promise.all(page.records.slice(0, MOST).map(item => api("/v1/runs/" + encodeURIComponent(id) + "/records/" + encodeURIComponent(item.row_id))));
      change({ text: textOf(rows.map(row => ({ instruction: row.rounds[0].seed_instruction, input: row.rounds[0].input || "" }))) });
    } catch (error) { setError(error); }
  };
  const read = async event => {
    const text = await event.target.files[0].text();
    change({ text: textOf(linesOf(text).slice(0, MOST).map(seedOf)) });
  };
  return html`<div class="panel stack"><label><span>Seeds, one a line or as JSON${lines > MOST ? ": the first " + MOST + " of " + count(lines) : ", at most " + MOST}</span><textarea rows="6" value=${recipe.text} onInput=${event => change({ text: event.target.value })} /></label>
    <div class="cmd"><select aria-label="Take seeds of a run" value=${id} onChange=${event => setId(event.target.value)}><option value="">seeds of a run…</option>${(runs.data ? runs.data.runs : []).filter(run => run.rows).map(run => html`<option value=${run.id} selected=${run.id === id}>${run.id}</option>`)}</select><button disabled=${!id} onClick=${take}>Take ${MOST}</button></div>
    <label class="file small quiet"><span>Or a file: a seed a line, or JSONL with "instruction"</span><input type="file" accept=".txt,.jsonl,.json" onChange=${read} /></label>
    ${error && html`<${Trouble} error=${error} doing="No seeds were taken." />`}<span class="quiet small">${count(seeds.length)} to try</span></div>`;
}

function Recipe({ recipe, change, evolvers, scorer }) {
  const field = (name, title, more) => html`<label><span>${title}</span><input type="number" value=${recipe[name]} onInput=${event => change({ [name]: event.target.value })} ...${more} /></label>`;
  const check = (name, title, more) => html`<label class="check"><input type="checkbox" checked=${recipe[name]} onChange=${() => change({ [name]: !recipe[name] })} ...${more || {}} /><span>${title}</span></label>`;
  const choose = (name, title, options) => html`<label><span>${title}</span><select value=${recipe[name]} onChange=${event => change({ [name]: event.target.value })}>${options.map(([value, word]) => html`<option value=${value} selected=${recipe[name] === value}>${word}</option>`)}</select></label>`;
  const turn = name => change({ off: recipe.off.includes(name) ? recipe.off.filter(item => item !== name) : [...recipe.off, name] });
  return html`<div class="panel stack"><fieldset><legend>Evolvers</legend>${evolvers.length === 0 && html`<span class="quiet">none is served</span>`}${evolvers.map(item => html`<label class="check" key=${item.name}><input type="checkbox" checked=${!recipe.off.includes(item.name)} onChange=${() => turn(item.name)} /><span>${item.name} <${State} of=${item.state} /></span></label>`)}</fieldset>
    <div class="two">${choose("kind", "Strategy", [["evol_instruct", "Evol-Instruct"], ["auto_evol", "Auto Evol-Instruct"]])}${choose("elimination", "Rejection rules", [["", "as configured"], ["none", "none"], ["rules", "rules"], ["wizardlm", "rules and judge"]])}${field("rounds", "Rounds", { min: 1, max: 20 })}${field("seed", "Random seed")}</div>
    ${recipe.kind === "evol_instruct" && html`<fieldset><legend>Operators: four in depth, and</legend>${check("breadth", "breadth: another task of the same kind")}${check("complicate_input", "complicated input")}</fieldset>`}
    <fieldset><legend>At the end</legend>${check("respond", "answer the last round")}${check("score", scorer ? "score the pair" : "score the pair (no scorer is served)", { disabled: !recipe.respond || !scorer })}</fieldset>
    <details><summary>Sampling</summary><div class="two">${field("temperature", "Temperature", { min: 0, step: 0.1, placeholder: "as configured" })}${field("top_p", "Top p", { min: 0, max: 1, step: 0.05, placeholder: "as configured" })}${field("max_tokens", "Most tokens a round", { min: 1, placeholder: "as configured" })}</div></details></div>`;
}

function Results({ results, busy, strategy }) {
  const cells = results.flatMap(item => Object.values(item.cells)).map(cell => cell.result).filter(Boolean), kept = cells.filter(item => ["kept", "done"].includes(item.outcome)).length;
  const total = results.reduce((sum, item) => sum + Object.keys(item.cells).length, 0);
  return html`<div class="panel"><div class="head"><h2>Results</h2>${total > 0 && html`<span class="quiet" role="status">${count(cells.length)} of ${count(total)} done, ${percent(kept, cells.length)} kept</span>`}<span class="push"></span><${Approved} /></div>
    ${results.length === 0 ? html`<div class="note quiet">Results stand here as they are made: a row a seed, a column an evolver, differences between rounds marked.</div>` : results.map(item => html`<section class="result" key=${lineOf(item.seed)}><p class="pre"><strong>${item.seed.instruction}</strong></p>${item.seed.input && html`<p class="pre quiet">${item.seed.input}</p>`}<div class="columns">${Object.entries(item.cells).map(([name, cell]) => html`<${Cell} key=${name} name=${name} cell=${cell} seed=${item.seed} busy=${busy} strategy=${strategy} />`)}</div></section>`)}</div>`;
}
function Cell({ name, cell, seed, busy, strategy }) {
  const { result, rounds } = cell, scores = result && result.scores;
  const parent = place => { for (let at = place - 1; at >= 0; at--) if (rounds[at].outcome === "kept") return rounds[at].instruction; return seed.instruction; };
  const item = result && { seed_instruction: seed.instruction, instruction: result.instruction, input: seed.input, output: result.response || "", evolver: name, strategy, scores, source: "workbench" };
  return html`<div class="cell"><div class="facts"><strong>${name}</strong>${result ? html`<${State} of=${result.outcome} />${result.reason && html`<span>${result.reason.replace(/_/g, " ")}</span>`}<span>${duration(result.seconds)}</span>${result.tokens && html`<span>${count(result.tokens.prompt + result.tokens.completion)} tokens</span>`}${scores && html`<span>IC-IFD ${number(scores.ic_ifd)}</span><span>IFD ${number(scores.ifd)}</span>`}` : html`<span role="status">${busy ? "at work" + (rounds.length ? " on round " + (rounds.length + 1) : "") + "…" : "not finished"}</span>`}</div>
    ${rounds.map((round, at) => html`<div key=${round.round}><div class="facts"><span>round ${round.round}${round.operator ? ", " + round.operator.replace(/_/g, " ") : ""}</span>${round.reason && html`<span class=${round.outcome}>${round.outcome === "failed" ? "!" : "✕"} ${round.reason.replace(/_/g, " ")}</span>`}</div><${Diff} before=${parent(at)} after=${round.instruction || ""} />${round.error && html`<p class="pre failed small">${round.error}</p>`}</div>`)}
    ${result && result.response && html`<details open><summary>Response</summary><p class="pre">${result.response}</p></details>`}${result && result.reasoning && html`<details><summary>Reasoning</summary><p class="pre quiet">${result.reasoning}</p></details>`}
    ${item && html`<${Marks} id=${"w" + keyOf(lineOf(seed) + "\n" + name + "\n" + result.instruction)} item=${item} />`}</div>`;
}

// the same as a run, with what it would take beside the button
function AsRun({ seeds, strategy, seed, chosen, all, checked }) {
  const [own, setOwn] = useState(true), [id, setId] = useState(() => "bench-" + new Date().toISOString().slice(0, 16).replace(/[-:T]/g, "")), [answer, setAnswer] = useState({}), [ask, setAsk] = useState(null);
  const settings = { id, seed, strategy, ...(own ? { seeds } : {}) };
  // what was answered to other settings counts no more
  const asked = JSON.stringify(settings), { plan, error } = answer.to === asked ? answer : {};
  useEffect(() => {
    if (own && !seeds.length) return;
    let live = true;
    const timer = setTimeout(async () => { try { const found = await post("/v1/plan?check=true", settings); if (!live) return; setAnswer(found.valid ? { to: asked, plan: found } : { to: asked, error: found.error }); if (found.valid) checked.current(); } catch (error) { if (live) setAnswer({ to: asked, error }); } }, 600);
    return () => { live = false; clearTimeout(timer); };
  }, [asked]);
  const edit = () => { sessionStorage.setItem("new-run", JSON.stringify(settings, null, 2)); go("/new"); };
  const confirm = () => setAsk({ title: "Start " + id + "?", text: plan.rows ? count(plan.rows.to_do) + " rows, " + told(plan) : told(plan), command: "evolve run " + id + ".yaml", word: "Start " + id, act: async () => { await post("/v1/runs", settings); go("/runs/" + encodeURIComponent(id)); } });
  return html`<div class="panel stack"><div class="asrun"><h2>As a run</h2><select aria-label="Which seeds" value=${own ? "own" : "all"} onChange=${event => setOwn(event.target.value === "own")}><option value="own">these ${count(seeds.length)} seeds</option><option value="all">the seeds that the service is configured with</option></select>
      <label class="inline"><span class="hidden">Name of the run</span><input value=${id} onInput=${event => setId(event.target.value)} aria-label="Name of the run" /></label><div class="acts"><button onClick=${edit}>As settings…</button><button class="primary" disabled=${!plan || (own && !seeds.length)} onClick=${confirm}>Start this as a run</button></div></div>
    ${chosen.length < all.length && html`<span class="small quiet">A run uses all ${all.length} evolvers; “As settings…” is where to leave some out.</span>`}
    ${error ? html`<${Trouble} error=${error} doing="These settings would not run." />` : plan ? html`<${Forecast} plan=${plan} />` : html`<span class="quiet" role="status">${own && !seeds.length ? "No seed yet." : "Asking what it would take…"}</span>`}<${Ask} ask=${ask} close=${() => setAsk(null)} /></div>`;
}
const told = plan => plan.forecast ? duration(plan.forecast.seconds) + " and " + count(plan.forecast.tokens) + " tokens" + (plan.forecast.cost > 0 ? ", " + plan.forecast.cost.toFixed(2) + " to pay" : "") + ", going by " + plan.from.join(", ") + "." : plain(plan.why) + ".";
export function Forecast({ plan }) {
  const found = plan.forecast, rows = plan.rows;
  return html`<div class="forecast" role="status">${rows && html`<div><strong>${count(rows.to_do)}</strong><span class="quiet small">rows${rows.done ? ", " + count(rows.done) + " are done" : ""}</span></div>`}
    ${found ? html`<div><strong>${duration(found.seconds)}</strong><span class="quiet small">once machines are there</span></div><div><strong>${count(found.tokens)}</strong><span class="quiet small">tokens</span></div>${found.gpu_hours > 0 && html`<div><strong>${number(found.gpu_hours, 1)}</strong><span class="quiet small">GPU-hours</span></div>`}${found.cost > 0 && html`<div><strong>${found.cost.toFixed(2)}</strong><span class="quiet small">to pay</span></div>`}<div><strong>${count(found.kept_records)}</strong><span class="quiet small">records kept</span></div><span class="quiet small">${found.bottleneck.replace("evolve_", "")} is the pool that others wait for. Speeds as in ${plan.from.map((id, at) => html`${at ? ", " : ""}<${Link} to=${"/runs/" + encodeURIComponent(id)}>${id}<//>`)}; a row of other rounds is taken in proportion.</span>` : html`<span class="quiet">No forecast: ${plain(plan.why)}.</span>`}</div>`;
}
