const find = (id) => document.getElementById(id);
const { items, texts } = data;
const VALUES = { relevant: 1, "not relevant": 0, unsure: 2 };
const LONG = 4000;

// The relevant share of the set with its 95 % interval: hardneg.false_negatives.estimate, line by line.
function estimate(sizes, expected, judged, relevant) {
  const strata = [];
  let before = { size: 0, mass: 0 };
  sizes.forEach((size, h) => {
    const own = { size, mass: size * expected[h], n: judged[h], x: relevant[h] };
    if (own.n) {
      strata.push({ ...own, size: size + before.size, mass: own.mass + before.mass });
      before = { size: 0, mass: 0 };
    } else {
      const into = strata.length ? strata[strata.length - 1] : before;
      into.size += size;
      into.mass += own.mass;
    }
  });
  if (!strata.length) return { value: 0, low: 0, high: 1 };
  const sum = (of) => strata.reduce((total, one) => total + of(one), 0);
  for (const one of strata) one.p = one.mass / one.size;
  const whole = sum((s) => s.size);
  const value = sum((s) => ((s.size / whole) * s.x) / s.n);
  const overall = (sum((s) => s.x) + 0.5) / (sum((s) => s.n) + 1);
  const scale = (sum((s) => s.x) + 0.5) / (sum((s) => s.n * s.p) + 0.5);
  for (const one of strata) {
    one.rate = (one.x + overall + Math.min(one.p * scale, 0.95)) / (one.n + 2);
  }
  const variance = sum((s) =>
    (((s.size / whole) ** 2 * s.rate * (1 - s.rate)) / s.n) * ((s.size - s.n) / Math.max(s.size - 1, 1)));
  const mean = sum((s) => (s.size / whole) * s.rate);
  const square = (1.959964 ** 2 * variance) / (mean * (1 - mean));
  const middle = (value + square / 2) / (1 + square);
  const half = Math.sqrt(value * (1 - value) * square + square ** 2 / 4) / (1 + square);
  return { value, low: Math.max(middle - half, 0), high: Math.min(middle + half, 1) };
}

// Answers by place in the review: [answer, seconds, time]. The trail is what undo takes back, the last one last.
let answers = {}, trail = [], current = 0, stored = true;
const memory = {};
let spent = 0, since = performance.now();

const annotator = () => find("annotator").value.trim() || "anonymous";
const slot = () => `hardneg review ${data.review} ${annotator()}`;
const place = () => data.first + current;

// What the browser keeps under this name or, where it keeps nothing, what was answered since the page was opened.
function storedAnswers() {
  if (stored) {
    try {
      const found = JSON.parse(localStorage.getItem(slot()) || "{}");
      return found && typeof found === "object" ? found : {};
    } catch {
      stored = false;
    }
  }
  return memory[slot()] || {};
}

function write() {
  memory[slot()] = answers;
  try {
    localStorage.setItem(slot(), JSON.stringify(answers));
  } catch {
    stored = false;
  }
}

// Another part of this review may have written meanwhile, so only this one answer is changed.
function keep(number, answer) {
  answers = storedAnswers();
  if (answer) answers[number] = answer;
  else delete answers[number];
  write();
}

function begin() {
  const own = Object.keys(answers).filter((number) => items[number - data.first]);
  trail = own.sort((a, b) => (answers[a][2] < answers[b][2] ? -1 : 1)).map((number) => [Number(number), null]);
  const open = items.findIndex((_, i) => !answers[data.first + i]);
  show(open < 0 ? 0 : open);
}

function openAnswers() {
  answers = storedAnswers();
  begin();
}

function passage(text, kind) {
  const block = element("div", { class: `panel ${kind}` });
  const fill = (shown) => block.replaceChildren(element("p", { class: "text" }, shown));
  fill(text.slice(0, LONG));
  if (text.length > LONG) {
    const all = `Show all ${text.length.toLocaleString("en")} characters`;
    block.append(element("button", { type: "button", onclick: () => fill(text) }, all));
  }
  return block;
}

function show(number, move = false) {
  current = Math.min(Math.max(number, 0), items.length - 1);
  spent = 0;
  since = performance.now();
  const item = items[current];
  const known = item.positives.map((text) => passage(texts[text], "known"));
  const details = Object.entries(item.details || {}).flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]);
  find("case").replaceChildren(
    element("h2", { id: "place", tabindex: "-1" }, `Candidate ${place() + 1} of ${data.strata.length}`),
    element("p", { class: "query text" }, texts[item.query]),
    element("h3", {}, "Does this passage answer it?"),
    passage(texts[item.text], "candidate"),
    element("details", { open: !find("case").querySelector("details:not([open])") },
      element("summary", {}, known.length > 1 ? "The known answers" : "The known answer"), known),
    ...(details.length ? [element("dl", {}, details)] : []));
  if (move) {
    window.scrollTo({ top: 0, behavior: "instant" });
    find("place").focus({ preventScroll: true });
  }
  report();
}

const percent = (share) => (100 * share).toFixed(1);

function report() {
  const judged = data.sizes.map(() => 0), relevant = data.sizes.map(() => 0);
  let unsure = 0, last = -1;
  for (const [number, [answer]] of Object.entries(answers)) {
    const stratum = data.strata[number];
    if (stratum === undefined) continue;
    last = Math.max(last, Number(number));
    if (answer === "unsure") unsure++;
    else {
      judged[stratum]++;
      relevant[stratum] += answer === "relevant";
    }
  }
  const count = judged.reduce((a, b) => a + b, 0);
  const passed = last + 1 - count - unsure;
  const notes = [`${count + unsure} of ${data.strata.length} judged`];
  if (unsure) notes.push(`${unsure} unsure`);
  if (passed > 0) notes.push(`${passed} passed over`);
  if (items.every((_, i) => answers[data.first + i])) notes.push("all on this page are done: save them below");
  find("status").textContent = notes.join(", ");
  const found = estimate(data.sizes, data.expected, judged, relevant);
  find("rate").textContent = !count ? "" :
    `False-negative rate of ${data.set} ${percent(found.value)} % (95 % interval ${percent(found.low)} to ` +
    `${percent(found.high)}) after ${count} ${count === 1 ? "judgment" : "judgments"}`;
  const mine = answers[place()];
  for (const button of document.querySelectorAll("[data-answer]")) {
    button.setAttribute("aria-pressed", String(Boolean(mine) && mine[0] === button.dataset.answer));
  }
  find("undo").disabled = !trail.length;
  find("back").disabled = current === 0;
  find("on").disabled = current === items.length - 1;
  find("kept").textContent = stored
    ? "Kept in this browser under your name as you judge. Save a file to hand them on."
    : "This browser does not keep them. Save a file before you close the page.";
}

function answer(value) {
  if (!document.hidden) spent += performance.now() - since;
  const number = place();
  trail.push([number, answers[number] || null]);
  keep(number, [value, Math.round(spent / 100) / 10, new Date().toISOString()]);
  const open = (i) => !answers[data.first + i];
  const next = items.findIndex((_, i) => i > current && open(i));
  const first = items.findIndex((_, i) => open(i));
  show(next >= 0 ? next : first >= 0 ? first : current, true);
}

function undo() {
  if (!trail.length) return;
  const [number, before] = trail.pop();
  keep(number, before);
  show(number - data.first, true);
}

function save(kind) {
  const lines = kind === "tsv" ? ["query-id\tcorpus-id\tscore"] : [];
  let left = 0;
  items.forEach((item, i) => {
    const own = answers[data.first + i];
    if (!own) return;
    const [value, seconds, at] = own, ids = [item.query_id, item.id];
    if (kind === "jsonl") {
      const record = { review: data.review, query_id: ids[0], passage_id: ids[1], answer: value, annotator: annotator(), seconds, at };
      lines.push(JSON.stringify(record));
    } else if (VALUES[value] > 1 || ids.some((id) => (kind === "tsv" ? /[\t\r\n]/ : /\s/).test(id))) left++;
    else lines.push(kind === "tsv" ? [...ids, VALUES[value]].join("\t") : `${ids[0]} 0 ${ids[1]} ${VALUES[value]}`);
  });
  const url = URL.createObjectURL(new Blob([lines.map((line) => line + "\n").join("")], { type: "text/plain" }));
  const part = data.parts > 1 ? `-part-${data.part + 1}` : "";
  const name = annotator().replace(/[^\p{L}\p{N}-]+/gu, "_");
  element("a", { href: url, download: `${data.review}-${name}${part}.${kind}` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
  notice(left ? `${left} answers are not in that file: unsure ones, and ids with white space. JSONL has them.` : "");
}

async function load(file) {
  const numbers = new Map(items.map((item, i) => [JSON.stringify([item.query_id, item.id]), data.first + i]));
  let taken = 0, others = 0, foreign = 0;
  const loaded = storedAnswers();
  for (const line of (await file.text()).split("\n").filter((text) => text.trim())) {
    let record = {};
    try { record = JSON.parse(line) || {}; } catch { /* counted below */ }
    const number = numbers.get(JSON.stringify([record.query_id, record.passage_id]));
    if (number === undefined || record.review !== data.review || !Object.hasOwn(VALUES, record.answer)) foreign++;
    else if (record.annotator !== annotator()) others++;
    else {
      taken++;
      const own = [record.answer, Number(record.seconds) || 0, String(record.at || "")];
      if (!loaded[number] || loaded[number][2] <= own[2]) loaded[number] = own;
    }
  }
  answers = loaded;
  write();
  begin();
  const notes = [`${taken} answers loaded.`];
  if (others) notes.push(`${others} are somebody else's: put that name below first.`);
  if (foreign) notes.push(`${foreign} lines are not about this page.`);
  notice(notes.join(" "));
}

function notice(text) {
  find("notice").replaceChildren(...(text ? [element("p", { class: "warning", role: "alert" }, text)] : []));
}

const ACTIONS = {
  1: () => answer("relevant"), 0: () => answer("not relevant"), 2: () => answer("unsure"), u: undo,
  j: () => show(current + 1, true), k: () => show(current - 1, true), "?": () => find("helping").showModal(),
};
document.addEventListener("keydown", (event) => {
  const typing = event.target.matches("input:not([type=checkbox]), select, textarea") || find("helping").open;
  const modified = event.ctrlKey || event.metaKey || event.altKey || event.repeat;
  if (typing || modified || !find("keys").checked || !Object.hasOwn(ACTIONS, event.key)) return;
  event.preventDefault();
  ACTIONS[event.key]();
});
document.addEventListener("visibilitychange", () => {
  if (document.hidden) spent += performance.now() - since;
  since = performance.now();
});
for (const button of document.querySelectorAll("[data-answer]")) button.addEventListener("click", () => answer(button.dataset.answer));
for (const button of document.querySelectorAll("[data-export]")) button.addEventListener("click", () => save(button.dataset.export));
for (const [id, key] of [["undo", "u"], ["back", "k"], ["on", "j"], ["help", "?"]]) find(id).addEventListener("click", ACTIONS[key]);
find("annotator").value = data.annotator;
find("annotator").addEventListener("change", openAnswers);
find("load").addEventListener("change", (event) => {
  const [file] = event.target.files;
  if (file) load(file).finally(() => { event.target.value = ""; });
});
window.addEventListener("storage", (event) => {
  if (event.key !== slot()) return;
  answers = storedAnswers();
  report();
});
openAnswers();
