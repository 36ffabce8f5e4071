// One field for pictures or a video: dropped, pasted, chosen, or named by a URL.

import { upload } from "./api.js";
import { announce, element } from "./dom.js";
import { bytes, text } from "./text.js";

export class MediaField {
  constructor(name, { kind, most, largest, onChange }) {
    Object.assign(this, { name, kind, most, largest, onChange, items: [] });
    this.previews = element("ul", { className: "previews" });
    this.status = element("p", { className: "hint status", role: "status", hidden: true });
    this.picker = element("input", {
      type: "file", accept: `${kind}/*`, multiple: most > 1, ariaLabel: `${text(name)}: ${text("choose")}`,
      onchange: () => this.take([...this.picker.files]),
    });
    this.url = element("input", {
      type: "url", ariaLabel: `${text(name)}: ${text("orUrl")}`, placeholder: "https://", onchange: () => this.takeUrl(),
    });
    this.root = element("div", {
      className: "drop", role: "group", ariaLabel: text(name),
      ondragover: (event) => this.over(event, true), ondragleave: (event) => this.over(event, false),
      ondrop: (event) => { this.over(event, false); this.take([...event.dataTransfer.files]); },
    }, element("p", {}, element("strong", {}, text(name)), text("drop")), this.previews, this.picker,
    element("p", { className: "hint status" }, text("orUrl")), this.url, this.status);
  }

  over(event, is) {
    event.preventDefault();
    this.root.classList.toggle("over", is);
  }

  async take(files) {
    for (const file of files.slice(0, this.most)) {
      if (file.size > this.largest) {
        this.say(text("tooLarge", { name: file.name, limit: Math.floor(this.largest / 2 ** 20) }), true);
        continue;
      }
      try {
        const medium = await upload(file, (loaded, total) =>
          this.say(text("uploading", { name: file.name, percent: Math.floor((loaded / (total || 1)) * 100) })));
        this.add({ id: medium.id, mime: medium.mime, label: `${file.name} (${bytes(medium.size)})` });
        this.say(text("ready", { name: file.name }));
      } catch (error) {
        this.say(`${file.name}: ${error.message || text("unreachable")}`, true);
      }
    }
    this.picker.value = "";
  }

  takeUrl() {
    const url = this.url.value.trim();
    if (url) this.add({ url, label: url });
    this.url.value = "";
  }

  add(item) {
    if (this.items.length >= this.most) this.items.shift();
    this.items.push(item);
    this.show();
    this.onChange();
  }

  show() {
    this.previews.replaceChildren(...this.items.map((item) => {
      const isVideo = item.mime?.startsWith("video/");
      const source = item.id ? `/api/media/${item.id}` : null;
      const shown = !source ? null : isVideo
        ? element("video", { src: source, muted: true, controls: true, ariaLabel: item.label })
        : element("img", { src: source, alt: item.label });
      const remove = element("button", {
        type: "button", ariaLabel: text("remove", { name: item.label }),
        onclick: () => { this.items = this.items.filter((other) => other !== item); this.show(); this.onChange(); },
      }, "×");
      return element("li", {}, shown, item.label, " ", remove);
    }));
  }

  say(message, isError = false) {
    this.status.hidden = false;
    this.status.className = isError ? "error status" : "hint status";
    this.status.textContent = message;
    if (isError) announce(message);
  }

  value() {
    const values = this.items.map((item) => (item.id ? { id: item.id } : item.url));
    return this.name === "images" ? values : values[0];
  }

  // What was asked for earlier; a file that is gone since is left out.
  async restore(value) {
    this.items = [];
    for (const medium of [value].flat()) {
      if (typeof medium === "string") this.items.push({ url: medium, label: medium });
      else if (medium?.id) {
        const answer = await fetch(`/api/media/${medium.id}`, { method: "HEAD" });
        const mime = answer.headers.get("Content-Type");
        if (answer.ok) this.items.push({ id: medium.id, mime, label: mime });
      }
    }
    this.show();
  }
}
