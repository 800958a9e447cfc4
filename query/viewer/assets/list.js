// The list of records, its pages, and what stands in its place while there are none.
import { announce, cut, h, icon, visible } from "./dom.js";
import { address, change, cleared, defaultSize, filters, only, title, without } from "./state.js";
import { t } from "./i18n.js";
import { nested } from "./nested.js";
import { ago, clock, day, exact, key, offset, zone } from "./time.js";
import { object, records, tone, who } from "./words.js";

/** row shows one record; a dependent stands under the record of its parent. */
function row(record, params) {
  const date = new Date(record.timestamp);
  const name = who(record);
  const sub = [record.username, record.user_id].filter((v) => v && v !== name);
  const link = h("a", { href: address(change(params, { record: record.log_id }, true)), "data-nav": true, class: "open" }, visible(cut(object(record))));
  const part = record.source_model && h("span", { class: "sub part" }, "↳ ", visible(cut([record.source_model, record.source_repr || record.source_pk].filter(Boolean).join(" · "), 80)));
  return h("tr", { "data-id": record.log_id, class: record.under ? "under" : null },
    h("td", { class: "when" }, h("time", { datetime: record.timestamp, title: `${exact(record.timestamp)}\n${record.timestamp}` }, clock(date)), h("span", { class: "sub" }, ago(date))),
    h("td", { class: "who" }, h("span", { class: "main" }, visible(cut(name, 80))), sub.length > 0 && h("span", { class: "sub" }, visible(cut(sub.join(" · "), 80)))),
    h("td", { class: "what" }, h("span", { class: "action " + tone(record.action) }, visible(cut(record.action, 24)))),
    h("td", { class: "object" }, h("span", { class: "main" }, link), part || h("span", { class: "sub" }, visible(cut([record.object_type, record.object_id].filter(Boolean).join(" · "), 80)))),
    h("td", { class: "more" }, icon("right")));
}

function head(params, go) {
  const up = params.get("sort") === "timestamp";
  const sort = go && h("button", { type: "button", class: "sort", title: up ? t("Show the newest first") : t("Show the oldest first") }, t("Time"), icon(up ? "up" : "down"));
  sort?.addEventListener("click", () => go(change(params, { sort: up ? null : "timestamp" })));
  return h("thead", null, h("tr", null,
    h("th", { scope: "col", "aria-sort": up ? "ascending" : "descending" }, sort || t("Time")),
    h("th", { scope: "col" }, t("Who")), h("th", { scope: "col" }, t("Action")), h("th", { scope: "col" }, t("Object")), h("th", { scope: "col", class: "more" }, h("span", { class: "sr" }, t("Open")))));
}

/** inOrder gives the records with those of dependents behind the record of their parent. */
const inOrder = (found) => nested(found).flatMap(({ parent, parts }) => [...(parent ? [parent] : []), ...parts.map((r) => ({ ...r, under: Boolean(parent) }))]);

/** recordTable shows records under the days on which they were made. */
export function recordTable(found, params, go) {
  const parts = [];
  let last = "";
  for (const record of inOrder(found)) {
    const date = new Date(record.timestamp);
    if (key(date) !== last) {
      last = key(date);
      const [name, more] = day(date);
      parts.push(h("tbody", { class: "day" }, h("tr", null, h("th", { colspan: "5", scope: "rowgroup" }, name, more && h("span", null, more), h("span", { class: "offset" }, offset(date))))), h("tbody"));
    }
    parts[parts.length - 1].append(row(record, params));
  }
  return h("table", { class: "records" }, h("caption", { class: "sr" }, t("Records of the audit trail")), head(params, go), parts);
}

const mostLive = 300; // records that a live list keeps

/** list gives {element, show, arrived, busy, fail, select, ids}. go(params) asks for another state. */
export function list(go, retry) {
  let shown = null;
  const bar = h("div", { class: "progress", hidden: true });
  const summary = h("div", { class: "summary" });
  const body = h("div", { class: "body" });
  const element = h("main", { id: "results", tabindex: "-1", "aria-label": t("Records") }, h("h1", { class: "sr" }, t("Records")), bar, summary, body);

  function pager(page, params) {
    const to = (cursor, name, drawing, rel) => {
      const button = cursor
        ? h("a", { class: "button", href: address(change(params, { cursor, record: null })), "data-nav": true, rel }, name)
        : h("span", { class: "button off", "aria-disabled": "true" }, name);
      button[rel === "prev" ? "prepend" : "append"](icon(drawing));
      return button;
    };
    const up = params.get("sort") === "timestamp";
    const size = h("select", { "aria-label": t("Records on a page") }, ["20", "50", "100", "200"].map((n) =>
      h("option", { value: n, selected: n === (params.get("page_size") || defaultSize) }, t("{size} a page", { size: n }))));
    size.addEventListener("change", () => go(change(params, { page_size: size.value === defaultSize ? null : size.value })));
    const first = params.has("cursor") && h("a", { class: "button", href: address(change(params, {})), "data-nav": true }, up ? t("Oldest") : t("Newest"));
    return h("nav", { class: "pager", "aria-label": t("Pages") }, first,
      to(page.prev_cursor, up ? t("Older") : t("Newer"), "left", "prev"), to(page.next_cursor, up ? t("Newer") : t("Older"), "right", "next"), h("span", { class: "grow" }), size);
  }

  function total(page) {
    if (page.total === undefined) return "";
    return page.total_relation === "gte" ? t("More than {n} record|More than {n} records", { n: page.total }) : records(page.total);
  }

  /** nothing explains an empty list, and offers the ways out of it. */
  function nothing(page, params) {
    const narrow = filters(params);
    if (params.has("cursor")) {
      return h("div", { class: "state" }, icon("none"), h("h2", null, t("No more records")), h("a", { class: "button", href: address(change(params, {})), "data-nav": true }, t("Back to the first page")));
    }
    if (narrow.length === 0) {
      return h("div", { class: "state" }, icon("none"), h("h2", null, t("Nothing is recorded yet")), h("p", null, t("The first change of an audited object will appear here.")));
    }
    const { from, to } = page.window;
    const dates = narrow.some(([name]) => ["from_date", "to_date", "from", "to"].includes(name));
    const remove = narrow.map(([name, value]) => {
      const button = h("button", { type: "button", class: "pill", title: t("Remove this filter") }, h("span", null, title(name)), h("b", null, visible(cut(value, 60))), icon("close"));
      button.addEventListener("click", () => go(without(params, name, value)));
      return button;
    });
    return h("div", { class: "state" }, icon("none"), h("h2", null, t("No records match")),
      dates && h("p", null, t("Searched {from} to {to}.", { from: from ? exact(from) : t("from the beginning"), to: to ? exact(to) : t("now") })),
      h("p", null, remove.length > 1 ? t("All of these must hold. Remove one:") : t("Remove the filter:")), h("div", { class: "pills" }, remove));
  }

  return {
    element,
    ids: () => (shown ? shown.results.map((r) => r.log_id) : []),

    /** busy shows that an answer is awaited: what is there stays, but fades. */
    busy() {
      element.setAttribute("aria-busy", "true");
      bar.hidden = false;
      if (shown) return;
      summary.replaceChildren();
      body.replaceChildren(h("div", { class: "skeleton", "aria-label": t("Loading"), role: "img" }, Array.from({ length: 9 }, () => h("div", null, h("i"), h("i"), h("i"), h("i")))));
    },

    show(page, params) {
      shown = { ...page, results: inOrder(page.results) };
      element.removeAttribute("aria-busy");
      bar.hidden = true;
      const text = total(page);
      const clear = filters(params).length > 0 && h("a", { class: "button ghost small", href: address(cleared(params)), "data-nav": true }, icon("close"), t("Clear filters"));
      summary.replaceChildren(...[h("strong", null, text), h("span", null, t("times in {zone}", { zone })), h("span", { class: "grow" }), clear].filter(Boolean));
      if (page.results.length === 0) body.replaceChildren(nothing(page, params), params.has("cursor") ? pager(page, params) : "");
      else body.replaceChildren(recordTable(page.results, params, go), pager(page, params));
      announce(text || records(page.results.length));
    },

    /** arrived puts a record that has just arrived on top. */
    arrived(record, params) {
      if (!shown || shown.results.some((r) => r.log_id === record.log_id)) return;
      const results = [record, ...shown.results].slice(0, mostLive).sort((a, b) => (a.timestamp < b.timestamp ? 1 : -1));
      const total = shown.total === undefined ? undefined : shown.total + 1;
      const focused = document.activeElement?.closest?.("tr[data-id]")?.dataset.id;
      this.show({ ...shown, results, total }, params);
      const tr = body.querySelector(`tr[data-id="${CSS.escape(record.log_id)}"]`);
      tr?.classList.add("fresh");
      if (focused) body.querySelector(`tr[data-id="${CSS.escape(focused)}"] a.open`)?.focus({ preventScroll: true });
    },

    /** links brings the links of the rows up to date with the address. */
    select(id, params) {
      for (const tr of element.querySelectorAll("tr[data-id]")) {
        const on = tr.dataset.id === id;
        tr.classList.toggle("selected", on);
        const link = tr.querySelector("a.open");
        link.setAttribute("href", address(change(params, { record: tr.dataset.id }, true)));
        if (on) link.setAttribute("aria-current", "true");
        else link.removeAttribute("aria-current");
      }
    },

    fail(problem, params) {
      shown = null;
      element.removeAttribute("aria-busy");
      bar.hidden = true;
      summary.replaceChildren();
      const again = h("button", { type: "button" }, icon("refresh"), t("Try again"));
      again.addEventListener("click", retry);
      const restart = params.has("cursor") && h("a", { class: "button", href: address(change(params, { cursor: null })), "data-nav": true }, t("Go to the first page"));
      const wrong = problem.status === 400;
      body.replaceChildren(h("div", { class: "state error", role: "alert" }, icon("alert"), h("h2", null, problem.message),
        problem.errors.length === 0 && problem.detail && h("p", null, problem.detail),
        problem.errors.length > 0 && h("ul", null, problem.errors.map((e) => h("li", null, h("b", null, title(e.param)), " ", visible(e.detail), e.allowed && h("span", { class: "allowed" }, t("Allowed:"), " ", e.allowed)))),
        problem.requestId && h("p", { class: "sub" }, t("Request"), " ", visible(problem.requestId)),
        h("div", { class: "tools" }, restart, !wrong && again, wrong && !restart && h("a", { class: "button", href: address(only({})), "data-nav": true }, t("Clear filters")))));
    },
  };
}
