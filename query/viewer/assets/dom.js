// Building elements. All text comes in as text nodes: no markup is ever parsed here.
import { t } from "./i18n.js";

/** h("a", {href, class, onclick, ...}, ...children) makes an element; null, undefined and false are left out. */
export function h(tag, props, ...children) {
  return fill(document.createElement(tag), props, children);
}

function fill(element, props, children) {
  for (const [name, value] of Object.entries(props || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false));
  return element;
}

const paths = {
  search: "M10.5 17a6.5 6.5 0 1 1 0-13 6.5 6.5 0 0 1 0 13ZM20 20l-4.6-4.6",
  close: "M6 6l12 12M18 6 6 18",
  filter: "M4 6h16M7 12h10M10 18h4",
  link: "M10 14a4 4 0 0 0 5.7 0l3-3A4 4 0 0 0 13 5.3l-1 1M14 10a4 4 0 0 0-5.7 0l-3 3A4 4 0 0 0 11 18.7l1-1",
  left: "M15 5l-7 7 7 7",
  right: "M9 5l7 7-7 7",
  up: "M5 15l7-7 7 7",
  down: "M5 9l7 7 7-7",
  refresh: "M20 11a8 8 0 1 0-2.3 6.3M20 4v7h-7",
  out: "M14 4h5v16h-5M4 12h11M11 8l4 4-4 4",
  lock: "M6 11h12v9H6zM8.5 11V8a3.5 3.5 0 0 1 7 0v3",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  alert: "M12 4 2.5 20h19zM12 10v5M12 17.5v.100",
  only: "M4 5h16l-6.5 8v6l-3-2v-4z",
  exclude: "M12 3.500a8.500 8.500 0 1 0 0 17 8.500 8.500 0 0 0 0-17ZM6 6l12 12",
  live: "M5 12h3l2.500-7 4 14 2.500-7h3",
  none: "M4 7h16M4 12h16M4 17h9",
};

/** svg makes an element of a drawing. */
export function svg(tag, props, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), props, children);
}

/** icon gives a drawing that screen readers pass over. */
export function icon(name) {
  return svg("svg", { viewBox: "0 0 24 24", class: "icon", "aria-hidden": "true" }, svg("path", { d: paths[name] }));
}

// Emoji are joined and coloured by characters that are invisible elsewhere.
const emoji = "\\p{Extended_Pictographic}\\ufe0f?(?:\\u200d\\p{Extended_Pictographic}\\ufe0f?)*";
// What does not show, or changes how the text around it shows.
const hidden =
  /[\u0000-\u0009\u000a-\u001f\u007f-\u00a0\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffc\u{e0000}-\u{e0fff}]|\p{Cs}/u;
const invisible = new RegExp(`(?<emoji>${emoji})|${hidden.source}`, "gu");
const names = {
  0x00: "NUL", 0x07: "BEL", 0x08: "BS", 0x0d: "CR", 0x1b: "ESC", 0x7f: "DEL", 0xa0: "NBSP", 0xad: "SHY", 0x200b: "ZWSP", 0x200c: "ZWNJ", 0x200d: "ZWJ",
  0x200e: "LRM", 0x200f: "RLM", 0x202a: "LRE", 0x202b: "RLE", 0x202c: "PDF", 0x202d: "LRO", 0x202e: "RLO", 0x2060: "WJ",
  0x2066: "LRI", 0x2067: "RLI", 0x2068: "FSI", 0x2069: "PDI", 0xfeff: "BOM",
};

/**
 * visible gives a text for display: isolated from the direction of what stands around it, and with
 * characters that cannot be seen shown by name. With lines, line breaks and tabs stay what they are.
 */
export function visible(text, lines = false) {
  const box = h("bdi", null);
  text = String(text);
  let from = 0;
  for (const m of text.matchAll(invisible)) {
    if (m.groups.emoji) continue;
    const code = m[0].codePointAt(0);
    if (lines && (code === 10 || code === 9)) continue;
    if (m.index > from) box.append(text.slice(from, m.index));
    const hex = "U+" + code.toString(16).toUpperCase().padStart(4, "0");
    const shown = code === 10 ? "↵" : code === 9 ? "⇥" : names[code] || hex;
    box.append(h("span", { class: "ctl", title: hex }, shown));
    from = m.index + m[0].length;
  }
  box.append(text.slice(from));
  return box;
}

/** clean gives a text for where no elements can be, such as a title. */
export function clean(text) {
  return String(text).replace(invisible, (found, emoji) => emoji || "\ufffd");
}

/** cut shortens a text for a line. */
export function cut(text, most = 160) {
  const letters = Array.from(String(text).slice(0, most * 2 + 2));
  return letters.length > most ? letters.slice(0, most).join("") + "…" : String(text);
}

/** announce tells screen readers what has changed. */
export function announce(text) {
  let box = document.getElementById("live");
  if (!box) {
    box = h("div", { id: "live", class: "sr", role: "status", "aria-live": "polite" });
    document.body.append(box);
  }
  box.textContent = text;
}

/** copyButton copies what text() gives. */
export function copyButton(label, text) {
  const caption = h("span", null, label);
  const button = h("button", { type: "button", class: "ghost small" }, icon("copy"), caption);
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text());
      caption.textContent = t("Copied");
    } catch {
      caption.textContent = t("Copying is not allowed");
    }
    announce(caption.textContent);
    setTimeout(() => (caption.textContent = label), 1600);
  });
  return button;
}
