// Plots of a sweep by uPlot, drawn anew from the table's numbers whenever the page has newer ones.
import { colour, onRepaint } from "./ink.js";
import { gettext } from "./words.js";

const HEIGHT = 240;
const section = document.querySelector("[data-sweep]");
let plots = [];
let drawn = "";

const short = (value) => Number(value.toPrecision(4)).toString();
const ticked = (_, ticks) => ticks.map((tick) => (tick === null ? "" : short(tick)));

// Of a logarithmic axis only the powers of ten are ruled.
const decades = (_, splits) => splits.map((at) => (Number.isInteger(Number(Math.log10(at).toFixed(6))) ? at : null));

function told() {
  return document.getElementById("trials")?.dataset.picture ?? "";
}

// From 0, the worst, to 1, the best.
function goodness(scores, larger) {
  const [low, high] = [Math.min(...scores), Math.max(...scores)];
  return (score) => {
    if (high === low) return 1;
    const share = (score - low) / (high - low);
    return larger ? share : 1 - share;
  };
}

function widened(low, high, log) {
  if (log) return [low / 1.3, high * 1.3];
  const room = (high - low || Math.abs(high) || 1) * 0.07;
  return [low - room, high + room];
}

function add(figure, options, columns) {
  const box = figure.querySelector("[data-plot]");
  plots.push({ box, plot: new uPlot({ width: box.clientWidth, height: HEIGHT, ...options }, columns, box) });
}

function axisLook() {
  return { stroke: () => colour("--muted"), grid: { stroke: () => colour("--line"), width: 1 } };
}

function nameAxes(list, sweep, scores) {
  const ends = [short(Math.min(...scores)), short(Math.max(...scores))];
  const axes = [...sweep.axes, { title: sweep.sought, ends }];
  list.replaceChildren(
    ...axes.map(({ title, ends: [low, high] }) => {
      const [item, range] = [document.createElement("li"), document.createElement("small")];
      range.textContent = `${low} – ${high}`;
      item.append(title, range);
      return item;
    }),
  );
}

// One line for each trial over all settings and the number: the better, the stronger.
function drawParallel(figure, sweep, scored) {
  const scores = scored.map((trial) => trial.score);
  const good = goodness(scores, sweep.larger);
  const high = (score) => (sweep.larger ? good(score) : 1 - good(score));
  const last = sweep.axes.length;
  const order = [...scored].sort((one, other) => good(one.score) - good(other.score));
  const places = order.map((trial) => [...trial.places, high(trial.score)]);
  const columns = [[...Array(last + 1).keys()], ...places];
  const lines = order.map((trial) => ({
    label: `${gettext("Trial")} ${trial.number}`,
    stroke: () => colour(trial.best ? "--good" : "--accent"),
    alpha: trial.best ? 1 : 0.15 + 0.7 * good(trial.score) ** 2,
    width: trial.best ? 3 : 1.5,
    points: { show: false },
  }));
  const look = axisLook();
  add(
    figure,
    {
      legend: { show: false },
      cursor: { show: false },
      padding: [12, 12, 4, 12],
      scales: { x: { time: false, range: [0, last] }, y: { range: [-0.04, 1.04] } },
      axes: [
        { ...look, size: 6, ticks: { show: false }, splits: () => columns[0], values: () => columns[0].map(() => "") },
        { show: false },
      ],
      series: [{}, ...lines],
    },
    columns,
  );
  nameAxes(figure.querySelector(".axes"), sweep, scores);
}

function bars(rows) {
  return (plot) => {
    const { ctx } = plot;
    ctx.save();
    ctx.strokeStyle = colour("--accent");
    ctx.lineWidth = devicePixelRatio;
    ctx.globalAlpha = 0.5;
    for (const { x, low, high } of rows.filter((row) => row.low !== null)) {
      const at = plot.valToPos(x, "x", true);
      ctx.beginPath();
      ctx.moveTo(at, plot.valToPos(low, "y", true));
      ctx.lineTo(at, plot.valToPos(high, "y", true));
      ctx.stroke();
    }
    ctx.restore();
  };
}

// The number against one setting, with its interval where there is one.
function drawAgainst(figure, sweep, scored) {
  const place = Number(figure.dataset.against);
  const axis = sweep.axes[place];
  const rows = scored.map(({ at, score, low, high, best }) => ({ x: at[place], score, low, high, best }));
  rows.sort((one, other) => one.x - other.x);
  const ends = rows.flatMap(({ score, low, high }) => [score, low ?? score, high ?? score]);
  const named = axis.names.length > 0;
  const [first, final] = named ? [0, axis.names.length - 1] : [rows[0].x, rows.at(-1).x];
  const look = axisLook();
  const points = (token, size) => ({
    paths: () => null,
    points: { show: true, size, stroke: () => colour(token), fill: () => colour(token) },
  });
  const across = named
    ? { splits: () => axis.names.map((_, index) => index), values: () => axis.names, grid: { show: false } }
    : { values: ticked, ...(axis.log ? { grid: { ...look.grid, filter: decades }, ticks: { filter: decades } } : {}) };
  add(
    figure,
    {
      legend: { show: false },
      cursor: { show: false },
      scales: {
        x: { time: false, distr: axis.log ? 3 : 1, range: widened(first, final, axis.log) },
        y: { range: widened(Math.min(...ends), Math.max(...ends)) },
      },
      axes: [
        { ...look, label: axis.title, ...across },
        { ...look, label: sweep.sought, size: 64, values: ticked },
      ],
      series: [{}, points("--accent", 7), points("--good", 11)],
      hooks: { draw: [bars(rows)] },
    },
    [rows.map(({ x }) => x), rows.map(({ score }) => score), rows.map(({ best, score }) => (best ? score : null))],
  );
}

function drawAll() {
  const text = told();
  if (text === drawn || !text) return;
  drawn = text;
  for (const { plot } of plots) plot.destroy();
  plots = [];
  const sweep = JSON.parse(text);
  const scored = sweep.trials.filter((trial) => trial.score !== null);
  for (const figure of section.querySelectorAll("figure")) figure.hidden = !scored.length;
  section.querySelector("[data-nothing]").hidden = scored.length > 0;
  if (!scored.length) return;
  drawParallel(section.querySelector("[data-parallel]"), sweep, scored);
  for (const figure of section.querySelectorAll("[data-against]")) drawAgainst(figure, sweep, scored);
}

if (section && window.uPlot) {
  document.addEventListener("htmx:afterSwap", drawAll);
  onRepaint(() => plots.forEach(({ plot }) => plot.redraw(false, true)));
  new ResizeObserver(() => {
    for (const { box, plot } of plots) plot.setSize({ width: box.clientWidth, height: HEIGHT });
  }).observe(section);
  drawAll();
}
