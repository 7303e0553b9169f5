// Follows an examination: the server tells when something changes; where it cannot, it is asked once a second.
import { ready, say } from "./start.js";

const WORDS = { waiting: "Waiting", running: "Being examined", done: "Examined", failed: "Not examined" };
const place = document.querySelector("[data-events]");

function told(row) {
  if (row.state === "running") return row.stage || "Reading the file";
  if (row.state === "waiting" && row.position) return `Number ${row.position} in the queue`;
  return WORDS[row.state] || row.state;
}

function finished(row) {
  return row.state === "done" || row.state === "failed";
}

function show(rows) {
  const only = place.dataset.only;
  const summary = place.querySelector("[data-summary]");
  if (only) {
    const row = rows.find((each) => each.picture_id === only);
    if (!row || finished(row)) return location.reload();
    return say(summary, told(row));
  }
  const left = rows.filter((row) => !finished(row)).length;
  for (const row of rows) {
    const item = place.querySelector(`[data-picture="${CSS.escape(row.picture_id)}"]`);
    const state = item?.querySelector("[data-state] .state");
    if (!state) continue;
    if (finished(row)) state.className = row.state === "done" ? "state state-done" : "state state-error";
    say(state, WORDS[row.state] || row.state);
    say(item.querySelector("[data-stage]"), finished(row) ? row.error || "" : told(row));
  }
  if (!left) return location.reload();
  return say(summary, `${left} still under way. This page follows them.`);
}

function poll() {
  const again = async () => {
    try {
      const answer = await fetch(place.dataset.poll, { headers: { Accept: "application/json" } });
      if (answer.ok) show(await answer.json());
    } catch { /* the next second asks again */ }
  };
  setInterval(again, 1000);
}

ready();
if (place) {
  const source = new EventSource(place.dataset.events);
  let heard = false;
  source.addEventListener("progress", (event) => { heard = true; show(JSON.parse(event.data)); });
  source.addEventListener("end", () => { source.close(); location.reload(); });
  source.addEventListener("error", () => {
    if (heard && source.readyState !== EventSource.CLOSED) return;
    source.close();
    poll();
  });
}
