// Curves of one run by uPlot: fetched once, then only what is new, until the run is over.
import { colour, onRepaint } from "./ink.js";
import { gettext } from "./words.js";

const NOTHING_NEW = 204;
const PAUSE = 2000; // ms between two looks at a live run
const section = document.querySelector("[data-charts]");
const charts = new Map();
let seen = ""; // the stamp of what is drawn
const titles = JSON.parse(document.getElementById("agent-titles")?.textContent ?? "{}");
const HUES = ["--accent", "--curve-2", "--curve-3", "--curve-4", "--curve-5"]; // then again, dashed

// Numbers as short as they are exact: 0.000078 is wider than an axis, 7.8e-5 is not.
const SMALL = 1e-3;
function inShort(number, digits) {
  const near = Number(number.toPrecision(digits));
  return near && Math.abs(near) < SMALL ? near.toExponential() : near.toString();
}
const ticked = (_, ticks) => ticks.map((tick) => (tick === null ? "" : inShort(tick, 6)));
const told = (_, value) => (value === null ? "—" : inShort(value, 4));

function axes(figure) {
  const look = { stroke: () => colour("--muted"), grid: { stroke: () => colour("--line"), width: 1 } };
  return [
    { ...look, label: gettext("Step"), incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000, 10000, 1e5, 1e6] },
    { ...look, label: figure.dataset.axis, size: 64, values: ticked },
  ];
}

// One curve has a band from the lowest to the highest value of what a point stands for.
function curves(figure, keys, short) {
  const points = { show: short };
  if (keys.length === 1) {
    return [
      { label: figure.dataset.axis, stroke: () => colour("--accent"), width: 2, spanGaps: false, points, value: told },
      { label: gettext("Lowest"), points: { show: false }, stroke: "transparent", value: told },
      { label: gettext("Highest"), points: { show: false }, stroke: "transparent", value: told },
    ];
  }
  return keys.map((key, index) => ({
    label: titleOf(figure, key),
    stroke: () => colour(HUES[index % HUES.length]),
    dash: index < HUES.length ? [] : [6, 4],
    width: 2,
    points,
    value: told,
  }));
}

function titleOf(figure, key) {
  const agent = key.split("@")[1];
  return agent ? titles[agent] ?? agent : figure.dataset.axis;
}

// The legend tells the newest values while nothing is pointed at.
function restingOnTheLast(plot) {
  if (plot.cursor.idx == null) plot.setLegend({ idx: plot.data[0].length - 1 }, false);
}

function draw(figure, keys, columns) {
  const options = {
    width: figure.querySelector("[data-plot]").clientWidth,
    height: 240,
    scales: { x: { time: false } },
    axes: axes(figure),
    cursor: { drag: { x: true, y: false } },
    hooks: { setCursor: [restingOnTheLast], setData: [restingOnTheLast] },
    series: [{ label: gettext("Step") }, ...curves(figure, keys, columns[0].length < 3)],
    bands: keys.length === 1 ? [{ series: [3, 2], fill: () => colour("--accent-soft") }] : [],
  };
  figure.classList.toggle("many", keys.length > 1);
  const plot = new uPlot(options, columns, figure.querySelector("[data-plot]"));
  restingOnTheLast(plot);
  return plot;
}

// What came, step by step: the value of every curve, and for a single one its lowest and highest.
function rowsOf(keys, series) {
  const rows = new Map();
  keys.forEach((key, index) => {
    for (const [step, value, ...ends] of series[key] ?? []) {
      if (!rows.has(step)) rows.set(step, keys.map(() => null));
      rows.get(step)[index] = value;
      if (keys.length === 1) rows.get(step).push(...ends);
    }
  });
  return [...rows].sort(([one], [other]) => one - other).map(([step, values]) => [step, ...values]);
}

function numbers(body, row) {
  const line = body.insertRow();
  for (const value of row) {
    const cell = line.insertCell();
    cell.className = "num";
    cell.textContent = value === null ? "—" : inShort(value, 5);
  }
}

function headed(figure, keys) {
  const line = figure.querySelector("details thead tr");
  const cells = [gettext("Step"), ...keys.map((key) => titleOf(figure, key))].map((title) => {
    const cell = document.createElement("th");
    Object.assign(cell, { scope: "col", className: "num", textContent: title });
    return cell;
  });
  line.replaceChildren(...cells);
}

// Points from a step on come again, as they were not whole.
function cut(columns, body, since) {
  const kept = columns[0].findIndex((step) => step >= since);
  if (kept < 0) return;
  for (const column of columns) column.length = kept;
  while (body.rows.length > kept) body.deleteRow(-1);
}

function extend(figure, { series, reset, since }) {
  const known = charts.get(figure);
  const keys = known?.keys ?? Object.keys(series).filter((key) => key.split("@")[0] === figure.dataset.key);
  if (!keys.length) return;
  const width = keys.length === 1 ? 4 : keys.length + 1;
  const columns = known && !reset ? known.columns : Array.from({ length: width }, () => []);
  const body = figure.querySelector("details tbody");
  if (reset) body.replaceChildren();
  else cut(columns, body, since);
  if (!known) headed(figure, keys);
  for (const row of rowsOf(keys, series)) {
    row.forEach((value, index) => columns[index].push(value));
    numbers(body, row.slice(0, keys.length + 1));
  }
  if (!columns[0].length) return;
  figure.hidden = false;
  if (known) known.plot.setData(columns);
  charts.set(figure, { keys, columns, plot: known ? known.plot : draw(figure, keys, columns) });
}

async function look(known) {
  let next = known;
  if (!document.hidden) {
    try {
      const address = new URL(section.dataset.charts, location.href);
      address.search = new URLSearchParams(known);
      const response = await fetch(address, { headers: { Accept: "application/json", Seen: seen } });
      if (response.status !== NOTHING_NEW) {
        const answer = await response.json();
        for (const figure of section.querySelectorAll("figure[data-key]")) extend(figure, answer);
        next = { after: answer.step, epoch: answer.epoch, width: answer.width };
        seen = answer.stamp;
        if (answer.final) return;
      }
    } catch (error) {
      console.warn("The curves could not be fetched; trying again.", error);
    }
  }
  setTimeout(() => look(next), PAUSE);
}

function repaint() {
  for (const { plot } of charts.values()) plot.redraw(false, true);
}

if (section && window.uPlot) {
  onRepaint(repaint);
  new ResizeObserver(() => {
    for (const [figure, { plot }] of charts) {
      plot.setSize({ width: figure.querySelector("[data-plot]").clientWidth, height: 240 });
    }
  }).observe(section);
  look({});
}
