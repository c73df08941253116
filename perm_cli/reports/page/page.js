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

  // --- a curve ---

  const SVG = "http://www.w3.org/2000/svg";
  const [WIDE, HIGH, LEFT, TOP, BOTTOM] = [300, 110, 34, 10, 18];

  function drawn(name, attributes, text) {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    return made;
  }

  // `series` has for each judge its points, [turn, value]; the ends are those of the scale.
  function curveOf(title, series, low, high, looks) {
    const turns = [...new Set([...series.values()].flat().map(([turn]) => turn))].sort((a, b) => a - b);
    if (turns.length < 2) return null;
    const across = (turn) => LEFT + 8 + (turns.indexOf(turn) / (turns.length - 1)) * (WIDE - LEFT - 20);
    const up = (value) => HIGH - BOTTOM - ((value - low) / (high - low)) * (HIGH - TOP - BOTTOM);
    const picture = drawn("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img", "aria-label": `${title} turn by turn` });
    for (const end of [low, high]) {
      picture.append(drawn("line", { class: "axis", x1: LEFT, x2: WIDE, y1: up(end), y2: up(end) }));
      picture.append(drawn("text", { x: LEFT - 4, y: up(end) + 4, "text-anchor": "end" }, +end.toFixed(2)));
    }
    for (const turn of turns) {
      picture.append(drawn("text", { x: across(turn), y: HIGH - 3, "text-anchor": "middle" }, turn));
    }
    for (const [judge, points] of series) {
      const look = looks.get(judge) ?? "judge-0";
      const line = points.map(([turn, value]) => `${across(turn)},${up(value)}`).join(" ");
      picture.append(drawn("polyline", { class: `line ${look}`, points: line }));
      for (const [turn, value] of points) {
        const dot = drawn("circle", { class: `dot ${look}`, cx: across(turn), cy: up(value), r: 3.5 });
        dot.append(drawn("title", {}, `${judge}, turn ${turn}: ${+value.toFixed(3)}`));
        picture.append(dot);
      }
    }
    const box = element("div", "curve");
    box.append(element("div", "note", `${title} turn by turn`), picture);
    return box;
  }

  function byJudge(rows) {
    const series = new Map();
    for (const [judge, ...point] of rows) series.set(judge, [...(series.get(judge) ?? []), point]);
    return series;
  }

  function curvesOf(dialogue, ends) {
    const box = element("div", "curves");
    const rewards = byJudge(dialogue.rewards.map(([turn, judge, reward]) => [judge, turn, reward]));
    const judges = [...new Set(dialogue.ratings.map((rating) => rating.judge))];
    const looks = new Map(judges.map((judge, place) => [judge, `judge-${place % 4}`]));
    const add = (...curve) => box.append(...[curveOf(...curve, looks)].filter(Boolean));
    add("reward", rewards, ...ends);
    for (const dimension of new Set(dialogue.ratings.map((rating) => rating.dimension))) {
      const scored = dialogue.ratings.filter((rating) => rating.dimension === dimension && rating.score !== null);
      if (!scored.length || scored[0].ends === null) continue;
      const series = byJudge(scored.map((rating) => [rating.judge, rating.turn, rating.score]));
      add(dimension, series, ...scored[0].ends);
    }
    if (box.childElementCount && judges.length > 1) {
      const legend = element("div", "legend note");
      for (const [judge, look] of looks) legend.append(element("span", `key ${look}`, judge), " ");
      box.append(legend);
    }
    return box;
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

  const signed = (value) => (value < 0 ? "" : "+") + value.toFixed(3);

  function turnOf(turn, place, rewards) {
    const box = element("div", `turn ${turn.role}`);
    const head = element("div", "head");
    head.append(element("h3", "who", `${place}. ${turn.role}`));
    const own = rewards.filter(([of]) => of === place);
    const several = rewards.some(([, judge]) => judge !== rewards[0][1]);
    for (const [, judge, reward] of own) {
      head.append(element("span", "reward", `reward ${signed(reward)}${several ? ` by ${judge}` : ""}`));
    }
    box.append(head);
    if (turn.analysis) box.append(marked(element("p", "analysis"), turn.analysis, turn.analysis_marks));
    box.append(marked(element("p"), turn.text, turn.marks));
    return box;
  }

  function scoreOf({ score, status, ends }) {
    if (score === null) return status;
    return `${+score.toFixed(2)}${ends === null ? "" : ` of ${ends[1]}`}`;
  }

  function itemsOf({ items, ends }) {
    const each = ends === null ? "" : ` of ${ends[1] / items.length}`;
    return element("div", "items", items.map(([name, score]) => `${name} ${score}${each}`).join(" · "));
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
      row.append(element("td", "score", scoreOf(rating)));
      const why = marked(element("td", "why"), rating.why, rating.quotes);
      if (rating.items.length) why.prepend(itemsOf(rating));
      row.append(why);
    }
    wrap.append(table);
    return wrap;
  }

  function opened(dialogue, ends, worst) {
    const inside = element("div", "inside");
    for (const [name, text] of [["Situation", dialogue.scenario], ["Seeker", dialogue.persona]]) {
      if (text) inside.append(element("p", "about", `${name}: ${text}`));
    }
    inside.append(curvesOf(dialogue, ends));
    dialogue.turns.forEach((turn, index) => {
      inside.append(turnOf(turn, index + 1, dialogue.rewards));
      if (worst === index + 1) inside.lastChild.classList.add("meant");
      const ratings = dialogue.ratings.filter((rating) => rating.turn === index + 1);
      if (ratings.length) inside.append(ratingsOf(ratings, index + 1));
    });
    return inside;
  }

  // A dialogue, or with a `turn` a reply in it, to be opened; `fill` puts in what is known, at once.
  function folded(listed, whole, ends) {
    const box = element("details", "dialogue");
    const summary = element("summary");
    summary.append(element("span", "id", listed.id));
    const note = (text) => summary.append(" ", element("span", "note", text));
    if (listed.turn) note(`turn ${listed.turn}`);
    if (listed.system) note(listed.system);
    note(listed.reward === null ? "no reward" : `reward ${signed(listed.reward)}`);
    if (listed.turn) note(`by ${counted(listed.judges, "judge", "judges")}`);
    if (listed.turn) return withContent(box, summary, listed, whole, ends);
    if (listed.spread) note(`disagreement ${Math.round(100 * listed.spread)} %`);
    if (listed.failures) note(counted(listed.failures, "rating failed", "ratings failed"));
    if (listed.invented) note(counted(listed.invented, "quote", "quotes") + " nobody said");
    return withContent(box, summary, listed, whole, ends);
  }

  function withContent(box, summary, listed, whole, ends) {
    box.append(summary);
    box.fetch = async () => {
      if (box.known) return;
      box.known = await whole(listed);
      if (listed.turn) summary.append(element("span", "said", box.known.turns[listed.turn - 1].text));
    };
    box.fill = () => {
      if (!box.known || box.dataset.filled) return;
      box.dataset.filled = "yes";
      box.append(opened(box.known, ends, listed.turn));
      box.querySelector(".meant")?.scrollIntoView?.({ block: "nearest" });
    };
    box.addEventListener("toggle", async () => {
      if (!box.open) return;
      await box.fetch();
      box.fill();
    });
    return box;
  }

  // Paper shows what is open, and nothing can be fetched while it is printed.
  function openForPrint() {
    let closed = [];
    addEventListener("beforeprint", () => {
      closed = [...document.querySelectorAll("details:not([open])")];
      for (const box of closed) {
        box.fill?.();
        box.open = true;
      }
    });
    addEventListener("afterprint", () => closed.forEach((box) => { box.open = false; }));
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

  // The worst reply of a dialogue is what one looks for in it, so replies are listed with their dialogue's marks.
  const repliesOf = (dialogue) => dialogue.replies.map(([turn, reward, judges]) => ({ ...dialogue, turn, reward, judges }));

  function browse({ dialogues, left_out: leftOut, part, ends }) {
    dialogues.forEach((each, place) => { each.place = place; });
    offerSystems(dialogues);
    const { whole, searched } = shelf(part);
    let found = [];
    let shown = 0;
    let asked = 0;

    function showMore() {
      const added = found.slice(shown, shown + PAGE).map((listed) => folded(listed, whole, ends));
      byId("list").append(...added);
      shown += added.length;
      byId("more").hidden = shown >= found.length;
      if (opening()) added.forEach((box) => { box.open = true; });
      fetchAll(added, asked);
      return added[0];
    }

    async function fetchAll(boxes, turn) {
      await painted();
      for (const box of boxes) {
        if (turn !== asked) return; // another list is shown by now
        await box.fetch();
      }
      document.documentElement.dataset.fetched = shown;
    }

    const opening = () => byId("all").textContent === "Close all";

    function openAll() {
      const open = !opening();
      for (const box of byId("list").children) box.open = open;
      byId("all").textContent = open ? "Close all" : "Open all";
    }

    function showWorst() {
      byId("unit").value = "replies";
      byId("order").value = "low";
      return show();
    }

    async function show() {
      const turn = ++asked;
      const words = byId("search").value.trim().toLowerCase();
      if (words) byId("count").textContent = "searching";
      const texts = words && await searched();
      if (turn !== asked) return; // something else is looked for by now
      const system = byId("system").value;
      const isOfKind = KINDS[byId("which").value];
      const listed = byId("unit").value === "replies" ? dialogues.flatMap(repliesOf) : dialogues;
      found = listed.filter((each) =>
        (!words || texts[each.place].includes(words)) && (!system || `=${each.system}` === system) && isOfKind(each));
      found.sort(ORDERS[byId("order").value]);
      byId("list").replaceChildren();
      shown = 0;
      showMore();
      const rest = leftOut ? `; ${leftOut} more count in the numbers, but are not in this file` : "";
      const names = listed === dialogues ? ["dialogue", "dialogues"] : ["reply", "replies"];
      byId("count").textContent = `${found.length} of ${counted(listed.length, ...names)}${rest}`;
    }

    let waiting = 0;
    byId("search").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(show, 150); });
    for (const id of ["unit", "system", "which", "order"]) byId(id).addEventListener("change", show);
    byId("filter").addEventListener("submit", (event) => { event.preventDefault(); show(); });
    byId("worst").addEventListener("click", showWorst);
    byId("all").addEventListener("click", openAll);
    byId("more").addEventListener("click", () => showMore().firstChild.focus());
    byId("filter").hidden = false;
    return show();
  }

  openForPrint();
  await browse(await unpacked(packedIn("listing-data")));
  document.documentElement.dataset.ready = "list";
  await painted();
  await drawCharts(...await Promise.all(["figures-data", "library-data"].map(packedIn).map(unpacked)));
  document.documentElement.dataset.ready = "yes";
})();
