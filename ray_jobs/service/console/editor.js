// A field for settings: completion out of the JSON schema, and what is wrong at its line.
import { html, useEffect, useRef, useState } from "/static/base.js";
import { completions, lineOf } from "/static/yaml.js";

const LINE = 18, PADDING = 6;

export function Editor({ text, onText, schema, errors, label, rows = 24 }) {
  const box = useRef(null), gutter = useRef(null);
  const [offer, setOffer] = useState(null), [chosen, setChosen] = useState(0);
  const wrong = new Map((errors || []).map(item => [lineOf(text, item.field), item]));
  const lines = text.split("\n");
  const look = explicit => {
    const area = box.current;
    if (!schema || !area || area.selectionStart !== area.selectionEnd) return setOffer(null);
    const found = completions(schema, area.value, area.selectionStart);
    // an empty name is offered what there is only when asked
    setOffer(found.items.length && (explicit || found.typed || /:\s+$/.test(area.value.slice(0, area.selectionStart))) ? place(found, area) : null);
    setChosen(0);
  };
  const accept = item => {
    const area = box.current, start = area.selectionStart - offer.typed.length;
    area.setRangeText(item.insert, start, area.selectionStart, "end");
    onText(area.value); setOffer(null); area.focus();
    if (item.insert.endsWith(": ")) setTimeout(() => look(false), 0);
  };
  const press = event => {
    if (event.ctrlKey && event.key === " ") { event.preventDefault(); return look(true); }
    if (offer) {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (step) { event.preventDefault(); return setChosen((chosen + step + offer.items.length) % offer.items.length); }
      if (event.key === "Enter" || event.key === "Tab") { event.preventDefault(); return accept(offer.items[chosen]); }
      if (event.key === "Escape") { event.stopPropagation(); return setOffer(null); }
    } else if (event.key === "Enter") { event.preventDefault(); newLine(box.current, onText); }
  };
  const scroll = () => { if (gutter.current) gutter.current.scrollTop = box.current.scrollTop; if (offer) setOffer(place(offer, box.current)); };
  useEffect(() => { const item = document.getElementById("offer-" + chosen); if (offer && item) item.scrollIntoView({ block: "nearest" }); }, [chosen, offer]);
  const go = line => { const area = box.current, start = lines.slice(0, line).join("\n").length + (line ? 1 : 0); area.focus(); area.setSelectionRange(start, start + lines[line].length); };
  return html`<div class="editor">
    <div class="gutter" ref=${gutter} aria-hidden="true">${lines.map((_, at) => html`<div key=${at} class=${wrong.has(at) ? "failed" : ""}>${wrong.has(at) ? "! " : ""}${at + 1}</div>`)}</div>
    <textarea ref=${box} class="code" rows=${rows} wrap="off" spellcheck=${false} autocapitalize="off" aria-label=${label} value=${text} aria-multiline="true"
      aria-autocomplete="list" aria-controls=${offer ? "offer" : null} aria-activedescendant=${offer ? "offer-" + chosen : null} onInput=${event => { onText(event.target.value); look(false); }} onKeyDown=${press} onScroll=${scroll} onClick=${() => setOffer(null)} onBlur=${() => setTimeout(() => setOffer(null), 150)} />
    ${offer && html`<ul id="offer" class="offer" role="listbox" style=${{ top: offer.top + "px", left: offer.left + "px" }}>${offer.items.map((item, at) => html`<li id=${"offer-" + at} key=${item.text} role="option" aria-selected=${at === chosen} onMouseDown=${event => { event.preventDefault(); accept(item); }}><b>${item.text}</b><span class="quiet small">${item.detail}</span></li>`)}</ul>`}
    ${wrong.size > 0 && html`<ul class="wrong" role="alert">${[...wrong].map(([line, item]) => html`<li key=${line}><button class="link" onClick=${() => go(line)}>line ${line + 1}</button> <span class="mono">${item.field}</span>: ${item.allowed}${item.came != null ? html` <span class="quiet">(came: ${String(item.came)})</span>` : ""}</li>`)}</ul>`}
    <p class="quiet small">Names and values are offered while you type; Ctrl+Space shows what may stand here, arrows choose, Enter takes, Escape leaves.</p></div>`;
}

// where the list stands: below the caret, in a font of one width
function place(found, area) {
  const before = area.value.slice(0, area.selectionStart), column = before.length - before.lastIndexOf("\n") - 1, line = before.split("\n").length;
  const width = Math.min(420, 0.9 * area.parentElement.clientWidth);
  const top = area.offsetTop + PADDING + line * LINE - area.scrollTop, left = area.offsetLeft + 8 + (column - found.typed.length) * 7.2 - area.scrollLeft;
  return { ...found, top: Math.min(top, area.offsetTop + area.clientHeight), left: Math.max(0, Math.min(left, area.offsetLeft + area.offsetWidth - width)) };
}

// keeps the indentation; two more below a name that opens a group
function newLine(area, onText) {
  const line = area.value.slice(area.value.lastIndexOf("\n", area.selectionStart - 1) + 1, area.selectionStart);
  const deeper = /:\s*$/.test(line) ? "  " : "";
  area.setRangeText("\n" + /^\s*/.exec(line)[0] + deeper, area.selectionStart, area.selectionEnd, "end");
  onText(area.value);
}
