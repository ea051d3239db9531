// Where a request stands: the Python stack of its thread, the innermost call first.

import { element, visible } from "./dom.js";
import { plural } from "./formats.js";

const LIBRARY = /[\\/](?:site|dist)-packages[\\/]|[\\/]lib(?:64)?[\\/]python\d[^\\/]*[\\/]|[\\/]python\d+(?:\.\d+)?[\\/]lib[\\/]|[\\/]Lib[\\/]|^<frozen |[\\/]tlctx[\\/](?:_|wsgi|asgi|flask|threads|inspector|django|celery)/;

const isLibrary = (frame) => LIBRARY.test(frame.file);

/** The path as it is read: a library's from its package on. */
function shortPath(file) {
  return file.replace(/^.*[\\/](?:site|dist)-packages[\\/]/, "").replace(/^.*[\\/]lib(?:64)?[\\/]python\d[^\\/]*[\\/]/, "");
}

function packageOf(file) {
  const frozen = /^<frozen ([^.>]+)/.exec(file);
  return frozen ? frozen[1] : /[\\/]tlctx[\\/]/.test(file) ? "tlctx" : shortPath(file).split(/[\\/]/)[0].replace(/\.py$/, "");
}

/** The list of frames as an element; the frames come from the server, the outermost first. */
export function stackElement(frames) {
  const list = element("ol", "stack");
  const inner = [...frames].reverse();
  for (let place = 0; place < inner.length; ) {
    let end = place;
    while (end < inner.length && end > 0 && isLibrary(inner[end])) end += 1;
    if (end - place > 1) {
      list.append(foldedElement(inner.slice(place, end)));
      place = end;
    } else {
      list.append(frameElement(inner[place], place === 0));
      place += 1;
    }
  }
  return list;
}

function frameElement(frame, innermost) {
  const own = !isLibrary(frame);
  const where = element("span", "where", shortPath(frame.file), ":", element("b", "", String(frame.line ?? "?")));
  where.title = visible(frame.file);
  const head = element("span", "call", element("b", "function", frame.function ?? "?"), " ", where);
  const made = element("li", `frame ${own ? "own" : "library"}${innermost ? " innermost" : ""}`, head);
  if (innermost) head.append(" ", element("span", "tag", "stands here"));
  if (!own) head.append(element("span", "unseen", " (library)"));
  if (frame.code) made.append(element("code", "", frame.code));
  return made;
}

function foldedElement(frames) {
  const packages = [...new Set(frames.map((frame) => packageOf(frame.file)))];
  const named = packages.length > 4 ? `${packages.slice(0, 4).join(", ")} and others` : packages.join(", ");
  const list = element("ol", "stack", ...frames.map((frame) => frameElement(frame, false)));
  return element("li", "folded", element("details", "", element("summary", "", `${plural(frames.length, "call")} in ${named}`), list));
}
