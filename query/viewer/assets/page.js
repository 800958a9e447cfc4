// A page of its own beside the list: an object or a batch. The address says which.
import * as batch from "./batch.js";
import { h, icon, visible } from "./dom.js";
import { t } from "./i18n.js";
import * as object from "./object.js";
import { address, only } from "./state.js";

const views = { object, batch };

/** isPage reports whether the address asks for a page of its own. */
export const isPage = (params) => Object.hasOwn(views, params.get("view") || "");

/** page gives {element, show, hide}. go(params, replace) asks for another state, lost() says that nobody is
 * signed in, back() gives the address of the list. */
export function page(go, lost, back) {
  let shown = null;
  let abort = null;
  let timer = 0;
  const body = h("div", { class: "pagebody" });
  const home = h("a", { class: "button ghost small", "data-nav": true }, icon("left"), t("Records"));
  const element = h("main", { id: "page", tabindex: "-1", hidden: true }, home, body);

  function hide() {
    clearTimeout(timer);
    abort?.abort();
    shown = null;
    element.hidden = true;
    body.replaceChildren();
  }

  async function show(params, force = false) {
    clearTimeout(timer);
    const key = [...params].filter(([name]) => name !== "record").join("\n");
    if (key === shown && !force) return;
    const again = key === shown;
    const moved = shown !== null && !again;
    shown = key;
    element.hidden = false;
    home.href = back();
    abort?.abort();
    abort = new AbortController();
    const { signal } = abort;
    element.setAttribute("aria-busy", "true");
    if (!again && !moved) body.replaceChildren(h("div", { class: "skeleton", "aria-label": t("Loading"), role: "img" }, Array.from({ length: 6 }, () => h("div", null, h("i"), h("i"), h("i")))));
    const kind = views[params.get("view")];
    try {
      const found = await kind.load(params, signal);
      if (signal.aborted) return;
      const focused = document.activeElement?.matches?.("input[type=radio]") ? [document.activeElement.name, document.activeElement.value] : null;
      body.replaceChildren(...kind.view(found, params, go).flat(Infinity).filter(Boolean));
      if (focused) body.querySelector(`input[name="${focused[0]}"][value="${CSS.escape(focused[1])}"]`)?.focus();
      else if (!again && !moved) body.querySelector("#page-title")?.focus({ preventScroll: true });
      if (kind === batch && batch.running(found)) timer = setTimeout(() => show(params, true), 5000);
    } catch (problem) {
      if (problem.name === "AbortError") return;
      if (problem.status === 401) return lost();
      const retry = h("button", { type: "button" }, icon("refresh"), t("Try again"));
      retry.addEventListener("click", () => show(params, true));
      body.replaceChildren(h("div", { class: "state error", role: "alert" }, icon("alert"), h("h1", { tabindex: "-1" }, visible(problem.message)), problem.detail && h("p", null, visible(problem.detail)),
        problem.errors?.length > 0 && h("ul", null, problem.errors.map((e) => h("li", null, h("b", null, visible(e.param)), " ", visible(e.detail)))),
        h("div", { class: "tools" }, problem.status === 404 ? h("a", { class: "button", href: address(only({})), "data-nav": true }, t("Records")) : retry)));
    } finally {
      if (!signal.aborted) element.removeAttribute("aria-busy");
    }
  }

  return { element, show, hide };
}
