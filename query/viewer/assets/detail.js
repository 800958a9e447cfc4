// One record in full.
import { changesOf, changeTable, plain } from "./changes.js";
import { copyButton, cut, h, icon, visible } from "./dom.js";
import { address, change, only } from "./state.js";
import { ago, exact } from "./time.js";
import { object, tone, verb, who } from "./words.js";

const groups = [
  ["Who", ["full_name", "username", "user_id", "actor_type", "impersonator_id", "tenant_id", "ip_address", "user_agent", "session_key"]],
  ["What", ["object_type", "object_id", "object_repr", "table", "source_model", "source_pk", "source_repr", "outcome", "reason"]],
  ["Where from", ["source", "http_method", "http_route", "request_id", "trace_id", "span_id", "tx_id", "service", "environment", "host"]],
  ["Batch", ["batch_id", "batch_action", "batch_summary", "total_processed", "error_count", "errors"]],
];
const technical = ["log_id", "timestamp", "changed_fields", "is_truncated", "untruncated_size", "ingested_at", "stream", "stream_offset", "producer_id", "seq",
  "record_hash", "schema_version"];
const shownElsewhere = ["action", "change_message", "changes", "extra"];

const labels = {
  full_name: "Name", username: "User name", user_id: "User ID", actor_type: "Kind of actor", impersonator_id: "Acting for them: user ID", tenant_id: "Tenant",
  ip_address: "IP address", user_agent: "Browser or client", session_key: "Session", object_type: "Type", object_id: "Object ID", object_repr: "Object",
  table: "Table", source_model: "Changed part: type", source_pk: "Changed part: ID", source_repr: "Changed part", outcome: "Outcome", reason: "Reason",
  source: "Source", http_method: "HTTP method", http_route: "Route", request_id: "Request", trace_id: "Trace", span_id: "Span", tx_id: "Transaction",
  service: "Service", environment: "Environment", host: "Host", batch_id: "Batch", batch_action: "Batch action", batch_summary: "Summary of the batch",
  total_processed: "Processed", error_count: "Errors", errors: "First errors", log_id: "Record ID", timestamp: "Timestamp (UTC)",
  changed_fields: "Changed columns", is_truncated: "Values were cut", untruncated_size: "Size before cutting", ingested_at: "Stored at", stream: "Stream",
  stream_offset: "Offset", producer_id: "Producer", seq: "Sequence", record_hash: "Hash", schema_version: "Format version",
};
const filterable = ["user_id", "username", "full_name", "object_type", "object_id", "ip_address", "session_key", "request_id", "trace_id", "tx_id", "batch_id",
  "batch_action", "tenant_id", "source_model", "source_pk"];

const nav = (params, props, ...children) => h("a", { href: address(params), "data-nav": true, ...props }, children);

/** related gives links to what belongs to the record. */
function related(record) {
  const links = [];
  const add = (text, changes) => links.push(nav(only(changes), { class: "button small" }, text));
  if (record.object_type && record.object_id) add("History of this object", { object_type: record.object_type, object_id: record.object_id });
  if (record.user_id) add("All by this user", { user_id: record.user_id });
  if (record.batch_id) add("Same batch", { batch_id: record.batch_id });
  if (record.request_id) add("Same request", { request_id: record.request_id });
  else if (record.tx_id) add("Same transaction", { tx_id: record.tx_id });
  return h("nav", { class: "related", "aria-label": "Related records" }, links);
}

function definition(name, value, label) {
  let shown;
  if (Array.isArray(value) && value.every((v) => typeof v === "string")) shown = h("ul", null, value.map((v) => h("li", null, plain(v))));
  else shown = plain(value);
  if (filterable.includes(name) && typeof value === "string" && value !== "" && value.length <= 512) {
    shown = nav(only({ [name]: value }), { class: "value", title: "Show all records with this value" }, shown);
  }
  return h("div", { "data-field": name }, h("dt", null, label || labels[name] || visible(name)), h("dd", null, shown));
}

function section(title, rows) {
  return rows.length > 0 && h("section", null, h("h3", null, title), h("dl", null, rows));
}

function sentence(record) {
  const part = record.source_model
    ? [h("span", null, visible(record.source_model.replaceAll("_", " ")), " "), h("b", null, visible(cut(record.source_repr || record.source_pk || ""))), " of "]
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
    return h("section", null, h("h3", null, "What happened"), plain(message));
  }
  const text = typeof message === "string" && message !== "" ? h("p", { class: "message" }, visible(message, true)) : null;
  if (changes.length === 0) return text && h("section", null, h("h3", null, "What happened"), text);
  return h("section", { class: "what" }, h("h3", null, "Changes", h("span", { class: "badge" }, String(changes.length))),
    text, changeTable(changes));
}

/** record shows all of a record. */
export function recordView(record, params) {
  const known = new Set([...groups.flatMap(([, names]) => names), ...technical, ...shownElsewhere]);
  const fields = (names) => names.filter((n) => record[n] !== undefined).map((n) => definition(n, record[n]));
  const own = Object.keys(record).filter((n) => !known.has(n)).map((n) => definition("extra." + n, record[n], visible(n)));
  if (record.extra && typeof record.extra === "object") {
    for (const [n, v] of Object.entries(record.extra)) own.push(definition("extra." + n, v, visible(n)));
  }
  const raw = JSON.stringify(record, null, 2);
  return [
    h("div", { class: "headline" }, h("span", { class: "action " + tone(record.action) }, visible(record.action)), sentence(record),
      h("p", { class: "when" }, h("time", { datetime: record.timestamp }, exact(record.timestamp)), " · ", ago(new Date(record.timestamp)))),
    record.is_truncated && h("p", { class: "notice warn" }, icon("alert"), "This record was too large: some of its values are cut."),
    related(record),
    changesSection(record),
    groups.map(([title, names]) => section(title, fields(names))),
    section("Fields of the application", own),
    h("details", null, h("summary", null, "Record"), h("dl", null, fields(technical))),
    h("details", null, h("summary", null, "JSON"),
      h("div", { class: "tools" }, copyButton("Copy JSON", () => raw)), h("pre", { class: "raw" }, visible(raw, true))),
    h("div", { class: "tools" }, copyButton("Copy link", () => new URL(address(change(only({}), { record: record.log_id })), location.href).href),
      copyButton("Copy record ID", () => record.log_id)),
  ];
}
