// A new run: settings with completion, errors at their lines, and what the run would take beside the button.
import { api, Ask, Command, count, duration, go, html, plain, Trouble, useData, useEffect, useState } from "/static/base.js";
import { Editor } from "/static/editor.js";
import { Forecast } from "/static/workbench.js";

const STORE = "new-run";
const EXAMPLE = "id: my-run\n# what is not said here is as the service was started with\nseeds:\n  - instruction: Explain why the sky is blue.\nstrategy:\n  kind: evol_instruct\n  rounds: 2\n";

export function NewRun() {
  const [text, set] = useState(sessionStorage.getItem(STORE) || EXAMPLE), [error, setError] = useState(null), [plan, setPlan] = useState(null), [busy, setBusy] = useState(false), [ask, setAsk] = useState(null);
  const schema = useData("/v1/schema");
  const send = path => api(path, { method: "POST", headers: { "Content-Type": "application/yaml" }, body: text });
  const check = async live => {
    setBusy(true);
    let found;
    try { found = await send("/v1/plan?check=true"); } catch (error) { found = { valid: false, error }; }
    if (live()) { setPlan(found.valid ? found : null); setError(found.valid ? null : found.error); }
    if (live()) setBusy(false);
  };
  useEffect(() => {
    let live = true;
    sessionStorage.setItem(STORE, text);
    const timer = setTimeout(() => check(() => live), 700);
    return () => { live = false; clearTimeout(timer); };
  }, [text]);
  const id = (/^\s*"?id"?:\s*"?([\w.-]+)/m.exec(text) || [])[1] || "the run";
  const start = () => setAsk({ title: "Start " + id + "?", text: plan.rows ? count(plan.rows.to_do) + " rows" + (plan.forecast ? ", " + duration(plan.forecast.seconds) + " once machines are there." : ". " + plain(plan.why) + ".") : plain(plan.why) + ".", command: "evolve run " + id + ".yaml --output OUTPUT", word: "Start " + id, act: async () => { const made = await send("/v1/runs"); go("/runs/" + encodeURIComponent(made.id)); } });
  return html`<div class="head"><h1>New run</h1><span class="quiet" role="status">${busy ? "checking…" : error ? html`<span class="failed">! not valid</span>` : plan ? html`<span class="kept">✓ these settings are valid</span>` : ""}</span></div>
    <div class="grid"><div class="panel stack"><${Editor} label="Settings, as YAML or JSON" text=${text} onText=${set} schema=${schema.data} errors=${error && error.details} /></div>
    <div class="stack">${error && html`<${Trouble} error=${(error.details || []).length ? { message: count(error.details.length) + (error.details.length > 1 ? " settings are" : " setting is") + " wrong; their lines are marked." } : error} doing="These settings would not run." />`}
      ${plan && html`<div class="panel stack"><h2>What it would take</h2><${Forecast} plan=${plan} /></div>`}
      <div class="panel acts"><button onClick=${() => check(() => true)}>Check</button><button class="primary" disabled=${!plan || busy} onClick=${start}>Start run</button></div>
      <div class="panel stack"><h2>The same from a shell</h2><${Command} text="evolve validate CONFIG.yaml" /><${Command} text="evolve plan CONFIG.yaml" /><${Command} text="evolve run CONFIG.yaml --output OUTPUT" /><span class="small quiet">All settings: <a href="/v1/schema">JSON schema</a>.</span></div></div></div><${Ask} ask=${ask} close=${() => setAsk(null)} />`;
}
