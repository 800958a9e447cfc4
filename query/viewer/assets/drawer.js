// The open record, beside the list or over it.
import * as api from "./api.js";
import { recordView } from "./detail.js";
import { h, icon, visible } from "./dom.js";
import { t } from "./i18n.js";

/** drawer gives {element, open, close}. on.close(), on.step(±1), on.can(±1) and on.lost() say what to do. */
export function drawer(on) {
  let wanted = ""; // the record that is shown or loading
  let abort = null;
  const button = (label, drawing, act) => {
    const b = h("button", { type: "button", class: "ghost", title: label, "aria-label": label.replace(/ \(.*/, "") }, icon(drawing));
    b.addEventListener("click", act);
    return b;
  };
  const previous = button(t("Record above") + " (k)", "up", () => on.step(-1));
  const next = button(t("Record below") + " (j)", "down", () => on.step(1));
  const body = h("div", { class: "record" });
  const element = h("aside", { class: "drawer", "aria-label": t("Record"), hidden: true },
    h("div", { class: "drawerbar" }, previous, next, h("span", { class: "grow" }), button(t("Close") + " (Esc)", "close", () => on.close())), body);

  async function open(id, params, focus) {
    previous.disabled = !on.can(-1);
    next.disabled = !on.can(1);
    if (wanted === id && !element.hidden) return;
    wanted = id;
    abort?.abort();
    abort = new AbortController();
    element.hidden = false;
    document.documentElement.classList.add("has-record");
    body.setAttribute("aria-busy", "true");
    const slow = setTimeout(() => body.replaceChildren(h("div", { class: "skeleton tall" }, Array.from({ length: 6 }, () => h("div", null, h("i"), h("i"))))), 150);
    try {
      const record = await api.detail(id, abort.signal);
      if (wanted !== id) return;
      body.replaceChildren(...recordView(record, params).flat(Infinity).filter(Boolean));
      element.scrollTop = 0;
      if (focus) body.querySelector("h2").focus({ preventScroll: true });
    } catch (problem) {
      if (problem.name === "AbortError") return;
      if (problem.status === 401) return on.lost();
      const again = h("button", { type: "button" }, icon("refresh"), t("Try again"));
      again.addEventListener("click", () => {
        wanted = "";
        open(id, params, true);
      });
      body.replaceChildren(h("div", { class: "state error", role: "alert" }, icon("alert"), h("h2", { tabindex: "-1" }, visible(problem.message)), problem.detail && h("p", null, visible(problem.detail)),
        problem.status !== 404 && h("div", { class: "tools" }, again)));
    } finally {
      clearTimeout(slow);
      if (wanted === id) body.removeAttribute("aria-busy");
    }
  }

  return {
    element,
    open,
    close() {
      wanted = "";
      abort?.abort();
      element.hidden = true;
      body.replaceChildren();
      document.documentElement.classList.remove("has-record");
    },
  };
}
