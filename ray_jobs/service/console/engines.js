// What is loaded where, and who waits.
import { count, html, Loading, Stale, State, Trouble, useData } from "/static/base.js";

export function Engines() {
  const { data, error, at } = useData("/v1/engines", 2);
  if (!data) return error ? html`<${Trouble} error=${error} doing="The engines cannot be seen." />` : html`<${Loading} what="the engines" />`;
  return html`<div class="head"><h1>Engines</h1></div>${error && html`<${Stale} since=${at} error=${error} />`}<div class="panel scroll">${data.engines.length === 0 ? html`<div class="note">No engine is served here. <span class="mono">evolve serve CONFIG</span> serves those of a configuration.</div>` : html`<table><thead><tr><th>engine</th><th>state</th><th>role</th><th>model</th><th class="right">replicas</th><th class="right">requests under way</th><th class="right">tokens/s</th></tr></thead><tbody>${data.engines.map(item => html`<tr key=${item.name}><td>${item.name}</td><td><${State} of=${item.state} />${item.why && html`<div class="small quiet">${item.why}</div>`}</td><td>${item.role}</td><td class="mono">${item.model}</td><td class="right">${count(item.replicas)}</td><td class="right">${count(item.ongoing)}</td><td class="right">${count(item.tokens_per_second)}</td></tr>`)}</tbody></table>`}</div>`;
}
