// Fills the list of versions from the file that stands beside the folders of all versions.
const root = `${document.documentElement.dataset.content_root}../`;
const script = document.createElement("script");
script.src = `${root}versions.js`;
script.addEventListener("load", () => {
  const { versions, latest, pages } = window.happyhorseVersions;
  for (const menu of document.querySelectorAll(".versions")) {
    const { version: shown, page } = menu.dataset;
    for (const version of versions) {
      const link = document.createElement("a");
      link.href = `${root}${version}/${pages[version].includes(page) ? page : "index"}.html`;
      link.textContent = version === latest ? `${version} (latest)` : version;
      if (version === shown) link.setAttribute("aria-current", "true");
      const item = document.createElement("li");
      item.append(link);
      menu.querySelector("ul").append(item);
    }
  }
});
document.head.append(script);
