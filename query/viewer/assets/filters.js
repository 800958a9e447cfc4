// The bar of filters. It shows the state of the address and asks for another one; it has none itself.
import { h, icon, visible } from "./dom.js";
import { t } from "./i18n.js";
import { change, filterNames, filters, title, without } from "./state.js";
import { exact, today, zone } from "./time.js";
import { knownActions, tone } from "./words.js";

const ranges = [[t("Today"), 0], [t("7 days"), 6], [t("30 days"), 29]];

/** filterBar gives {element, show, focusSearch}. go(params, replace) asks for another state; tools stand beside the search. */
export function filterBar(go, refresh, tools = []) {
  let params = new URLSearchParams();
  let typing = 0; // the timer of the text that is being typed
  let typed = false; // the current address was made by typing: the next letter replaces it

  const input = (name, label, props) => {
    const field = h("input", { name, id: "f-" + name, autocomplete: "off", spellcheck: "false", ...props });
    field.addEventListener("change", () => set({ [name]: field.value.trim() }));
    return [field, h("div", { class: "field" }, h("label", { for: field.id }, label), field)];
  };
  const text = h("input", {
    name: "search_term", id: "f-search_term", type: "search", maxlength: "256", autocomplete: "off", spellcheck: "false",
    placeholder: t("Search people, objects, values…"), "aria-label": t("Search text"), enterkeyhint: "search",
  });
  text.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => searchText(), 350);
  });
  const [user, userField] = input("user_id", t("User ID"));
  const [type, typeField] = input("object_type", t("Type"), { placeholder: "customer" });
  const [id, idField] = input("object_id", t("Object ID"));
  const [from, fromField] = input("from_date", t("From"), { type: "date", min: "1900-01-01", max: "9998-12-31" });
  const [to, toField] = input("to_date", t("To"), { type: "date", min: "1900-01-01", max: "9998-12-31" });
  const inputs = { search_term: text, user_id: user, object_type: type, object_id: id, from_date: from, to_date: to };

  const actions = h("div", { class: "chips", role: "group", "aria-label": t("Actions") });
  const days = h("div", { class: "chips", role: "group", "aria-label": t("Time") }, ranges.map(([name, back]) => {
    const chip = h("button", { type: "button", class: "chip", "data-back": back }, name);
    chip.addEventListener("click", () => {
      const on = chip.getAttribute("aria-pressed") === "true";
      set({ from_date: on ? null : today(back), to_date: null });
    });
    return chip;
  }));
  const pills = h("div", { class: "pills" });
  const badge = h("span", { class: "badge", hidden: true });
  const toggle = h("button", { type: "button", class: "ghost toggle", "aria-expanded": "false", "aria-controls": "fields" }, icon("filter"), h("span", { class: "word" }, t("Filters")), badge);
  const fields = h("div", { class: "fields", id: "fields" }, h("div", { class: "chiprow" }, actions, days), userField, typeField, idField, fromField, toField);
  toggle.addEventListener("click", () => toggle.setAttribute("aria-expanded", String(element.classList.toggle("open"))));
  const again = h("button", { type: "button", class: "ghost", title: t("Load again") + " (r)", "aria-label": t("Load again") }, icon("refresh"));
  again.addEventListener("click", refresh);
  const element = h("form", { class: "filters", role: "search" },
    h("div", { class: "searchline" }, h("div", { class: "searchbox" }, icon("search"), text, h("kbd", { "aria-hidden": "true" }, "/")), toggle, again, ...tools), fields, pills);
  element.addEventListener("submit", (event) => {
    event.preventDefault();
    searchText();
  });

  function set(changes, replace = false) {
    typed = false;
    go(change(params, changes), replace);
  }

  function searchText() {
    clearTimeout(typing);
    const value = text.value.trim();
    if (value === (params.get("search_term") || "")) return;
    const replace = typed;
    set({ search_term: value }, replace);
    typed = true;
  }

  function showActions() {
    const chosen = params.getAll("action").map((a) => a.toUpperCase());
    const names = [...knownActions, ...chosen.filter((a) => !knownActions.includes(a))];
    actions.replaceChildren(...names.map((name) => {
      const on = chosen.includes(name);
      const chip = h("button", { type: "button", class: "chip tone " + tone(name), "aria-pressed": String(on), "data-action": name }, visible(name));
      chip.addEventListener("click", () => {
        set({ action: on ? chosen.filter((a) => a !== name) : [...chosen, name] });
        actions.querySelector(`[data-action="${CSS.escape(name)}"]`)?.focus();
      });
      return chip;
    }));
  }

  /** Filters that have no field of their own, or more values than it holds. */
  function showPills() {
    const rest = filters(params).filter(([name, value]) => name !== "action" && (!filterNames.includes(name) || inputs[name].value !== value));
    const made = rest.map(([name, value]) => {
      const pill = h("button", { type: "button", class: name.startsWith("not_") ? "pill not" : "pill", "data-name": name, title: t("Remove this filter") },
        h("span", null, title(name)), h("b", null, name === "from" || name === "to" ? exact(value, true) : visible(value)), icon("close"));
      pill.addEventListener("click", () => set({ [name]: without(params, name, value).getAll(name) }));
      return pill;
    });
    pills.replaceChildren(...made);
  }

  return {
    element,
    focusSearch() {
      text.focus();
      text.select();
    },
    /** show brings the fields to the state; own says that the change was made here. */
    show(next, own) {
      if (!own) {
        clearTimeout(typing);
        typed = false;
      }
      params = next;
      for (const [name, field] of Object.entries(inputs)) {
        const value = params.get(name) || "";
        // What is being typed is ahead of the address.
        if (!own || field !== document.activeElement || field.type === "date") field.value = value;
      }
      showActions();
      for (const chip of days.children) {
        const on = !params.has("to_date") && params.get("from_date") === today(Number(chip.dataset.back));
        chip.setAttribute("aria-pressed", String(on));
      }
      showPills();
      const n = filters(params).filter(([name]) => name !== "search_term").length;
      badge.textContent = String(n);
      badge.hidden = n === 0;
      from.title = to.title = t("Days in {zone}", { zone });
    },
  };
}
