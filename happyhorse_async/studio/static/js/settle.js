// A job whose submit was not answered: the tasks that may be its own, and the decision.

import { get, post } from "./api.js";
import { byId, element } from "./dom.js";
import { moment, text } from "./text.js";

export async function settle(row) {
  const dialog = byId("settle");
  const place = byId("settle-text");
  const problem = element("p", { className: "error", role: "alert", hidden: true });
  const decide = async (decision) => {
    try {
      await post(`/api/jobs/${row.job_id}/settle`, decision);
      dialog.close();
    } catch (error) {
      problem.textContent = error.message || text("unreachable");
      problem.hidden = false;
    }
  };
  place.replaceChildren(element("p", {}, row.prompt ?? ""), element("p", {}, text("settleText")), problem);
  dialog.showModal();
  try {
    const { has_list: hasList, candidates } = await get(`/api/jobs/${row.job_id}/candidates`);
    const found = candidates.map((task) => element("li", {},
      element("button", { type: "button", onclick: () => decide({ adopt: task.ref }) }, text("adopt", { ref: task.ref })),
      ` ${task.status} ${task.created_at ? moment(task.created_at) : ""}`));
    const note = !hasList ? "noList" : found.length ? "candidates" : "noCandidates";
    place.append(element("p", {}, text(note)), element("ul", {}, ...found));
  } catch (error) {
    problem.textContent = error.message || text("unreachable");
    problem.hidden = false;
  }
  place.append(element("p", {}, element("button", { type: "button", onclick: () => decide({ write_off: true }) }, text("writeOff"))));
}
