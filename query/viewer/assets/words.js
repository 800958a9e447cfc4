// What records are called in sentences.
import { clean } from "./dom.js";

const verbs = { ADD: "created", CHANGE: "changed", DELETE: "deleted", RESTORE: "restored", IMPORT: "imported", EXPORT: "exported" };

export const knownActions = Object.keys(verbs);

/** verb gives what was done, in the past tense where it is known. */
export const verb = (action) => verbs[action] || clean(action).toLowerCase().replaceAll("_", " ") + ":";

/** who gives the name of the actor. */
export function who(record) {
  return record.full_name || record.username || record.user_id || (record.actor_type === "system" ? "The system" : "Somebody");
}

/** object gives the name of what was acted upon. */
export function object(record) {
  return record.object_repr || [record.object_type, record.object_id].filter(Boolean).join(" ") || "no object";
}

/** count gives a number with its noun. */
export function count(n, one, many = one + "s") {
  return `${Number(n).toLocaleString("en")} ${Number(n) === 1 ? one : many}`;
}

/** tone gives the class of an action's colour. */
export const tone = (action) => (knownActions.includes(action) ? action.toLowerCase() : "other");
