// What programs can ask: the routes of /openapi.json with their fields, and a command line for each.
import { Command, html, Loading, plain, Stale, Trouble, useData, useState } from "/static/base.js";

const follow = (doc, node) => node?.$ref ? node.$ref.slice(2).split("/").reduce((at, name) => at[name], doc) : node || {};
const LIMITS = { minimum: "from ", exclusiveMinimum: "above ", maximum: "up to ", minLength: "length from ", maxLength: "length up to ", minItems: "items from ", maxItems: "items up to " };
// a field's kind in words, and the groups that it may hold
function kindOf(doc, node) {
  if (node.$ref) return follow(doc, node).title;
  if (node.anyOf) return [...new Set(node.anyOf.map(item => kindOf(doc, item)).filter(word => word !== "null"))].join(" or ");
  if (node.const !== undefined) return JSON.stringify(node.const);
  if (node.enum) return node.enum.map(value => JSON.stringify(value)).join(", ");
  if (node.type === "array") return "list of " + (node.items ? kindOf(doc, node.items) : "anything");
  const limits = Object.entries(LIMITS).filter(([name]) => node[name] !== undefined).map(([name, word]) => word + node[name]).join(", ");
  return ({ object: "group", boolean: "true or false", string: "text" }[node.type] || node.type || "anything") + (limits ? ", " + limits : "");
}
function groupsIn(doc, node, found = new Map()) {
  if (!node || typeof node !== "object") return found;
  if (node.$ref) { const group = follow(doc, node); if (group.properties && !found.has(group.title)) { found.set(group.title, group); Object.values(group.properties).forEach(item => groupsIn(doc, item, found)); } }
  [...(node.anyOf || []), node.items].forEach(item => groupsIn(doc, item, found));
  return found;
}

export function Api() {
  const { data, error, at } = useData("/openapi.json");
  if (!data) return error ? html`<${Trouble} error=${error} doing="The routes cannot be listed." />` : html`<${Loading} what="the routes" />`;
  const groups = new Map();
  for (const [path, routes] of Object.entries(data.paths)) for (const [method, route] of Object.entries(routes)) {
    const name = route.tags[0];
    groups.set(name, [...(groups.get(name) || []), { path, method: method.toUpperCase(), route }]);
  }
  return html`<div class="head"><h1>API</h1><span class="quiet">${data.info.title} ${data.info.version}: all that the console does, and what is behind it, for programs</span><a class="button push" href="/openapi.json">openapi.json</a></div>
    ${error && html`<${Stale} since=${at} error=${error} />`}
    <div class="stack"><div class="panel stack"><p class="flat">${plain(data.info.description)}</p><${Command} text=${curl("GET", "/v1/models", data)} /><span class="small quiet">The token is the one you logged in with, or another of <span class="mono">evolve tokens add NAME</span>.</span></div>
    ${[...groups].map(([name, routes]) => html`<section class="panel" key=${name}><h2>${name}</h2>${routes.map(item => html`<${Route} key=${item.method + item.path} doc=${data} ...${item} />`)}</section>`)}</div>`;
}
function curl(method, path, doc, example) {
  const open = doc.paths[path]?.[method.toLowerCase()]?.security?.length === 0, quoted = text => "'" + text.replaceAll("'", "'\\''") + "'";
  return "curl -s" + (method === "GET" ? "" : " -X " + method) + (open ? "" : ' -H "Authorization: Bearer $TOKEN"') + (example ? " -H 'Content-Type: application/json' -d " + quoted(JSON.stringify(example)) : "") + " " + quoted(location.origin + path.replaceAll(/\{(\w+)\}/g, (_, name) => name.toUpperCase()));
}
function Route({ doc, path, method, route }) {
  const [open, set] = useState(false), content = route.requestBody?.content || {}, body = content["application/json"], parameters = route.parameters || [];
  return html`<details class="reason" onToggle=${event => set(event.target.open)}><summary><span class="route"><b>${method}</b><span class="mono">${path}</span><span class="quiet">${plain(route.description.split("\n\n")[0])}</span></span></summary>
    ${open && html`<div class="example stack">${route.description.split("\n\n").slice(1).map(text => html`<p class="flat">${plain(text)}</p>`)}
      ${parameters.length > 0 && html`<${Fields} doc=${doc} title="Path, query and headers" items=${parameters.map(item => ({ name: item.name, where: item.in, needed: item.required, node: item.schema }))} />`}
      ${body?.schema && [...groupsIn(doc, body.schema)].map(([name, group]) => html`<${Fields} key=${name} doc=${doc} title=${name} about=${group.description} items=${Object.entries(group.properties).map(([name, node]) => ({ name, needed: (group.required || []).includes(name), node }))} />`)}
      ${Object.keys(content).length > 1 && html`<p class="flat small quiet">The body as ${Object.keys(content).join(" or ")}.</p>`}<${Command} text=${curl(method, path, doc, body?.example)} /></div>`}</details>`;
}
const Fields = ({ doc, title, about, items }) => html`<div class="scroll"><b>${title}</b>${about && html`<p class="flat small quiet">${plain(about)}</p>`}<table><thead><tr><th>name</th><th>what it may be</th><th>by default</th></tr></thead><tbody>${items.map(({ name, where, needed, node }) => html`<tr key=${name}><td class="mono">${name}${where && where !== "query" ? html` <span class="quiet">${where}</span>` : ""}</td><td>${kindOf(doc, node)}</td><td class="quiet">${needed ? "needed" : node.default == null ? "–" : JSON.stringify(node.default)}</td></tr>`)}</tbody></table></div>`;
