// The page of one object: what it is, what it was at two times, and all that happened to it.
import * as api from "./api.js";
import { changesOf, changeTable, summary } from "./changes.js";
import { cut, h, icon, visible } from "./dom.js";
import { t } from "./i18n.js";
import { nested } from "./nested.js";
import { address, change, only, query } from "./state.js";
import { ago, exact } from "./time.js";
import { tone, who } from "./words.js";

/** load gives the object's history and the one or two states that the address asks for. */
export async function load(params, signal) {
  const at = [params.get("object_type") || "", params.get("object_id") || ""];
  const q = query(params);
  for (const name of ["object_type", "object_id", "from_offset"]) q.delete(name);
  const states = ["a", "b"].map((side) => (side === "a" && !params.has("a") ? null : api.state(...at, params.get(side), signal)));
  const [page, a, b] = await Promise.all([api.history(...at, q, signal), ...states.map((s) => s && s.catch(orProblem))]);
  return { page, a, b };
}

// What cannot be rebuilt, such as a state before the first record, is said in its place.
function orProblem(problem) {
  if (problem.name === "AbortError" || problem.status === 401) throw problem;
  return { problem };
}

/** view shows it. go(params, replace) asks for another state. */
export function view({ page, a, b }, params, go) {
  const [type, id] = [params.get("object_type") || "", params.get("object_id") || ""];
  const repr = b?.object_repr || page.results.find((r) => r.object_repr && !r.source_model)?.object_repr || id;
  return [
    h("header", { class: "pagehead" }, h("p", { class: "sub" }, visible(type), " · ", visible(cut(id, 80))), h("h1", { tabindex: "-1", id: "page-title" }, visible(cut(repr))),
      b && !b.problem && h("span", { class: "tag " + (b.exists ? "there" : "warn") }, b.exists ? t("exists") : t("deleted")),
      h("nav", { class: "related", "aria-label": t("Related records") }, h("a", { class: "button small", href: address(only({ object_type: type, object_id: id })), "data-nav": true }, t("Show in the list")))),
    h("section", { class: "compare", "aria-label": t("State") }, h("h2", null, a ? t("Two states compared") : t("State")), a ? compared(a, b, params) : single(b)),
    h("section", { class: "timeline", "aria-label": t("History") }, h("h2", null, t("History"), page.total !== undefined && h("span", { class: "badge" }, (page.total_relation === "gte" ? ">" : "") + page.total)),
      h("p", { class: "sub" }, t("Choose the state after one record (A) and after another (B) to compare them.")), timeline(page.results, params, go), pager(page, params)),
  ];
}

const failed = (state) => state?.problem && h("p", { class: "notice warn" }, icon("alert"), h("span", null, visible(state.problem.message), " ", visible(state.problem.detail)));

/** marks says why a state may not be what the object was. */
function marks(state) {
  if (!state || state.problem || state.complete) return null;
  const reasons = [...new Set(state.incomplete.map((m) => (m.field ? m.field + ": " : "") + m.detail))];
  return h("details", { class: "notice warn marks" }, h("summary", null, icon("alert"), t("The trail is not complete for this state")), h("ul", null, reasons.slice(0, 20).map((r) => h("li", null, visible(r)))));
}

const asChanges = (fields) => fields.map((f) => ({ field: f.field, label: f.label, type: f.type, new: f.value, redacted: f.redacted, truncated: f.truncated }));

function single(state) {
  if (!state) return null;
  if (state.problem) return failed(state);
  const dependents = state.dependents.map((d) => h("details", { class: "dependent" }, h("summary", null, visible(d.object_type), " ", h("b", null, visible(cut(d.object_repr || d.object_id))),
    !d.exists && h("span", { class: "tag warn" }, t("deleted"))), changeTable(asChanges(d.fields))));
  return [h("p", { class: "sub" }, t("As of {time}", { time: exact(state.at) })), marks(state), state.fields.length > 0 ? changeTable(asChanges(state.fields)) : h("p", null, t("No values are recorded.")), dependents];
}

/** pairs joins the fields of two states to changes. */
function pairs(a, b) {
  const byName = new Map();
  for (const [side, state] of [["old", a], ["new", b]]) {
    for (const f of state?.fields || []) {
      const c = byName.get(f.field) || { field: f.field };
      Object.assign(c, { label: f.label || c.label, type: f.type || c.type, [side]: f.value });
      if (f.redacted) c.redacted = true;
      if (f.truncated) c.truncated = true;
      byName.set(f.field, c);
    }
  }
  return [...byName.values()];
}

const same = (c) => c.old !== undefined && c.new !== undefined && JSON.stringify(c.old) === JSON.stringify(c.new);

function difference(a, b) {
  const all = pairs(a, b);
  const [equal, other] = [all.filter(same), all.filter((c) => !same(c))];
  return [
    other.length > 0 ? changeTable(other, true) : h("p", { class: "equal" }, t("The two states are the same.")),
    equal.length > 0 && h("details", { class: "unchanged" }, h("summary", null, t("{n} value is the same|{n} values are the same", { n: equal.length })), changeTable(equal, true)),
  ];
}

function compared(a, b, params) {
  const swap = h("a", { class: "button small", href: address(change(params, { a: b?.at || null, b: a?.at || null }, true)), "data-nav": true }, t("Swap"));
  const end = h("a", { class: "button small ghost", href: address(change(params, { a: null, b: null }, true)), "data-nav": true }, icon("close"), t("End comparison"));
  const side = (name, state) => h("p", null, h("b", { class: "letter" }, name), " ", state?.problem ? failed(state) : [exact(state.at), !state.exists && h("span", { class: "tag warn" }, t("deleted")), marks(state)]);
  const parts = [h("div", { class: "sides" }, side("A", a), side("B", b)), h("div", { class: "tools" }, swap, end)];
  if (a?.problem || b?.problem) return parts;
  const key = (d) => d.object_type + "\u0000" + d.object_id;
  const dependents = new Map();
  for (const d of a.dependents) dependents.set(key(d), [d, undefined]);
  for (const d of b.dependents) dependents.set(key(d), [dependents.get(key(d))?.[0], d]);
  const under = [...dependents.values()].filter(([x, y]) => pairs(x, y).some((c) => !same(c)) || x?.exists !== y?.exists).map(([x, y]) =>
    h("section", { class: "dependent" }, h("h3", null, visible((y || x).object_type), " ", visible(cut((y || x).object_repr || (y || x).object_id)),
      !x && h("span", { class: "tag" }, t("only in B")), !y && h("span", { class: "tag" }, t("only in A")), y && !y.exists && h("span", { class: "tag warn" }, t("deleted"))), difference(x, y)));
  return [...parts, difference(a, b), under];
}

function timeline(records, params, go) {
  if (records.length === 0) return h("p", { class: "state" }, t("Nothing is recorded about this object."));
  return h("ol", { class: "events" }, nested(records).map(({ parent, parts }) =>
    h("li", null, parent && event(parent, params, go), parts.length > 0 && h("ul", { class: "parts" + (parent ? " under" : "") }, parts.map((r) => h("li", null, event(r, params, go)))))));
}

function event(record, params, go) {
  const changes = changesOf(record);
  const pick = (side) => {
    const name = side.toUpperCase();
    const radio = h("input", { type: "radio", name: "state-" + side, value: record.log_id, checked: params.get(side) === record.timestamp,
      "aria-label": side === "a" ? t("Compare from the state after {time}", { time: exact(record.timestamp) }) : t("Compare with the state after {time}", { time: exact(record.timestamp) }) });
    radio.addEventListener("change", () => go(change(params, { [side]: record.timestamp }, true), true));
    return h("label", { class: "pick" }, radio, h("span", { "aria-hidden": "true" }, name));
  };
  return h("article", { class: "event", "data-id": record.log_id },
    h("div", { class: "eventhead" }, pick("a"), pick("b"), h("span", { class: "action " + tone(record.action) }, visible(cut(record.action, 24))),
      h("a", { href: address(change(params, { record: record.log_id }, true)), "data-nav": true, class: "open" },
        record.source_model ? [visible(record.source_model), " ", h("b", null, visible(cut(record.source_repr || record.source_pk || "", 80)))] : visible(cut(summary(changes) || String(typeof record.change_message === "string" ? record.change_message : record.action), 120))),
      h("span", { class: "grow" }), h("span", { class: "sub" }, visible(cut(who(record), 60))),
      h("time", { datetime: record.timestamp, title: exact(record.timestamp) }, exact(record.timestamp, true)), h("span", { class: "sub" }, ago(new Date(record.timestamp)))),
    changes.length > 0 && h("details", null, h("summary", null, t("{n} change|{n} changes", { n: changes.length })), changeTable(changes)));
}

/** pager leads to the pages before and after. */
export function pager(page, params) {
  if (!page.prev_cursor && !page.next_cursor) return null;
  const to = (cursor, name, rel) => cursor && h("a", { class: "button", href: address(change(params, { cursor, record: null })), "data-nav": true, rel }, name);
  return h("nav", { class: "pager", "aria-label": t("Pages") }, to(page.prev_cursor, t("Newer"), "prev"), to(page.next_cursor, t("Older"), "next"));
}
