// The page: asks for the requests each second while somebody looks, and says when it can't.

import { byId, element, keepChildren, setHidden, setText } from "./dom.js";
import { count, duration, level, levelText, plural, processNames } from "./formats.js";
import { openRequest, showFlight, startFlight } from "./flight.js";
import { showFinished, startFinished } from "./finished.js";
import { showTimeline, startTimeline, stopTimeline } from "./timeline.js";

const EVERY = 1000;
const PATIENCE = 10000;
const STALE = 5000;
const SLOWEST = 15000; // between attempts at a server that can't be reached

const notices = new Map();
const figures = new Map();
let paused = false;
let problem = null; // { state, text } of the last attempt, if it failed
let failures = 0;
let heard = 0; // when the last picture came
let trouble = [];
let timer = 0;
let asking = false;
let rates = [];

class Refused extends Error {}

/** Ask the application; addresses are relative, and a password that was typed into this page's own is left out. */
async function ask(path) {
  const address = new URL(path, location.href);
  address.username = address.password = "";
  const answer = await fetch(address, { cache: "no-store", credentials: "same-origin", signal: AbortSignal.timeout(PATIENCE) });
  if (answer.status === 401 || answer.status === 403) throw new Refused(`status ${answer.status}`);
  if (answer.status === 404 && path.startsWith("stack.json")) return { ended: true, frames: [] };
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  return answer.json();
}

async function refresh() {
  clearTimeout(timer);
  if (asking) return;
  asking = true;
  try {
    const picture = await ask("requests.json");
    show(picture);
    problem = null;
    failures = 0;
    heard = Date.now();
  } catch (error) {
    failures += 1;
    problem = problemOf(error);
  }
  asking = false;
  showState();
  if (!paused && !document.hidden && problem?.state !== "refused") {
    timer = setTimeout(refresh, Math.min(SLOWEST, EVERY * 2 ** Math.min(failures, 4)));
  }
}

function problemOf(error) {
  if (error instanceof Refused) return { state: "refused", text: "The token is refused. Reload the page to enter another." };
  if (error.name === "TimeoutError") return { state: "unreachable", text: `The server has not answered for ${PATIENCE / 1000} s.` };
  if (error instanceof SyntaxError) return { state: "error", text: "The server answers, but with something else than this page understands." };
  if (/^status /.test(error.message)) return { state: "error", text: `The server answers with an error: ${error.message}.` };
  if (error instanceof TypeError && heardNothing(error)) return { state: "unreachable", text: "The server can't be reached." };
  console.error(error);
  return { state: "error", text: `The answer can't be shown: ${error.message}` };
}

const heardNothing = (error) => /fetch|network|load failed/i.test(error.message);

function show(picture) {
  const { names, hosts } = processNames(picture.processes);
  const processTexts = new Map(picture.processes.map((process) => [process.id, hosts > 1 ? `${process.host}, process ${process.pid}` : `${process.pid} on ${process.host}`]));
  const view = {
    ...picture, names, hosts, processTexts,
    byId: new Map(picture.processes.map((process) => [process.id, process])),
    served: picture.processes.some((process) => process.begun > process.open),
  };
  document.body.classList.toggle("one-process", picture.processes.length < 2);
  trouble = [...picture.trouble];
  if (picture.truncated) trouble.push(`${plural(picture.truncated, "more request is", "more requests are")} in flight than this page lists.`);
  showFigures(view);
  showFlight(view);
  showTimeline(view);
  showFinished(view);
  const number = picture.open.length + picture.truncated;
  document.title = `${number ? count(number) : "Nothing"} in flight`;
}

function showFigures(view) {
  const begun = sum(view.processes, "begun");
  const oldest = view.open[0]?.age;
  const waiting = view.open.filter((request) => request.state === "waiting").length;
  const items = [
    ["In flight", count(view.open.length + view.truncated), waiting ? `${count(waiting)} waiting` : ""],
    ["Oldest", oldest === undefined ? "–" : duration(oldest), oldest === undefined ? "" : levelText[level(oldest)], oldest === undefined ? "fresh" : level(oldest)],
    ["Requests", count(begun), rateText(view.taken, begun)],
    ["Failed", count(sum(view.processes, "failed")), ""],
    ...(view.processes.length > 1 ? [["Processes", count(view.processes.length), view.hosts > 1 ? `on ${view.hosts} machines` : ""]] : []),
  ].map(([name, value, note, how = ""]) => ({ name, value, note, how }));
  keepChildren(byId("figures"), items, figures, (item) => item.name, (item) => element("div", "", element("dt", "", item.name), element("dd", "", element("span", "amount"), element("span", "note"))), (made, item) => {
    made.className = item.how;
    setText(made.children[1].children[0], item.value);
    setText(made.children[1].children[1], item.note);
  });
}

const sum = (items, name) => items.reduce((total, item) => total + item[name], 0);

/** Requests a second, over the last ten pictures. */
function rateText(taken, begun) {
  if (rates.length && begun < rates.at(-1).begun) rates = [];
  rates = [...rates.slice(-9), { taken, begun }];
  const seconds = taken - rates[0].taken;
  if (seconds < 1) return "";
  const rate = (begun - rates[0].begun) / seconds;
  return `${rate < 10 ? rate.toFixed(1) : count(Math.round(rate))} a second`;
}

function showState() {
  const silent = heard ? Date.now() - heard : 0;
  const stale = silent > STALE && !paused;
  const state = paused ? "paused" : problem ? problem.state : stale ? "stale" : "live";
  const texts = { paused: "Paused", live: "Live", stale: "Stale", unreachable: "Not reached", refused: "Refused", error: "Error" };
  byId("state").dataset.state = state;
  setText(byId("state-text"), texts[state]);
  setText(byId("pause"), paused ? "Resume" : problem?.state === "refused" ? "Try again" : "Pause");
  document.body.classList.toggle("old", heard > 0 && (state === "stale" || Boolean(problem)));
  if (paused || problem || stale) stopTimeline();
  const listed = trouble.map((text) => ({ text, kind: "trouble" }));
  if (problem && !paused) listed.unshift({ text: problem.text, kind: "problem" });
  if (heard && (problem || stale) && !paused) listed.push({ text: `What is shown is from ${new Date(heard).toLocaleTimeString()}.`, kind: "stale" });
  keepChildren(byId("notices"), listed, notices, (item) => `${item.kind} ${item.text}`, (item) => element("p", `notice ${item.kind}`, item.text), () => {});
}

byId("pause").addEventListener("click", () => {
  if (problem?.state === "refused" && !paused) {
    refresh();
    return;
  }
  paused = !paused;
  clearTimeout(timer);
  showState();
  if (!paused) refresh();
});

document.addEventListener("visibilitychange", () => {
  clearTimeout(timer);
  if (!document.hidden && !paused) refresh();
});

setInterval(showState, EVERY);
startTimeline(openRequest);
startFlight((id) => ask(`stack.json?id=${encodeURIComponent(id)}`));
startFinished();
refresh();
