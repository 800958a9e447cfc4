// The zone of the times and the language of the page. Both are in the address, as all that the page knows.
import { h } from "./dom.js";
import { language, languages, t } from "./i18n.js";
import { address, change } from "./state.js";
import { zone, zones } from "./time.js";

/** preferences gives {element, show}. go(params) asks for another state. */
export function preferences(go) {
  let params = new URLSearchParams();
  const time = h("select", { "aria-label": t("Time zone"), class: "zone" });
  const tongue = h("select", { "aria-label": t("Language"), class: "language" }, languages.map(([tag, name]) => h("option", { value: tag, lang: tag, selected: tag === language }, name)));
  const option = (name) => h("option", { value: name }, name.replaceAll("_", " "));
  let all = false;
  // The long list is made when somebody wants it.
  const fill = () => {
    if (all) return;
    all = true;
    time.append(h("optgroup", { label: t("All zones") }, Intl.supportedValuesOf("timeZone").filter((name) => !zones.includes(name) && name !== zone).map(option)));
  };
  time.addEventListener("pointerdown", fill);
  time.addEventListener("focus", fill);
  time.addEventListener("change", () => go(change(params, { tz: time.value === zones[0] ? null : time.value })));
  tongue.addEventListener("change", () => location.assign(address(change(params, { lang: tongue.value }, true))));
  return {
    element: h("div", { class: "preferences" }, time, languages.length > 1 && tongue),
    show(next) {
      params = next;
      if (time.value === zone) return;
      all = false;
      time.replaceChildren(...[...new Set([...zones, zone])].map(option));
      time.value = zone;
    },
  };
}
