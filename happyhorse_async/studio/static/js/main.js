// The page from its opening on.

import { get } from "./api.js";
import { byId, element } from "./dom.js";
import { Form } from "./make.js";
import { Jobs } from "./jobs.js";
import { preferredLanguage, speak, text } from "./text.js";

// The token has become a cookie; what stays in the address bar ends up in screenshots.
history.replaceState(null, "", "/");

let health = null;
let reachable = true;

function showBanner(setup) {
  const banner = byId("banner");
  const problem = !reachable ? text("unreachable") : health?.store_error ? text("storeError", { error: health.store_error }) : "";
  banner.textContent = problem || (setup?.emulator ? text("emulator") : "");
  banner.hidden = !banner.textContent;
}

function showHealth() {
  const items = Object.entries(health?.accounts ?? {}).map(([name, account]) => {
    const queued = (account.jobs.QUEUED ?? 0) + (account.jobs.SUBMITTING ?? 0);
    const parts = [
      account.queries_per_second ? text("rate", { account: name, rate: account.queries_per_second.toFixed(1) }) : name,
      queued ? text("queued", { count: queued }) : "",
      account.jobs.ACCEPTED ? text("running", { count: account.jobs.ACCEPTED }) : "",
      account.last_error ? text("accountError", { error: account.last_error }) : "",
    ];
    return element("li", { className: account.last_error ? "warn" : "" }, parts.filter(Boolean).join(", "));
  });
  const list = byId("accounts");
  list.ariaLabel = list.title = text("rateMeaning");
  list.replaceChildren(...items);
}

async function start() {
  const select = byId("language");
  select.value = preferredLanguage();
  speak(select.value);
  let setup;
  try {
    setup = await get("/api/setup");
  } catch (error) {
    byId("banner").textContent = error.message || text("unreachable");
    byId("banner").hidden = false;
    return;
  }
  const form = new Form(setup);
  const jobs = new Jobs({ onAgain: (row) => form.restore(row.asked, row.provider) });
  select.addEventListener("change", () => {
    speak(select.value);
    form.mediaKey = undefined;
    form.rebuild();
    jobs.redraw();
    showHealth();
    showBanner(setup);
  });
  const events = new EventSource("/api/events");
  events.addEventListener("jobs", (event) => jobs.update(JSON.parse(event.data)));
  events.addEventListener("health", (event) => {
    health = JSON.parse(event.data);
    showHealth();
    showBanner(setup);
  });
  events.addEventListener("open", () => { reachable = true; showBanner(setup); });
  events.addEventListener("error", () => { reachable = false; showBanner(setup); });
  showBanner(setup);
}

start();
