// The form: what the chosen model can do, what would be sent, and the click that sends it.

import { post } from "./api.js";
import { announce, byId, element } from "./dom.js";
import { MediaField } from "./media.js";
import { bytes, text } from "./text.js";

const OPTIONS = ["resolution", "ratio", "audio"];
const MEDIA = { t2v: [], i2v: [["image", "image"]], r2v: [["images", "image"]], edit: [["video", "video"], ["images", "image"]] };
const PLAN_DELAY = 350;

export class Form {
  constructor(setup) {
    this.setup = setup;
    this.form = byId("form");
    this.fields = {};
    this.media = [];
    for (const name of ["prompt", "provider", "version", "resolution", "ratio", "duration", "seed", "watermark", "audio"]) {
      this.fields[name] = this.form.elements[name];
      this.fields[name].addEventListener("input", () => this.changed(name));
    }
    for (const radio of this.form.elements.mode) radio.addEventListener("change", () => this.changed("mode"));
    this.form.addEventListener("submit", (event) => { event.preventDefault(); this.submit(); });
    document.addEventListener("paste", (event) => this.pasted(event));
    // A file dropped beside a field would replace the page.
    for (const name of ["dragover", "drop"]) document.addEventListener(name, (event) => event.preventDefault());
    this.rebuild();
  }

  get mode() { return this.form.elements.mode.value; }

  get account() {
    const named = this.fields.provider.value || this.setup.default;
    return this.setup.accounts.find((account) => account.name === named) ?? this.setup.accounts[0];
  }

  get model() {
    const models = this.account.models.filter((model) => model.mode === this.mode);
    const version = this.fields.version.value;
    return models.find((model) => model.version === version) ?? models.find((model) => !model.opt_in) ?? models[0];
  }

  changed(name) {
    if (["mode", "provider", "version"].includes(name)) this.rebuild();
    else this.planSoon();
  }

  rebuild() {
    this.fillAccounts();
    this.fillVersions();
    this.reasons = [];
    const model = this.model;
    for (const name of OPTIONS) this.fillChoice(name, model);
    this.fillSwitch(model);
    this.fillNumber("duration", model, model?.duration ?? []);
    this.fillNumber("seed", model, model?.seed ? [0, 2147483647] : []);
    if (!model) this.reasons = [text("noMode", { account: this.account.name, others: this.having((other) => other.mode === this.mode) })];
    byId("reasons").replaceChildren(...this.reasons.map((reason) => element("li", {}, reason)));
    this.fillMedia(model);
    this.planSoon();
  }

  fill(select, choices) {
    const value = select.value;
    select.replaceChildren(...choices.map(([option, label, reason]) =>
      element("option", { value: option, disabled: Boolean(reason), title: reason ?? "" }, label)));
    select.value = choices.some(([option, , reason]) => option === value && !reason) ? value : "";
  }

  fillAccounts() {
    const several = this.setup.accounts.length > 1;
    const first = several ? [["", text("automatic")]] : [["", this.setup.accounts[0].name]];
    const rest = several ? this.setup.accounts.map(({ name }) => [name, name]) : [];
    this.fill(this.fields.provider, [...first, ...rest]);
  }

  fillVersions() {
    const versions = this.account.models.filter((model) => model.mode === this.mode).map((model) => model.version);
    this.fill(this.fields.version, [["", text("default")], ...versions.map((version) => [version, version])]);
  }

  fillChoice(name, model) {
    const everywhere = new Set(Object.values(this.setup.installed).flat().filter((other) => other.mode === this.mode).flatMap((other) => other[name]));
    const choices = [...everywhere].map((value) => {
      const reason = model?.[name].includes(value) ? null : this.why(name, value, (other) => other.mode === this.mode && other[name].includes(value));
      return [value, reason ? `${this.label(value)} — ${reason}` : this.label(value), reason];
    });
    this.fields[name].disabled = !model?.[name].length;
    this.fill(this.fields[name], [["", text("default")], ...choices]);
    if (model && !model[name].length) this.reasons.push(text("nowhere", { option: text(name), account: this.account.name }));
  }

  label(value) { return ["auto", "origin"].includes(value) ? text(value) : value; }

  why(name, value, has) {
    return text("notHere", { option: text(name), value, account: this.account.name, others: this.having(has) });
  }

  having(has) {
    return Object.entries(this.setup.installed).filter(([, models]) => models.some(has)).map(([name]) => name).join(", ");
  }

  fillSwitch(model) {
    this.fill(this.fields.watermark, [["", text("default")], ["true", text("on")], ["false", text("off")]]);
    this.disable("watermark", !model?.watermark);
  }

  fillNumber(name, model, [least, most]) {
    const field = this.fields[name];
    this.disable(name, most === undefined);
    if (most === undefined) field.value = "";
    else Object.assign(field, { min: least, max: most, placeholder: name === "duration" ? `${least}–${most}` : "" });
  }

  disable(name, is) {
    this.fields[name].disabled = is;
    if (is && this.model) this.reasons.push(text("nowhere", { option: text(name), account: this.account.name }));
  }

  fillMedia(model) {
    const key = `${this.mode} ${model?.images}`;
    if (key === this.mediaKey) return;
    this.mediaKey = key;
    const kept = Object.fromEntries(this.media.map((field) => [field.name, field.items]));
    this.media = MEDIA[this.mode].map(([name, kind]) => {
      const most = name === "images" ? model?.images[1] ?? 1 : 1;
      const field = new MediaField(name, { kind, most, largest: this.setup.largest, onChange: () => this.planSoon() });
      field.items = (kept[name] ?? []).slice(0, most);
      field.show();
      return field;
    });
    byId("media").replaceChildren(...this.media.map((field) => field.root));
  }

  pasted(event) {
    const files = [...(event.clipboardData?.files ?? [])];
    const field = this.media.find((one) => files.some((file) => file.type.startsWith(`${one.kind}/`)));
    if (!field) return;
    event.preventDefault();
    field.take(files.filter((file) => file.type.startsWith(`${field.kind}/`)));
  }

  request() {
    const { fields } = this;
    const given = { mode: this.mode, prompt: fields.prompt.value.trim() };
    for (const name of ["version", ...OPTIONS]) if (!fields[name].disabled) given[name] = fields[name].value;
    for (const name of ["duration", "seed"]) if (fields[name].value !== "") given[name] = Number(fields[name].value);
    if (fields.watermark.value && !fields.watermark.disabled) given.watermark = fields.watermark.value === "true";
    for (const field of this.media) given[field.name] = field.value();
    return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== "" && value !== undefined && value?.length !== 0));
  }

  body() { return { request: this.request(), provider: this.fields.provider.value || null }; }

  // Nothing is planned before anything was entered: an empty form is no mistake.
  get isEmpty() { return !this.fields.prompt.value.trim() && this.media.every((field) => !field.items.length); }

  planSoon() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.plan(), PLAN_DELAY);
  }

  async plan() {
    this.planned?.abort();
    this.planned = new AbortController();
    const { signal } = this.planned;
    const place = byId("plan-text");
    if (this.isEmpty) return place.replaceChildren();
    try {
      const plan = await post("/api/plan", this.body(), signal);
      if (plan.error) place.replaceChildren(element("p", { className: "error" }, plan.error.message));
      else place.replaceChildren(...planLines(plan, this.setup.emulator));
    } catch (error) {
      if (!signal.aborted) place.replaceChildren(element("p", { className: "error" }, error.message || text("unreachable")));
    }
  }

  async submit() {
    const button = this.form.querySelector("[type=submit]");
    const problem = byId("form-error");
    // The same key until it is taken: a click that is repeated, or an answer that is lost, makes one job.
    this.key ??= randomKey();
    button.disabled = true;
    problem.hidden = true;
    try {
      await post("/api/jobs", { ...this.body(), key: this.key });
      this.key = undefined;
      announce(text("QUEUED"));
      showCards();
    } catch (error) {
      if (error.type !== "Unreachable") this.key = undefined;
      problem.textContent = error.message || text("unreachable");
      problem.hidden = false;
    } finally {
      button.disabled = false;
    }
  }

  async restore(asked, provider) {
    this.form.elements.mode.value = asked.mode;
    this.fields.prompt.value = asked.prompt ?? "";
    if (this.setup.accounts.length > 1 && this.setup.accounts.some(({ name }) => name === provider)) this.fields.provider.value = provider;
    this.fillVersions();
    this.fields.version.value = asked.version ?? "";
    this.rebuild();
    for (const name of [...OPTIONS, "duration", "seed"]) this.fields[name].value = asked[name] ?? "";
    this.fields.watermark.value = asked.watermark === undefined ? "" : String(asked.watermark);
    for (const field of this.media) await field.restore(asked[field.name] ?? []);
    this.planSoon();
    this.fields.prompt.focus();
    byId("make").scrollIntoView({ block: "start" });
  }
}

// Not randomUUID, which a browser lacks where the page has another address than this machine's own.
function randomKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

// The new card is the first of the list, which may be above or below what the window shows.
function showCards() {
  const title = byId("videos-title");
  const { top } = title.getBoundingClientRect();
  if (top < 0 || top > innerHeight / 2) title.scrollIntoView({ block: "start" });
}

function planLines(plan, isEmulator) {
  const media = plan.media.map((medium) =>
    element("p", {}, text(`media_${medium.delivery}`, { name: medium.name, size: bytes(medium.sent) })));
  const warnings = plan.warnings.map((warning) => element("p", { className: "warning" }, warning));
  const rejected = plan.rejected.map(({ provider, reason }) => element("p", { className: "hint" }, text("rejectedBy", { provider, reason })));
  const messages = plan.messages.map((message) => element("pre", { tabIndex: 0 }, written(message)));
  return [
    element("p", {}, text("goesTo", plan)),
    plan.price ? element("p", { className: "price" }, text("price", { price: plan.price })) : element("p", {}, text(isEmulator ? "nothingPaid" : "noPrice")),
    ...media, ...warnings, ...rejected,
    element("details", {}, element("summary", {}, text("message")), ...messages),
  ];
}

function written({ method, url, headers, body }) {
  let shown = body;
  try {
    shown = JSON.stringify(JSON.parse(body), null, 2);
  } catch {
    // Shown as it is.
  }
  return [`${method} ${url}`, ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`), "", shown].join("\n");
}
