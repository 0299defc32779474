// The prompts of a strategy: pick one, change it, see how it differs from the shipped one.
import { Diff, html, Loading, Trouble, useData, useState } from "/static/base.js";

const GROUPS = { evol_instruct: ["evol_instruct", "elimination", "respond"], auto_evol: ["auto_evol", "elimination", "respond"] };
const UNUSED = ["auto_evol/analyse", "auto_evol/optimise"];

export function Templates({ kind, own, live, change }) {
  const { data, error } = useData("/v1/templates"), [name, setName] = useState("");
  if (!data) return error ? html`<${Trouble} error=${error} doing="The prompts cannot be read." />` : html`<${Loading} what="the prompts" />`;
  const known = data.templates.filter(item => GROUPS[kind].includes(item.name.split("/")[0]) && !UNUSED.includes(item.name));
  const shipped = known.find(item => item.name === name), text = shipped && (own[name] ?? shipped.text), changed = known.filter(item => own[item.name] != null);
  const put = next => { const { [name]: _, ...rest } = own; change({ templates: next.trim() === shipped.text.trim() ? rest : { ...own, [name]: next } }); };
  const missing = shipped ? shipped.placeholders.filter(word => word !== "input" && !text.includes("{" + word + "}")) : [];
  return html`<div class="panel stack"><div class="head"><h2>Prompts</h2><select aria-label="Prompt to edit" value=${name} onChange=${event => setName(event.target.value)}><option value="">choose one to edit…</option>${known.map(item => html`<option value=${item.name} selected=${item.name === name}>${own[item.name] != null ? "● " : ""}${item.name}</option>`)}</select>
      <span class="quiet small">${changed.length ? "changed: " + changed.map(item => item.name).join(", ") : "all as shipped"}</span><span class="push"></span>${changed.length > 0 && html`<button class="small" onClick=${() => change({ templates: {} })}>All as shipped</button>`}</div>
    ${shipped && html`<div class="prompt"><label><span>${name}, with ${shipped.placeholders.map(word => "{" + word + "}").join(" and ") || "no placeholder"}</span><textarea class="code" rows="12" spellcheck=${false} value=${text} onInput=${event => put(event.target.value)} /></label>
      <div><span class="quiet small">${own[name] != null ? "What differs from the shipped one" : "As shipped"}</span><div class="shipped small"><${Diff} before=${shipped.text} after=${text} /></div></div></div>
      <div class="facts"><label class="check"><input type="checkbox" checked=${live} onChange=${() => change({ live: !live })} /><span>try again as I edit</span></label>${own[name] != null && html`<button class="small" onClick=${() => put(shipped.text)}>As shipped</button>`}${missing.length > 0 && html`<span class="failed" role="alert">! {${missing.join("}, {")}} is missing</span>`}</div>`}</div>`;
}
