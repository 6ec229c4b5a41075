// Curves of one run by uPlot: fetched once, then only what is new, until the run is over.
const PAUSE = 2000; // ms between two looks at a live run
const section = document.querySelector("[data-charts]");
const probe = document.createElement("span");
const charts = new Map();

function colour(token) {
  probe.style.color = `var(${token})`;
  return getComputedStyle(probe).color;
}

function axes(figure) {
  const look = { stroke: () => colour("--muted"), grid: { stroke: () => colour("--line"), width: 1 } };
  return [
    { ...look, label: "Step", incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000, 10000, 1e5, 1e6] },
    { ...look, label: figure.dataset.axis, size: 64, values: (_, ticks) => ticks.map((tick) => (tick === null ? "" : Number(tick.toPrecision(6)).toString())) },
  ];
}

function draw(figure, columns) {
  const name = figure.dataset.axis;
  const options = {
    width: figure.querySelector("[data-plot]").clientWidth,
    height: 240,
    scales: { x: { time: false } },
    axes: axes(figure),
    cursor: { drag: { x: true, y: false } },
    series: [
      { label: "Step" },
      { label: name, stroke: () => colour("--accent"), width: 2, spanGaps: false, points: { show: columns[0].length < 3 } },
      { label: "Lowest", points: { show: false }, stroke: "transparent" },
      { label: "Highest", points: { show: false }, stroke: "transparent" },
    ],
    bands: [{ series: [3, 2], fill: () => colour("--accent-soft") }],
  };
  return new uPlot(options, columns, figure.querySelector("[data-plot]"));
}

function extend(figure, rows, reset) {
  const known = charts.get(figure);
  const columns = known && !reset ? known.columns : [[], [], [], []];
  const body = figure.querySelector("details tbody");
  if (reset) body.replaceChildren();
  const last = columns[0].at(-1) ?? -1;
  for (const row of rows.filter(([step]) => step > last)) {
    row.forEach((value, index) => columns[index].push(value));
    const line = body.insertRow();
    for (const value of row.slice(0, 2)) {
      const cell = line.insertCell();
      cell.className = "num";
      cell.textContent = value === null ? "—" : Number(value.toPrecision(5));
    }
  }
  if (!columns[0].length) return;
  figure.hidden = false;
  if (known) known.plot.setData(columns);
  charts.set(figure, { columns, plot: known ? known.plot : draw(figure, columns) });
}

async function look(after, epoch) {
  let next = { after, epoch };
  if (!document.hidden) {
    try {
      const address = new URL(section.dataset.charts, location.href);
      address.search = new URLSearchParams(after === null ? {} : { after, epoch });
      const answer = await (await fetch(address, { headers: { Accept: "application/json" } })).json();
      for (const figure of section.querySelectorAll("figure[data-key]")) {
        extend(figure, answer.series[figure.dataset.key] ?? [], answer.reset);
      }
      next = { after: answer.step, epoch: answer.epoch };
      if (answer.final) return;
    } catch (error) {
      console.warn("The curves could not be fetched; trying again.", error);
    }
  }
  setTimeout(() => look(next.after, next.epoch), PAUSE);
}

function repaint() {
  for (const { plot } of charts.values()) plot.redraw(false, true);
}

if (section && window.uPlot) {
  probe.hidden = true;
  document.body.append(probe);
  new MutationObserver(repaint).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
  new ResizeObserver(() => {
    for (const [figure, { plot }] of charts) {
      plot.setSize({ width: figure.querySelector("[data-plot]").clientWidth, height: 240 });
    }
  }).observe(section);
  look(null, null);
}
