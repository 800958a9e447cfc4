// The table of changes: before and after of every field, with the difference marked.
import { Exact } from "./api.js";
import { clean, h, icon, visible } from "./dom.js";
import { number, t } from "./i18n.js";
import { exact } from "./time.js";

const foldAt = 600; // characters of a value that are shown at once
const maxWords = 400; // words of a value that are compared one by one

/** changesOf gives the changes of a record: from the list, else from the table of the message. */
export function changesOf(record) {
  if (Array.isArray(record.changes) && record.changes.length) return record.changes;
  const message = record.change_message;
  if (message && typeof message === "object" && Array.isArray(message.rows)) {
    return message.rows.map((row) => ({ field: String(row.field), old: row.old_value, new: row.new_value }));
  }
  return [];
}

/** changeTable shows changes. A side that no change has is left out, unless both are asked for: there is no
 * "before" of an ADD. */
export function changeTable(changes, both = false) {
  const before = both || changes.some((c) => c.old !== undefined || (c.redacted && c.new === undefined));
  const after = both || changes.some((c) => c.new !== undefined || (c.redacted && c.old === undefined));
  const head = h("tr", null, h("th", { scope: "col" }, t("Field")),
    before && h("th", { scope: "col" }, after ? t("Before") : t("Value")), after && h("th", { scope: "col" }, before ? t("After") : t("Value")));
  const rows = changes.map((c) => {
    const [oldMarks, newMarks] = before && after ? difference(c) : [null, null];
    return h("tr", null,
      h("th", { scope: "row" }, h("span", { class: "label" }, visible(c.label || c.field)),
        c.label && c.label !== c.field && h("span", { class: "column" }, visible(c.field)),
        c.truncated && h("span", { class: "tag warn", title: t("The value was too long: its end is not recorded") }, t("cut"))),
      before && h("td", { class: "old", "data-side": after ? t("Before") : t("Value") }, value(c, "old", oldMarks)),
      after && h("td", { class: "new", "data-side": before ? t("After") : t("Value") }, value(c, "new", newMarks)));
  });
  return h("table", { class: "changes" + (before && after ? "" : " one") }, h("thead", null, head), h("tbody", null, rows));
}

const tag = (kind, text, title, drawing) => h("span", { class: "tag " + kind, title }, drawing && icon(drawing), text);

/** value shows one side of a change. What only looks alike is told apart: null, no value, no text. */
function value(change, side, marks) {
  const v = change[side];
  if (change.redacted) return tag("masked", t("masked"), t("The value is masked and cannot be seen here"), "lock");
  if (v === undefined) return tag("absent", t("no value"), t("There is no value on this side"));
  return marks ? fold(textOf(v), (text) => marked(text, marks, typeof v === "string" ? "text" : "json")) : plain(v, change.type);
}

/** plain shows a value without a comparison. */
export function plain(v, type) {
  if (v === null) return tag("null", "null", t("No value: NULL in the database"));
  if (v === "") return tag("empty", t("empty text"), t("A text without a letter"));
  if (typeof v === "string" && type === "time" && !Number.isNaN(Date.parse(v))) {
    return h("span", null, exact(v), h("span", { class: "column" }, visible(v)));
  }
  const text = textOf(v);
  const kind = typeof v === "string" ? (type === "decimal" || type === "bytes" ? "number" : "text") : v instanceof Exact || typeof v !== "object" ? "number" : "json";
  return fold(text, (t) => h("span", { class: kind }, visible(t, true)));
}

function textOf(v) {
  if (typeof v === "string") return v;
  if (v instanceof Exact || typeof v !== "object") return String(v);
  return JSON.stringify(v, null, 2);
}

/** fold shows the begin of a long text, and all of it on demand. */
function fold(text, show) {
  if (text.length <= foldAt) return show(text);
  const box = h("div", null, show(text.slice(0, foldAt)));
  const button = h("button", { type: "button", class: "ghost small" }, t("Show all {size} characters", { size: number(text.length) }));
  button.addEventListener("click", () => box.replaceChildren(show(text)));
  box.append("… ", button);
  return box;
}

/** difference gives for both sides which runs of characters differ; nothing if that says no more than
 * the two values do. */
function difference(change) {
  const { old: a, new: b } = change;
  const comparable = (v) => typeof v === "string" ? v !== "" && !["time", "decimal", "bytes", "float"].includes(change.type) : v !== null && typeof v === "object" && !(v instanceof Exact);
  if (change.redacted || !comparable(a) || !comparable(b)) return [null, null];
  const [x, y] = [words(textOf(a)), words(textOf(b))];
  let start = 0;
  while (start < x.length && start < y.length && x[start] === y[start]) start++;
  let end = 0;
  while (end < x.length - start && end < y.length - start && x[x.length - 1 - end] === y[y.length - 1 - end]) end++;
  const [keepX, keepY] = common(x.slice(start, x.length - end), y.slice(start, y.length - end));
  const marks = (list, keep) => {
    const runs = [];
    let at = 0;
    list.forEach((word, i) => {
      const inside = i >= start && i < list.length - end && !keep.has(i - start);
      const last = runs[runs.length - 1];
      if (inside && last && last[1] === at) last[1] += word.length;
      else if (inside) runs.push([at, at + word.length]);
      at += word.length;
    });
    return runs;
  };
  const left = marks(x, keepX);
  const right = marks(y, keepY);
  // Hardly anything is left: marking all the rest says nothing.
  const same = x.filter((word, i) => i < start || i >= x.length - end || keepX.has(i - start));
  const letters = (list) => list.join("").replace(/[^\p{L}\p{N}]/gu, "").length;
  return letters(same) < 0.2 * Math.max(letters(x), letters(y)) || letters(same) === 0 ? [null, null] : [left, right];
}

const words = (text) => text.slice(0, 20000).match(/[\p{L}\p{N}\p{M}]+|\s+|[^\p{L}\p{N}\p{M}\s]/gu) || [];

/** common gives the places of the longest common sequence in both lists. */
function common(x, y) {
  const [keepX, keepY] = [new Set(), new Set()];
  if (x.length > maxWords || y.length > maxWords) return [keepX, keepY];
  const width = y.length + 1;
  const length = new Uint16Array((x.length + 1) * width);
  for (let i = x.length - 1; i >= 0; i--) {
    for (let j = y.length - 1; j >= 0; j--) {
      length[i * width + j] = x[i] === y[j] ? length[(i + 1) * width + j + 1] + 1 : Math.max(length[(i + 1) * width + j], length[i * width + j + 1]);
    }
  }
  for (let i = 0, j = 0; i < x.length && j < y.length;) {
    if (x[i] === y[j]) {
      keepX.add(i++);
      keepY.add(j++);
    } else if (length[(i + 1) * width + j] >= length[i * width + j + 1]) i++;
    else j++;
  }
  return [keepX, keepY];
}

/** marked shows a text with runs of it marked. */
function marked(text, runs, kind) {
  const box = h("span", { class: kind });
  let at = 0;
  for (const [from, to] of runs) {
    if (from >= text.length) break;
    if (from > at) box.append(visible(text.slice(at, from), true));
    box.append(h("mark", null, visible(text.slice(from, to), true)));
    at = to;
  }
  if (at < text.length) box.append(visible(text.slice(at), true));
  return box;
}

/** summary says in words how much has changed. */
export function summary(changes) {
  return changes.map((c) => clean(c.label || c.field)).join(", ");
}
