// Records as they arrive. The connection is the browser's own EventSource, which comes back by itself and
// then says where it was.
import * as api from "./api.js";
import { announce } from "./dom.js";
import { t } from "./i18n.js";
import { matching } from "./state.js";

/** liveTail gives {start, stop}. on.record(record), on.open() and on.state(text, kind) are called. */
export function liveTail(on) {
  let source = null;
  let address = "";

  function stop() {
    source?.close();
    source = null;
    address = "";
  }

  return {
    stop,
    /** start follows what matches; with the same filters it changes nothing. */
    start(params) {
      const q = matching(params);
      for (const name of ["from", "to", "from_date", "to_date", "last"]) q.delete(name);
      const next = new URL("api/stream/?" + q, api.base).href;
      if (next === address) return;
      stop();
      address = next;
      on.state(t("Connecting…"), "wait");
      const mine = new EventSource(next);
      source = mine;
      mine.addEventListener("open", () => {
        on.state(t("Live"), "on");
        announce(t("New records appear as they arrive."));
        on.open();
      });
      mine.addEventListener("record", (event) => {
        try {
          on.record(api.parse(event.data));
        } catch {
          on.state(t("A record could not be read"), "off");
        }
      });
      mine.addEventListener("error", () => {
        if (source !== mine) return;
        on.state(mine.readyState === EventSource.CLOSED ? t("New records cannot be shown here") : t("Connecting…"), mine.readyState === EventSource.CLOSED ? "off" : "wait");
      });
    },
  };
}
