// Draws the answers as they come. Without this script the page reloads itself, and shows the same.
"use strict";

const form = document.querySelector("form[data-boards]");
const button = form.querySelector("button");
const PAUSE = 250; // milliseconds

const find = (selector) => document.querySelector(selector);
const pause = () => new Promise((resolve) => setTimeout(resolve, PAUSE));

async function draw() {
  const answer = await fetch(form.dataset.boards, { cache: "no-store" });
  if (!answer.ok) throw new Error(`the boards are a ${answer.status}`);
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of fresh.querySelectorAll("[data-part]")) {
    find(`[data-part="${part.dataset.part}"]`).replaceWith(part);
  }
}

async function follow() {
  button.disabled = true;
  while (find('[data-running="true"]')) {
    await pause();
    await draw();
  }
  button.disabled = false;
}

async function start(event) {
  event.preventDefault();
  if (button.disabled) return; // a second click
  button.disabled = true;
  const answer = await fetch(form.action, { method: "POST", body: new FormData(form) });
  if (!answer.ok) throw new Error(`the start is a ${answer.status}`);
  await draw();
  await follow();
}

form.addEventListener("submit", (event) => start(event).catch(() => form.submit())); // as without a script
follow().catch(() => location.reload());
