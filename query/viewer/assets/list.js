// The list of records, its pages, and what stands in its place while there are none.
import { announce, cut, h, icon, visible } from "./dom.js";
import { address, change, cleared, defaultSize, filters, title } from "./state.js";
import { ago, clock, day, exact, key, offset, zone } from "./time.js";
import { count, object, tone, who } from "./words.js";

/** list gives {element, show, busy, fail, select, ids}. go(params) asks for another state. */
export function list(go, retry) {
  let shown = null;
  const bar = h("div", { class: "progress", hidden: true });
  const summary = h("div", { class: "summary" });
  const body = h("div", { class: "body" });
  const element = h("main", { id: "results", tabindex: "-1", "aria-label": "Records" }, bar, summary, body);

  function head(params) {
    const up = params.get("sort") === "timestamp";
    const sort = h("button", { type: "button", class: "sort", title: up ? "Show the newest first" : "Show the oldest first" }, "Time", icon(up ? "up" : "down"));
    sort.addEventListener("click", () => go(change(params, { sort: up ? null : "timestamp" })));
    return h("thead", null, h("tr", null,
      h("th", { scope: "col", "aria-sort": up ? "ascending" : "descending" }, sort),
      h("th", { scope: "col" }, "Who"), h("th", { scope: "col" }, "Action"), h("th", { scope: "col" }, "Object"), h("th", { scope: "col", class: "more" }, h("span", { class: "sr" }, "Open"))));
  }

  function row(record, params) {
    const date = new Date(record.timestamp);
    const name = who(record);
    const sub = [record.username, record.user_id].filter((v) => v && v !== name);
    const what = object(record);
    const link = h("a", { href: address(change(params, { record: record.log_id }, true)), "data-nav": true, class: "open" }, visible(cut(what)));
    return h("tr", { "data-id": record.log_id },
      h("td", { class: "when" }, h("time", { datetime: record.timestamp, title: `${exact(record.timestamp)}\n${record.timestamp}` }, clock(date)), h("span", { class: "sub" }, ago(date))),
      h("td", { class: "who" }, h("span", { class: "main" }, visible(cut(name, 80))), sub.length > 0 && h("span", { class: "sub" }, visible(cut(sub.join(" · "), 80)))),
      h("td", { class: "what" }, h("span", { class: "action " + tone(record.action) }, visible(cut(record.action, 24)))),
      h("td", { class: "object" }, h("span", { class: "main" }, link), h("span", { class: "sub" }, visible(cut([record.object_type, record.object_id].filter(Boolean).join(" · "), 80)))),
      h("td", { class: "more" }, icon("right")));
  }

  function table(page, params) {
    const parts = [];
    let last = "";
    for (const record of page.results) {
      const date = new Date(record.timestamp);
      if (key(date) !== last) {
        last = key(date);
        const [name, more] = day(date);
        parts.push(h("tbody", { class: "day" }, h("tr", null, h("th", { colspan: "5", scope: "rowgroup" }, name, more && h("span", null, more), h("span", { class: "offset" }, offset(date))))), h("tbody"));
      }
      parts[parts.length - 1].append(row(record, params));
    }
    return h("table", { class: "records" }, h("caption", { class: "sr" }, "Records of the audit trail"), head(params), parts);
  }

  function pager(page, params) {
    const to = (cursor, name, drawing, rel) => {
      const button = cursor
        ? h("a", { class: "button", href: address(change(params, { cursor, record: null })), "data-nav": true, rel }, name)
        : h("span", { class: "button off", "aria-disabled": "true" }, name);
      button[rel === "prev" ? "prepend" : "append"](icon(drawing));
      return button;
    };
    const up = params.get("sort") === "timestamp";
    const size = h("select", { "aria-label": "Records on a page" }, ["20", "50", "100", "200"].map((n) =>
      h("option", { value: n, selected: n === (params.get("page_size") || defaultSize) }, n + " a page")));
    size.addEventListener("change", () => go(change(params, { page_size: size.value === defaultSize ? null : size.value })));
    const first = params.has("cursor") && h("a", { class: "button", href: address(change(params, {})), "data-nav": true }, up ? "Oldest" : "Newest");
    return h("nav", { class: "pager", "aria-label": "Pages" }, first,
      to(page.prev_cursor, up ? "Older" : "Newer", "left", "prev"), to(page.next_cursor, up ? "Newer" : "Older", "right", "next"), h("span", { class: "grow" }), size);
  }

  function total(page) {
    if (page.total === undefined) return "";
    return page.total_relation === "gte" ? `More than ${count(page.total, "record")}` : count(page.total, "record");
  }

  /** nothing explains an empty list, and offers the ways out of it. */
  function nothing(page, params) {
    const narrow = filters(params);
    if (params.has("cursor")) {
      return h("div", { class: "state" }, icon("none"), h("h2", null, "No more records"), h("a", { class: "button", href: address(change(params, {})), "data-nav": true }, "Back to the first page"));
    }
    if (narrow.length === 0) {
      return h("div", { class: "state" }, icon("none"), h("h2", null, "Nothing is recorded yet"), h("p", null, "The first change of an audited object will appear here."));
    }
    const { from, to } = page.window;
    const dates = narrow.some(([name]) => name === "from_date" || name === "to_date");
    const remove = narrow.map(([name, value]) => {
      const button = h("button", { type: "button", class: "pill", title: "Remove this filter" }, h("span", null, title(name)), h("b", null, visible(cut(value, 60))), icon("close"));
      button.addEventListener("click", () => go(change(params, { [name]: params.getAll(name).filter((v) => v !== value) })));
      return button;
    });
    return h("div", { class: "state" }, icon("none"), h("h2", null, "No records match"),
      dates && h("p", null, "Searched ", from ? exact(from) : "from the beginning", " to ", to ? exact(to) : "now", "."),
      h("p", null, remove.length > 1 ? "All of these must hold. Remove one:" : "Remove the filter:"), h("div", { class: "pills" }, remove));
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
      body.replaceChildren(h("div", { class: "skeleton", "aria-label": "Loading" }, Array.from({ length: 9 }, () => h("div", null, h("i"), h("i"), h("i"), h("i")))));
    },

    show(page, params) {
      shown = page;
      element.removeAttribute("aria-busy");
      bar.hidden = true;
      const text = total(page);
      const clear = filters(params).length > 0 && h("a", { class: "button ghost small", href: address(cleared(params)), "data-nav": true }, icon("close"), "Clear filters");
      summary.replaceChildren(...[h("strong", null, text), h("span", null, `times in ${zone}`), h("span", { class: "grow" }), clear].filter(Boolean));
      if (page.results.length === 0) body.replaceChildren(nothing(page, params), params.has("cursor") ? pager(page, params) : "");
      else body.replaceChildren(table(page, params), pager(page, params));
      announce(text || count(page.results.length, "record"));
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
      const again = h("button", { type: "button" }, icon("refresh"), "Try again");
      again.addEventListener("click", retry);
      const restart = params.has("cursor") && h("a", { class: "button", href: address(change(params, { cursor: null })), "data-nav": true }, "Go to the first page");
      const wrong = problem.status === 400;
      body.replaceChildren(h("div", { class: "state error", role: "alert" }, icon("alert"), h("h2", null, problem.message),
        problem.errors.length === 0 && problem.detail && h("p", null, problem.detail),
        problem.errors.length > 0 && h("ul", null, problem.errors.map((e) => h("li", null, h("b", null, title(e.param)), " ", visible(e.detail), e.allowed && h("span", { class: "allowed" }, "Allowed: ", e.allowed)))),
        problem.requestId && h("p", { class: "sub" }, "Request ", visible(problem.requestId)),
        h("div", { class: "tools" }, restart, !wrong && again, wrong && !restart && h("a", { class: "button", href: address(new URLSearchParams()), "data-nav": true }, "Clear filters"))));
    },
  };
}
