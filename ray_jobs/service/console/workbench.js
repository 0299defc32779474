// Workbench: seeds through evolvers that are warm, round by round as they are made; then the same as a run.
import { count, Diff, duration, go, html, Link, Loading, number, State, stream, Trouble, useData, useRef, useState } from "/static/base.js";

const split = text => text.split(/\n\s*\n|\n/).map(line => line.trim()).filter(Boolean).slice(0, 20);

export function Workbench({ values }) {
  const { data, error } = useData("/v1/engines", 5), from = useData(values.run ? "/v1/runs/" + encodeURIComponent(values.run) + "/records?round=1" : null);
  const [text, setText] = useState(localStorage.getItem("seeds") || "Explain why the sky is blue."), [off, setOff] = useState([]), [rounds, setRounds] = useState(2), [seed, setSeed] = useState(0), [respond, setRespond] = useState(true), [score, setScore] = useState(true), [breadth, setBreadth] = useState(true), [results, setResults] = useState([]), [busy, setBusy] = useState(false), [trouble, setTrouble] = useState(null), stop = useRef(null);
  if (!data) return error ? html`<${Trouble} error=${error} doing="The engines cannot be seen." />` : html`<${Loading} what="the engines" />`;
  const evolvers = data.engines.filter(item => item.role === "evolver"), chosen = evolvers.filter(item => !off.includes(item.name)).map(item => item.name), seeds = split(text);
  const strategy = { kind: "evol_instruct", rounds: +rounds, breadth };
  const setSeeds = value => { setText(value); localStorage.setItem("seeds", value); };
  const take = () => { const lines = [...new Set(((from.data && from.data.records) || []).map(item => item.instruction.replace(/\s+/g, " ")))]; if (lines.length) setSeeds(lines.slice(0, 20).join("\n")); };
  const run = async () => {
    const control = new AbortController(); stop.current = control; setBusy(true); setTrouble(null); setResults([]);
    try {
      for (const [place, instruction] of seeds.entries()) {
        const cells = Object.fromEntries(chosen.map(name => [name, { rounds: [], result: null }])), put = () => setResults(old => { const next = [...old]; next[place] = { instruction, cells: { ...cells } }; return next; });
        put();
        await stream("/v1/evolve", { instruction, input: "", evolvers: chosen, strategy, rounds: +rounds, seed: +seed, respond, score, stream: true }, (event, value) => {
          if (event === "round") cells[value.evolver] = { ...cells[value.evolver], rounds: [...cells[value.evolver].rounds, value] };
          if (event === "result") cells[value.evolver] = { rounds: value.rounds, result: value };
          if (event === "error") setTrouble(value.error || value);
          put();
        }, control.signal);
      }
    } catch (error) { if (error.name !== "AbortError") setTrouble(error.message ? error : { message: String(error) }); }
    setBusy(false);
  };
  const start = () => {
    const id = "bench-" + new Date().toISOString().slice(0, 16).replace(/[-:T]/g, "");
    sessionStorage.setItem("new-run", JSON.stringify({ id, seed: +seed, seeds: seeds.map(instruction => ({ instruction })), strategy }, null, 2)); go("/new");
  };
  const done = results.flatMap(item => Object.entries(item.cells)).filter(([, cell]) => cell.result), slowest = chosen.map(name => done.filter(([of]) => of === name).reduce((sum, [, cell], index, all) => sum + cell.result.seconds / all.length, 0));
  return html`<div class="head"><h1>Workbench</h1><span class="quiet">Seeds through warm engines, as a run would take them</span></div><div class="bench"><div class="panel stack">
      <label><span>Seeds, one a line, at most 20</span><textarea rows="6" value=${text} onInput=${event => setSeeds(event.target.value)} /></label>${values.run && html`<button onClick=${take} disabled=${!from.data}>Take seeds from ${values.run}</button>`}
      <div><h2>Evolvers</h2>${evolvers.length === 0 && html`<span class="quiet">none is served</span>`}${evolvers.map(item => html`<label class="check" key=${item.name}><input type="checkbox" checked=${!off.includes(item.name)} onChange=${() => setOff(off.includes(item.name) ? off.filter(name => name !== item.name) : [...off, item.name])} /><span>${item.name} <${State} of=${item.state} /></span></label>`)}</div>
      <div class="columns"><label><span>Rounds</span><input type="number" min="1" max="10" value=${rounds} onInput=${event => setRounds(event.target.value)} /></label><label><span>Random seed</span><input type="number" value=${seed} onInput=${event => setSeed(event.target.value)} /></label></div>
      <label class="check"><input type="checkbox" checked=${breadth} onChange=${() => setBreadth(!breadth)} /><span>in breadth, too</span></label><label class="check"><input type="checkbox" checked=${respond} onChange=${() => setRespond(!respond)} /><span>answer the last round</span></label><label class="check"><input type="checkbox" checked=${score} disabled=${!respond} onChange=${() => setScore(!score)} /><span>score the pair</span></label>
      <div class="acts">${busy ? html`<button onClick=${() => stop.current.abort()}>Stop</button>` : html`<button class="primary" disabled=${!seeds.length || !chosen.length} onClick=${run}>Try ${seeds.length === 1 ? "the seed" : count(seeds.length) + " seeds"}</button>`}</div></div>
    <div class="stack">${trouble && html`<${Trouble} error=${trouble} doing="The engines did not take it." />`}
      <div class="panel">${results.length === 0 ? html`<div class="note quiet">Results stand here as they are made: a row a seed, a column an evolver.</div>` : results.map(item => html`<section class="result" key=${item.instruction}><p class="pre"><strong>${item.instruction}</strong></p><div class="columns">${Object.entries(item.cells).map(([name, cell]) => html`<div key=${name}><div class="facts"><strong>${name}</strong>${cell.result ? html`<${State} of=${cell.result.outcome} /><span>${duration(cell.result.seconds)}</span>${cell.result.scores && html`<span>IC-IFD ${number(cell.result.scores.ic_ifd)}</span><span>IFD ${number(cell.result.scores.ifd)}</span>`}` : html`<span role="status">at work…</span>`}</div>
        ${cell.rounds.map((round, index) => html`<div key=${round.round}><div class="facts"><span>round ${round.round}${round.operator ? ", " + round.operator.replace(/_/g, " ") : ""}</span>${round.reason && html`<span class="rejected">✕ ${round.reason}</span>`}</div><${Diff} before=${index ? cell.rounds[index - 1].instruction : item.instruction} after=${round.instruction || ""} /></div>`)}${cell.result && cell.result.response && html`<details open><summary>Response</summary><p class="pre">${cell.result.response}</p></details>`}</div>`)}</div></section>`)}</div>
      <div class="panel head"><span>${done.length ? "One after the other, a seed takes " + duration(Math.max(...slowest)) + " here; a run takes many at once." : "As a run: the same seeds and strategy, all of the service's engines, written to an output."}</span><button class="push" disabled=${!seeds.length} onClick=${start}>Start this as a run…</button></div></div></div>`;
}
