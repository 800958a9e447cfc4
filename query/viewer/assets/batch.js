// The page of one batch: how far it is, what went wrong, and its records.
import * as api from "./api.js";
import { h, icon, visible } from "./dom.js";
import { number, t } from "./i18n.js";
import { recordTable } from "./list.js";
import { pager } from "./object.js";
import { address, only, query } from "./state.js";
import { ago, duration, exact } from "./time.js";
import { tone } from "./words.js";

const shownErrors = 20;

export function load(params, signal) {
  const q = query(params);
  for (const name of ["batch_id", "from_offset"]) q.delete(name);
  return api.batch(params.get("batch_id") || "", q, signal);
}

/** running says whether the batch may still go on: then the page asks again. */
export const running = (batch) => !batch.summary && Date.now() - new Date(batch.last).getTime() < 10 * 60 * 1000;

/** view shows it. */
export function view(batch, params, go) {
  const id = batch.batch_id;
  return [
    h("header", { class: "pagehead" }, h("p", { class: "sub" }, t("Batch"), " · ", visible(id)),
      h("h1", { tabindex: "-1", id: "page-title" }, batch.batch_action ? h("span", { class: "action " + tone(batch.batch_action) }, visible(batch.batch_action)) : null, " ", t("Batch")),
      h("nav", { class: "related", "aria-label": t("Related records") }, h("a", { class: "button small", href: address(only({ batch_id: id })), "data-nav": true }, t("Show in the list")))),
    progress(batch),
    errors(batch),
    h("section", { "aria-label": t("Records") }, h("h2", null, t("Records"), batch.total !== undefined && h("span", { class: "badge" }, (batch.total_relation === "gte" ? ">" : "") + number(batch.total))),
      recordTable(batch.results, params, go), pager(batch, params)),
  ];
}

function progress(batch) {
  const [done, wrong] = [batch.total_processed, batch.error_count];
  const known = done !== null && wrong !== null;
  const good = known ? Math.max(0, done - wrong) : 0;
  const text = !batch.summary
    ? running(batch) ? t("Under way: {n} record so far|Under way: {n} records so far", { n: batch.total ?? 0 }) : t("Ended without a summary: {n} record|Ended without a summary: {n} records", { n: batch.total ?? 0 })
    : known ? t("{n} processed, {good} without an error, {wrong} with one", { n: done, good: number(good), wrong: number(wrong) }) : t("Ended");
  const bar = h("div", { class: "parts-bar" + (batch.summary ? "" : running(batch) ? " busy" : " unknown"), role: "progressbar", "aria-label": t("Progress"), "aria-valuetext": text, "aria-valuemin": "0", "aria-valuemax": "100",
    ...(batch.summary ? { "aria-valuenow": "100" } : {}) });
  if (known && done > 0) {
    for (const [kind, n] of [["good", good], ["wrong", wrong]]) {
      const part = h("span", { class: kind });
      part.style.setProperty("flex-grow", String(n));
      bar.append(part);
    }
  }
  const row = (name, ...value) => h("div", null, h("dt", null, name), h("dd", null, value));
  return h("section", { class: "progress-box", "aria-label": t("Progress") }, h("p", { class: "progress-text" }, text), bar,
    h("dl", { class: "facts" }, row(t("First record"), exact(batch.first), " · ", ago(new Date(batch.first))), row(t("Last record"), exact(batch.last), " · ", ago(new Date(batch.last))),
      row(t("Duration"), duration(new Date(batch.last) - new Date(batch.first)))));
}

function errors(batch) {
  if (batch.errors.length === 0) return null;
  const item = (text) => h("li", null, visible(text));
  const list = h("ol", { class: "errors" }, batch.errors.slice(0, shownErrors).map(item));
  const rest = batch.errors.length - shownErrors;
  const more = rest > 0 && h("button", { type: "button", class: "ghost small" }, t("Show {n} more|Show {n} more", { n: rest }));
  if (more) {
    more.addEventListener("click", () => {
      list.append(...batch.errors.slice(shownErrors).map(item));
      more.remove();
    });
  }
  return h("section", { "aria-label": t("Errors") }, h("h2", null, icon("alert"), t("Errors"), h("span", { class: "badge" }, number(batch.error_count ?? batch.errors.length))),
    (batch.error_count ?? 0) > batch.errors.length && h("p", { class: "sub" }, t("The first {n} of them are recorded.", { n: batch.errors.length })), list, more);
}
