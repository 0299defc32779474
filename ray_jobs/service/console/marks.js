// What a person thought of results: kept, rejected, rated, edited. It stays in this browser, also after a restart.
import { count, html, useEffect, useState } from "/static/base.js";

const STORE = "marks";
let known = null;
const all = () => { if (!known) { try { known = JSON.parse(localStorage.getItem(STORE) || "{}"); } catch { known = {}; } } return known; };
export const keyOf = text => { let code = 5381; for (const letter of text) code = (code * 33 ^ letter.codePointAt(0)) >>> 0; return code.toString(36) + "." + text.length; };

function save(next) {
  localStorage.setItem(STORE, JSON.stringify(next));
  known = next;
  dispatchEvent(new Event("marked"));
}
export function useMarks() {
  const [, again] = useState(0);
  useEffect(() => {
    const tell = () => again(tick => tick + 1);
    // another tab of the same browser
    const other = event => { if (event.key === STORE) { known = null; tell(); } };
    addEventListener("marked", tell); addEventListener("storage", other);
    return () => { removeEventListener("marked", tell); removeEventListener("storage", other); };
  }, []);
  return all();
}

// item: what export writes, as { seed_instruction, instruction, input, output, evolver, source, … }
export function Marks({ id, item }) {
  const marks = useMarks(), mark = marks[id], [draft, setDraft] = useState(null), [full, setFull] = useState(false);
  const set = changes => { try { save({ ...all(), [id]: { ...item, ...mark, at: Date.now(), ...changes } }); setFull(false); } catch { setFull(true); } };
  const drop = () => { const { [id]: _, ...rest } = all(); save(rest); };
  const choose = word => mark?.mark === word ? drop() : set({ mark: word });
  return html`<div class="marks" role="group" aria-label="Your mark"><button class="small kept" aria-pressed=${mark?.mark === "kept"} onClick=${() => choose("kept")}>✓ Keep</button><button class="small rejected" aria-pressed=${mark?.mark === "rejected"} onClick=${() => choose("rejected")}>✕ Reject</button>
    <label class="rate"><span class="hidden">Rating</span><select class="small" value=${mark?.rating || ""} onChange=${event => set({ mark: mark?.mark || "kept", rating: +event.target.value || null })}><option value="" selected=${!mark?.rating}>rate…</option>${[1, 2, 3, 4, 5].map(stars => html`<option value=${stars} selected=${mark?.rating === stars}>${stars} of 5</option>`)}</select></label>
    <button class="small" onClick=${() => setDraft(draft ? null : { instruction: (mark || item).instruction, output: (mark || item).output || "" })} aria-expanded=${!!draft}>${mark?.edited ? "Edited" : "Edit"}</button>${full && html`<span class="failed small" role="alert">This browser's storage is full; export and clear marks.</span>`}</div>
    ${draft && html`<div class="stack draft"><label><span>Instruction</span><textarea rows="4" value=${draft.instruction} onInput=${event => setDraft({ ...draft, instruction: event.target.value })} /></label><label><span>Response</span><textarea rows="4" value=${draft.output} onInput=${event => setDraft({ ...draft, output: event.target.value })} /></label>
      <div class="acts"><button onClick=${() => setDraft(null)}>Leave it</button><button class="primary" onClick=${() => { set({ ...draft, mark: "kept", edited: true }); setDraft(null); }}>Keep as edited</button></div></div>`}`;
}

const line = ({ mark, at, ...rest }) => JSON.stringify({ ...rest, marked_at: new Date(at).toISOString() });
function download(items) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([items.map(line).join("\n") + "\n"], { type: "application/jsonl" }));
  link.download = "approved.jsonl";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
export function Approved() {
  const marks = Object.values(useMarks()), kept = marks.filter(item => item.mark === "kept"), rejected = marks.length - kept.length;
  const [sure, ask] = useState(false);
  if (!marks.length) return html`<span class="quiet small">Keep, reject, rate or edit results; what you keep can be exported. Marks stay in this browser.</span>`;
  return html`<div class="facts approved"><span>Your marks: ${count(kept.length)} approved, ${count(rejected)} rejected</span><button class="small" disabled=${!kept.length} onClick=${() => download(kept)}>Export ${count(kept.length)} as JSONL</button>
    ${sure ? html`<button class="small" onClick=${() => { save({}); ask(false); }}>Forget ${count(marks.length)} marks</button><button class="small" onClick=${() => ask(false)}>Leave them</button>` : html`<button class="small" onClick=${() => ask(true)}>Clear…</button>`}</div>`;
}
