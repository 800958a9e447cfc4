// Times in the zone of the application, whatever the browser's zone is.

export const zone = document.documentElement.dataset.zone || "UTC";
const valid = (() => {
  try {
    new Intl.DateTimeFormat("en", { timeZone: zone });
    return zone !== "Local";
  } catch {
    return false;
  }
})();
const timeZone = valid ? zone : undefined;
const format = (options) => new Intl.DateTimeFormat("en-GB", { timeZone, ...options });

const dayKey = new Intl.DateTimeFormat("en-CA", { timeZone, year: "numeric", month: "2-digit", day: "2-digit" });
const dayName = format({ weekday: "long", day: "numeric", month: "long", year: "numeric" });
const clockTime = format({ hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const offsetName = new Intl.DateTimeFormat("en", { timeZone, timeZoneName: "longOffset" });
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "short" });

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
  if (k === today()) return ["Today", name];
  if (k === today(1)) return ["Yesterday", name];
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

/** exact gives day, time with the fraction that the record has, and offset. */
export function exact(iso) {
  const date = new Date(iso);
  const fraction = (/\.(\d+)/.exec(iso) || ["", ""])[1].slice(0, 6);
  return `${dayName.format(date)}, ${clock(date)}${fraction ? "." + fraction : ""} ${offset(date)}`;
}

const steps = [["year", 31536000], ["month", 2592000], ["day", 86400], ["hour", 3600], ["minute", 60]];

/** ago gives the distance from now in words. */
export function ago(date) {
  const seconds = (date.getTime() - Date.now()) / 1000;
  for (const [unit, size] of steps) {
    if (Math.abs(seconds) >= size) return relative.format(Math.trunc(seconds / size), unit);
  }
  return Math.abs(seconds) < 10 ? "just now" : relative.format(Math.trunc(seconds), "second");
}
