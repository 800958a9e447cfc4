// How many records there are over time. Dragging over it, or the keyboard, narrows the time.
import * as api from "./api.js";
import { h, icon, svg } from "./dom.js";
import { number, t } from "./i18n.js";
import { change, matching } from "./state.js";
import { exact, short } from "./time.js";
import { knownActions, tone } from "./words.js";

const most = 120; // bars

/** histogram gives {element, load}. go(params) asks for another state. */
export function histogram(go) {
  let params = new URLSearchParams();
  let buckets = [];
  let [from, to] = [-1, -1]; // the bars that are chosen
  let dragging = false;
  let abort = null;

  const chart = svg("svg", { class: "bars", preserveAspectRatio: "none", "aria-hidden": "true" });
  const slider = h("div", {
    class: "brush", tabindex: "0", role: "slider", "aria-label": t("Records over time"), "aria-valuemin": "0", "aria-valuemax": "0", "aria-valuenow": "0",
    title: t("Drag to choose a time"),
  }, chart);
  const begin = h("span", null);
  const end = h("span", null);
  const caption = h("span", { class: "caption" });
  const out = h("button", { type: "button", class: "ghost small" }, icon("close"), t("All times"));
  out.addEventListener("click", () => {
    go(change(params, { from: null, to: null }));
    slider.focus();
  });
  const element = h("section", { class: "histogram", "aria-label": t("Records over time") }, slider, h("div", { class: "axis" }, begin, caption, out, end));

  /** say tells about the chosen bars, to the eye and to screen readers. */
  function say() {
    if (from < 0) return;
    const [a, b] = [Math.min(from, to), Math.max(from, to)];
    const n = buckets.slice(a, b + 1).reduce((sum, bucket) => sum + bucket.count, 0);
    const text = `${short(buckets[a].start)} – ${short(buckets[b].end)}: ${t("{n} record|{n} records", { n })}`;
    caption.textContent = text;
    slider.setAttribute("aria-valuenow", String(to));
    slider.setAttribute("aria-valuetext", text);
    const frame = chart.querySelector(".frame");
    frame.setAttribute("x", String(a * 10));
    frame.setAttribute("width", String((b - a + 1) * 10));
  }

  function apply() {
    if (from < 0) return;
    const [a, b] = [Math.min(from, to), Math.max(from, to)];
    go(change(params, { from: buckets[a].start, to: buckets[b].end, record: null }));
  }

  function unmark() {
    from = to = -1;
    caption.textContent = "";
    chart.querySelector(".frame")?.setAttribute("width", "0");
  }

  const at = (event) => {
    const box = slider.getBoundingClientRect();
    return Math.min(buckets.length - 1, Math.max(0, Math.floor(((event.clientX - box.left) / box.width) * buckets.length)));
  };
  slider.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || buckets.length === 0) return;
    dragging = true;
    slider.setPointerCapture(event.pointerId);
    from = to = at(event);
    say();
  });
  slider.addEventListener("pointermove", (event) => {
    if (buckets.length === 0) return;
    if (!dragging) from = at(event);
    to = at(event);
    say();
  });
  slider.addEventListener("pointerup", () => {
    if (!dragging) return;
    dragging = false;
    apply();
  });
  slider.addEventListener("pointercancel", () => {
    dragging = false;
    unmark();
  });
  slider.addEventListener("pointerleave", () => !dragging && unmark());
  slider.addEventListener("focus", () => {
    if (from >= 0 || buckets.length === 0 || dragging) return;
    from = to = buckets.length - 1;
    say();
  });
  slider.addEventListener("blur", () => !dragging && unmark());
  slider.addEventListener("keydown", (event) => {
    const last = buckets.length - 1;
    if (last < 0) return;
    if (event.key === "Enter" || event.key === " ") apply();
    else if (event.key === "Escape") {
      if (!params.has("from") && !params.has("to")) return;
      go(change(params, { from: null, to: null }));
    } else {
      const next = { ArrowLeft: to - 1, ArrowRight: to + 1, ArrowDown: to - 1, ArrowUp: to + 1, Home: 0, End: last, PageUp: to + 10, PageDown: to - 10 }[event.key];
      if (next === undefined) return;
      to = Math.min(last, Math.max(0, next));
      if (!event.shiftKey) from = to;
      say();
    }
    event.preventDefault();
    event.stopPropagation();
  });

  function draw() {
    const top = Math.max(1, ...buckets.map((b) => b.count));
    chart.setAttribute("viewBox", `0 0 ${buckets.length * 10} 100`);
    const bars = buckets.flatMap((bucket, i) => {
      let y = 100;
      const by = Object.entries(bucket.by || {}).sort(([a], [b]) => knownActions.indexOf(a.toUpperCase()) - knownActions.indexOf(b.toUpperCase()));
      const rest = bucket.count - by.reduce((sum, [, n]) => sum + n, 0);
      if (rest > 0) by.push(["", rest]);
      return by.map(([action, n]) => {
        const high = (n / top) * 100;
        y -= high;
        return svg("rect", { class: "bar " + tone(action.toUpperCase()), x: i * 10 + 1, y, width: 8, height: high });
      });
    });
    chart.replaceChildren(svg("rect", { class: "frame", x: 0, y: 0, width: 0, height: 100 }), ...bars);
    slider.setAttribute("aria-valuemax", String(Math.max(0, buckets.length - 1)));
    begin.textContent = buckets.length ? short(buckets[0].start) : "";
    end.textContent = buckets.length ? short(buckets[buckets.length - 1].end) : "";
    slider.setAttribute("aria-valuetext", buckets.length ? `${exact(buckets[0].start)} – ${exact(buckets[buckets.length - 1].end)}, ${number(buckets.length)}` : "");
  }

  return {
    element,
    async load(next) {
      params = next;
      abort?.abort();
      abort = new AbortController();
      const { signal } = abort;
      element.setAttribute("aria-busy", "true");
      out.hidden = !params.has("from") && !params.has("to");
      try {
        const found = await api.histogram(matching(params, { by: "action", max_buckets: most }), signal);
        if (signal.aborted) return;
        buckets = found.buckets;
        unmark();
        draw();
        element.hidden = buckets.length === 0;
      } catch (problem) {
        if (problem.name === "AbortError") return;
        buckets = [];
        element.hidden = true; // the list says what is wrong
      } finally {
        if (!signal.aborted) element.removeAttribute("aria-busy");
      }
    },
  };
}
