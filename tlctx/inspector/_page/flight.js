// The requests in flight, the oldest first; each row opens to the thread's stack.

import { byId, element, keepChildren, setClass, setHidden, setText, setTitle, visible } from "./dom.js";
import { clip, count, duration, level, levelText, nameOf, plural } from "./formats.js";
import { stackElement } from "./stack.js";

const narrow = matchMedia("(max-width: 40rem)");
const mostRows = () => (narrow.matches ? 12 : 25);
const rows = new Map();
const opened = new Map(); // requests whose rows are open; they stay after the request's end, until somebody closes them
let all = false;
let last = null;
let ask = async () => ({});

export function startFlight(askStack) {
  ask = askStack;
  byId("open-more").addEventListener("click", () => {
    all = !all;
    showFlight(last);
  });
}

/** Open the row of a request, and go there. */
export function openRequest(id) {
  if (!last.open.some((request) => request.id === id)) return;
  if (!rows.has(id)) {
    all = true;
    showFlight(last);
  }
  const row = rows.get(id);
  if (!opened.has(id)) toggle(row);
  row.button.focus();
  row.scrollIntoView({ block: "nearest" });
}

export function showFlight(view) {
  last = view;
  const ids = new Set(view.open.map((request) => request.id));
  const ended = [...opened.values()].filter((request) => !ids.has(request.id)).map((request) => ({ ...request, ended: true }));
  const open = all ? view.open : view.open.filter((request, place) => place < mostRows() || opened.has(request.id));
  const items = [...open, ...ended].flatMap((request) => (opened.has(request.id) ? [request, { details: request }] : [request]));
  const body = byId("open");
  const focused = body.contains(document.activeElement) ? [...rows].find(([, row]) => row.contains(document.activeElement)) : null;
  keepChildren(body, items, rows, keyOf, makeRow, (row, item) => updateRow(row, item, view));
  if (focused && !rows.has(focused[0])) byId("flight-title").focus({ preventScroll: true });
  setHidden(body.parentElement, items.length === 0);
  setHidden(byId("open-empty"), items.length > 0);
  setText(byId("open-empty"), view.served ? "Nothing is being served right now." : "Nothing is being served right now, and no request has come yet.");
  const left = view.open.length - open.length;
  setHidden(byId("open-more"), !(left || (all && view.open.length > mostRows())));
  setText(byId("open-more"), all ? `Show the ${mostRows()} oldest` : `Show ${plural(left, "more request")}`);
}

const keyOf = (item) => (item.details ? `details ${item.details.id}` : item.id);

function makeRow(item) {
  if (item.details) return makeDetails(item.details);
  const row = element("tr", "request");
  row.button = element("button", "opens", element("span", "mark"), element("span", "method"), " ", element("span", "path"));
  row.button.type = "button";
  row.button.addEventListener("click", () => toggle(row));
  row.append(
    element("td", "number age", element("span", "amount"), element("span", "tag")),
    element("td", "what", row.button, element("span", "sub")),
    element("td", "wide thread"), element("td", "wide several process"), element("td", "wide state"), element("td", "wide fields"),
  );
  return row;
}

function updateRow(row, item, view) {
  if (item.details) {
    updateDetails(row, item.details);
    return;
  }
  row.request = item;
  if (opened.has(item.id) && !item.ended) opened.set(item.id, item);
  const [age, what, thread, process, state, fields] = row.children;
  const how = item.ended ? "fresh" : level(item.age);
  setClass(row, `request ${how}${item.ended ? " ended" : ""}`);
  setText(age.children[0], duration(item.age));
  setText(age.children[1], item.ended ? "ended" : levelText[how]);
  const [, method, path] = row.button.children;
  setText(method, item.method ?? "");
  const name = item.method ? item.path : nameOf(item);
  setText(path, clip(name, opened.has(item.id) ? 4000 : 300));
  setTitle(row.button, nameOf(item));
  row.button.setAttribute("aria-expanded", String(opened.has(item.id)));
  const where = view.names.get(item.process) ?? item.process;
  const threadName = clip(item.thread?.name ?? "", 40);
  setText(thread, threadName);
  setText(process, clip(where, 40));
  setText(state, stateText(item));
  setText(fields, clip(fieldsText(item), 120));
  const parts = [threadName, view.processes.length > 1 ? `process ${clip(where, 40)}` : "", stateText(item)];
  setText(what.children[1], parts.filter(Boolean).join(" · "));
}

function stateText(request) {
  if (request.ended) return "ended";
  const chunks = request.chunks ? `, ${plural(request.chunks, "chunk")}` : "";
  return `${request.state}${chunks}`;
}

function fieldsText(request) {
  const values = request.values ?? {};
  const valued = Object.entries(values).map(([name, value]) => `${name} = ${value}`);
  return [...valued, ...(request.fields ?? []).filter((name) => !Object.hasOwn(values, name))].join(", ");
}

function toggle(row) {
  const { id } = row.request;
  if (opened.has(id)) opened.delete(id);
  else opened.set(id, row.request);
  showFlight(last);
}

function makeDetails(request) {
  const cell = element("td");
  const row = element("tr", "details", cell);
  row.facts = element("dl", "facts");
  row.stack = element("div", "stack-box");
  row.note = element("p", "note");
  row.note.setAttribute("role", "status");
  const again = element("button", "again", "Take it again");
  again.type = "button";
  again.addEventListener("click", () => takeStack(row, request.id));
  row.again = again;
  cell.append(element("div", "opened", row.facts, element("div", "stack-head", element("h3", "", "Stack, the innermost call first"), again), row.note, row.stack));
  takeStack(row, request.id);
  return row;
}

function updateDetails(row, request) {
  row.firstChild.colSpan = columns();
  const facts = [
    ["Route", request.route], ["Thread", request.thread && `${request.thread.name} (${request.thread.id})`],
    ["Process", last.processTexts.get(request.process) ?? request.process], ["Request", `number ${count(request.serial)} of its process`],
    ["State", stateText(request)], ["Fields", fieldsText(request)], ["Trace", request.trace],
  ];
  const text = visible(JSON.stringify(facts));
  if (row.factsText !== text) {
    row.factsText = text;
    row.facts.replaceChildren(...facts.filter(([, value]) => value).map(([name, value]) => element("div", "", element("dt", "", name), element("dd", "", value))));
  }
  row.again.disabled = Boolean(request.ended);
  if (row.takenAt) setText(row.note, noteText(row, request));
}

/** How many columns are shown: on a narrow screen some are not. */
const columns = () => [...document.querySelectorAll(".requests th")].filter((cell) => cell.offsetParent).length || 1;

function noteText(row, request) {
  if (request.ended) return row.frames ? "The request has ended since. This is where it stood when it was opened." : "The request has ended.";
  if (!row.frames) return "It runs nowhere now: it waits for the server to take the next chunk, or for its event loop.";
  return "";
}

async function takeStack(row, id) {
  if (row.stack.childElementCount === 0) setText(row.note, "Asking for it");
  let answer;
  try {
    answer = await ask(id);
  } catch (error) {
    setText(row.note, `The stack can't be had: ${error.message}`);
    return;
  }
  row.takenAt = Date.now();
  if (!answer.ended) {
    row.frames = answer.frames.length;
    row.stack.replaceChildren(...(row.frames ? [stackElement(answer.frames)] : []));
  }
  setText(row.note, noteText(row, { ended: answer.ended }));
}
