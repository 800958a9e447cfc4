// The page: the address says what to show, everything else follows.
import * as api from "./api.js";
import { drawer } from "./drawer.js";
import { h, icon, visible } from "./dom.js";
import { exportMenu } from "./export.js";
import { facetPanel } from "./facets.js";
import { filterBar } from "./filters.js";
import { helpDialog } from "./help.js";
import { histogram } from "./histogram.js";
import { t } from "./i18n.js";
import { list } from "./list.js";
import { liveTail } from "./live.js";
import { isPage, page } from "./page.js";
import { preferences } from "./preferences.js";
import { logo, signInView } from "./signin.js";
import * as state from "./state.js";
import { setZone } from "./time.js";

const { title, signIn } = document.documentElement.dataset;
const root = document.getElementById("app");

let params = state.read();
let loaded = null; // the search that is shown or loading
let abort = null;
let signedIn = false;

let listAddress = null; // the list as it was when another page was opened

const facets = facetPanel(go);
const chart = histogram(go);
const exporting = exportMenu();
const liveText = h("span", null, t("Live"));
const liveButton = h("button", { type: "button", class: "ghost live", "aria-pressed": "false", title: t("Show new records as they arrive") + " (l)" }, icon("live"), liveText);
liveButton.addEventListener("click", toggleLive);
const facetButton = h("button", { type: "button", class: "ghost facettoggle", "aria-expanded": "false", "aria-controls": "facets" }, t("Values"));
facetButton.addEventListener("click", () => facetButton.setAttribute("aria-expanded", String(workspace.classList.toggle("facets-open"))));
const filters = filterBar(go, () => load(true), [facetButton, liveButton, exporting.element]);
const records = list(go, () => load(true));
const open = drawer({ close: closeRecord, step, can: (n) => neighbour(n) !== undefined, lost: signInAgain });
const help = helpDialog();
const workspace = h("div", { class: "workspace" }, h("div", { class: "stack" }, chart.element, records.element), facets.element);
const other = page(go, signInAgain, () => state.address(listAddress || state.only({})));
const settings = preferences(go);
const tail = liveTail({
  open: () => load(true),
  record: (record) => records.arrived(record, params),
  state(text, kind) {
    liveText.textContent = text;
    liveButton.dataset.state = kind;
  },
});
const account = h("div", { class: "account" });
const header = h("header", { class: "top" }, h("a", { class: "brand", href: api.base.pathname, "data-nav": true }, logo(), h("span", null, title)),
  h("span", { class: "grow" }), h("button", { type: "button", class: "ghost", title: t("Keyboard") + " (?)", "aria-label": t("Keyboard"), "data-help": true, onclick: () => help.showModal() }, h("kbd", null, "?")), settings.element, account);

function showApp() {
  if (signedIn) return;
  signedIn = true;
  document.querySelector(".skip").hidden = false;
  root.replaceChildren(header, filters.element, workspace, other.element, open.element, help);
}

function signInAgain() {
  abort?.abort();
  loaded = counted = null;
  signedIn = false;
  document.querySelector(".skip").hidden = true; // there is nothing to skip
  tail.stop();
  other.hide();
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
    const out = h("button", { type: "button", class: "ghost", "aria-label": t("Sign out") }, icon("out"), h("span", { class: "word" }, t("Sign out")));
    out.addEventListener("click", async () => {
      try {
        await api.signOut();
      } finally {
        signInAgain();
      }
    });
    account.replaceChildren(h("span", { class: "principal", title: t("Signed in as") }, visible(me.principal)), me.session ? out : "");
  } catch (problem) {
    if (problem.status === 401) return signInAgain();
    account.replaceChildren();
  }
  try {
    facets.can((await api.meta()).filters);
  } catch {
    facets.can([]);
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
  setZone(params.get("tz"));
  settings.show(params);
  const alone = isPage(params);
  filters.element.hidden = workspace.hidden = alone;
  document.querySelector(".skip").setAttribute("href", alone ? "#page" : "#results");
  if (alone) {
    tail.stop();
    other.show(params);
  } else {
    other.hide();
    listAddress = state.change(params, { record: null }, true);
    filters.show(params, own);
    load(false);
    follow();
  }
  const id = params.get("record");
  document.title = (id ? t("Record") + " · " : params.get("search_term") ? params.get("search_term") + " · " : "") + title;
  records.select(id, params);
  if (id) open.open(id, params, own);
  else open.close();
}

function follow() {
  const on = params.get("live") === "1";
  liveButton.setAttribute("aria-pressed", String(on));
  if (on) return tail.start(params);
  tail.stop();
  liveText.textContent = t("Live");
  delete liveButton.dataset.state;
}

/** toggleLive follows the newest records, from the first page and with the newest first. */
function toggleLive() {
  const on = params.get("live") !== "1";
  go(state.change(params, on ? { live: "1", sort: null, from: null, to: null, from_date: null, to_date: null } : { live: null }));
}

/** around brings the numbers up to date with the filters, if they have changed. */
function around(force) {
  const query = state.matching(params).toString();
  if (query === counted && !force) return;
  counted = query;
  chart.load(params);
  facets.load(params);
}
let counted = null;

async function load(force) {
  if (isPage(params)) return other.show(params, true);
  const query = state.query(params).toString();
  if (query === loaded && !force) return;
  const moved = loaded !== null && query !== loaded;
  loaded = query;
  abort?.abort();
  abort = new AbortController();
  const { signal } = abort;
  records.busy();
  around(force);
  try {
    const found = await api.search(query, signal);
    if (signal.aborted) return;
    records.show(found, params);
    exporting.show(params, found);
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
  const links = [...visibleMain().querySelectorAll("a.open")];
  const at = links.indexOf(document.activeElement?.closest("a.open"));
  const link = links[at < 0 ? 0 : Math.min(Math.max(at + n, 0), links.length - 1)];
  link?.focus();
  link?.scrollIntoView({ block: "nearest" });
}

const visibleMain = () => (isPage(params) ? other.element : records.element);

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
  if (event.target.matches("input, select, textarea, [role=slider]")) return;
  const keys = {
    "/": () => filters.focusSearch(),
    "?": () => help.showModal(),
    j: () => move(1),
    k: () => move(-1),
    r: () => load(true),
    h: () => document.querySelector('.related a[href*="view=object"]')?.click(),
    l: () => !isPage(params) && toggleLive(),
    e: () => !isPage(params) && exporting.toggle(),
    n: () => visibleMain().querySelector('a[rel="next"]')?.click(),
    p: () => visibleMain().querySelector('a[rel="prev"]')?.click(),
  };
  const act = keys[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});

start();
