// What records are called in sentences.
import { clean } from "./dom.js";
import { t } from "./i18n.js";

const verbs = { ADD: t("created"), CHANGE: t("changed"), DELETE: t("deleted"), RESTORE: t("restored"), IMPORT: t("imported"), EXPORT: t("exported") };

export const knownActions = Object.keys(verbs);

/** verb gives what was done, in the past tense where it is known. */
export const verb = (action) => verbs[action] || clean(action).toLowerCase().replaceAll("_", " ") + ":";

/** who gives the name of the actor. */
export function who(record) {
  return record.full_name || record.username || record.user_id || (record.actor_type === "system" ? t("The system") : t("Somebody"));
}

/** object gives the name of what was acted upon. */
export function object(record) {
  return record.object_repr || [record.object_type, record.object_id].filter(Boolean).join(" ") || t("no object");
}

/** records gives a number of records in words. */
export const records = (n) => t("{n} record|{n} records", { n });

/** tone gives the class of an action's colour. */
export const tone = (action) => (knownActions.includes(action) ? action.toLowerCase() : "other");
