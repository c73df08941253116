"use strict";
// Shows the charts and browses the dialogues. All text from outside is set as text; nothing here makes markup of it.
(async () => {
  const PAGE = 50;
  const KEPT_PARTS = 10;
  const byId = (id) => document.getElementById(id);
  const packedIn = (id) => byId(id).content.textContent;

  async function unpacked(packed) {
    const letters = atob(packed);
    const bytes = new Uint8Array(letters.length);
    for (let place = 0; place < letters.length; place++) bytes[place] = letters.charCodeAt(place);
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return JSON.parse(await new Response(stream).text());
  }

  function element(name, className, text) {
    const made = document.createElement(name);
    if (className) made.className = className;
    if (text !== undefined && text !== null) made.textContent = text;
    return made;
  }

  const counted = (count, one, several) => `${count} ${count === 1 ? one : several}`;
  const painted = () => new Promise((done) => { requestAnimationFrame(() => setTimeout(done)); setTimeout(done, 200); });

  // --- charts ---

  async function drawCharts(figures, library) {
    if (!figures.length) return;
    document.head.append(element("script", "", library)); // runs, since the content policy knows its hash
    for (const { id, figure } of figures) {
      await Plotly.newPlot(byId(id), figure.data, figure.layout, { displayModeBar: false, responsive: true });
      await painted();
    }
  }

  // --- a dialogue ---

  function marked(parent, text, spans) {
    // Spans are [start, end, class] in characters, in order; overlapping ones are left out.
    let at = 0;
    const characters = Array.from(text);
    for (const [start, end, className] of spans) {
      if (start < at) continue;
      parent.append(characters.slice(at, start).join(""));
      parent.append(element("mark", className, characters.slice(start, end).join("")));
      at = end;
    }
    parent.append(characters.slice(at).join(""));
    return parent;
  }

  function turnOf(turn, place) {
    const box = element("div", `turn ${turn.role}`);
    box.append(element("h3", "who", `${place}. ${turn.role}`));
    if (turn.analysis) box.append(marked(element("p", "analysis"), turn.analysis, turn.analysis_marks));
    box.append(marked(element("p"), turn.text, turn.marks));
    return box;
  }

  function ratingsOf(ratings, place) {
    const wrap = element("div", "ratings wide");
    const table = element("table");
    table.createCaption().textContent = `Ratings of turn ${place}`;
    const head = table.createTHead().insertRow();
    for (const name of ["judge", "dimension", "score", "why"]) {
      const cell = element("th", "", name);
      cell.scope = "col";
      head.append(cell);
    }
    const body = table.createTBody();
    for (const rating of ratings) {
      const row = body.insertRow();
      row.append(element("td", "", rating.judge), element("td", "", rating.dimension));
      row.append(element("td", "score", rating.score === null ? rating.status : +rating.score.toFixed(2)));
      row.append(marked(element("td", "why"), rating.why, rating.quotes));
    }
    wrap.append(table);
    return wrap;
  }

  function opened(dialogue) {
    const inside = element("div", "inside");
    for (const [name, text] of [["Situation", dialogue.scenario], ["Seeker", dialogue.persona]]) {
      if (text) inside.append(element("p", "about", `${name}: ${text}`));
    }
    dialogue.turns.forEach((turn, index) => {
      inside.append(turnOf(turn, index + 1));
      const ratings = dialogue.ratings.filter((rating) => rating.turn === index + 1);
      if (ratings.length) inside.append(ratingsOf(ratings, index + 1));
    });
    return inside;
  }

  function folded(listed, whole) {
    const box = element("details", "dialogue");
    const summary = element("summary");
    summary.append(element("span", "id", listed.id));
    const note = (text) => summary.append(" ", element("span", "note", text));
    if (listed.system) note(listed.system);
    note(listed.reward === null ? "no reward" : `reward ${listed.reward.toFixed(3)}`);
    if (listed.spread) note(`disagreement ${Math.round(100 * listed.spread)} %`);
    if (listed.failures) note(counted(listed.failures, "rating failed", "ratings failed"));
    if (listed.invented) note(counted(listed.invented, "quote", "quotes") + " nobody said");
    box.append(summary);
    box.addEventListener("toggle", async () => {
      if (!box.open || box.dataset.filled) return;
      box.dataset.filled = "yes";
      box.append(opened(await whole(listed)));
    });
    return box;
  }

  // --- all dialogues ---

  function shelf(size) {
    const parts = packedIn("dialogues-data").split("\n");
    const kept = new Map();
    let texts = null;

    async function whole({ place }) {
      const number = Math.floor(place / size);
      if (!kept.has(number)) kept.set(number, unpacked(parts[number]));
      if (kept.size > KEPT_PARTS) kept.delete(kept.keys().next().value);
      return (await kept.get(number))[place % size];
    }

    async function readTexts() {
      const found = [];
      for (const part of parts) {
        for (const { id, scenario, persona, turns, ratings } of await unpacked(part)) {
          const said = turns.flatMap((turn) => [turn.text, turn.analysis ?? ""]);
          const whys = ratings.map((rating) => rating.why);
          found.push([id, scenario, persona, ...said, ...whys].join("\n").toLowerCase());
        }
      }
      return found;
    }

    return { whole, searched: () => (texts ??= readTexts()) };
  }

  const ORDERS = {
    input: () => 0,
    low: (a, b) => (a.reward ?? Infinity) - (b.reward ?? Infinity),
    high: (a, b) => (b.reward ?? -Infinity) - (a.reward ?? -Infinity),
    disputed: (a, b) => b.spread - a.spread,
    failures: (a, b) => b.failures - a.failures,
  };
  const KINDS = { all: () => true, failed: (each) => each.failures > 0, invented: (each) => each.invented > 0 };

  function offerSystems(dialogues) {
    const systems = [...new Set(dialogues.map((each) => each.system))].sort();
    byId("system").append(new Option("all", ""));
    for (const system of systems) byId("system").append(new Option(system || "(none)", `=${system}`));
    byId("system").parentElement.hidden = systems.length < 2;
  }

  function browse({ dialogues, left_out: leftOut, part }) {
    dialogues.forEach((each, place) => { each.place = place; });
    offerSystems(dialogues);
    const { whole, searched } = shelf(part);
    let found = [];
    let shown = 0;
    let asked = 0;

    function showMore() {
      const added = found.slice(shown, shown + PAGE).map((listed) => folded(listed, whole));
      byId("list").append(...added);
      shown += added.length;
      byId("more").hidden = shown >= found.length;
      return added[0];
    }

    async function show() {
      const turn = ++asked;
      const words = byId("search").value.trim().toLowerCase();
      if (words) byId("count").textContent = "searching";
      const texts = words && await searched();
      if (turn !== asked) return; // something else is looked for by now
      const system = byId("system").value;
      const isOfKind = KINDS[byId("which").value];
      found = dialogues.filter((each) =>
        (!words || texts[each.place].includes(words)) && (!system || `=${each.system}` === system) && isOfKind(each));
      found.sort(ORDERS[byId("order").value]);
      byId("list").replaceChildren();
      shown = 0;
      showMore();
      const rest = leftOut ? `; ${leftOut} more count in the numbers, but are not in this file` : "";
      byId("count").textContent = `${found.length} of ${counted(dialogues.length, "dialogue", "dialogues")}${rest}`;
    }

    let waiting = 0;
    byId("search").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(show, 150); });
    for (const id of ["system", "which", "order"]) byId(id).addEventListener("change", show);
    byId("filter").addEventListener("submit", (event) => { event.preventDefault(); show(); });
    byId("more").addEventListener("click", () => showMore().firstChild.focus());
    byId("filter").hidden = false;
    return show();
  }

  await browse(await unpacked(packedIn("listing-data")));
  document.documentElement.dataset.ready = "list";
  await painted();
  await drawCharts(...await Promise.all(["figures-data", "library-data"].map(packedIn).map(unpacked)));
  document.documentElement.dataset.ready = "yes";
})();
