// The cards of the jobs: live state, the video, and what can be done.

import { post } from "./api.js";
import { announce, byId, element } from "./dom.js";
import { settle } from "./settle.js";
import { bytes, clock, moment, text } from "./text.js";

const GOOD = new Set(["SUCCEEDED"]);
const BAD = new Set(["FAILED", "EXPIRED", "REFUSED"]);
const WITHDRAWABLE = new Set(["QUEUED", "SUBMITTING", "ACCEPTED"]);

export class Jobs {
  constructor({ onAgain }) {
    this.onAgain = onAgain;
    this.rows = new Map();
    this.cards = new Map();
    setInterval(() => this.tick(), 1000);
  }

  update(rows) {
    // The newest come first, and are put in from the oldest on.
    for (const row of [...rows].reverse()) {
      const before = this.rows.get(row.job_id);
      this.rows.set(row.job_id, row);
      const card = this.cards.get(row.job_id) ?? new Card(this);
      if (!this.cards.has(row.job_id)) {
        this.cards.set(row.job_id, card);
        byId("jobs").prepend(card.root);
      }
      card.show(row);
      if (before && !before.is_final && row.state === "SUCCEEDED") announce(text("finished", { prompt: row.prompt ?? "" }));
    }
    byId("empty").hidden = this.rows.size > 0;
  }

  redraw() { for (const [id, card] of this.cards) card.show(this.rows.get(id)); }

  tick() { for (const card of this.cards.values()) card.tick(); }
}

class Card {
  constructor(jobs) {
    this.jobs = jobs;
    this.title = element("h3");
    this.facts = element("div", { className: "facts" });
    this.time = element("p", { className: "clock" });
    this.progress = element("progress", { max: 100 });
    this.screen = element("div", { className: "screen" }, this.time);
    this.actions = element("div", { className: "actions" });
    this.problem = element("p", { className: "error", role: "alert", hidden: true });
    const about = element("div", { className: "about" }, this.title, this.facts, this.problem, this.actions);
    this.root = element("li", { className: "job" }, this.screen, this.progress, about);
  }

  show(row) {
    this.row = row;
    this.root.dataset.state = row.state;
    this.root.dataset.moving = !row.is_final && row.state !== "OUTCOME_UNKNOWN";
    this.title.textContent = row.prompt || text(row.mode ?? "noPrompt");
    this.facts.replaceChildren(...this.lines(row));
    this.progress.hidden = row.is_final || row.state !== "ACCEPTED";
    this.progress.ariaLabel = text("RUNNING");
    if (row.task?.progress !== null && row.task?.progress !== undefined) this.progress.value = row.task.progress;
    else this.progress.removeAttribute("value");
    this.showVideo(row);
    this.actions.replaceChildren(...this.buttons(row));
    this.tick();
  }

  lines(row) {
    const state = row.state === "ACCEPTED" && row.task?.status === "RUNNING" ? "RUNNING" : row.state;
    const tone = GOOD.has(state) ? " good" : BAD.has(state) ? " bad" : state === "OUTCOME_UNKNOWN" ? " warn" : "";
    const usage = row.task?.usage;
    const setting = [row.provider, row.model].filter(Boolean).join(" · ");
    return [
      element("p", {}, element("span", { className: `state${tone}` }, text(state)), ` ${setting}`),
      row.error && element("p", { className: "error" }, row.error.message),
      row.billed ? element("p", {}, text("cost", { price: row.billed })) : row.price && element("p", {}, text("price", { price: row.price })),
      usage?.duration != null && element("p", {}, text("billed", { seconds: usage.duration, resolution: usage.resolution ?? "" })),
      row.video ? element("p", {}, text("saved", { size: bytes(row.size) })) : row.is_saving && element("p", {}, text("saving")),
      row.state === "SUCCEEDED" && row.until && element("p", { className: "hint" }, text("until", { time: moment(row.until) })),
    ].filter(Boolean);
  }

  // The same element for as long as it is the same video, so that it goes on playing.
  showVideo(row) {
    const source = row.video ? `/api/jobs/${row.job_id}/video` : null;
    if (source === this.source) return;
    this.source = source;
    this.screen.replaceChildren(source
      ? element("video", { src: source, controls: true, preload: "metadata", playsInline: true, ariaLabel: row.prompt || text("videos") })
      : this.time);
  }

  buttons(row) {
    const button = (name, act) => element("button", { type: "button", onclick: act }, text(name));
    return [
      WITHDRAWABLE.has(row.state) && button("cancel", () => this.act("cancel")),
      row.state === "ACCEPTED" && button("resume", () => this.act("resume")),
      row.state === "OUTCOME_UNKNOWN" && button("settle", () => settle(row)),
      row.state === "SUCCEEDED" && !row.video && button("save", () => this.act("save")),
      row.video && element("a", { className: "button", href: `/api/jobs/${row.job_id}/video`, download: `${row.job_id}.mp4` }, text("file")),
      row.asked && button("again", () => this.jobs.onAgain(row)),
    ].filter(Boolean);
  }

  async act(name) {
    this.problem.hidden = true;
    for (const button of this.actions.querySelectorAll("button")) button.disabled = true;
    try {
      await post(`/api/jobs/${this.row.job_id}/${name}`);
    } catch (error) {
      this.problem.textContent = error.message || text("unreachable");
      this.problem.hidden = false;
    } finally {
      for (const button of this.actions.querySelectorAll("button")) button.disabled = false;
    }
  }

  tick() {
    const { row } = this;
    this.screen.hidden = row.is_final && !row.video;
    if (row.is_final) return;
    const elapsed = clock((Date.now() - Date.parse(row.created_at)) / 1000);
    this.time.textContent = row.usual ? text("elapsedUsual", { elapsed, usual: clock(row.usual) }) : text("elapsed", { elapsed });
  }
}
