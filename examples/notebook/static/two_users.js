// Draws the answers as they come. Without this script the page reloads itself, and shows the same.
"use strict";

const form = document.querySelector("form[data-board]");
const button = form.querySelector("button");
const boards = document.querySelector("[data-boards]");
const PAUSE = 250;

const running = () => boards.querySelector('[data-running="true"]') !== null;
const pause = () => new Promise((resolve) => setTimeout(resolve, PAUSE));

async function fetchBoards() {
  const answer = await fetch(form.dataset.board, { cache: "no-store" });
  if (!answer.ok) throw new Error(`the board is a ${answer.status}`);
  boards.innerHTML = await answer.text(); // made by our own template, which escapes
}

async function follow() {
  button.disabled = true;
  try {
    while (running()) {
      await pause();
      await fetchBoards();
    }
  } finally {
    button.disabled = false;
  }
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (button.disabled) return;
  button.disabled = true;
  try {
    const answer = await fetch(form.action, { method: "POST", body: new FormData(form) });
    if (!answer.ok) throw new Error(`the start is a ${answer.status}`);
    await fetchBoards();
    await follow();
  } catch {
    form.submit(); // as if there were no script
  }
});

follow().catch(() => location.reload());
