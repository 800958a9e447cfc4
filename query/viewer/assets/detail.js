// One record in full.
import { changesOf, changeTable, plain } from "./changes.js";
import { copyButton, cut, h, icon, visible } from "./dom.js";
import { curl } from "./export.js";
import { t } from "./i18n.js";
import { address, change, only, title, toggle } from "./state.js";
import { ago, exact } from "./time.js";
import { object, tone, verb, who } from "./words.js";

const groups = [
  [t("Who"), ["full_name", "username", "user_id", "actor_type", "impersonator_id", "tenant_id", "ip_address", "user_agent", "session_key"]],
  [t("What"), ["object_type", "object_id", "object_repr", "table", "source_model", "source_pk", "source_repr", "outcome", "reason"]],
  [t("Where from"), ["source", "http_method", "http_route", "request_id", "trace_id", "span_id", "tx_id", "service", "environment", "host"]],
  [t("Batch"), ["batch_id", "batch_action", "batch_summary", "total_processed", "error_count", "errors"]],
];
const technical = ["log_id", "timestamp", "changed_fields", "is_truncated", "untruncated_size", "ingested_at", "stream", "stream_offset", "producer_id", "seq",
  "record_hash", "schema_version"];
const shownElsewhere = ["action", "change_message", "changes", "extra"];

const labels = {
  full_name: t("Name"), username: t("User name"), user_id: t("User ID"), actor_type: t("Kind of actor"), impersonator_id: t("Acting for them: user ID"), tenant_id: t("Tenant"),
  ip_address: t("IP address"), user_agent: t("Browser or client"), session_key: t("Session"), object_type: t("Type"), object_id: t("Object ID"), object_repr: t("Object"),
  table: t("Table"), source_model: t("Changed part: type"), source_pk: t("Changed part: ID"), source_repr: t("Changed part"), outcome: t("Outcome"), reason: t("Reason"),
  source: t("Source"), http_method: t("HTTP method"), http_route: t("Route"), request_id: t("Request"), trace_id: t("Trace"), span_id: t("Span"), tx_id: t("Transaction"),
  service: t("Service"), environment: t("Environment"), host: t("Host"), batch_id: t("Batch"), batch_action: t("Batch action"), batch_summary: t("Summary of the batch"),
  total_processed: t("Processed"), error_count: t("Errors"), errors: t("First errors"), log_id: t("Record ID"), timestamp: t("Timestamp (UTC)"),
  changed_fields: t("Changed columns"), is_truncated: t("Values were cut"), untruncated_size: t("Size before cutting"), ingested_at: t("Stored at"), stream: t("Stream"),
  stream_offset: t("Offset"), producer_id: t("Producer"), seq: t("Sequence"), record_hash: t("Hash"), schema_version: t("Format version"),
};
const filterable = ["user_id", "username", "full_name", "object_type", "object_id", "ip_address", "session_key", "request_id", "trace_id", "tx_id", "batch_id",
  "batch_action", "tenant_id", "source_model", "source_pk"];

const nav = (params, props, ...children) => h("a", { href: address(params), "data-nav": true, ...props }, children);

/** related gives links to what belongs to the record. */
function related(record) {
  const links = [];
  const add = (text, changes) => links.push(nav(only(changes), { class: "button small" }, text));
  if (record.object_type && record.object_id) {
    add(t("History of this object"), { view: "object", object_type: record.object_type, object_id: record.object_id });
    add(t("In the list"), { object_type: record.object_type, object_id: record.object_id });
  }
  if (record.user_id) add(t("All by this user"), { user_id: record.user_id });
  if (record.batch_id) add(t("Batch"), { view: "batch", batch_id: record.batch_id });
  if (record.request_id) add(t("Same request"), { request_id: record.request_id });
  else if (record.tx_id) add(t("Same transaction"), { tx_id: record.tx_id });
  return h("nav", { class: "related", "aria-label": t("Related records") }, links);
}

/** narrow gives links that add the value to the filters of the list, or leave it out. */
function narrow(name, value, params) {
  const list = new URLSearchParams(params);
  for (const own of ["view", "a", "b"]) list.delete(own);
  const link = (param, drawing, text) => nav(toggle(list, param, value), { class: "narrow", "data-param": param, title: text, "aria-label": `${text}: ${title(name)} ${cut(value, 60)}` }, icon(drawing));
  return h("span", { class: "narrows" }, link(name, "only", t("Filter by this value")), link("not_" + name, "exclude", t("Leave out")));
}

function definition(name, value, params, label) {
  let shown;
  if (Array.isArray(value) && value.every((v) => typeof v === "string")) shown = h("ul", null, value.map((v) => h("li", null, plain(v))));
  else shown = plain(value);
  const canFilter = filterable.includes(name) && typeof value === "string" && value !== "" && value.length <= 512;
  if (canFilter) {
    shown = nav(only({ [name]: value }), { class: "value", title: t("Show all records with this value") }, shown);
  }
  return h("div", { "data-field": name }, h("dt", null, label || labels[name] || visible(name)), h("dd", null, shown, canFilter && narrow(name, value, params)));
}

function section(title, rows) {
  return rows.length > 0 && h("section", null, h("h3", null, title), h("dl", null, rows));
}

function sentence(record) {
  const part = record.source_model
    ? [h("span", null, visible(record.source_model.replaceAll("_", " ")), " "), h("b", null, visible(cut(record.source_repr || record.source_pk || ""))), " ", t("of"), " "]
    : null;
  return h("h2", { tabindex: "-1", id: "record-title" },
    h("b", null, visible(cut(who(record)))), " ", verb(record.action), " ", part,
    record.object_type && record.object_repr ? [visible(record.object_type.replaceAll("_", " ")), " "] : null,
    h("b", null, visible(cut(object(record)))));
}

function changesSection(record) {
  const changes = changesOf(record);
  const message = record.change_message;
  if (changes.length === 0 && typeof message === "object" && message !== null) {
    return h("section", null, h("h3", null, t("What happened")), plain(message));
  }
  const text = typeof message === "string" && message !== "" ? h("p", { class: "message" }, visible(message, true)) : null;
  if (changes.length === 0) return text && h("section", null, h("h3", null, t("What happened")), text);
  return h("section", { class: "what" }, h("h3", null, t("Changes"), h("span", { class: "badge" }, String(changes.length))),
    text, changeTable(changes));
}

/** record shows all of a record. */
export function recordView(record, params) {
  const known = new Set([...groups.flatMap(([, names]) => names), ...technical, ...shownElsewhere]);
  const fields = (names) => names.filter((n) => record[n] !== undefined).map((n) => definition(n, record[n], params));
  const own = Object.keys(record).filter((n) => !known.has(n)).map((n) => definition("extra." + n, record[n], params, visible(n)));
  if (record.extra && typeof record.extra === "object") {
    for (const [n, v] of Object.entries(record.extra)) own.push(definition("extra." + n, v, params, visible(n)));
  }
  const raw = JSON.stringify(record, null, 2);
  return [
    h("div", { class: "headline" }, h("span", { class: "action " + tone(record.action) }, visible(record.action)), sentence(record),
      h("p", { class: "when" }, h("time", { datetime: record.timestamp }, exact(record.timestamp)), " · ", ago(new Date(record.timestamp)))),
    record.is_truncated && h("p", { class: "notice warn" }, icon("alert"), t("This record was too large: some of its values are cut.")),
    related(record),
    changesSection(record),
    groups.map(([title, names]) => section(title, fields(names))),
    section(t("Fields of the application"), own),
    h("details", null, h("summary", null, t("Record")), h("dl", null, fields(technical))),
    h("details", null, h("summary", null, "JSON"),
      h("div", { class: "tools" }, copyButton(t("Copy JSON"), () => raw)), h("pre", { class: "raw" }, visible(raw, true))),
    h("div", { class: "tools" }, copyButton(t("Copy link"), () => new URL(address(change(only({}), { record: record.log_id })), location.href).href),
      copyButton(t("Copy record ID"), () => record.log_id), copyButton(t("Copy as curl"), () => curl(`api/detail/${encodeURIComponent(record.log_id)}/`))),
  ];
}
