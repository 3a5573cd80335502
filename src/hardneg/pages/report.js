// Examples: searched, filtered, ordered, fifty a page.
const PAGE = 50, COMMON = 0.1;
const at = (id) => document.getElementById(id);
const RUNS_TOGETHER = /[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Thai}\p{sc=Lao}\p{sc=Khmer}\p{sc=Myanmar}]/u;
const WORD = /[\p{L}\p{M}\p{N}]+/gu;
const segmenter = typeof Intl.Segmenter === "function" ? new Intl.Segmenter(undefined, { granularity: "word" }) : null;
// Words with their places. Scripts without spaces are cut by the browser.
function words(text) {
  if (segmenter && RUNS_TOGETHER.test(text)) {
    return [...segmenter.segment(text)].filter((one) => one.isWordLike).map((one) => [one.segment.toLowerCase(), one.index, one.segment.length]);
  }
  return [...text.matchAll(WORD)].map((one) => [one[0].toLowerCase(), one.index, one[0].length]);
}
const wordsOf = (text) => new Set(words(text).map((one) => one[0]));
const ruleOf = (reason) => reason.split(":")[0];
const all = data.runs.flatMap((run) => run.examples.map((example, place) => ({ ...example, run, place })));
for (const one of all) {
  one.rules = new Set(one.candidates.flatMap((c) => Object.values(c.reasons).map(ruleOf)));
  const texts = [...one.positives, ...one.candidates].flatMap((c) => [c.id, c.text]);
  one.haystack = [one.id, one.query, ...texts].join("\n").toLowerCase();
}
const common = new Set();
function countWords() {
  const found = new Map();
  let texts = 0;
  for (const one of all) for (const passage of [...one.positives, ...one.candidates]) {
    texts += 1;
    for (const word of wordsOf(passage.text)) found.set(word, (found.get(word) ?? 0) + 1);
  }
  for (const [word, count] of found) if (count > Math.max(3, COMMON * texts)) common.add(word);
}
// A text with the words of the query marked, and those of the positives in another way.
function marked(text, query, positive) {
  const parts = [];
  let end = 0;
  for (const [word, begin, length] of words(text)) {
    if (common.has(word) || !(query.has(word) || positive.has(word))) continue;
    parts.push(text.slice(end, begin));
    parts.push(element("mark", { class: query.has(word) ? null : "positive" }, text.slice(begin, begin + length)));
    end = begin + length;
  }
  return [...parts, text.slice(end)].filter((part) => part !== "");
}
const number = (value) => (value === null ? "–" : String(Number(value.toPrecision(3))));
function passage(what, given, query, positive) {
  const origins = (given.origins ?? []).map(([name, rank, round, note]) => `${name} at rank ${rank}` + (round === undefined ? "" : `, round ${round}`) + (note ? ` (${note})` : ""));
  const scores = Object.entries(given.scores).map(([name, value]) => `${name} ${number(value)}`);
  const reasons = Object.entries(given.reasons ?? {});
  const shown = given.text.endsWith("…") && given.text.length <= given.length ? `the first ${(given.text.length - 1).toLocaleString("en")} of ${given.length.toLocaleString("en")} characters` : null;
  return element("li", { class: `is-${what}` },
    element("p", {}, element("span", { class: "what" }, what), " ", element("span", { class: "quiet" }, [given.id, ...scores, ...origins, shown].filter(Boolean).join(" · "))),
    element("p", { class: "text" }, marked(given.text, query, positive)),
    reasons.length ? element("p", {}, reasons.flatMap(([name, why]) => [element("span", { class: "badge" }, name), " ", why, " "])) : null);
}
const wanted = () => ({ source: at("source").value, filter: at("filter").value, reason: at("reason").value });
const fits = (candidate, { source, filter, reason }) =>
  (!source || candidate.origins.some((origin) => origin[0] === source)) && (!filter || filter in candidate.reasons) &&
  (!reason || Object.values(candidate.reasons).some((why) => ruleOf(why) === reason));
function body(one) {
  const query = wordsOf(one.query), positive = new Set(one.positives.flatMap((p) => [...wordsOf(p.text)]));
  const how = wanted(), some = one.candidates.filter((candidate) => fits(candidate, how)), counts = one.counts;
  const left = counts.chosen + counts.kept + counts.refused - some.length;
  return [element("ul", { class: "passages" },
    one.positives.map((given) => passage("positive", given, query, new Set())),
    some.map((given) => passage(given.what, given, query, positive))),
  left || counts.positives > one.positives.length ? element("p", { class: "quiet" }, `Not shown: ${left} candidates, ${counts.positives - one.positives.length} positives.`) : null];
}
function card(one, open) {
  const { counts } = one;
  const told = `${counts.chosen} chosen · ${counts.refused} refused` + (counts.kept ? ` · ${counts.kept} kept, not needed` : "");
  const made = element("details", { class: "example" },
    element("summary", {}, element("span", { class: "query text" }, marked(one.query, new Set(), new Set())), element("span", { class: "quiet" }, `${data.runs.length > 1 ? one.run.name + " · " : ""}${one.id} · ${told}`)));
  made.addEventListener("toggle", () => { if (made.open && made.children.length === 1) made.append(...body(one).filter(Boolean)); });
  made.open = open;
  return made;
}
const best = (one, name, what) => Math.max(-Infinity, ...one.candidates.filter((c) => c.what === what && c.scores[name] !== null).map((c) => c.scores[name]));
const ORDERS = {
  "as in the run": () => 0,
  "nearest negative first": (a, b) => gap(b) - gap(a),
  "likeliest false first": (a, b) => best(b, b.run.doubt, "chosen") - best(a, a.run.doubt, "chosen"),
  "most refused first": (a, b) => b.counts.refused - a.counts.refused,
  "fewest chosen first": (a, b) => a.counts.chosen - b.counts.chosen,
};
const gap = (one) => best(one, one.run.target, "chosen") - Math.max(...one.positives.map((p) => p.scores[one.run.target]));
let found = all, begin = 0;
function show(focus) {
  const open = at("open-all").getAttribute("aria-pressed") === "true";
  at("list").replaceChildren(...found.slice(begin, begin + PAGE).map((one, place) => card(one, open || (begin === 0 && place === 0))));
  const pages = Math.max(1, Math.ceil(found.length / PAGE));
  at("place").textContent = `page ${begin / PAGE + 1} of ${pages}`;
  at("pages").hidden = pages === 1;
  at("previous").disabled = begin === 0;
  at("next").disabled = begin + PAGE >= found.length;
  at("status").textContent = found.length === all.length ? `${all.length} examples` : `${found.length} of ${all.length} examples`;
  if (focus) at("list").querySelector("summary")?.focus();
}
function choose() {
  const text = at("search").value.trim().toLowerCase(), how = wanted(), run = at("run")?.value;
  const filtered = how.source || how.filter || how.reason;
  found = all.filter((one) => (!run || one.run.name === run) && (!text || one.haystack.includes(text)) && (!filtered || one.candidates.some((c) => fits(c, how))));
  found = found.map((one, place) => [one, place]).sort((a, b) => ORDERS[at("order").value](a[0], b[0]) || a[1] - b[1]).map((pair) => pair[0]);
  begin = 0;
  show(false);
}
function turn(pages) {
  const next = begin + pages * PAGE;
  if (next < 0 || next >= found.length) return;
  begin = next;
  show(true);
}
function move(by) {
  const heads = [...at("list").querySelectorAll("summary")];
  const here = heads.indexOf(document.activeElement?.closest?.(".example")?.querySelector("summary"));
  const next = heads[here < 0 ? 0 : Math.min(Math.max(here + by, 0), heads.length - 1)];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
}
function fill(id, names, first) {
  if (!at(id)) return;
  at(id).replaceChildren(...(first ? [element("option", { value: "" }, first)] : []), ...names.map((name) => element("option", { value: name }, name)));
  at(id).addEventListener("change", choose);
}
const distinct = (lists) => [...new Set(lists.flat())];
const KEYS = { j: () => move(1), k: () => move(-1), n: () => turn(1), p: () => turn(-1), "/": () => at("search").focus(), "?": () => at("help").showModal() };
if (at("list")) {
  countWords();
  fill("run", data.runs.map((run) => run.name), "all");
  fill("source", distinct(data.runs.map((run) => run.generators)), "all");
  fill("filter", distinct(data.runs.map((run) => run.filters)), "all");
  fill("reason", distinct(all.map((one) => [...one.rules])).sort(), "all");
  fill("order", Object.keys(ORDERS).filter((name) => name !== "likeliest false first" || data.runs.some((run) => run.doubt)));
  at("search").addEventListener("input", choose);
  at("open-all").addEventListener("click", () => {
    const open = at("open-all").getAttribute("aria-pressed") !== "true";
    at("open-all").setAttribute("aria-pressed", String(open));
    for (const one of at("list").children) one.open = open;
  });
  at("previous").addEventListener("click", () => turn(-1));
  at("next").addEventListener("click", () => turn(1));
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || at("help").open) return;
    if (event.target.closest("input, select, textarea")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (event.key in KEYS) {
      event.preventDefault();
      KEYS[event.key]();
    }
  });
  const seen = new Set(all.map((one) => one.id)).size;
  at("about").textContent = `${seen} queries, evenly spaced over the run, with some of their candidates.`;
  choose();
}
