// What is loaded where, who waits, and who asks.
import { count, html, Loading, Stale, State, Trouble, useData } from "/static/base.js";

export function Engines() {
  const { data, error, at } = useData("/v1/engines", 2);
  if (!data) return error ? html`<${Trouble} error=${error} doing="The engines cannot be seen." />` : html`<${Loading} what="the engines" />`;
  return html`<div class="head"><h1>Engines</h1><span class="quiet">What is loaded, and what it is doing now</span></div>${error && html`<${Stale} since=${at} error=${error} />`}
    <div class="stack"><div class="panel scroll">${data.engines.length === 0 ? html`<div class="note">No engine is served here. <span class="mono">evolve serve CONFIG</span> serves those of a configuration.</div>` : html`<${Loaded} engines=${data.engines} />`}</div><${Askers} /></div>`;
}
const Loaded = ({ engines }) => html`<table><thead><tr><th>engine</th><th>state</th><th class="right">replicas</th><th class="right wrap">requests under way</th><th class="right wrap">tokens/s of late</th></tr></thead><tbody>${engines.map(item => html`<tr key=${item.name}><td>${item.name} <span class="quiet">${item.role}</span><div class="small quiet mono">${item.model}</div></td><td><${State} of=${item.state} />${item.why && html`<div class="small quiet">${item.why}</div>`}</td><td class="right">${count(item.replicas)}</td><td class="right">${count(item.ongoing)}</td><td class="right">${count(item.tokens_per_second)}</td></tr>`)}</tbody></table>`;

function Askers() {
  const { data } = useData("/v1/usage", 2);
  if (!data) return null;
  const names = Object.entries(data.tokens), refused = Object.entries(data.refused);
  return html`<div class="panel scroll"><h2>Who asks</h2>${names.length === 0 ? html`<span class="quiet">Nobody has since the service was started.</span>` : html`<table><thead><tr><th>token</th><th class="right">requests since the start</th><th class="right">under way</th></tr></thead><tbody>${names.map(([name, item]) => html`<tr key=${name}><td>${name === "-" ? html`<span class="quiet">without a token: pages and their files</span>` : name}</td><td class="right">${count(item.requests)}</td><td class="right">${count(item.under_way)}</td></tr>`)}</tbody></table>`}
    ${refused.length > 0 && html`<p class="flat quiet small">Refused: ${refused.map(([cause, number]) => count(number) + " for " + cause.replace(/_/g, " ")).join(", ")}.</p>`}</div>`;
}
