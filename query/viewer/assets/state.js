// The state of the page is its address: filters, order, place, view and open record. The names of the
// filters are those of the search API.
import { t } from "./i18n.js";

export const filterNames = ["search_term", "user_id", "action", "object_type", "object_id", "from_date", "to_date"];
const pageNames = ["cursor", "from_offset"];
// What says how the page looks, and nothing to the API.
const ownNames = ["record", "view", "a", "b", "live", "lang"];
const keptNames = ["tz", "lang"];
const times = [["from_date", "to_date"], ["from", "to"], ["last"]];
export const defaultSize = "50";

/** read gives the parameters of the address. */
export function read() {
  return new URLSearchParams(location.search);
}

/** query gives the parameters for a page of the search API. */
export function query(params) {
  const q = new URLSearchParams(params);
  for (const name of ownNames) q.delete(name);
  if (!q.has("page_size")) q.set("page_size", defaultSize);
  return q;
}

/** matching gives the parameters for what counts, exports or follows all that match. */
export function matching(params, more = {}) {
  const q = query(params);
  for (const name of ["page_size", "total", "sort", ...pageNames]) q.delete(name);
  for (const [name, value] of Object.entries(more)) q.set(name, value);
  return q;
}

/** address gives the reference to a state. */
export function address(params) {
  const text = params.toString();
  return text ? "?" + text : location.pathname;
}

/** change gives params with some replaced: by a text, a list, or null for none. The place goes back to
 * the first page unless the change names it. */
export function change(params, changes, keepPlace = false) {
  const next = new URLSearchParams(params);
  if (!keepPlace) for (const name of pageNames) next.delete(name);
  // Days, instants and "the last hours" cannot be combined: the newer choice counts.
  const family = times.find((names) => names.some((name) => changes[name]));
  if (family) for (const name of times.flat()) if (!family.includes(name)) next.delete(name);
  for (const [name, value] of Object.entries(changes)) {
    next.delete(name);
    for (const v of [value].flat()) if (v !== null && v !== undefined && v !== "") next.append(name, v);
  }
  return next;
}

/** only gives a state that has nothing but these filters, in the chosen language and zone. */
export function only(changes) {
  const now = read();
  return change(new URLSearchParams(keptNames.filter((name) => now.has(name)).map((name) => [name, now.get(name)])), changes);
}

/** without gives params with one value less. */
export const without = (params, name, value) => change(params, { [name]: params.getAll(name).filter((v) => v !== value) });

/** toggle adds the value to the filter, or takes it away; the opposite filter loses it. */
export function toggle(params, name, value) {
  const opposite = name.startsWith("not_") ? name.slice(4) : "not_" + name;
  const same = (v) => v.toLowerCase() === value.toLowerCase();
  const has = params.getAll(name).some(same);
  const rest = params.getAll(name).filter((v) => !same(v));
  return change(params, { [name]: has ? rest : [...rest, value], [opposite]: params.getAll(opposite).filter((v) => !same(v)), record: null });
}

/** filters gives [name, value] of everything that narrows the search. */
export function filters(params) {
  return [...params].filter(([name]) => ![...ownNames, "sort", "page_size", "total", "tz", ...pageNames].includes(name));
}

/** cleared gives params without filters. */
export function cleared(params) {
  return change(params, Object.fromEntries(filters(params).map(([name]) => [name, null])));
}

const titles = {
  search_term: t("Text"), user_id: t("User ID"), username: t("User name"), full_name: t("Name"), action: t("Action"), object_type: t("Type"),
  object_id: t("Object ID"), from_date: t("From"), to_date: t("To"), from: t("From"), to: t("Before"), request_id: t("Request"), trace_id: t("Trace"),
  session_key: t("Session"), ip_address: t("IP address"), batch_id: t("Batch"), batch_action: t("Batch action"), tx_id: t("Transaction"),
  tenant_id: t("Tenant"), log_id: t("Record"), source_model: t("Source type"), source_pk: t("Source ID"), changed_field: t("Changed field"),
};

/** title gives the words for a parameter. */
export function title(name) {
  return name.startsWith("not_") ? t("Not: {name}", { name: title(name.slice(4)) }) : titles[name] || name;
}
