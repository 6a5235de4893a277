// Renews the list of refusals. Without it the page is the same, and the link Refresh renews it.
"use strict";

const live = document.getElementById("live");
if (live) {
  const renew = async () => {
    if (document.hidden || live.contains(document.activeElement)) return;
    const response = await fetch(location.href, { credentials: "same-origin" });
    if (!response.ok) return;
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const fresh = page.getElementById("live");
    if (fresh) live.replaceChildren(...fresh.childNodes);
  };
  setInterval(() => renew().catch(() => {}), Number(live.dataset.seconds) * 1000);
}
