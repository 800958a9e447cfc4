// The values that occur, with counts: a click narrows the list to one, or leaves it out.
import * as api from "./api.js";
import { cut, h, icon, visible } from "./dom.js";
import { number, t } from "./i18n.js";
import { matching, title, toggle } from "./state.js";
import { tone } from "./words.js";

const wanted = ["action", "object_type", "username", "changed_field", "ip_address", "tenant_id"];
const few = 6;
const many = 50;

/** facetPanel gives {element, load}. go(params) asks for another state. */
export function facetPanel(go) {
  let params = new URLSearchParams();
  let fields = wanted;
  const open = new Set(); // the fields of which many values are shown
  const body = h("div", { class: "facetlist" });
  const element = h("aside", { class: "facets", id: "facets", "aria-label": t("Values that occur") }, body);

  function row(field, { value, count }, most) {
    const is = (name) => params.getAll(name).some((v) => v.toLowerCase() === value.toLowerCase());
    const on = is(field);
    const off = is("not_" + field);
    const name = visible(cut(value, 60));
    const take = h("button", { type: "button", class: "facet" + (field === "action" ? " tone " + tone(value) : ""), "aria-pressed": String(on), "data-value": value, title: value },
      h("span", { class: "meter", "aria-hidden": "true" }), h("span", { class: "name" }, name), h("span", { class: "count" }, number(count)));
    take.querySelector(".meter").style.setProperty("--part", String(most > 0 ? count / most : 0));
    take.addEventListener("click", () => choose(field, value, ".facet"));
    const leave = h("button", { type: "button", class: "exclude ghost", "aria-pressed": String(off), title: t("Leave out"), "aria-label": t("Leave out {value}", { value: cut(value, 60) }), "data-value": value }, icon("exclude"));
    leave.addEventListener("click", () => choose("not_" + field, value, ".exclude"));
    return h("li", { class: off ? "off" : null }, take, leave);
  }

  function choose(name, value, kind) {
    go(toggle(params, name, value));
    // The list is made anew: the focus stays at the value.
    focus = { field: name.replace(/^not_/, ""), value, kind };
  }
  let focus = null;

  function group(field, facet) {
    const missing = params.getAll(field).concat(params.getAll("not_" + field)).filter((v) => !facet.values.some((f) => f.value.toLowerCase() === v.toLowerCase()));
    const values = [...facet.values, ...missing.map((value) => ({ value, count: 0 }))];
    if (values.length === 0) return null;
    const most = Math.max(...values.map((v) => v.count));
    const more = facet.other_count > 0 || open.has(field);
    const button = more && h("button", { type: "button", class: "ghost small", "aria-expanded": String(open.has(field)) }, open.has(field) ? t("Show fewer") : t("Show more"));
    if (button) {
      button.addEventListener("click", () => {
        if (!open.delete(field)) open.add(field);
        load(params, true);
      });
    }
    return h("section", { "data-field": field }, h("h2", null, title(field), facet.exact === false && h("span", { class: "sub", title: t("Only the newest records were counted") }, "≈")),
      h("ul", null, values.map((v) => row(field, v, most))), button);
  }

  async function ask(names, size, signal) {
    return names.length ? (await api.facets(matching(params, { fields: names.join(","), size }), signal)).facets : {};
  }

  let abort = null;
  async function load(next) {
    params = next;
    if (fields.length === 0) {
      element.hidden = true;
      return;
    }
    abort?.abort();
    abort = new AbortController();
    const { signal } = abort;
    element.setAttribute("aria-busy", "true");
    try {
      const [short, long] = await Promise.all([ask(fields.filter((f) => !open.has(f)), few, signal), ask(fields.filter((f) => open.has(f)), many, signal)]);
      if (signal.aborted) return;
      const found = { ...short, ...long };
      const groups = fields.map((f) => found[f] && group(f, found[f])).filter(Boolean);
      body.replaceChildren(...groups);
      element.hidden = groups.length === 0;
      if (focus) {
        body.querySelector(`[data-field="${focus.field}"] ${focus.kind}[data-value="${CSS.escape(focus.value)}"]`)?.focus({ preventScroll: true });
        focus = null;
      }
    } catch (problem) {
      if (problem.name === "AbortError") return;
      // A reader who may not count, or a store that cannot, still has the list, which says what is wrong.
      element.hidden = [400, 401, 403, 501].includes(problem.status);
      const again = h("button", { type: "button", class: "small" }, icon("refresh"), t("Try again"));
      again.addEventListener("click", () => load(params));
      body.replaceChildren(h("p", { class: "sub" }, t("The values cannot be counted now.")), again);
    } finally {
      if (!signal.aborted) element.removeAttribute("aria-busy");
    }
  }

  return {
    element,
    load,
    /** can says which fields the reader may see. */
    can(names) {
      fields = wanted.filter((f) => names.includes(f));
    },
  };
}
