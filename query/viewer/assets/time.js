// Times in the zone of the application, whatever the browser's zone is.
import { language, number, t } from "./i18n.js";

const own = document.documentElement.dataset.zone || "UTC";
/** zone is the chosen zone. */
export let zone = "";
const locale = language === "en" ? "en-GB" : language;
let dayKey, dayName, dayShort, clockTime, offsetName;
const relative = new Intl.RelativeTimeFormat(language, { numeric: "auto", style: "short" });

/** setZone chooses the zone in which all times are shown: that of the application if there is none. */
export function setZone(name) {
  const next = name || own;
  if (next === zone) return;
  zone = next;
  let timeZone = zone === "Local" ? undefined : zone;
  try {
    new Intl.DateTimeFormat("en", { timeZone });
  } catch {
    timeZone = undefined; // the server says what is wrong with it
  }
  const format = (options) => new Intl.DateTimeFormat(locale, { timeZone, ...options });
  dayKey = new Intl.DateTimeFormat("en-CA", { timeZone, year: "numeric", month: "2-digit", day: "2-digit" });
  dayName = format({ weekday: "long", day: "numeric", month: "long", year: "numeric" });
  dayShort = format({ day: "numeric", month: "short", year: "numeric" });
  clockTime = format({ hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
  offsetName = new Intl.DateTimeFormat("en", { timeZone, timeZoneName: "longOffset" });
}
setZone("");

/** zones gives those that are offered first: of the application, of the browser, UTC. */
export const zones = [...new Set([own, Intl.DateTimeFormat().resolvedOptions().timeZone, "UTC"])];

/** key gives the day of a time in the zone, as YYYY-MM-DD. */
export const key = (date) => dayKey.format(date);

/** today gives the day that is n days before today, as YYYY-MM-DD. */
export function today(n = 0) {
  const [y, m, d] = key(new Date()).split("-").map(Number);
  return new Date(Date.UTC(y, m - 1, d - n)).toISOString().slice(0, 10);
}

/** day gives the heading of a day. */
export function day(date) {
  const k = key(date);
  const name = dayName.format(date);
  if (k === today()) return [t("Today"), name];
  if (k === today(1)) return [t("Yesterday"), name];
  return [name, ""];
}

/** offset gives the zone's distance from UTC at a time, such as UTC+07:00. */
export function offset(date) {
  const part = offsetName.formatToParts(date).find((p) => p.type === "timeZoneName");
  const name = (part ? part.value : "GMT").replace("GMT", "UTC");
  return name === "UTC+00:00" ? "UTC" : name;
}

/** clock gives the time of day, to the second. */
export const clock = (date) => clockTime.format(date);

/** exact gives day, time with the fraction that the record has, and offset; brief leaves out the name of
 * the day, the fraction and the offset. */
export function exact(iso, brief = false) {
  const date = new Date(iso);
  if (brief) return `${dayShort.format(date)}, ${clock(date)}`;
  const fraction = (/\.(\d+)/.exec(iso) || ["", ""])[1].slice(0, 6);
  return `${dayName.format(date)}, ${clock(date)}${fraction ? "." + fraction : ""} ${offset(date)}`;
}

/** short gives a time for an axis: the day, and the time of day if it is not midnight. */
export function short(iso) {
  const date = new Date(iso);
  const time = clock(date).slice(0, 5);
  return time === "00:00" ? dayShort.format(date) : `${dayShort.format(date)}, ${time}`;
}

/** duration gives a length of time. */
export function duration(ms) {
  const s = Math.round(ms / 1000);
  if (s < 1) return t("less than a second");
  const parts = [[Math.floor(s / 3600), "h"], [Math.floor((s % 3600) / 60), "min"], [s % 60, "s"]].filter(([n]) => n > 0);
  return parts.map(([n, unit]) => number(n) + " " + unit).join(" ");
}

const steps = [["year", 31536000], ["month", 2592000], ["day", 86400], ["hour", 3600], ["minute", 60]];

/** ago gives the distance from now in words. */
export function ago(date) {
  const seconds = (date.getTime() - Date.now()) / 1000;
  for (const [unit, size] of steps) {
    if (Math.abs(seconds) >= size) return relative.format(Math.trunc(seconds / size), unit);
  }
  return Math.abs(seconds) < 10 ? t("just now") : relative.format(Math.trunc(seconds), "second");
}
