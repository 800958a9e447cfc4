// The page: the address says what to show, everything else follows.
import * as api from "./api.js";
import { drawer } from "./drawer.js";
import { h, icon, visible } from "./dom.js";
import { filterBar } from "./filters.js";
import { helpDialog } from "./help.js";
import { list } from "./list.js";
import { logo, signInView } from "./signin.js";
import * as state from "./state.js";

const { title, signIn } = document.documentElement.dataset;
const root = document.getElementById("app");

let params = state.read();
let loaded = null; // the search that is shown or loading
let abort = null;
let signedIn = false;

const filters = filterBar(go, () => load(true));
const records = list(go, () => load(true));
const open = drawer({ close: closeRecord, step, can: (n) => neighbour(n) !== undefined, lost: signInAgain });
const help = helpDialog();
const account = h("div", { class: "account" });
const header = h("header", { class: "top" }, h("a", { class: "brand", href: api.base.pathname, "data-nav": true }, logo(), h("span", null, title)),
  h("span", { class: "grow" }), h("button", { type: "button", class: "ghost", title: "Keyboard (?)", "aria-label": "Keyboard", onclick: () => help.showModal() }, h("kbd", null, "?")), account);

function showApp() {
  if (signedIn) return;
  signedIn = true;
  root.replaceChildren(header, filters.element, records.element, open.element, help);
}

function signInAgain() {
  abort?.abort();
  loaded = null;
  signedIn = false;
  open.close();
  document.title = title;
  root.replaceChildren(signInView(title, signIn, start));
  root.querySelector("[autofocus]")?.focus();
}

/** start shows the page to whoever is there now. */
async function start() {
  params = state.read();
  try {
    const me = await api.whoIs();
    const out = h("button", { type: "button", class: "ghost" }, icon("out"), "Sign out");
    out.addEventListener("click", async () => {
      try {
        await api.signOut();
      } finally {
        signInAgain();
      }
    });
    account.replaceChildren(h("span", { class: "principal", title: "Signed in as" }, visible(me.principal)), me.session ? out : "");
  } catch (problem) {
    if (problem.status === 401) return signInAgain();
    account.replaceChildren();
  }
  showApp();
  update();
}

/** go shows another state. */
function go(next, replace = false) {
  const ref = state.address(next);
  if (ref !== location.search || !replace) history[replace ? "replaceState" : "pushState"](null, "", ref);
  update(true);
}

/** update brings the page to what the address says; own says that the page itself has changed it. */
function update(own = false) {
  params = state.read();
  filters.show(params, own);
  load(false);
  const id = params.get("record");
  document.title = (id ? "Record · " : params.get("search_term") ? params.get("search_term") + " · " : "") + title;
  records.select(id, params);
  if (id) open.open(id, params, own);
  else open.close();
}

async function load(force) {
  const query = state.query(params).toString();
  if (query === loaded && !force) return;
  const moved = loaded !== null && query !== loaded;
  loaded = query;
  abort?.abort();
  abort = new AbortController();
  const { signal } = abort;
  records.busy();
  try {
    const page = await api.search(query, signal);
    if (signal.aborted) return;
    records.show(page, params);
    records.select(params.get("record"), params);
    if (params.get("record")) open.open(params.get("record"), params, false);
    if (moved) window.scrollTo({ top: 0 });
  } catch (problem) {
    if (problem.name === "AbortError") return;
    if (problem.status === 401) return signInAgain();
    records.fail(problem, params);
  }
}

function neighbour(n) {
  const ids = records.ids();
  const at = ids.indexOf(params.get("record"));
  return at < 0 ? undefined : ids[at + n];
}

function step(n) {
  const id = neighbour(n);
  if (id === undefined) return;
  go(state.change(params, { record: id }, true), true);
  rowLink(id)?.scrollIntoView({ block: "nearest" });
}

const rowLink = (id) => records.element.querySelector(`tr[data-id="${CSS.escape(id)}"] a.open`);

function closeRecord() {
  const id = params.get("record");
  if (id === null) return;
  go(state.change(params, { record: null }, true));
  rowLink(id)?.focus();
}

/** move puts the focus on the row above or below. */
function move(n) {
  if (params.has("record")) return step(n);
  const links = [...records.element.querySelectorAll("a.open")];
  const at = links.indexOf(document.activeElement?.closest("a.open"));
  const link = links[at < 0 ? 0 : Math.min(Math.max(at + n, 0), links.length - 1)];
  link?.focus();
  link?.scrollIntoView({ block: "nearest" });
}

addEventListener("popstate", () => signedIn && update());

document.addEventListener("click", (event) => {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const link = event.target.closest("a[data-nav]");
  if (link) {
    event.preventDefault();
    return go(new URLSearchParams(new URL(link.href).search));
  }
  const row = event.target.closest("tr[data-id]");
  if (row && String(getSelection()) === "") go(state.change(params, { record: row.dataset.id }, true));
});

document.addEventListener("keydown", (event) => {
  if (!signedIn || event.metaKey || event.ctrlKey || event.altKey || help.open) return;
  if (event.key === "Escape") {
    if (event.target.matches("input, select")) event.target.blur();
    else closeRecord();
    return;
  }
  if (event.target.matches("input, select, textarea")) return;
  const keys = {
    "/": () => filters.focusSearch(),
    "?": () => help.showModal(),
    j: () => move(1),
    k: () => move(-1),
    r: () => load(true),
    n: () => records.element.querySelector('a[rel="next"]')?.click(),
    p: () => records.element.querySelector('a[rel="prev"]')?.click(),
  };
  const act = keys[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});

start();
