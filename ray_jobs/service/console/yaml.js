// What the editor needs to know of YAML and of the JSON schema: where a line stands, and what may stand there.

const indent = line => line.length - line.trimStart().length;
const KEY = /^(\s*(?:-\s+)*)("[^"]*"|'[^']*'|[^\s:#'"][^:#]*?)\s*:(?=\s|$)/;
const bare = key => key.replace(/^["']|["']$/g, "");

// the names above a line, then its own; items of lists by number
export function pathOf(lines, number) {
  const path = [];
  let limit = Infinity;
  for (let at = number; at >= 0; at--) {
    const line = lines[at];
    if (!line.trim() || line.trim().startsWith("#")) continue;
    const key = KEY.exec(line);
    const dash = /^(\s*)-\s+/.exec(line + " ");
    const column = key ? key[1].length : indent(line);
    if (column < limit) {
      if (key) path.unshift(bare(key[2]));
      limit = column;
    }
    if (dash && dash[1].length < limit) {
      path.unshift(itemNumber(lines, at, dash[1].length));
      limit = dash[1].length;
    }
    if (limit === 0 && !dash) break;
  }
  return path;
}

function itemNumber(lines, number, column) {
  let count = 0;
  for (let at = number - 1; at >= 0; at--) {
    if (!lines[at].trim()) continue;
    if (indent(lines[at]) < column || (indent(lines[at]) === column && !lines[at].trim().startsWith("-"))) break;
    if (indent(lines[at]) === column) count++;
  }
  return String(count);
}

// the line on which a field stands, or that of the nearest group above it; 0 where there is none
export function lineOf(text, field) {
  const lines = text.split("\n"), named = /^line:(\d+)$/.exec(field);
  if (named) return Math.min(+named[1], lines.length) - 1;
  let best = 0, length = -1;
  lines.forEach((line, number) => {
    if (!line.trim() || line.trim().startsWith("#")) return;
    const path = pathOf(lines, number).join(".");
    if (path.length > length && (path === field || field.startsWith(path + "."))) [best, length] = [number, path.length];
  });
  return best;
}

function valueAt(lines, path) {
  const wanted = path.join(".");
  const number = lines.findIndex((line, at) => line.trim() && pathOf(lines, at).join(".") === wanted);
  return number < 0 ? null : bare(lines[number].slice(KEY.exec(lines[number])?.[0].length || 0).replace(/#.*/, "").trim());
}

// all groups that may stand at a node of the schema, references followed
function choices(root, node, depth = 0) {
  if (!node || depth > 8) return [];
  if (node.$ref) return choices(root, node.$ref.slice(2).split("/").reduce((at, name) => at[name], root), depth + 1);
  if (node.anyOf || node.oneOf) return (node.anyOf || node.oneOf).flatMap(item => choices(root, item, depth + 1));
  if (node.allOf) {
    const parts = node.allOf.flatMap(item => choices(root, item, depth + 1));
    return parts.length ? [Object.assign({}, parts[0], { kinds: parts.flatMap(kindsOf) })] : [];
  }
  return [node];
}
const kindsOf = node => node.kinds || (node.properties?.kind?.const ? [node.properties.kind.const] : []);

// the groups at a path, those of other kinds left out where the text says which kind it is
function groupsAt(root, lines, path) {
  let nodes = choices(root, root);
  path.forEach((name, depth) => {
    const kind = valueAt(lines, [...path.slice(0, depth + 1), "kind"]);
    nodes = nodes.flatMap(node => choices(root, /^\d+$/.test(name) && node.items ? node.items
      : node.properties?.[name] || (typeof node.additionalProperties === "object" ? node.additionalProperties : Object.values(node.patternProperties || {})[0])));
    const same = kind ? nodes.filter(node => kindsOf(node).includes(kind)) : [];
    if (same.length) nodes = same;
  });
  return nodes;
}

const WORDS = { object: "group", string: "text", array: "list", null: "nothing" };
function told(root, group, name) {
  const node = group.properties[name];
  const kinds = [...new Set(choices(root, node).map(item => WORDS[item.type] || item.type || (item.const ? "text" : "group")))];
  const words = [kinds.join(" or ")];
  if (node.default !== undefined && (node.default === null || typeof node.default !== "object")) words.push("by default " + node.default);
  if ((group.required || []).includes(name)) words.push("needed");
  // a group's description names its fields in backticks
  const about = (group.description || "").replace(/\s+/g, " ").split(/(?<=\.)\s+(?=[A-Z`])/).filter(part => part.includes("`" + name + "`"));
  return words.join(", ") + (about.length ? ". " + about.join(" ").replace(/`/g, "") : "");
}

// what may stand at the caret: [{ text, insert, detail }], and how many characters before it are replaced
export function completions(root, text, caret) {
  const before = text.slice(0, caret), lines = text.split("\n"), number = before.split("\n").length - 1;
  const line = before.slice(before.lastIndexOf("\n") + 1);
  const value = /^(\s*(?:-\s+)*)([\w.-]+):\s+(\S*)$/.exec(line);
  const name = /^(\s*(?:-\s+)*)([\w.-]*)$/.exec(line);
  if (value) {
    const nodes = groupsAt(root, lines, pathOf([...lines.slice(0, number), value[1] + value[2] + ": x"], number));
    const values = nodes.flatMap(node => node.const !== undefined ? [node.const] : node.enum || (node.type === "boolean" ? [true, false] : []));
    return { typed: value[3], items: matching([...new Set(values)].map(item => ({ text: String(item), insert: String(item), detail: "" })), value[3]) };
  }
  if (!name) return { typed: "", items: [] };
  // the caret's own line as if a name stood there
  const probe = [...lines.slice(0, number), name[1] + "x:"], path = pathOf(probe, number).slice(0, -1);
  const groups = groupsAt(root, lines, path).filter(node => node.properties);
  const there = new Set(lines.map((_, at) => at).filter(at => at !== number && lines[at].trim()).map(at => pathOf(lines, at)).filter(own => own.length === path.length + 1 && path.every((part, at) => own[at] === part)).map(own => own[path.length]));
  const found = new Map();
  for (const group of groups) for (const field of Object.keys(group.properties)) if (!there.has(field) && !found.has(field)) {
    const nested = choices(root, group.properties[field]).some(node => node.properties);
    found.set(field, { text: field, insert: field + ":" + (nested ? "" : " "), detail: told(root, group, field) });
  }
  return { typed: name[2], items: matching([...found.values()], name[2]) };
}
const matching = (items, typed) => items.filter(item => item.text.startsWith(typed) && item.text !== typed).slice(0, 40);
