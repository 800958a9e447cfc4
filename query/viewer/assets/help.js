// The keys, in a dialog.
import { h, icon } from "./dom.js";
import { t } from "./i18n.js";

const keys = [["/", t("Search")], ["j  k", t("Record below, above")], ["Enter", t("Open the record")], ["Esc", t("Close the record")],
  ["n  p", t("Next page, previous page")], ["h", t("History of the object")], ["l", t("Live")], ["e", t("Export")], ["r", t("Load again")], ["?", t("This list")]];

export function helpDialog() {
  const close = h("button", { class: "ghost", "aria-label": t("Close"), value: "close" }, icon("close"));
  const dialog = h("dialog", { class: "help", "aria-label": t("Keyboard") }, h("form", { method: "dialog" }, h("div", { class: "drawerbar" }, h("h2", null, t("Keyboard")), h("span", { class: "grow" }), close),
    h("dl", null, keys.map(([key, what]) => h("div", null, h("dt", null, key.split("  ").map((k) => h("kbd", null, k))), h("dd", null, what)))),
    h("p", null, t("In the search: all words must occur; \"two words\" together, begin* for the beginning of a word. In the chart: arrows choose a time, Shift extends it, Enter takes it, Esc takes it back."))));
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  return dialog;
}
