// Taking out what is shown: as a file, as a command, as JSON.
import * as api from "./api.js";
import { copyButton, h, icon } from "./dom.js";
import { t } from "./i18n.js";
import { matching, query } from "./state.js";

/** quote makes one word of a shell of a text. */
const quote = (text) => "'" + text.replaceAll("'", "'\\''") + "'";

/** curl gives the command that asks the API for the path. */
export function curl(path) {
  return `curl -H "Authorization: Bearer $AUDIT_TOKEN" ${quote(new URL(path, api.base).href)}`;
}

/** exportMenu gives {element, show}. */
export function exportMenu() {
  let page = null;
  let params = new URLSearchParams();
  const file = (format, text) => h("a", { class: "button small", "data-format": format, download: true }, icon("down"), text);
  const links = [file("csv", "CSV"), file("ndjson", "NDJSON"), file("cloudevents", "CloudEvents")];
  const count = h("p", { class: "sub" });
  const element = h("details", { class: "menu export" }, h("summary", { class: "button ghost" }, t("Export")),
    h("div", { class: "popup" }, count, h("div", { class: "tools" }, links),
      h("div", { class: "tools" }, copyButton(t("Copy as curl"), () => curl("api/search/?" + query(params))),
        copyButton(t("Copy JSON"), () => JSON.stringify(page ? page.results : [], null, 2)))));
  const close = () => (element.open = false);
  document.addEventListener("click", (event) => element.open && !element.contains(event.target) && close());
  element.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !element.open) return;
    event.stopPropagation();
    close();
    element.querySelector("summary").focus();
  });
  return {
    element,
    toggle() {
      element.open = !element.open;
      if (element.open) element.querySelector("summary").focus();
    },
    show(next, found) {
      page = found;
      params = next;
      const more = found.total_relation === "gte";
      count.textContent = found.total === undefined ? "" : t(more ? "More than {n} records match." : "{n} record matches.|{n} records match.", { n: found.total });
      for (const link of links) {
        const q = matching(params, { format: link.dataset.format });
        if (params.has("sort")) q.set("sort", params.get("sort"));
        link.href = new URL("api/export/?" + q, api.base).pathname + "?" + q;
      }
    },
  };
}
