"use strict";
// Shows the charts and browses the dialogues. All text from outside is set as text; nothing here makes markup of it.
(async () => {
  const PAGE = 50;
  const byId = (id) => document.getElementById(id);

  async function unpacked(id) {
    const packed = atob(byId(id).content.textContent);
    const bytes = Uint8Array.from(packed, (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return JSON.parse(await new Response(stream).text());
  }

  function element(name, className, text) {
    const made = document.createElement(name);
    if (className) made.className = className;
    if (text !== undefined && text !== null) made.textContent = text;
    return made;
  }

  // --- charts ---

  function colours() {
    const style = getComputedStyle(document.documentElement);
    const ink = style.getPropertyValue("--ink").trim();
    const line = style.getPropertyValue("--line").trim();
    return {
      "font.color": ink, "xaxis.gridcolor": line, "yaxis.gridcolor": line,
      "xaxis.zerolinecolor": line, "yaxis.zerolinecolor": line,
    };
  }

  async function drawCharts() {
    const figures = await unpacked("figures-data");
    const draw = async ({ id, figure }) => {
      await Plotly.newPlot(byId(id), figure.data, figure.layout, { displayModeBar: false, responsive: true });
      await Plotly.relayout(byId(id), colours());
    };
    for (const each of figures) await draw(each);
    const recolour = () => figures.forEach(({ id }) => Plotly.relayout(byId(id), colours()));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolour);
  }

  // --- dialogues ---

  function marked(parent, text, spans) {
    // Spans are [start, end, class], in order; overlapping ones are left out.
    let at = 0;
    const characters = Array.from(text);
    for (const [start, end, className] of spans) {
      if (start < at) continue;
      parent.append(characters.slice(at, start).join(""));
      const mark = element("mark", className, characters.slice(start, end).join(""));
      if (className === "invented") mark.title = "nobody has said this in the dialogue";
      parent.append(mark);
      at = end;
    }
    parent.append(characters.slice(at).join(""));
  }

  function turnOf(turn, place) {
    const box = element("div", `turn ${turn.role}`);
    box.append(element("span", "who", `${place}. ${turn.role}`));
    if (turn.analysis) box.append(element("div", "analysis", turn.analysis));
    marked(box, turn.text, turn.marks);
    return box;
  }

  function ratingsOf(ratings) {
    const wrap = element("div", "ratings wide");
    const table = element("table");
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
      row.append(element("td", "score", rating.score ?? rating.status));
      const why = element("td");
      marked(why, rating.why, rating.quotes);
      row.append(why);
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
      if (ratings.length) inside.append(ratingsOf(ratings));
    });
    return inside;
  }

  function folded(dialogue) {
    const box = element("details", "dialogue");
    const summary = element("summary");
    summary.append(element("span", "id", dialogue.id));
    if (dialogue.system) summary.append(element("span", "note", dialogue.system));
    const reward = dialogue.reward === null ? "no reward" : `reward ${dialogue.reward.toFixed(3)}`;
    summary.append(element("span", "note", reward));
    if (dialogue.spread) summary.append(element("span", "note", `disagreement ${Math.round(100 * dialogue.spread)} %`));
    if (dialogue.failures) summary.append(element("span", "note", `${dialogue.failures} failed`));
    if (dialogue.invented) summary.append(element("span", "note", `${dialogue.invented} quotes nobody said`));
    box.append(summary);
    box.addEventListener("toggle", () => {
      if (box.open && box.childElementCount === 1) box.append(opened(dialogue));
    });
    return box;
  }

  function browse({ dialogues, left_out: leftOut }) {
    const systems = [...new Set(dialogues.map((each) => each.system))].sort();
    byId("system").append(new Option("all", ""));
    for (const system of systems) byId("system").append(new Option(system || "(none)", `=${system}`));
    for (const each of dialogues) {
      const texts = [each.id, ...each.turns.map((turn) => turn.text), ...each.ratings.map((rating) => rating.why)];
      each.words = texts.join("\n").toLowerCase();
    }
    const orders = {
      input: () => 0,
      low: (a, b) => (a.reward ?? Infinity) - (b.reward ?? Infinity),
      high: (a, b) => (b.reward ?? -Infinity) - (a.reward ?? -Infinity),
      disputed: (a, b) => b.spread - a.spread,
      failures: (a, b) => b.failures - a.failures,
    };
    let found = [];
    let shown = 0;

    function showMore() {
      byId("list").append(...found.slice(shown, shown + PAGE).map(folded));
      shown = Math.min(shown + PAGE, found.length);
      byId("more").hidden = shown >= found.length;
    }

    function show() {
      const words = byId("search").value.trim().toLowerCase();
      const system = byId("system").value;
      const which = byId("which").value;
      found = dialogues.filter((each) =>
        (!words || each.words.includes(words)) && (!system || `=${each.system}` === system) &&
        (which !== "failed" || each.failures > 0) && (which !== "invented" || each.invented > 0));
      found.sort(orders[byId("order").value]);
      byId("list").replaceChildren();
      shown = 0;
      showMore();
      const rest = leftOut ? `; ${leftOut} more are not in this file, but in its numbers` : "";
      byId("count").textContent = `${found.length} of ${dialogues.length} dialogues${rest}`;
    }

    let waiting = 0;
    byId("search").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(show, 150); });
    for (const id of ["system", "which", "order"]) byId(id).addEventListener("change", show);
    byId("filter").addEventListener("submit", (event) => { event.preventDefault(); show(); });
    byId("more").addEventListener("click", showMore);
    byId("filter").hidden = false;
    show();
  }

  browse(await unpacked("dialogues-data"));
  if (window.Plotly) await drawCharts();
  document.documentElement.dataset.ready = "yes";
})();
