// The keys, in a dialog.
import { h, icon } from "./dom.js";

const keys = [["/", "Search"], ["j  k", "Record below, above"], ["Enter", "Open the record"], ["Esc", "Close the record"], ["n  p", "Next page, previous page"],
  ["r", "Load again"], ["?", "This list"]];

export function helpDialog() {
  const close = h("button", { class: "ghost", "aria-label": "Close", value: "close" }, icon("close"));
  const dialog = h("dialog", { class: "help", "aria-label": "Keyboard" }, h("form", { method: "dialog" }, h("div", { class: "drawerbar" }, h("h2", null, "Keyboard"), h("span", { class: "grow" }), close),
    h("dl", null, keys.map(([key, what]) => h("div", null, h("dt", null, key.split("  ").map((k) => h("kbd", null, k))), h("dd", null, what)))),
    h("p", null, "In the search: all words must occur; ", h("code", null, '"two words"'), " together, ", h("code", null, "begin*"), " for the beginning of a word.")));
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  return dialog;
}
