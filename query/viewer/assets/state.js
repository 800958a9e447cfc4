// The state of the page is its address: filters, order, place and open record. The names are those of
// the search API, and "record" for the open record.

export const filterNames = ["search_term", "user_id", "action", "object_type", "object_id", "from_date", "to_date"];
const pageNames = ["cursor", "from_offset"];
export const defaultSize = "50";

/** read gives the parameters of the address. */
export function read() {
  return new URLSearchParams(location.search);
}

/** query gives the parameters for the search API. */
export function query(params) {
  const q = new URLSearchParams(params);
  q.delete("record");
  if (!q.has("page_size")) q.set("page_size", defaultSize);
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
  for (const [name, value] of Object.entries(changes)) {
    next.delete(name);
    for (const v of [value].flat()) if (v !== null && v !== undefined && v !== "") next.append(name, v);
  }
  return next;
}

/** only gives a state that has nothing but these filters. */
export function only(changes) {
  return change(new URLSearchParams(), changes);
}

/** filters gives [name, value] of everything that narrows the search. */
export function filters(params) {
  return [...params].filter(([name]) => !["record", "sort", "page_size", "total", ...pageNames].includes(name));
}

/** cleared gives params without filters. */
export function cleared(params) {
  return change(params, Object.fromEntries(filters(params).map(([name]) => [name, null])));
}

const titles = {
  search_term: "Text", user_id: "User ID", username: "User name", full_name: "Name", action: "Action", object_type: "Type", object_id: "Object ID",
  from_date: "From", to_date: "To", request_id: "Request", trace_id: "Trace", session_key: "Session", ip_address: "IP address", batch_id: "Batch",
  batch_action: "Batch action", tx_id: "Transaction", tenant_id: "Tenant", log_id: "Record", source_model: "Source type", source_pk: "Source ID",
  changed_fields: "Changed field",
};

/** title gives the words for a parameter. */
export function title(name) {
  return name.startsWith("not_") ? "Not " + title(name.slice(4)).toLowerCase() : titles[name] || name;
}
