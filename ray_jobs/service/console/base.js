// What all views share: the API, the address bar, words for numbers, and the small parts.
import { html, useEffect, useRef, useState } from "/static/vendor/htm-preact.js";
export { html, useEffect, useRef, useState };

const toLogin = () => { if (location.pathname !== "/login") go("/login?to=" + encodeURIComponent(location.pathname + location.search)); };
export async function api(path, options) {
  let answer;
  try { answer = await fetch(path, options); } catch { throw { message: "The service does not answer. It may be restarting; this page tries again.", type: "unavailable" }; }
  if (answer.status === 401) toLogin();
  const text = await answer.text();
  let body; try { body = JSON.parse(text); } catch { body = {}; }
  if (!answer.ok) throw body.error || { message: answer.status + " " + answer.statusText, type: "unavailable" };
  return body;
}
export const post = (path, body) => api(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body || {}) });

// server-sent events of a POST: calls on(event, data) as they come
export async function stream(path, body, on, signal) {
  const answer = await fetch(path, { method: "POST", signal, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  if (answer.status === 401) toLogin();
  if (!answer.ok) throw (await answer.json().catch(() => ({}))).error || { message: "the service answered " + answer.status };
  const reader = answer.body.getReader(), decoder = new TextDecoder();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (rest + decoder.decode(value, { stream: true })).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const lines = block.split("\n");
      const event = (lines.find(line => line.startsWith("event: ")) || "event: message").slice(7);
      const data = lines.filter(line => line.startsWith("data: ")).map(line => line.slice(6)).join("\n");
      if (data) on(event, JSON.parse(data));
    }
  }
}

export function go(path, replace) {
  history[replace ? "replaceState" : "pushState"](null, "", path);
  dispatchEvent(new Event("moved"));
}
export function Link({ to, children, ...more }) {
  const click = event => { if (!event.metaKey && !event.ctrlKey && !event.shiftKey && !event.button) { event.preventDefault(); go(to); } };
  return html`<a href=${to} onClick=${click} ...${more}>${children}</a>`;
}
export const query = values => { const text = new URLSearchParams(Object.entries(values).filter(([, value]) => value != null && value !== "")).toString(); return text ? "?" + text : ""; };

// data that is asked for again and again; keeps what it has when an answer fails, and says since when
export function useData(path, seconds) {
  const [state, set] = useState({ data: null, error: null, at: null });
  useEffect(() => {
    let live = true, timer;
    set({ data: null, error: null, at: null });
    const ask = async () => {
      let again = seconds;
      try { const data = await api(path); if (live) set({ data, error: null, at: Date.now() }); if (data.indexing) again = 1; }
      catch (error) { if (live) set(old => ({ ...old, error })); }
      if (live && again) timer = setTimeout(ask, again * 1000);
    };
    if (path) ask();
    return () => { live = false; clearTimeout(timer); };
  }, [path]);
  return state;
}

export const count = value => value == null ? "–" : Math.round(value).toLocaleString("en-US");
export const number = (value, digits = 3) => value == null ? "–" : value.toFixed(digits);
export const plain = text => text.replaceAll("`", "");
export const percent = (part, whole) => whole ? (100 * part / whole).toFixed(part === whole ? 0 : 1) + " %" : "–";
export function duration(seconds) {
  if (seconds == null) return "–";
  const whole = Math.round(seconds), hours = Math.floor(whole / 3600), minutes = Math.floor(whole % 3600 / 60);
  return hours ? hours + " h " + minutes + " min" : minutes ? minutes + " min " + whole % 60 + " s" : whole + " s";
}
export const ago = time => { const seconds = (Date.now() - new Date(time)) / 1000; return seconds < 60 ? "just now" : seconds < 86400 ? duration(Math.round(seconds / 60) * 60).replace(" 0 s", "") + " ago" : new Date(time).toLocaleDateString(); };
export const clock = time => new Date(time).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const SIGNS = { done: "✓", ready: "✓", loading: "…", kept: "✓", rejected: "✕", failed: "!", running: "●", finished: "✓", stopped: "■", silent: "?", waiting: "…", unreadable: "!" };
const WORDS = { silent: "not heard from" };
export const State = ({ of }) => html`<span class="state ${of}"><span aria-hidden="true">${SIGNS[of] || "·"}</span> ${WORDS[of] || of}</span>`;

export const Loading = ({ what }) => html`<div class="note quiet" role="status">Waiting for ${what}…</div>`;
export const Trouble = ({ error, doing }) => html`<div class="panel alarm" role="alert"><strong>${doing || "That did not work."}</strong><div class="pre">${error.message}</div>${(error.details || []).length > 0 && html`<table><tbody>${error.details.map(item => html`<tr><td class="mono">${item.field}</td><td>${item.allowed}${item.came != null ? html` <span class="quiet">(came: ${String(item.came)})</span>` : ""}</td></tr>`)}</tbody></table>`}</div>`;
export const Stale = ({ since, error }) => html`<div class="panel stale" role="status">Not heard from the service since ${clock(since)}: what is shown is as of then. <span class="quiet">${error && error.message}</span></div>`;
export function Command({ text }) {
  const [copied, set] = useState(false);
  const copy = async () => { try { await navigator.clipboard.writeText(text); set(true); setTimeout(() => set(false), 1500); } catch { set(false); } };
  return html`<div class="cmd"><code tabindex="0">${text}</code><button onClick=${copy} aria-label=${"Copy " + text}>${copied ? "Copied" : "Copy"}</button></div>`;
}
// asks before an act that costs or stops something; says what it will do and shows the command that does the same
export function Ask({ ask, close }) {
  const box = useRef(null), [busy, setBusy] = useState(false), [error, setError] = useState(null);
  useEffect(() => { if (ask && box.current && !box.current.open) box.current.showModal(); setError(null); }, [ask]);
  if (!ask) return null;
  const act = async () => { setBusy(true); try { await ask.act(); close(); } catch (error) { setError(error); } setBusy(false); };
  return html`<dialog ref=${box} onClose=${close}><h2>${ask.title}</h2><p>${ask.text}</p>${error && html`<${Trouble} error=${error} />`}<${Command} text=${ask.command} /><div class="acts"><button onClick=${close}>Leave it</button><button class="primary" disabled=${busy} onClick=${act}>${ask.word}</button></div></dialog>`;
}

// pictures, each with its numbers as text for those who do not see it
export function Line({ points, label, unit }) {
  if (!points.length) return html`<div class="quiet">Nothing yet.</div>`;
  const first = points[0].at, last = points[points.length - 1].at, span = Math.max(last - first, 1), top = Math.max(...points.map(point => point.value), 1e-9);
  const spots = points.map(point => [600 * (point.at - first) / span, 92 - 84 * point.value / top]);
  const path = spots.map(([x, y], index) => (index ? "L" : "M") + x.toFixed(1) + " " + y.toFixed(1)).join("");
  return html`<figure class="chartbox"><svg class="chart" viewBox="0 0 600 96" preserveAspectRatio="none" role="img" aria-label=${label + ", at most " + count(top) + " " + unit}><path class="area" d=${path + "L600 96L0 96Z"} /><path class="line" d=${path} /></svg><div class="axis"><span>${clock(first * 1000)}</span><span>at most ${count(top)} ${unit}</span><span>${clock(last * 1000)}</span></div></figure>`;
}
export function Bars({ bins, low, high, label, mark, chosen }) {
  const top = Math.max(...bins, 1), width = 600 / bins.length, total = bins.reduce((sum, bin) => sum + bin, 0);
  const at = mark == null ? null : 600 * Math.min(Math.max((mark - low) / (high - low || 1), 0), 1);
  return html`<svg class="dist" viewBox="0 0 600 44" preserveAspectRatio="none" role="img" aria-label=${label + ": " + count(total) + " records from " + number(low) + " to " + number(high)}>${chosen && html`<rect class="chosen" x=${600 * chosen[0]} y="0" width=${Math.max(600 * (chosen[1] - chosen[0]), 2)} height="44" />`}${bins.map((bin, index) => html`<rect class="bars" x=${index * width + 0.5} y=${44 - 42 * bin / top} width=${Math.max(width - 1, 0.5)} height=${42 * bin / top} />`)}${at != null && html`<path class="mark" d=${"M" + at + " 0V44"} />`}</svg>`;
}

// a few numbers in the line of a text, from the least to the greatest; what hardly differs stays flat
export function Spark({ values, label }) {
  const low = Math.min(...values), high = Math.max(...values), span = Math.max(high - low, 0.1 * Math.abs(high)) || 1, told = label + ": " + values.map(value => number(value)).join(", ");
  const spots = values.map((value, at) => [3 + at * 14, 13 - 10 * (value - low) / span]);
  return html`<svg class="spark" width=${values.length * 14 - 8} height="16" role="img" aria-label=${told}><title>${told}</title><path class="line" d=${spots.map(([x, y], at) => (at ? "L" : "M") + x + " " + y.toFixed(1)).join("")} />${spots.map(([x, y]) => html`<circle class="bars" cx=${x} cy=${y} r="2" />`)}</svg>`;
}
// what a round began with: the last text before it that was kept
export const before = (rounds, index) => { for (let place = index - 1; place >= 0; place--) if (rounds[place].outcome === "kept") return rounds[place].instruction; return rounds[0].seed_instruction; };
// the words of `after`, marked where `before` does not have them, and those of `before` that are gone
export function diff(before, after) {
  const a = before.split(/(\s+)/), b = after.split(/(\s+)/);
  if (a.length * b.length > 4e6) return [["ins", after]];
  const width = b.length + 1, table = new Uint16Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i--) for (let j = b.length - 1; j >= 0; j--)
    table[i * width + j] = a[i] === b[j] ? table[(i + 1) * width + j + 1] + 1 : Math.max(table[(i + 1) * width + j], table[i * width + j + 1]);
  const found = []; let i = 0, j = 0;
  const add = (kind, text) => { const last = found[found.length - 1]; if (last && last[0] === kind) last[1] += text; else found.push([kind, text]); };
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) { add("same", a[i]); i++; j++; }
    else if (j < b.length && (i >= a.length || table[i * width + j + 1] > table[(i + 1) * width + j])) add("ins", b[j++]);
    else add("del", a[i++]);
  }
  return found;
}
export const Diff = ({ before, after }) => html`<p class="pre">${diff(before || "", after || "").map(([kind, text]) => kind === "same" ? text : kind === "ins" ? html`<ins>${text}</ins>` : html`<del>${text}</del>`)}</p>`;
